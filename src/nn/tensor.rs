//! A batch of values between two layers.

use onesheet_kernels::buffer::Buffer;

/// `n` items of one shape, contiguous: `[n, shape...]`, f32, or bytes that stand for values.
///
/// Its memory is claimed and touched once, for the largest batch; a shorter batch uses the front of
/// it.
#[derive(Clone, Debug, Default)]
pub struct Tensor {
    n: usize,
    shape: Vec<usize>,
    values: Buffer,
    bytes: Vec<u8>,
    is_bytes: bool,
}

impl Tensor {
    /// Takes another size and shape; the values are unspecified afterwards. Allocates only beyond
    /// the largest size it had.
    pub(super) fn reshape(&mut self, n: usize, shape: &[usize]) {
        self.set_shape(n, shape);
        self.values.resize(n * self.item_len());
        self.is_bytes = false;
    }

    /// Like [`reshape`](Self::reshape), but for bytes in place of values.
    pub(super) fn reshape_bytes(&mut self, n: usize, shape: &[usize]) {
        self.set_shape(n, shape);
        self.bytes.resize(n * self.item_len(), 0);
        self.is_bytes = true;
    }

    fn set_shape(&mut self, n: usize, shape: &[usize]) {
        self.n = n;
        self.shape.clear();
        self.shape.extend_from_slice(shape);
    }

    /// The bytes, where it holds bytes.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.is_bytes.then_some(&self.bytes)
    }

    /// The bytes, to write, where it holds bytes.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        debug_assert!(self.is_bytes, "the tensor holds values");
        &mut self.bytes
    }

    /// The number of items in the batch.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The shape of one item.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of values in one item.
    pub fn item_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to write.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}
