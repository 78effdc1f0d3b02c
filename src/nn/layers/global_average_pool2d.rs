//! Global average pooling.

use super::{Backward, Description, Inputs, Layer, Pass};
use crate::nn::tensor::Tensor;
use onesheet_kernels::global_average_pool2d::{self, GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::simd::Isa;

/// Images become vectors of one mean per channel.
pub fn describe(input: &[usize]) -> Result<Description, &'static str> {
    match *input {
        [_, _, c] => Ok(Description::of_output(vec![c])),
        _ => Err("it takes [height, width, channels]"),
    }
}

/// The mean of the pixels of each image.
pub struct GlobalAveragePool2d;

/// The shape of a batch of images that became `y`.
fn shape(x: &Tensor, y: &Tensor) -> GlobalAveragePool2dShape {
    let (pixels, c) = (x.item_len() / y.item_len(), y.item_len());
    GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n: x.n(), pixels, c })
}

impl Layer for GlobalAveragePool2d {
    fn reserve(&mut self, _isa: Isa, _n: usize, _training: bool) {}

    fn forward(&mut self, isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, _pass: Pass) {
        global_average_pool2d::forward(isa, &shape(x, y), x.values(), y.values_mut());
    }

    fn backward(&mut self, isa: Isa, Backward { inputs: Inputs { x, .. }, y, dy, dx }: Backward) {
        if let Some(dx) = dx {
            global_average_pool2d::backward(isa, &shape(x, y), dy.values(), dx.values_mut());
        }
    }

    fn input_gradient(&mut self, isa: Isa, io: Backward) {
        self.backward(isa, io);
    }
}
