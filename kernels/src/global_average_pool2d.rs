//! Global average pooling: an image becomes the mean of its pixels.

use crate::shape::{check_sizes, product, shape_of_sizes};
use crate::simd::{Isa, Kernel, Simd, each_group};
use rayon::prelude::*;

/// What a [`GlobalAveragePool2dShape`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAveragePool2dSizes {
    /// Images in the batch.
    pub n: usize,
    /// Pixels of an image: its height times its width.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
}

/// The shape of a global average pooling: all that its kernels need to know.
///
/// It reads as its [`GlobalAveragePool2dSizes`], which cannot be changed any more: all products that the passes
/// form of them have been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GlobalAveragePool2dShape {
    sizes: GlobalAveragePool2dSizes,
    x_len: usize,
    y_len: usize,
}

shape_of_sizes!(GlobalAveragePool2dShape, GlobalAveragePool2dSizes);

impl GlobalAveragePool2dShape {
    fn checked(sizes: GlobalAveragePool2dSizes) -> Result<Self, &'static str> {
        let GlobalAveragePool2dSizes { n, pixels, c } = sizes;
        check_sizes([n, pixels, c])?;
        Ok(Self { sizes, x_len: product([n, pixels, c])?, y_len: product([n, c])? })
    }

    /// Values in `x`.
    pub fn x_len(&self) -> usize {
        self.x_len
    }

    /// Values in `y`.
    pub fn y_len(&self) -> usize {
        self.y_len
    }

    fn check(&self, x: usize, y: usize) {
        assert_eq!(x, self.x_len, "x of {self:?}");
        assert_eq!(y, self.y_len, "y of {self:?}");
    }
}

/// `y[n,c] = sum over pixels of x[n,pixel,c] / pixels`.
///
/// # Shapes (NHWC)
/// `x`: `[n, h, w, c]`, f32; `y`: `[n, c]`, f32, overwritten
/// # Accuracy
/// A running f32 sum: within 1e-6 of `reference` for the images of a few hundred pixels that
/// networks end with; the same bits for any number of threads.
/// # Panics
/// If a length differs from its shape.
/// # Source
/// Lin, Chen and Yan 2014, Network In Network, section 3.2, <https://arxiv.org/abs/1312.4400>.
pub fn forward(isa: Isa, shape: &GlobalAveragePool2dShape, x: &[f32], y: &mut [f32]) {
    let GlobalAveragePool2dSizes { pixels, c, .. } = **shape;
    shape.check(x.len(), y.len());
    let images = x.par_chunks_exact(pixels * c).zip(y.par_chunks_exact_mut(c));
    images.for_each(|(x, y)| isa.run(Mean { x, y }));
}

/// The mean of the pixels of an image.
struct Mean<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, y } = self;
        let c = y.len();
        let pixels = x.len() / c;
        let share = s.splat(1.0 / pixels as f32);
        each_group!(s, c, channels => {
            let mut sum = s.zero();
            for q in 0..pixels {
                // SAFETY: q is a pixel of x.
                sum = s.add(sum, unsafe { channels.load(x, q) });
            }
            // SAFETY: y is one pixel.
            unsafe { channels.store(y, 0, s.mul(sum, share)) };
        });
    }
}

/// `dx[n,pixel,c] = dy[n,c] / pixels`.
///
/// # Shapes (NHWC)
/// `dy`: `[n, c]`, f32; `dx`: `[n, h, w, c]`, f32, overwritten
/// # Units
/// As `dy`.
/// # Accuracy
/// Two roundings.
/// # Panics
/// If a length differs from its shape.
pub fn backward(isa: Isa, shape: &GlobalAveragePool2dShape, dy: &[f32], dx: &mut [f32]) {
    let GlobalAveragePool2dSizes { pixels, c, .. } = **shape;
    shape.check(dx.len(), dy.len());
    let images = dx.par_chunks_exact_mut(pixels * c).zip(dy.par_chunks_exact(c));
    images.for_each(|(dx, dy)| isa.run(Spread { dy, dx }));
}

/// The gradient of the pixels of an image.
struct Spread<'a> {
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { dy, dx } = self;
        let c = dy.len();
        let pixels = dx.len() / c;
        let share = s.splat(1.0 / pixels as f32);
        each_group!(s, c, channels => {
            let each = s.mul(channels.of(dy), share);
            for q in 0..pixels {
                // SAFETY: q is a pixel of dx.
                unsafe { channels.store(dx, q, each) };
            }
        });
    }
}
