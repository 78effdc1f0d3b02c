//! Convolutions in products of blocks, as [matrix units](crate::matrix) make them.
//!
//! Rows of the image, their pixels one after the other, are a matrix of pixels by channels, and the
//! im2col matrix of a kernel row is that matrix with overlapping rows (see the [module](super)). So a
//! correlation takes its blocks of A from the rows as they lie, rounded to bf16. It runs over all
//! pixels of its rows, those under no whole window included: what they give is not stored.
//!
//! A weight gradient sums over pixels, and pairs of what is summed over lie together: the rows are
//! transposed, pixels side by side, and `dy` is laid out with as many pixels to a row as `x` has, zeros
//! where no window begins. A window's tap is then a distance in pixels, the same for all of them.
//!
//! # Accuracy
//! Operands of 8 bits, sums of f32: the root mean square error is about 2e-3 of the sum of the terms'
//! magnitudes.

mod correlation;
mod gradient;
mod pack;
mod weights;

pub(super) use correlation::{Blocks, correlation_len, rows_at_once};
pub(super) use gradient::{BlockGradients, gradient_len};
pub(super) use weights::{arrange_backward_x, arrange_forward, arranged_len};

use crate::matrix::{DEPTH, SIDE, Step};

/// Whether there are products of blocks for so many inputs to a kernel row and so many outputs: inputs
/// in whole blocks, or a kernel row that fits into one.
pub(super) fn fits(kw: usize, ic: usize, oc: usize) -> bool {
    oc.is_multiple_of(SIDE) && (ic.is_multiple_of(SIDE) || kw * ic <= SIDE)
}

/// The same for an input gradient, of whole blocks alone: images need none.
pub(super) fn fits_backward_x(ic: usize, oc: usize) -> bool {
    ic.is_multiple_of(SIDE) && oc.is_multiple_of(SIDE)
}

/// Values of f32 in whose place so many steps lie.
fn steps_len(steps: usize) -> usize {
    (steps * size_of::<Step>() / size_of::<f32>()).next_multiple_of(SIDE)
}

/// The depth of a block, and the blocks that it takes for the inputs of a kernel row.
fn depth(kw: usize, ic: usize) -> [usize; 2] {
    let inputs = kw * ic;
    let divides = |&depth: &usize| inputs.is_multiple_of(depth);
    match (2..=DEPTH).rev().step_by(2).find(divides) {
        Some(depth) if ic.is_multiple_of(SIDE) => [depth, inputs / depth],
        // A kernel row in one block; where its inputs are odd, with a weight of 0 for the next one.
        _ => [inputs.next_multiple_of(2), 1],
    }
}
