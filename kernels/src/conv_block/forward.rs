//! The forward pass in training.

use super::rows::{Pool, RowSums};
use super::{ConvBlockShape, Source, Workspace};
use crate::batch_norm::{Others, of_all_parts, of_all_parts_len};
use crate::buffer::sized;
use crate::conv2d::{Algorithm, Conv2dSizes, Correlation, Pass, Staging, most_equal};
use crate::scratch;
use crate::simd::Isa;
use crate::tasks::each_task;

/// A block's convolution, its pooled values before normalisation, and the statistics to normalise
/// them with.
///
/// `a = relu(conv(x, w) + bias)`; `p` = the 2x2 pooling of `a` by the sign of gamma; `mean` and
/// biased `variance` of `a`
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`: `[n, h, w, ic]`; `w`: `[kh, kw, ic, oc]`; `bias`, `gamma`: `[oc]`; `a`: `[n, oh, ow, oc]`,
/// overwritten; `p`: `[n, oh/2, ow/2, oc]`, overwritten; `mean`, `variance`: `[oc]`, overwritten
/// # Accuracy
/// `a` and `p` as [`conv2d::Forward`](crate::conv2d::Forward). f32 sums over two rows, f64 beyond:
/// `mean` within 1e-6 of the root mean square, `variance` within 1e-5 of the mean square. The same
/// bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct Forward<'a> {
    /// Sizes.
    pub shape: &'a ConvBlockShape,
    /// Input.
    pub x: Source<'a>,
    /// Weights.
    pub w: &'a [f32],
    /// One value per filter.
    pub bias: &'a [f32],
    /// Batch norm's factor, of which the sign is used.
    pub gamma: &'a [f32],
    /// Output of the ReLU, which the backward pass reads; none where that
    /// [computes it once more](ConvBlockShape::keeps_a).
    pub a: Option<&'a mut [f32]>,
    /// Pooled values, which whoever reads them normalises.
    pub p: &'a mut [f32],
    /// The other parts of the batch: mean and variance are of all of them.
    pub others: Others<'a>,
    /// The mean of each channel.
    pub mean: &'a mut [f32],
    /// The biased variance of each channel.
    pub variance: &'a mut [f32],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

impl Forward<'_> {
    /// Computes `a`, `p`, `mean` and `variance`.
    pub fn run(self, isa: Isa) {
        let Self { shape, x, w, bias, gamma, a, p, others, mean, variance, workspace } = self;
        let conv = &shape.conv;
        let Conv2dSizes { n, oc, .. } = **conv;
        x.check(conv);
        assert_eq!(w.len(), conv.w_len(), "w is [kh, kw, ic, oc]: {shape:?}");
        let keeps_a = a.is_some();
        let a = a.unwrap_or_default();
        assert_eq!(a.len(), if keeps_a { conv.y_len() } else { 0 }, "a is [n, oh, ow, oc]: {shape:?}");
        assert_eq!(p.len(), shape.p_len(), "p is [n, oh/2, ow/2, oc]: {shape:?}");
        assert!(
            [bias.len(), gamma.len(), mean.len(), variance.len()] == [oc; 4],
            "bias, gamma, mean, variance are [oc]: {shape:?}"
        );
        let (staging, algorithm) = (Staging::forward(conv), Algorithm::choose(isa, conv, Pass::Forward));
        let correlation = Correlation::forward(isa, algorithm, conv, w, bias, true, &mut workspace.arranged);
        let at_once = correlation.at_once();
        let (bands, a_row, p_row) = (shape.bands(), conv.ow() * oc, shape.pw() * oc);
        let of_all = of_all_parts_len(oc);
        let (of_all, sums) = sized(&mut workspace.sums, of_all + n * bands * 2 * oc).split_at_mut(of_all);
        // Several images are one task where each is a band.
        let images = most_equal(n, shape.images_at_once(isa, Pass::Forward));
        let of_task = |task: usize| {
            let first = task / bands * images;
            (first..(first + images).min(n), task % bands)
        };
        let starts = |task: usize| {
            let (of_task, band) = of_task(task);
            let image = of_task.start;
            let a = if keeps_a { (image * conv.oh() + shape.band_rows(band).start) * a_row } else { 0 };
            let p = (image * shape.ph() + shape.band_pooled_rows(band).start) * p_row;
            ([a, p], (image * bands + band) * 2 * oc)
        };
        each_task(0..n.div_ceil(images) * bands, [a, p], sums, &starts, &|task, [a, p], sums| {
            let (of_task, band) = of_task(task);
            let (rows, pooled) = (shape.band_rows(band), shape.band_pooled_rows(band).len());
            let stage_len = (of_task.len() * staging.len(rows.len())).next_multiple_of(16);
            let own_len = if keeps_a { 0 } else { of_task.len() * at_once * a_row };
            scratch::with(stage_len + own_len + 2 * oc, |scratch| {
                let (stage, rest) = scratch.split_at_mut(stage_len);
                let (own, pair_sums) = rest.split_at_mut(own_len);
                sums.fill(0.0);
                let mut ahead = x.after(shape, of_task.end - 1, band);
                let x = x.rows(isa, &staging, of_task.clone(), rows.clone(), stage);
                // All rows of several images, some of one image.
                for first in (0..rows.len()).step_by(at_once) {
                    let of_image = at_once.min(rows.len() - first) * a_row;
                    let len = of_task.len() * of_image;
                    let a = if keeps_a { &mut a[first * a_row..][..len] } else { &mut own[..len] };
                    correlation.run(x.skip_rows(first), a, &mut ahead);
                    for (image, a) in a.chunks_exact(of_image).enumerate() {
                        let sums = &mut sums[image * 2 * oc..][..2 * oc];
                        for (row, a) in (first / 2..).zip(a.chunks(2 * a_row)) {
                            pair_sums.fill(0.0);
                            let (sum, squares) = pair_sums.split_at_mut(oc);
                            let sums_of_pair = [sum, squares];
                            if row < pooled {
                                let (a0, a1) = a.split_at(a_row);
                                let p = &mut p[(image * pooled + row) * p_row..][..p_row];
                                isa.run(Pool { c: oc, a: [a0, a1], gamma, p, sums: Some(sums_of_pair) });
                            } else {
                                isa.run(RowSums { c: oc, a, sums: sums_of_pair });
                            }
                            sums.iter_mut().zip(&*pair_sums).for_each(|(sum, &pair)| *sum += f64::from(pair));
                        }
                    }
                }
            });
        });
        for (i, sum) in of_all[1..].iter_mut().enumerate() {
            *sum = sums.chunks_exact(2 * oc).map(|sums| sums[i]).sum();
        }
        let (m, sums) = of_all_parts(others, n * conv.oh() * conv.ow(), of_all);
        for o in 0..oc {
            let (average, square) = (sums[o] / m, sums[oc + o] / m);
            mean[o] = average as f32;
            variance[o] = (square - average * average).max(0.0) as f32;
        }
    }
}
