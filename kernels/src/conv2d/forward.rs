//! Forward.

use super::correlate::{Correlation, Plane, Rows};
use super::{Conv2dShape, im2col};
use crate::simd::Isa;

/// A 2-D convolution with bias and, if asked, ReLU.
///
/// `y[n,y,x,o] = bias[o] + sum over u,v,i of x[n, y*s+u-pad_top, x*s+v-pad_left, i] * w[u,v,i,o]`
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`: `[n, h, w, ic]`; `w`: `[kh, kw, ic, oc]`; `bias`: `[oc]`; `y`: `[n, oh, ow, oc]`, overwritten;
/// `packed_w`: workspace of [`moved_w_len`](Conv2dShape::moved_w_len) values, overwritten
/// # Accuracy
/// Running f32 sums: within `1e-6 * sqrt(kh*kw*ic)` of the sum of the terms' magnitudes of
/// [`reference`](crate::reference); the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape, or the window does not fit into the image.
pub struct Forward<'a> {
    /// Sizes.
    pub shape: &'a Conv2dShape,
    /// Input.
    pub x: &'a [f32],
    /// Weights.
    pub w: &'a [f32],
    /// One value a filter.
    pub bias: &'a [f32],
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// Output.
    pub y: &'a mut [f32],
    /// Workspace.
    pub packed_w: &'a mut [f32],
}

impl Forward<'_> {
    /// Computes `y`: on the copy-free view where the stride is 1, else by the explicit im2col matrix.
    pub fn run(self, isa: Isa) {
        let shape = self.shape;
        if shape.stride != 1 {
            return im2col::forward(isa, self);
        }
        shape.assert_fits(self.x, self.w, self.y);
        assert_eq!(self.packed_w.len(), shape.moved_w_len(), "packed_w: see moved_w_len");
        assert_eq!(self.bias.len(), shape.oc, "bias is [oc]");
        let Conv2dShape { ic, oc, .. } = *shape;
        let correlation = Correlation {
            rows: Rows::forward(isa, shape, self.w, self.bias, self.relu, self.packed_w),
            input: Plane { h: shape.h, w: shape.w, c: ic },
            output: Plane { h: shape.oh(), w: shape.ow(), c: oc },
            top: shape.pad_top(),
            left: shape.pad_left(),
            band: shape.band(),
        };
        correlation.run(self.x, self.y);
    }
}
