//! Global average pooling.

use super::{Layer, Pass};
use crate::tensor::Tensor;
use onesheet_kernels::global_average_pool2d::{self, GlobalAveragePool2dShape};
use onesheet_kernels::simd::Isa;

/// The mean of each image's pixels.
pub(super) struct GlobalAveragePool2d;

/// The sizes of a batch of images that became `y`.
fn shape(x: &Tensor, y: &Tensor) -> GlobalAveragePool2dShape {
    GlobalAveragePool2dShape { n: x.n(), pixels: x.item_len() / y.item_len(), c: y.item_len() }
}

impl Layer for GlobalAveragePool2d {
    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        global_average_pool2d::forward(isa, &shape(x, y), x.values(), y.values_mut());
    }

    fn backward(&mut self, isa: Isa, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        if let Some(dx) = dx {
            global_average_pool2d::backward(isa, &shape(x, y), dy.values(), dx.values_mut());
        }
    }
}
