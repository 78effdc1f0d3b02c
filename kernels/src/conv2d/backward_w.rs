//! Weight gradient.

use super::gradient_tile::TapGradients;
use super::{Algorithm, Conv2dShape, Conv2dSizes, PARTS, Pass, Staging, Workspace, im2col};
use crate::gemm::{Init, Product, View};
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

/// Parts that give every core work where the batch alone does not.
const FEW_PARTS: usize = 16;
const _: () = assert!(FEW_PARTS <= PARTS);

impl Conv2dShape {
    /// Values in the gradients of all parts of the batch.
    pub(super) fn partials_len(&self) -> usize {
        self.n * parts(self.n, self.oh()) * (self.w_len() + self.oc)
    }

    /// The largest [`partials_len`](Self::partials_len) of a batch of up to `n`: a small batch is
    /// cut into parts, so the largest batch is not always the one that needs most.
    pub(super) fn most_partials_len(&self) -> usize {
        let of_small = (1..=self.n.min(FEW_PARTS)).map(|n| n * parts(n, self.oh())).max().unwrap_or(0);
        of_small.max(self.n) * (self.w_len() + self.oc)
    }
}

/// The number of parts that an image of a batch of `n` is cut into, each of which sums its own
/// gradient: one where the batch alone gives every core work, more in smaller batches.
fn parts(n: usize, oh: usize) -> usize {
    (FEW_PARTS / n).clamp(1, oh)
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
        let (parts, oh) = (parts(shape.n, shape.oh()), shape.oh());
        let (x_len, dy_len) = (shape.x_len() / shape.n, shape.y_len() / shape.n);
        let part_len = shape.w_len() + shape.oc;
        partials.par_chunks_exact_mut(part_len).enumerate().for_each(|(i, sum)| {
            let (image, part) = (i / parts, i % parts);
            let x = &self.x[image * x_len..][..x_len];
            let dy = &self.dy[image * dy_len..][..dy_len];
            let (dw, db) = sum.split_at_mut(shape.w_len());
            let part = part * oh / parts..(part + 1) * oh / parts;
            dw.fill(0.0);
            db.fill(0.0);
            let row = shape.ow() * shape.oc;
            for first in part.clone().step_by(ROWS_IN_L2) {
                let block = first..part.end.min(first + ROWS_IN_L2);
                let dy = &dy[block.start * row..block.end * row];
                if algorithm == Algorithm::Im2col {
                    im2col::backward_w(isa, shape, x, dy, block, dw);
                } else {
                    staging.with_rows(x, &block, |x| {
                        let (x_row, rows) = (staging.row(), block.len());
                        let gradient = WeightGradient { shape, algorithm, x, x_row, dy, dy_row: row, rows };
                        gradient.add_to(isa, dw, Ahead::default());
                    });
                }
                isa.run(PixelSums { dy, db });
            }
        });
        add_parts(partials, part_len, 0, self.dw);
        add_parts(partials, part_len, shape.w_len(), self.db);
    }
}

/// Rows of the output that stay in the L2 cache while everything that needs them passes over them.
const ROWS_IN_L2: usize = 16;

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

/// The gradient of some output rows: the transposed view of the image times `dy`.
pub(crate) struct WeightGradient<'a> {
    pub shape: &'a Conv2dShape,
    /// Taps, or else products of the view.
    pub algorithm: Algorithm,
    /// The rows under the windows, `x_row` values apart, with all the zeros they need.
    pub x: &'a [f32],
    pub x_row: usize,
    /// `dy_row` values from one row to the next.
    pub dy: &'a [f32],
    pub dy_row: usize,
    pub rows: usize,
}

impl WeightGradient<'_> {
    /// Adds to `dw`, `[kh][kw][ic][oc]`, and prefetches what lies `ahead` on the way.
    pub fn add_to(&self, isa: Isa, dw: &mut [f32], mut ahead: Ahead) {
        /// Pixels that stay in the L1 cache while the tiles of a kernel row pass over them: two
        /// vectors of `dy` and one of `x` for each of 128 pixels are 24 kB.
        const PIXELS: usize = 128;
        let &Self { shape, algorithm, x, x_row, dy, dy_row, rows } = self;
        let Conv2dSizes { kw, ic, oc, .. } = **shape;
        let (width, window_row) = (shape.ow(), kw * ic);
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
}
