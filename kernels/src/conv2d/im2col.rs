//! Convolution by the explicit im2col matrix: any stride, any padding.
//!
//! The matrix is written for a few output rows at a time, so that it stays in the cache; the
//! product is the same `Product` as everywhere. It is the path of strided layers.

use super::{BackwardX, Conv2dShape, Conv2dSizes, Forward};
use crate::gemm::{Init, Product, View};
use crate::scratch;
use crate::simd::Isa;
use rayon::prelude::*;
use std::ops::Range;

/// [`Forward`] by the explicit matrix.
pub(super) fn forward(isa: Isa, f: Forward) {
    let shape = f.shape;
    let (x_len, row) = (shape.x_len() / shape.n, shape.ow() * shape.oc);
    let images = f.x.par_chunks_exact(x_len).zip(f.y.par_chunks_exact_mut(shape.oh() * row));
    images.for_each(|(x, y)| {
        y.par_chunks_mut(block(shape) * row).enumerate().for_each(|(i, y)| {
            let first = i * block(shape);
            let rows = first..first + y.len() / row;
            with_columns(shape, x, rows, |columns, _| {
                let (a, b) = (View::rows(columns, shape.window()), View::rows(f.w, shape.oc));
                let init = Init::Bias(f.bias);
                Product { segments: 1, depth: shape.window(), a, b, c: y, init, relu: f.relu }.run(isa);
            });
        });
    });
}

/// [`BackwardX`] by the explicit matrix: `dcolumns = dy w^T`, then each value is added to the pixel
/// it came from.
pub(super) fn backward_x(isa: Isa, b: BackwardX) {
    let shape = b.shape;
    let window = shape.window();
    let turned_w = b.workspace.arranged.sized(shape.w_len());
    for (k, w) in b.w.chunks_exact(shape.oc).enumerate() {
        for (o, &w) in w.iter().enumerate() {
            turned_w[o * window + k] = w;
        }
    }
    let turned_w = &*turned_w;
    let (x_len, row) = (shape.x_len() / shape.n, shape.ow() * shape.oc);
    let images = b.dy.par_chunks_exact(shape.oh() * row).zip(b.dx.par_chunks_exact_mut(x_len));
    images.for_each(|(dy, dx)| {
        dx.fill(0.0);
        scratch::with(shape.ow() * window, |columns| {
            for (r, dy) in dy.chunks_exact(row).enumerate() {
                let (a, b) = (View::rows(dy, shape.oc), View::rows(turned_w, window));
                Product { segments: 1, depth: shape.oc, a, b, c: columns, init: Init::Zero, relu: false }.run(isa);
                each_run(shape, r, |column, pixel, len| {
                    let to = &mut dx[pixel..pixel + len];
                    to.iter_mut().zip(&columns[column..column + len]).for_each(|(dx, &column)| *dx += column);
                });
            }
        });
    });
}

/// Adds the weight gradient of some output rows of one image; `dy` is theirs.
pub(super) fn backward_w(isa: Isa, shape: &Conv2dShape, x: &[f32], dy: &[f32], rows: Range<usize>, dw: &mut [f32]) {
    let row = shape.ow() * shape.oc;
    for (i, dy) in dy.chunks(block(shape) * row).enumerate() {
        let first = rows.start + i * block(shape);
        with_columns(shape, x, first..first + dy.len() / row, |columns, pixels| {
            let (a, b) = (View::rows(columns, shape.window()).transposed(), View::rows(dy, shape.oc));
            Product { segments: 1, depth: pixels, a, b, c: dw, init: Init::Accumulate, relu: false }.run(isa);
        });
    }
}

/// Output rows whose matrix fits half of a 1 MB cache.
fn block(shape: &Conv2dShape) -> usize {
    (131_072 / (shape.ow() * shape.window())).clamp(1, shape.oh())
}

/// The most values of the matrix that are written at a time.
pub(super) fn columns_len(shape: &Conv2dShape) -> usize {
    block(shape) * shape.ow() * shape.window()
}

/// Lends `work` the im2col matrix `[pixels][kh * kw * ic]` of some output rows, and its number of
/// pixels.
fn with_columns(shape: &Conv2dShape, x: &[f32], rows: Range<usize>, work: impl FnOnce(&[f32], usize)) {
    let (pixels, window) = (rows.len() * shape.ow(), shape.window());
    scratch::with(pixels * window, |columns| {
        columns.fill(0.0);
        for (r, columns) in rows.zip(columns.chunks_exact_mut(shape.ow() * window)) {
            each_run(shape, r, |column, pixel, len| {
                columns[column..column + len].copy_from_slice(&x[pixel..pixel + len]);
            });
        }
        work(columns, pixels);
    });
}

/// Calls `run(index in the matrix' rows of output row r, index in the image, length)` for every
/// stretch of the window that lies inside the image.
#[inline]
fn each_run(shape: &Conv2dShape, r: usize, mut run: impl FnMut(usize, usize, usize)) {
    let Conv2dSizes { h, w, ic, kh, kw, stride, .. } = **shape;
    let (top, left) = (shape.pad_top(), shape.pad_left());
    for u in 0..kh {
        let Some(y) = (r * stride + u).checked_sub(top).filter(|&y| y < h) else { continue };
        for q in 0..shape.ow() {
            // Columns v of the window with 0 <= q*stride + v - left < w.
            let first = left.saturating_sub(q * stride).min(kw);
            let end = (w + left).saturating_sub(q * stride).min(kw);
            if first < end {
                let column = ((q * kh + u) * kw + first) * ic;
                run(column, (y * w + q * stride + first - left) * ic, (end - first) * ic);
            }
        }
    }
}
