//! ReLU where it follows neither a convolution nor a dense layer.

use super::{Layer, Pass};
use crate::tensor::Tensor;
use onesheet_kernels::activation;
use onesheet_kernels::simd::Isa;

pub(super) struct Relu;

impl Layer for Relu {
    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        y.values_mut().copy_from_slice(x.values());
        activation::relu(isa, y.values_mut());
    }

    fn backward(&mut self, isa: Isa, _x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        if let Some(dx) = dx {
            dx.values_mut().copy_from_slice(dy.values());
            activation::relu_backward(isa, y.values(), dx.values_mut());
        }
    }
}
