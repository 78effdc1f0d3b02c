//! The dense layer, with the ReLU that may follow it.

use super::affine::{Affine, through_relu};
use super::{Backward, Claims, Description, Inputs, LARGEST, Layer, Pass, flops, known};
use crate::nn::parameter::{Parameter, Role};
use crate::nn::tensor::Tensor;
use onesheet_kernels::ShapeError;
use onesheet_kernels::dense::{BackwardAndStep, BackwardW, BackwardX, DenseShape, DenseSizes, Forward, Workspace};
use onesheet_kernels::optim::Step;
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// Vectors become vectors of one value per unit.
pub fn describe(input: &[usize], units: usize) -> Result<Description, &'static str> {
    let &[inputs] = input else { return Err("it takes [inputs]; flatten first") };
    match units {
        0 => return Err("a dense layer has at least one unit"),
        1..=LARGEST => shape(inputs, units).map_err(|error| error.why())?,
        _ => return Err("a dense layer has at most 2^24 units"),
    };
    Ok(Description {
        output: vec![units],
        parameters: vec![(Role::Kernel, vec![inputs, units]), (Role::Bias, vec![units])],
        flops: flops(&[inputs, units]),
    })
}

/// The kernels' shape for one item.
pub fn shape(inputs: usize, units: usize) -> Result<DenseShape, ShapeError> {
    DenseShape::try_new(DenseSizes { n: 1, inputs, outputs: units })
}

/// What a dense layer of this shape claims beside its parameters.
pub fn claims(shape: &DenseShape, training: bool) -> Claims {
    Claims::new(Workspace::bytes(shape, training), [shape.scratch_len(training), 0])
}

/// `y = x kernel + bias`, then ReLU where `relu`.
pub struct Dense {
    /// The shape for a batch of one.
    shape: DenseShape,
    relu: bool,
    affine: Affine,
    workspace: Workspace,
}

impl Dense {
    /// `shape` is that of a batch of one.
    pub fn new(name: &str, shape: DenseShape, relu: bool, rng: &mut impl Rng) -> Self {
        let affine = Affine::new(name, &[shape.inputs, shape.outputs], rng);
        Self { shape, relu, affine, workspace: Workspace::default() }
    }

    fn shape(&self, n: usize) -> DenseShape {
        known(self.shape.of_batch(n))
    }
}

impl Layer for Dense {
    fn each_parameter<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        self.affine.parameters().into_iter().for_each(visit);
    }

    fn each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.affine.parameters_mut().into_iter().for_each(visit);
    }

    fn reserve(&mut self, _isa: Isa, n: usize, training: bool) {
        self.workspace.reserve(&self.shape(n), training);
    }

    fn forward(&mut self, isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, _pass: Pass) {
        let shape = &self.shape(x.n());
        let Self { relu, affine: Affine { kernel, bias }, workspace, .. } = self;
        let (x, w, bias, y) = (x.values(), &kernel.value, &bias.value, y.values_mut());
        Forward { shape, x, w, bias, relu: *relu, y, workspace }.run(isa);
    }

    fn backward(&mut self, isa: Isa, Backward { inputs: Inputs { x, .. }, y, dy, dx }: Backward) {
        let shape = &self.shape(x.n());
        through_relu(isa, self.relu, y, dy);
        let Self { affine: Affine { kernel, bias }, workspace, .. } = self;
        let (dy, dw, db) = (dy.values(), &mut kernel.gradient, &mut bias.gradient);
        BackwardW { shape, x: x.values(), dy, dw, db }.run(isa);
        if let Some(dx) = dx {
            BackwardX { shape, dy, w: &kernel.value, dx: dx.values_mut(), workspace }.run(isa);
        }
    }

    fn input_gradient(&mut self, isa: Isa, Backward { inputs: Inputs { x, .. }, y, dy, dx }: Backward) {
        let shape = &self.shape(x.n());
        through_relu(isa, self.relu, y, dy);
        if let Some(dx) = dx {
            let (dy, w, dx) = (dy.values(), &self.affine.kernel.value, dx.values_mut());
            BackwardX { shape, dy, w, dx, workspace: &mut self.workspace }.run(isa);
        }
    }

    fn backward_and_step(&mut self, isa: Isa, Backward { inputs: Inputs { x, .. }, y, dy, dx }: Backward, step: &Step) {
        let shape = &self.shape(x.n());
        through_relu(isa, self.relu, y, dy);
        let Self { affine: Affine { kernel, bias }, workspace, .. } = self;
        let [first, second] = &mut kernel.moments;
        BackwardAndStep {
            shape,
            x: x.values(),
            dy: dy.values(),
            w: &mut kernel.value,
            step: *step,
            state: [first, second],
            dx: dx.map(Tensor::values_mut),
            db: &mut bias.gradient,
            workspace,
        }
        .run(isa);
        bias.step(isa, step);
    }
}
