//! Where a path meets an earlier value: the sum of residual networks, and the channels that
//! squeeze-and-excite scales.

use super::{Backward, Claims, Description, Inputs, Layer, Pass, values};
use crate::nn::tensor::Tensor;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::global_average_pool2d::{GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::join;
use onesheet_kernels::simd::Isa;

/// How two values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The sum of two values of one shape.
    Add,
    /// The earlier value, images, times a factor for each channel.
    Multiply,
}

impl Join {
    /// What becomes of an input and the earlier value.
    pub fn describe(self, input: &[usize], earlier: &[usize]) -> Result<Description, &'static str> {
        match (self, input, earlier) {
            (Self::Add, input, earlier) if input == earlier => Ok(Description::of_output(input.to_vec())),
            (Self::Add, ..) => Err("it adds values of one shape"),
            (Self::Multiply, [factors], [_, _, c]) if factors == c => Ok(Description::of_output(earlier.to_vec())),
            (Self::Multiply, ..) => Err("it multiplies earlier images by one factor per channel"),
        }
    }
}

/// What a join claims for batches of `n` items: the gradient of the earlier value.
pub fn claims(n: usize, earlier: &[usize], training: bool) -> Claims {
    let len = if training { n * values(earlier).expect("the plan was checked") } else { 0 };
    Claims::new(Buffer::bytes(len), [0; 2])
}

/// Joins its input and an earlier value.
pub struct JoinLayer {
    join: Join,
    /// The place of the earlier value among the activations.
    earlier: usize,
    /// The shape of one item of the earlier value.
    shape: Vec<usize>,
    /// The gradient of the earlier value.
    gradient: Tensor,
}

impl JoinLayer {
    pub fn new(join: Join, earlier: usize, shape: &[usize]) -> Self {
        Self { join, earlier, shape: shape.to_vec(), gradient: Tensor::default() }
    }
}

/// The shape of a batch of images and its factors. The images may be seen flattened by then.
fn shape(images: &Tensor, factors: &Tensor) -> GlobalAveragePool2dShape {
    let c = factors.item_len();
    GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n: images.n(), pixels: images.item_len() / c, c })
}

impl Layer for JoinLayer {
    fn earlier(&self) -> Option<usize> {
        Some(self.earlier)
    }

    fn earlier_gradient(&self) -> &[f32] {
        self.gradient.values()
    }

    fn reserve(&mut self, _isa: Isa, n: usize, training: bool) {
        if training {
            self.gradient.reshape(n, &self.shape);
        }
    }

    fn forward(&mut self, isa: Isa, inputs: Inputs, y: &mut Tensor, _pass: Pass) {
        let (x, earlier) = (inputs.x.values(), inputs.earlier());
        match self.join {
            Join::Add => join::add(isa, x, earlier.values(), y.values_mut()),
            Join::Multiply => {
                join::scale_channels(isa, &shape(earlier, inputs.x), earlier.values(), x, y.values_mut());
            }
        }
    }

    fn backward(&mut self, isa: Isa, Backward { inputs, dy, dx, .. }: Backward) {
        let (earlier, gradient) = (inputs.earlier(), &mut self.gradient);
        gradient.reshape(earlier.n(), earlier.shape());
        let Some(dx) = dx else { return };
        match self.join {
            Join::Add => {
                gradient.values_mut().copy_from_slice(dy.values());
                std::mem::swap(dx, dy);
            }
            Join::Multiply => {
                let shape = shape(earlier, inputs.x);
                let outputs = [gradient.values_mut(), dx.values_mut()];
                let inputs = [earlier.values(), inputs.x.values(), dy.values()];
                join::scale_channels_backward(isa, &shape, inputs, outputs);
            }
        }
    }

    fn input_gradient(&mut self, isa: Isa, io: Backward) {
        self.backward(isa, io);
    }
}
