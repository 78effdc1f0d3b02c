//! The sigmoid as a layer, which gives the factors of squeeze-and-excite.

use super::{Backward, Description, Inputs, Layer, Pass};
use crate::nn::tensor::Tensor;
use onesheet_kernels::simd::Isa;
use onesheet_kernels::{activation, loss};

/// A sigmoid keeps any shape.
pub fn describe(input: &[usize]) -> Description {
    Description::of_output(input.to_vec())
}

/// `y = 1 / (1 + exp(-x))`.
pub struct Sigmoid;

impl Layer for Sigmoid {
    fn reserve(&mut self, _isa: Isa, _n: usize, _training: bool) {}

    fn forward(&mut self, _isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, _pass: Pass) {
        loss::sigmoid(x.values(), y.values_mut());
    }

    fn backward(&mut self, isa: Isa, Backward { y, dy, dx, .. }: Backward) {
        if let Some(dx) = dx {
            activation::sigmoid_backward(isa, y.values(), dy.values(), dx.values_mut());
        }
    }

    fn input_gradient(&mut self, isa: Isa, io: Backward) {
        self.backward(isa, io);
    }
}
