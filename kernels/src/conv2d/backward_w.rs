//! Weight gradient.

use super::blocks::{self, BlockGradients};
use super::gradient_tile::TapGradients;
use super::winograd::{self, GradientTiles};
use super::{Algorithm, Conv2dShape, Conv2dSizes, MOST_TASKS, Pass, Staging, Workspace, im2col};
use crate::gemm::{Init, Product, View};
use crate::precision::Precision;
use crate::scratch;
use crate::simd::{Ahead, Isa, Kernel, Simd, each_group};
use rayon::prelude::*;

/// Weight and bias gradients of a 2-D convolution.
///
/// `dw[u,v,i,o] += sum over n,y,x of x[n, y*s+u-pad_top, x*s+v-pad_left, i] * dy[n,y,x,o]`,
/// `db[o] += sum over n,y,x of dy[n,y,x,o]`
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`: `[n, h, w, ic]`; `dy`: `[n, oh, ow, oc]`; `dw`: `[kh, kw, ic, oc]`, accumulated into; `db`:
/// `[oc]`, accumulated into
/// # Units
/// As `dy`; nothing is divided by `n`.
/// # Accuracy
/// A running f32 sum over the pixels of each part of the batch ([`Conv2dShape`] alone says how it
/// is cut), then over the parts in order: the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct BackwardW<'a> {
    /// Sizes.
    pub shape: &'a Conv2dShape,
    /// Input.
    pub x: &'a [f32],
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// Gradient of the weights.
    pub dw: &'a mut [f32],
    /// Gradient of the bias.
    pub db: &'a mut [f32],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

/// Tasks that give every core work where the batch alone does not.
const FEW_TASKS: usize = 16;
const _: () = assert!(FEW_TASKS <= MOST_TASKS);

/// Rows of the output that stay in the L2 cache while everything that needs them passes over them.
/// A multiple of what the tiles of every algorithm cover.
const BAND: usize = 16;

/// The most rows that a [`WeightGradient`] takes at a time: a band, and an odd one.
pub(crate) const MOST_ROWS: usize = BAND + 1;

impl Conv2dShape {
    /// Bands of rows of an image.
    fn bands(&self) -> usize {
        self.oh().div_ceil(BAND)
    }

    fn gradient_tasks(&self) -> usize {
        gradient_tasks(self, self.bands(), FEW_TASKS)
    }

    /// Values in the gradients of all tasks; no fewer for a larger batch.
    pub(super) fn partials_len(&self) -> usize {
        self.gradient_tasks() * (self.w_len() + self.oc)
    }
}

/// The number of tasks that a weight gradient is cut into, each of which sums its own: `few`, or one
/// per image where these are more, but no more than there are bands, and none without enough pixels
/// to be worth a gradient of its own. Depends on the shape alone.
pub(crate) fn gradient_tasks(shape: &Conv2dShape, bands: usize, few: usize) -> usize {
    const PIXELS: usize = 512;
    let pixels = shape.n * shape.oh() * shape.ow();
    (shape.n * bands).min(few.max(shape.n)).min((pixels / PIXELS).max(1))
}

impl BackwardW<'_> {
    /// Adds to `dw` and `db` by the algorithm that is [chosen](Algorithm::choose) for the shape.
    pub fn run(self, isa: Isa) {
        let algorithm = Algorithm::choose(isa, self.shape, Pass::BackwardW);
        self.run_with(isa, algorithm);
    }

    /// Adds to `dw` and `db` by this algorithm: each part sums its gradient, then the parts are
    /// added.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if the algorithm does not [fit](Algorithm::fits).
    pub fn run_with(self, isa: Isa, algorithm: Algorithm) {
        let shape = self.shape;
        algorithm.check(isa, shape, Pass::BackwardW);
        let staging = Staging::forward(shape);
        shape.assert_fits(self.x, self.dw, self.dy);
        assert_eq!(self.db.len(), shape.oc, "db is [oc]: {shape:?}");
        let partials = self.workspace.partials.sized(shape.partials_len());
        let (tasks, bands, oh) = (shape.gradient_tasks(), shape.bands(), shape.oh());
        let (x_len, dy_row) = (shape.x_len() / shape.n, shape.ow() * shape.oc);
        let part_len = shape.w_len() + shape.oc;
        partials.par_chunks_exact_mut(part_len).enumerate().for_each(|(task, sum)| {
            let (dw, db) = sum.split_at_mut(shape.w_len());
            dw.fill(0.0);
            db.fill(0.0);
            scratch::with(WeightGradient::workspace_len(shape, algorithm), |workspace| {
                let mut gradient = WeightGradient::new(isa, shape, algorithm, workspace);
                for band in task * shape.n * bands / tasks..(task + 1) * shape.n * bands / tasks {
                    let (image, first) = (band / bands, band % bands * BAND);
                    let rows = first..oh.min(first + BAND);
                    let x = &self.x[image * x_len..][..x_len];
                    let dy = &self.dy[(image * oh + first) * dy_row..][..rows.len() * dy_row];
                    if algorithm == Algorithm::Im2col {
                        im2col::backward_w(isa, shape, x, dy, rows, dw);
                    } else {
                        let count = rows.len();
                        staging.with_rows(x, &rows, |x| {
                            let rows = Rows { x: x.values, x_row: x.row, dy, dy_row, rows: count, width: shape.ow() };
                            gradient.add(rows, dw, Ahead::default());
                        });
                    }
                    isa.run(PixelSums { dy, db });
                }
                gradient.finish(dw);
            });
        });
        add_parts(partials, part_len, 0, self.dw);
        add_parts(partials, part_len, shape.w_len(), self.db);
    }
}

/// `db[o] += sum over pixels of dy[pixel, o]`.
struct PixelSums<'a> {
    dy: &'a [f32],
    db: &'a mut [f32],
}

impl Kernel for PixelSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (dy, c) = (self.dy, self.db.len());
        each_group!(s, c, channels => {
            // Separate chains, because an addition takes 4 cycles.
            let mut sums = [s.zero(); 4];
            let pixels = dy.len() / c;
            for q in (0..pixels / 4 * 4).step_by(4) {
                for (k, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: q + k is a pixel of dy.
                    *sum = s.add(*sum, unsafe { channels.load(dy, q + k) });
                }
            }
            for q in pixels / 4 * 4..pixels {
                // SAFETY: q is a pixel of dy.
                sums[0] = s.add(sums[0], unsafe { channels.load(dy, q) });
            }
            channels.add(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])), self.db);
        });
    }
}

/// `to[i] += sum over parts of partials[part][offset + i]`, the parts in order.
pub(crate) fn add_parts(partials: &[f32], part_len: usize, offset: usize, to: &mut [f32]) {
    const CHUNK: usize = 1024;
    to.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, to)| {
        for part in partials.chunks_exact(part_len) {
            let part = &part[offset + chunk * CHUNK..][..to.len()];
            to.iter_mut().zip(part).for_each(|(to, &part)| *to += part);
        }
    });
}

/// Rows of the input and of the output's gradient.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The rows under the windows, `x_row` values apart, with all the zeros they need.
    pub x: &'a [f32],
    pub x_row: usize,
    /// `dy_row` values from one row to the next.
    pub dy: &'a [f32],
    pub dy_row: usize,
    pub rows: usize,
    /// Pixels of a row of `dy`.
    pub width: usize,
}

/// A weight gradient in the making: the transposed view of the image times `dy`, band after band.
pub(crate) struct WeightGradient<'a> {
    isa: Isa,
    shape: &'a Conv2dShape,
    sums: Sums<'a>,
}

/// What an algorithm keeps from one band to the next.
enum Sums<'a> {
    /// Taps, or else products of the view.
    Direct(Algorithm),
    Blocks(BlockGradients<'a>),
    Tiles2x2(GradientTiles<'a, 4, 2, false>),
    Tiles4x4(GradientTiles<'a, 6, 4, false>),
    Tiles2x2Bf16(GradientTiles<'a, 4, 2, true>),
    Tiles4x4Bf16(GradientTiles<'a, 6, 4, true>),
}

impl<'a> WeightGradient<'a> {
    /// Starts from 0; `workspace` has [`workspace_len`](Self::workspace_len) values.
    pub fn new(isa: Isa, shape: &'a Conv2dShape, algorithm: Algorithm, workspace: &'a mut [f32]) -> Self {
        let Conv2dSizes { ic, oc, .. } = **shape;
        let sums = match (algorithm, isa.precision()) {
            (Algorithm::Blocks, _) => Sums::Blocks(BlockGradients::new(isa, shape, workspace)),
            (Algorithm::Winograd2x2, Precision::F32) => Sums::Tiles2x2(GradientTiles::new(isa, ic, oc, workspace)),
            (Algorithm::Winograd4x4, Precision::F32) => Sums::Tiles4x4(GradientTiles::new(isa, ic, oc, workspace)),
            (Algorithm::Winograd2x2, Precision::Bf16) => Sums::Tiles2x2Bf16(GradientTiles::new(isa, ic, oc, workspace)),
            (Algorithm::Winograd4x4, Precision::Bf16) => Sums::Tiles4x4Bf16(GradientTiles::new(isa, ic, oc, workspace)),
            _ => Sums::Direct(algorithm),
        };
        Self { isa, shape, sums }
    }

    /// Values that it works in.
    pub fn workspace_len(shape: &Conv2dShape, algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::Blocks => blocks::gradient_len(shape),
            _ => match algorithm.tile_inputs() {
                0 => 0,
                n => winograd::gradient_workspace_len(n, shape.ic, shape.oc),
            },
        }
    }

    /// Takes some rows, at most [`MOST_ROWS`], and prefetches what lies `ahead` on the way. What has been
    /// taken is in `dw`, `[kh][kw][ic][oc]`, or will be when it is [finished](Self::finish).
    pub fn add(&mut self, rows: Rows, dw: &mut [f32], ahead: Ahead) {
        match &mut self.sums {
            Sums::Direct(algorithm) => add_directly(self.isa, self.shape, *algorithm, rows, dw, ahead),
            Sums::Blocks(blocks) => blocks.add(rows, dw, ahead),
            Sums::Tiles2x2(tiles) => tiles.add(rows, dw, ahead),
            Sums::Tiles4x4(tiles) => tiles.add(rows, dw, ahead),
            Sums::Tiles2x2Bf16(tiles) => tiles.add(rows, dw, ahead),
            Sums::Tiles4x4Bf16(tiles) => tiles.add(rows, dw, ahead),
        }
    }

    /// Adds to `dw` what is not in it yet.
    pub fn finish(self, dw: &mut [f32]) {
        match self.sums {
            Sums::Direct(_) => {}
            Sums::Blocks(blocks) => blocks.finish(dw),
            Sums::Tiles2x2(tiles) => tiles.finish(dw),
            Sums::Tiles4x4(tiles) => tiles.finish(dw),
            Sums::Tiles2x2Bf16(tiles) => tiles.finish(dw),
            Sums::Tiles4x4Bf16(tiles) => tiles.finish(dw),
        }
    }
}

fn add_directly(isa: Isa, shape: &Conv2dShape, algorithm: Algorithm, of: Rows, dw: &mut [f32], mut ahead: Ahead) {
    /// Pixels that stay in the L1 cache while the tiles of a kernel row pass over them: two vectors
    /// of `dy` and one of `x` for each of 128 pixels are 24 kB.
    const PIXELS: usize = 128;
    let Rows { x, x_row, dy, dy_row, rows, width } = of;
    let Conv2dSizes { kw, ic, oc, .. } = **shape;
    let window_row = kw * ic;
    // At least two: with one, `dw` would be loaded and stored too often.
    let at_once = (PIXELS / width).max(2);
    for first in (0..rows).step_by(at_once) {
        if algorithm == Algorithm::Taps {
            let (x, dy, rows) = (&x[first * x_row..], &dy[first * dy_row..], at_once.min(rows - first));
            ahead = isa.run(TapGradients { x, x_row, ic, dy, dy_row, rows, width, oc, dw, ahead });
            continue;
        }
        for (u, dw) in dw.chunks_exact_mut(window_row * oc).enumerate() {
            let segments = at_once.min(rows - first);
            let a = View::rows(&x[(first + u) * x_row..], ic).transposed().segments(x_row);
            let b = View::rows(&dy[first * dy_row..], oc).segments(dy_row);
            Product { segments, depth: width, a, b, c: dw, init: Init::Accumulate, relu: false }.run(isa);
        }
    }
}
