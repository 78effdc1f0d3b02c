//! The layers, each with its description, its forward pass and its hand-written backward pass.
//!
//! A layer owns its parameters and its workspace and knows nothing of its neighbours. Its file
//! holds three things: `describe`, which says what the layer makes of an input shape and refuses
//! those that it cannot take; `claims`, which says what memory it will claim, where it claims any;
//! and the [`Layer`] itself, which is built only where `describe` agreed.

mod affine;
pub(super) mod batch_norm;
pub(super) mod conv2d;
pub(super) mod conv_blocks;
pub(super) mod dense;
pub(super) mod dropout;
pub(super) mod global_average_pool2d;
pub(super) mod join;
pub(super) mod max_pool2d;
pub(super) mod relu;
pub(super) mod sigmoid;
pub(super) mod space_to_depth;

use super::parameter::{Parameter, Role};
use super::tensor::Tensor;
use crate::ranks::Team;
use onesheet_kernels::ShapeError;
use onesheet_kernels::batch_norm::Others;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::optim::Step;
use onesheet_kernels::simd::Isa;

/// The value of one step of a byte of an image: bytes become 0 to 1.
pub const BYTE_SCALE: f32 = 1.0 / 255.0;

/// Whether a forward pass is for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch norm uses the batch's statistics and updates the moving ones; dropout drops by the
    /// stream of (seed, step).
    Training {
        /// The seed of the training.
        seed: u64,
        /// The number of steps taken since training started.
        step: u64,
        /// The place of the first item in the batch, of which these may be a part.
        first: usize,
    },
    /// Batch norm uses the moving statistics; dropout does nothing.
    Inference,
}

impl Pass {
    /// Whether the pass is for training.
    pub fn is_training(self) -> bool {
        matches!(self, Self::Training { .. })
    }
}

/// What a layer makes of one item of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// The shape of one item of the output.
    pub output: Vec<usize>,
    /// The parameters, in Keras' order.
    pub parameters: Vec<(Role, Vec<usize>)>,
    /// Multiply-adds of one item's forward pass, times two; 0 where the arithmetic is small beside
    /// moving the data.
    pub flops: u64,
}

impl Description {
    /// A layer without parameters whose arithmetic is small.
    pub fn of_output(output: Vec<usize>) -> Self {
        Self { output, parameters: Vec::new(), flops: 0 }
    }
}

/// The most that a size of a layer or an axis of a shape may be: sizes come from files, too, and
/// their products are to stay numbers.
pub(super) const LARGEST: usize = 1 << 24;

/// The most values that all layers together give for one item: 256 MiB, so that no small file makes
/// a model that fills the machine. VGG-16 with batch norm gives 42 million for an image of 224x224.
pub(super) const MOST_ACTIVATIONS: usize = 1 << 26;

/// The number of values of a shape, where memory could hold them.
pub(super) fn values(shape: &[usize]) -> Option<usize> {
    let values = shape.iter().try_fold(1, |values: usize, &axis| values.checked_mul(axis));
    values.filter(|&values| values <= isize::MAX as usize / size_of::<f32>())
}

/// Twice the product: the floating-point operations of as many multiply-adds.
fn flops(of: &[usize]) -> u64 {
    of.iter().fold(2, |product, &size| product.saturating_mul(size as u64))
}

/// A shape whose sizes the plan has checked.
///
/// # Panics
/// With the sizes, where a batch of so many items has more values than memory can hold.
fn known<T>(shape: Result<T, ShapeError>) -> T {
    shape.unwrap_or_else(|error| panic!("{error}"))
}

/// What a layer claims of memory for its passes over a batch, beside its parameters and its output,
/// in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claims {
    /// What it keeps: what [`Layer::reserve`] claims.
    pub buffers: u64,
    /// What each thread that works for it keeps: for its tasks, and for what these call meanwhile.
    pub per_thread: [u64; 2],
}

impl Claims {
    fn new(buffers: usize, scratch_len: [usize; 2]) -> Self {
        Self { buffers: buffers as u64, per_thread: scratch_len.map(|len| Buffer::bytes(len) as u64) }
    }

    /// Those of two layers: each has its buffers, and both use the same memory of a thread.
    pub fn and(self, other: Self) -> Self {
        let buffers = self.buffers.saturating_add(other.buffers);
        Self { buffers, per_thread: [0, 1].map(|depth| self.per_thread[depth].max(other.per_thread[depth])) }
    }
}

/// Does work to which the sums over the other ranks' parts of a batch are given.
fn among<R>(team: &Team, work: impl FnOnce(Others) -> R) -> R {
    let sum = |sums: &mut [f64]| team.sum(sums);
    work((!team.is_alone()).then_some(&sum as &dyn Fn(&mut [f64])))
}

/// What a layer reads in a forward pass.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// What the layer before it gives.
    pub x: &'a Tensor,
    /// The value that the layer asks for by [`Layer::earlier`].
    pub earlier: Option<&'a Tensor>,
}

impl<'a> Inputs<'a> {
    /// The earlier value of a layer that asks for one.
    fn earlier(&self) -> &'a Tensor {
        self.earlier.expect("the layer asks for an earlier value")
    }
}

/// A layer of a model. The shapes were checked when the model was built.
pub(super) trait Layer: Send {
    /// Calls `visit` with each parameter, in Keras' order.
    fn each_parameter<'a>(&'a self, _visit: &mut dyn FnMut(&'a Parameter)) {}

    /// Calls `visit` with each parameter, to change it, in the order of
    /// [`each_parameter`](Layer::each_parameter). A layer that keeps something made of its parameters
    /// makes it anew afterwards.
    fn each_parameter_mut(&mut self, _visit: &mut dyn FnMut(&mut Parameter)) {}

    /// The place among the model's activations of a value, beside `x`, that the layer reads: given by
    /// a layer farther up.
    fn earlier(&self) -> Option<usize> {
        None
    }

    /// The gradient of the [earlier](Layer::earlier) value, from the last backward pass; of the length
    /// of its batch.
    fn earlier_gradient(&self) -> &[f32] {
        &[]
    }

    /// Has batch norm take the statistics of the batches of all ranks together.
    fn normalise_among(&mut self, _team: &Team) {}

    /// Claims the memory for batches of up to `n` items, that of the backward pass only for
    /// `training`.
    fn reserve(&mut self, isa: Isa, n: usize, training: bool);

    /// Computes `y`, which has the output's shape.
    fn forward(&mut self, isa: Isa, inputs: Inputs, y: &mut Tensor, pass: Pass);

    /// Adds to the gradients of the parameters and, where `dx` is asked for, overwrites it. Follows
    /// a training [`forward`](Layer::forward) of the same `x` and `y`; may use `dy` as workspace.
    fn backward(&mut self, isa: Isa, io: Backward);

    /// [`backward`](Layer::backward), which calls `ready` with each parameter once its gradient, or the
    /// statistic, is what the pass leaves: a layer of many parts does so part by part.
    fn backward_in_parts(&mut self, isa: Isa, io: Backward, ready: &mut dyn FnMut(&Parameter)) {
        self.backward(isa, io);
        self.each_parameter(&mut |parameter| ready(parameter));
    }

    /// Calls `visit` with each parameter, to change it, in the order of
    /// [`backward_in_parts`](Layer::backward_in_parts).
    fn each_ready_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.each_parameter_mut(visit);
    }

    /// Overwrites `dx`, which is asked for, and changes nothing else that a later pass reads. Follows
    /// an inference [`forward`](Layer::forward) of the same `x` and `y`; may use `dy` as workspace.
    ///
    /// Only layers that give vectors are asked: see
    /// [`Sequential::feature_maps`](crate::nn::Sequential::feature_maps).
    fn input_gradient(&mut self, _isa: Isa, _io: Backward) {
        unreachable!("a layer of images comes after the last one that gives images");
    }

    /// [`backward`](Layer::backward), then the update of the layer's parameters, whose gradients
    /// are zero before and after. A layer with large parameters does both in one pass.
    fn backward_and_step(&mut self, isa: Isa, io: Backward, step: &Step) {
        self.backward(isa, io);
        self.each_parameter_mut(&mut |parameter| parameter.step(isa, step));
    }
}

/// The tensors of a backward pass; see [`Layer::backward`] and [`Layer::input_gradient`].
pub(super) struct Backward<'a> {
    pub inputs: Inputs<'a>,
    pub y: &'a Tensor,
    pub dy: &'a mut Tensor,
    pub dx: Option<&'a mut Tensor>,
}
