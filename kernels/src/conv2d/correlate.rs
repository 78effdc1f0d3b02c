//! The stride-1 correlation behind forward and backward_x.

use crate::gemm::{Init, Product};
use crate::scratch;
use crate::simd::Isa;
use rayon::prelude::*;
use std::ops::Range;

/// One image plane layout: height, width, channels.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

impl Plane {
    pub fn len(&self) -> usize {
        self.h * self.w * self.c
    }
}

/// `y[n,r,q,o] = init[o] + sum over u,v,i of x[n, r+u-top, q+v-left, i] * w[u,v,i,o]`, zeros outside the image.
pub(super) struct Correlation<'a> {
    pub isa: Isa,
    pub input: Plane,
    pub output: Plane,
    pub kh: usize,
    pub kw: usize,
    /// Rows and columns of zeros before the image; those after it follow from the sizes.
    pub top: usize,
    pub left: usize,
    /// `[kh][kw][input.c][output.c]`.
    pub w: &'a [f32],
    pub init: Init<'a>,
    pub relu: bool,
    /// Output rows a task.
    pub band: usize,
}

impl Correlation<'_> {
    /// `x`: `[n]` input planes; `y`: `[n]` output planes, overwritten.
    pub fn run(&self, x: &[f32], y: &mut [f32]) {
        let images = x.par_chunks_exact(self.input.len()).zip(y.par_chunks_exact_mut(self.output.len()));
        images.for_each(|(x, y)| {
            let band_len = self.band * self.output.w * self.output.c;
            y.par_chunks_mut(band_len).enumerate().for_each(|(i, y)| self.band(x, i * self.band, y));
        });
    }

    /// Output rows from `first` on, as many as `y` holds.
    fn band(&self, x: &[f32], first: usize, y: &mut [f32]) {
        let rows = y.len() / (self.output.w * self.output.c);
        let padded_w = self.output.w + self.kw - 1;
        if self.top == 0 && self.left == 0 && padded_w == self.input.w && self.output.h + self.kh - 1 == self.input.h {
            let row = self.input.w * self.input.c;
            return self.rows(&x[first * row..], row, y);
        }
        let staged_rows = first..first + rows + self.kh - 1;
        let row = padded_w * self.input.c;
        scratch::with(staged_rows.len() * row, |staged| {
            stage(x, self.input, self.top, self.left, staged_rows, padded_w, staged);
            self.rows(staged, row, y);
        });
    }

    /// The rows of `y` from the rows of `x` below them; `x` has all the zeros it needs.
    fn rows(&self, x: &[f32], x_row: usize, y: &mut [f32]) {
        for (r, y) in y.chunks_exact_mut(self.output.w * self.output.c).enumerate() {
            Product {
                m: self.output.w,
                n: self.output.c,
                segments: self.kh,
                depth: self.kw * self.input.c,
                a: &x[r * x_row..],
                a_row: self.input.c,
                a_col: 1,
                a_segment: x_row,
                b: self.w,
                b_row: self.output.c,
                c: y,
                c_row: self.output.c,
                init: self.init,
                relu: self.relu,
            }
            .run(self.isa);
        }
    }
}

/// Copies rows of an image with zeros around it; `rows` count from `top` rows above the image, a staged row is `width`
/// pixels that start `left` pixels before it.
pub(super) fn stage(
    x: &[f32],
    plane: Plane,
    top: usize,
    left: usize,
    rows: Range<usize>,
    width: usize,
    to: &mut [f32],
) {
    let x_row = plane.w * plane.c;
    for (r, to) in rows.zip(to.chunks_exact_mut(width * plane.c)) {
        if r < top || r >= top + plane.h {
            to.fill(0.0);
            continue;
        }
        let (before, rest) = to.split_at_mut(left * plane.c);
        let kept = x_row.min(rest.len());
        let (inside, after) = rest.split_at_mut(kept);
        before.fill(0.0);
        inside.copy_from_slice(&x[(r - top) * x_row..][..kept]);
        after.fill(0.0);
    }
}
