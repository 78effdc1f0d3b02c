//! Convolution + bias + ReLU + batch normalisation + 2x2 max-pooling as one operation.
//!
//! Done one after the other, each of these writes and reads the full-size image in both directions,
//! which takes about as long as the arithmetic of the convolutions. Here the full-size image is
//! written once, by [`Forward`], and read once, by [`Backward`]; normalised values and their
//! gradients exist for a few rows at a time.
//!
//! # Forward: pool first, normalise later
//! Let `a = relu(conv(x) + bias)`. Batch norm is affine in each channel,
//! `y = scale * (a - mean) + beta` with `scale = gamma / sigma`, so it keeps the order of values
//! where gamma > 0 and reverses it where gamma < 0:
//!
//! `max-pool(y) = scale * (p - mean) + beta`, where `p` is the largest `a` of the window, or the
//! smallest where gamma < 0
//!
//! The sign of gamma is known before the mean is. So one pass over the rows of `a`, while they are
//! in the cache, takes `p` and the sums that mean and variance come from. What the next operation
//! reads is an affine function of `p`, an image of a quarter of the size: [`Source::Normalised`] is
//! that function, applied when the next block copies its rows.
//!
//! # Backward: from the pooled positions
//! Let `dp` be the gradient of the block's output `y` at the pooled positions. With `m` the number
//! of values of a channel,
//!
//! - `dbeta = sum(dp)` and `dgamma = sum(dp * (p - mean)) / sigma`: only the winners of the windows
//!   have a gradient. The block above takes these sums as it computes `dp` ([`Backward::dx_sums`]),
//!   for the last block [`pooled_sums`] does.
//! - `dz = [a > 0] * (scale * scatter(dp) + slope * a + offset)` is the gradient at the
//!   convolution's output, where `slope = -scale * dgamma / (sigma * m)` and
//!   `offset = -scale * dbeta / m - slope * mean` are what the mean and the variance pass on, and
//!   `scatter` puts `dp` where the window's first value equal to `p` is.
//!
//! Rows of `dz` are made for a band of rows at a time, with zeros around them, and feed both
//! gradients of the convolution while they are in the L2 cache.
//!
//! # Where it differs from the single operations
//! They pool after rounding the normalised values, so that two different `a` may tie there, and the
//! first wins; here the larger `a` wins. Where gamma = 0, all tie: position 0 is taken, as they do.

mod backward;
mod forward;
mod inference;
mod rows;
mod source;

use crate::buffer::{Buffer, sized};
use crate::conv2d::Conv2dShape;

pub use backward::{Backward, pooled_sums};
pub use forward::Forward;
pub use inference::{Inference, normalise};
pub use source::{Affine, Source, affine_scale};

/// The sizes of a block: those of its convolution, 3x3 with stride 1; the pooling's window is 2x2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvBlockShape {
    /// The convolution.
    pub conv: Conv2dShape,
}

/// Pooled rows of a band: with 16 rows of its convolution, the rows that a band works on stay in an
/// L2 cache of 512 kB for the model's layers.
const BAND: usize = 8;

impl ConvBlockShape {
    /// Height of the pooled image.
    pub fn ph(&self) -> usize {
        self.conv.oh() / 2
    }

    /// Width of the pooled image.
    pub fn pw(&self) -> usize {
        self.conv.ow() / 2
    }

    /// Values in the pooled output.
    pub fn p_len(&self) -> usize {
        self.conv.n * self.ph() * self.pw() * self.conv.oc
    }

    /// Bands of an image; the last one has the convolution's odd row, which is not pooled.
    fn bands(&self) -> usize {
        self.ph().div_ceil(BAND)
    }

    /// The convolution's rows in a band.
    fn band_rows(&self, band: usize) -> std::ops::Range<usize> {
        let end = if band + 1 == self.bands() { self.conv.oh() } else { (band + 1) * 2 * BAND };
        band * 2 * BAND..end
    }

    /// The pooled rows in a band.
    fn band_pooled_rows(&self, band: usize) -> std::ops::Range<usize> {
        band * BAND..((band + 1) * BAND).min(self.ph())
    }

    /// The image and band that a thread takes after this one, if there is one.
    fn next_band(&self, image: usize, band: usize) -> Option<(usize, usize)> {
        let next = image * self.bands() + band + 1;
        let (image, band) = (next / self.bands(), next % self.bands());
        (image < self.conv.n).then_some((image, band))
    }

    fn check(&self) {
        let Conv2dShape { kh, kw, stride, .. } = self.conv;
        assert_eq!((kh, kw, stride), (3, 3, 1), "a block's convolution is 3x3 with stride 1");
        assert!(self.p_len() > 0, "the windows do not fit: {self:?}");
    }
}

/// Memory that a block's passes work in. It grows to what they ask for and stays.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The weights as an algorithm arranges them.
    arranged: Buffer,
    /// The sums of each task, in f64.
    sums: Vec<f64>,
    /// The weight gradients of each task.
    gradients: Buffer,
    /// The scale, slope and offset of the backward pass.
    coefficients: Buffer,
}

impl Workspace {
    /// Claims what the passes over batches of up to the shape's `n` need, so that they allocate
    /// nothing; for inference, only what [`Inference`] needs.
    pub fn reserve(&mut self, shape: &ConvBlockShape, training: bool) {
        let Conv2dShape { n, ic, oc, .. } = shape.conv;
        self.arranged.resize(shape.conv.arranged_len());
        if training {
            let parts = (1..=n).map(|n| n * parts(n, shape.bands())).max().unwrap_or(0);
            sized(&mut self.sums, (n * shape.bands() * 2 * oc).max(parts * 2 * ic));
            self.gradients.resize(parts * (shape.conv.w_len() + oc));
            self.coefficients.resize(3 * oc);
        }
    }
}

/// The number of parts that the backward pass cuts an image into, each of which sums its own weight
/// gradient: enough for every core to have work to the end of a step. Depends on the shape alone.
fn parts(n: usize, bands: usize) -> usize {
    (64 / n).clamp(1, bands)
}
