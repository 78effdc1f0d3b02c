//! An exponential moving average of a model's weights.

use super::Sequential;

/// The average of the weights that a model had in its last steps: it lies nearer to the middle of
/// the valley that they wander about in, and generalises better.
///
/// Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging; as a moving
/// average, Tarvainen and Valpola 2017, <https://arxiv.org/abs/1703.01780>.
pub struct Average {
    decay: f64,
    /// How many it has followed.
    pub(super) steps: u64,
    /// In the order of the model's parameters, statistics included.
    pub(super) values: Vec<Vec<f32>>,
}

impl Average {
    /// An average that starts with the weights as they are. Each step keeps the share `decay` of
    /// it, less in the first ones.
    pub fn new(decay: f64, model: &Sequential) -> Self {
        let values = model.parameters().into_iter().map(|parameter| parameter.value.to_vec());
        Self { decay, steps: 0, values: values.collect() }
    }

    /// `average += (1 - decay) * (weights - average)`, for the weights after a step.
    ///
    /// # Panics
    /// If the average was made for another model.
    pub fn follow(&mut self, model: &Sequential) {
        self.steps += 1;
        // The first weights are random; without this they would be a share of the average for long.
        let early = (1.0 + self.steps as f64) / (10.0 + self.steps as f64);
        let rate = (1.0 - self.decay.min(early)) as f32;
        let mut averages = self.values.iter_mut();
        model.each_parameter(|parameter| {
            let average = averages.next().expect("the average is of this model");
            assert_eq!(average.len(), parameter.value.len(), "the average is of this model");
            let values = average.iter_mut().zip(&*parameter.value);
            values.for_each(|(average, &value)| *average += rate * (value - *average));
        });
    }

    /// Exchanges the average and the model's weights.
    ///
    /// # Panics
    /// If the average was made for another model.
    pub fn swap(&mut self, model: &mut Sequential) {
        let mut averages = self.values.iter_mut();
        model.each_parameter_mut(|parameter| {
            averages.next().expect("the average is of this model").swap_with_slice(&mut parameter.value);
        });
    }
}
