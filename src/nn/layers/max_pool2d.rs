//! 2-D max-pooling.

use super::{Backward, Claims, Description, Inputs, Layer, Pass, known};
use crate::nn::tensor::Tensor;
use onesheet_kernels::ShapeError;
use onesheet_kernels::max_pool2d::{self, MaxPool2dShape, MaxPool2dSizes};
use onesheet_kernels::simd::Isa;

/// Images become images whose sides are `size` times shorter, rounded down.
pub fn describe(input: &[usize], size: usize) -> Result<Description, &'static str> {
    let &[h, w, c] = input else { return Err("it takes [height, width, channels]") };
    if size == 0 {
        return Err("the window's side is at least 1");
    }
    let shape = shape([h, w, c], size).map_err(|error| error.why())?;
    Ok(Description::of_output(vec![shape.oh(), shape.ow(), c]))
}

/// The kernels' shape for one image.
pub fn shape([h, w, c]: [usize; 3], size: usize) -> Result<MaxPool2dShape, ShapeError> {
    MaxPool2dShape::try_new(MaxPool2dSizes { n: 1, h, w, c, size })
}

/// What a max-pooling of this shape claims: the places of its maxima, a byte each.
pub fn claims(shape: &MaxPool2dShape) -> Claims {
    Claims::new(shape.y_len(), [0; 2])
}

/// The largest value of each window; the stride is the window's side.
pub struct MaxPool2d {
    /// The shape for a batch of one.
    shape: MaxPool2dShape,
    /// Where in its window each maximum of the last forward pass was.
    argmax: Vec<u8>,
}

impl MaxPool2d {
    /// `shape` is that of a batch of one.
    pub fn new(shape: MaxPool2dShape) -> Self {
        Self { shape, argmax: Vec::new() }
    }

    fn shape(&self, n: usize) -> MaxPool2dShape {
        known(self.shape.of_batch(n))
    }
}

impl Layer for MaxPool2d {
    fn reserve(&mut self, _isa: Isa, n: usize, _training: bool) {
        let len = self.shape(n).y_len();
        self.argmax.resize(self.argmax.len().max(len), 0);
    }

    fn forward(&mut self, isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, _pass: Pass) {
        let shape = self.shape(x.n());
        max_pool2d::forward(isa, &shape, x.values(), y.values_mut(), &mut self.argmax[..shape.y_len()]);
    }

    fn backward(&mut self, isa: Isa, Backward { inputs: Inputs { x, .. }, dy, dx, .. }: Backward) {
        let shape = self.shape(x.n());
        if let Some(dx) = dx {
            max_pool2d::backward(isa, &shape, &self.argmax[..shape.y_len()], dy.values(), dx.values_mut());
        }
    }
}
