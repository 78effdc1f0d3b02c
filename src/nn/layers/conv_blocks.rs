//! A run of blocks, each convolution + ReLU + batch norm + 2x2 max-pooling, computed without the
//! images between them.
//!
//! Between two blocks lie pooled values that are not normalised yet, and the affine function that
//! normalises them: the next block applies it to the rows that it reads (see
//! [`onesheet_kernels::conv_block`]).

use super::affine::Affine;
use super::batch_norm::Norm;
use super::{BYTE_SCALE, Backward, Claims, Inputs, Layer, Pass, among, known};
use crate::nn::parameter::Parameter;
use crate::nn::tensor::Tensor;
use crate::ranks::Team;
use onesheet_kernels::ShapeError;
use onesheet_kernels::batch_norm::Normalization;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::conv_block::{self, ConvBlockShape, Forward, Inference, Source, Workspace};
use onesheet_kernels::conv_block::{affine_scale, normalise, pooled_sums};
use onesheet_kernels::conv2d::PackedWeights;
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// What a block is asked for: its shape for a batch of one, and how its batch norm moves.
#[derive(Clone, Copy)]
pub struct BlockOptions {
    pub shape: ConvBlockShape,
    pub momentum: f32,
    pub epsilon: f32,
}

/// What a run of blocks claims beside its parameters for batches of `n` items.
pub fn claims(isa: Isa, blocks: &[BlockOptions], n: usize, training: bool) -> Result<Claims, ShapeError> {
    let mut all = Claims::default();
    for (i, block) in blocks.iter().enumerate() {
        let shape = &block.shape.of_batch(n)?;
        let own = lens(isa, shape, training, i + 1 == blocks.len()).map(Buffer::bytes).iter().sum::<usize>();
        let of_training = if training { Workspace::bytes(isa, shape) } else { 0 };
        let kept = own + PackedWeights::bytes(isa.with_precision(Precision::F32), shape.conv()) + of_training;
        all = all.and(Claims::new(kept, shape.scratch_len(isa, training)));
    }
    Ok(all)
}

/// The lengths of a block's own buffers `a`, `p` and `dp`.
fn lens(isa: Isa, shape: &ConvBlockShape, training: bool, is_last: bool) -> [usize; 3] {
    let a = if training && shape.keeps_a(isa) { shape.conv().y_len() } else { 0 };
    let dp = if training && !is_last { shape.p_len() } else { 0 };
    [a, shape.p_len(), dp]
}

/// A run of blocks.
#[derive(Default)]
pub struct ConvBlocks {
    blocks: Vec<Block>,
    /// The ranks whose batches are one.
    team: Team,
}

struct Block {
    /// The shape for a batch of one.
    shape: ConvBlockShape,
    affine: Affine,
    norm: Norm,
    /// The convolution's output after its ReLU, where the backward pass does not compute it once more.
    a: Buffer,
    /// Pooled values: in training before, in inference after their normalisation.
    p: Buffer,
    /// The statistics of the last training batch, and `gamma / sigma` of the last pass.
    mean: Vec<f32>,
    variance: Vec<f32>,
    scale: Vec<f32>,
    /// The convolution's weights for inference; cleared whenever they, or the `scale` of inference,
    /// are others.
    weights: PackedWeights,
    /// The gradient of the normalised values, and its sums; the last block's gradient is the
    /// caller's.
    dp: Buffer,
    dp_sums: Vec<f64>,
    workspace: Workspace,
}

impl ConvBlocks {
    /// Adds a block; `names` are those of its convolution and its batch norm.
    pub fn push(&mut self, options: &BlockOptions, names: [&str; 2], rng: &mut impl Rng) {
        let BlockOptions { shape, momentum, epsilon } = *options;
        let c = shape.conv().oc;
        let [of_conv, of_norm] = names;
        self.blocks.push(Block {
            shape,
            affine: Affine::of_conv2d(of_conv, shape.conv(), rng),
            norm: Norm::new(of_norm, c, momentum, epsilon),
            a: Buffer::default(),
            p: Buffer::default(),
            mean: vec![0.0; c],
            variance: vec![0.0; c],
            scale: vec![0.0; c],
            weights: PackedWeights::default(),
            dp: Buffer::default(),
            dp_sums: vec![0.0; 2 * c],
            workspace: Workspace::default(),
        });
    }
}

impl Block {
    fn shape(&self, n: usize) -> ConvBlockShape {
        known(self.shape.of_batch(n))
    }

    /// The function that normalises what the block has pooled in a training pass.
    fn normalisation(&self) -> conv_block::Affine<'_> {
        conv_block::Affine { mean: &self.mean, scale: &self.scale, beta: &self.norm.beta.value }
    }

    fn train(&mut self, isa: Isa, x: Source, n: usize, team: &Team) {
        let shape = &self.shape(n);
        let Self { affine: Affine { kernel, bias }, norm, a, p, mean, variance, scale, workspace, .. } = self;
        p.resize(shape.p_len());
        let a = kept(isa, shape, a);
        let (w, bias, gamma) = (&kernel.value, &bias.value, &norm.gamma.value);
        among(team, |others| {
            Forward { shape, x, w, bias, gamma, a, p, others, mean, variance, workspace }.run(isa);
        });
        norm.follow(mean, variance);
        affine_scale(&norm.with(mean, variance), scale);
        self.weights.clear();
    }

    /// The normalised output with the moving statistics, in `y`, or in the block's own buffer.
    fn infer(&mut self, isa: Isa, x: Source, n: usize, y: Option<&mut [f32]>) {
        let shape = &self.shape(n);
        let Self { affine: Affine { kernel, bias }, norm, p, scale, weights, .. } = self;
        p.resize(shape.p_len());
        let (mean, variance) = (&norm.moving_mean.value, &norm.moving_variance.value);
        if !weights.is_for(isa, shape.conv()) {
            weights.pack(isa, shape.conv(), &kernel.value);
            affine_scale(&norm.with(mean, variance), scale);
        }
        let norm = conv_block::Affine { mean, scale, beta: &norm.beta.value };
        let y = y.unwrap_or(p);
        Inference { shape, x, weights, bias: &bias.value, norm, y }.run(isa);
    }
}

impl Layer for ConvBlocks {
    fn each_parameter<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        for Block { affine, norm, .. } in &self.blocks {
            affine.parameters().into_iter().chain(norm.parameters()).for_each(&mut *visit);
        }
    }

    fn each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        for Block { affine, norm, weights, .. } in &mut self.blocks {
            weights.clear();
            affine.parameters_mut().into_iter().chain(norm.parameters_mut()).for_each(&mut *visit);
        }
    }

    fn normalise_among(&mut self, team: &Team) {
        self.team = team.clone();
    }

    fn reserve(&mut self, isa: Isa, n: usize, training: bool) {
        let last = self.blocks.len() - 1;
        for (i, block) in self.blocks.iter_mut().enumerate() {
            let shape = block.shape(n);
            let [a, p, dp] = lens(isa, &shape, training, i == last);
            block.p.resize(p);
            if training {
                block.a.resize(a);
                block.dp.resize(dp);
                block.workspace.reserve(isa, &shape);
            } else {
                block.weights.reserve(isa, shape.conv());
            }
        }
    }

    fn forward(&mut self, isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, pass: Pass) {
        let (n, last) = (y.n(), self.blocks.len() - 1);
        for i in 0..=last {
            let (below, rest) = self.blocks.split_at_mut(i);
            match (pass, below.last()) {
                (Pass::Training { .. }, None) => rest[0].train(isa, source(x), n, &self.team),
                (Pass::Training { .. }, Some(below)) => {
                    rest[0].train(isa, Source::Normalised(&below.p, below.normalisation()), n, &self.team);
                }
                (Pass::Inference, below) => {
                    let x = below.map_or_else(|| source(x), |below| Source::F32(&below.p));
                    rest[0].infer(isa, x, n, (i == last).then(|| y.values_mut()));
                }
            }
        }
        if pass.is_training() {
            let last = &self.blocks[last];
            normalise(isa, last.normalisation(), &last.p, y.values_mut());
        }
    }

    fn backward(&mut self, isa: Isa, io: Backward) {
        self.backward_in_parts(isa, io, &mut |_| {});
    }

    fn each_ready_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        for Block { affine, norm, weights, .. } in self.blocks.iter_mut().rev() {
            weights.clear();
            affine.parameters_mut().into_iter().chain(norm.parameters_mut()).for_each(&mut *visit);
        }
    }

    fn backward_in_parts(&mut self, isa: Isa, io: Backward, ready: &mut dyn FnMut(&Parameter)) {
        let Backward { inputs: Inputs { x, .. }, dy, mut dx, .. } = io;
        let (n, last) = (dy.n(), self.blocks.len() - 1);
        let shape = &self.blocks[last].shape(n);
        let Block { mean, p, dp_sums, workspace, .. } = &mut self.blocks[last];
        pooled_sums(isa, shape, mean, p, dy.values(), workspace, dp_sums);
        for i in (0..=last).rev() {
            let (below, rest) = self.blocks.split_at_mut(i);
            let shape = &rest[0].shape(n);
            let Block { affine: Affine { kernel, bias }, norm, a, p, mean, variance, dp, dp_sums, workspace, .. } =
                &mut rest[0];
            let Norm { gamma, beta, epsilon, .. } = norm;
            let (x, dx, dx_sums) = match below.last_mut() {
                None => (source(x), dx.take().map(Tensor::values_mut), &mut [][..]),
                Some(Block { norm, p, mean, scale, dp, dp_sums, .. }) => {
                    dp.resize(p.len());
                    let by = conv_block::Affine { mean, scale, beta: &norm.beta.value };
                    (Source::Normalised(p, by), Some(&mut **dp), &mut **dp_sums)
                }
            };
            among(&self.team, |others| {
                conv_block::Backward {
                    shape,
                    x,
                    w: &kernel.value,
                    bias: &bias.value,
                    a: kept(isa, shape, a).map(|a| &*a),
                    p,
                    norm: Normalization { gamma: &gamma.value, beta: &beta.value, mean, variance, epsilon: *epsilon },
                    dp: if i == last { dy.values() } else { dp },
                    dp_sums,
                    others,
                    dw: &mut kernel.gradient,
                    db: &mut bias.gradient,
                    dgamma: &mut gamma.gradient,
                    dbeta: &mut beta.gradient,
                    dx,
                    dx_sums,
                    workspace,
                }
                .run(isa)
            });
            let Block { affine, norm, .. } = &self.blocks[i];
            affine.parameters().into_iter().chain(norm.parameters()).for_each(&mut *ready);
        }
    }
}

/// The values of `a`, where a pass is to be given them.
fn kept<'a>(isa: Isa, shape: &ConvBlockShape, a: &'a mut Buffer) -> Option<&'a mut [f32]> {
    shape.keeps_a(isa).then(|| {
        a.resize(shape.conv().y_len());
        &mut **a
    })
}

/// The input of the first block.
fn source(x: &Tensor) -> Source<'_> {
    match x.bytes() {
        Some(bytes) => Source::U8(bytes, BYTE_SCALE),
        None => Source::F32(x.values()),
    }
}
