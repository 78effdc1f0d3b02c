//! The forward pass with given statistics.

use super::rows::{Normalise, Pool};
use super::{Affine, ConvBlockShape, Source, Workspace};
use crate::conv2d::{Algorithm, Conv2dSizes, Correlation, Pass, Staging};
use crate::scratch;
use crate::simd::{Isa, VALUES_PER_TASK};
use crate::tasks::each_task;
use rayon::prelude::*;

/// A block in inference: `y = max-pool(batch_norm(relu(conv(x, w) + bias)))`.
///
/// A few rows of the convolution exist at a time, the normalisation is applied to the pooled
/// values.
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`: `[n, h, w, ic]`; `w`: `[kh, kw, ic, oc]`; `bias` and those of `norm`: `[oc]`; `y`:
/// `[n, oh/2, ow/2, oc]`, overwritten
/// # Accuracy
/// As [`conv2d::Forward`](crate::conv2d::Forward) and
/// [`batch_norm::forward`](crate::batch_norm::forward).
/// # Panics
/// If a slice's length differs from its shape.
pub struct Inference<'a> {
    /// Sizes.
    pub shape: &'a ConvBlockShape,
    /// Input.
    pub x: Source<'a>,
    /// Weights.
    pub w: &'a [f32],
    /// One value per filter.
    pub bias: &'a [f32],
    /// The normalisation; its scale's sign chooses between max and min.
    pub norm: Affine<'a>,
    /// Output.
    pub y: &'a mut [f32],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

impl Inference<'_> {
    /// Computes `y`.
    pub fn run(self, isa: Isa) {
        let Self { shape, x, w, bias, norm, y, workspace } = self;
        let conv = &shape.conv;
        let Conv2dSizes { n, oc, .. } = **conv;
        x.check(conv);
        assert_eq!(w.len(), conv.w_len(), "w is [kh, kw, ic, oc]: {shape:?}");
        assert_eq!(y.len(), shape.p_len(), "y is [n, oh/2, ow/2, oc]: {shape:?}");
        assert_eq!(bias.len(), oc, "bias is [oc]: {shape:?}");
        norm.check(oc);
        let (staging, algorithm) = (Staging::forward(conv), Algorithm::choose(isa, conv, Pass::Forward));
        let correlation = Correlation::forward(isa, algorithm, conv, w, bias, true, &mut workspace.arranged);
        let (bands, a_row, y_row) = (shape.bands(), conv.ow() * oc, shape.pw() * oc);
        let starts =
            |task: usize| ([(task / bands * shape.ph() + shape.band_pooled_rows(task % bands).start) * y_row], 0);
        each_task(0..n * bands, [y], &mut [], &starts, &|task, [y], _| {
            let pooled_rows = shape.band_pooled_rows(task % bands);
            let band = 2 * pooled_rows.start..2 * pooled_rows.end;
            let stage_len = staging.len(band.len()).next_multiple_of(16);
            let at_once = correlation.at_once().min(band.len());
            scratch::with(stage_len + at_once * a_row + y_row, |scratch| {
                let (stage, rest) = scratch.split_at_mut(stage_len);
                let (a, p) = rest.split_at_mut(at_once * a_row);
                let mut ahead = x.after(shape, task / bands, task % bands);
                x.with_rows(isa, &staging, task / bands, band, stage, |x| {
                    for (step, y) in y.chunks_mut(at_once / 2 * y_row).enumerate() {
                        let a = &mut a[..y.len() / y_row * 2 * a_row];
                        correlation.run(&x[step * at_once * staging.row()..], staging.row(), a, conv.ow(), &mut ahead);
                        for (a, y) in a.chunks_exact(2 * a_row).zip(y.chunks_exact_mut(y_row)) {
                            let (a0, a1) = a.split_at(a_row);
                            isa.run(Pool { c: oc, a: [a0, a1], gamma: norm.scale, p, sums: None });
                            isa.run(Normalise { by: norm, x: p, y });
                        }
                    }
                });
            });
        });
    }
}

/// `y = (x - mean) * scale + beta` over the pixels of a tensor.
///
/// # Shapes
/// `x`: `[m, c]`, f32; `y`: as `x`, overwritten
/// # Panics
/// If the lengths differ or are not whole pixels.
pub fn normalise(isa: Isa, by: Affine, x: &[f32], y: &mut [f32]) {
    let c = by.mean.len();
    by.check(c);
    assert!(c > 0 && x.len() == y.len() && x.len().is_multiple_of(c), "x and y");
    let block = VALUES_PER_TASK.next_multiple_of(c);
    x.par_chunks(block).zip(y.par_chunks_mut(block)).for_each(|(x, y)| isa.run(Normalise { by, x, y }));
}
