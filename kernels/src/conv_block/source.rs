//! What a block's convolution reads, and how it becomes rows under the windows.

use super::ConvBlockShape;
use super::rows::Normalise;
use crate::batch_norm::Normalization;
use crate::conv2d::{Conv2dShape, Staging, Windows};
use crate::image::U8ToF32;
use crate::simd::{Ahead, Isa};
use std::ops::Range;

/// What a block's convolution reads: `[n, h, w, ic]`.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Bytes, times the scale.
    U8(&'a [u8], f32),
    /// Values as they are.
    F32(&'a [f32]),
    /// The normalised output of the block below: pooled values before their affine function, and
    /// the function.
    Normalised(&'a [f32], Affine<'a>),
}

/// `(x - mean) * scale + beta`, with one of each per channel.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Subtracted first.
    pub mean: &'a [f32],
    /// `gamma / sqrt(variance + epsilon)`.
    pub scale: &'a [f32],
    /// Added last.
    pub beta: &'a [f32],
}

impl<'a> Affine<'a> {
    /// The function of some of the channels.
    pub(super) fn of_channels(&self, channels: &Range<usize>) -> Self {
        let of = |values: &'a [f32]| &values[channels.clone()];
        Self { mean: of(self.mean), scale: of(self.scale), beta: of(self.beta) }
    }

    pub(super) fn check(&self, channels: usize) {
        let Self { mean, scale, beta } = self;
        assert!(mean.len() == channels && scale.len() == channels && beta.len() == channels, "one value per channel");
    }
}

/// `scale = gamma / sqrt(variance + epsilon)`, for [`Affine`].
///
/// # Panics
/// If the lengths differ.
pub fn affine_scale(by: &Normalization, scale: &mut [f32]) {
    by.check(scale.len());
    for (i, scale) in scale.iter_mut().enumerate() {
        *scale = (f64::from(by.gamma[i]) * by.inv_std(i)) as f32;
    }
}

impl<'a> Source<'a> {
    /// # Panics
    /// If it is not the input of that convolution.
    pub(super) fn check(&self, conv: &Conv2dShape) {
        let len = match self {
            Self::U8(x, _) => x.len(),
            Self::F32(x) | Self::Normalised(x, _) => x.len(),
        };
        assert_eq!(len, conv.x_len(), "x is [n, h, w, ic]: {conv:?}");
        if let Self::Normalised(_, by) = self {
            by.check(conv.ic);
        }
    }

    /// The rows of images that lie under the windows of some of the convolution's output rows, zeros
    /// around the images included: as they are, or staged in `stage`, which has [`Staging::len`] values
    /// or more for each image.
    pub(super) fn rows<'s>(
        &'s self,
        isa: Isa,
        staging: &Staging,
        images: Range<usize>,
        rows: Range<usize>,
        stage: &'s mut [f32],
    ) -> Windows<'s> {
        let len = staging.image_len();
        if let Self::F32(x) = self
            && let Some(x) = staging.in_place(&x[images.start * len..images.end * len], &rows)
        {
            return x;
        }
        for (image, stage) in images.clone().zip(stage.chunks_exact_mut(staging.len(rows.len()))) {
            let image = image * len..(image + 1) * len;
            match *self {
                Self::U8(x, scale) => {
                    let x = &x[image];
                    staging.stage(&rows, stage, |from, y| isa.run(U8ToF32 { x: &x[from], scale, y }));
                }
                Self::F32(x) => {
                    let x = &x[image];
                    staging.stage(&rows, stage, |from, y| y.copy_from_slice(&x[from]));
                }
                Self::Normalised(x, by) => {
                    let x = &x[image];
                    staging.stage(&rows, stage, |from, y| isa.run(Normalise { by, x: &x[from], y }));
                }
            }
        }
        staging.staged(stage, rows.len(), images.len())
    }

    /// What a task reads first if it follows the one on that band of that image: its part of the
    /// source, as far as it is of `f32` and a whole window's height below what lies under the band.
    pub(super) fn after(&self, shape: &ConvBlockShape, image: usize, band: usize) -> Ahead<'a> {
        let (Self::F32(x) | Self::Normalised(x, _)) = *self else { return Ahead::default() };
        let Some((image, band)) = shape.next_band(image, band) else { return Ahead::default() };
        let (h, kh, row) = (shape.conv.h, shape.conv.kh, shape.conv.w * shape.conv.ic);
        let rows = shape.band_rows(band);
        let first = if band == 0 { 0 } else { rows.start + kh - 1 };
        let end = (rows.end + kh - 1).min(h);
        Ahead([&x[(image * h + first) * row..(image * h + end) * row], &[], &[]])
    }
}
