//! Normalisation with given statistics.

use super::{Normalization, Workspace, block, spread};
use crate::simd::{Isa, Kernel, Simd, map};
use rayon::prelude::*;

/// `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`.
///
/// # Shapes
/// `x`: `[m, c]`, f32; `y`: as `x`, overwritten
/// # Accuracy
/// Within `1e-6 * (|y| + |beta|)` of `reference::batch_norm`, and
/// `2^-24 * |mean * gamma| / sqrt(variance + epsilon)` from the rounding of the mean to f32; the
/// same bits for any number of threads.
/// # Panics
/// If a length differs from its shape.
/// # Source
/// Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>.
pub fn forward(isa: Isa, by: &Normalization, x: &[f32], y: &mut [f32], workspace: &mut Workspace) {
    by.check_values(x.len());
    assert_eq!(x.len(), y.len(), "x and y");
    let c = by.gamma.len();
    let parameters = |i: usize| [f64::from(by.mean[i]), f64::from(by.gamma[i]) * by.inv_std(i), f64::from(by.beta[i])];
    let [mean, scale, beta] = spread(&mut workspace.stripes, c, parameters);
    x.par_chunks(block(c)).zip(y.par_chunks_mut(block(c))).for_each(|(x, y)| {
        isa.run(ForwardBlock { mean, scale, beta, x, y });
    });
}

struct ForwardBlock<'a> {
    /// A stripe each.
    mean: &'a [f32],
    scale: &'a [f32],
    beta: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for ForwardBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stripe = self.mean.len();
        for (x, y) in self.x.chunks(stripe).zip(self.y.chunks_mut(stripe)) {
            let len = x.len();
            map(
                s,
                [x, &self.mean[..len], &self.scale[..len], &self.beta[..len]],
                [y],
                #[inline(always)]
                |[x, mean, scale, beta], [_]| [s.mul_add(s.sub(x, mean), scale, beta)],
            );
        }
    }
}
