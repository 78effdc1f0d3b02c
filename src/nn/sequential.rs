//! A model that is built: its layers, with the buffers between them.

use super::buckets::Buckets;
use super::layers::{BYTE_SCALE, Backward, Inputs, Layer, Pass};
use super::operations::{Operation, Operations, check_batch, item_len, largest_output};
use super::parameter::Parameter;
use super::spec::{LayerSpec, ModelSpec};
use super::tensor::Tensor;
use crate::error::{Error, Result};
use crate::ranks::Team;
use onesheet_kernels::optim::Step;
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
use onesheet_kernels::{image, join};

/// A built model: layers with their parameters, and the buffers between them. Each layer reads what the
/// one before it gives; a layer that joins two paths also reads an earlier value.
///
/// ```
/// use onesheet::nn::{Input, Isa, ModelSpec, Pass, Sequential};
///
/// let spec = ModelSpec::input(&[4]).dense(8).relu().dense(3);
/// let mut model = Sequential::build(spec, Isa::available()[0], 1)?;
/// let logits = model.forward(Input::F32(&[0.5, -1.0, 0.0, 2.0]), Pass::Inference);
/// assert_eq!((logits.n(), logits.shape()), (1, &[3][..]));
/// # Ok::<(), onesheet::Error>(())
/// ```
pub struct Sequential {
    spec: ModelSpec,
    isa: Isa,
    /// Whether operations are fused where they can be.
    fuse: bool,
    /// That of training passes.
    precision: Precision,
    layers: Vec<Box<dyn Layer>>,
    /// The shapes of one item of the `activations`.
    shapes: Vec<Vec<usize>>,
    /// See [`Operations::take_bytes`].
    takes_bytes: bool,
    /// See [`Operations::last_images`].
    last_images: Option<(usize, [usize; 3])>,
    /// How many blocks run fused, each from its convolution to its pooling.
    pub(super) fused_blocks: usize,
    /// `activations[i]` is the input of layer i; the last one is the model's output.
    activations: Vec<Tensor>,
    /// The gradients of a layer's output and input, in turn.
    gradients: [Tensor; 2],
    /// The largest batches that the buffers hold, in inference and in training.
    capacity: Capacity,
    /// The ranks that train it together, and what they normalise by.
    team: Team,
    statistics: Statistics,
    buckets: Buckets,
}

/// The values that batch norm takes mean and variance of in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statistics {
    /// The batches of all ranks together: each step is what one process would make of the whole batch.
    #[default]
    OfAllRanks,
    /// A rank's own batch. The moving statistics are the mean of those that the ranks would have.
    OfOwnRank,
}

/// Images whose squares of `block` x `block` pixels become one pixel each.
#[derive(Clone, Copy)]
struct Squares {
    image: [usize; 3],
    block: usize,
}

impl Squares {
    fn of(spec: &ModelSpec) -> Option<Self> {
        match (spec.layers.first(), &spec.input[..]) {
            (Some(&LayerSpec::SpaceToDepth { block }), &[h, w, c]) => Some(Self { image: [h, w, c], block }),
            _ => None,
        }
    }

    fn lay_out<T: Copy + Sync, U: Send>(self, from: &[T], to: &mut [U], of: impl Fn(T) -> U + Sync) {
        image::space_to_depth(self.image, self.block, from, to, of);
    }
}

/// The largest batches that buffers hold.
#[derive(Clone, Copy, Debug, Default)]
struct Capacity {
    inference: usize,
    training: usize,
}

/// A batch for the input of a model, `[n, input shape...]`.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Images of bytes, each of which is scaled by 1/255.
    U8(&'a [u8]),
    /// Values as they are.
    F32(&'a [f32]),
}

impl Input<'_> {
    /// How many values the batch has.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether the batch has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The last images on the way to a model's output, in inference: what the last layer gives that does
/// not give vectors. Where blocks run fused, that is what the last block gives: pooled and
/// normalised.
#[derive(Clone, Copy, Debug)]
pub struct FeatureMaps<'a> {
    /// The height, width and channels of an image.
    pub shape: [usize; 3],
    /// The images, `[n, height, width, channels]`.
    pub values: &'a [f32],
    /// The gradient of the output that was asked about, of each item, by its image: of the same shape.
    pub gradient: &'a [f32],
    /// The model's output, `[n, outputs]`.
    pub outputs: &'a Tensor,
}

impl Sequential {
    /// Builds the layers of a spec for the instruction set `isa`, with initial weights drawn from
    /// `seed`.
    ///
    /// A run of 3x3 convolution, ReLU, batch norm and 2x2 max-pooling becomes one operation;
    /// otherwise a ReLU that follows a convolution or a dense layer becomes part of it, as Keras'
    /// `activation="relu"`. Flatten is no operation at all.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a layer cannot take what the one before gives.
    pub fn build(spec: ModelSpec, isa: Isa, seed: u64) -> Result<Self> {
        Self::build_with(spec, isa, seed, true)
    }

    /// Like [`build`](Self::build), but every layer is an operation of its own: the measure of the
    /// fused ones.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a layer cannot take what the one before gives.
    pub fn build_unfused(spec: ModelSpec, isa: Isa, seed: u64) -> Result<Self> {
        Self::build_with(spec, isa, seed, false)
    }

    fn build_with(spec: ModelSpec, isa: Isa, seed: u64, fuse: bool) -> Result<Self> {
        let all = Operations::of(&spec, fuse)?;
        let (last_images, takes_bytes) = (all.last_images(), all.take_bytes());
        let layers: Vec<_> = all.operations.iter().map(|operation| operation.build(&all, seed)).collect();
        Ok(Self {
            spec,
            isa,
            fuse,
            precision: Precision::F32,
            last_images,
            takes_bytes,
            fused_blocks: all.operations.iter().map(Operation::fused_blocks).sum(),
            shapes: all.shapes,
            activations: vec![Tensor::default(); layers.len() + 1],
            layers,
            gradients: Default::default(),
            capacity: Capacity::default(),
            team: Team::default(),
            statistics: Statistics::default(),
            buckets: Buckets::default(),
        })
    }

    /// Has the model take items of another shape from now on, with all that its parameters hold and the
    /// optimiser remembers of them: a network whose last images are averaged takes images of any size
    /// that leaves something of them. Memory is claimed anew, by [`reserve`](Self::reserve) or the next
    /// pass.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), and the model is as it was, where a layer cannot take what
    /// the one before it would give, or the shape of a parameter depends on that of the items.
    pub fn resize_input(&mut self, input: &[usize]) -> Result<()> {
        if self.spec.input == input {
            return Ok(());
        }
        let spec = ModelSpec { input: input.to_vec(), ..self.spec.clone() };
        let mut other = Self::build_with(spec, self.isa, 0, self.fuse)?;
        let shapes = |model: &Self| model.parameters().into_iter().map(|of| of.shape.clone()).collect::<Vec<_>>();
        if shapes(self) != shapes(&other) {
            let what =
                format!("the weights of the model depend on its input, which is {:?}, not {input:?}", self.spec.input);
            return Err(Error::Shape(what));
        }
        let mut own = self.parameters().into_iter();
        other.each_parameter_mut(|parameter| *parameter = own.next().expect("there are as many").clone());
        other.train_in(self.precision);
        other.train_among(&self.team, self.statistics);
        *self = other;
        Ok(())
    }

    /// The spec that the model was built from; its input is that of the last
    /// [`resize_input`](Self::resize_input).
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The instruction set that the model runs on, in the precision of its inference.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The precision that training passes multiply in; see [`train_in`](Self::train_in).
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Has the convolutions of training passes multiply in that precision, which is f32 unless this is
    /// called. Sums, and all that a model keeps, are f32 either way. Inference multiplies in the
    /// precision of the instruction set that the model was built for: a trained model's answers do not
    /// depend on how it was trained.
    pub fn train_in(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Has the training steps that follow be those of all ranks: each computes its share of a batch, and
    /// the gradient of the loss is summed over them before the weights move. The ranks have to begin with
    /// the same weights, and then keep them the same to the bit.
    pub fn train_among(&mut self, team: &Team, statistics: Statistics) {
        (self.team, self.statistics) = (team.clone(), statistics);
        let normalised_among = if statistics == Statistics::OfAllRanks { team } else { &Team::default() };
        self.layers.iter_mut().for_each(|layer| layer.normalise_among(normalised_among));
    }

    /// The ranks that train it together.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// The shape of one item of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.shapes[self.layers.len()]
    }

    /// How many values the output has for one item.
    pub fn outputs(&self) -> usize {
        item_len(self.output_shape())
    }

    /// Calls `visit` with each parameter, in the order of the layers.
    pub fn each_parameter<'a>(&'a self, mut visit: impl FnMut(&'a Parameter)) {
        self.layers.iter().for_each(|layer| layer.each_parameter(&mut visit));
    }

    /// Calls `visit` with each parameter, to change it, in the order of the layers.
    pub fn each_parameter_mut(&mut self, mut visit: impl FnMut(&mut Parameter)) {
        self.layers.iter_mut().for_each(|layer| layer.each_parameter_mut(&mut visit));
    }

    /// All parameters, in the order of the layers.
    pub fn parameters(&self) -> Vec<&Parameter> {
        let mut all = Vec::new();
        self.each_parameter(|parameter| all.push(parameter));
        all
    }

    /// Claims and touches the memory for training and inference with batches of up to `n` items:
    /// fresh pages cost more than the arithmetic of a step. Without it, the first pass claims what
    /// it needs.
    ///
    /// A model that begins with fused blocks takes images as bytes; for such a model, those of an
    /// [`Input::F32`] are not claimed. [`ModelSpec::memory`] says beforehand how much it will be.
    ///
    /// # Panics
    /// If a batch of `n` items has more values than memory can hold.
    pub fn reserve(&mut self, n: usize) {
        self.claim(n, true);
        self.claim(n, false);
    }

    fn claim(&mut self, n: usize, training: bool) {
        let capacity = if training { &mut self.capacity.training } else { &mut self.capacity.inference };
        if n <= *capacity {
            return;
        }
        check_batch(n, &self.shapes).unwrap_or_else(|what| panic!("{what}"));
        let (input, first) = (&self.shapes[0], &mut self.activations[0]);
        match self.takes_bytes {
            true => first.reshape_bytes(n, input),
            false => first.reshape(n, input),
        }
        let isa = if training { self.isa.with_precision(self.precision) } else { self.isa };
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.reserve(isa, n, training);
            self.activations[i + 1].reshape(n, &self.shapes[i + 1]);
        }
        if training {
            self.gradients.iter_mut().for_each(|gradient| gradient.reshape(n, &[largest_output(&self.shapes)]));
        }
        *capacity = n;
    }

    /// The model's output for a batch, `[n, outputs]`.
    ///
    /// # Panics
    /// If the input does not hold whole items.
    pub fn forward(&mut self, input: Input, pass: Pass) -> &Tensor {
        let item = item_len(&self.spec.input);
        let len = input.len();
        assert!(len > 0 && len.is_multiple_of(item), "{len} values of items of {item}");
        let n = len / item;
        self.claim(n, pass.is_training());
        let squares = Squares::of(&self.spec);
        let (shape, first) = (&self.shapes[0], &mut self.activations[0]);
        match input {
            Input::U8(bytes) if self.takes_bytes => {
                first.reshape_bytes(n, shape);
                match squares {
                    None => first.bytes_mut().copy_from_slice(bytes),
                    Some(squares) => squares.lay_out(bytes, first.bytes_mut(), |byte| byte),
                }
            }
            Input::U8(bytes) => {
                first.reshape(n, shape);
                match squares {
                    None => image::u8_to_f32(self.isa, bytes, BYTE_SCALE, first.values_mut()),
                    Some(squares) => {
                        squares.lay_out(bytes, first.values_mut(), |byte| f32::from(byte) * BYTE_SCALE);
                    }
                }
            }
            Input::F32(values) => {
                first.reshape(n, shape);
                match squares {
                    None => first.values_mut().copy_from_slice(values),
                    Some(squares) => squares.lay_out(values, first.values_mut(), |value| value),
                }
            }
        }
        let isa = if pass.is_training() { self.isa.with_precision(self.precision) } else { self.isa };
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.activations.split_at_mut(i + 1);
            let inputs = Inputs { x: &before[i], earlier: layer.earlier().map(|earlier| &before[earlier]) };
            let y = &mut after[0];
            y.reshape(n, &self.shapes[i + 1]);
            layer.forward(isa, inputs, y, pass);
        }
        &self.activations[self.layers.len()]
    }

    /// Adds the gradient of the loss to that of every parameter, given the gradient of the output
    /// of the last training [`forward`](Self::forward).
    ///
    /// # Panics
    /// If `d_output` is not as long as that output.
    pub fn backward(&mut self, d_output: &[f32]) {
        let precision = self.precision;
        self.each_layer_backward(d_output, 0, |layer, isa, io| layer.backward(isa.with_precision(precision), io));
    }

    /// [`backward`](Self::backward) and an optimiser's step, layer by layer, so that the gradient
    /// of all weights need never exist at once. The gradients are zero before and after.
    ///
    /// # Panics
    /// If `d_output` is not as long as the output, or the parameters have no moments of the step's
    /// rule.
    pub(super) fn backward_and_step(&mut self, d_output: &[f32], step: &Step) {
        let precision = self.precision;
        self.each_layer_backward(d_output, 0, |layer, isa, io| {
            layer.backward_and_step(isa.with_precision(precision), io, step);
        });
    }

    /// [`backward`](Self::backward), and the sum of the gradients over all ranks, which goes on meanwhile.
    ///
    /// # Panics
    /// If `d_output` is not as long as the output.
    pub(super) fn backward_among_ranks(&mut self, d_output: &[f32]) {
        let (precision, team) = (self.precision, self.team.clone());
        let mut buckets = std::mem::take(&mut self.buckets);
        let share = match self.statistics {
            Statistics::OfAllRanks => None,
            Statistics::OfOwnRank => Some(1.0 / team.count() as f32),
        };
        self.each_layer_backward(d_output, 0, |layer, isa, io| {
            layer.backward_in_parts(isa.with_precision(precision), io, &mut |of| match (of.is_trained(), share) {
                (true, _) => buckets.push(&team, &of.gradient, 1.0),
                (false, Some(share)) => buckets.push(&team, &of.value, share),
                (false, None) => {}
            });
        });
        buckets.flush(&team);
        for layer in self.layers.iter_mut().rev() {
            layer.each_ready_mut(&mut |of| match (of.is_trained(), share) {
                (true, _) => buckets.take(&mut of.gradient),
                (false, Some(_)) => buckets.take(&mut of.value),
                (false, None) => {}
            });
        }
        self.buckets = buckets;
    }

    /// The height, width and channels of the [feature maps](Self::feature_maps); `None` where no layer
    /// of the model gives images.
    pub fn feature_shape(&self) -> Option<[usize; 3]> {
        self.last_images.map(|(_, shape)| shape)
    }

    /// An inference pass, and how one of its outputs depends on the last images on the way to it.
    /// `None`, without a pass, where no layer of the model gives images.
    ///
    /// Nothing of a training is touched: parameters, their gradients and moments, statistics and the
    /// masks of dropout stay as they are. But a [`backward`](Self::backward) has to follow its own
    /// training pass, as after any other pass.
    ///
    /// # Panics
    /// If the input does not hold whole items, or there is no such output.
    pub fn feature_maps(&mut self, input: Input, output: usize) -> Option<FeatureMaps<'_>> {
        let (at, shape) = self.last_images?;
        let outputs = self.outputs();
        assert!(output < outputs, "output {output} of {outputs}");
        let n = self.forward(input, Pass::Inference).n();
        let mut d_output = vec![0.0; n * outputs];
        d_output.chunks_exact_mut(outputs).for_each(|item| item[output] = 1.0);
        self.each_layer_backward(&d_output, at, |layer, isa, io| layer.input_gradient(isa, io));
        Some(FeatureMaps {
            shape,
            values: self.activations[at].values(),
            gradient: self.gradients[0].values(),
            outputs: &self.activations[self.layers.len()],
        })
    }

    /// Calls `backward` for every layer from `first` on, the last one first. Afterwards, the first of
    /// the two gradients is that of the input of layer `first`, unless it is the model's.
    fn each_layer_backward(
        &mut self,
        d_output: &[f32],
        first: usize,
        mut backward: impl FnMut(&mut dyn Layer, Isa, Backward),
    ) {
        let n = self.activations[0].n();
        let [dy, dx] = &mut self.gradients;
        dy.reshape(n, self.activations[self.layers.len()].shape());
        dy.values_mut().copy_from_slice(d_output);
        for i in (first..self.layers.len()).rev() {
            let (layer, after) = self.layers[i..].split_first_mut().expect("i is a layer");
            let (x, y) = (&self.activations[i], &self.activations[i + 1]);
            let inputs = Inputs { x, earlier: layer.earlier().map(|earlier| &self.activations[earlier]) };
            // The gradient of the input itself is not asked for.
            let wanted = i > 0;
            if wanted {
                dx.reshape(n, x.shape());
            }
            backward(&mut **layer, self.isa, Backward { inputs, y, dy, dx: wanted.then_some(&mut *dx) });
            let joins = after.iter().filter(|layer| wanted && layer.earlier() == Some(i));
            joins.for_each(|join| join::accumulate(self.isa, join.earlier_gradient(), dx.values_mut()));
            std::mem::swap(dy, dx);
        }
    }
}
