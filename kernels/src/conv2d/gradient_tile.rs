//! The micro-kernel of 3x3 weight gradients: a tile of `dw` in registers while the pixels of a row
//! run past.
//!
//! A tile is `U` kernel rows by 3 taps by `I` input channels by `V` vectors of output channels. A
//! value of the input at column `c` meets `dy` at the columns `c`, `c-1` and `c-2`, one for each
//! tap. So each input is broadcast once for three taps, and each vector of `dy` is loaded once and
//! stays in a register for three columns. A tile of 1 x 3 x 4 x 2 makes 24 FMAs of 4 broadcasts and
//! 2 loads (0.25 loads an FMA), one of 2 x 3 x 3 x 1, for images of three channels, 18 of 6 and 1.
//!
//! What bounds it: the FMA units; the tile is loaded and stored once per two rows of pixels.

use crate::simd::{Ahead, Kernel, MAX_LANES, Simd};
use std::ops::Range;

/// `dw[u,v,i,o] += sum over r,q of x[r+u, q+v, i] * dy[r,q,o]` for 3x3 windows with stride 1.
pub(super) struct TapGradients<'a, 'b> {
    /// `rows + 2` rows, `x_row` values from one to the next, pixels of `ic` channels; `width + 2`
    /// pixels count.
    pub x: &'a [f32],
    pub x_row: usize,
    pub ic: usize,
    /// `rows` rows, `dy_row` values from one to the next, `width` pixels of `oc` channels.
    pub dy: &'a [f32],
    pub dy_row: usize,
    pub rows: usize,
    pub width: usize,
    pub oc: usize,
    /// `[3][3][ic][oc]`, accumulated into.
    pub dw: &'a mut [f32],
    /// What the caller will read next; the kernel returns what it has not prefetched.
    pub ahead: Ahead<'b>,
}

/// Whether [`TapGradients`] computes these: whole tiles of every instruction set, so that all that
/// have it sum in the same order.
pub(super) fn fits(ic: usize, oc: usize) -> bool {
    (ic == 3 || ic.is_multiple_of(4)) && oc.is_multiple_of(MAX_LANES)
}

impl<'b> Kernel for TapGradients<'_, 'b> {
    type Output = Ahead<'b>;

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> Ahead<'b> {
        let Self { x_row, ic, dy_row, rows, width, oc, .. } = self;
        assert!(rows > 0 && width > 0 && fits(ic, oc));
        assert!(self.x.len() >= (rows + 1) * x_row + (width + 2) * ic, "x has the rows under the windows");
        assert!(self.dy.len() >= (rows - 1) * dy_row + width * oc, "dy has its rows");
        assert_eq!(self.dw.len(), 9 * ic * oc);
        match (S::REGISTERS, tile(S::REGISTERS, S::LANES, ic, oc)) {
            (32, [2, 3, _]) => {
                self.each_tile::<S, 2, 3, 1>(s, 0..2);
                self.each_tile::<S, 1, 3, 1>(s, 2..3);
            }
            (_, [_, 3, _]) => self.each_tile::<S, 1, 3, 1>(s, 0..3),
            (32, [_, _, 2]) => self.each_tile::<S, 1, 4, 2>(s, 0..3),
            _ => self.each_tile::<S, 1, 4, 1>(s, 0..3),
        }
        self.ahead
    }
}

/// The tile for these channels: its kernel rows, its input channels, and its vectors of output
/// channels, for three taps.
#[inline(always)]
pub(super) fn tile(registers: usize, lanes: usize, ic: usize, oc: usize) -> [usize; 3] {
    match (registers, ic) {
        // All three kernel rows at once would be 27 accumulators, and compilers then keep some in
        // memory. A tile of one row takes the third.
        (32, 3) => [2, 3, 1],
        (_, 3) => [1, 3, 1],
        (32, _) if oc.is_multiple_of(2 * lanes) => [1, 4, 2],
        _ => [1, 4, 1],
    }
}

impl TapGradients<'_, '_> {
    #[inline(always)]
    fn each_tile<S: Simd, const U: usize, const I: usize, const V: usize>(&mut self, s: S, kernel_rows: Range<usize>) {
        for o in (0..self.oc).step_by(V * S::LANES) {
            for u in kernel_rows.clone().step_by(U) {
                for i in (0..self.ic).step_by(I) {
                    // SAFETY: u + U <= 3, i + I <= ic, o + V * LANES <= oc.
                    unsafe { self.tile::<S, U, I, V>(s, u, i, o) };
                }
            }
        }
    }

    /// The tile at kernel row `u`, input channel `i`, output channel `o`.
    ///
    /// # Safety
    /// `u + U <= 3`, `i + I <= ic`, `o + V * LANES <= oc`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn tile<S: Simd, const U: usize, const I: usize, const V: usize>(
        &mut self,
        s: S,
        u: usize,
        i: usize,
        o: usize,
    ) {
        let Self { x_row, ic, dy_row, rows, width, oc, .. } = *self;
        // A line per column, or one per three: fewer registers pass over the columns more often.
        let often = S::REGISTERS >= 32;
        let mut acc = [[[[s.zero(); V]; I]; 3]; U];
        let mut lines = self.ahead.take(rows * (width / 3) * if often { 3 } else { 1 });
        for r in 0..rows {
            // SAFETY: row r + u + U - 1 < rows + 2 of x.
            let mut x = unsafe { self.x.as_ptr().add((r + u) * x_row + i) };
            // SAFETY: row r < rows of dy.
            let mut dy = unsafe { self.dy.as_ptr().add(r * dy_row + o) };
            let load = |dy: *const f32| -> [S::F32; V] {
                // SAFETY: `dy` points at one of the row's pixels.
                std::array::from_fn(|k| unsafe { s.load_ptr(dy.add(k * S::LANES)) })
            };
            // dy at this column and at the two before it; there are none before the first, nor
            // after the last.
            let (mut d1, mut d2) = ([s.zero(); V], [s.zero(); V]);
            let mut column = 0;
            // Three columns at a time, so that the three vectors exchange their roles without being
            // moved.
            while column + 3 <= width {
                // SAFETY: columns below `width`, of x and of dy.
                unsafe {
                    let d0 = load(dy);
                    step::<S, U, I, V>(s, &mut acc, x, x_row, [d0, d1, d2]);
                    if often {
                        lines.prefetch(s);
                    }
                    d2 = load(dy.add(oc));
                    step::<S, U, I, V>(s, &mut acc, x.add(ic), x_row, [d2, d0, d1]);
                    if often {
                        lines.prefetch(s);
                    }
                    d1 = load(dy.add(2 * oc));
                    step::<S, U, I, V>(s, &mut acc, x.add(2 * ic), x_row, [d1, d2, d0]);
                    lines.prefetch(s);
                    // After the last step `dy` may be past its end, where it is not read.
                    (x, dy) = (x.add(3 * ic), dy.wrapping_add(3 * oc));
                }
                column += 3;
            }
            while column < width + 2 {
                // SAFETY: columns below `width + 2` of x, below `width` of dy.
                unsafe {
                    let d0 = if column < width { load(dy) } else { [s.zero(); V] };
                    step::<S, U, I, V>(s, &mut acc, x, x_row, [d0, d1, d2]);
                    (d1, d2) = (d0, d1);
                    // The last step leaves both pointers past their ends, where they are not read.
                    (x, dy) = (x.wrapping_add(ic), dy.wrapping_add(oc));
                }
                column += 1;
            }
        }
        for (du, acc) in acc.iter().enumerate() {
            for (v, acc) in acc.iter().enumerate() {
                for (di, acc) in acc.iter().enumerate() {
                    let dw = &mut self.dw[(((u + du) * 3 + v) * ic + i + di) * oc + o..][..V * S::LANES];
                    for (dw, &acc) in dw.chunks_exact_mut(S::LANES).zip(acc) {
                        s.store(dw, s.add(s.load(dw), acc));
                    }
                }
            }
        }
    }
}

/// A column: `acc[u][v][i] += x[u][i] * dy[v]`, where `dy[v]` is `v` columns back.
///
/// # Safety
/// `x + u * x_row + i` is valid for reads for u < U, i < I.
#[inline(always)]
unsafe fn step<S: Simd, const U: usize, const I: usize, const V: usize>(
    s: S,
    acc: &mut [[[[S::F32; V]; I]; 3]; U],
    x: *const f32,
    x_row: usize,
    dy: [[S::F32; V]; 3],
) {
    for (u, acc) in acc.iter_mut().enumerate() {
        for i in 0..I {
            // SAFETY: the caller's promise.
            let x = s.splat(unsafe { *x.add(u * x_row + i) });
            for (acc, dy) in acc.iter_mut().zip(&dy) {
                for (acc, &dy) in acc[i].iter_mut().zip(dy) {
                    *acc = s.mul_add(x, dy, *acc);
                }
            }
        }
    }
}
