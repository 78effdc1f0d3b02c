//! 2-D convolution (cross-correlation, as in every deep-learning library): forward, backward_x,
//! backward_w.
//!
//! `y[n,y,x,o] = bias[o] + sum over u,v,i of x[n, y*s+u-pad_top, x*s+v-pad_left, i] * w[u,v,i,o]`
//!
//! # im2col without the copy
//! The im2col matrix of an image has one row per output pixel: the `kh * kw * ic` inputs under the
//! window. In NHWC with stride 1 the part of that row which belongs to one kernel row `u` is a
//! single run of `kw * ic` floats of the image, and the next pixel's run starts `ic` floats further
//! on. So the matrix exists already, as overlapping rows of the image itself: the convolution is a
//! sum over `u` of products whose A has the row stride `ic` (`gemm::Product` calls the kernel rows
//! *segments*). Nothing is copied, except that an image with zeros around it is staged, a few rows
//! at a time, in a buffer that has them (`staging`).
//!
//! - forward and backward_x are that correlation; backward_x runs it over `dy` with zeros around
//!   it, the weights flipped and transposed.
//! - backward_w is the transposed view times `dy`, summed over the rows of the image.
//!
//! Any other stride takes the explicit im2col matrix (`im2col`), a few output rows at a time.
//! [`Algorithm`] says which way a shape takes.
//!
//! # 3x3 windows
//! A product of the view broadcasts every input once for each tap that it feeds. The windows of
//! neighbouring pixels overlap, so for 3x3 windows and channels in whole vectors of 16 two tiles
//! keep what overlaps in registers: `tap_tile` (forward, backward_x) and `gradient_tile`
//! (backward_w). Correlations from at least 16 to at least 32 channels take 16 multiplications for
//! four outputs instead of 36, by minimal filtering (`winograd`).
//!
//! What their inner loops hold on AVX-512, as `tools/assembly` reads it from the machine code (a
//! core starts two FMAs and two loads per cycle):
//!
//! | kernel | tile | FMAs | broadcasts | loads | spills | bound by |
//! |---|---|--:|--:|--:|--:|---|
//! | conv1 forward (3 to 16) | 2 x 8 pixels x 16 channels | 144 | 40 | 9 | 0 | FMAs |
//! | conv2 forward (16 to 32) | 12 tiles x 32 | 24 | 12 | 2 | 0 | loads |
//! | conv3 forward (32 to 64) | 6 tiles x 64 | 24 | 6 | 4 | 0 | FMAs |
//! | conv2 backward_x (32 to 16) | 2 x 8 pixels x 16 | 144 | 40 | 9 | 0 | FMAs |
//! | conv3 backward_x (64 to 32) | 12 tiles x 32 | 24 | 12 | 2 | 0 | loads |
//! | conv1 backward_w | 2 kernel rows x 3 taps x 3 inputs x 16 | 54 | 18 | 3 | 0 | FMAs |
//! | conv1 backward_w, third kernel row | 1 x 3 x 3 x 16 | 27 | 9 | 3 | 0 | FMAs |
//! | conv2, conv3 backward_w | 3 taps x 4 inputs x 32 | 72 | 12 | 6 | 0 | FMAs |
//!
//! conv1 forward makes only three turns per tile, so its 16 stores and its start count too. conv2
//! forward also waits for its 32 kB of transformed weights on their way from L2 to L1. The tile of
//! the third kernel row has 9 chains, just enough to hide the latency.
//!
//! Other windows and channel counts go through `gemm::Product`: 14 x 2 vectors (28 FMAs of 14
//! broadcasts and 2 loads) or 6 x 4 (24 of 6 and 4), which are bound by loads and by FMAs.

mod algorithm;
mod backward_w;
mod backward_x;
mod correlation;
mod forward;
mod gradient_tile;
mod im2col;
mod staging;
mod tap_tile;
mod winograd;

pub use algorithm::{Algorithm, Pass};
pub use backward_w::BackwardW;
pub(crate) use backward_w::{WeightGradient, add_parts};
pub use backward_x::BackwardX;
pub(crate) use correlation::Correlation;
pub use forward::Forward;
pub(crate) use staging::Staging;

use crate::buffer::Buffer;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// How an image's border is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
pub enum Padding {
    /// The window stays inside the image: `oh = (h - kh) / stride + 1`.
    Valid,
    /// `oh = ceil(h / stride)`; zeros are added, the odd row or column at the bottom or right, as
    /// TensorFlow does.
    Same,
}

/// The sizes of a convolution: all that its kernels need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Images in the batch.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub ic: usize,
    /// Output channels (filters).
    pub oc: usize,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Step of the window, the same in both directions.
    pub stride: usize,
    /// Border treatment.
    pub padding: Padding,
}

impl Conv2dShape {
    /// Output height; 0 where the window does not fit.
    pub fn oh(&self) -> usize {
        output_size(self.h, self.kh, self.stride, self.padding)
    }

    /// Output width; 0 where the window does not fit.
    pub fn ow(&self) -> usize {
        output_size(self.w, self.kw, self.stride, self.padding)
    }

    /// Rows of zeros above the image.
    pub fn pad_top(&self) -> usize {
        pad_before(self.h, self.kh, self.stride, self.padding)
    }

    /// Columns of zeros left of the image.
    pub fn pad_left(&self) -> usize {
        pad_before(self.w, self.kw, self.stride, self.padding)
    }

    /// Values under the window: the inner dimension of the im2col product.
    pub(crate) fn window(&self) -> usize {
        self.kh * self.kw * self.ic
    }

    /// Values in `x`.
    pub fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.ic
    }

    /// Values in `y`.
    pub fn y_len(&self) -> usize {
        self.n * self.oh() * self.ow() * self.oc
    }

    /// Values in the weights `[kh][kw][ic][oc]`.
    pub fn w_len(&self) -> usize {
        self.kh * self.kw * self.ic * self.oc
    }

    /// The most values that the weights have as an algorithm arranges them.
    pub(crate) fn arranged_len(&self) -> usize {
        self.w_len().max(winograd::POINTS * self.ic * self.oc)
    }

    fn assert_fits(&self, x: &[f32], w: &[f32], y: &[f32]) {
        assert!(self.oh() > 0 && self.ow() > 0, "the window does not fit: {self:?}");
        assert_eq!(x.len(), self.x_len(), "x is [n, h, w, ic]: {self:?}");
        assert_eq!(w.len(), self.w_len(), "w is [kh, kw, ic, oc]: {self:?}");
        assert_eq!(y.len(), self.y_len(), "y is [n, oh, ow, oc]: {self:?}");
    }

    /// Output rows that one task works on: few enough that their window stays in the L2 cache, and
    /// that a small batch still has work for every core. Even, because the tiles are two rows high.
    /// Depends on the shape alone.
    fn band(&self) -> usize {
        const TASKS: usize = 64;
        let per_image = TASKS.div_ceil(self.n);
        self.oh().div_ceil(per_image).next_multiple_of(2).min(32)
    }
}

/// Memory that a convolution's passes work in. It grows to what they ask for and stays.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The weights as an algorithm arranges them.
    arranged: Buffer,
    /// The gradients of the parts of a batch.
    partials: Buffer,
}

impl Workspace {
    /// Claims what the passes over batches of up to the shape's `n` need, so that they allocate
    /// nothing; for inference, only what [`Forward`] needs.
    pub fn reserve(&mut self, shape: &Conv2dShape, training: bool) {
        self.arranged.resize(shape.arranged_len());
        if training {
            // A small batch is cut into parts, so the largest batch is not always the one that
            // needs most.
            let lens = (1..=shape.n).map(|n| Conv2dShape { n, ..*shape }.partials_len());
            self.partials.resize(lens.max().unwrap_or(0));
        }
    }
}

fn output_size(size: usize, kernel: usize, stride: usize, padding: Padding) -> usize {
    match padding {
        Padding::Valid => (size + stride).saturating_sub(kernel) / stride,
        Padding::Same => size.div_ceil(stride),
    }
}

fn pad_before(size: usize, kernel: usize, stride: usize, padding: Padding) -> usize {
    match padding {
        Padding::Valid => 0,
        Padding::Same => {
            let covered = (size.div_ceil(stride).saturating_sub(1)) * stride + kernel;
            covered.saturating_sub(size) / 2
        }
    }
}
