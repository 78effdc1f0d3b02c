//! 3x3 correlations by Winograd's minimal filtering, F(2x2, 3x3): 16 multiplications for 2 x 2 outputs instead of 36.
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
//! The sum over the input channels can be taken before `A` is applied. So for each of the 16 positions of a tile there is
//! one matrix product, tiles by input channels times input channels by output channels, and the transformations, which
//! are additions, cost little where there are channels enough to share them.
//!
//! # Passes over two rows of outputs
//! A handful of tiles at a time, so that all of it stays near:
//! 1. [`transform_inputs`](Pair::transform_inputs): `V = B^T d B`, vectors of input channels, into `v`, `[ic/16][16][tiles][16]`;
//! 2. [`multiply`](Pair::multiply): `M = V U` for each position, into `m`, `[oc/16][16][tiles][16]`; a register tile of tiles by
//!    vectors of output channels;
//! 3. [`transform_outputs`](Pair::transform_outputs): `A^T M A`, bias and ReLU.
//!
//! # Accuracy
//! The transformations round, but the sums are nine times shorter: with random operands the error is no larger than that of the direct
//! sum (root mean square, as a share of the sum of the terms' magnitudes: 1.5e-8 from 16 to 32 channels, where a direct
//! sum from 16 to 16 has 2.4e-8). A value that is infinite makes NaN of the up to four outputs of its tile.
//!
//! # Source
//! Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", <https://arxiv.org/abs/1509.09308>, section 4.1.

use super::tile::{each, narrowest_cover};
use crate::simd::{Ahead, Kernel, MAX_LANES, Simd};

/// Values of a transformed tile.
pub(super) const POINTS: usize = 16;

/// Whether the transformations pay and every instruction set has whole register tiles. The channels on one side share the
/// transformations of the other side; where the output has but 16, they cost what the multiplications save.
pub(super) fn has_tile(ic: usize, oc: usize, oh: usize, ow: usize) -> bool {
    ic.is_multiple_of(MAX_LANES) && oc.is_multiple_of(2 * MAX_LANES) && oh >= 2 && ow >= 2
}

/// `U = G g G^T`, `[16][ic][oc]`; `g(u, v, i)` are the weights of a tap and an input channel, `[oc]` of them.
pub(super) fn transform_weights(ic: usize, oc: usize, g: impl Fn(usize, usize, usize, usize) -> f32, u: &mut [f32]) {
    assert_eq!(u.len(), POINTS * ic * oc);
    let along = |g: [f32; 3]| {
        let [even, odd] = [0.5 * (g[0] + g[2]), 0.5 * g[1]];
        [g[0], even + odd, even - odd, g[2]]
    };
    for i in 0..ic {
        for o in 0..oc {
            let columns: [[f32; 4]; 3] = std::array::from_fn(|v| along(std::array::from_fn(|u| g(u, v, i, o))));
            for row in 0..4 {
                let points = along(std::array::from_fn(|v| columns[v][row]));
                for (column, point) in points.into_iter().enumerate() {
                    u[((row * 4 + column) * ic + i) * oc + o] = point;
                }
            }
        }
    }
}

/// One or two output rows of a 3x3 correlation with stride 1 over rows that have all the zeros they need.
pub(super) struct Pair<'a, 'b> {
    /// `rows + 2` rows, `x_row` values from one to the next, pixels of `ic` channels.
    pub x: &'a [f32],
    pub x_row: usize,
    pub ic: usize,
    /// `[16][ic][oc]`.
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

/// Channels that lie together in `v` and `m`: with a constant distance between tiles, one register addresses them all.
const BLOCK: usize = MAX_LANES;

/// Lines of what is ahead that are asked for with a point.
const LINES: usize = 4;

/// The most tiles of a chunk.
const CHUNK: usize = 12;

pub(super) fn workspace_len(ic: usize, oc: usize) -> usize {
    POINTS * CHUNK * (ic + oc)
}

impl Kernel for Pair<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Self { ic, rows, width, oc, .. } = self;
        assert!(
            ic.is_multiple_of(S::LANES) && oc.is_multiple_of(2 * S::LANES) && (1..=2).contains(&rows) && width >= 2
        );
        assert!(self.x.len() >= (rows + 1) * self.x_row + (width + 2) * ic, "x has the rows under the windows");
        assert_eq!(self.u.len(), POINTS * ic * oc);
        assert!(self.bias.is_none_or(|bias| bias.len() == oc));
        assert_eq!(self.y.len(), rows * width * oc);
        assert_eq!(self.workspace.len(), workspace_len(ic, oc));
        let tiles = width.div_ceil(2);
        match (S::REGISTERS, oc.is_multiple_of(4 * S::LANES), tiles) {
            (32, true, 4..) => match narrowest_cover(tiles, [6, 5, 4]) {
                6 => self.each_chunk::<S, 6, 4>(s),
                5 => self.each_chunk::<S, 5, 4>(s),
                _ => self.each_chunk::<S, 4, 4>(s),
            },
            (32, false, 8..) => match narrowest_cover(tiles, [12, 11, 10, 9, 8]) {
                12 => self.each_chunk::<S, 12, 2>(s),
                11 => self.each_chunk::<S, 11, 2>(s),
                10 => self.each_chunk::<S, 10, 2>(s),
                9 => self.each_chunk::<S, 9, 2>(s),
                _ => self.each_chunk::<S, 8, 2>(s),
            },
            (16, _, 4..) => match narrowest_cover(tiles, [6, 5, 4]) {
                6 => self.each_chunk::<S, 6, 2>(s),
                5 => self.each_chunk::<S, 5, 2>(s),
                _ => self.each_chunk::<S, 4, 2>(s),
            },
            _ => self.each_chunk::<S, 1, 2>(s),
        }
    }
}

impl Pair<'_, '_> {
    /// All chunks of `T` tiles; the last may lie over the one before and store the same again.
    #[inline(always)]
    fn each_chunk<S: Simd, const T: usize, const V: usize>(&mut self, s: S) {
        let tiles = self.width.div_ceil(2);
        let mut first = 0;
        while first < tiles {
            first = first.min(tiles - T);
            // SAFETY: first + T <= tiles.
            unsafe {
                self.transform_inputs::<S, T>(s, first);
                self.multiply::<S, T, V>(s);
                self.transform_outputs::<S, T>(s, first);
            }
            first += T;
        }
    }

    /// The first column of a tile; the last tile of an odd row lies over the one before.
    #[inline(always)]
    fn column(&self, tile: usize) -> usize {
        (2 * tile).min(self.width - 2)
    }

    /// `V = B^T d B` for the tiles from `first` on.
    ///
    /// # Safety
    /// `first + T <= tiles`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn transform_inputs<S: Simd, const T: usize>(&mut self, s: S, first: usize) {
        let Self { ic, x_row, .. } = *self;
        // The fourth row has part in the second output row alone.
        let below = if self.rows == 2 { 3 } else { 2 };
        for i in (0..ic).step_by(S::LANES) {
            // SAFETY: rows below rows + 2, columns below width + 2, channels below ic; `v` holds 16 * T * ic values.
            unsafe {
                let x = self.x.as_ptr().add(i);
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
                let mut v = self.workspace.as_mut_ptr().add(i / BLOCK * POINTS * T * BLOCK + i % BLOCK);
                let mut next = self.column(first);
                let mut t = [[s.zero(); 4]; 4];
                [t[2], t[3]] = [column(next), column(next + 1)];
                for k in 0..T {
                    let c = self.column(first + k);
                    // Two columns are those of the tile before, unless this one lies over it.
                    [t[0], t[1]] = if c == next { [t[2], t[3]] } else { [column(c), column(c + 1)] };
                    [t[2], t[3]] = [column(c + 2), column(c + 3)];
                    next = c + 2;
                    each!(r in [0 1 2 3] if true => {
                        let t = [t[0][r], t[1][r], t[2][r], t[3][r]];
                        let points = [s.sub(t[0], t[2]), s.add(t[1], t[2]), s.sub(t[2], t[1]), s.sub(t[1], t[3])];
                        each!(c in [0 1 2 3] if true => {
                            s.store_ptr(v.add((r * 4 + c) * T * BLOCK), points[c]);
                        });
                    });
                    v = v.wrapping_add(BLOCK);
                }
            }
        }
    }

    /// `M = V U` for each of the points.
    ///
    /// # Safety
    /// `run` has checked the slices.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const T: usize, const V: usize>(&mut self, s: S) {
        const { assert!(T <= CHUNK && V <= 4) };
        let Self { ic, oc, .. } = *self;
        let (v, m) = self.workspace.split_at_mut(POINTS * CHUNK * ic);
        for point in 0..POINTS {
            self.ahead.prefetch(s, LINES);
            for o in (0..oc).step_by(V * S::LANES) {
                // SAFETY: the sizes of v, u and m.
                unsafe {
                    let mut v = v.as_ptr().add(point * T * BLOCK);
                    let mut u = self.u.as_ptr().add(point * ic * oc + o);
                    let mut acc = [[s.zero(); V]; T];
                    for _ in 0..ic / BLOCK {
                        for i in 0..BLOCK {
                            let mut b = [s.zero(); V];
                            each!(k in [0 1 2 3] if k < V => { b[k] = s.load_ptr(u.add(k * S::LANES)); });
                            each!(t in [0 1 2 3 4 5 6 7 8 9 10 11] if t < T => {
                                let a = s.splat(*v.add(t * BLOCK + i));
                                each!(k in [0 1 2 3] if k < V => { acc[t][k] = s.mul_add(a, b[k], acc[t][k]); });
                            });
                            u = u.wrapping_add(oc);
                        }
                        v = v.wrapping_add(POINTS * T * BLOCK);
                    }
                    each!(k in [0 1 2 3] if k < V => {
                        let o = o + k * S::LANES;
                        let m = m.as_mut_ptr().add((o / BLOCK * POINTS + point) * T * BLOCK + o % BLOCK);
                        each!(t in [0 1 2 3 4 5 6 7 8 9 10 11] if t < T => { s.store_ptr(m.add(t * BLOCK), acc[t][k]); });
                    });
                }
            }
        }
    }

    /// `Y = A^T M A`, bias and ReLU for the tiles from `first` on.
    ///
    /// # Safety
    /// `first + T <= tiles`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn transform_outputs<S: Simd, const T: usize>(&mut self, s: S, first: usize) {
        let Self { ic, oc, width, .. } = *self;
        for o in (0..oc).step_by(S::LANES) {
            let bias = self.bias.map_or(s.zero(), |bias| s.load(&bias[o..]));
            // SAFETY: `m` holds 16 * T * oc values; rows below rows, columns below width, channels below oc of y.
            unsafe {
                let mut m =
                    self.workspace.as_ptr().add(POINTS * CHUNK * ic + o / BLOCK * POINTS * T * BLOCK + o % BLOCK);
                for k in 0..T {
                    let y = self.y.as_mut_ptr().add(self.column(first + k) * oc + o);
                    let point = |r: usize, c: usize| s.load_ptr(m.add((r * 4 + c) * T * BLOCK));
                    // A^T by a column of M.
                    let column = |c: usize| {
                        let m = [point(0, c), point(1, c), point(2, c), point(3, c)];
                        [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
                    };
                    let t = [column(0), column(1), column(2), column(3)];
                    each!(r in [0 1] if r < self.rows => {
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
                    m = m.add(BLOCK);
                }
            }
        }
    }
}
