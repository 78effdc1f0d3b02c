//! Kernels over a row or two, each with the channels outermost, so that what belongs to a channel
//! stays in registers.

use super::Affine;
use crate::simd::{Channels, Kernel, Simd, each_group};

/// The 2x2 pooling of two rows before their normalisation, and the sums over all their values.
///
/// `p[j] = max(a[r][2j+k])` over r, k < 2 where `gamma > 0`, the min where `gamma < 0`, `a[0][2j]`
/// where it is 0; `sum += a`, `squares += a^2` where there are `sums`
pub(super) struct Pool<'a> {
    pub c: usize,
    /// Two rows of as many pixels, at least twice as many as `p`.
    pub a: [&'a [f32]; 2],
    pub gamma: &'a [f32],
    pub p: &'a mut [f32],
    /// Sum and sum of squares.
    pub sums: Option<[&'a mut [f32]; 2]>,
}

impl Kernel for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let [a0, a1] = self.a;
        assert!(a0.len() == a1.len() && self.gamma.len() == self.c);
        assert!(a0.len().is_multiple_of(self.c) && self.p.len().is_multiple_of(self.c));
        assert!(2 * self.p.len() <= a0.len(), "two pixels of each row for one of p");
        each_group!(s, self.c, channels => self.group(channels));
    }
}

impl Pool<'_> {
    #[inline(always)]
    fn group<S: Simd, const WHOLE: bool>(&mut self, channels: Channels<S, WHOLE>) {
        let gamma = &self.gamma[channels.first..][..channels.count()];
        let rising = gamma.iter().all(|&gamma| gamma > 0.0);
        match (rising, self.sums.is_some()) {
            (true, true) => self.pixels::<S, WHOLE, true, true>(channels),
            (true, false) => self.pixels::<S, WHOLE, true, false>(channels),
            (false, true) => self.pixels::<S, WHOLE, false, true>(channels),
            (false, false) => self.pixels::<S, WHOLE, false, false>(channels),
        }
    }

    #[inline(always)]
    fn pixels<S: Simd, const WHOLE: bool, const RISING: bool, const SUMS: bool>(
        &mut self,
        channels: Channels<S, WHOLE>,
    ) {
        let s = channels.s;
        let [a0, a1] = self.a;
        let (pixels, pooled) = (a0.len() / self.c, self.p.len() / self.c);
        let gamma = channels.of(self.gamma);
        let one = s.splat(1.0);
        let sign = s.select(s.gt(s.zero(), gamma), s.splat(-1.0), one);
        let is_zero = s.eq(gamma, s.zero());
        // Separate chains for the four positions, because an addition takes 4 cycles.
        let (mut sum, mut squares) = ([s.zero(); 4], [s.zero(); 4]);
        for j in 0..pooled {
            // SAFETY: 2j + 1 < 2 * pooled <= pixels.
            let a = unsafe {
                [
                    channels.load(a0, 2 * j),
                    channels.load(a0, 2 * j + 1),
                    channels.load(a1, 2 * j),
                    channels.load(a1, 2 * j + 1),
                ]
            };
            let p = if RISING {
                s.max(s.max(a[0], a[1]), s.max(a[2], a[3]))
            } else {
                let b = [s.mul(a[0], sign), s.mul(a[1], sign), s.mul(a[2], sign), s.mul(a[3], sign)];
                let best = s.max(s.max(b[0], b[1]), s.max(b[2], b[3]));
                s.select(is_zero, a[0], s.mul(best, sign))
            };
            // SAFETY: j < pooled.
            unsafe { channels.store(self.p, j, p) };
            if SUMS {
                for k in 0..4 {
                    sum[k] = s.add(sum[k], a[k]);
                    squares[k] = s.mul_add(a[k], a[k], squares[k]);
                }
            }
        }
        if let Some([sum_to, squares_to]) = &mut self.sums
            && SUMS
        {
            for q in 2 * pooled..pixels {
                // SAFETY: q < pixels.
                let a = unsafe { [channels.load(a0, q), channels.load(a1, q)] };
                for k in 0..2 {
                    sum[k] = s.add(sum[k], a[k]);
                    squares[k] = s.mul_add(a[k], a[k], squares[k]);
                }
            }
            channels.add(s.add(s.add(sum[0], sum[1]), s.add(sum[2], sum[3])), sum_to);
            channels.add(s.add(s.add(squares[0], squares[1]), s.add(squares[2], squares[3])), squares_to);
        }
    }
}

/// The sums over a row that is not pooled.
pub(super) struct RowSums<'a> {
    pub c: usize,
    pub a: &'a [f32],
    /// Sum and sum of squares.
    pub sums: [&'a mut [f32]; 2],
}

impl Kernel for RowSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [sum_to, squares_to] = self.sums;
        let pixels = self.a.len() / self.c;
        each_group!(s, self.c, channels => {
            let (mut sum, mut squares) = (s.zero(), s.zero());
            for q in 0..pixels {
                // SAFETY: q < pixels.
                let a = unsafe { channels.load(self.a, q) };
                sum = s.add(sum, a);
                squares = s.mul_add(a, a, squares);
            }
            channels.add(sum, sum_to);
            channels.add(squares, squares_to);
        });
    }
}

/// The gradient at the convolution's output:
/// `dz = [a > 0] * (scale * scatter(dp) + slope * a + offset)`.
pub(super) struct Scatter<'a> {
    pub c: usize,
    /// One or two rows.
    pub a: &'a [f32],
    /// Pooled values and their gradient, one row; none where the rows of `a` are not pooled.
    pub pooled: Option<[&'a [f32]; 2]>,
    pub scale: &'a [f32],
    pub slope: &'a [f32],
    pub offset: &'a [f32],
    /// As many rows as `a`, overwritten; `dz_row` values from one to the next.
    pub dz: &'a mut [f32],
    pub dz_row: usize,
    /// The sum of `dz` over all pixels is added to it.
    pub db: &'a mut [f32],
    /// Values in a row of `a`.
    pub a_row: usize,
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let rows = self.a.len() / self.a_row;
        assert!(self.a_row.is_multiple_of(self.c) && self.a.len() == rows * self.a_row);
        assert!(self.dz.len() >= (rows - 1) * self.dz_row + self.a_row && self.dz_row >= self.a_row);
        if let Some([p, dp]) = self.pooled {
            assert!(rows == 2 && p.len() == dp.len() && 2 * p.len() <= self.a_row);
        }
        each_group!(s, self.c, channels => self.group(channels));
    }
}

impl Scatter<'_> {
    #[inline(always)]
    fn group<S: Simd, const WHOLE: bool>(&mut self, channels: Channels<S, WHOLE>) {
        let s = channels.s;
        let (scale, slope, offset) = (channels.of(self.scale), channels.of(self.slope), channels.of(self.offset));
        let pixels = self.a_row / self.c;
        let mut db = [s.zero(); 4];
        let mut unpooled = 0;
        if let Some([p, dp]) = self.pooled {
            let (a0, a1) = self.a.split_at(self.a_row);
            let (dz0, dz1) = self.dz.split_at_mut(self.dz_row);
            let pooled = p.len() / self.c;
            for j in 0..pooled {
                // SAFETY: j < pooled, and 2j + 1 < 2 * pooled <= pixels.
                unsafe {
                    let p = channels.load(p, j);
                    let a = [
                        channels.load(a0, 2 * j),
                        channels.load(a0, 2 * j + 1),
                        channels.load(a1, 2 * j),
                        channels.load(a1, 2 * j + 1),
                    ];
                    // The part of the gradient that no position has taken yet.
                    let mut rest = s.mul(scale, channels.load(dp, j));
                    let mut dz = a;
                    for k in 0..4 {
                        let wins = s.eq(a[k], p);
                        let share = s.mul_add(slope, a[k], offset);
                        let with = s.select(wins, s.add(share, rest), share);
                        rest = s.select(wins, s.zero(), rest);
                        dz[k] = s.select(s.gt(a[k], s.zero()), with, s.zero());
                        db[k] = s.add(db[k], dz[k]);
                    }
                    channels.store(dz0, 2 * j, dz[0]);
                    channels.store(dz0, 2 * j + 1, dz[1]);
                    channels.store(dz1, 2 * j, dz[2]);
                    channels.store(dz1, 2 * j + 1, dz[3]);
                }
            }
            unpooled = 2 * pooled;
        }
        for (a, dz) in self.a.chunks_exact(self.a_row).zip(self.dz.chunks_mut(self.dz_row)) {
            for q in unpooled..pixels {
                // SAFETY: q < pixels.
                unsafe {
                    let a = channels.load(a, q);
                    let dz_q = s.select(s.gt(a, s.zero()), s.mul_add(slope, a, offset), s.zero());
                    db[0] = s.add(db[0], dz_q);
                    channels.store(dz, q, dz_q);
                }
            }
        }
        channels.add(s.add(s.add(db[0], db[1]), s.add(db[2], db[3])), self.db);
    }
}

/// `sum += dy` and `products += dy * (x - mean)` over the pixels of a row.
pub(super) struct GradientSums<'a> {
    pub c: usize,
    pub x: &'a [f32],
    pub dy: &'a [f32],
    pub mean: &'a [f32],
    pub sums: [&'a mut [f32]; 2],
}

impl Kernel for GradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [sum_to, products_to] = self.sums;
        assert!(self.x.len() == self.dy.len() && self.x.len().is_multiple_of(self.c));
        let pixels = self.x.len() / self.c;
        each_group!(s, self.c, channels => {
            let mean = channels.of(self.mean);
            let (mut sum, mut products) = ([s.zero(); 2], [s.zero(); 2]);
            for q in 0..pixels / 2 {
                for k in 0..2 {
                    // SAFETY: 2q + k < pixels.
                    let (x, dy) = unsafe { (channels.load(self.x, 2 * q + k), channels.load(self.dy, 2 * q + k)) };
                    sum[k] = s.add(sum[k], dy);
                    products[k] = s.mul_add(dy, s.sub(x, mean), products[k]);
                }
            }
            if pixels % 2 == 1 {
                // SAFETY: pixels - 1 < pixels.
                let (x, dy) = unsafe { (channels.load(self.x, pixels - 1), channels.load(self.dy, pixels - 1)) };
                sum[0] = s.add(sum[0], dy);
                products[0] = s.mul_add(dy, s.sub(x, mean), products[0]);
            }
            channels.add(s.add(sum[0], sum[1]), sum_to);
            channels.add(s.add(products[0], products[1]), products_to);
        });
    }
}

/// `y = (x - mean) * scale + beta` for the pixels of a row.
pub(super) struct Normalise<'a> {
    pub by: Affine<'a>,
    pub x: &'a [f32],
    pub y: &'a mut [f32],
}

impl Kernel for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, y) = (self.x, self.y);
        let c = self.by.mean.len();
        assert!(x.len() == y.len() && x.len().is_multiple_of(c));
        each_group!(s, c, channels => {
            let (mean, scale, beta) = (channels.of(self.by.mean), channels.of(self.by.scale), channels.of(self.by.beta));
            for q in 0..x.len() / c {
                // SAFETY: q is a pixel of x and of y.
                unsafe {
                    let x = channels.load(x, q);
                    channels.store(y, q, s.mul_add(s.sub(x, mean), scale, beta));
                }
            }
        });
    }
}
