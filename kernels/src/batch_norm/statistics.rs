//! Mean and variance in one pass over memory.

use super::{Others, SUMS, Workspace, block, chunk, fold, of_all_parts, of_all_parts_len, stripe, zeros};
use crate::scratch;
use crate::simd::{Isa, Kernel, Simd, map};
use rayon::prelude::*;

/// `mean = sum(x) / m` and `variance = sum((x - mean)^2) / m` of each channel: the biased variance, and
/// both of all parts where `x` is a part of a batch.
///
/// # Shapes
/// `x`: `[m, c]`, f32; `mean`, `variance`: `[c]`, f32, overwritten
/// # Accuracy
/// `mean` within 1e-7 of the largest magnitude, `variance` within 1e-5 of itself, whatever the
/// mean; of several parts, `variance` within 1e-15 of the square of the mean, too. The same bits for
/// any number of threads. Reads `x` once.
/// # Panics
/// If the lengths differ, if that of `x` is not a multiple of them, or if `x` is empty.
/// # Source
/// Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance: the corrected
/// two-pass algorithm in a block, the pairwise formula between blocks.
pub fn statistics(
    isa: Isa,
    x: &[f32],
    others: Others,
    mean: &mut [f32],
    variance: &mut [f32],
    workspace: &mut Workspace,
) {
    let c = mean.len();
    assert_eq!(c, variance.len(), "mean and variance");
    assert!(c > 0 && !x.is_empty() && x.len().is_multiple_of(c), "{} values of {c} channels", x.len());
    // Per chunk: means, squares about them, and room for the sums of a block.
    let of_all = of_all_parts_len(c);
    let (sums, partials) =
        zeros(&mut workspace.sums, of_all + x.len().div_ceil(chunk(c)) * SUMS * c).split_at_mut(of_all);
    x.par_chunks(chunk(c)).zip(partials.par_chunks_mut(SUMS * c)).for_each(|(x, partial)| {
        scratch::with(3 * stripe(c), |scratch| isa.run(ChunkStatistics { c, x, scratch, partial }));
    });
    let (first, rest) = partials.split_at_mut(SUMS * c);
    let (means, squares) = first[..2 * c].split_at_mut(c);
    let mut count = chunk(c).min(x.len()) / c;
    for (x, partial) in x.chunks(chunk(c)).skip(1).zip(rest.chunks_exact(SUMS * c)) {
        for i in 0..c {
            merge((&mut means[i], &mut squares[i], count), (partial[i], partial[c + i], x.len() / c));
        }
        count += x.len() / c;
    }
    if others.is_some() {
        for i in 0..c {
            sums[1 + i] = means[i] * count as f64;
            sums[1 + c + i] = squares[i] + means[i] * means[i] * count as f64;
        }
        let (m, sums) = of_all_parts(others, count, sums);
        for i in 0..c {
            means[i] = sums[i] / m;
            squares[i] = (sums[c + i] / m - means[i] * means[i]).max(0.0) * count as f64;
        }
    }
    for i in 0..c {
        mean[i] = means[i] as f32;
        variance[i] = (squares[i] / count as f64) as f32;
    }
}

/// Adds a second group of values to the first; a group is its mean, the sum of squares about it,
/// and its size.
#[inline(always)]
fn merge((mean, squares, count): (&mut f64, &mut f64, usize), (other_mean, other_squares, more): (f64, f64, usize)) {
    let share = more as f64 / (count + more) as f64;
    let difference = other_mean - *mean;
    *mean += difference * share;
    *squares += other_squares + difference * difference * count as f64 * share;
}

struct ChunkStatistics<'a> {
    c: usize,
    x: &'a [f32],
    /// Three stripes.
    scratch: &'a mut [f32],
    /// Means, squares about them, and two sums of a block, of `c` channels each.
    partial: &'a mut [f64],
}

impl Kernel for ChunkStatistics<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { c, x, scratch, partial } = self;
        let stripe = stripe(c);
        let (shift, sums) = scratch.split_at_mut(stripe);
        let (sum, square) = sums.split_at_mut(stripe);
        let (groups, of_block) = partial.split_at_mut(2 * c);
        let (means, squares) = groups.split_at_mut(c);
        let (block_sum, block_square) = of_block.split_at_mut(c);
        let mut count = 0;
        for x in x.chunks(block(c)) {
            let pixels = x.len() / c;
            // The block's mean, but for rounding, in every pixel of a stripe.
            sum.fill(0.0);
            for x in x.chunks(stripe) {
                map(
                    s,
                    [x],
                    [&mut sum[..x.len()]],
                    #[inline(always)]
                    |[x], [sum]| [s.add(sum, x)],
                );
            }
            block_sum.fill(0.0);
            fold(sum, block_sum);
            for shift in shift.chunks_exact_mut(c) {
                for (shift, sum) in shift.iter_mut().zip(&*block_sum) {
                    *shift = (sum / pixels as f64) as f32;
                }
            }
            // Differences from it, and their squares.
            sum.fill(0.0);
            square.fill(0.0);
            for x in x.chunks(stripe) {
                map(
                    s,
                    [x, &shift[..x.len()]],
                    [&mut sum[..x.len()], &mut square[..x.len()]],
                    #[inline(always)]
                    |[x, shift], [sum, square]| {
                        let d = s.sub(x, shift);
                        [s.add(sum, d), s.mul_add(d, d, square)]
                    },
                );
            }
            block_sum.fill(0.0);
            block_square.fill(0.0);
            fold(sum, block_sum);
            fold(square, block_square);
            for i in 0..c {
                // The differences' own mean is what rounding left.
                let rest = block_sum[i] / pixels as f64;
                let about_mean = (block_square[i] - block_sum[i] * rest).max(0.0);
                let block = (f64::from(shift[i]) + rest, about_mean, pixels);
                merge((&mut means[i], &mut squares[i], count), block);
            }
            count += pixels;
        }
    }
}
