//! Optimiser updates in Keras' form, in place.

use crate::simd::{Isa, Kernel, Simd, VALUES_PER_TASK, map};
use crate::tasks::each_task;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// An update rule and its numbers.
///
/// Serialised, its name stands beside its numbers: `optimizer = "adam"`, `learning_rate = 0.001`,
/// and so on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(tag = "optimizer", rename_all = "snake_case"))]
pub enum Rule {
    /// Adam, or AdamW where weights decay.
    Adam(Adam),
    /// Stochastic gradient descent.
    Sgd(Sgd),
}

/// Adam: each weight moves by the mean of its gradients relative to their root mean square.
///
/// `m += (g - m) * (1 - beta_1)`, `v += (g^2 - v) * (1 - beta_2)`,
/// `w = w * (1 - learning_rate * weight_decay) - alpha * m / (sqrt(v) + epsilon)` with
/// `alpha = learning_rate * sqrt(1 - beta_2^number) / (1 - beta_1^number)`, where `number` counts
/// the updates from 1.
///
/// This is the form of Keras and of the paper's section 2: the learning rate carries both bias
/// corrections, and epsilon stands beside the uncorrected `sqrt(v)`. PyTorch corrects `v` first,
/// which makes its epsilon a larger one in the first steps.
///
/// # Accuracy
/// `alpha` is computed in f64, the rest within 1e-6 of `reference::optim` per step; the same bits
/// for any number of threads.
/// # Source
/// Kingma and Ba 2015, Adam: A Method for Stochastic Optimization,
/// <https://arxiv.org/abs/1412.6980>. The decay: Loshchilov and Hutter 2019, Decoupled Weight Decay
/// Regularization, <https://arxiv.org/abs/1711.05101>, with the learning rate as its factor, as in
/// Keras and PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Adam {
    /// Learning rate; Keras' default is 1e-3.
    pub learning_rate: f32,
    /// Decay of the mean of gradients; Keras' default is 0.9.
    pub beta_1: f32,
    /// Decay of the mean of squared gradients; Keras' default is 0.999.
    pub beta_2: f32,
    /// Term added to `sqrt(v)`; Keras' default is 1e-7.
    pub epsilon: f32,
    /// The share of itself, times the learning rate, that a weight loses in a step, beside what its
    /// gradient does; 0 is Adam, more is AdamW.
    #[cfg_attr(feature = "serde", serde(default))]
    pub weight_decay: f32,
}

/// Stochastic gradient descent with momentum.
///
/// `velocity = momentum * velocity - learning_rate * g`, `w *= 1 - learning_rate * weight_decay`,
/// then `w += velocity`, or, with Nesterov's momentum,
/// `w += momentum * velocity - learning_rate * g`.
///
/// Keras' form: the velocity contains the learning rate. PyTorch's does not, which differs as soon
/// as the rate changes.
///
/// # Accuracy
/// Within 1e-6 of `reference::optim` per step; the same bits for any number of threads.
/// # Source
/// Sutskever et al. 2013, On the importance of initialization and momentum in deep learning.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Sgd {
    /// Learning rate; Keras' default is 0.01.
    pub learning_rate: f32,
    /// The share of the velocity that a step keeps; Keras' default, 0, is plain descent.
    pub momentum: f32,
    /// Whether the weights move by the velocity that the next step would have (Nesterov's
    /// momentum).
    pub nesterov: bool,
    /// The share of itself, times the learning rate, that a weight loses in a step, beside what its
    /// gradient does.
    #[cfg_attr(feature = "serde", serde(default))]
    pub weight_decay: f32,
}

impl Adam {
    /// Keras' constants, without weight decay.
    pub const fn new(learning_rate: f32) -> Self {
        Self { learning_rate, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, weight_decay: 0.0 }
    }
}

impl Sgd {
    /// Plain descent: no momentum, no weight decay.
    pub const fn new(learning_rate: f32) -> Self {
        Self { learning_rate, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Rule {
    /// Adam with Keras' constants.
    pub const fn adam(learning_rate: f32) -> Self {
        Self::adamw(learning_rate, 0.0)
    }

    /// Adam with Keras' constants and weight decay.
    pub const fn adamw(learning_rate: f32, weight_decay: f32) -> Self {
        Self::Adam(Adam { weight_decay, ..Adam::new(learning_rate) })
    }

    /// The learning rate.
    pub const fn learning_rate(&self) -> f32 {
        match self {
            Self::Adam(Adam { learning_rate, .. }) | Self::Sgd(Sgd { learning_rate, .. }) => *learning_rate,
        }
    }

    /// The same rule with another learning rate.
    pub const fn with_learning_rate(self, learning_rate: f32) -> Self {
        match self {
            Self::Adam(adam) => Self::Adam(Adam { learning_rate, ..adam }),
            Self::Sgd(sgd) => Self::Sgd(Sgd { learning_rate, ..sgd }),
        }
    }

    /// The same rule with this share of the learning rate.
    pub fn slowed(self, share: f32) -> Self {
        self.with_learning_rate(self.learning_rate() * share)
    }

    /// The lengths of the two slices in which the rule remembers something of `len` weights: Adam's
    /// `m` and `v`; SGD's velocity and nothing.
    pub const fn state_lens(&self, len: usize) -> [usize; 2] {
        match self {
            Self::Adam(_) => [len, len],
            Self::Sgd(_) => [len, 0],
        }
    }
}

/// One update of all weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The rule, with the learning rate of this step.
    pub rule: Rule,
    /// The number of the step; the first is 1.
    pub number: u64,
}

impl Step {
    /// The same step for a parameter that does not decay.
    pub fn without_decay(mut self) -> Self {
        match &mut self.rule {
            Rule::Adam(Adam { weight_decay, .. }) | Rule::Sgd(Sgd { weight_decay, .. }) => *weight_decay = 0.0,
        }
        self
    }

    /// Moves `w` by the gradients `g`.
    ///
    /// # Shapes
    /// `g`: any f32; `w`: as `g`, overwritten; `state`: of [`Rule::state_lens`], overwritten, zeros
    /// before the first step
    /// # Accuracy
    /// See [`Adam`] and [`Sgd`].
    /// # Panics
    /// If the lengths differ, or for step 0 of Adam.
    pub fn run(&self, isa: Isa, g: &[f32], [first, second]: [&mut [f32]; 2], w: &mut [f32]) {
        self.check(g.len(), [first, second], w);
        let len = g.len();
        let starts = |block: usize| {
            let at = (block * VALUES_PER_TASK).min(len);
            let [first, second] = self.rule.state_lens(at);
            ([first, second, at], 0)
        };
        each_task(
            0..len.div_ceil(VALUES_PER_TASK),
            [first, second, w],
            &mut [],
            &starts,
            &|block, [first, second, w], _| {
                self.run_block(isa, &g[block * VALUES_PER_TASK..][..w.len()], [first, second], w);
            },
        );
    }

    /// [`run`](Self::run) on this thread alone.
    pub(crate) fn run_block(&self, isa: Isa, g: &[f32], [first, second]: [&mut [f32]; 2], w: &mut [f32]) {
        match self.rule {
            Rule::Adam(adam) => {
                assert!(self.number > 0, "the first step is 1");
                let bias = |beta: f32| 1.0 - f64::from(beta).powf(self.number as f64);
                let alpha = f64::from(adam.learning_rate) * bias(adam.beta_2).sqrt() / bias(adam.beta_1);
                isa.run(AdamBlock { adam, alpha: alpha as f32, g, m: first, v: second, w });
            }
            Rule::Sgd(sgd) => isa.run(SgdBlock { sgd, g, velocity: first, w }),
        }
    }

    /// Checks the lengths of what `len` gradients move.
    pub(crate) fn check(&self, len: usize, state: [&[f32]; 2], w: &[f32]) {
        assert_eq!(w.len(), len, "w is as long as g");
        assert_eq!(state.map(<[f32]>::len), self.rule.state_lens(len), "the state's lengths: see Rule::state_lens");
    }
}

struct AdamBlock<'a> {
    adam: Adam,
    alpha: f32,
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    w: &'a mut [f32],
}

impl Kernel for AdamBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay } = self.adam;
        let (minus_alpha, epsilon) = (s.splat(-self.alpha), s.splat(epsilon));
        let (rate_1, rate_2) = (s.splat(1.0 - beta_1), s.splat(1.0 - beta_2));
        // The share of a weight that decay leaves: exactly 1 without decay, which changes no bit.
        let kept = s.splat(1.0 - learning_rate * weight_decay);
        map(
            s,
            [self.g],
            [self.m, self.v, self.w],
            #[inline(always)]
            |[g], [m, v, w]| {
                let m = s.mul_add(s.sub(g, m), rate_1, m);
                let v = s.mul_add(s.sub(s.mul(g, g), v), rate_2, v);
                [m, v, s.mul_add(minus_alpha, s.div(m, s.add(s.sqrt(v), epsilon)), s.mul(kept, w))]
            },
        );
    }
}

struct SgdBlock<'a> {
    sgd: Sgd,
    g: &'a [f32],
    velocity: &'a mut [f32],
    w: &'a mut [f32],
}

impl Kernel for SgdBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Sgd { learning_rate, momentum, nesterov, weight_decay } = self.sgd;
        let (minus_rate, momentum) = (s.splat(-learning_rate), s.splat(momentum));
        // Exactly 1 without decay, which changes no bit.
        let kept = s.splat(1.0 - learning_rate * weight_decay);
        map(
            s,
            [self.g],
            [self.velocity, self.w],
            #[inline(always)]
            |[g], [velocity, w]| {
                let down = s.mul(minus_rate, g);
                let velocity = s.mul_add(momentum, velocity, down);
                let change = if nesterov { s.mul_add(momentum, velocity, down) } else { velocity };
                [velocity, s.add(s.mul(kept, w), change)]
            },
        );
    }
}
