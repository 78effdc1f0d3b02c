//! Where two paths of a network meet: the sum of two images, and images whose channels are scaled.

use crate::global_average_pool2d::{GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use crate::simd::{Isa, Kernel, Simd, VALUES_PER_TASK, each_group, map};
use rayon::prelude::*;

/// `y = x + earlier`.
///
/// # Shapes
/// `x`, `earlier`: any f32, equally long; `y`: as `x`, overwritten
/// # Accuracy
/// One rounding.
/// # Panics
/// If the lengths differ.
/// # Source
/// He et al. 2015, Deep Residual Learning, section 3.2, <https://arxiv.org/abs/1512.03385>.
pub fn add(isa: Isa, x: &[f32], earlier: &[f32], y: &mut [f32]) {
    assert_eq!((x.len(), earlier.len()), (y.len(), y.len()), "x, earlier and y");
    let inputs = x.par_chunks(VALUES_PER_TASK).zip(earlier.par_chunks(VALUES_PER_TASK));
    let tasks = inputs.zip(y.par_chunks_mut(VALUES_PER_TASK));
    tasks.for_each(|((x, earlier), y)| isa.run(Add { x, earlier, y }));
}

struct Add<'a> {
    x: &'a [f32],
    earlier: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map(
            s,
            [self.x, self.earlier],
            [self.y],
            #[inline(always)]
            |[x, earlier], [_]| [s.add(x, earlier)],
        );
    }
}

/// `dx += gradient`: what a second path of a network adds to the gradient of its beginning.
///
/// # Shapes
/// `gradient`: any f32; `dx`: as `gradient`
/// # Units
/// As `gradient`.
/// # Accuracy
/// One rounding.
/// # Panics
/// If the lengths differ.
pub fn accumulate(isa: Isa, gradient: &[f32], dx: &mut [f32]) {
    assert_eq!(gradient.len(), dx.len(), "gradient and dx");
    let tasks = gradient.par_chunks(VALUES_PER_TASK).zip(dx.par_chunks_mut(VALUES_PER_TASK));
    tasks.for_each(|(gradient, dx)| isa.run(Accumulate { gradient, dx }));
}

struct Accumulate<'a> {
    gradient: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map(
            s,
            [self.gradient],
            [self.dx],
            #[inline(always)]
            |[gradient], [dx]| [s.add(dx, gradient)],
        );
    }
}

/// `y[n,pixel,c] = x[n,pixel,c] * factors[n,c]`.
///
/// # Shapes (NHWC)
/// `x`: `[n, h, w, c]`, f32; `factors`: `[n, c]`, f32; `y`: `[n, h, w, c]`, f32, overwritten
/// # Accuracy
/// One rounding.
/// # Panics
/// If a length differs from its shape.
/// # Source
/// Hu et al. 2017, Squeeze-and-Excitation Networks, equation 4, <https://arxiv.org/abs/1709.01507>.
pub fn scale_channels(isa: Isa, shape: &GlobalAveragePool2dShape, x: &[f32], factors: &[f32], y: &mut [f32]) {
    let GlobalAveragePool2dSizes { pixels, c, .. } = **shape;
    assert_eq!((x.len(), y.len()), (shape.x_len(), shape.x_len()), "x and y are [n, h, w, c]: {shape:?}");
    assert_eq!(factors.len(), shape.y_len(), "factors are [n, c]: {shape:?}");
    let images = x.par_chunks_exact(pixels * c).zip(factors.par_chunks_exact(c));
    let tasks = images.zip(y.par_chunks_exact_mut(pixels * c));
    tasks.for_each(|((x, factors), y)| isa.run(Scale { x, factors, y }));
}

/// An image, times a factor for each channel.
struct Scale<'a> {
    x: &'a [f32],
    factors: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, factors, y } = self;
        assert_eq!(x.len(), y.len());
        let c = factors.len();
        let pixels = x.len() / c;
        each_group!(s, c, channels => {
            let factors = channels.of(factors);
            for q in 0..pixels {
                // SAFETY: q is a pixel of x and of y, which are equally long.
                unsafe { channels.store(y, q, s.mul(channels.load(x, q), factors)) };
            }
        });
    }
}

/// The gradients of [`scale_channels`].
///
/// `dx[n,pixel,c] = dy[n,pixel,c] * factors[n,c]`;
/// `dfactors[n,c] = sum over pixels of dy[n,pixel,c] * x[n,pixel,c]`
///
/// # Shapes (NHWC)
/// `x`, `dy`: `[n, h, w, c]`, f32; `factors`: `[n, c]`, f32; `dx`: `[n, h, w, c]`, f32, overwritten;
/// `dfactors`: `[n, c]`, f32, overwritten
/// # Units
/// As `dy`.
/// # Accuracy
/// `dx`: one rounding. `dfactors`: a running f32 sum over the pixels of an image: within 1e-5 of
/// `reference` for images of up to 64x64; the same bits for any number of threads.
/// # Panics
/// If a length differs from its shape.
pub fn scale_channels_backward(
    isa: Isa,
    shape: &GlobalAveragePool2dShape,
    [x, factors, dy]: [&[f32]; 3],
    [dx, dfactors]: [&mut [f32]; 2],
) {
    let GlobalAveragePool2dSizes { pixels, c, .. } = **shape;
    assert_eq!([x.len(), dy.len(), dx.len()], [shape.x_len(); 3], "x, dy and dx are [n, h, w, c]: {shape:?}");
    assert_eq!([factors.len(), dfactors.len()], [shape.y_len(); 2], "factors and dfactors are [n, c]: {shape:?}");
    let inputs = (x.par_chunks_exact(pixels * c), factors.par_chunks_exact(c), dy.par_chunks_exact(pixels * c));
    let outputs = (dx.par_chunks_exact_mut(pixels * c), dfactors.par_chunks_exact_mut(c));
    let tasks = inputs.into_par_iter().zip(outputs.into_par_iter());
    tasks.for_each(|((x, factors, dy), (dx, dfactors))| isa.run(ScaleBackward { x, factors, dy, dx, dfactors }));
}

/// The gradients of an image and of its factors.
struct ScaleBackward<'a> {
    x: &'a [f32],
    factors: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    dfactors: &'a mut [f32],
}

impl Kernel for ScaleBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, factors, dy, dx, dfactors } = self;
        assert_eq!([x.len(), dy.len()], [dx.len(); 2]);
        let c = factors.len();
        assert_eq!(c, dfactors.len());
        let pixels = x.len() / c;
        each_group!(s, c, channels => {
            let (factors, mut sum) = (channels.of(factors), s.zero());
            for q in 0..pixels {
                // SAFETY: q is a pixel of x, dy and dx, which are equally long.
                let (x, dy) = unsafe { (channels.load(x, q), channels.load(dy, q)) };
                sum = s.mul_add(dy, x, sum);
                // SAFETY: as above.
                unsafe { channels.store(dx, q, s.mul(dy, factors)) };
            }
            // SAFETY: dfactors are one pixel.
            unsafe { channels.store(dfactors, 0, sum) };
        });
    }
}
