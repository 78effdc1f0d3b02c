//! The optimizers as Keras defines them, one weight at a time.

/// The numbers that Adam works with.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// The share of itself, times the learning rate, that a weight loses in a step.
    pub weight_decay: f64,
}

impl Adam {
    /// Step `t`, the first being 1, of a weight `w` with the means `m` and `v` under the gradient
    /// `g`:
    ///
    /// `m += (g - m) * (1 - beta_1)`, `v += (g^2 - v) * (1 - beta_2)`,
    /// `w = w * (1 - learning_rate * weight_decay) - alpha * m / (sqrt(v) + epsilon)` with
    /// `alpha = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)`
    pub fn step(&self, t: u64, g: f64, m: &mut f64, v: &mut f64, w: &mut f64) {
        let t = t as f64;
        *m += (g - *m) * (1.0 - self.beta_1);
        *v += (g * g - *v) * (1.0 - self.beta_2);
        let alpha = self.learning_rate * (1.0 - self.beta_2.powf(t)).sqrt() / (1.0 - self.beta_1.powf(t));
        *w = *w * (1.0 - self.learning_rate * self.weight_decay) - alpha * *m / (v.sqrt() + self.epsilon);
    }
}

/// The numbers that SGD works with.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: f64,
    /// The share of the velocity that a step keeps.
    pub momentum: f64,
    /// Whether the weight moves by the velocity that the next step would have.
    pub nesterov: bool,
    /// The share of itself, times the learning rate, that a weight loses in a step.
    pub weight_decay: f64,
}

impl Sgd {
    /// A step of a weight `w` with velocity `velocity` under the gradient `g`:
    ///
    /// `velocity = momentum * velocity - learning_rate * g`,
    /// `w *= 1 - learning_rate * weight_decay`, then `w += velocity`, or, with Nesterov's momentum,
    /// `w += momentum * velocity - learning_rate * g`
    pub fn step(&self, g: f64, velocity: &mut f64, w: &mut f64) {
        *velocity = self.momentum * *velocity - self.learning_rate * g;
        *w *= 1.0 - self.learning_rate * self.weight_decay;
        *w += if self.nesterov { self.momentum * *velocity - self.learning_rate * g } else { *velocity };
    }
}
