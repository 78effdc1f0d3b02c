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
//! - [`transform`]: the transformations of both.
//!
//! # Accuracy
//! The transformations round, but the sums are shorter. With random operands the error of
//! `F(2x2, 3x3)` is no larger than that of the direct sum, that of `F(4x4, 3x3)` about twice as
//! large (root mean square, as a share of the sum of the terms' magnitudes: 5e-8 from 64 channels).
//! A value that is infinite makes NaN of all outputs of its tiles.
//!
//! # Source
//! Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks",
//! <https://arxiv.org/abs/1509.09308>, section 4.

mod gradient;
mod tiles;
mod transform;

pub(super) use gradient::{GradientTiles, gradient_tile, gradient_workspace_len};
pub(super) use tiles::{Tiles, group, rows_at_once, tiles, transform_weights, u_len, workspace_len};

use crate::simd::MAX_LANES;

/// Channels that lie together in all transformed values: with a constant distance between tiles, one
/// register addresses them all.
const CHANNELS: usize = MAX_LANES;

/// The most points of a transformed tile.
pub(super) const MOST_POINTS: usize = 36;

/// Whether every instruction set has whole vectors of these channels.
pub(super) fn fits_channels([ic, oc]: [usize; 2]) -> bool {
    ic.is_multiple_of(CHANNELS) && oc.is_multiple_of(CHANNELS)
}
