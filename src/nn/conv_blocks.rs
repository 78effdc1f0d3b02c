//! A run of blocks, each convolution + ReLU + batch norm + 2x2 max-pooling, computed without the images between them.
//!
//! Between two blocks lie pooled values that are not normalised yet, and the affine function that normalises them: the next
//! block applies it to the rows that it reads (see [`onesheet_kernels::conv_block`]).

use super::spec::{LayerSpec, conv_shape};
use super::{BYTE_SCALE, Layer, Parameter, Pass, batch_norm, conv2d};
use crate::tensor::Tensor;
use onesheet_kernels::batch_norm::{Normalization, update_moving};
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::conv_block::{
    Affine, Backward, ConvBlockShape, Forward, Inference, Source, Workspace, affine_scale, normalise, pooled_sums,
};
use onesheet_kernels::conv2d::Conv2dShape;
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// The layers of a block, in a model's description.
pub(super) const LAYERS: usize = 4;

/// Parameters of a block: kernel, bias, gamma, beta, moving_mean, moving_variance.
const PARAMETERS: usize = 6;

/// A run of blocks.
#[derive(Default)]
pub(super) struct ConvBlocks {
    blocks: Vec<Block>,
    /// `PARAMETERS` a block.
    parameters: Vec<Parameter>,
}

struct Block {
    /// For a batch of one; `n` follows the batch.
    shape: ConvBlockShape,
    momentum: f32,
    epsilon: f32,
    /// The convolution's output after its ReLU.
    a: Buffer,
    /// Pooled values: in training before, in inference after their normalisation.
    p: Buffer,
    /// Statistics of the last training batch, and `gamma / sigma`.
    mean: Vec<f32>,
    variance: Vec<f32>,
    scale: Vec<f32>,
    /// The gradient of the normalised values, and its sums; the last block's gradient is the caller's.
    dp: Buffer,
    dp_sums: Vec<f64>,
    workspace: Workspace,
}

/// Whether the layers begin with a block.
pub(super) fn begins_with_block(layers: &[LayerSpec]) -> bool {
    matches!(
        layers,
        [
            LayerSpec::Conv2d { kernel: [3, 3], stride: 1, .. },
            LayerSpec::Relu,
            LayerSpec::BatchNormalization { .. },
            LayerSpec::MaxPooling2d { size: 2 },
            ..
        ]
    )
}

impl ConvBlocks {
    /// Adds the block that `layers` begin with, for an input of `[h, w, c]`; `names` are those of its layers.
    pub fn push(&mut self, layers: &[LayerSpec], names: &[String], input: [usize; 3], rng: &mut impl Rng) {
        let [
            LayerSpec::Conv2d { filters, kernel, stride, padding },
            _,
            LayerSpec::BatchNormalization { momentum, epsilon },
            ..,
        ] = layers
        else {
            unreachable!("begins_with_block was asked")
        };
        let conv = conv_shape(1, input, *filters, *kernel, *stride, *padding);
        self.parameters.extend(conv2d::parameters(&names[0], &conv, rng));
        self.parameters.extend(batch_norm::parameters(&names[2], *filters));
        self.blocks.push(Block {
            shape: ConvBlockShape { conv },
            momentum: *momentum,
            epsilon: *epsilon,
            a: Buffer::default(),
            p: Buffer::default(),
            mean: vec![0.0; *filters],
            variance: vec![0.0; *filters],
            scale: vec![0.0; *filters],
            dp: Buffer::default(),
            dp_sums: vec![0.0; 2 * *filters],
            workspace: Workspace::default(),
        });
    }
}

impl Block {
    fn shape(&self, n: usize) -> ConvBlockShape {
        ConvBlockShape { conv: Conv2dShape { n, ..self.shape.conv } }
    }

    /// What the block above reads after a training pass.
    fn output<'a>(&'a self, parameters: &'a [Parameter]) -> Source<'a> {
        Source::Normalised(&self.p, self.affine(parameters))
    }

    fn affine<'a>(&'a self, parameters: &'a [Parameter]) -> Affine<'a> {
        let [_, _, _, beta, ..] = parameters else { unreachable!() };
        Affine { mean: &self.mean, scale: &self.scale, beta: &beta.value }
    }

    fn train(&mut self, isa: Isa, x: Source, n: usize, parameters: &mut [Parameter]) {
        let [kernel, bias, gamma, beta, moving_mean, moving_variance] = parameters else { unreachable!() };
        let shape = &self.shape(n);
        let Self { a, p, mean, variance, scale, workspace, .. } = self;
        a.resize(shape.conv.y_len());
        p.resize(shape.p_len());
        let (w, bias, gamma) = (&kernel.value, &bias.value, &gamma.value);
        Forward { shape, x, w, bias, gamma, a, p, mean, variance, workspace }.run(isa);
        update_moving(self.momentum, mean, &mut moving_mean.value);
        update_moving(self.momentum, variance, &mut moving_variance.value);
        let by = Normalization { gamma, beta: &beta.value, mean, variance, epsilon: self.epsilon };
        affine_scale(&by, scale);
    }

    /// The normalised output with the moving statistics, in `y`, or in the block's own buffer.
    fn infer(&mut self, isa: Isa, x: Source, n: usize, parameters: &[Parameter], y: Option<&mut [f32]>) {
        let [kernel, bias, gamma, beta, mean, variance] = parameters else { unreachable!() };
        let shape = &self.shape(n);
        let Self { p, scale, workspace, .. } = self;
        p.resize(shape.p_len());
        let (mean, variance, beta) = (&mean.value, &variance.value, &beta.value);
        affine_scale(&Normalization { gamma: &gamma.value, beta, mean, variance, epsilon: self.epsilon }, scale);
        let norm = Affine { mean, scale, beta };
        let y = y.unwrap_or(p);
        Inference { shape, x, w: &kernel.value, bias: &bias.value, norm, y, workspace }.run(isa);
    }
}

impl Layer for ConvBlocks {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    fn takes_bytes(&self) -> bool {
        true
    }

    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, pass: Pass) {
        let last = self.blocks.len() - 1;
        for i in 0..=last {
            let (below, rest) = self.blocks.split_at_mut(i);
            let (parameters_below, parameters) = self.parameters.split_at_mut(i * PARAMETERS);
            let parameters = &mut parameters[..PARAMETERS];
            match pass {
                Pass::Training { .. } => {
                    let x = below
                        .last()
                        .map_or_else(|| source(x), |below| below.output(&parameters_below[(i - 1) * PARAMETERS..]));
                    rest[0].train(isa, x, y.n(), parameters);
                }
                Pass::Inference => {
                    let x = below.last().map_or_else(|| source(x), |below| Source::F32(&below.p));
                    let n = y.n();
                    rest[0].infer(isa, x, n, parameters, (i == last).then(|| y.values_mut()));
                }
            }
        }
        if let Pass::Training { .. } = pass {
            let block = &self.blocks[last];
            normalise(isa, block.affine(&self.parameters[last * PARAMETERS..]), &block.p, y.values_mut());
        }
    }

    fn backward(&mut self, isa: Isa, x: &Tensor, _y: &Tensor, dy: &mut Tensor, mut dx: Option<&mut Tensor>) {
        let n = dy.n();
        let last = self.blocks.len() - 1;
        let shape = &self.blocks[last].shape(n);
        let Block { mean, p, dp_sums, workspace, .. } = &mut self.blocks[last];
        pooled_sums(isa, shape, mean, p, dy.values(), workspace, dp_sums);
        for i in (0..=last).rev() {
            let (below, rest) = self.blocks.split_at_mut(i);
            let (parameters_below, parameters) = self.parameters.split_at_mut(i * PARAMETERS);
            let shape = &rest[0].shape(n);
            let Block { epsilon, a, p, mean, variance, dp, dp_sums, workspace, .. } = &mut rest[0];
            let [kernel, bias, gamma, beta, ..] = parameters else { unreachable!() };
            let norm = Normalization { gamma: &gamma.value, beta: &beta.value, mean, variance, epsilon: *epsilon };
            let (x, dx, dx_sums) = match below.last_mut() {
                None => (source(x), dx.take().map(Tensor::values_mut), &mut [][..]),
                Some(Block { p, mean, scale, dp, dp_sums, .. }) => {
                    let [_, _, _, beta, ..] = &parameters_below[(i - 1) * PARAMETERS..] else { unreachable!() };
                    dp.resize(p.len());
                    (Source::Normalised(p, Affine { mean, scale, beta: &beta.value }), Some(&mut **dp), &mut **dp_sums)
                }
            };
            Backward {
                shape,
                x,
                w: &kernel.value,
                a,
                p,
                norm,
                dp: if i == last { dy.values() } else { dp },
                dp_sums,
                dw: &mut kernel.gradient,
                db: &mut bias.gradient,
                dgamma: &mut gamma.gradient,
                dbeta: &mut beta.gradient,
                dx,
                dx_sums,
                workspace,
            }
            .run(isa);
        }
    }
}

/// The input of the first block.
fn source(x: &Tensor) -> Source<'_> {
    match x.bytes() {
        Some(bytes) => Source::U8(bytes, BYTE_SCALE),
        None => Source::F32(x.values()),
    }
}
