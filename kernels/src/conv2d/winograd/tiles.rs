//! 3x3 correlations, `F(MxM, 3x3)`.
//!
//! # Passes
//! A group is the tiles that registers hold. One group at a time, so that all of it stays near:
//! 1. [`transform_inputs`](Tiles::transform_inputs): `V = B^T d B`, vectors of input channels, into
//!    `v`, `[ic/16][N*N][places][16]`, where a group has as many places as tiles, or a few more;
//! 2. [`multiply`](Tiles::multiply): `M = V U` for each point, into `m`, `[oc/16][N*N][places][16]`;
//! 3. [`transform_outputs`](Tiles::transform_outputs): `A^T M A`, bias and ReLU.
//!
//! Each group reads all of `U`. From 128 to 256 channels that is 2 MB for `F(2x2, 3x3)`, which no
//! longer comes from the L2 cache and takes longer to come than to be multiplied: there, many groups
//! go through a pass together ([`chunk`]), and a part of `U` meets all of them while it is near. Where
//! an image has few tiles, those of several images make up a group, and the groups of a pass
//! ([`images_at_once`]).

use super::transform::{both_ways, combine, data, output};
use super::weights::{u_len, u_point};
use super::{CHANNELS, MOST_POINTS, fits_channels, mul_add, precision, words};
use crate::conv2d::Windows;
use crate::conv2d::tap_tile::{each, narrowest_cover};
use crate::precision::Precision;
use crate::simd::{Ahead, Kernel, Simd};
use std::ops::Range;

/// Output rows of a 3x3 correlation with stride 1 over rows that have all the zeros they need, in
/// tiles of `N - 2` by `N - 2`.
pub(in super::super) struct Tiles<'a, 'b, const N: usize, const BF16: bool> {
    /// `rows + 2` rows of each image, pixels of `ic` channels.
    pub x: Windows<'a>,
    pub ic: usize,
    /// `[oc/16][N*N][ic|1][16]`.
    pub u: &'a [f32],
    /// `[oc]`.
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
    /// `[images][rows][width][oc]`, overwritten.
    pub y: &'a mut [f32],
    /// Output rows of each image.
    pub rows: usize,
    pub width: usize,
    pub oc: usize,
    /// Workspace of [`workspace_len`] values.
    pub workspace: &'a mut [f32],
    /// What the caller will read next.
    pub ahead: &'a mut Ahead<'b>,
}

/// Cache lines of what lies ahead that are prefetched with each point.
const LINES: usize = 4;

/// The most tiles of a group.
const GROUP: usize = 16;

/// The most tiles that go through a pass together: one group, unless `U` is too large to stay in an
/// L2 cache of 2 MB beside everything else; then as many as let `v` and `m` stay there.
fn chunk(n: usize, ic: usize, oc: usize) -> usize {
    const FEW_WEIGHTS: usize = 128 << 10;
    const V_AND_M: usize = 192 << 10;
    if n * n * ic * oc <= FEW_WEIGHTS { GROUP } else { (V_AND_M / (n * n * (ic + oc))).max(GROUP) }
}

/// Places for the tiles of a chunk, of which it may have a few more: five tiles have six, nine have
/// twelve.
fn places(n: usize, ic: usize, oc: usize) -> usize {
    let tiles = chunk(n, ic, oc);
    (tiles / 5 * 6).max(tiles / 9 * 12)
}

/// The number of output rows that are best computed at once, for `n` inputs to a tile's side: a row
/// of tiles, so that the next operation finds its outputs in a cache, or more where a row of tiles
/// does not fill a group, or where the tiles of several rows share a pass.
pub(in super::super) fn rows_at_once(n: usize, width: usize, ic: usize, oc: usize) -> usize {
    const MOST: usize = 16;
    let side = n - 2;
    if chunk(n, ic, oc) > GROUP { MOST } else { (GROUP.div_ceil(width.div_ceil(side)) * side).min(MOST) }
}

/// The images of so many output rows that are best computed at once: as many as fill a chunk, where
/// [all of their rows](rows_at_once) are.
pub(in super::super) fn images_at_once(n: usize, rows: usize, width: usize, ic: usize, oc: usize) -> usize {
    match rows <= rows_at_once(n, width, ic, oc) {
        true => (chunk(n, ic, oc) / tiles(n - 2, rows, width)).max(1),
        false => 1,
    }
}

pub(in super::super) fn workspace_len(n: usize, ic: usize, oc: usize) -> usize {
    n * n * places(n, ic, oc) * (ic + oc)
}

/// A tile's image, and the first of its output rows and columns.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    row: usize,
    column: usize,
}

impl<const N: usize, const BF16: bool> Kernel for Tiles<'_, '_, N, BF16> {
    type Output = ();
    const PRECISION: Precision = precision(BF16);

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Self { ic, rows, width, oc, .. } = self;
        const { assert!(S::LANES <= CHANNELS && N * N <= MOST_POINTS) };
        let Windows { values, row, image, images } = self.x;
        assert!(fits_channels([ic, oc]) && images > 0 && rows > 0 && width >= N - 2);
        let of_last = (rows + 1) * row + (width + 2) * ic;
        assert!(values.len() >= (images - 1) * image + of_last, "x has the rows under the windows");
        assert_eq!(self.u.len(), u_len(BF16, N, ic, oc));
        assert!(self.bias.is_none_or(|bias| bias.len() == oc));
        assert_eq!(self.y.len(), images * rows * width * oc);
        assert_eq!(self.workspace.len(), workspace_len(N, ic, oc));
        match (S::REGISTERS, group(S::REGISTERS, S::LANES, oc, self.tiles())) {
            (32, [t @ ..=4, 4]) => self.each_chunk::<S, 4, 4>(s, t),
            (32, [t, 4]) => self.each_chunk::<S, 6, 4>(s, t),
            (32, [8, 2]) => self.each_chunk::<S, 8, 2>(s, 8),
            (32, [t, 2]) => self.each_chunk::<S, 12, 2>(s, t),
            (32, [16, _]) => self.each_chunk::<S, 16, 1>(s, 16),
            (16, [4, 2]) => self.each_chunk::<S, 4, 2>(s, 4),
            (16, [t, 2]) => self.each_chunk::<S, 6, 2>(s, t),
            _ => self.each_chunk::<S, 1, 1>(s, 1),
        }
    }
}

/// The group for so many tiles: its tiles, so that the last group computes little twice, and the
/// vectors of output channels that are multiplied at once.
#[inline(always)]
pub(in super::super) fn group(registers: usize, lanes: usize, oc: usize, tiles: usize) -> [usize; 2] {
    let vectors = oc / lanes;
    match (registers, tiles) {
        (32, 4..) if vectors.is_multiple_of(4) => [narrowest_cover(tiles, [6, 5, 4]), 4],
        (32, _) if vectors.is_multiple_of(4) => [tiles, 4],
        (32, 8..) if vectors.is_multiple_of(2) => [narrowest_cover(tiles, [12, 11, 10, 9, 8]), 2],
        (32, 16..) => [16, 1],
        (16, 4..) => [narrowest_cover(tiles, [6, 5, 4]), 2],
        _ => [1, 1],
    }
}

/// Tiles of `side` by `side` that cover so many output rows and pixels.
pub(in super::super) fn tiles(side: usize, rows: usize, width: usize) -> usize {
    rows.div_ceil(side) * width.div_ceil(side)
}

impl<const N: usize, const BF16: bool> Tiles<'_, '_, N, BF16> {
    const POINTS: usize = N * N;
    /// Words of 32 bits in a block of channels of `v`.
    const WORDS: usize = words(BF16, CHANNELS);
    /// Outputs to a side of a tile.
    const SIDE: usize = N - 2;

    /// The number of tiles in all images.
    fn tiles(&self) -> usize {
        self.x.images * tiles(Self::SIDE, self.rows, self.width)
    }

    /// The last tile of a row may lie over the one before; one of the last row may have fewer rows
    /// of outputs.
    #[inline(always)]
    fn place(&self, tile: usize) -> Place {
        let (in_row, in_image) = (self.width.div_ceil(Self::SIDE), tiles(Self::SIDE, self.rows, self.width));
        let (image, tile) = (tile / in_image, tile % in_image);
        let column = (tile % in_row * Self::SIDE).min(self.width - Self::SIDE);
        Place { image, row: tile / in_row * Self::SIDE, column }
    }

    /// All chunks, in groups of so many tiles that have their `PLACES`; the last group may lie over the
    /// one before and store the same again.
    ///
    /// The transformations are long, and what they have to know at compile time is how far the points
    /// lie apart: there is one of each for all groups with these places.
    #[inline(always)]
    fn each_chunk<S: Simd, const PLACES: usize, const V: usize>(&mut self, s: S, of_group: usize) {
        let (tiles, most) = (self.tiles(), chunk(N, self.ic, self.oc) / of_group);
        assert!(of_group <= PLACES && of_group <= tiles, "a group has its places, and lies inside the tiles");
        assert!(self.oc.is_multiple_of(V * S::LANES), "output channels are whole tiles");
        let mut first = 0;
        while first < tiles {
            let groups = most.min((tiles - first).div_ceil(of_group));
            let tiles_of = |group: usize| {
                let first = (first + group * of_group).min(tiles - of_group);
                first..first + of_group
            };
            assert!(groups * PLACES <= places(N, self.ic, self.oc), "all groups have their places");
            // SAFETY: a group ends at the last tile at most, and has places for its tiles, inside the workspace.
            unsafe {
                for group in 0..groups {
                    self.transform_inputs::<S, PLACES>(s, tiles_of(group), group);
                }
                match (PLACES, of_group) {
                    (4, 1) => self.multiply::<S, PLACES, 1, V>(s, groups),
                    (4, 2) => self.multiply::<S, PLACES, 2, V>(s, groups),
                    (4, 3) => self.multiply::<S, PLACES, 3, V>(s, groups),
                    (6, 5) => self.multiply::<S, PLACES, 5, V>(s, groups),
                    (12, 9) => self.multiply::<S, PLACES, 9, V>(s, groups),
                    (12, 10) => self.multiply::<S, PLACES, 10, V>(s, groups),
                    (12, 11) => self.multiply::<S, PLACES, 11, V>(s, groups),
                    (_, full) => {
                        assert_eq!(full, PLACES);
                        self.multiply::<S, PLACES, PLACES, V>(s, groups);
                    }
                }
                for group in 0..groups {
                    self.transform_outputs::<S, PLACES>(s, tiles_of(group), group);
                }
            }
            first += groups * of_group;
        }
    }

    /// `V = B^T d B` for some tiles, as a group of `v`.
    ///
    /// # Safety
    /// There are these tiles, `PLACES` at most, and `(group + 1) * PLACES <= places`; `run` has checked
    /// the slices.
    #[inline(always)]
    unsafe fn transform_inputs<S: Simd, const PLACES: usize>(&mut self, s: S, tiles: Range<usize>, group: usize) {
        let Self { ic, rows, x, .. } = *self;
        for (t, tile) in tiles.enumerate() {
            let place = self.place(tile);
            // Rows below the last have part in outputs that are not stored.
            let row: [usize; N] = std::array::from_fn(|r| (place.row + r).min(rows + 1) * x.row);
            for i in (0..ic).step_by(S::LANES) {
                // SAFETY: images below images, rows below rows + 2, columns below width + 2, channels
                // below ic; `v` holds N * N * places * ic values.
                unsafe {
                    let x = x.values.as_ptr().add(place.image * x.image + place.column * ic + i);
                    let at = (group * ic + i / CHANNELS * CHANNELS) * Self::POINTS * PLACES + i % CHANNELS;
                    let at = at + t * CHANNELS;
                    let v = self.workspace.as_mut_ptr();
                    both_ways::<S, N>(
                        s,
                        N / 2,
                        #[inline(always)]
                        |line, k| data::<S, N>(s, line, k),
                        #[inline(always)]
                        |r, c| s.load_ptr(x.add(row[r] + c * ic)),
                        #[inline(always)]
                        |r, c, value| {
                            let at = at + (r * N + c) * PLACES * CHANNELS;
                            match BF16 {
                                true => s.store_bf16_ptr(v.cast::<u16>().add(at), value),
                                false => s.store_ptr(v.add(at), value),
                            }
                        },
                    );
                }
            }
        }
    }

    /// `M = V U` for each of the points.
    ///
    /// # Safety
    /// `groups * PLACES <= places`, and `T` tiles have their `PLACES`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const PLACES: usize, const T: usize, const V: usize>(&mut self, s: S, groups: usize) {
        const { assert!(PLACES <= GROUP && V <= 4) };
        // Not when it is compiled: an arm for other places is, too, and never taken.
        assert!(T <= PLACES, "a group has its places");
        let Self { ic, oc, .. } = *self;
        let (v, m) = self.workspace.split_at_mut(Self::POINTS * places(N, ic, oc) * ic);
        for point in 0..Self::POINTS {
            self.ahead.prefetch(s, LINES);
            for o in (0..oc).step_by(V * S::LANES) {
                for group in 0..groups {
                    // SAFETY: the sizes of v, u and m.
                    unsafe {
                        let at = (group * ic / CHANNELS * Self::POINTS + point) * PLACES * Self::WORDS;
                        let mut v = v.as_ptr().add(at);
                        // The channels of a vector begin at o + k * LANES.
                        let of = |o: usize| (o / CHANNELS * Self::POINTS + point) * u_point(BF16, ic) + o % CHANNELS;
                        let mut u: [*const f32; V] = std::array::from_fn(|k| self.u.as_ptr().add(of(o + k * S::LANES)));
                        let mut acc = [[s.zero(); V]; T];
                        for _ in 0..ic / CHANNELS {
                            for i in 0..Self::WORDS {
                                let mut b = [s.zero(); V];
                                each!(k in [0 1 2 3] if k < V => { b[k] = s.load_ptr(u[k].add(i * CHANNELS)); });
                                each!(t in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] if t < T => {
                                    let a = s.splat(*v.add(t * Self::WORDS + i));
                                    each!(k in [0 1 2 3] if k < V => { acc[t][k] = mul_add::<S, BF16>(s, a, b[k], acc[t][k]); });
                                });
                            }
                            each!(k in [0 1 2 3] if k < V => { u[k] = u[k].wrapping_add(Self::WORDS * CHANNELS); });
                            v = v.wrapping_add(Self::POINTS * PLACES * Self::WORDS);
                        }
                        each!(k in [0 1 2 3] if k < V => {
                            let o = o + k * S::LANES;
                            let at = (group * oc + o / CHANNELS * CHANNELS) * Self::POINTS + point * CHANNELS;
                            let m = m.as_mut_ptr().add(at * PLACES + o % CHANNELS);
                            each!(t in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] if t < T => {
                                s.store_ptr(m.add(t * CHANNELS), acc[t][k]);
                            });
                        });
                    }
                }
            }
        }
    }

    /// `Y = A^T M A`, bias and ReLU for some tiles, a group of `m`.
    ///
    /// # Safety
    /// As [`transform_inputs`](Self::transform_inputs).
    #[inline(always)]
    unsafe fn transform_outputs<S: Simd, const PLACES: usize>(&mut self, s: S, tiles: Range<usize>, group: usize) {
        let Self { ic, oc, rows, width, relu, .. } = *self;
        let m = &self.workspace[Self::POINTS * places(N, ic, oc) * ic..];
        for (t, tile) in tiles.enumerate() {
            let place = self.place(tile);
            for o in (0..oc).step_by(S::LANES) {
                let bias = self.bias.map_or(s.zero(), |bias| s.load(&bias[o..]));
                // SAFETY: `m` holds N * N * places * oc values; images below images, rows below rows,
                // columns below width, channels below oc of y.
                unsafe {
                    let at = (group * oc + o / CHANNELS * CHANNELS) * Self::POINTS * PLACES + o % CHANNELS;
                    let m = m.as_ptr().add(at + t * CHANNELS);
                    let y = (place.image * rows + place.row) * width + place.column;
                    let y = self.y.as_mut_ptr().add(y * oc + o);
                    both_ways::<S, N>(
                        s,
                        2,
                        #[inline(always)]
                        |line, h| combine::<S, N>(s, line, Self::SIDE, h),
                        #[inline(always)]
                        |r, c| s.load_ptr(m.add((r * N + c) * PLACES * CHANNELS)),
                        #[inline(always)]
                        |r, c, value| {
                            let (r, c) = (output(r), output(c));
                            if c < Self::SIDE && r < Self::SIDE && place.row + r < rows {
                                let value = s.add(value, bias);
                                // `max` gives its second operand where one is NaN: a NaN is not hidden.
                                let value = if relu { s.max(s.zero(), value) } else { value };
                                s.store_ptr(y.add((r * width + c) * oc), value);
                            }
                        },
                    );
                }
            }
        }
    }
}
