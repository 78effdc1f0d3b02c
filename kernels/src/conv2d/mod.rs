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
//! Where both sides have channels in whole vectors of 16, minimal filtering (`winograd`) takes 36
//! multiplications for 16 outputs, or for what 16 gradients contribute to nine weights, instead of
//! 144, or 16 for four instead of 36: whichever is fewer for the sizes of the image.
//!
//! Images of three channels have no vectors of inputs. A product of the view broadcasts every input
//! once for each tap that it feeds, but the windows of neighbouring pixels overlap: two tiles keep
//! what overlaps in registers, `tap_tile` (forward) and `gradient_tile` (backward_w).
//!
//! What their inner loops hold on AVX-512, as `tools/assembly` reads it from the machine code (a
//! core starts one or two FMAs and twice as many loads per cycle, or as many):
//!
//! | kernel | tile | FMAs | broadcasts | loads | spills |
//! |---|---|--:|--:|--:|--:|
//! | conv1 forward (3 to 16) | 2 x 8 pixels x 16 channels | 144 | 40 | 9 | 0 |
//! | conv2 forward (16 to 32), conv3 backward_x (64 to 32) | 8 tiles x 32 | 16 | 8 | 2 | 0 |
//! | conv3 forward (32 to 64) | 6 tiles x 64 | 24 | 6 | 4 | 0 |
//! | conv2 backward_x (32 to 16) | 16 tiles x 16 | 16 | 16 | 1 | 0 |
//! | conv1 backward_w | 2 kernel rows x 3 taps x 3 inputs x 16 | 54 | 18 | 3 | 0 |
//! | conv1 backward_w, third kernel row | 1 x 3 x 3 x 16 | 27 | 9 | 3 | 0 |
//! | conv2, conv3 backward_w | 8 inputs x 32, over tiles | 16 | 8 | 2 | 0 |
//!
//! conv1 forward makes only three turns per tile, so its 16 stores and its start count too. The tile
//! of the third kernel row has 9 chains, just enough to hide the latency. Around its products,
//! minimal filtering spends about half of its time on transformations where a side has 16 channels,
//! and a quarter where they have 32 and 64; `cargo bench --bench conv2d` prints both shares of the
//! peak, by the arithmetic of the direct sum and by the multiplications made.
//!
//! In bf16 on a processor with a matrix unit, all three passes are products of that view again, in
//! blocks (`blocks`): a block of 16 pixels, 32 inputs and 16 outputs takes 16 cycles, a fifteenth of
//! what the vectors of f32 take.
//!
//! Other windows and channel counts go through `gemm::Product`: 14 x 2 vectors (28 FMAs of 14
//! broadcasts and 2 loads) or 6 x 4 (24 of 6 and 4), which are bound by loads and by FMAs.

mod algorithm;
mod backward_w;
mod backward_x;
mod blocks;
mod correlation;
mod forward;
mod gradient_tile;
mod im2col;
mod packed;
mod shape;
mod staging;
mod tap_tile;
mod winograd;

pub use algorithm::{Algorithm, Pass};
pub use backward_w::BackwardW;
pub(crate) use backward_w::{MOST_ROWS, Rows, WeightGradient, add_parts, gradient_tasks};
pub use backward_x::BackwardX;
pub(crate) use correlation::{Correlation, most_equal};
pub use forward::Forward;
pub use packed::{Inference, PackedWeights};
pub use shape::{Conv2dShape, Conv2dSizes, Padding};
pub(crate) use shape::{MOST_TASKS, gradient_len};
pub(crate) use staging::{Staging, Windows};

use crate::buffer::Buffer;
use crate::simd::Isa;

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
    pub fn reserve(&mut self, isa: Isa, shape: &Conv2dShape, training: bool) {
        let [arranged, partials] = Self::lens(isa, shape, training);
        self.arranged.resize(arranged);
        self.partials.resize(partials);
    }

    /// The bytes that [`reserve`](Self::reserve) claims.
    pub fn bytes(isa: Isa, shape: &Conv2dShape, training: bool) -> usize {
        Self::lens(isa, shape, training).into_iter().map(Buffer::bytes).sum()
    }

    fn lens(isa: Isa, shape: &Conv2dShape, training: bool) -> [usize; 2] {
        let [forward, backward_x] = [Pass::Forward, Pass::BackwardX].map(|pass| shape.arranged_len(isa, pass));
        if training { [forward.max(backward_x), shape.partials_len()] } else { [forward, 0] }
    }
}
