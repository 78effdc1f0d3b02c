//! Batch normalisation over the last axis: a tensor is `[m][c]`, the `m` pixels of all images
//! together.
//!
//! Training is [`statistics`] of the batch, [`forward`] with them, [`backward`], and
//! [`update_moving`]; inference is [`forward`] with the moving statistics.
//!
//! # How any number of channels fills vectors
//! The kernels treat a stripe of values, several pixels where there are few channels, as one row:
//! element by element, rows are added to a row of sums, or combined with a row that repeats a
//! parameter of each channel. So nothing strides, and neither the terms of a sum nor their order
//! depend on the width of a vector.
//!
//! # How sums stay accurate
//! f32 adds up at most a block of 32 kB; f64 adds up blocks to chunks, and chunks, in their order,
//! to the whole. A block's variance is taken about the block's own mean, so that a large mean with
//! a small variance cancels nowhere.

mod backward;
mod forward;
mod statistics;

use crate::buffer::{Buffer, sized};
use crate::shape::product;
use crate::simd::{MAX_LANES, VALUES_PER_TASK};

pub use backward::{Gradients, backward};
pub use forward::forward;
pub use statistics::statistics;

/// What [`forward`] normalises with, and [`backward`] through; each slice has `c` values.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    /// Factor of the normalised values.
    pub gamma: &'a [f32],
    /// Offset added to the normalised values.
    pub beta: &'a [f32],
    /// Mean of each channel: the batch's in training, the moving one in inference.
    pub mean: &'a [f32],
    /// Biased variance of each channel: likewise.
    pub variance: &'a [f32],
    /// Added to the variance; Keras' default is 1e-3, PyTorch's 1e-5.
    pub epsilon: f32,
}

impl Normalization<'_> {
    fn check_values(&self, x: usize) {
        let c = self.gamma.len();
        assert!(c > 0 && x.is_multiple_of(c), "{x} values of {c} channels");
        self.check(c);
    }

    pub(crate) fn check(&self, c: usize) {
        let equal = [self.gamma, self.beta, self.mean, self.variance].iter().all(|parameter| parameter.len() == c);
        assert!(equal, "gamma, beta, mean and variance");
    }

    pub(crate) fn inv_std(&self, channel: usize) -> f64 {
        1.0 / (f64::from(self.variance[channel]) + f64::from(self.epsilon)).sqrt()
    }
}

/// Adds, to the sums over a batch that is a part of a larger one, those over its other parts: the
/// statistics are then those of all parts together. `None` where a batch is all that there is.
///
/// The slice holds how many values of a channel were summed, and then the sums of each channel. It is
/// called once, on the thread that called the kernel, and has to leave the same sums for every part.
pub type Others<'a> = Option<&'a dyn Fn(&mut [f64])>;

/// The sums of all parts of a batch, and how many values of a channel they are of, given those of this
/// part, of `m`. The first of `sums` is room for that number.
pub(crate) fn of_all_parts<'a>(others: Others, m: usize, sums: &'a mut [f64]) -> (f64, &'a [f64]) {
    sums[0] = m as f64;
    if let Some(others) = others {
        others(sums);
    }
    (sums[0], &sums[1..])
}

/// Room for the sums of all parts: two for each of `c` channels, and the number of values.
pub(crate) fn of_all_parts_len(c: usize) -> usize {
    1 + 2 * c
}

/// Values in a stripe: whole pixels, whole vectors where channels are few, and at least 64, which
/// is enough independent sums to hide the latency of an addition.
fn stripe(c: usize) -> usize {
    if c < 64 { 64usize.div_ceil(c).next_multiple_of(MAX_LANES) * c } else { c }
}

/// Values in a block: whole stripes.
fn block(c: usize) -> usize {
    (VALUES_PER_TASK / stripe(c)).max(1) * stripe(c)
}

/// Values in a chunk, the share of one task in a sum.
fn chunk(c: usize) -> usize {
    8 * block(c)
}

/// Memory that the passes work in. It grows to what they ask for and stays.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Up to [`PARAMETERS`] parameters, each as a stripe.
    stripes: Buffer,
    /// Sums of all parts of the batch, and of each chunk, up to [`SUMS`] per channel.
    sums: Vec<f64>,
}

/// The most parameters that a pass spreads over stripes.
const PARAMETERS: usize = 4;

/// The most sums that a chunk has per channel: those of `statistics`.
const SUMS: usize = 4;

impl Workspace {
    /// Claims what the passes over up to `len` values of `c` channels need, so that they allocate
    /// nothing.
    ///
    /// # Panics
    /// If `c` is 0, or there are more values than memory can hold.
    pub fn reserve(&mut self, len: usize, c: usize) {
        let (stripes, sums) = Self::lens(len, c);
        self.stripes.resize(stripes);
        sized(&mut self.sums, sums);
    }

    /// The bytes that [`reserve`](Self::reserve) claims.
    ///
    /// # Panics
    /// As [`reserve`](Self::reserve).
    pub fn bytes(len: usize, c: usize) -> usize {
        let (stripes, sums) = Self::lens(len, c);
        Buffer::bytes(stripes) + sums * size_of::<f64>()
    }

    fn lens(len: usize, c: usize) -> (usize, usize) {
        let fits = c > 0 && product([len]).is_ok() && product([c]).is_ok();
        assert!(fits, "{len} values of {c} channels: there are none, or more than memory can hold");
        (PARAMETERS * stripe(c), of_all_parts_len(c) + len.div_ceil(chunk(c)).max(1) * SUMS * c)
    }
}

/// Stripes in which every pixel holds the parameters of its channel, `parameters(channel)`, one
/// stripe per parameter.
fn spread<const K: usize>(stripes: &mut Buffer, c: usize, parameters: impl Fn(usize) -> [f64; K]) -> [&[f32]; K] {
    const { assert!(K <= PARAMETERS) };
    let len = stripe(c);
    stripes.resize(K * len);
    for i in 0..len {
        for (k, value) in parameters(i % c).into_iter().enumerate() {
            stripes[k * len + i] = value as f32;
        }
    }
    std::array::from_fn(|k| &stripes[k * len..][..len])
}

/// Sums that start at 0.
fn zeros(sums: &mut Vec<f64>, len: usize) -> &mut [f64] {
    let sums = sized(sums, len);
    sums.fill(0.0);
    sums
}

/// Adds the pixels of a stripe of sums to the sum of each channel.
#[inline(always)]
fn fold(stripe: &[f32], sums: &mut [f64]) {
    for pixel in stripe.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += f64::from(*value);
        }
    }
}

/// `moving = momentum * moving + (1 - momentum) * batch`, for the mean and for the variance.
///
/// Keras' convention, default 0.99, with the biased variance of the batch. PyTorch's momentum is 1
/// minus this one, and its moving variance takes the unbiased variance of the batch, `m / (m - 1)`
/// times this one.
///
/// # Shapes
/// `batch`: `[c]`, f32; `moving`: likewise, overwritten
/// # Panics
/// If the lengths differ.
pub fn update_moving(momentum: f32, batch: &[f32], moving: &mut [f32]) {
    assert_eq!(batch.len(), moving.len(), "batch and moving");
    for (batch, moving) in batch.iter().zip(moving) {
        *moving = momentum * *moving + (1.0 - momentum) * batch;
    }
}
