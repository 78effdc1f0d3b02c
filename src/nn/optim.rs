//! Optimisers: the kernels' update rules, and how their learning rate changes.

use super::Sequential;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::gradient;
use onesheet_kernels::optim::Step;
use serde::{Deserialize, Serialize};

pub use onesheet_kernels::optim::{Adam, Rule, Sgd};

/// How the learning rate changes over a training: it rises linearly, and then stays or falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The share of all steps in which the rate rises from 0.
    pub warmup: f64,
    /// What the rate does after its rise.
    #[serde(rename = "schedule")]
    pub decay: Decay,
    /// The number of steps of the whole training.
    #[serde(skip)]
    pub steps: u64,
}

/// What a learning rate does after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// It stays.
    Constant,
    /// It falls to 0 along half a cosine that ends with the training.
    ///
    /// Loshchilov and Hutter 2017, <https://arxiv.org/abs/1608.03983>; with a warm-up of 0.3, about
    /// Smith's one cycle, <https://arxiv.org/abs/1708.07120>.
    Cosine,
}

impl Schedule {
    /// A rate that never changes.
    pub const CONSTANT: Self = Self { warmup: 0.0, decay: Decay::Constant, steps: 0 };

    /// The factor of the learning rate in the step that follows `done` steps.
    pub fn factor(&self, done: u64) -> f64 {
        let (at, warmup) = (done as f64 + 0.5, self.warmup * self.steps as f64);
        if at < warmup {
            return at / warmup;
        }
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => {
                let share = ((at - warmup) / (self.steps as f64 - warmup)).min(1.0);
                (1.0 + (std::f64::consts::PI * share).cos()) / 2.0
            }
        }
    }
}

/// An update rule at work on one model, whose parameters hold what the rule remembers.
pub struct Optimizer {
    rule: Rule,
    /// How the rule's learning rate changes.
    pub schedule: Schedule,
    /// The factor of the schedule's learning rate, 1 at first: for changes that nobody knows
    /// beforehand, such as those on a plateau.
    pub rate_factor: f64,
    /// The most that the norm of all gradients together may be: longer ones are shortened to it in
    /// their direction. `None` leaves them as they are.
    ///
    /// Pascanu, Mikolov and Bengio 2013, <https://arxiv.org/abs/1211.5063>; Keras'
    /// `global_clipnorm`, PyTorch's `clip_grad_norm_`.
    pub clip_norm: Option<f32>,
    steps: u64,
    last_rate: f32,
}

impl Optimizer {
    /// The rule at a constant learning rate, before its first step: every trained parameter of
    /// `model` forgets what another optimiser may have remembered of it.
    pub fn new(rule: Rule, model: &mut Sequential) -> Self {
        model.each_parameter_mut(|parameter| {
            let len = if parameter.is_trained() { parameter.value.len() } else { 0 };
            parameter.moments = rule.state_lens(len).map(Buffer::new);
        });
        Self { rule, schedule: Schedule::CONSTANT, rate_factor: 1.0, clip_norm: None, steps: 0, last_rate: 0.0 }
    }

    /// The number of steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes on as an optimiser that has taken so many steps, the last one at that learning rate.
    pub(super) fn go_on_after(&mut self, steps: u64, last_rate: f32) {
        (self.steps, self.last_rate) = (steps, last_rate);
    }

    /// The learning rate of the last step; 0 before the first one.
    pub fn last_rate(&self) -> f32 {
        self.last_rate
    }

    /// Changes the model's weights by the gradient of the loss, given that of the output of the
    /// model's last training pass. The bits of a clipped step may be others than those of one that
    /// is not, also where nothing is clipped: without clipping, large layers compute their gradient
    /// and move their weights in one pass.
    ///
    /// # Panics
    /// If `d_output` is not as long as that output, or the optimiser was made for another model.
    pub fn step(&mut self, model: &mut Sequential, d_output: &[f32]) {
        let rate = f64::from(self.rule.learning_rate()) * self.schedule.factor(self.steps) * self.rate_factor;
        self.last_rate = rate as f32;
        self.steps += 1;
        let step = Step { rule: self.rule.with_learning_rate(self.last_rate), number: self.steps };
        match (model.team().is_alone(), self.clip_norm) {
            (true, None) => return model.backward_and_step(d_output, &step),
            // All gradients are known before the first weight moves: layer by layer is too early.
            (true, Some(_)) => model.backward(d_output),
            (false, _) => model.backward_among_ranks(d_output),
        }
        if let Some(limit) = self.clip_norm {
            clip(model, limit);
        }
        let isa = model.isa();
        model.each_parameter_mut(|parameter| parameter.step(isa, &step));
    }
}

/// Shortens the gradients of all parameters to a common norm of `limit`, if it is more.
fn clip(model: &mut Sequential, limit: f32) {
    let (isa, mut squares) = (model.isa(), 0.0);
    model.each_parameter(|parameter| squares += gradient::sum_of_squares(isa, &parameter.gradient));
    let norm = squares.sqrt();
    // A gradient that is not a number is left to those who look at the loss.
    if norm > f64::from(limit) {
        let factor = (f64::from(limit) / norm) as f32;
        model.each_parameter_mut(|parameter| gradient::scale(isa, factor, &mut parameter.gradient));
    }
}
