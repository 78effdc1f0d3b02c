//! The forward pass with given statistics.

use super::rows::{Normalise, Pool};
use super::{Affine, BAND, ConvBlockShape, Source};
use crate::conv2d::{Correlation, PackedWeights, Pass, Staging};
use crate::scratch;
use crate::simd::{Ahead, Isa, VALUES_PER_TASK};
use crate::tasks::Columns;
use rayon::prelude::*;
use std::ops::Range;

/// A block in inference: `y = max-pool(batch_norm(relu(conv(x, w) + bias)))`.
///
/// A few rows of the convolution exist at a time, the normalisation is applied to the pooled
/// values.
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`: `[n, h, w, ic]`; `bias` and those of `norm`: `[oc]`; `y`: `[n, oh/2, ow/2, oc]`,
/// overwritten
/// # Accuracy
/// As [`conv2d::Forward`](crate::conv2d::Forward) and
/// [`batch_norm::forward`](crate::batch_norm::forward). The same bits for an image alone and in a
/// batch, for any number of threads.
/// # Panics
/// If a slice's length differs from its shape, or the weights are not
/// [for](PackedWeights::is_for) its convolution.
pub struct Inference<'a> {
    /// Sizes.
    pub shape: &'a ConvBlockShape,
    /// Input.
    pub x: Source<'a>,
    /// Weights.
    pub weights: &'a PackedWeights,
    /// One value per filter.
    pub bias: &'a [f32],
    /// The normalisation; its scale's sign chooses between max and min.
    pub norm: Affine<'a>,
    /// Output.
    pub y: &'a mut [f32],
}

impl Inference<'_> {
    /// Computes `y`.
    pub fn run(self, isa: Isa) {
        let Self { shape, x, weights, bias, norm, y } = self;
        let conv = &shape.conv;
        x.check(conv);
        assert_eq!(y.len(), shape.p_len(), "y is [n, oh/2, ow/2, oc]: {shape:?}");
        assert_eq!(bias.len(), conv.oc, "bias is [oc]: {shape:?}");
        norm.check(conv.oc);
        let staging = Staging::forward(conv);
        let correlation = weights.correlation(isa, conv, bias, true);
        let cut = Cut::new(shape, conv.n, &correlation);
        let y = &Columns::new(y, shape.pw() * conv.oc);
        (0..cut.tasks()).into_par_iter().with_max_len(1).for_each(|task| {
            let Task { image, rows, part } = cut.task(task);
            let correlation = correlation.part(part, cut.parts);
            let channels = part * cut.channels..(part + 1) * cut.channels;
            let norm = norm.of_channels(&channels);
            let a_row = conv.ow() * cut.channels;
            let lens @ [stage_len, a_len, _] = cut.lens(shape, &correlation, rows.len());
            scratch::with(lens.iter().sum(), |scratch| {
                let (stage, rest) = scratch.split_at_mut(stage_len);
                let ((a, p), at_once) = (rest.split_at_mut(a_len), a_len / a_row);
                let mut ahead =
                    if cut.is_whole() { x.after(shape, image, rows.start / BAND) } else { Ahead::default() };
                let x = x.rows(isa, &staging, image..image + 1, 2 * rows.start..2 * rows.end, stage);
                for first in rows.clone().step_by(at_once / 2) {
                    let a = &mut a[..(at_once / 2).min(rows.end - first) * 2 * a_row];
                    correlation.run(x.skip_rows(2 * (first - rows.start)), a, &mut ahead);
                    for (row, a) in (first..).zip(a.chunks_exact(2 * a_row)) {
                        let (a0, a1) = a.split_at(a_row);
                        isa.run(Pool { c: cut.channels, a: [a0, a1], gamma: norm.scale, p, sums: None });
                        // The pixels lie side by side where a task has all of their channels.
                        let pixels = if cut.parts == 1 { shape.pw() } else { 1 };
                        for (k, x) in p.chunks_exact(pixels * cut.channels).enumerate() {
                            let (row, first) = (image * shape.ph() + row, k * conv.oc + channels.start);
                            // SAFETY: tasks differ in the image, the row or the channels, so none
                            // has these columns of that row.
                            let y = unsafe { y.part(row, first, x.len()) };
                            isa.run(Normalise { by: norm, x, y });
                        }
                    }
                }
            });
        });
    }
}

/// The most values that a task borrows from its thread, in a batch of up to the shape's `n`: for
/// itself, and for the correlation that it calls.
pub(super) fn scratch_len(isa: Isa, shape: &ConvBlockShape) -> [usize; 2] {
    let correlation = Correlation::plan(isa, &shape.conv, Pass::Forward);
    let of = |images| {
        let cut = Cut::new(shape, images, &correlation);
        let part = correlation.part(0, cut.parts);
        [cut.lens(shape, &part, cut.band.min(cut.ph)).iter().sum(), part.scratch_len()]
    };
    // Most parts, and most rows: what lies between has fewer of both.
    let (one, all) = (of(1), of(shape.conv.n));
    [0, 1].map(|depth| one[depth].max(all[depth]))
}

/// How a pass is cut into tasks: images, bands of rows and, where those are few, parts of the output
/// channels. The shape alone decides; no bit of the result depends on it.
struct Cut {
    /// Pooled rows of an image, and of a band.
    ph: usize,
    band: usize,
    images: usize,
    /// Parts of the output channels, and the channels of each.
    parts: usize,
    channels: usize,
}

/// What a task computes.
struct Task {
    image: usize,
    /// Pooled rows.
    rows: Range<usize>,
    /// The part of the output channels.
    part: usize,
}

impl Cut {
    fn new(shape: &ConvBlockShape, images: usize, correlation: &Correlation) -> Self {
        /// With so many tasks every core has work.
        const TASKS: usize = 16;
        /// The pooled rows of a band, and the fewest channels of a part, where there are fewer tasks:
        /// what neighbours stage and transform twice then is 2 % of a single image's time.
        const LEAST_BAND: usize = BAND / 2;
        const LEAST_CHANNELS: usize = 64;
        let (oc, ph) = (shape.conv.oc, shape.ph());
        let tasks = |band: usize| images * ph.div_ceil(band);
        let band = if tasks(BAND) < TASKS { LEAST_BAND } else { BAND };
        let parts = if tasks(band) < TASKS { correlation.most_parts(LEAST_CHANNELS) } else { 1 };
        Self { ph, band, images, parts, channels: oc / parts }
    }

    /// What a task on so many pooled rows borrows: for the rows that it stages, for those of the
    /// convolution that exist at a time, and for a pooled one. `correlation` is one of the parts.
    fn lens(&self, shape: &ConvBlockShape, correlation: &Correlation, rows: usize) -> [usize; 3] {
        let stage = Staging::forward(&shape.conv).len(2 * rows).next_multiple_of(16);
        let at_once = correlation.at_once().min(2 * rows);
        [stage, at_once * shape.conv.ow() * self.channels, shape.pw() * self.channels]
    }

    /// Whether its tasks are the shape's own bands.
    fn is_whole(&self) -> bool {
        self.band == BAND && self.parts == 1
    }

    fn bands(&self) -> usize {
        self.ph.div_ceil(self.band)
    }

    fn tasks(&self) -> usize {
        self.images * self.bands() * self.parts
    }

    /// The parts of a band are neighbours, and so are the bands of an image.
    fn task(&self, task: usize) -> Task {
        let (band, part) = (task / self.parts, task % self.parts);
        let (image, band) = (band / self.bands(), band % self.bands());
        let first = band * self.band;
        Task { image, rows: first..(first + self.band).min(self.ph), part }
    }
}

/// `y = (x - mean) * scale + beta` over the pixels of a tensor.
///
/// # Shapes
/// `x`: `[m, c]`, f32; `y`: as `x`, overwritten
/// # Panics
/// If the lengths differ or are not whole pixels.
pub fn normalise(isa: Isa, by: Affine, x: &[f32], y: &mut [f32]) {
    let c = by.mean.len();
    by.check(c);
    assert!(c > 0 && x.len() == y.len() && x.len().is_multiple_of(c), "x and y");
    let block = VALUES_PER_TASK.next_multiple_of(c);
    x.par_chunks(block).zip(y.par_chunks_mut(block)).for_each(|(x, y)| isa.run(Normalise { by, x, y }));
}
