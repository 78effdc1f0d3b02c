//! 2-D max-pooling with windows side by side: the stride is the window's size, and what no window
//! covers at the bottom and right is left out (the default of Keras' `MaxPooling2D`).

use crate::shape::{check_sizes, product, shape_of_sizes};
use crate::simd::{Isa, Kernel, MAX_LANES, Simd};
use rayon::prelude::*;

/// The largest side of a window: the position of a value in it fits in a byte.
pub const MOST_SIZE: usize = 16;

/// What a [`MaxPool2dShape`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dSizes {
    /// Images in the batch.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Height and width of the window, and its step.
    pub size: usize,
}

/// The shape of a max-pooling: all that its kernels need to know.
///
/// It reads as its [`MaxPool2dSizes`], which cannot be changed any more: all products that the passes
/// form of them have been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MaxPool2dShape {
    sizes: MaxPool2dSizes,
    oh: usize,
    ow: usize,
    x_len: usize,
    y_len: usize,
}

shape_of_sizes!(MaxPool2dShape, MaxPool2dSizes);

impl MaxPool2dShape {
    fn checked(sizes: MaxPool2dSizes) -> Result<Self, &'static str> {
        let MaxPool2dSizes { n, h, w, c, size } = sizes;
        check_sizes([n, h, w, c, size])?;
        if size > MOST_SIZE {
            return Err("the window's side is at most 16");
        }
        let (oh, ow) = (h / size, w / size);
        if oh == 0 || ow == 0 {
            return Err("the window is larger than the image");
        }
        Ok(Self { sizes, oh, ow, x_len: product([n, h, w, c])?, y_len: product([n, oh, ow, c])? })
    }

    /// Output height.
    pub fn oh(&self) -> usize {
        self.oh
    }

    /// Output width.
    pub fn ow(&self) -> usize {
        self.ow
    }

    /// Values in `x`.
    pub fn x_len(&self) -> usize {
        self.x_len
    }

    /// Values in `y`.
    pub fn y_len(&self) -> usize {
        self.y_len
    }

    fn check(&self, x: usize, y: usize, argmax: usize) {
        assert_eq!(x, self.x_len, "x of {self:?}");
        assert_eq!(y, self.y_len, "y of {self:?}");
        assert_eq!(argmax, self.y_len, "argmax of {self:?}");
    }

    /// Values in one row of outputs.
    fn y_row(&self) -> usize {
        self.ow() * self.c
    }

    /// Where the window of output column `ox` has its value `(u, v)` of `channel`, from the
    /// window's first row on.
    #[inline(always)]
    fn at(&self, ox: usize, u: usize, v: usize, channel: usize) -> usize {
        (u * self.w + ox * self.size + v) * self.c + channel
    }
}

/// `y[n,oy,ox,c] = max over u,v < size of x[n, oy*size + u, ox*size + v, c]`.
///
/// Of equal values the first wins, row by row. NaN wins only at a window's first position: no
/// comparison with it holds.
///
/// # Shapes (NHWC)
/// `x`: `[n, h, w, c]`, f32; `y`: `[n, oh, ow, c]`, f32, overwritten; `argmax`: `[n, oh, ow, c]`,
/// u8, overwritten with `u * size + v` of the value that won
/// # Accuracy
/// Exact.
/// # Panics
/// If a length differs from its shape.
pub fn forward(isa: Isa, shape: &MaxPool2dShape, x: &[f32], y: &mut [f32], argmax: &mut [u8]) {
    shape.check(x.len(), y.len(), argmax.len());
    let MaxPool2dSizes { h, w, c, size, .. } = **shape;
    let rows = y.par_chunks_mut(shape.y_row()).zip(argmax.par_chunks_mut(shape.y_row()));
    rows.enumerate().for_each(|(row, (y, argmax))| {
        let (image, oy) = (row / shape.oh(), row % shape.oh());
        let x = &x[(image * h + oy * size) * w * c..][..size * w * c];
        isa.run(ForwardRow { shape, x, y, argmax });
    });
}

/// One row of outputs from the `size` rows of inputs that it looks at.
struct ForwardRow<'a> {
    shape: &'a MaxPool2dShape,
    x: &'a [f32],
    y: &'a mut [f32],
    argmax: &'a mut [u8],
}

impl Kernel for ForwardRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, x, y, argmax } = self;
        let MaxPool2dSizes { c, size, .. } = **shape;
        let pixels = y.chunks_exact_mut(c).zip(argmax.chunks_exact_mut(c));
        for (ox, (y, argmax)) in pixels.enumerate() {
            let vectors = y.chunks_mut(S::LANES).zip(argmax.chunks_mut(S::LANES));
            for (i, (y, argmax)) in vectors.enumerate() {
                let channel = i * S::LANES;
                let mut best = s.load_part(&x[shape.at(ox, 0, 0, channel)..][..y.len()]);
                // Positions travel as the bits of f32 lanes: they are chosen and stored, never
                // computed with.
                let mut winner = s.splat(f32::from_bits(0));
                for u in 0..size {
                    for v in 0..size {
                        let x = s.load_part(&x[shape.at(ox, u, v, channel)..][..y.len()]);
                        let larger = s.gt(x, best);
                        best = s.select(larger, x, best);
                        winner = s.select(larger, s.splat(f32::from_bits((u * size + v) as u32)), winner);
                    }
                }
                s.store_part(y, best);
                let mut winners = [0.0; MAX_LANES];
                s.store(&mut winners, winner);
                for (argmax, winner) in argmax.iter_mut().zip(winners) {
                    *argmax = winner.to_bits() as u8;
                }
            }
        }
    }
}

/// `dx` is `dy` at the position that won its window, and 0 elsewhere, including the rows and
/// columns that no window covers.
///
/// # Shapes (NHWC)
/// `argmax`: `[n, oh, ow, c]`, u8; `dy`: `[n, oh, ow, c]`, f32; `dx`: `[n, h, w, c]`, f32,
/// overwritten
/// # Units
/// As `dy`.
/// # Accuracy
/// Exact.
/// # Panics
/// If a length differs from its shape.
pub fn backward(isa: Isa, shape: &MaxPool2dShape, argmax: &[u8], dy: &[f32], dx: &mut [f32]) {
    shape.check(dx.len(), dy.len(), argmax.len());
    let MaxPool2dSizes { h, w, c, size, .. } = **shape;
    let of_image = shape.oh() * shape.y_row();
    dx.par_chunks_mut(h * w * c).enumerate().for_each(|(image, dx)| {
        // A band is the inputs of one row of outputs; what is left below the last one has no
        // outputs.
        for (oy, dx) in dx.chunks_mut(size * w * c).enumerate() {
            if oy < shape.oh() {
                let at = image * of_image + oy * shape.y_row();
                let (argmax, dy) = (&argmax[at..][..shape.y_row()], &dy[at..][..shape.y_row()]);
                isa.run(BackwardRow { shape, argmax, dy, dx });
            } else {
                dx.fill(0.0);
            }
        }
    });
}

/// The `size` rows of input gradients that one row of outputs looks at.
struct BackwardRow<'a> {
    shape: &'a MaxPool2dShape,
    argmax: &'a [u8],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for BackwardRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, argmax, dy, dx } = self;
        let MaxPool2dSizes { w, c, size, .. } = **shape;
        let pixels = dy.chunks_exact(c).zip(argmax.chunks_exact(c));
        for (ox, (dy, argmax)) in pixels.enumerate() {
            let vectors = dy.chunks(S::LANES).zip(argmax.chunks(S::LANES));
            for (i, (dy, argmax)) in vectors.enumerate() {
                let (channel, lanes) = (i * S::LANES, dy.len());
                let (dy, winner) = (s.load_part(dy), s.load_u8_part(argmax));
                for u in 0..size {
                    for v in 0..size {
                        let position = (u * size + v) as f32;
                        let up_to = s.select(s.gt(winner, s.splat(position + 0.5)), s.zero(), dy);
                        let here = s.select(s.gt(winner, s.splat(position - 0.5)), up_to, s.zero());
                        s.store_part(&mut dx[shape.at(ox, u, v, channel)..][..lanes], here);
                    }
                }
            }
        }
        for dx in dx.chunks_exact_mut(w * c) {
            dx[size * shape.y_row()..].fill(0.0);
        }
    }
}
