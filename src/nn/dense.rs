//! The dense layer, with the ReLU that may follow it.

use super::{Backward, Layer, Parameter, Pass, Update, init::glorot_uniform};
use crate::tensor::Tensor;
use onesheet_kernels::activation;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::dense::{BackwardAndStep, BackwardW, BackwardX, DenseShape, Forward};
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// `y = x kernel + bias`, then ReLU where `relu`.
pub(super) struct Dense {
    inputs: usize,
    units: usize,
    relu: bool,
    parameters: [Parameter; 2],
    partials: Buffer,
    turned_dy: Buffer,
}

impl Dense {
    pub fn new(name: &str, inputs: usize, units: usize, relu: bool, rng: &mut impl Rng) -> Self {
        let kernel =
            Parameter::trained(format!("{name}/kernel"), &[inputs, units], glorot_uniform(rng, &[inputs, units]));
        let bias = Parameter::trained(format!("{name}/bias"), &[units], vec![0.0; units]);
        Self {
            inputs,
            units,
            relu,
            parameters: [kernel, bias],
            partials: Buffer::default(),
            turned_dy: Buffer::default(),
        }
    }

    fn shape(&self, n: usize) -> DenseShape {
        DenseShape { n, inputs: self.inputs, outputs: self.units }
    }
}

impl Layer for Dense {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    fn reserve(&mut self, n: usize) {
        self.partials.resize(self.shape(n).partials_len());
    }

    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        let shape = self.shape(x.n());
        let [kernel, bias] = &self.parameters;
        self.partials.resize(shape.partials_len());
        let partials = &mut self.partials;
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
            self.turned_dy.resize(shape.turned_len());
            let turned_dy = &mut self.turned_dy;
            BackwardX { shape: &shape, dy: dy.values(), w: &kernel.value, dx: dx.values_mut(), turned_dy }.run(isa);
        }
    }

    fn backward_and_step(&mut self, isa: Isa, io: Backward, update: &mut Update) {
        let Backward { x, y, dy, dx } = io;
        let shape = self.shape(x.n());
        if self.relu {
            activation::relu_backward(isa, y.values(), dy.values_mut());
        }
        self.turned_dy.resize(shape.turned_len());
        let ([kernel, bias], [[first, second], of_bias]) = (&mut self.parameters, &mut *update.state) else {
            unreachable!("two parameters have two states");
        };
        BackwardAndStep {
            shape: &shape,
            x: x.values(),
            dy: dy.values(),
            w: &mut kernel.value,
            step: update.step,
            state: [first, second],
            dx: dx.map(Tensor::values_mut),
            db: &mut bias.gradient,
            turned_dy: &mut self.turned_dy,
        }
        .run(isa);
        Update { step: update.step, state: std::slice::from_mut(of_bias) }.apply(isa, std::slice::from_mut(bias));
    }
}
