//! The loops of the definition in f32 as a good programmer writes them without intrinsics: over
//! slices, channels innermost, in the order in which memory lies, compiled for the instruction set
//! that the kernels use and with its fused multiply-adds. No blocking, no tiles.

use onesheet_kernels::conv2d::Conv2dShape;
use onesheet_kernels::simd::{Kernel, Simd};
use std::ops::Range;

/// `y += a * x`: what the compiler vectorises.
#[inline(always)]
fn axpy<S: Simd>(_: S, a: f32, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.iter().zip(y) {
        // Where multiply-adds are not fused, `f32::mul_add` is a call.
        *y = if S::REGISTERS >= 16 { a.mul_add(*x, *y) } else { a * x + *y };
    }
}

/// Calls `run(pixel of y, values of x, rows of w)` for every output pixel and every row of its
/// window: the part inside the image is one run of values of x, and they meet as many successive
/// rows of w, of `oc` values each. The stride is 1.
#[inline(always)]
fn each_run(s: &Conv2dShape, mut run: impl FnMut(usize, Range<usize>, Range<usize>)) {
    let [top, left] = [s.pad_top(), s.pad_left()];
    for n in 0..s.n {
        for oy in 0..s.oh() {
            for ox in 0..s.ow() {
                let columns = left.saturating_sub(ox)..s.kw.min(s.w + left - ox);
                for u in top.saturating_sub(oy)..s.kh.min(s.h + top - oy) {
                    let x = ((n * s.h + oy + u - top) * s.w + ox + columns.start - left) * s.ic;
                    let w = (u * s.kw + columns.start) * s.ic;
                    let len = columns.len() * s.ic;
                    run((n * s.oh() + oy) * s.ow() + ox, x..x + len, w..w + len);
                }
            }
        }
    }
}

/// `y = bias + x * w`.
pub struct Forward<'a> {
    pub shape: &'a Conv2dShape,
    pub x: &'a [f32],
    pub w: &'a [f32],
    pub bias: &'a [f32],
    pub y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, x, w, bias, y } = self;
        let oc = shape.oc;
        y.chunks_exact_mut(oc).for_each(|y| y.copy_from_slice(bias));
        each_run(
            shape,
            #[inline(always)]
            |pixel, xs, ws| {
                let y = &mut y[pixel * oc..][..oc];
                for (x, w) in x[xs].iter().zip(w[ws.start * oc..ws.end * oc].chunks_exact(oc)) {
                    axpy(s, *x, w, y);
                }
            },
        );
    }
}

/// The gradient of the input.
pub struct BackwardX<'a> {
    pub shape: &'a Conv2dShape,
    pub dy: &'a [f32],
    pub w: &'a [f32],
    pub dx: &'a mut [f32],
    /// Room for the weights with the output channels first, so that the innermost loop runs over
    /// the input.
    pub transposed: &'a mut [f32],
}

impl Kernel for BackwardX<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, dy, w, dx, transposed } = self;
        let (oc, rows) = (shape.oc, w.len() / shape.oc);
        for (i, w) in w.chunks_exact(oc).enumerate() {
            for (o, w) in w.iter().enumerate() {
                transposed[o * rows + i] = *w;
            }
        }
        dx.fill(0.0);
        each_run(
            shape,
            #[inline(always)]
            |pixel, xs, ws| {
                let (dy, dx) = (&dy[pixel * oc..][..oc], &mut dx[xs]);
                for (dy, w) in dy.iter().zip(transposed.chunks_exact(rows)) {
                    axpy(s, *dy, &w[ws.clone()], dx);
                }
            },
        );
    }
}

/// The gradients of the weights and the bias.
pub struct BackwardW<'a> {
    pub shape: &'a Conv2dShape,
    pub x: &'a [f32],
    pub dy: &'a [f32],
    pub dw: &'a mut [f32],
    pub db: &'a mut [f32],
}

impl Kernel for BackwardW<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, x, dy, dw, db } = self;
        let oc = shape.oc;
        dy.chunks_exact(oc).for_each(
            #[inline(always)]
            |dy| axpy(s, 1.0, dy, db),
        );
        each_run(
            shape,
            #[inline(always)]
            |pixel, xs, ws| {
                let dy = &dy[pixel * oc..][..oc];
                for (x, dw) in x[xs].iter().zip(dw[ws.start * oc..ws.end * oc].chunks_exact_mut(oc)) {
                    axpy(s, *x, dy, dw);
                }
            },
        );
    }
}
