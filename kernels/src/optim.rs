//! Optimizer steps in Keras' form, in place.

use crate::simd::{BLOCK, Isa, Kernel, Simd, map};
use rayon::prelude::*;

/// A step of either rule: its numbers, without what it works on.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// See [`Adam`].
    Adam {
        /// Learning rate.
        learning_rate: f32,
        /// Decay of the mean of gradients.
        beta_1: f32,
        /// Decay of the mean of squared gradients.
        beta_2: f32,
        /// Added to `sqrt(v)`.
        epsilon: f32,
        /// The share of itself, times the learning rate, that a weight loses in a step.
        weight_decay: f32,
        /// Which step this is; the first is 1.
        step: u64,
    },
    /// See [`Sgd`].
    Sgd {
        /// Learning rate.
        learning_rate: f32,
        /// The share of the velocity that a step keeps.
        momentum: f32,
        /// Whether the weights move by the velocity that the next step would have.
        nesterov: bool,
        /// The share of itself, times the learning rate, that a weight loses in a step.
        weight_decay: f32,
    },
}

impl Step {
    /// The same step for a parameter that does not decay.
    pub fn without_decay(mut self) -> Self {
        match &mut self {
            Self::Adam { weight_decay, .. } | Self::Sgd { weight_decay, .. } => *weight_decay = 0.0,
        }
        self
    }

    /// Moves `w` by the gradients `g`. `state` is what the rule remembers of each weight: Adam's `m` and `v`; SGD's velocity,
    /// and a second slice that it does not read.
    ///
    /// # Panics
    /// As [`adam`] and [`sgd`].
    pub fn run(&self, isa: Isa, g: &[f32], state: [&mut [f32]; 2], w: &mut [f32]) {
        let [first, second] = state;
        match *self {
            Self::Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, step } => {
                let [m, v] = [first, second];
                adam(isa, Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, step, g, m, v, w });
            }
            Self::Sgd { learning_rate, momentum, nesterov, weight_decay } => {
                sgd(isa, Sgd { learning_rate, momentum, nesterov, weight_decay, g, velocity: first, w });
            }
        }
    }

    /// [`run`](Self::run) on this thread alone.
    pub(crate) fn run_block(&self, isa: Isa, g: &[f32], state: [&mut [f32]; 2], w: &mut [f32]) {
        let [first, second] = state;
        match *self {
            Self::Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, step } => {
                let [m, v] = [first, second];
                isa.run(adam_block(Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, step, g, m, v, w }));
            }
            Self::Sgd { learning_rate, momentum, nesterov, weight_decay } => {
                isa.run(SgdBlock(Sgd { learning_rate, momentum, nesterov, weight_decay, g, velocity: first, w }));
            }
        }
    }
}

/// A step of Adam: its numbers and what it works on. All slices have the same length.
#[derive(Debug)]
pub struct Adam<'a> {
    /// Learning rate; Keras' default is 1e-3.
    pub learning_rate: f32,
    /// Decay of the mean of gradients; Keras' default is 0.9.
    pub beta_1: f32,
    /// Decay of the mean of squared gradients; Keras' default is 0.999.
    pub beta_2: f32,
    /// Added to `sqrt(v)`; Keras' default is 1e-7.
    pub epsilon: f32,
    /// The share of itself, times the learning rate, that a weight loses in a step, beside what its gradient does; 0 is Adam,
    /// more is AdamW.
    pub weight_decay: f32,
    /// Which step this is; the first is 1.
    pub step: u64,
    /// Gradients.
    pub g: &'a [f32],
    /// Running means of the gradients; zeros before the first step.
    pub m: &'a mut [f32],
    /// Running means of the squared gradients; zeros before the first step.
    pub v: &'a mut [f32],
    /// Weights.
    pub w: &'a mut [f32],
}

/// `m += (g - m) * (1 - beta_1)`, `v += (g^2 - v) * (1 - beta_2)`,
/// `w = w * (1 - learning_rate * weight_decay) - alpha * m / (sqrt(v) + epsilon)` with
/// `alpha = learning_rate * sqrt(1 - beta_2^step) / (1 - beta_1^step)`.
///
/// This is the form of Keras and of the paper's section 2: the learning rate carries both bias corrections, and epsilon
/// stands beside the uncorrected `sqrt(v)`. PyTorch corrects `v` first, which makes its epsilon a larger one in the
/// first steps.
///
/// # Shapes
/// `g`: any f32; `m`, `v`, `w`: as `g`, overwritten
/// # Accuracy
/// `alpha` is computed in f64, the rest within 1e-6 of `reference::optim` a step; the same bits for any number of threads.
/// # Panics
/// If the lengths differ, or for step 0.
/// # Source
/// Kingma and Ba 2015, Adam: A Method for Stochastic Optimization, <https://arxiv.org/abs/1412.6980>. The decay: Loshchilov and
/// Hutter 2019, Decoupled Weight Decay Regularization, <https://arxiv.org/abs/1711.05101>, with the learning rate as its factor,
/// as in Keras and PyTorch.
pub fn adam(isa: Isa, step: Adam) {
    let Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, step, g, m, v, w } = step;
    assert!(m.len() == g.len() && v.len() == g.len() && w.len() == g.len(), "g, m, v and w");
    let moments = m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK));
    g.par_chunks(BLOCK).zip(moments).zip(w.par_chunks_mut(BLOCK)).for_each(|((g, (m, v)), w)| {
        isa.run(adam_block(Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, step, g, m, v, w }));
    });
}

/// The kernel of a block.
fn adam_block(step: Adam) -> AdamBlock {
    let Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, step: t, g, m, v, w } = step;
    assert!(t > 0, "the first step is 1");
    let bias = |beta: f32| 1.0 - f64::from(beta).powf(t as f64);
    let alpha = (f64::from(learning_rate) * bias(beta_2).sqrt() / bias(beta_1)) as f32;
    let kept = 1.0 - learning_rate * weight_decay;
    AdamBlock { alpha, kept, rate_1: 1.0 - beta_1, rate_2: 1.0 - beta_2, epsilon, g, m, v, w }
}

struct AdamBlock<'a> {
    alpha: f32,
    /// The share of a weight that decay leaves: exactly 1 without decay, which changes no bit.
    kept: f32,
    rate_1: f32,
    rate_2: f32,
    epsilon: f32,
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    w: &'a mut [f32],
}

impl Kernel for AdamBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (minus_alpha, epsilon, kept) = (s.splat(-self.alpha), s.splat(self.epsilon), s.splat(self.kept));
        let (rate_1, rate_2) = (s.splat(self.rate_1), s.splat(self.rate_2));
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

/// A step of stochastic gradient descent: its numbers and what it works on. All slices have the same length.
#[derive(Debug)]
pub struct Sgd<'a> {
    /// Learning rate; Keras' default is 0.01.
    pub learning_rate: f32,
    /// The share of the velocity that a step keeps; Keras' default is 0.
    pub momentum: f32,
    /// Whether the weights move by the velocity that the next step would have (Nesterov's momentum).
    pub nesterov: bool,
    /// The share of itself, times the learning rate, that a weight loses in a step, beside what its gradient does.
    pub weight_decay: f32,
    /// Gradients.
    pub g: &'a [f32],
    /// What the last step moved by; zeros before the first step.
    pub velocity: &'a mut [f32],
    /// Weights.
    pub w: &'a mut [f32],
}

/// `velocity = momentum * velocity - learning_rate * g`, `w *= 1 - learning_rate * weight_decay`, then `w += velocity`, or, with
/// Nesterov's momentum, `w += momentum * velocity - learning_rate * g`.
///
/// Keras' form: the velocity contains the learning rate. PyTorch's does not, which differs as soon as the rate changes.
///
/// # Shapes
/// `g`: any f32; `velocity`, `w`: as `g`, overwritten
/// # Accuracy
/// Within 1e-6 of `reference::optim` a step; the same bits for any number of threads.
/// # Panics
/// If the lengths differ.
/// # Source
/// Sutskever et al. 2013, On the importance of initialization and momentum in deep learning.
pub fn sgd(isa: Isa, step: Sgd) {
    let Sgd { learning_rate, momentum, nesterov, weight_decay, g, velocity, w } = step;
    assert!(velocity.len() == g.len() && w.len() == g.len(), "g, velocity and w");
    let state = velocity.par_chunks_mut(BLOCK).zip(w.par_chunks_mut(BLOCK));
    g.par_chunks(BLOCK).zip(state).for_each(|(g, (velocity, w))| {
        isa.run(SgdBlock(Sgd { learning_rate, momentum, nesterov, weight_decay, g, velocity, w }));
    });
}

struct SgdBlock<'a>(Sgd<'a>);

impl Kernel for SgdBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Sgd { learning_rate, momentum, nesterov, weight_decay, g, velocity, w } = self.0;
        let (minus_rate, momentum) = (s.splat(-learning_rate), s.splat(momentum));
        // Exactly 1 without decay, which changes no bit.
        let kept = s.splat(1.0 - learning_rate * weight_decay);
        map(
            s,
            [g],
            [velocity, w],
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
