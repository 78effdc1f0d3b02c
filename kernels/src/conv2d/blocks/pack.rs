//! Operands in the order that blocks have.

use crate::matrix::SIDE;
use crate::precision::Precision;
use crate::simd::{Ahead, Kernel, MAX_LANES, Pairs, Simd};

/// `y = x`, rounded to bf16.
pub(super) struct Round<'a> {
    pub x: &'a [f32],
    pub y: &'a mut [u16],
}

impl Kernel for Round<'_> {
    type Output = ();
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert_eq!(self.x.len(), self.y.len());
        let whole = self.x.len() / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: i + LANES <= whole.
            unsafe { s.store_bf16_ptr(self.y.as_mut_ptr().add(i), s.load_ptr(self.x.as_ptr().add(i))) }
        }
        let mut rest = [0; MAX_LANES];
        // SAFETY: `rest` holds LANES values.
        unsafe { s.store_bf16_ptr(rest.as_mut_ptr(), s.load_part(&self.x[whole..])) };
        self.y[whole..].copy_from_slice(&rest[..self.x.len() - whole]);
    }
}

/// A row of pixels as pairs of them: `y[q/2][c] = (x[q][c], x[q+1][c])`.
pub(super) struct PixelPairs<'a, 'b> {
    /// `[pixels][channels]`.
    pub x: &'a [f32],
    /// `[pairs][channels]`; pixels beyond `x` are 0.
    pub y: &'a mut [u32],
    /// A multiple of 16.
    pub channels: usize,
    /// What the caller will read next.
    pub ahead: &'a mut Ahead<'b>,
}

impl Kernel for PixelPairs<'_, '_> {
    type Output = ();
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, y, channels, ahead } = self;
        let pixels = x.len() / channels;
        assert!(channels.is_multiple_of(SIDE) && y.len().is_multiple_of(channels) && 2 * y.len() >= x.len());
        for (pair, y) in y.chunks_exact_mut(channels).enumerate() {
            for c in (0..channels).step_by(S::LANES) {
                ahead.prefetch(s, 1);
                let value = |q: usize| if q < pixels { s.load(&x[q * channels + c..]) } else { s.zero() };
                let pairs = s.pairs(value(2 * pair), value(2 * pair + 1));
                // SAFETY: c + LANES <= channels, the length of y.
                unsafe { s.store_pairs_ptr(y.as_mut_ptr().add(c), pairs) }
            }
        }
    }
}

/// A row of pixels, transposed: `y[i][q/2] = (x[q*step + i], x[(q+1)*step + i])`.
pub(super) struct Transpose<'a> {
    pub x: &'a [f32],
    /// Values from one pixel to the next.
    pub step: usize,
    pub pixels: usize,
    /// Pairs of pixels that are written, and then up to 15 more; those beyond `pixels` become 0.
    pub pairs: usize,
    /// Values of a pixel: no more than 16, or a multiple of 16.
    pub values: usize,
    /// Rows of `y_row` pairs, as many as there are values, in multiples of 16.
    pub y: &'a mut [u32],
    pub y_row: usize,
}

impl Kernel for Transpose<'_> {
    type Output = ();
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const { assert!(S::LANES <= MAX_LANES && SIDE == MAX_LANES) };
        let Self { x, step, pixels, pairs, values, y, y_row } = self;
        assert!((pixels - 1) * step + values <= x.len() && (values <= SIDE || values.is_multiple_of(SIDE)));
        let pairs = pairs.next_multiple_of(SIDE);
        assert!((values.next_multiple_of(SIDE) - 1) * y_row + pairs <= y.len());
        for i in (0..values).step_by(S::LANES) {
            let count = S::LANES.min(values - i);
            for pair in (0..pairs).step_by(S::LANES) {
                let mut rows = [Pairs(s.zero()); MAX_LANES];
                let inside = pixels.saturating_sub(2 * pair).min(2 * S::LANES);
                if inside == 2 * S::LANES && count == S::LANES {
                    for (k, row) in rows.iter_mut().enumerate().take(S::LANES) {
                        // SAFETY: (pixels - 1) * step + values <= x.len(), and all of these are there.
                        *row = unsafe {
                            let x = x.as_ptr().add(2 * (pair + k) * step + i);
                            s.pairs(s.load_ptr(x), s.load_ptr(x.add(step)))
                        };
                    }
                } else {
                    for (k, row) in rows.iter_mut().enumerate().take(inside.div_ceil(2)) {
                        // SAFETY: as above, with `count` values of each pixel that is there.
                        *row = unsafe {
                            let x = x.as_ptr().add(2 * (pair + k) * step + i);
                            let is_whole = 2 * k + 1 < inside;
                            let odd = if is_whole { s.load_part_ptr(x.add(step), count) } else { s.zero() };
                            s.pairs(s.load_part_ptr(x, count), odd)
                        };
                    }
                }
                // SAFETY: i + LANES is at most the multiple of 16 after `values`, pair + LANES at most
                // `pairs`, a multiple of 16.
                unsafe { s.store_transposed_ptr(y.as_mut_ptr().add(i * y_row + pair), y_row, &rows) }
            }
        }
    }
}
