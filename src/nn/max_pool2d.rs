//! 2-D max-pooling.

use super::{Layer, Pass};
use crate::tensor::Tensor;
use onesheet_kernels::max_pool2d::{self, MaxPool2dShape};
use onesheet_kernels::simd::Isa;

/// The largest value of each window; stride = size.
pub(super) struct MaxPool2d {
    /// For a batch of one; `n` follows the batch.
    shape: MaxPool2dShape,
    /// Where in its window each maximum of the last forward pass was.
    argmax: Vec<u8>,
}

impl MaxPool2d {
    pub fn new([h, w, c]: [usize; 3], size: usize) -> Self {
        Self { shape: MaxPool2dShape { n: 1, h, w, c, size }, argmax: Vec::new() }
    }
}

impl Layer for MaxPool2d {
    fn reserve(&mut self, n: usize) {
        self.argmax.resize(MaxPool2dShape { n, ..self.shape }.y_len(), 0);
    }

    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        let shape = MaxPool2dShape { n: x.n(), ..self.shape };
        max_pool2d::forward(isa, &shape, x.values(), y.values_mut(), &mut self.argmax[..shape.y_len()]);
    }

    fn backward(&mut self, isa: Isa, x: &Tensor, _y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        let shape = MaxPool2dShape { n: x.n(), ..self.shape };
        if let Some(dx) = dx {
            max_pool2d::backward(isa, &shape, &self.argmax[..shape.y_len()], dy.values(), dx.values_mut());
        }
    }
}
