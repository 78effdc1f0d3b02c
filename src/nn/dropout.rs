//! Dropout.

use super::{Layer, Pass};
use crate::rng::{Purpose, stream};
use crate::tensor::Tensor;
use onesheet_kernels::dropout;
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// Inverted dropout: values are dropped and the rest scaled up while training; inference is the identity.
pub(super) struct Dropout {
    rate: f32,
    /// Position among the model's layers: two dropouts of a model draw different masks.
    index: usize,
    /// The last training pass' masks, which the backward pass draws again.
    mask_seed: u64,
}

impl Dropout {
    pub fn new(rate: f32, index: usize) -> Self {
        Self { rate, index, mask_seed: 0 }
    }

    fn apply(&self, from: &Tensor, to: &mut Tensor) {
        dropout::apply(self.rate, self.mask_seed, from.item_len(), from.values(), to.values_mut());
    }
}

impl Layer for Dropout {
    fn forward(&mut self, _isa: Isa, x: &Tensor, y: &mut Tensor, pass: Pass) {
        match pass {
            Pass::Inference => y.values_mut().copy_from_slice(x.values()),
            Pass::Training { seed, step } => {
                let mut masks = stream(seed, Purpose::Dropout, step);
                masks.set_stream(self.index as u64);
                self.mask_seed = masks.next_u64();
                self.apply(x, y);
            }
        }
    }

    fn backward(&mut self, _isa: Isa, _x: &Tensor, _y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        if let Some(dx) = dx {
            self.apply(dy, dx);
        }
    }
}
