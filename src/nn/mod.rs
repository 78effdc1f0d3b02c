//! The small framework: layers with hand-written backward passes, chained.
//!
//! [`spec`] says what a model is, as data; [`Sequential`] builds it, owns every buffer and runs it. A layer knows its own
//! parameters and workspace and nothing of its neighbours.

mod activation;
mod batch_norm;
mod conv2d;
mod dense;
mod dropout;
mod flatten;
mod init;
mod max_pool2d;
mod sequential;
pub mod spec;
mod summary;

pub use sequential::{Input, Sequential};
pub use spec::{LayerSpec, ModelSpec};

use crate::tensor::Tensor;
use onesheet_kernels::simd::Isa;

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
    /// Shape of one item of the output.
    fn output_shape(&self) -> Vec<usize>;

    /// Multiply-adds, times two, of one item's forward pass; 0 where the arithmetic is a trifle beside moving the data.
    fn flops(&self) -> u64 {
        0
    }

    /// The layer's parameters, in Keras' order.
    fn parameters(&self) -> &[Parameter] {
        &[]
    }

    /// The layer's parameters, to change.
    fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut []
    }

    /// Claims the workspace for batches of up to `n`.
    fn reserve(&mut self, _n: usize) {}

    /// Computes `y`, which has the output's shape.
    fn forward(&mut self, isa: Isa, x: &Tensor, y: &mut Tensor, pass: Pass);

    /// Adds to the gradients of the parameters and, where `dx` is asked for, overwrites it. Follows a training
    /// [`forward`](Layer::forward) of the same `x` and `y`; may use `dy` as workspace.
    fn backward(&mut self, isa: Isa, x: &Tensor, y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>);
}

/// A tensor that belongs to a layer: a weight that is trained, or a statistic that is kept.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Keras' name within the layer: `kernel`, `bias`, `gamma`, `beta`, `moving_mean`, `moving_variance`.
    pub name: &'static str,
    /// Layout as in Keras: HWIO, `[in, out]`, `[c]`.
    pub shape: Vec<usize>,
    /// The values.
    pub value: Vec<f32>,
    /// The gradient of the loss, summed since the last step; empty where the parameter is not trained.
    pub gradient: Vec<f32>,
}

impl Parameter {
    fn trained(name: &'static str, shape: &[usize], value: Vec<f32>) -> Self {
        let gradient = vec![0.0; value.len()];
        Self { name, shape: shape.to_vec(), value, gradient }
    }

    fn kept(name: &'static str, shape: &[usize], value: Vec<f32>) -> Self {
        Self { name, shape: shape.to_vec(), value, gradient: Vec::new() }
    }

    /// Whether an optimiser changes it.
    pub fn is_trained(&self) -> bool {
        !self.gradient.is_empty()
    }
}
