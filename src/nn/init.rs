//! Initial weights.

use rand::Rng;

/// Keras' default kernel initialiser: uniform in `±sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, AISTATS 2010), where a
/// convolution's fans are its window times its channels.
pub(super) fn glorot_uniform(rng: &mut impl Rng, shape: &[usize]) -> Vec<f32> {
    let (&outputs, rest) = shape.split_last().expect("a kernel has at least two axes");
    let (&inputs, window) = rest.split_last().expect("a kernel has at least two axes");
    let window: usize = window.iter().product();
    let limit = (6.0 / (window * (inputs + outputs)) as f64).sqrt();
    // 24 random bits, the middle of each of 2^24 equal steps: symmetric around 0.
    let mut uniform = || (f64::from(rng.next_u32() >> 8) + 0.5) / f64::from(1 << 24);
    (0..window * inputs * outputs).map(|_| ((2.0 * uniform() - 1.0) * limit) as f32).collect()
}
