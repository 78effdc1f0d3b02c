//! The dense layer, with the ReLU that may follow it.

use super::{Layer, Parameter, Pass, init::glorot_uniform};
use crate::tensor::Tensor;
use onesheet_kernels::activation;
use onesheet_kernels::dense::{BackwardW, BackwardX, DenseShape, Forward};
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// `y = x kernel + bias`, then ReLU where `relu`.
pub(super) struct Dense {
    inputs: usize,
    units: usize,
    relu: bool,
    parameters: [Parameter; 2],
    partials: Vec<f32>,
}

impl Dense {
    pub fn new(name: &str, inputs: usize, units: usize, relu: bool, rng: &mut impl Rng) -> Self {
        let kernel =
            Parameter::trained(format!("{name}/kernel"), &[inputs, units], glorot_uniform(rng, &[inputs, units]));
        let bias = Parameter::trained(format!("{name}/bias"), &[units], vec![0.0; units]);
        Self { inputs, units, relu, parameters: [kernel, bias], partials: Vec::new() }
    }

    fn shape(&self, n: usize) -> DenseShape {
        DenseShape { n, inputs: self.inputs, outputs: self.units }
    }
}

impl Layer for Dense {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.units]
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    fn reserve(&mut self, n: usize) {
        self.partials.resize(self.shape(n).partials_len(), 0.0);
    }

    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        let shape = self.shape(x.n());
        let [kernel, bias] = &self.parameters;
        let partials = &mut self.partials[..shape.partials_len()];
        let (w, bias) = (&kernel.value, &bias.value);
        Forward { shape: &shape, x: x.values(), w, bias, relu: self.relu, y: y.values_mut(), partials }.run(isa);
    }

    fn backward(&mut self, isa: Isa, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        let shape = self.shape(x.n());
        if self.relu {
            activation::relu_backward(isa, y.values(), dy.values_mut());
        }
        let [kernel, bias] = &mut self.parameters;
        let (dw, db) = (&mut kernel.gradient, &mut bias.gradient);
        BackwardW { shape: &shape, x: x.values(), dy: dy.values(), dw, db }.run(isa);
        if let Some(dx) = dx {
            BackwardX { shape: &shape, dy: dy.values(), w: &kernel.value, dx: dx.values_mut() }.run(isa);
        }
    }
}
