//! Input gradient.

use super::{Algorithm, Conv2dShape, Correlation, Pass, Staging, Workspace, im2col};
use crate::simd::Isa;

/// Input gradient of a 2-D convolution.
///
/// `dx[n,r,q,i] = sum over u,v,o of dy[n,y,x,o] * w[u,v,i,o]` where `y*s+u-pad_top = r` and
/// `x*s+v-pad_left = q`
///
/// With stride 1 that is the correlation of `dy`, zeros around it, with the weights flipped in both
/// directions and their channels exchanged.
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `dy`: `[n, oh, ow, oc]`; `w`: `[kh, kw, ic, oc]`; `dx`: `[n, h, w, ic]`, overwritten
/// # Units
/// As `dy`.
/// # Accuracy
/// As [`Forward`](super::Forward); the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct BackwardX<'a> {
    /// Sizes.
    pub shape: &'a Conv2dShape,
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// Weights.
    pub w: &'a [f32],
    /// Gradient of the input.
    pub dx: &'a mut [f32],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

impl BackwardX<'_> {
    /// Computes `dx` by the algorithm that is [chosen](Algorithm::choose) for the shape.
    pub fn run(self, isa: Isa) {
        let algorithm = Algorithm::choose(isa, self.shape, Pass::BackwardX);
        self.run_with(isa, algorithm);
    }

    /// Computes `dx` by this algorithm.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if the algorithm does not [fit](Algorithm::fits).
    pub fn run_with(self, isa: Isa, algorithm: Algorithm) {
        let shape = self.shape;
        shape.assert_fits(self.dx, self.w, self.dy);
        if algorithm == Algorithm::Im2col {
            return im2col::backward_x(isa, self);
        }
        let arranged = &mut self.workspace.arranged;
        let correlation = Correlation::backward_x(isa, algorithm, shape, self.w, arranged);
        correlation.run_images(&Staging::backward_x(shape), shape.band(), self.dy, self.dx);
    }
}
