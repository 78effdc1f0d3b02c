//! Flatten: NHWC is contiguous, so the values stay as they are.

use super::{Layer, Pass};
use crate::tensor::Tensor;
use onesheet_kernels::simd::Isa;

pub(super) struct Flatten {
    len: usize,
}

impl Flatten {
    pub fn new(input: &[usize]) -> Self {
        Self { len: input.iter().product() }
    }
}

impl Layer for Flatten {
    fn output_shape(&self) -> Vec<usize> {
        vec![self.len]
    }

    fn forward(&mut self, _isa: Isa, x: &Tensor, y: &mut Tensor, _pass: Pass) {
        y.values_mut().copy_from_slice(x.values());
    }

    fn backward(&mut self, _isa: Isa, _x: &Tensor, _y: &Tensor, dy: &mut Tensor, dx: Option<&mut Tensor>) {
        if let Some(dx) = dx {
            dx.values_mut().copy_from_slice(dy.values());
        }
    }
}
