//! Input gradient.

use super::correlate::{Correlation, Plane, Rows};
use super::{Conv2dShape, im2col};
use crate::simd::Isa;

/// Input gradient of a 2-D convolution.
///
/// `dx[n,r,q,i] = sum over u,v,o of dy[n,y,x,o] * w[u,v,i,o]` where `y*s+u-pad_top = r` and `x*s+v-pad_left = q`
///
/// With stride 1 that is the correlation of `dy`, zeros around it, with the weights flipped in both directions and
/// their channels exchanged.
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `dy`: `[n, oh, ow, oc]`; `w`: `[kh, kw, ic, oc]`; `dx`: `[n, h, w, ic]`, overwritten;
/// `turned_w`: workspace of [`moved_w_len`](Conv2dShape::moved_w_len) values, overwritten
/// # Units
/// As `dy`.
/// # Accuracy
/// As [`Forward`](super::Forward); the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape, or the window does not fit into the image.
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
    pub turned_w: &'a mut [f32],
}

impl BackwardX<'_> {
    /// Computes `dx`.
    pub fn run(self, isa: Isa) {
        let shape = self.shape;
        if shape.stride != 1 {
            return im2col::backward_x(isa, self);
        }
        shape.assert_fits(self.dx, self.w, self.dy);
        assert_eq!(self.turned_w.len(), shape.moved_w_len(), "turned_w: see moved_w_len");
        let Conv2dShape { kh, kw, ic, oc, .. } = *shape;
        let correlation = Correlation {
            rows: Rows::backward_x(isa, shape, self.w, self.turned_w),
            input: Plane { h: shape.oh(), w: shape.ow(), c: oc },
            output: Plane { h: shape.h, w: shape.w, c: ic },
            top: kh - 1 - shape.pad_top(),
            left: kw - 1 - shape.pad_left(),
            band: shape.band(),
        };
        correlation.run(self.dy, self.dx);
    }
}
