//! 2-D convolution, with the ReLU that may follow it.

use super::{Layer, Parameter, Pass, init::glorot_uniform};
use crate::tensor::Tensor;
use onesheet_kernels::activation;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::conv2d::{BackwardW, BackwardX, Conv2dShape, Forward};
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// `y = x * kernel + bias`, then ReLU where `relu`.
pub(super) struct Conv2d {
    /// For a batch of one; `n` follows the batch.
    shape: Conv2dShape,
    relu: bool,
    parameters: [Parameter; 2],
    /// The weights in the order that the kernels want.
    moved_w: Buffer,
    partials: Vec<f32>,
}

impl Conv2d {
    /// `shape` is that of a batch of one.
    pub fn new(name: &str, shape: Conv2dShape, relu: bool, rng: &mut impl Rng) -> Self {
        Self {
            shape,
            relu,
            parameters: parameters(name, &shape, rng),
            moved_w: Buffer::default(),
            partials: Vec::new(),
        }
    }
}

/// The kernel, glorot_uniform, and the bias, zeros.
pub(super) fn parameters(name: &str, shape: &Conv2dShape, rng: &mut impl Rng) -> [Parameter; 2] {
    let Conv2dShape { kh, kw, ic, oc, .. } = *shape;
    let dims = [kh, kw, ic, oc];
    let kernel = Parameter::trained(format!("{name}/kernel"), &dims, glorot_uniform(rng, &dims));
    [kernel, Parameter::trained(format!("{name}/bias"), &[oc], vec![0.0; oc])]
}

impl Layer for Conv2d {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    fn reserve(&mut self, n: usize) {
        // A small batch is cut into parts, so that the workspace is not largest for the largest batch.
        let largest = (1..=n).map(|n| Conv2dShape { n, ..self.shape }.partials_len()).max();
        self.partials.resize(largest.unwrap_or(0), 0.0);
        self.moved_w.resize(self.shape.moved_w_len());
    }

    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        let shape = Conv2dShape { n: x.n(), ..self.shape };
        let [kernel, bias] = &self.parameters;
        Forward {
            shape: &shape,
            x: x.values(),
            w: &kernel.value,
            bias: &bias.value,
            relu: self.relu,
            y: y.values_mut(),
            packed_w: &mut self.moved_w,
        }
        .run(isa);
    }

    fn backward(&mut self, isa: Isa, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        let shape = Conv2dShape { n: x.n(), ..self.shape };
        if self.relu {
            activation::relu_backward(isa, y.values(), dy.values_mut());
        }
        let [kernel, bias] = &mut self.parameters;
        let partials = &mut self.partials[..shape.partials_len()];
        let (dw, db) = (&mut kernel.gradient, &mut bias.gradient);
        BackwardW { shape: &shape, x: x.values(), dy: dy.values(), dw, db, partials }.run(isa);
        if let Some(dx) = dx {
            let turned_w = &mut self.moved_w;
            BackwardX { shape: &shape, dy: dy.values(), w: &kernel.value, dx: dx.values_mut(), turned_w }.run(isa);
        }
    }
}
