//! The micro-kernel of 3x3 correlations: a tile of output in registers, every input read once for
//! all its taps.
//!
//! A tile is `R` output rows by `P` output pixels by one vector of output channels. With the input
//! channel outermost, the nine weight vectors of a channel stay in registers, and each value of the
//! input under the tile is broadcast once and feeds every accumulator whose window covers it: up to
//! 3 in a row, times up to 3 kernel rows. A tile of 2 x 8 makes 144 FMAs of 40 broadcasts and 9
//! loads (0.34 loads an FMA; a tile without this reuse, such as 14 x 2, needs 0.57).
//!
//! What bounds it: the FMA units; the loads take two thirds of the time that the FMAs take where a
//! core starts two of each per cycle.

use crate::simd::{Ahead, Kernel, MAX_LANES, Simd};

/// The body once for each of the constants for which the condition holds. A rolled loop would keep
/// the accumulators in memory, at a third of the speed.
macro_rules! each {
    ($i:ident in [$($n:literal)*] if $condition:expr => $body:block) => {
        $({
            let $i: usize = $n;
            if $condition $body
        })*
    };
}

pub(super) use each;

/// Whether [`TapTiles`] computes these output channels: whole vectors of every instruction set.
pub(super) fn fits(oc: usize) -> bool {
    oc.is_multiple_of(MAX_LANES)
}

/// Output rows of a 3x3 correlation with stride 1 over rows that have all the zeros they need.
///
/// `y[r,q,o] = bias[o] + sum over i,u,v of x[r+u, q+v, i] * w[i,u,v,o]`, then ReLU where `relu`;
/// `IC` is `ic`, or 0 for any
pub(super) struct TapTiles<'a, 'b, const IC: usize> {
    /// `rows + 2` rows, where `rows` is 1 or 2, `x_row` values from one to the next, pixels of `ic`
    /// channels.
    pub x: &'a [f32],
    pub x_row: usize,
    pub ic: usize,
    /// `[ic][3][3][oc]`.
    pub w: &'a [f32],
    /// `[oc]`.
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
    /// `[rows][width][oc]`, overwritten; `oc` is a multiple of the lanes.
    pub y: &'a mut [f32],
    pub rows: usize,
    pub width: usize,
    pub oc: usize,
    /// What the caller will read next.
    pub ahead: &'a mut Ahead<'b>,
}

impl<const IC: usize> Kernel for TapTiles<'_, '_, IC> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Self { ic, rows, width, oc, .. } = self;
        assert!((IC == 0 || ic == IC) && fits(oc) && width > 0);
        assert!(rows == 1 || rows == 2);
        assert!(self.x.len() >= (rows + 1) * self.x_row + (width + 2) * ic, "x has the rows under the windows");
        assert_eq!(self.w.len(), ic * 9 * oc);
        assert!(self.bias.is_none_or(|bias| bias.len() == oc));
        assert_eq!(self.y.len(), rows * width * oc);
        match (S::REGISTERS, tile(S::REGISTERS, rows, width)) {
            (32, [2, 8, _]) => self.each_tile::<S, 2, 8, 1>(s),
            (32, [2, 7, _]) => self.each_tile::<S, 2, 7, 1>(s),
            (32, [2, _, _]) => self.each_tile::<S, 2, 6, 1>(s),
            (32, [_, 8, _]) => self.each_tile::<S, 1, 8, 1>(s),
            (16, [_, 6, _]) => self.each_tile::<S, 1, 6, 2>(s),
            (16, [_, 5, _]) => self.each_tile::<S, 1, 5, 2>(s),
            _ => self.each_tile::<S, 1, 1, 1>(s),
        }
    }
}

/// The tile for so many output rows and pixels: its rows, its pixels and its vectors of output
/// channels. The registers hold `R * P` accumulators, the weights of a row, `3 * (R + 2 at most 3)`,
/// and a broadcast; or, of two vectors, `2 * P` accumulators, two weights and a broadcast.
#[inline(always)]
pub(super) fn tile(registers: usize, rows: usize, width: usize) -> [usize; 3] {
    match (registers, rows, width) {
        (32, 2.., 6..) => [2, narrowest_cover(width, [8, 7, 6]), 1],
        (32, 1, 8..) => [1, 8, 1],
        (16, _, 5..) => [1, narrowest_cover(width, [6, 5]), 2],
        _ => [1, 1, 1],
    }
}

/// The tile width that computes the least of a row twice; of equals, the widest.
pub(super) fn narrowest_cover<const N: usize>(width: usize, candidates: [usize; N]) -> usize {
    let fitting = candidates.into_iter().filter(|&p| p <= width);
    fitting.min_by_key(|&p| width.next_multiple_of(p)).expect("the last candidate fits")
}

/// Cache lines of what lies ahead that are prefetched after a tile.
const LINES: usize = 16;

impl<const IC: usize> TapTiles<'_, '_, IC> {
    /// All tiles, `R` of 1 or `rows`; the last of a row may lie over the one before and store the same
    /// again.
    #[inline(always)]
    fn each_tile<S: Simd, const R: usize, const P: usize, const V: usize>(&mut self, s: S) {
        for r in (0..self.rows).step_by(R) {
            for o in (0..self.oc).step_by(V * S::LANES) {
                let mut q = 0;
                while q < self.width {
                    q = q.min(self.width - P);
                    // SAFETY: R divides rows, so r + R <= rows; q + P <= width; o + V * LANES <= oc, whose
                    // vectors, of any instruction set, are two or more where V is 2.
                    unsafe {
                        if V == 1 {
                            self.tile::<S, R, P>(s, r, q, o);
                        } else {
                            self.wide_tile::<S, P, V>(s, r, q, o);
                        }
                    }
                    self.ahead.prefetch(s, LINES);
                    q += P;
                }
            }
        }
    }

    /// The tile at output row `r`, pixel `q`, channel `o`.
    ///
    /// Every output is summed in the order of (i, u, v) whatever the tile, so that instruction sets
    /// with different tiles agree to the bit.
    ///
    /// # Safety
    /// `r + R <= rows`, `q + P <= width`, `o + LANES <= oc`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const P: usize>(&mut self, s: S, r: usize, q: usize, o: usize) {
        const { assert!(R <= 2 && P <= 8) };
        let ic = if IC == 0 { self.ic } else { IC };
        let start = self.bias.map_or(s.zero(), |bias| s.load(&bias[o..]));
        let mut acc = [[start; P]; R];
        // SAFETY: with the bounds above, the largest offsets are x[(rows + 1) * x_row + (width + 1)
        // * ic + ic - 1] and w[ic * 9 * oc - 1].
        unsafe {
            let x = self.x.as_ptr().add(r * self.x_row + q * ic);
            let w = self.w.as_ptr().add(o);
            for i in 0..ic {
                let tap = |u: usize, v: usize| s.load_ptr(w.add((i * 9 + u * 3 + v) * self.oc));
                let taps: [[S::F32; 3]; 3] = [
                    [tap(0, 0), tap(0, 1), tap(0, 2)],
                    [tap(1, 0), tap(1, 1), tap(1, 2)],
                    [tap(2, 0), tap(2, 1), tap(2, 2)],
                ];
                each!(row in [0 1 2 3] if row < R + 2 => {
                    let x = x.add(row * self.x_row + i);
                    each!(column in [0 1 2 3 4 5 6 7 8 9] if column < P + 2 => {
                        let value = s.splat(*x.add(column * ic));
                        each!(u in [0 1 2] if row >= u && row - u < R => {
                            each!(v in [0 1 2] if column >= v && column - v < P => {
                                acc[row - u][column - v] = s.mul_add(value, taps[u][v], acc[row - u][column - v]);
                            });
                        });
                    });
                });
            }
        }
        for (p, acc) in acc.iter().enumerate() {
            self.store(s, r + p, q, o, acc);
        }
    }

    /// The tile of `V` vectors at output row `r`, pixel `q`, channel `o`: with few registers, a
    /// broadcast feeds the vectors instead of the taps, and enough chains hide the latency of an FMA.
    ///
    /// # Safety
    /// `r < rows`, `q + P <= width`, `o + V * LANES <= oc`; `run` has checked the slices.
    #[inline(always)]
    unsafe fn wide_tile<S: Simd, const P: usize, const V: usize>(&mut self, s: S, r: usize, q: usize, o: usize) {
        const { assert!(P <= 8 && V <= 2) };
        let ic = if IC == 0 { self.ic } else { IC };
        let mut acc = [[s.zero(); P]; V];
        for (v, acc) in acc.iter_mut().enumerate() {
            *acc = [self.bias.map_or(s.zero(), |bias| s.load(&bias[o + v * S::LANES..])); P];
        }
        // SAFETY: as in `tile`.
        unsafe {
            let x = self.x.as_ptr().add(r * self.x_row + q * ic);
            let mut w = self.w.as_ptr().add(o);
            for i in 0..ic {
                each!(u in [0 1 2] if true => {
                    let x = x.add(u * self.x_row + i);
                    each!(v in [0 1 2] if true => {
                        let mut taps = [s.zero(); V];
                        each!(k in [0 1] if k < V => { taps[k] = s.load_ptr(w.add(k * S::LANES)); });
                        w = w.wrapping_add(self.oc);
                        each!(p in [0 1 2 3 4 5 6 7] if p < P => {
                            let value = s.splat(*x.add((p + v) * ic));
                            each!(k in [0 1] if k < V => { acc[k][p] = s.mul_add(value, taps[k], acc[k][p]); });
                        });
                    });
                });
            }
        }
        for (v, acc) in acc.iter().enumerate() {
            self.store(s, r, q, o + v * S::LANES, acc);
        }
    }

    /// Stores outputs of a row from pixel `q` on, ReLU applied.
    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, r: usize, q: usize, o: usize, values: &[S::F32]) {
        let y = &mut self.y[(r * self.width + q) * self.oc + o..][..(values.len() - 1) * self.oc + S::LANES];
        for (k, &value) in values.iter().enumerate() {
            // `max` gives its second operand where one is NaN: a NaN is not hidden.
            let value = if self.relu { s.max(s.zero(), value) } else { value };
            s.store(&mut y[k * self.oc..], value);
        }
    }
}
