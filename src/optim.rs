//! Optimisers: the kernels' steps, and the state that goes with each parameter.

use crate::nn::Sequential;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::optim::Step;
use serde::{Deserialize, Serialize};

pub use onesheet_kernels::optim::{Adam, Rule, Sgd};

/// How the learning rate changes over a run: it rises linearly, and then stays or falls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The share of all steps in which the rate rises from 0.
    pub warmup: f64,
    /// What it does then.
    #[serde(rename = "schedule")]
    pub decay: Decay,
    /// All steps of the run.
    #[serde(skip)]
    pub steps: u64,
}

/// What a learning rate does after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// It stays.
    Constant,
    /// It falls to 0 along half a cosine, ending with the run.
    ///
    /// Loshchilov and Hutter 2017, <https://arxiv.org/abs/1608.03983>; with a warm-up of 0.3, about Smith's one cycle,
    /// <https://arxiv.org/abs/1708.07120>.
    Cosine,
}

impl Schedule {
    /// The rate as it is, always.
    pub const CONSTANT: Self = Self { warmup: 0.0, decay: Decay::Constant, steps: 0 };

    /// What the learning rate is multiplied with in the step after `done` steps.
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

/// A rule with its state for the parameters of one model.
pub struct Optimizer {
    rule: Rule,
    /// What becomes of the rule's learning rate.
    pub schedule: Schedule,
    step: u64,
    /// Two state vectors for each trained parameter, in the model's order: Adam's m and v; SGD's velocity and nothing.
    state: Vec<[Buffer; 2]>,
}

impl Optimizer {
    /// The rule with zero state for each trained parameter of `model`, its learning rate constant.
    pub fn new(rule: Rule, model: &Sequential) -> Self {
        let trained = model.parameters().filter(|(_, parameter)| parameter.is_trained());
        let state = trained.map(|(_, parameter)| rule.state_lens(parameter.value.len()).map(Buffer::new));
        Self { rule, schedule: Schedule::CONSTANT, step: 0, state: state.collect() }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Changes the model's weights by the gradient of the loss, given that of the output of the model's last training pass.
    ///
    /// # Panics
    /// If `d_output` is not as long as that output.
    pub fn step(&mut self, model: &mut Sequential, d_output: &[f32]) {
        let factor = self.schedule.factor(self.step);
        self.step += 1;
        let rate = (f64::from(self.rule.learning_rate()) * factor) as f32;
        let step = Step { rule: self.rule.with_learning_rate(rate), number: self.step };
        model.backward_and_step(d_output, step, &mut self.state);
    }
}
