//! Rectified linear unit, in place; the gradient of the sigmoid, whose values are those of
//! [`loss::sigmoid`](crate::loss::sigmoid).

use crate::simd::{Isa, Kernel, Simd, VALUES_PER_TASK, map};
use rayon::prelude::*;

/// `y = max(y, 0)`; NaN stays NaN.
///
/// # Shapes
/// `y`: any f32, overwritten
/// # Accuracy
/// Exact.
pub fn relu(isa: Isa, y: &mut [f32]) {
    y.par_chunks_mut(VALUES_PER_TASK).for_each(|y| isa.run(Relu { y }));
}

struct Relu<'a> {
    y: &'a mut [f32],
}

impl Kernel for Relu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map(
            s,
            [],
            [self.y],
            #[inline(always)]
            // `max` returns its second operand where one is NaN.
            |[], [y]| [s.max(s.zero(), y)],
        );
    }
}

/// `dy = dy` where `y > 0`, else 0: the gradient at 0 is 0, as in Keras and PyTorch.
///
/// # Shapes
/// `y`: any f32, the output of [`relu`]; `dy`: as `y`, overwritten with the gradient of the input
/// # Units
/// As `dy`.
/// # Accuracy
/// Exact.
/// # Panics
/// If the lengths differ.
pub fn relu_backward(isa: Isa, y: &[f32], dy: &mut [f32]) {
    assert_eq!(y.len(), dy.len(), "y and dy");
    y.par_chunks(VALUES_PER_TASK)
        .zip(dy.par_chunks_mut(VALUES_PER_TASK))
        .for_each(|(y, dy)| isa.run(ReluBackward { y, dy }));
}

struct ReluBackward<'a> {
    y: &'a [f32],
    dy: &'a mut [f32],
}

impl Kernel for ReluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map(
            s,
            [self.y],
            [self.dy],
            #[inline(always)]
            |[y], [dy]| [s.select(s.gt(y, s.zero()), dy, s.zero())],
        );
    }
}

/// `dx = dy * y * (1 - y)`.
///
/// # Shapes
/// `y`: any f32, the output of [`loss::sigmoid`](crate::loss::sigmoid); `dy`, `dx` (overwritten): as `y`
/// # Units
/// As `dy`.
/// # Accuracy
/// Three roundings.
/// # Panics
/// If the lengths differ.
pub fn sigmoid_backward(isa: Isa, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_eq!((y.len(), dy.len()), (dx.len(), dx.len()), "y, dy and dx");
    let inputs = y.par_chunks(VALUES_PER_TASK).zip(dy.par_chunks(VALUES_PER_TASK));
    let tasks = inputs.zip(dx.par_chunks_mut(VALUES_PER_TASK));
    tasks.for_each(|((y, dy), dx)| isa.run(SigmoidBackward { y, dy, dx }));
}

struct SigmoidBackward<'a> {
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for SigmoidBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map(
            s,
            [self.y, self.dy],
            [self.dx],
            #[inline(always)]
            |[y, dy], [_]| [s.mul(dy, s.mul(y, s.sub(s.splat(1.0), y)))],
        );
    }
}
