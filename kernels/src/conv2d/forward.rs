//! Forward.

use super::{Algorithm, Conv2dShape, Correlation, Pass, Staging, Workspace, im2col};
use crate::simd::Isa;

/// A 2-D convolution with bias and, if asked, ReLU.
///
/// `y[n,y,x,o] = bias[o] + sum over u,v,i of x[n, y*s+u-pad_top, x*s+v-pad_left, i] * w[u,v,i,o]`
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`: `[n, h, w, ic]`; `w`: `[kh, kw, ic, oc]`; `bias`: `[oc]`; `y`: `[n, oh, ow, oc]`,
/// overwritten
/// # Accuracy
/// Running f32 sums: within `1e-6 * sqrt(kh*kw*ic)` of the sum of the terms' magnitudes of
/// [`reference`](crate::reference); the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct Forward<'a> {
    /// Sizes.
    pub shape: &'a Conv2dShape,
    /// Input.
    pub x: &'a [f32],
    /// Weights.
    pub w: &'a [f32],
    /// One value per filter.
    pub bias: &'a [f32],
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// Output.
    pub y: &'a mut [f32],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

impl Forward<'_> {
    /// Computes `y` by the algorithm that is [chosen](Algorithm::choose) for the shape.
    pub fn run(self, isa: Isa) {
        let algorithm = Algorithm::choose(isa, self.shape, Pass::Forward);
        self.run_with(isa, algorithm);
    }

    /// Computes `y` by this algorithm.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if the algorithm does not [fit](Algorithm::fits).
    pub fn run_with(self, isa: Isa, algorithm: Algorithm) {
        let shape = self.shape;
        shape.assert_fits(self.x, self.w, self.y);
        assert_eq!(self.bias.len(), shape.oc, "bias is [oc]: {shape:?}");
        if algorithm == Algorithm::Im2col {
            return im2col::forward(isa, self);
        }
        let arranged = &mut self.workspace.arranged;
        let correlation = Correlation::forward(isa, algorithm, shape, self.w, self.bias, self.relu, arranged);
        correlation.run_images(&Staging::forward(shape), shape.band(), self.x, self.y);
    }
}
