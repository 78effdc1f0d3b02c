//! 3x3 weight gradients, `F(3x3, MxM)`.
//!
//! `dw = A^T [ sum over tiles of (E dy E^T) * (B^T x B) ] A`: a tile is `M x M` values of `dy` and the
//! `N x N` inputs under their windows, with `N * N` multiplications for the `9 M^2` terms that they
//! contribute to nine sums. Beyond the edges `dy` is 0.
//!
//! Tiles are transformed until a chunk is full, whatever rows and images they come from. Then, for
//! each point, an input channels by tiles matrix is multiplied with a tiles by output channels one,
//! a register tile after the other: the reduction runs over the tiles, so its depth does not depend
//! on the channels, nor on the size of an image. `A` takes the points of a register tile back to
//! nine weights while they are in a cache, and `dw` is touched once per chunk.
//!
//! What bounds it: the FMA units, and the L2 cache that the chunk comes from.

use super::transform::{both_ways, combine, data, evaluate, output, scale};
use super::{CHANNELS, fits_channels, mul_add, precision, store_one_of_pair, words};
use crate::conv2d::backward_w::Rows;
use crate::conv2d::tap_tile::each;
use crate::precision::Precision;
use crate::simd::{Ahead, Isa, Kernel, MAX_LANES, Simd};

/// A weight gradient in the making: the tiles that are not in it yet.
pub(in super::super) struct GradientTiles<'a, const N: usize, const M: usize, const BF16: bool> {
    isa: Isa,
    ic: usize,
    oc: usize,
    /// `[ic/16][N*N][distance][16]`.
    v: &'a mut [f32],
    /// `[oc/16][N*N][distance][16]`.
    d: &'a mut [f32],
    /// The sums of a register tile, `[N*N][register tile]`.
    sums: &'a mut [f32],
    /// Tiles in `v` and `d`.
    filled: usize,
}

/// The most tiles of a chunk, or pairs of them: so many that `A`, applied once per chunk, costs little beside their
/// products.
const CHUNK: usize = 32;

/// Tiles from one point to the next: an odd number of lines, so that the points of a tile lie in
/// different sets of a cache.
const DISTANCE: usize = CHUNK | 1;

/// The most values in a register tile.
const REGISTER_TILE: usize = 16 * MAX_LANES;

/// Values of the workspace.
pub(in super::super) fn gradient_workspace_len(n: usize, ic: usize, oc: usize) -> usize {
    n * n * (DISTANCE * (ic + oc) + REGISTER_TILE)
}

/// The register tile: input channels by vectors of output channels. These channels come in sixteens, so
/// that only vectors of 16 lanes can be odd in number.
#[inline(always)]
pub(in super::super) fn gradient_tile(registers: usize, lanes: usize, oc: usize) -> [usize; 2] {
    match (registers, (oc / lanes).is_multiple_of(2)) {
        (32, true) => [8, 2],
        (32, false) => [16, 1],
        _ => [4, 2],
    }
}

impl<'a, const N: usize, const M: usize, const BF16: bool> GradientTiles<'a, N, M, BF16> {
    const POINTS: usize = N * N;
    /// Values from one point to the next.
    const STEP: usize = DISTANCE * CHANNELS;

    /// Starts from 0, in a workspace of [`gradient_workspace_len`] values.
    pub fn new(isa: Isa, ic: usize, oc: usize, workspace: &'a mut [f32]) -> Self {
        const { assert!(M + 2 == N) };
        assert!(fits_channels([ic, oc]) && workspace.len() == gradient_workspace_len(N, ic, oc));
        let (v, rest) = workspace.split_at_mut(Self::POINTS * DISTANCE * ic);
        let (d, sums) = rest.split_at_mut(Self::POINTS * DISTANCE * oc);
        Self { isa, ic, oc, v, d, sums, filled: 0 }
    }

    /// Takes some rows, and prefetches what lies `ahead` on the way. What has been taken is in `dw`,
    /// `[3][3][ic][oc]`, or will be when it is [finished](Self::finish).
    pub fn add(&mut self, rows: Rows, dw: &mut [f32], ahead: Ahead) {
        assert_eq!(dw.len(), 9 * self.ic * self.oc);
        self.isa.run(AddRows { tiles: self, rows, dw, ahead });
    }

    /// Adds to `dw` what is not in it yet.
    pub fn finish(mut self, dw: &mut [f32]) {
        assert_eq!(dw.len(), 9 * self.ic * self.oc);
        self.isa.run(Finish { tiles: &mut self, dw });
    }
}

struct AddRows<'t, 'a, 'r, const N: usize, const M: usize, const BF16: bool> {
    tiles: &'t mut GradientTiles<'a, N, M, BF16>,
    rows: Rows<'r>,
    dw: &'t mut [f32],
    ahead: Ahead<'r>,
}

impl<const N: usize, const M: usize, const BF16: bool> Kernel for AddRows<'_, '_, '_, N, M, BF16> {
    type Output = ();
    const PRECISION: Precision = precision(BF16);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { tiles, rows: of, dw, mut ahead } = self;
        let Rows { x, x_row, dy, dy_row, rows, width } = of;
        assert!(rows > 0 && width > 0);
        assert!(x.len() >= (rows + 1) * x_row + (width + 2) * tiles.ic, "x has the rows under the windows");
        assert!(dy.len() >= (rows - 1) * dy_row + width * tiles.oc, "dy has its rows");
        for row in (0..rows).step_by(M) {
            for column in (0..width).step_by(M) {
                // SAFETY: row < rows, column < width; fewer tiles are filled than a chunk has; the slices are
                // checked.
                unsafe {
                    tiles.transform_x(s, &of, row, column);
                    if row + M <= rows && column + M <= width {
                        tiles.transform_dy::<S, true>(s, &of, row, column);
                    } else {
                        tiles.transform_dy::<S, false>(s, &of, row, column);
                    }
                }
                tiles.filled += 1;
                if words(BF16, tiles.filled) == CHUNK {
                    tiles.multiply(s, dw, &mut ahead);
                }
            }
        }
    }
}

struct Finish<'t, 'a, const N: usize, const M: usize, const BF16: bool> {
    tiles: &'t mut GradientTiles<'a, N, M, BF16>,
    dw: &'t mut [f32],
}

impl<const N: usize, const M: usize, const BF16: bool> Kernel for Finish<'_, '_, N, M, BF16> {
    type Output = ();
    const PRECISION: Precision = precision(BF16);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.tiles.filled > 0 {
            self.tiles.multiply(s, self.dw, &mut Ahead::default());
        }
    }
}

impl<const N: usize, const M: usize, const BF16: bool> GradientTiles<'_, N, M, BF16> {
    /// `B^T x B` of the tile at that row and column, as the next of `v`.
    ///
    /// # Safety
    /// `row < rows`, `column < width`, `words(BF16, filled) < CHUNK`; the slices are long enough for `of`.
    #[inline(always)]
    unsafe fn transform_x<S: Simd>(&mut self, s: S, of: &Rows, row: usize, column: usize) {
        let (ic, step, is_second) = (self.ic, Self::STEP, self.filled % 2 == 1);
        // What lies beyond the last row and column meets zeros of dy.
        let rows: [usize; N] = std::array::from_fn(|r| (row + r).min(of.rows + 1) * of.x_row);
        let columns: [usize; N] = std::array::from_fn(|c| (column + c).min(of.width + 1) * ic);
        for i in (0..ic).step_by(S::LANES) {
            // SAFETY: rows below rows + 2, columns below width + 2, channels below ic; tile `filled`
            // of v.
            unsafe {
                let x = of.x.as_ptr().add(i);
                let at = i / CHANNELS * Self::POINTS * step + words(BF16, self.filled) * CHANNELS + i % CHANNELS;
                let v = self.v.as_mut_ptr().add(at);
                both_ways::<S, N>(
                    s,
                    N / 2,
                    #[inline(always)]
                    |line, k| data::<S, N>(s, line, k),
                    #[inline(always)]
                    |r, c| s.load_ptr(x.add(rows[r] + columns[c])),
                    #[inline(always)]
                    |r, c, value| store_one_of_pair::<S, BF16>(s, v.add((r * N + c) * step), value, is_second),
                );
            }
        }
    }

    /// `E dy E^T` of the tile at that row and column, as the next of `d`; unless it is `WHOLE`, what
    /// lies beyond the edges is 0.
    ///
    /// # Safety
    /// As [`transform_x`](Self::transform_x), and `row + M <= rows`, `column + M <= width` where
    /// `WHOLE`.
    #[inline(always)]
    unsafe fn transform_dy<S: Simd, const WHOLE: bool>(&mut self, s: S, of: &Rows, row: usize, column: usize) {
        let (oc, step, is_second) = (self.oc, Self::STEP, self.filled % 2 == 1);
        let (rows, columns) = (of.rows - row, of.width - column);
        for o in (0..oc).step_by(S::LANES) {
            // SAFETY: rows and columns inside dy, channels below oc; tile `filled` of d.
            unsafe {
                let dy = of.dy.as_ptr().add(row * of.dy_row + column * oc + o);
                let at = o / CHANNELS * Self::POINTS * step + words(BF16, self.filled) * CHANNELS + o % CHANNELS;
                let d = self.d.as_mut_ptr().add(at);
                both_ways::<S, M>(
                    s,
                    N / 2,
                    #[inline(always)]
                    |line, k| evaluate::<S, N, M>(s, line, k),
                    #[inline(always)]
                    |r, c| match WHOLE || r < rows && c < columns {
                        true => s.load_ptr(dy.add(r * of.dy_row + c * oc)),
                        false => s.zero(),
                    },
                    #[inline(always)]
                    |r, c, value| store_one_of_pair::<S, BF16>(s, d.add((r * N + c) * step), value, is_second),
                );
            }
        }
    }

    /// Adds what the tiles contribute to `dw`; there are none afterwards.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, s: S, dw: &mut [f32], ahead: &mut Ahead) {
        if BF16 && self.filled % 2 == 1 {
            self.complete_pair(s);
        }
        match (S::REGISTERS, gradient_tile(S::REGISTERS, S::LANES, self.oc)) {
            (32, [8, 2]) => self.each_tile::<S, 8, 2>(s, dw, ahead),
            (32, _) => self.each_tile::<S, 16, 1>(s, dw, ahead),
            _ => self.each_tile::<S, 4, 2>(s, dw, ahead),
        }
        self.filled = 0;
    }

    /// Pairs the last tile with one of zeros.
    #[inline(always)]
    fn complete_pair<S: Simd>(&mut self, s: S) {
        let last = self.filled / 2 * CHANNELS;
        for values in self.v.chunks_exact_mut(Self::STEP).chain(self.d.chunks_exact_mut(Self::STEP)) {
            for lane in (last..last + CHANNELS).step_by(S::LANES) {
                let to = &mut values[lane..][..S::LANES];
                // SAFETY: `to` holds LANES values.
                unsafe { store_one_of_pair::<S, BF16>(s, to.as_mut_ptr(), s.zero(), true) };
            }
        }
    }

    /// Register tiles of `I` input channels by `V` vectors of output channels: what belongs to the
    /// output channels stays in the L2 cache, what belongs to the input channels passes by.
    #[inline(always)]
    fn each_tile<S: Simd, const I: usize, const V: usize>(&mut self, s: S, dw: &mut [f32], ahead: &mut Ahead) {
        const { assert!(I <= CHANNELS && V <= 2 && I * V * S::LANES <= REGISTER_TILE) };
        for o in (0..self.oc).step_by(V * S::LANES) {
            for i in (0..self.ic).step_by(I) {
                for point in 0..Self::POINTS {
                    // SAFETY: i + I <= ic, o + V * LANES <= oc, point < POINTS.
                    unsafe { self.sum::<S, I, V>(s, point, i, o, ahead) };
                }
                self.back::<S, I, V>(s, i, o, dw);
            }
        }
    }

    /// The sums over the tiles at a point, into `sums`.
    ///
    /// # Safety
    /// `i + I <= ic`, `o + V * LANES <= oc`, `point < POINTS`.
    #[inline(always)]
    unsafe fn sum<S: Simd, const I: usize, const V: usize>(
        &mut self,
        s: S,
        point: usize,
        i: usize,
        o: usize,
        ahead: &mut Ahead,
    ) {
        let steps = words(BF16, self.filled + 1).min(self.filled);
        let mut lines = ahead.take(steps);
        // SAFETY: the sizes of v, d and sums; I divides CHANNELS, so the input channels of a tile lie
        // together.
        unsafe {
            let at = |c: usize| (c / CHANNELS * Self::POINTS + point) * Self::STEP + c % CHANNELS;
            let mut v = self.v.as_ptr().add(at(i));
            let mut d: [*const f32; V] = std::array::from_fn(|k| self.d.as_ptr().add(at(o + k * S::LANES)));
            let mut acc = [[s.zero(); V]; I];
            for _ in 0..steps {
                let mut b = [s.zero(); V];
                each!(k in [0 1] if k < V => {
                    b[k] = s.load_ptr(d[k]);
                    d[k] = d[k].wrapping_add(CHANNELS);
                });
                each!(j in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] if j < I => {
                    let a = s.splat(*v.add(j));
                    each!(k in [0 1] if k < V => { acc[j][k] = mul_add::<S, BF16>(s, a, b[k], acc[j][k]); });
                });
                v = v.wrapping_add(CHANNELS);
                lines.prefetch(s);
            }
            let sums = self.sums.as_mut_ptr().add(point * I * V * S::LANES);
            each!(j in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] if j < I => {
                each!(k in [0 1] if k < V => { s.store_ptr(sums.add((j * V + k) * S::LANES), acc[j][k]); });
            });
        }
    }

    /// `dw += A^T sums A` for a register tile.
    #[inline(always)]
    fn back<S: Simd, const I: usize, const V: usize>(&mut self, s: S, i: usize, o: usize, dw: &mut [f32]) {
        for j in 0..I {
            for k in 0..V {
                let sums = &self.sums[(j * V + k) * S::LANES..];
                both_ways::<S, N>(
                    s,
                    2,
                    #[inline(always)]
                    |line, h| combine::<S, N>(s, line, 3, h),
                    #[inline(always)]
                    |r, c| {
                        let factor = s.splat((scale(N, r) * scale(N, c)) as f32);
                        s.mul(s.load(&sums[(r * N + c) * I * V * S::LANES..]), factor)
                    },
                    #[inline(always)]
                    |r, c, value| {
                        let (u, v) = (output(r), output(c));
                        if u < 3 && v < 3 {
                            let dw = &mut dw[((u * 3 + v) * self.ic + i + j) * self.oc + o + k * S::LANES..];
                            s.store(dw, s.add(s.load(dw), value));
                        }
                    },
                );
            }
        }
    }
}
