//! An exponential moving average of a model's weights.

use crate::nn::Sequential;

/// The average of the weights that a model had in its last steps: it lies nearer to the middle of the valley that they
/// wander about in, and does better on other films.
///
/// Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; as a moving average, Tarvainen and
/// Valpola 2017, <https://arxiv.org/abs/1703.01780>.
pub struct Average {
    decay: f64,
    steps: u64,
    /// In the order of the model's parameters, statistics included.
    values: Vec<Vec<f32>>,
}

impl Average {
    /// Starts with the weights as they are; each step keeps the share `decay` of the average, less in the first ones.
    pub fn new(decay: f64, model: &Sequential) -> Self {
        let values = model.parameters().map(|(_, parameter)| parameter.value.to_vec());
        Self { decay, steps: 0, values: values.collect() }
    }

    /// `average += (1 - decay) * (weights - average)`, for the weights after a step.
    pub fn follow(&mut self, model: &Sequential) {
        self.steps += 1;
        // The first weights are random; without this they would be a share of the average for long.
        let early = (1.0 + self.steps as f64) / (10.0 + self.steps as f64);
        let rate = (1.0 - self.decay.min(early)) as f32;
        for (average, (_, parameter)) in self.values.iter_mut().zip(model.parameters()) {
            average
                .iter_mut()
                .zip(&*parameter.value)
                .for_each(|(average, &value)| *average += rate * (value - *average));
        }
    }

    /// Exchanges the average and the model's weights.
    pub fn swap(&mut self, model: &mut Sequential) {
        for (average, parameter) in self.values.iter_mut().zip(model.parameters_mut()) {
            average.swap_with_slice(&mut parameter.value);
        }
    }
}
