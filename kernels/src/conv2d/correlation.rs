//! The stride-1 correlation behind forward and backward_x.

use super::blocks::{self, Blocks};
use super::tap_tile::TapTiles;
use super::{Algorithm, Conv2dShape, Conv2dSizes, Pass, Staging, Windows, winograd};
use crate::buffer::Buffer;
use crate::gemm::{Init, Product, View};
use crate::precision::Precision;
use crate::scratch;
use crate::simd::{Ahead, Isa};
use rayon::prelude::*;

/// A stride-1 correlation, row by row.
///
/// `y[r,q,o] = bias[o] + sum over u,v,i of x[r+u, q+v, i] * w[u,v,i,o]`, then ReLU where `relu`
#[derive(Clone, Copy)]
pub(crate) struct Correlation<'a> {
    isa: Isa,
    /// Any algorithm but im2col, unless it is only a plan.
    algorithm: Algorithm,
    kh: usize,
    kw: usize,
    ic: usize,
    oc: usize,
    /// Pixels of a row of the output.
    width: usize,
    /// The weights in the order that the algorithm reads: `[ic][3][3][oc]` for taps; the
    /// transformed kernels, `[oc/16][N*N][ic|1][16]`, for minimal filtering; pairs of bf16 for blocks;
    /// else `[kh][kw][ic][oc]`.
    w: &'a [f32],
    bias: Option<&'a [f32]>,
    relu: bool,
}

impl Correlation<'static> {
    /// That of a forward or backward pass, without its weights: it tells how it is best cut, and what it
    /// takes.
    pub fn plan(isa: Isa, shape: &Conv2dShape, pass: Pass) -> Self {
        let algorithm = Algorithm::choose(isa, shape, pass);
        let Conv2dSizes { kh, kw, w, ic, oc, .. } = **shape;
        let (ic, oc, width) = if pass == Pass::BackwardX { (oc, ic, w) } else { (ic, oc, shape.ow()) };
        Self { isa, algorithm, kh, kw, ic, oc, width, w: &[], bias: None, relu: false }
    }
}

impl<'a> Correlation<'a> {
    /// The forward pass of a convolution.
    ///
    /// # Panics
    /// If the algorithm is im2col or does not fit.
    pub fn forward(
        isa: Isa,
        algorithm: Algorithm,
        shape: &Conv2dShape,
        w: &'a [f32],
        bias: &'a [f32],
        relu: bool,
        arranged: &'a mut Buffer,
    ) -> Self {
        algorithm.check(isa, shape, Pass::Forward);
        let w = match algorithm {
            Algorithm::View => w,
            _ => arrange_forward(isa, algorithm, shape, w, arranged),
        };
        Self::arranged(isa, algorithm, shape, w, bias, relu)
    }

    /// The forward pass of a convolution, with weights from [`arrange_forward`].
    ///
    /// # Panics
    /// If the algorithm is im2col or does not fit.
    pub fn arranged(
        isa: Isa,
        algorithm: Algorithm,
        shape: &Conv2dShape,
        w: &'a [f32],
        bias: &'a [f32],
        relu: bool,
    ) -> Self {
        algorithm.check(isa, shape, Pass::Forward);
        let Conv2dSizes { kh, kw, ic, oc, .. } = **shape;
        Self { isa, algorithm, kh, kw, ic, oc, width: shape.ow(), w, bias: Some(bias), relu }
    }

    /// The most equal parts of the output channels, with `least` channels or more each, that can be
    /// computed one by one.
    pub fn most_parts(&self, least: usize) -> usize {
        // Only there do the weights lie one block of output channels after the other.
        let has = |oc| match self.algorithm {
            Algorithm::Winograd2x2 | Algorithm::Winograd4x4 => winograd::fits_channels([self.ic, oc]),
            Algorithm::Blocks => blocks::fits(self.kw, self.ic, oc),
            _ => false,
        };
        let fits = |&parts: &usize| self.oc.is_multiple_of(parts) && self.oc >= parts * least && has(self.oc / parts);
        [8, 4, 2].into_iter().find(fits).unwrap_or(1)
    }

    /// The same for one of [so many](Self::most_parts) equal parts of the output channels: a row of
    /// `y` has those alone.
    pub fn part(&self, part: usize, parts: usize) -> Self {
        let (oc, len) = (self.oc / parts, self.w.len() / parts);
        let bias = self.bias.map(|bias| &bias[part * oc..][..oc]);
        Self { oc, w: &self.w[part * len..][..len], bias, ..*self }
    }

    /// The correlation that takes `dy`, with zeros around it, to `dx`: its weights are flipped in
    /// both directions and their channels are exchanged.
    ///
    /// # Panics
    /// If the algorithm is im2col or does not fit.
    pub fn backward_x(
        isa: Isa,
        algorithm: Algorithm,
        shape: &Conv2dShape,
        w: &[f32],
        arranged: &'a mut Buffer,
    ) -> Self {
        algorithm.check(isa, shape, Pass::BackwardX);
        let Conv2dSizes { kh, kw, ic, oc, .. } = **shape;
        let flipped = |u, v, o, i| w[(((kh - 1 - u) * kw + kw - 1 - v) * ic + i) * oc + o];
        let w = match algorithm {
            Algorithm::Blocks => {
                let to = arranged.sized(blocks::arranged_len([kh, kw], oc, ic));
                blocks::arrange_backward_x(isa, shape, w, to);
                to
            }
            _ => arrange(isa, algorithm, shape, [oc, ic], flipped, arranged),
        };
        Self { isa, algorithm, kh, kw, ic: oc, oc: ic, width: shape.w, w, bias: None, relu: false }
    }

    /// The values that [`run`](Self::run) borrows from its thread.
    pub fn scratch_len(&self) -> usize {
        let &Self { kh, kw, ic, oc, width, .. } = self;
        match self.algorithm {
            Algorithm::Winograd2x2 | Algorithm::Winograd4x4 => {
                winograd::workspace_len(self.algorithm.tile_inputs(), ic, oc)
            }
            Algorithm::Blocks => blocks::correlation_len([kh, kw], (width + kw - 1) * ic, ic, width, oc),
            _ => 0,
        }
    }

    /// The number of rows that [`run`](Self::run) is best given at a time; even.
    pub fn at_once(&self) -> usize {
        match self.algorithm {
            Algorithm::Winograd2x2 | Algorithm::Winograd4x4 => {
                winograd::rows_at_once(self.algorithm.tile_inputs(), self.width, self.ic, self.oc)
            }
            Algorithm::Blocks => blocks::rows_at_once(self.width, self.oc),
            _ => 2,
        }
    }

    /// The number of images of so many output rows that [`run`](Self::run) is best given at a time.
    pub fn images_at_once(&self, rows: usize) -> usize {
        match self.algorithm {
            Algorithm::Winograd2x2 | Algorithm::Winograd4x4 => {
                winograd::images_at_once(self.algorithm.tile_inputs(), rows, self.width, self.ic, self.oc)
            }
            _ => 1,
        }
    }

    /// `y`, the output rows of each image, one image after the other, from the rows of `x` under their
    /// windows. Prefetches what lies `ahead` on the way.
    ///
    /// No bit of an image depends on the others.
    pub fn run(&self, x: Windows, y: &mut [f32], ahead: &mut Ahead) {
        let rows = y.len() / (x.images * self.width * self.oc);
        if self.images_at_once(rows) > 1 {
            return self.run_rows(x, y, ahead);
        }
        for (image, y) in y.chunks_exact_mut(rows * self.width * self.oc).enumerate() {
            self.run_rows(Windows { values: &x.values[image * x.image..], images: 1, ..x }, y, ahead);
        }
    }

    /// The same, of one image, unless these are few tiles of minimal filtering.
    fn run_rows(&self, x: Windows, y: &mut [f32], ahead: &mut Ahead) {
        let is_bf16 = self.isa.precision() == Precision::Bf16;
        match (self.algorithm, self.ic) {
            (Algorithm::Winograd2x2, _) if is_bf16 => self.by_points::<4, true>(x, y, ahead),
            (Algorithm::Winograd4x4, _) if is_bf16 => self.by_points::<6, true>(x, y, ahead),
            (Algorithm::Winograd2x2, _) => self.by_points::<4, false>(x, y, ahead),
            (Algorithm::Winograd4x4, _) => self.by_points::<6, false>(x, y, ahead),
            // The channels of images.
            (Algorithm::Taps, 3) => self.by_taps::<3>(x, y, ahead),
            (Algorithm::Taps, _) => self.by_taps::<0>(x, y, ahead),
            (Algorithm::Blocks, _) => {
                let &Self { isa, kh, kw, ic, oc, w, bias, relu, width, .. } = self;
                Blocks { isa, kh, kw, ic, oc, w, bias, relu }.run(x.values, x.row, y, width, ahead);
            }
            _ => self.by_product(x, y),
        }
    }

    /// [`run`](Self::run) over whole images, `band` output rows per task, or several images where these
    /// are small; `y` is overwritten.
    pub fn run_images(&self, staging: &Staging, band: usize, x: &[f32], y: &mut [f32]) {
        let (image, n) = (staging.image_len(), x.len() / staging.image_len());
        let (row, y_len) = (self.width * self.oc, y.len() / n);
        let images = if y_len > band * row { 1 } else { most_equal(n, self.images_at_once(y_len / row)) };
        x.par_chunks(images * image).zip(y.par_chunks_mut(images * y_len)).for_each(|(x, y)| {
            y.par_chunks_mut(images * band * row).enumerate().for_each(|(i, y)| {
                let rows = i * band..i * band + y.len() / (x.len() / image * row);
                staging.with_rows(x, &rows, |x| self.run(x, y, &mut Ahead::default()));
            });
        });
    }

    fn by_taps<const IC: usize>(&self, x: Windows, y: &mut [f32], ahead: &mut Ahead) {
        let &Self { isa, ic, oc, w, bias, relu, width, .. } = self;
        for (r, y) in y.chunks_mut(2 * width * oc).enumerate() {
            let (x, x_row, rows) = (&x.values[2 * r * x.row..], x.row, y.len() / (width * oc));
            isa.run(TapTiles::<IC> { x, x_row, ic, w, bias, relu, y, rows, width, oc, ahead });
        }
    }

    fn by_points<const N: usize, const BF16: bool>(&self, x: Windows, y: &mut [f32], ahead: &mut Ahead) {
        let &Self { isa, ic, oc, w: u, bias, relu, width, .. } = self;
        scratch::with(winograd::workspace_len(N, ic, oc), |workspace| {
            let at_once = self.at_once();
            // Where there are several images, a step takes all of their rows.
            for (r, y) in y.chunks_mut(x.images * at_once * width * oc).enumerate() {
                let (x, rows) = (x.skip_rows(r * at_once), y.len() / (x.images * width * oc));
                isa.run(winograd::Tiles::<N, BF16> { x, ic, u, bias, relu, y, rows, width, oc, workspace, ahead });
            }
        });
    }

    fn by_product(&self, x: Windows, y: &mut [f32]) {
        let &Self { isa, kh, kw, ic, oc, w, bias, relu, width, .. } = self;
        let b = View::rows(w, oc).segments(kw * ic * oc);
        let init = bias.map_or(Init::Zero, Init::Bias);
        for (r, y) in y.chunks_exact_mut(width * oc).enumerate() {
            let a = View::rows(&x.values[r * x.row..], ic).segments(x.row);
            Product { segments: kh, depth: kw * ic, a, b, c: y, init, relu }.run(isa);
        }
    }
}

/// How many of `n` images a task takes, `most` of them or fewer, so that the tasks are as equal as they
/// can be and every thread has two. No bit of a result depends on it.
pub(crate) fn most_equal(n: usize, most: usize) -> usize {
    let tasks = n.div_ceil(most).next_multiple_of(2 * rayon::current_num_threads());
    n.div_ceil(tasks.min(n))
}

/// Writes the weights of the forward pass, `[kh][kw][ic][oc]`, in the order that the algorithm reads.
///
/// # Panics
/// If the algorithm is im2col.
pub(super) fn arrange_forward<'a>(
    isa: Isa,
    algorithm: Algorithm,
    shape: &Conv2dShape,
    w: &[f32],
    to: &'a mut Buffer,
) -> &'a [f32] {
    let Conv2dSizes { kh, kw, ic, oc, .. } = **shape;
    if algorithm == Algorithm::Blocks {
        let to = to.sized(blocks::arranged_len([kh, kw], ic, oc));
        blocks::arrange_forward(isa, shape, w, to);
        return to;
    }
    arrange(isa, algorithm, shape, [ic, oc], |u, v, i, o| w[((u * kw + v) * ic + i) * oc + o], to)
}

/// Writes the weights of a correlation between these channels, `w(u, v, i, o)`, in the order that
/// the algorithm reads.
fn arrange<'a>(
    isa: Isa,
    algorithm: Algorithm,
    shape: &Conv2dShape,
    [ic, oc]: [usize; 2],
    w: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
    to: &'a mut Buffer,
) -> &'a [f32] {
    let Conv2dSizes { kh, kw, .. } = **shape;
    if let n @ 1.. = algorithm.tile_inputs() {
        let is_bf16 = isa.precision() == Precision::Bf16;
        let to = to.sized(winograd::u_len(is_bf16, n, ic, oc));
        match (n, is_bf16) {
            (4, false) => winograd::transform_weights::<4, false>(isa, ic, oc, w, to),
            (4, true) => winograd::transform_weights::<4, true>(isa, ic, oc, w, to),
            (_, false) => winograd::transform_weights::<6, false>(isa, ic, oc, w, to),
            (_, true) => winograd::transform_weights::<6, true>(isa, ic, oc, w, to),
        }
        return to;
    }
    assert_ne!(algorithm, Algorithm::Im2col, "the explicit matrix is no correlation of rows");
    let to = to.sized(shape.w_len());
    for (row, to) in to.chunks_exact_mut(oc).enumerate() {
        let (tap, i) = match algorithm {
            Algorithm::Taps => (row % (kh * kw), row / (kh * kw)),
            _ => (row / ic, row % ic),
        };
        to.iter_mut().enumerate().for_each(|(o, to)| *to = w(tap / kw, tap % kw, i, o));
    }
    to
}
