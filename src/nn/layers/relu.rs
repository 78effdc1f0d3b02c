//! ReLU where it follows neither a convolution nor a dense layer.

use super::{Backward, Description, Inputs, Layer, Pass};
use crate::nn::tensor::Tensor;
use onesheet_kernels::activation;
use onesheet_kernels::simd::Isa;

/// A ReLU keeps any shape.
pub fn describe(input: &[usize]) -> Description {
    Description::of_output(input.to_vec())
}

pub struct Relu;

impl Layer for Relu {
    fn reserve(&mut self, _isa: Isa, _n: usize, _training: bool) {}

    fn forward(&mut self, isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, _pass: Pass) {
        y.values_mut().copy_from_slice(x.values());
        activation::relu(isa, y.values_mut());
    }

    fn backward(&mut self, isa: Isa, Backward { y, dy, dx, .. }: Backward) {
        if let Some(dx) = dx {
            dx.values_mut().copy_from_slice(dy.values());
            activation::relu_backward(isa, y.values(), dx.values_mut());
        }
    }

    fn input_gradient(&mut self, isa: Isa, io: Backward) {
        self.backward(isa, io);
    }
}
