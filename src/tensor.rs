//! A batch of values.

use onesheet_kernels::buffer::Buffer;

/// `n` items of one shape, contiguous: `[n, shape...]`, f32.
///
/// Its memory is claimed and touched once, for the largest batch; a shorter batch uses the front of it.
#[derive(Clone, Debug, Default)]
pub struct Tensor {
    n: usize,
    shape: Vec<usize>,
    values: Buffer,
}

impl Tensor {
    /// Takes another size and shape; the values are unspecified afterwards. Allocates only beyond the largest size it had.
    pub fn reshape(&mut self, n: usize, shape: &[usize]) {
        self.n = n;
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        self.values.resize(n * self.item_len());
    }

    /// Items in the batch.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The shape of one item.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values in one item.
    pub fn item_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to write.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}
