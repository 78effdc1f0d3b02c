//! What a convolution and a dense layer have in common: a kernel, a bias, and the ReLU that may
//! follow them.

use crate::nn::parameter::{Parameter, Role};
use crate::nn::tensor::Tensor;
use onesheet_kernels::activation;
use onesheet_kernels::conv2d::{Conv2dShape, Conv2dSizes};
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// The parameters of a convolution or of a dense layer.
pub struct Affine {
    pub kernel: Parameter,
    pub bias: Parameter,
}

impl Affine {
    /// A glorot_uniform kernel of that shape, and a bias of zeros.
    pub fn new(layer: &str, shape: &[usize], rng: &mut impl Rng) -> Self {
        let outputs = *shape.last().expect("a kernel has axes");
        Self {
            kernel: Parameter::kernel(layer, shape, rng),
            bias: Parameter::per_channel(layer, Role::Bias, outputs, 0.0),
        }
    }

    /// The parameters of a convolution.
    pub fn of_conv2d(layer: &str, shape: &Conv2dShape, rng: &mut impl Rng) -> Self {
        let Conv2dSizes { kh, kw, ic, oc, .. } = **shape;
        Self::new(layer, &[kh, kw, ic, oc], rng)
    }

    pub fn parameters(&self) -> [&Parameter; 2] {
        [&self.kernel, &self.bias]
    }

    pub fn parameters_mut(&mut self) -> [&mut Parameter; 2] {
        [&mut self.kernel, &mut self.bias]
    }
}

/// Where a ReLU follows: the gradient before it, in place of the one behind it.
pub fn through_relu(isa: Isa, relu: bool, y: &Tensor, dy: &mut Tensor) {
    if relu {
        activation::relu_backward(isa, y.values(), dy.values_mut());
    }
}
