//! 2-D convolution, with the ReLU that may follow it.

use super::affine::{Affine, through_relu};
use super::{Backward, Claims, Description, Inputs, LARGEST, Layer, MOST_ACTIVATIONS, Pass, flops, known};
use crate::nn::parameter::{Parameter, Role};
use crate::nn::tensor::Tensor;
use onesheet_kernels::ShapeError;
use onesheet_kernels::conv2d::{BackwardW, BackwardX, Conv2dShape, Conv2dSizes, Forward, Inference};
use onesheet_kernels::conv2d::{PackedWeights, Padding, Workspace};
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// What a convolution is asked for; see [`LayerSpec::Conv2d`](crate::nn::LayerSpec::Conv2d).
#[derive(Clone, Copy)]
pub struct Options {
    pub filters: usize,
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: Padding,
}

impl Options {
    /// The kernels' shape for one image.
    pub fn shape(self, [h, w, ic]: [usize; 3]) -> Result<Conv2dShape, ShapeError> {
        let Self { filters: oc, kernel: [kh, kw], stride, padding } = self;
        Conv2dShape::try_new(Conv2dSizes { n: 1, h, w, ic, oc, kh, kw, stride, padding })
    }

    /// Images become images of one channel per filter.
    pub fn describe(self, input: &[usize]) -> Result<Description, &'static str> {
        let &[h, w, ic] = input else { return Err("it takes [height, width, channels]") };
        let Self { filters, kernel: [kh, kw], stride, .. } = self;
        if [filters, kh, kw, stride].contains(&0) {
            return Err("filters, kernel and stride are at least 1");
        }
        if [filters, kh, kw, stride].into_iter().any(|size| size > LARGEST) {
            return Err("filters, kernel and stride are at most 2^24");
        }
        let shape = self.shape([h, w, ic]).map_err(|error| error.why())?;
        if shape.scratch_len(Isa::portable(), false).iter().sum::<usize>() > MOST_ACTIVATIONS {
            return Err("there are more than 2^26 values under the windows of a row");
        }
        Ok(Description {
            flops: flops(&[kh, kw, ic, shape.oh(), shape.ow(), filters]),
            parameters: vec![(Role::Kernel, vec![kh, kw, ic, filters]), (Role::Bias, vec![filters])],
            output: vec![shape.oh(), shape.ow(), filters],
        })
    }
}

/// What a convolution of this shape claims beside its parameters.
pub fn claims(isa: Isa, shape: &Conv2dShape, training: bool) -> Claims {
    let of_training = if training { Workspace::bytes(isa, shape, true) } else { 0 };
    let weights = PackedWeights::bytes(isa.with_precision(Precision::F32), shape);
    Claims::new(weights + of_training, shape.scratch_len(isa, training))
}

/// `y = x * kernel + bias`, then ReLU where `relu`.
pub struct Conv2d {
    /// The shape for a batch of one.
    shape: Conv2dShape,
    relu: bool,
    affine: Affine,
    /// The weights for inference; cleared whenever they are others.
    weights: PackedWeights,
    workspace: Workspace,
}

impl Conv2d {
    /// `shape` is that of a batch of one.
    pub fn new(name: &str, shape: Conv2dShape, relu: bool, rng: &mut impl Rng) -> Self {
        let (weights, workspace) = Default::default();
        Self { shape, relu, affine: Affine::of_conv2d(name, &shape, rng), weights, workspace }
    }

    fn shape(&self, n: usize) -> Conv2dShape {
        known(self.shape.of_batch(n))
    }
}

impl Layer for Conv2d {
    fn each_parameter<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        self.affine.parameters().into_iter().for_each(visit);
    }

    fn each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.weights.clear();
        self.affine.parameters_mut().into_iter().for_each(visit);
    }

    fn reserve(&mut self, isa: Isa, n: usize, training: bool) {
        let shape = &self.shape(n);
        match training {
            true => self.workspace.reserve(isa, shape, true),
            false => self.weights.reserve(isa, shape),
        }
    }

    fn forward(&mut self, isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, pass: Pass) {
        let shape = &self.shape(x.n());
        let Self { relu, affine: Affine { kernel, bias }, weights, workspace, .. } = self;
        let (relu, x, w, bias, y) = (*relu, x.values(), &kernel.value, &bias.value, y.values_mut());
        if pass.is_training() {
            return Forward { shape, x, w, bias, relu, y, workspace }.run(isa);
        }
        if !weights.is_for(isa, shape) {
            weights.pack(isa, shape, w);
        }
        Inference { shape, x, weights, bias, relu, y }.run(isa);
    }

    fn backward(&mut self, isa: Isa, Backward { inputs: Inputs { x, .. }, y, dy, dx }: Backward) {
        let shape = &self.shape(x.n());
        through_relu(isa, self.relu, y, dy);
        let Self { affine: Affine { kernel, bias }, workspace, .. } = self;
        let (x, dy, dw, db) = (x.values(), dy.values(), &mut kernel.gradient, &mut bias.gradient);
        BackwardW { shape, x, dy, dw, db, workspace }.run(isa);
        if let Some(dx) = dx {
            BackwardX { shape, dy, w: &kernel.value, dx: dx.values_mut(), workspace }.run(isa);
        }
    }
}
