//! Dropout.

use super::{Backward, Description, Inputs, Layer, Pass};
use crate::nn::tensor::Tensor;
use crate::rng::{Purpose, stream};
use onesheet_kernels::dropout;
use onesheet_kernels::simd::Isa;
use rand::Rng;

/// Dropout keeps any shape.
pub fn describe(input: &[usize], rate: f32) -> Result<Description, &'static str> {
    match rate {
        0.0..1.0 => Ok(Description::of_output(input.to_vec())),
        _ => Err("the rate is at least 0 and below 1"),
    }
}

/// Inverted dropout: in training values are dropped and the rest scaled up; inference is the
/// identity.
pub struct Dropout {
    rate: f32,
    /// The position among the model's layers: two dropouts of a model draw different masks.
    index: usize,
    /// The seed of the last training pass' masks, which the backward pass draws again, and the place of
    /// its first item in the batch.
    mask_seed: u64,
    first: usize,
}

impl Dropout {
    pub fn new(rate: f32, index: usize) -> Self {
        Self { rate, index, mask_seed: 0, first: 0 }
    }

    fn apply(&self, from: &Tensor, to: &mut Tensor) {
        let of_item = from.item_len();
        dropout::apply(self.rate, self.mask_seed, self.first, of_item, from.values(), to.values_mut());
    }
}

impl Layer for Dropout {
    fn reserve(&mut self, _isa: Isa, _n: usize, _training: bool) {}

    fn forward(&mut self, _isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, pass: Pass) {
        match pass {
            Pass::Inference => y.values_mut().copy_from_slice(x.values()),
            Pass::Training { seed, step, first } => {
                let mut masks = stream(seed, Purpose::Dropout, step);
                masks.set_stream(self.index as u64);
                (self.mask_seed, self.first) = (masks.next_u64(), first);
                self.apply(x, y);
            }
        }
    }

    fn backward(&mut self, _isa: Isa, Backward { dy, dx, .. }: Backward) {
        if let Some(dx) = dx {
            self.apply(dy, dx);
        }
    }

    fn input_gradient(&mut self, _isa: Isa, Backward { dy, dx, .. }: Backward) {
        if let Some(dx) = dx {
            dx.values_mut().copy_from_slice(dy.values());
        }
    }
}
