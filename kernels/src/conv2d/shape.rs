//! The sizes of a convolution, and all that follows from them.

use super::{Algorithm, Correlation, Pass, Staging, WeightGradient, blocks, im2col, winograd};
use crate::precision::Precision;
use crate::shape::{check_sizes, product, shape_of_sizes};
use crate::simd::Isa;

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

/// What a [`Conv2dShape`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dSizes {
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

/// The shape of a convolution: all that its kernels need to know.
///
/// It reads as its [`Conv2dSizes`], which cannot be changed any more: all products that the passes
/// form of them have been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Conv2dShape {
    sizes: Conv2dSizes,
    oh: usize,
    ow: usize,
    x_len: usize,
    y_len: usize,
    w_len: usize,
}

shape_of_sizes!(Conv2dShape, Conv2dSizes);

/// The most tasks that a weight gradient of a small batch is cut into.
pub(crate) const MOST_TASKS: usize = 64;

impl Conv2dShape {
    fn checked(sizes: Conv2dSizes) -> Result<Self, &'static str> {
        let Conv2dSizes { n, h, w, ic, oc, kh, kw, stride, padding } = sizes;
        check_sizes([n, h, w, ic, oc, kh, kw, stride])?;
        let [oh, ow] = [(h, kh), (w, kw)].map(|(size, kernel)| output_size(size, kernel, stride, padding));
        if oh == 0 || ow == 0 {
            return Err("the window is larger than the image");
        }
        let w_len = product([kh, kw, ic, oc])?;
        // What the passes work in: the weights as an algorithm arranges them, an image with zeros
        // around it (x or dy), its im2col matrix, the gradients of the parts of a batch.
        product([winograd::MOST_POINTS, ic + 1, oc + 1])?;
        product([oh + kh, ow + kw, ic])?;
        product([h + kh, w + kw, oc])?;
        product([oh, ow, kh, kw, ic])?;
        product([n.max(MOST_TASKS), w_len + oc])?;
        let (x_len, y_len) = (product([n, h, w, ic])?, product([n, oh, ow, oc])?);
        Ok(Self { sizes, oh, ow, x_len, y_len, w_len })
    }

    /// Output height.
    pub fn oh(&self) -> usize {
        self.oh
    }

    /// Output width.
    pub fn ow(&self) -> usize {
        self.ow
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
        self.x_len
    }

    /// Values in `y`.
    pub fn y_len(&self) -> usize {
        self.y_len
    }

    /// Values in the weights `[kh][kw][ic][oc]`.
    pub fn w_len(&self) -> usize {
        self.w_len
    }

    /// The values that the weights have as the chosen algorithm of a pass arranges them; 0 where it
    /// takes them as they are.
    pub(crate) fn arranged_len(&self, isa: Isa, pass: Pass) -> usize {
        let [from, to] = if pass == Pass::BackwardX { [self.oc, self.ic] } else { [self.ic, self.oc] };
        match (Algorithm::choose(isa, self, pass), pass) {
            (Algorithm::View, Pass::Forward) | (Algorithm::Im2col, _) => 0,
            (Algorithm::Blocks, _) => blocks::arranged_len([self.kh, self.kw], from, to),
            (algorithm, _) => match algorithm.tile_inputs() {
                0 => self.w_len,
                n => winograd::u_len(isa.precision() == Precision::Bf16, n, from, to),
            },
        }
    }

    /// The most values that a task of a pass borrows from its thread, by the algorithms that are
    /// [chosen](super::Algorithm::choose): for itself, and for what it calls meanwhile. Of all passes, or
    /// of the forward pass alone.
    pub fn scratch_len(&self, isa: Isa, training: bool) -> [usize; 2] {
        if self.stride > 1 {
            let columns = im2col::columns_len(self);
            return [columns, if training { columns } else { 0 }];
        }
        let of = |pass, staging: Staging, rows: usize| {
            let plan = Correlation::plan(isa, self, pass);
            [plan.images_at_once(rows).min(self.n) * staging.len(rows.min(Self::MOST_ROWS)), plan.scratch_len()]
        };
        let forward = of(Pass::Forward, Staging::forward(self), self.oh);
        if !training {
            return forward;
        }
        let backward_x = of(Pass::BackwardX, Staging::backward_x(self), self.h);
        let backward_w = [gradient_len(isa, self), Staging::forward(self).len(self.oh.min(Self::MOST_ROWS))];
        [0, 1].map(|depth| forward[depth].max(backward_x[depth]).max(backward_w[depth]))
    }

    pub(super) fn assert_fits(&self, x: &[f32], w: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.x_len, "x is [n, h, w, ic]: {self:?}");
        assert_eq!(w.len(), self.w_len, "w is [kh, kw, ic, oc]: {self:?}");
        assert_eq!(y.len(), self.y_len, "y is [n, oh, ow, oc]: {self:?}");
    }

    /// The most output rows that one task works on at a time.
    const MOST_ROWS: usize = 32;

    /// Output rows that one task works on: few enough that their window stays in the L2 cache, and
    /// that a small batch still has work for every core. In whole tiles, up to four rows high, and
    /// two of them. Depends on the shape alone.
    pub(super) fn band(&self) -> usize {
        const TASKS: usize = 64;
        let per_image = TASKS.div_ceil(self.n);
        self.oh.div_ceil(per_image).next_multiple_of(8).min(Self::MOST_ROWS)
    }
}

/// The values that a weight gradient by minimal filtering or in blocks works in.
pub(crate) fn gradient_len(isa: Isa, shape: &Conv2dShape) -> usize {
    WeightGradient::workspace_len(shape, Algorithm::choose(isa, shape, Pass::BackwardW))
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
