//! Optimisers: the kernels' update rules, and how their learning rate changes.

use super::Sequential;
use onesheet_kernels::buffer::Buffer;
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
    steps: u64,
}

impl Optimizer {
    /// The rule at a constant learning rate, before its first step: every trained parameter of
    /// `model` forgets what another optimiser may have remembered of it.
    pub fn new(rule: Rule, model: &mut Sequential) -> Self {
        model.each_parameter_mut(|parameter| {
            let len = if parameter.is_trained() { parameter.value.len() } else { 0 };
            parameter.moments = rule.state_lens(len).map(Buffer::new);
        });
        Self { rule, schedule: Schedule::CONSTANT, steps: 0 }
    }

    /// The number of steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes on as an optimiser that has taken so many steps.
    pub(super) fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// The learning rate of the last step; 0 before the first one.
    pub fn last_rate(&self) -> f64 {
        self.steps.checked_sub(1).map_or(0.0, |before| f64::from(self.rate_after(before)))
    }

    /// The learning rate of the step that follows `done` steps.
    fn rate_after(&self, done: u64) -> f32 {
        (f64::from(self.rule.learning_rate()) * self.schedule.factor(done)) as f32
    }

    /// Changes the model's weights by the gradient of the loss, given that of the output of the
    /// model's last training pass.
    ///
    /// # Panics
    /// If `d_output` is not as long as that output, or the optimiser was made for another model.
    pub fn step(&mut self, model: &mut Sequential, d_output: &[f32]) {
        let rate = self.rate_after(self.steps);
        self.steps += 1;
        let step = Step { rule: self.rule.with_learning_rate(rate), number: self.steps };
        model.backward_and_step(d_output, &step);
    }
}
