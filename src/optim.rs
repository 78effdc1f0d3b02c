//! Optimisers: the kernels' steps, and the state that goes with each parameter.

use crate::nn::Sequential;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::optim::Step;
use serde::{Deserialize, Serialize};

/// An update rule and its constants; the defaults are Keras'.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "optimizer", rename_all = "snake_case")]
pub enum Rule {
    /// Kingma and Ba, ICLR 2015, in Keras' form: the learning rate carries both bias corrections.
    Adam {
        /// Keras' default is 1e-3.
        learning_rate: f32,
        /// Decay of the mean of gradients.
        beta_1: f32,
        /// Decay of the mean of squared gradients.
        beta_2: f32,
        /// Added to the root of the mean of squares.
        epsilon: f32,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Keras' default is 1e-2.
        learning_rate: f32,
        /// 0 is plain descent.
        momentum: f32,
        /// Whether the step looks ahead along the momentum.
        nesterov: bool,
    },
}

impl Rule {
    /// Adam with Keras' constants.
    pub const fn adam(learning_rate: f32) -> Self {
        Self::Adam { learning_rate, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

/// A rule with its state for the parameters of one model.
pub struct Optimizer {
    rule: Rule,
    step: u64,
    /// Two state vectors for each trained parameter, in the model's order: Adam's m and v; SGD's velocity and nothing.
    state: Vec<[Buffer; 2]>,
}

impl Optimizer {
    /// The rule with zero state for each trained parameter of `model`.
    pub fn new(rule: Rule, model: &Sequential) -> Self {
        let trained = model.parameters().filter(|(_, parameter)| parameter.is_trained());
        let state = trained.map(|(_, parameter)| {
            let len = parameter.value.len();
            match rule {
                Rule::Adam { .. } => [Buffer::new(len), Buffer::new(len)],
                Rule::Sgd { .. } => [Buffer::new(len), Buffer::default()],
            }
        });
        Self { rule, step: 0, state: state.collect() }
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
        self.step += 1;
        let step = match self.rule {
            Rule::Adam { learning_rate, beta_1, beta_2, epsilon } => {
                Step::Adam { learning_rate, beta_1, beta_2, epsilon, step: self.step }
            }
            Rule::Sgd { learning_rate, momentum, nesterov } => Step::Sgd { learning_rate, momentum, nesterov },
        };
        model.backward_and_step(d_output, step, &mut self.state);
    }
}
