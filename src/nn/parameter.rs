//! The tensors that belong to a layer: weights that are trained, statistics that are kept.

use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::optim::{Rule, Step};
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// A tensor that belongs to a layer, with all that training keeps beside its values.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name of the layer, such as `conv2d_1`.
    pub layer: String,
    /// What the tensor is to the layer.
    pub role: Role,
    /// Its dimensions in Keras' layout: HWIO, `[in, out]` or `[c]`.
    pub shape: Vec<usize>,
    /// The values.
    pub value: Buffer,
    /// The gradient of the loss, summed since the last step; empty where the parameter is a
    /// statistic.
    pub gradient: Vec<f32>,
    /// What the optimiser remembers: Adam's `m` and `v`; SGD's velocity and nothing. Empty until an
    /// [`Optimizer`](super::Optimizer) is made for the model.
    pub moments: [Buffer; 2],
}

/// What a parameter is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The weights of a convolution, `[kh, kw, in, out]`, or of a dense layer, `[in, out]`.
    Kernel,
    /// The value added to each output.
    Bias,
    /// Batch norm's factor of each channel.
    Gamma,
    /// The value that batch norm adds to each channel.
    Beta,
    /// The moving mean of each channel.
    MovingMean,
    /// The moving variance of each channel.
    MovingVariance,
}

impl Role {
    /// Keras' name of a parameter with this role.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Bias => "bias",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::MovingMean => "moving_mean",
            Self::MovingVariance => "moving_variance",
        }
    }

    /// Whether an optimiser changes it; a statistic follows the batches instead.
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::MovingMean | Self::MovingVariance)
    }

    /// Whether weight decay applies to it. Biases and batch norm's parameters are single values per
    /// channel, and pulling them towards 0 regularises nothing.
    pub fn decays(self) -> bool {
        self == Self::Kernel
    }

    /// Whether a parameter with this role may hold `value`.
    pub(super) fn allows(self, value: f32) -> bool {
        value.is_finite() && (self != Self::MovingVariance || value >= 0.0)
    }
}

impl Parameter {
    /// A kernel with Keras' default initial weights, glorot_uniform.
    pub(super) fn kernel(layer: &str, shape: &[usize], rng: &mut impl Rng) -> Self {
        Self::new(layer, Role::Kernel, shape, &glorot_uniform(rng, shape))
    }

    /// A parameter with one value per channel, all of them `value` at first.
    pub(super) fn per_channel(layer: &str, role: Role, channels: usize, value: f32) -> Self {
        Self::new(layer, role, &[channels], &vec![value; channels])
    }

    fn new(layer: &str, role: Role, shape: &[usize], value: &[f32]) -> Self {
        Self {
            layer: layer.to_owned(),
            role,
            shape: shape.to_vec(),
            value: Buffer::from(value),
            gradient: if role.is_trained() { vec![0.0; value.len()] } else { Vec::new() },
            moments: Default::default(),
        }
    }

    /// The bytes that a parameter of `len` values claims: the values, and what training keeps
    /// beside them with the rule of an optimiser.
    pub(super) fn bytes(role: Role, len: usize, rule: Option<&Rule>) -> u64 {
        let trained = if role.is_trained() { len } else { 0 };
        let moments = rule.map_or([0; 2], |rule| rule.state_lens(trained)).map(Buffer::bytes);
        (Buffer::bytes(len) + trained * size_of::<f32>() + moments.iter().sum::<usize>()) as u64
    }

    /// The full name, such as `conv2d_1/kernel`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.layer, self.role.name())
    }

    /// Whether an optimiser changes it.
    pub fn is_trained(&self) -> bool {
        self.role.is_trained()
    }

    /// Moves the values by their gradient, and sets the gradient to zero; a statistic stays.
    pub(super) fn step(&mut self, isa: Isa, step: &Step) {
        if self.is_trained() {
            let [first, second] = &mut self.moments;
            let step = if self.role.decays() { *step } else { step.without_decay() };
            step.run(isa, &self.gradient, [first, second], &mut self.value);
            self.gradient.fill(0.0);
        }
    }
}

/// Keras' default kernel initialiser: uniform in `±sqrt(6 / (fan_in + fan_out))`, where the fans of
/// a convolution are its window times its channels.
///
/// Glorot and Bengio, AISTATS 2010.
fn glorot_uniform(rng: &mut impl Rng, shape: &[usize]) -> Vec<f32> {
    let (&outputs, rest) = shape.split_last().expect("a kernel has at least two axes");
    let (&inputs, window) = rest.split_last().expect("a kernel has at least two axes");
    let window: usize = window.iter().product();
    let limit = (6.0 / (window * (inputs + outputs)) as f64).sqrt();
    // 24 random bits, the middle of each of 2^24 equal steps: symmetric around 0.
    let mut uniform = || (f64::from(rng.next_u32() >> 8) + 0.5) / f64::from(1 << 24);
    (0..window * inputs * outputs).map(|_| ((2.0 * uniform() - 1.0) * limit) as f32).collect()
}
