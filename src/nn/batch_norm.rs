//! Batch normalisation.

use super::{Layer, Parameter, Pass};
use crate::tensor::Tensor;
use onesheet_kernels::batch_norm::{self, Gradients, Normalization, Workspace};
use onesheet_kernels::simd::Isa;

/// `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each channel.
pub(super) struct BatchNorm {
    momentum: f32,
    epsilon: f32,
    /// gamma, beta, moving_mean, moving_variance.
    parameters: [Parameter; 4],
    /// The statistics of the last training batch, for the backward pass.
    mean: Vec<f32>,
    variance: Vec<f32>,
    workspace: Workspace,
}

impl BatchNorm {
    pub fn new(name: &str, input: &[usize], momentum: f32, epsilon: f32) -> Self {
        let c = *input.last().expect("shapes have an axis");
        let parameters = parameters(name, c);
        Self {
            momentum,
            epsilon,
            parameters,
            mean: vec![0.0; c],
            variance: vec![0.0; c],
            workspace: Workspace::default(),
        }
    }
}

/// gamma, beta and the moving statistics, as Keras starts them.
pub(super) fn parameters(name: &str, c: usize) -> [Parameter; 4] {
    [
        Parameter::trained(format!("{name}/gamma"), &[c], vec![1.0; c]),
        Parameter::trained(format!("{name}/beta"), &[c], vec![0.0; c]),
        Parameter::kept(format!("{name}/moving_mean"), &[c], vec![0.0; c]),
        Parameter::kept(format!("{name}/moving_variance"), &[c], vec![1.0; c]),
    ]
}

impl Layer for BatchNorm {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, pass: Pass) {
        let [gamma, beta, moving_mean, moving_variance] = &mut self.parameters;
        let (mean, variance) = match pass {
            Pass::Inference => (&*moving_mean.value, &*moving_variance.value),
            Pass::Training { .. } => {
                batch_norm::statistics(isa, x.values(), &mut self.mean, &mut self.variance, &mut self.workspace);
                batch_norm::update_moving(self.momentum, &self.mean, &mut moving_mean.value);
                batch_norm::update_moving(self.momentum, &self.variance, &mut moving_variance.value);
                (&*self.mean, &*self.variance)
            }
        };
        let by = Normalization { gamma: &gamma.value, beta: &beta.value, mean, variance, epsilon: self.epsilon };
        batch_norm::forward(isa, &by, x.values(), y.values_mut(), &mut self.workspace);
    }

    fn backward(&mut self, isa: Isa, x: &Tensor, _y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        let [gamma, beta, ..] = &mut self.parameters;
        let (mean, variance) = (&self.mean, &self.variance);
        let by = Normalization { gamma: &gamma.value, beta: &beta.value, mean, variance, epsilon: self.epsilon };
        let dx = dx.map(Tensor::values_mut);
        let to = Gradients { dx, dgamma: &mut gamma.gradient, dbeta: &mut beta.gradient };
        batch_norm::backward(isa, &by, x.values(), dy.values(), to, &mut self.workspace);
    }
}
