//! 2-D max-pooling.

use super::{Backward, Description, Layer, Pass};
use crate::nn::tensor::Tensor;
use onesheet_kernels::max_pool2d::{self, MaxPool2dShape};
use onesheet_kernels::simd::Isa;

/// Images become images whose sides are `size` times shorter, rounded down.
pub fn describe(input: &[usize], size: usize) -> Result<Description, &'static str> {
    let &[h, w, c] = input else { return Err("it takes [height, width, channels]") };
    match size {
        0 => Err("the window's side is at least 1"),
        17.. => Err("the window's side is at most 16"),
        size if size > h.min(w) => Err("the window is larger than the image"),
        size => Ok(Description::of_output(vec![h / size, w / size, c])),
    }
}

/// The largest value of each window; the stride is the window's side.
pub struct MaxPool2d {
    /// The sizes for a batch of one; `n` follows the batch.
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
    fn reserve(&mut self, n: usize, _training: bool) {
        self.argmax.resize(MaxPool2dShape { n, ..self.shape }.y_len(), 0);
    }

    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        let shape = MaxPool2dShape { n: x.n(), ..self.shape };
        max_pool2d::forward(isa, &shape, x.values(), y.values_mut(), &mut self.argmax[..shape.y_len()]);
    }

    fn backward(&mut self, isa: Isa, Backward { x, dy, dx, .. }: Backward) {
        let shape = MaxPool2dShape { n: x.n(), ..self.shape };
        if let Some(dx) = dx {
            max_pool2d::backward(isa, &shape, &self.argmax[..shape.y_len()], dy.values(), dx.values_mut());
        }
    }
}
