//! 3x3 correlations by Winograd's minimal filtering, F(2x2, 3x3): 16 multiplications for 2 x 2
//! outputs instead of 36.
//!
//! A tile of 4 x 4 inputs `d` and a kernel `g` give a tile of 2 x 2 outputs
//!
//! `Y = A^T [ (G g G^T) * (B^T d B) ] A`, where `*` multiplies value by value, and
//!
//! ```text
//!       | 1  0 -1  0 |        | 1    0    0  |
//! B^T = | 0  1  1  0 |    G = | 1/2  1/2 1/2 |    A^T = | 1  1  1  0 |
//!       | 0 -1  1  0 |        | 1/2 -1/2 1/2 |          | 0  1 -1 -1 |
//!       | 0  1  0 -1 |        | 0    0    1  |
//! ```
//!
//! The sum over the input channels can be taken before `A` is applied. So for each of the 16
//! positions of a tile there is one matrix product, tiles by input channels times input channels by
//! output channels, and the transformations, which are additions, cost little where there are
//! channels enough to share them.
//!
//! # Passes
//! A group is the tiles that registers hold. One group at a time, so that all of it stays near:
//! 1. [`transform_inputs`](Tiles::transform_inputs): `V = B^T d B`, vectors of input channels, into
//!    `v`, `[ic/16][16][group][16]`;
//! 2. [`multiply`](Tiles::multiply): `M = V U` for each position, into `m`,
//!    `[oc/16][16][group][16]`;
//! 3. [`transform_outputs`](Tiles::transform_outputs): `A^T M A`, bias and ReLU.
//!
//! Each group reads all of `U`. From 128 to 256 channels that is 2 MB, which no longer comes from
//! the L2 cache and takes longer to come than to be multiplied: there, many groups go through a
//! pass together ([`chunk`]), and a part of `U` meets all of them while it is near.
//!
//! # Accuracy
//! The transformations round, but the sums are nine times shorter: with random operands the error
//! is no larger than that of the direct sum (root mean square, as a share of the sum of the terms'
//! magnitudes: 1.5e-8 from 16 to 32 channels, where a direct sum from 16 to 16 has 2.4e-8). A value
//! that is infinite makes NaN of the up to four outputs of its tile.
//!
//! # Source
//! Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks",
//! <https://arxiv.org/abs/1509.09308>, section 4.1.

use super::tap_tile::{each, narrowest_cover};
use crate::simd::{Ahead, Kernel, MAX_LANES, Simd};
use rayon::prelude::*;

/// Values of a transformed tile.
pub(super) const POINTS: usize = 16;

/// Whether the transformations pay and every instruction set has whole register tiles. The channels
/// on one side share the transformations of the other side; where the output has only 16, they cost
/// what the multiplications save.
pub(super) fn fits(channels: [usize; 2], [oh, ow]: [usize; 2]) -> bool {
    fits_channels(channels) && oh >= 2 && ow >= 2
}

/// Whether the channels allow it.
pub(super) fn fits_channels([ic, oc]: [usize; 2]) -> bool {
    ic.is_multiple_of(MAX_LANES) && oc.is_multiple_of(2 * MAX_LANES)
}

/// `U = G g G^T`, `[oc/16][16][ic][16]`; `g(u, v, i, o)` is the weight of a tap from an input to an
/// output channel.
pub(super) fn transform_weights(
    ic: usize,
    oc: usize,
    g: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
    u: &mut [f32],
) {
    assert_eq!(u.len(), POINTS * ic * oc);
    let along = |g: [[f32; CHANNELS]; 3]| {
        let even: [f32; CHANNELS] = std::array::from_fn(|o| 0.5 * (g[0][o] + g[2][o]));
        let odd: [f32; CHANNELS] = std::array::from_fn(|o| 0.5 * g[1][o]);
        [g[0], std::array::from_fn(|o| even[o] + odd[o]), std::array::from_fn(|o| even[o] - odd[o]), g[2]]
    };
    u.par_chunks_exact_mut(POINTS * ic * CHANNELS).enumerate().for_each(|(block, u)| {
        for i in 0..ic {
            let tap = |u, v| std::array::from_fn(|o| g(u, v, i, block * CHANNELS + o));
            let columns: [[[f32; CHANNELS]; 4]; 3] = std::array::from_fn(|v| along([tap(0, v), tap(1, v), tap(2, v)]));
            for row in 0..4 {
                let points = along([columns[0][row], columns[1][row], columns[2][row]]);
                for (column, point) in points.iter().enumerate() {
                    u[((row * 4 + column) * ic + i) * CHANNELS..][..CHANNELS].copy_from_slice(point);
                }
            }
        }
    });
}

/// Output rows of a 3x3 correlation with stride 1 over rows that have all the zeros they need.
pub(super) struct Tiles<'a, 'b> {
    /// `rows + 2` rows, `x_row` values from one to the next, pixels of `ic` channels.
    pub x: &'a [f32],
    pub x_row: usize,
    pub ic: usize,
    /// `[oc/16][16][ic][16]`.
    pub u: &'a [f32],
    /// `[oc]`.
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
    /// `[rows][width][oc]`, overwritten.
    pub y: &'a mut [f32],
    pub rows: usize,
    pub width: usize,
    pub oc: usize,
    /// Workspace of [`workspace_len`] values.
    pub workspace: &'a mut [f32],
    /// What the caller will read next.
    pub ahead: &'a mut Ahead<'b>,
}

/// Channels that lie together in `v`, `u` and `m`: with a constant distance between tiles, one
/// register addresses them all.
const CHANNELS: usize = MAX_LANES;

/// Cache lines of what lies ahead that are prefetched with each point.
const LINES: usize = 4;

/// The most tiles of a group.
const GROUP: usize = 12;

/// The most tiles that go through a pass together: one group, unless `U` is too large to stay in an
/// L2 cache of 2 MB beside everything else; then as many as let `v` and `m` stay there.
fn chunk(ic: usize, oc: usize) -> usize {
    const FEW_WEIGHTS: usize = 128 << 10;
    const V_AND_M: usize = 192 << 10;
    if POINTS * ic * oc <= FEW_WEIGHTS { GROUP } else { (V_AND_M / (POINTS * (ic + oc))).max(GROUP) }
}

/// The number of output rows that are best computed at once: a row of tiles, so that the next
/// operation finds its outputs in a cache, or more where the tiles of several rows share a pass.
pub(super) fn rows_at_once(ic: usize, oc: usize) -> usize {
    if chunk(ic, oc) == GROUP { 2 } else { 16 }
}

pub(super) fn workspace_len(ic: usize, oc: usize) -> usize {
    POINTS * chunk(ic, oc) * (ic + oc)
}

/// The first of a tile's output rows and columns.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    row: usize,
    column: usize,
}

impl Kernel for Tiles<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Self { ic, rows, width, oc, .. } = self;
        const { assert!(S::LANES <= CHANNELS) };
        assert!(ic.is_multiple_of(CHANNELS) && oc.is_multiple_of(2 * CHANNELS) && rows > 0 && width >= 2);
        assert!(self.x.len() >= (rows + 1) * self.x_row + (width + 2) * ic, "x has the rows under the windows");
        assert_eq!(self.u.len(), POINTS * ic * oc);
        assert!(self.bias.is_none_or(|bias| bias.len() == oc));
        assert_eq!(self.y.len(), rows * width * oc);
        assert_eq!(self.workspace.len(), workspace_len(ic, oc));
        match (S::REGISTERS, group(S::REGISTERS, S::LANES, oc, self.tiles())) {
            (32, [6, 4]) => self.each_chunk::<S, 6, 4>(s),
            (32, [5, 4]) => self.each_chunk::<S, 5, 4>(s),
            (32, [_, 4]) => self.each_chunk::<S, 4, 4>(s),
            (32, [12, _]) => self.each_chunk::<S, 12, 2>(s),
            (32, [11, _]) => self.each_chunk::<S, 11, 2>(s),
            (32, [10, _]) => self.each_chunk::<S, 10, 2>(s),
            (32, [9, _]) => self.each_chunk::<S, 9, 2>(s),
            (32, [8, _]) => self.each_chunk::<S, 8, 2>(s),
            (16, [6, _]) => self.each_chunk::<S, 6, 2>(s),
            (16, [5, _]) => self.each_chunk::<S, 5, 2>(s),
            (16, [4, _]) => self.each_chunk::<S, 4, 2>(s),
            _ => self.each_chunk::<S, 1, 2>(s),
        }
    }
}

/// The group for so many tiles: its tiles, and the vectors of output channels that are multiplied
/// at once. Where there are few tiles, what the last group computes twice counts.
#[inline(always)]
pub(super) fn group(registers: usize, lanes: usize, oc: usize, tiles: usize) -> [usize; 2] {
    const MANY: usize = 24;
    match (registers, oc.is_multiple_of(4 * lanes), tiles) {
        (32, true, MANY..) => [6, 4],
        (32, false, MANY..) => [12, 2],
        (16, _, MANY..) => [6, 2],
        (32, true, 4..) => [narrowest_cover(tiles, [6, 5, 4]), 4],
        (32, false, 8..) => [narrowest_cover(tiles, [12, 11, 10, 9, 8]), 2],
        (16, _, 4..) => [narrowest_cover(tiles, [6, 5, 4]), 2],
        _ => [1, 2],
    }
}

/// Tiles of so many output rows and pixels.
pub(super) fn tiles(rows: usize, width: usize) -> usize {
    rows.div_ceil(2) * width.div_ceil(2)
}

impl Tiles<'_, '_> {
    /// The number of tiles in all rows.
    fn tiles(&self) -> usize {
        tiles(self.rows, self.width)
    }

    /// The last tile of an odd row lies over the one before; one of an odd last row has one row of
    /// outputs.
    #[inline(always)]
    fn place(&self, tile: usize) -> Place {
        let in_row = self.width.div_ceil(2);
        Place { row: tile / in_row * 2, column: (tile % in_row * 2).min(self.width - 2) }
    }

    /// All chunks, in groups of `T` tiles; the last group may lie over the one before and store the
    /// same again.
    #[inline(always)]
    fn each_chunk<S: Simd, const T: usize, const V: usize>(&mut self, s: S) {
        let (tiles, most) = (self.tiles(), chunk(self.ic, self.oc) / T);
        let mut first = 0;
        while first < tiles {
            let groups = most.min((tiles - first).div_ceil(T));
            let of_group = |group: usize| (first + group * T).min(tiles - T);
            // SAFETY: of_group + T <= tiles, groups * T <= chunk.
            unsafe {
                for group in 0..groups {
                    self.transform_inputs::<S, T>(s, of_group(group), group);
                }
                self.multiply::<S, T, V>(s, groups);
                for group in 0..groups {
                    self.transform_outputs::<S, T>(s, of_group(group), group);
                }
            }
            first += groups * T;
        }
    }

    /// `V = B^T d B` for the tiles from `first` on, as a group of `v`.
    ///
    /// # Safety
    /// `first + T <= tiles`, `(group + 1) * T <= chunk`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn transform_inputs<S: Simd, const T: usize>(&mut self, s: S, first: usize, group: usize) {
        let Self { ic, x_row, rows, .. } = *self;
        let places: [Place; T] = std::array::from_fn(|k| self.place(first + k));
        for i in (0..ic).step_by(S::LANES) {
            // SAFETY: rows below rows + 2, columns below width + 2, channels below ic; `v` holds 16
            // * chunk * ic values.
            unsafe {
                let mut v =
                    self.workspace.as_mut_ptr().add((group * ic + i / CHANNELS * CHANNELS) * POINTS * T + i % CHANNELS);
                let mut t = [[s.zero(); 4]; 4];
                let mut next = Place { row: usize::MAX, column: 0 };
                for place in places {
                    let x = self.x.as_ptr().add(place.row * x_row + place.column * ic + i);
                    // The fourth row has part in the second output row alone.
                    let below = if place.row + 1 < rows { 3 } else { 2 };
                    let rows = [x, x.add(x_row), x.add(2 * x_row), x.add(below * x_row)];
                    // B^T by a column of d.
                    let column = |c: usize| {
                        let d = [
                            s.load_ptr(rows[0].add(c * ic)),
                            s.load_ptr(rows[1].add(c * ic)),
                            s.load_ptr(rows[2].add(c * ic)),
                            s.load_ptr(rows[3].add(c * ic)),
                        ];
                        [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
                    };
                    // Two columns are those of the tile before, unless this one lies elsewhere.
                    [t[0], t[1]] = if place == next { [t[2], t[3]] } else { [column(0), column(1)] };
                    [t[2], t[3]] = [column(2), column(3)];
                    next = Place { column: place.column + 2, ..place };
                    each!(r in [0 1 2 3] if true => {
                        let t = [t[0][r], t[1][r], t[2][r], t[3][r]];
                        let points = [s.sub(t[0], t[2]), s.add(t[1], t[2]), s.sub(t[2], t[1]), s.sub(t[1], t[3])];
                        each!(c in [0 1 2 3] if true => {
                            s.store_ptr(v.add((r * 4 + c) * T * CHANNELS), points[c]);
                        });
                    });
                    v = v.wrapping_add(CHANNELS);
                }
            }
        }
    }

    /// `M = V U` for each of the points.
    ///
    /// # Safety
    /// `groups * T <= chunk`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const T: usize, const V: usize>(&mut self, s: S, groups: usize) {
        const { assert!(T <= GROUP && V <= 4) };
        let Self { ic, oc, .. } = *self;
        let (v, m) = self.workspace.split_at_mut(POINTS * chunk(ic, oc) * ic);
        for point in 0..POINTS {
            self.ahead.prefetch(s, LINES);
            for o in (0..oc).step_by(V * S::LANES) {
                for group in 0..groups {
                    // SAFETY: the sizes of v, u and m.
                    unsafe {
                        let mut v = v.as_ptr().add((group * ic * POINTS + point * CHANNELS) * T);
                        // The channels of a vector begin at o + k * LANES.
                        let of = |o: usize| (o / CHANNELS * POINTS + point) * ic * CHANNELS + o % CHANNELS;
                        let mut u: [*const f32; V] = std::array::from_fn(|k| self.u.as_ptr().add(of(o + k * S::LANES)));
                        let mut acc = [[s.zero(); V]; T];
                        for _ in 0..ic / CHANNELS {
                            for i in 0..CHANNELS {
                                let mut b = [s.zero(); V];
                                each!(k in [0 1 2 3] if k < V => { b[k] = s.load_ptr(u[k].add(i * CHANNELS)); });
                                each!(t in [0 1 2 3 4 5 6 7 8 9 10 11] if t < T => {
                                    let a = s.splat(*v.add(t * CHANNELS + i));
                                    each!(k in [0 1 2 3] if k < V => { acc[t][k] = s.mul_add(a, b[k], acc[t][k]); });
                                });
                            }
                            each!(k in [0 1 2 3] if k < V => { u[k] = u[k].wrapping_add(CHANNELS * CHANNELS); });
                            v = v.wrapping_add(POINTS * T * CHANNELS);
                        }
                        each!(k in [0 1 2 3] if k < V => {
                            let o = o + k * S::LANES;
                            let at = (group * oc + o / CHANNELS * CHANNELS) * POINTS * T + point * T * CHANNELS + o % CHANNELS;
                            let m = m.as_mut_ptr().add(at);
                            each!(t in [0 1 2 3 4 5 6 7 8 9 10 11] if t < T => {
                                s.store_ptr(m.add(t * CHANNELS), acc[t][k]);
                            });
                        });
                    }
                }
            }
        }
    }

    /// `Y = A^T M A`, bias and ReLU for the tiles from `first` on, a group of `m`.
    ///
    /// # Safety
    /// `first + T <= tiles`, `(group + 1) * T <= chunk`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn transform_outputs<S: Simd, const T: usize>(&mut self, s: S, first: usize, group: usize) {
        let Self { ic, oc, rows, width, .. } = *self;
        let places: [Place; T] = std::array::from_fn(|k| self.place(first + k));
        let m = &self.workspace[POINTS * chunk(ic, oc) * ic..];
        for o in (0..oc).step_by(S::LANES) {
            let bias = self.bias.map_or(s.zero(), |bias| s.load(&bias[o..]));
            // SAFETY: `m` holds 16 * chunk * oc values; rows below rows, columns below width,
            // channels below oc of y.
            unsafe {
                let mut m = m.as_ptr().add((group * oc + o / CHANNELS * CHANNELS) * POINTS * T + o % CHANNELS);
                for place in places {
                    let y = self.y.as_mut_ptr().add((place.row * width + place.column) * oc + o);
                    let point = |r: usize, c: usize| s.load_ptr(m.add((r * 4 + c) * T * CHANNELS));
                    // A^T by a column of M.
                    let column = |c: usize| {
                        let m = [point(0, c), point(1, c), point(2, c), point(3, c)];
                        [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
                    };
                    let t = [column(0), column(1), column(2), column(3)];
                    each!(r in [0 1] if place.row + r < rows => {
                        let pair = [
                            s.add(s.add(t[0][r], t[1][r]), t[2][r]),
                            s.sub(s.sub(t[1][r], t[2][r]), t[3][r]),
                        ];
                        each!(c in [0 1] if true => {
                            let value = s.add(pair[c], bias);
                            // `max` gives its second operand where one is NaN: a NaN is not hidden.
                            let value = if self.relu { s.max(s.zero(), value) } else { value };
                            s.store_ptr(y.add((r * width + c) * oc), value);
                        });
                    });
                    m = m.add(CHANNELS);
                }
            }
        }
    }
}
