//! The sums over a gradient that the block below needs first.

use super::rows::GradientSums;
use super::{ConvBlockShape, Workspace};
use crate::buffer::sized;
use crate::scratch;
use crate::simd::Isa;
use crate::tasks::each_task;

/// Adds the sums of `dy` and of `dy * (x - mean)` over rows of `width` pixels.
pub(super) fn add_gradient_sums(
    isa: Isa,
    mean: &[f32],
    width: usize,
    x: &[f32],
    dy: &[f32],
    sums: &mut [f64],
    row_sums: &mut [f32],
) {
    let c = mean.len();
    let row_sums = &mut row_sums[..2 * c];
    for (x, dy) in x.chunks_exact(width * c).zip(dy.chunks_exact(width * c)) {
        row_sums.fill(0.0);
        let (sum, products) = row_sums.split_at_mut(c);
        isa.run(GradientSums { c, x, dy, mean, sums: [sum, products] });
        sums.iter_mut().zip(&*row_sums).for_each(|(sum, &row)| *sum += f64::from(row));
    }
}

/// The sums of `dp` and of `dp * (p - mean)` per channel: [`dp_sums`](super::Backward::dp_sums) for the
/// last block, above which no other takes them.
///
/// # Shapes
/// `p`, `dp`: `[n, rows, c]`, f32; `mean`: `[c]`; `sums`: `[2, c]`, f64, overwritten
/// # Panics
/// If a length differs from its shape.
pub fn pooled_sums(
    isa: Isa,
    shape: &ConvBlockShape,
    mean: &[f32],
    p: &[f32],
    dp: &[f32],
    workspace: &mut Workspace,
    sums: &mut [f64],
) {
    let c = mean.len();
    assert!(
        p.len() == shape.p_len() && dp.len() == p.len() && c == shape.conv.oc && sums.len() == 2 * c,
        "p, dp and sums: {shape:?}"
    );
    let (n, image, width) = (shape.conv.n, p.len() / shape.conv.n, shape.pw());
    let partials = sized(&mut workspace.sums, n * 2 * c);
    each_task(0..n, [], partials, &|task| ([], task * 2 * c), &|task, [], partial| {
        partial.fill(0.0);
        let at = task * image..(task + 1) * image;
        scratch::with(2 * c, |row_sums| {
            add_gradient_sums(isa, mean, width, &p[at.clone()], &dp[at], partial, row_sums);
        });
    });
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = partials.chunks_exact(2 * c).map(|partial| partial[i]).sum();
    }
}
