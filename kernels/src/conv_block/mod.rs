//! Convolution + bias + ReLU + batch normalisation + 2x2 max-pooling as one operation.
//!
//! Done one after the other, each of these writes and reads the full-size image in both directions,
//! which takes about as long as the arithmetic of the convolutions. Here the full-size image is
//! written once, by [`Forward`], and read once, by [`Backward`], or, where the convolution takes less
//! time than that ([`ConvBlockShape::keeps_a`]), never written but computed twice; normalised values
//! and their gradients exist for a few rows at a time.
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
mod gradient_sums;
mod inference;
mod rows;
mod source;

use crate::ShapeError;
use crate::batch_norm::of_all_parts_len;
use crate::buffer::{Buffer, sized};
use crate::conv2d::{Algorithm, Conv2dShape, Conv2dSizes, MOST_ROWS, MOST_TASKS, Pass, Staging};
use crate::conv2d::{Correlation, gradient_len, gradient_tasks};
use crate::simd::Isa;

pub use backward::Backward;
pub use forward::Forward;
pub use gradient_sums::pooled_sums;
pub use inference::{Inference, normalise};
pub use source::{Affine, Source, affine_scale};

/// The shape of a block: that of its convolution, 3x3 with stride 1; the pooling's window is 2x2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvBlockShape {
    conv: Conv2dShape,
}

/// Pooled rows of a band: with 16 rows of its convolution, the rows that a band works on stay in an
/// L2 cache of 512 kB for the model's layers.
const BAND: usize = 8;

/// The most rows of its convolution that a band has: the last one's may be odd.
const MOST_BAND_ROWS: usize = 2 * BAND + 1;
const _: () = assert!(MOST_BAND_ROWS <= MOST_ROWS);

impl ConvBlockShape {
    /// The shape of a block with this convolution.
    ///
    /// # Errors
    /// If the convolution is not 3x3 with stride 1, or the pooling's window is larger than its
    /// output.
    pub fn try_new(conv: Conv2dShape) -> Result<Self, ShapeError> {
        if (conv.kh, conv.kw, conv.stride) != (3, 3, 1) {
            return Err(ShapeError::new(&conv, "a block's convolution is 3x3 with stride 1"));
        }
        if conv.oh().min(conv.ow()) < 2 {
            return Err(ShapeError::new(&conv, "the pooling's window is larger than the image"));
        }
        Ok(Self { conv })
    }

    /// [`try_new`](Self::try_new) for a convolution that is known to fit.
    ///
    /// # Panics
    /// With the sizes, where that is an error.
    #[track_caller]
    pub fn new(conv: Conv2dShape) -> Self {
        match Self::try_new(conv) {
            Ok(shape) => shape,
            Err(error) => panic!("{error}"),
        }
    }

    /// The same for a batch of `n` images.
    ///
    /// # Errors
    /// As [`Conv2dShape::try_new`].
    pub fn of_batch(&self, n: usize) -> Result<Self, ShapeError> {
        Ok(Self { conv: self.conv.of_batch(n)? })
    }

    /// The convolution.
    pub fn conv(&self) -> &Conv2dShape {
        &self.conv
    }

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

    /// The image and its band, by the band's number among those of all images.
    fn place(&self, band: usize) -> (usize, usize) {
        (band / self.bands(), band % self.bands())
    }

    /// Whether the forward pass is best given room for `a`, the full-size image, which the backward
    /// pass then reads: unless the convolution takes less time than its output takes to be written and
    /// read, 12 bytes for each value with the line that is read before it is written.
    ///
    /// Milliseconds an image for both passes with `a` and without, one core of a Granite Rapids:
    ///
    /// | block | f32 | bf16 in blocks |
    /// |---|--:|--:|
    /// | 3 to 16 channels on 254x254 | 1.46, 1.36 | 1.78, 1.25 |
    /// | 16 to 32 on 125x125 | | 1.78, 1.17 |
    /// | 32 to 64 on 60x60 | | 0.85, 0.73 |
    /// | 64 to 128 on 32x32 | | 0.75, 0.88 |
    pub fn keeps_a(&self, isa: Isa) -> bool {
        if !self.can_recompute_a(isa) {
            return true;
        }
        // Processors with a matrix unit multiply so fast, in f32 too, that memory cannot follow.
        let most_products = match Algorithm::choose(isa, &self.conv, Pass::Forward) {
            Algorithm::Blocks => 9 * 32,
            _ if isa.has_matrix_unit() => 9 * 3,
            _ => 0,
        };
        self.conv.window() > most_products
    }

    /// Whether the backward pass can compute `a` once more to the same bits: not where minimal filtering
    /// computes it, whose rounding depends on where its tiles begin.
    pub fn can_recompute_a(&self, isa: Isa) -> bool {
        !matches!(Algorithm::choose(isa, &self.conv, Pass::Forward), Algorithm::Winograd2x2 | Algorithm::Winograd4x4)
    }

    /// The most images that a pass gives to its correlation at a time: several where they are small, and
    /// each is a band. No bit of a result depends on it.
    fn images_at_once(&self, isa: Isa, pass: Pass) -> usize {
        if self.bands() > 1 {
            return 1;
        }
        let rows = if pass == Pass::BackwardX { self.conv.h } else { self.conv.oh() };
        Correlation::plan(isa, &self.conv, pass).images_at_once(rows).min(self.conv.n)
    }

    /// The tasks of the backward pass, each of which sums its own weight gradient: enough for every
    /// core to have work to the end of a step.
    fn gradient_tasks(&self) -> usize {
        gradient_tasks(&self.conv, self.bands(), MOST_TASKS)
    }

    /// The image and band that a thread takes after this one, if there is one.
    fn next_band(&self, image: usize, band: usize) -> Option<(usize, usize)> {
        let next = image * self.bands() + band + 1;
        let (image, band) = (next / self.bands(), next % self.bands());
        (image < self.conv.n).then_some((image, band))
    }

    /// The most values that a task of a pass borrows from its thread: for itself, and for what it calls
    /// meanwhile.
    pub fn scratch_len(&self, isa: Isa, training: bool) -> [usize; 2] {
        if !training {
            return inference::scratch_len(isa, self);
        }
        let conv = &self.conv;
        let [forward, backward] = [Pass::Forward, Pass::BackwardX].map(|pass| self.images_at_once(isa, pass));
        let [to_y, to_dx] = [Pass::Forward, Pass::BackwardX].map(|pass| Correlation::plan(isa, conv, pass));
        let stage = Staging::forward(conv).len(MOST_BAND_ROWS + backward::BEFORE);
        let a = if self.keeps_a(isa) { 0 } else { forward * to_y.at_once() * conv.ow() * conv.oc };
        let dz = backward * backward::most_dz_len(conv);
        let own = forward * stage + a + dz + gradient_len(isa, conv) + 2 * conv.ic.max(conv.oc);
        [own, to_y.scratch_len().max(to_dx.scratch_len())]
    }
}

/// Memory that a block's passes work in. It grows to what they ask for and stays.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The weights as an algorithm arranges them.
    arranged: Buffer,
    /// Those of the forward pass in the backward pass.
    arranged_forward: Buffer,
    /// The sums of all parts of the batch, and those of each task, in f64.
    sums: Vec<f64>,
    /// The weight gradients of each task.
    gradients: Buffer,
    /// The scale, slope and offset of the backward pass.
    coefficients: Buffer,
}

impl Workspace {
    /// Claims what the passes over batches of up to the shape's `n` need, so that they allocate
    /// nothing. [`Inference`] needs none.
    pub fn reserve(&mut self, isa: Isa, shape: &ConvBlockShape) {
        let (sums, [arranged, arranged_forward, gradients, coefficients]) = Self::lens(isa, shape);
        sized(&mut self.sums, sums);
        self.arranged.resize(arranged);
        self.arranged_forward.resize(arranged_forward);
        self.gradients.resize(gradients);
        self.coefficients.resize(coefficients);
    }

    /// The bytes that [`reserve`](Self::reserve) claims.
    pub fn bytes(isa: Isa, shape: &ConvBlockShape) -> usize {
        let (sums, buffers) = Self::lens(isa, shape);
        sums * size_of::<f64>() + buffers.into_iter().map(Buffer::bytes).sum::<usize>()
    }

    /// The lengths of the sums, and of the weights as they are arranged, for the backward pass also as
    /// the forward pass has them, the gradients and the coefficients.
    fn lens(isa: Isa, shape: &ConvBlockShape) -> (usize, [usize; 4]) {
        let (conv, bands) = (&shape.conv, shape.bands());
        let Conv2dSizes { n, ic, oc, .. } = **conv;
        let tasks = shape.gradient_tasks();
        let sums = of_all_parts_len(oc) + (n * bands * 2 * oc).max(tasks * 2 * ic);
        let arranged_forward = if shape.keeps_a(isa) { 0 } else { conv.arranged_len(isa, Pass::Forward) };
        let arranged = conv.arranged_len(isa, Pass::Forward).max(conv.arranged_len(isa, Pass::BackwardX));
        (sums, [arranged, arranged_forward, tasks * (conv.w_len() + oc), 3 * oc])
    }
}
