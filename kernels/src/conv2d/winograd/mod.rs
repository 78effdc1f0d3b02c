//! 3x3 convolutions by minimal filtering (Winograd): fewer multiplications than the direct sum has.
//!
//! `F(MxM, 3x3)` computes a tile of `M x M` outputs from a tile `d` of `N x N` inputs, `N = M + 2`,
//! and a kernel `g`:
//!
//! `Y = A^T [ (G g G^T) * (B^T d B) ] A`, where `*` multiplies value by value: `N^2` multiplications
//! for outputs that the direct sum needs `9 M^2` for.
//!
//! | | outputs of a tile | points | multiplications of the direct sum |
//! |---|--:|--:|--:|
//! | `F(2x2, 3x3)` | 4 | 16 | 36 |
//! | `F(4x4, 3x3)` | 16 | 36 | 144 |
//!
//! A weight gradient is the correlation of the inputs with `dy`, tile by tile: `F(3x3, MxM)`, with
//! the same points, the same `B^T` and as many multiplications.
//!
//! Sums over channels, or over tiles, can be taken before `A` is applied. So for each of the `N^2`
//! points there is one matrix product, and the transformations, which are additions and a few
//! multiplications, cost little where there are channels enough to share them:
//!
//! - [`tiles`]: correlations (forward and input gradient); per point, tiles by input channels times
//!   input channels by output channels;
//! - [`gradient`]: weight gradients; per point, input channels by tiles times tiles by output
//!   channels;
//! - [`weights`]: the transformed weights of correlations;
//! - [`transform`]: the transformations of all three.
//!
//! # Accuracy
//! The transformations round, but the sums are shorter. With random operands the error of
//! `F(2x2, 3x3)` is no larger than that of the direct sum, that of `F(4x4, 3x3)` about twice as
//! large (root mean square, as a share of the sum of the terms' magnitudes: 5e-8 from 64 channels).
//! A value that is infinite makes NaN of all outputs of its tiles.
//!
//! # bf16
//! With `BF16`, the transformed values are rounded to bf16 once they are transformed, pairs of them
//! lie in 32 bits, and an FMA of a pair takes the place of two: pairs of input channels, or of tiles.
//! Transformations and sums stay f32. The root mean square error is about 2e-3 of the sum of the
//! terms' magnitudes.
//!
//! # Source
//! Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks",
//! <https://arxiv.org/abs/1509.09308>, section 4.

mod gradient;
mod tiles;
mod transform;
mod weights;

pub(super) use gradient::{GradientTiles, gradient_tile, gradient_workspace_len};
pub(super) use tiles::{Tiles, group, images_at_once, rows_at_once, tiles, workspace_len};
pub(super) use weights::{transform_weights, u_len};

use crate::precision::Precision;
use crate::simd::{MAX_LANES, Pairs, Simd};

/// Channels that lie together in all transformed values: with a constant distance between tiles, one
/// register addresses them all.
const CHANNELS: usize = MAX_LANES;

/// The most points of a transformed tile.
pub(super) const MOST_POINTS: usize = 36;

/// Whether every instruction set has whole vectors of these channels.
pub(super) fn fits_channels([ic, oc]: [usize; 2]) -> bool {
    ic.is_multiple_of(CHANNELS) && oc.is_multiple_of(CHANNELS)
}

/// The precision of kernels.
const fn precision(bf16: bool) -> Precision {
    if bf16 { Precision::Bf16 } else { Precision::F32 }
}

/// What so many values are in words of 32 bits.
const fn words(bf16: bool, values: usize) -> usize {
    if bf16 { values / 2 } else { values }
}

/// `acc + a * b`: of values, or of pairs of bf16.
#[inline(always)]
fn mul_add<S: Simd, const BF16: bool>(s: S, a: S::F32, b: S::F32, acc: S::F32) -> S::F32 {
    if BF16 { s.dot_pairs(Pairs(a), Pairs(b), acc) } else { s.mul_add(a, b, acc) }
}

/// Writes a value; with `BF16`, as one of a pair: the first one leaves its place to the second, which
/// rounds both.
///
/// # Safety
/// `to` is valid for writes of `LANES` values, and for reads of the first one's.
#[inline(always)]
unsafe fn store_one_of_pair<S: Simd, const BF16: bool>(s: S, to: *mut f32, value: S::F32, is_second: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        let value = if BF16 && is_second { s.pairs(s.load_ptr(to), value).0 } else { value };
        s.store_ptr(to, value);
    }
}
