//! The small framework: layers with hand-written backward passes, chained.
//!
//! [`spec`] says what a model is, as data; [`Sequential`] builds it, owns every buffer and runs it. A layer knows its own
//! parameters and workspace and nothing of its neighbours.

mod activation;
mod batch_norm;
mod conv2d;
mod conv_blocks;
mod dense;
mod dropout;
mod global_average_pool2d;
mod init;
mod max_pool2d;
mod sequential;
pub mod spec;
mod summary;

pub use sequential::{Input, Sequential};
pub use spec::{LayerSpec, ModelSpec};

use crate::tensor::Tensor;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::optim::Step;
use onesheet_kernels::simd::Isa;

/// What a byte of an image is worth: 0 to 1.
const BYTE_SCALE: f32 = 1.0 / 255.0;

/// Whether a forward pass is for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch norm uses the batch's statistics and updates the moving ones; dropout drops by the stream of (seed, step).
    Training {
        /// The run's seed.
        seed: u64,
        /// Steps since the start of training.
        step: u64,
    },
    /// Batch norm uses the moving statistics; dropout does nothing.
    Inference,
}

/// A layer of a chain. Shapes were checked when the model was built.
pub(crate) trait Layer: Send {
    /// The layer's parameters, in Keras' order.
    fn parameters(&self) -> &[Parameter] {
        &[]
    }

    /// The layer's parameters, to change.
    fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut []
    }

    /// Whether [`forward`](Layer::forward) and [`backward`](Layer::backward) take bytes for `x`, scaled by [`BYTE_SCALE`].
    fn takes_bytes(&self) -> bool {
        false
    }

    /// Claims the workspace for batches of up to `n`.
    fn reserve(&mut self, _n: usize) {}

    /// Computes `y`, which has the output's shape.
    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, pass: Pass);

    /// Adds to the gradients of the parameters and, where `dx` is asked for, overwrites it. Follows a training
    /// [`forward`](Layer::forward) of the same `x` and `y`; may use `dy` as workspace.
    fn backward(&mut self, isa: Isa, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>);

    /// [`backward`](Layer::backward), then the update of the layer's parameters, whose gradients are zero before and
    /// after. A layer with large parameters does both in one pass.
    fn backward_and_step(&mut self, isa: Isa, io: Backward, update: &mut Update) {
        let Backward { x, y, dy, dx } = io;
        self.backward(isa, x, y, dy, dx);
        update.apply(isa, self.parameters_mut());
    }
}

/// What a backward pass works on; see [`Layer::backward`].
pub(crate) struct Backward<'a> {
    pub x: &'a Tensor,
    pub y: &'a Tensor,
    pub dy: &'a mut Tensor,
    pub dx: Option<&'a mut Tensor>,
}

/// An optimiser's step, and what it remembers of the trained parameters of a layer.
pub(crate) struct Update<'a> {
    pub step: Step,
    pub state: &'a mut [[Buffer; 2]],
}

impl Update<'_> {
    /// Moves the parameters by their gradients, and sets the gradients to zero.
    fn apply(&mut self, isa: Isa, parameters: &mut [Parameter]) {
        let trained = parameters.iter_mut().filter(|parameter| parameter.is_trained());
        for (parameter, [first, second]) in trained.zip(&mut *self.state) {
            let step = if parameter.decays() { self.step } else { self.step.without_decay() };
            step.run(isa, &parameter.gradient, [first, second], &mut parameter.value);
            parameter.gradient.fill(0.0);
        }
    }
}

/// A tensor that belongs to a layer: a weight that is trained, or a statistic that is kept.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The layer's name and Keras' within it, such as `conv2d_1/kernel`: `kernel`, `bias`, `gamma`, `beta`, `moving_mean`,
    /// `moving_variance`.
    pub name: String,
    /// Layout as in Keras: HWIO, `[in, out]`, `[c]`.
    pub shape: Vec<usize>,
    /// The values.
    pub value: Buffer,
    /// The gradient of the loss, summed since the last step; empty where the parameter is not trained.
    pub gradient: Vec<f32>,
}

impl Parameter {
    fn trained(name: String, shape: &[usize], value: Vec<f32>) -> Self {
        let gradient = vec![0.0; value.len()];
        Self { name, shape: shape.to_vec(), value: Buffer::from(&*value), gradient }
    }

    fn kept(name: String, shape: &[usize], value: Vec<f32>) -> Self {
        Self { name, shape: shape.to_vec(), value: Buffer::from(&*value), gradient: Vec::new() }
    }

    /// Whether an optimiser changes it.
    pub fn is_trained(&self) -> bool {
        !self.gradient.is_empty()
    }

    /// Whether weight decay applies to it: to the weights of convolutions and dense layers. Biases and batch norm's parameters
    /// have a value of one a channel, which nothing is gained by pulling to 0.
    fn decays(&self) -> bool {
        self.name.ends_with("/kernel")
    }
}
