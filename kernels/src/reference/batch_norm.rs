//! Batch normalisation as its paper has it (Ioffe and Szegedy 2015,
//! <https://arxiv.org/abs/1502.03167>).
//!
//! Tensors are `[m][c]`: `m` pixels of all images together, whose `c` channels are normalised one
//! by one.

/// What [`forward`] normalises with; each slice has `c` values.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// Factor of the normalised values.
    pub gamma: &'a [f64],
    /// What is added to them.
    pub beta: &'a [f64],
    /// Mean of each channel: the batch's in training, the moving one in inference.
    pub mean: &'a [f64],
    /// Biased variance of each channel, likewise.
    pub variance: &'a [f64],
    /// Added to the variance.
    pub epsilon: f64,
}

impl Normalization<'_> {
    /// `1 / sqrt(variance + epsilon)` of a channel.
    fn inv_std(&self, channel: usize) -> f64 {
        1.0 / (self.variance[channel] + self.epsilon).sqrt()
    }
}

/// The mean and the biased variance of each channel: `mean = sum(x) / m`,
/// `variance = sum((x - mean)^2) / m`.
pub fn statistics(c: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let m = (x.len() / c) as f64;
    let channel = |channel: usize| x.iter().skip(channel).step_by(c);
    let mean: Vec<f64> = (0..c).map(|i| channel(i).sum::<f64>() / m).collect();
    let variance = (0..c).map(|i| channel(i).map(|x| (x - mean[i]).powi(2)).sum::<f64>() / m).collect();
    (mean, variance)
}

/// `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`.
pub fn forward(by: &Normalization, x: &[f64]) -> Vec<f64> {
    let c = by.gamma.len();
    let normalize = |(i, x): (usize, &f64)| {
        let i = i % c;
        by.gamma[i] * (x - by.mean[i]) * by.inv_std(i) + by.beta[i]
    };
    x.iter().enumerate().map(normalize).collect()
}

/// `(dx, dgamma, dbeta)`, where `mean` and `variance` are the [`statistics`] of `x`, and so depend
/// on it:
///
/// `dbeta = sum(dy)`, `dgamma = sum(dy * xhat)`,
/// `dx = gamma / sqrt(variance + epsilon) * (dy - dbeta / m - xhat * dgamma / m)`
/// with `xhat = (x - mean) / sqrt(variance + epsilon)`.
pub fn backward(by: &Normalization, x: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let c = by.gamma.len();
    let m = (x.len() / c) as f64;
    let xhat = |at: usize| (x[at] - by.mean[at % c]) * by.inv_std(at % c);
    let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
    for at in 0..x.len() {
        dgamma[at % c] += dy[at] * xhat(at);
        dbeta[at % c] += dy[at];
    }
    let dx = (0..x.len())
        .map(|at| {
            let i = at % c;
            by.gamma[i] * by.inv_std(i) * (dy[at] - dbeta[i] / m - xhat(at) * dgamma[i] / m)
        })
        .collect();
    (dx, dgamma, dbeta)
}
