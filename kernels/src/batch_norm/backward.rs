//! Gradients through the normalisation and through the statistics of the batch: one pass for the
//! sums, one for `dx`.

use super::{
    Normalization, Others, Workspace, block, chunk, fold, of_all_parts, of_all_parts_len, spread, stripe, zeros,
};
use crate::scratch;
use crate::simd::{Isa, Kernel, Simd, map};
use rayon::prelude::*;

/// Where [`backward`] puts the gradients.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// Gradient of the input, `[m, c]`: overwritten where it is asked for.
    pub dx: Option<&'a mut [f32]>,
    /// Gradient of gamma, `[c]`: accumulated into.
    pub dgamma: &'a mut [f32],
    /// Gradient of beta, `[c]`: accumulated into.
    pub dbeta: &'a mut [f32],
}

/// With `xhat = (x - mean) / sqrt(variance + epsilon)`, sums over the `m` pixels, and `mean` and
/// `variance` the [`statistics`](super::statistics()) of `x`, through which it contributes once
/// more:
///
/// `dbeta += sum(dy)`, `dgamma += sum(dy * xhat)`,
/// `dx = gamma / sqrt(variance + epsilon) * (dy - sum(dy) / m - xhat * sum(dy * xhat) / m)`
///
/// Where `x` is a part of a batch, `dx` takes `m` and both sums of all parts; `dgamma` and `dbeta` are
/// those of this part, and to be added up as all other gradients are.
///
/// # Shapes
/// `x`, `dy`: `[m, c]`, f32; `to`: see [`Gradients`]
/// # Units
/// As `dy`; the `m` above is that of the statistics, the gradients are not divided by it.
/// # Accuracy
/// Within 1e-5 of `reference::batch_norm`, relative to the largest term of the sum, where the mean
/// is at most a hundred standard deviations; the same bits for any number of threads. Reads `x` and
/// `dy` twice.
/// # Panics
/// If a length differs from its shape, or if `x` is empty.
/// # Source
/// Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>, section 3, simplified.
pub fn backward(
    isa: Isa,
    by: &Normalization,
    x: &[f32],
    dy: &[f32],
    others: Others,
    to: Gradients,
    workspace: &mut Workspace,
) {
    by.check_values(x.len());
    let c = by.gamma.len();
    let Gradients { dx, dgamma, dbeta } = to;
    assert!(!x.is_empty() && dy.len() == x.len(), "x and dy");
    assert!(dgamma.len() == c && dbeta.len() == c, "gamma, dgamma and dbeta");
    // Per chunk: the sums of dy and of dy * (x - mean).
    let [mean] = spread(&mut workspace.stripes, c, |i| [f64::from(by.mean[i])]);
    let of_all = of_all_parts_len(c);
    let sums = zeros(&mut workspace.sums, of_all + x.len().div_ceil(chunk(c)) * 2 * c);
    let (of_all, partials) = sums.split_at_mut(of_all);
    let inputs = x.par_chunks(chunk(c)).zip(dy.par_chunks(chunk(c)));
    inputs.zip(partials.par_chunks_mut(2 * c)).for_each(|((x, dy), partial)| {
        scratch::with(2 * stripe(c), |scratch| isa.run(ChunkSums { mean, x, dy, scratch, partial }));
    });
    for partial in partials.chunks_exact(2 * c) {
        for (sum, partial) in of_all[1..].iter_mut().zip(partial) {
            *sum += partial;
        }
    }
    let (sum_dy, sum_dy_xhat) = of_all[1..].split_at_mut(c);
    for i in 0..c {
        sum_dy_xhat[i] *= by.inv_std(i);
        dbeta[i] += sum_dy[i] as f32;
        dgamma[i] += sum_dy_xhat[i] as f32;
    }

    let Some(dx) = dx else { return };
    assert_eq!(dx.len(), x.len(), "x and dx");
    let (m, sums) = of_all_parts(others, x.len() / c, of_all);
    let (sum_dy, sum_dy_xhat) = sums.split_at(c);
    let [mean, scale, offset, slope] = spread(&mut workspace.stripes, c, |i| {
        let factor = f64::from(by.gamma[i]) * by.inv_std(i);
        let slope = -factor * by.inv_std(i) * sum_dy_xhat[i] / m;
        [f64::from(by.mean[i]), factor, -factor * sum_dy[i] / m, slope]
    });
    let inputs = x.par_chunks(block(c)).zip(dy.par_chunks(block(c)));
    inputs.zip(dx.par_chunks_mut(block(c))).for_each(|((x, dy), dx)| {
        isa.run(BackwardBlock { mean, scale, offset, slope, x, dy, dx });
    });
}

struct ChunkSums<'a> {
    /// A stripe.
    mean: &'a [f32],
    x: &'a [f32],
    dy: &'a [f32],
    /// Two stripes.
    scratch: &'a mut [f32],
    /// The sums of `dy` and of `dy * (x - mean)`, of `c` channels each; zeros come in.
    partial: &'a mut [f64],
}

impl Kernel for ChunkSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mean, x, dy, scratch, partial } = self;
        let (stripe, c) = (mean.len(), partial.len() / 2);
        let (sum, product) = scratch.split_at_mut(stripe);
        let (sums, products) = partial.split_at_mut(c);
        for (x, dy) in x.chunks(block(c)).zip(dy.chunks(block(c))) {
            sum.fill(0.0);
            product.fill(0.0);
            for (x, dy) in x.chunks(stripe).zip(dy.chunks(stripe)) {
                let len = x.len();
                map(
                    s,
                    [x, dy, &mean[..len]],
                    [&mut sum[..len], &mut product[..len]],
                    #[inline(always)]
                    |[x, dy, mean], [sum, product]| [s.add(sum, dy), s.mul_add(dy, s.sub(x, mean), product)],
                );
            }
            fold(sum, sums);
            fold(product, products);
        }
    }
}

struct BackwardBlock<'a> {
    /// A stripe each.
    mean: &'a [f32],
    scale: &'a [f32],
    offset: &'a [f32],
    slope: &'a [f32],
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for BackwardBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mean, scale, offset, slope, .. } = self;
        let stripe = mean.len();
        let inputs = self.x.chunks(stripe).zip(self.dy.chunks(stripe));
        for ((x, dy), dx) in inputs.zip(self.dx.chunks_mut(stripe)) {
            let len = x.len();
            map(
                s,
                [x, dy, &mean[..len], &scale[..len], &offset[..len], &slope[..len]],
                [dx],
                #[inline(always)]
                |[x, dy, mean, scale, offset, slope], [_]| {
                    [s.mul_add(scale, dy, s.mul_add(slope, s.sub(x, mean), offset))]
                },
            );
        }
    }
}
