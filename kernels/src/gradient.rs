//! What clipping does with a gradient as a whole: the sum of its squares, and its shortening.

use crate::simd::{Isa, Kernel, Simd, VALUES_PER_TASK, map};
use rayon::prelude::*;

/// The number of sums that a task keeps side by side: their order is that of the values, not of the
/// lanes that an instruction set has.
const SUMS: usize = 16;

/// The sum of `g^2`.
///
/// # Shapes
/// `g`: any f32
/// # Accuracy
/// In f64, within 1e-12 of `reference::gradient` relative to the sum; the same bits for any number
/// of threads and on any instruction set. No finite f32 overflows it.
pub fn sum_of_squares(isa: Isa, g: &[f32]) -> f64 {
    if g.len() <= VALUES_PER_TASK {
        return isa.run(SumOfSquares { g });
    }
    // The halves are those of the shape, whoever computes them.
    let (left, right) = g.split_at(g.len().div_ceil(VALUES_PER_TASK) / 2 * VALUES_PER_TASK);
    let (left, right) = rayon::join(|| sum_of_squares(isa, left), || sum_of_squares(isa, right));
    left + right
}

struct SumOfSquares<'a> {
    g: &'a [f32],
}

impl Kernel for SumOfSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        // Plain loops in f64, which `Simd` does not have: the compiler makes vectors of them.
        let mut sums = [0.0; SUMS];
        let (whole, rest) = self.g.as_chunks::<SUMS>();
        for g in whole {
            for (sum, &g) in sums.iter_mut().zip(g) {
                *sum += f64::from(g) * f64::from(g);
            }
        }
        let mut sum = 0.0;
        for &g in rest {
            sum += f64::from(g) * f64::from(g);
        }
        for of_lane in sums {
            sum += of_lane;
        }
        sum
    }
}

/// `g = g * factor`.
///
/// # Shapes
/// `g`: any f32, overwritten
/// # Accuracy
/// One rounding.
pub fn scale(isa: Isa, factor: f32, g: &mut [f32]) {
    g.par_chunks_mut(VALUES_PER_TASK).for_each(|g| isa.run(Scale { factor, g }));
}

struct Scale<'a> {
    factor: f32,
    g: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let factor = s.splat(self.factor);
        map(
            s,
            [],
            [self.g],
            #[inline(always)]
            |[], [g]| [s.mul(g, factor)],
        );
    }
}
