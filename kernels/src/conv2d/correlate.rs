//! The stride-1 correlation behind forward and backward_x.

use super::{Conv2dShape, tile, winograd};
use crate::gemm::{Init, Product, View};
use crate::scratch;
use crate::simd::{Ahead, Isa, MAX_LANES};
use rayon::prelude::*;
use std::ops::Range;

/// One image plane layout: height, width, channels.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

impl Plane {
    pub fn len(&self) -> usize {
        self.h * self.w * self.c
    }
}

/// A stride-1 correlation, row by row.
///
/// `y[r,q,o] = bias[o] + sum over u,v,i of x[r+u, q+v, i] * w[u,v,i,o]`, then ReLU where `relu`
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub isa: Isa,
    pub kh: usize,
    pub kw: usize,
    pub ic: usize,
    pub oc: usize,
    pub w: Weights<'a>,
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
}

/// Weights in the layout of the kernel that takes them.
#[derive(Clone, Copy)]
pub(crate) enum Weights<'a> {
    /// `[kh][kw][ic][oc]`: a kernel row times the image seen as overlapping rows, for [`Product`].
    KernelRows(&'a [f32]),
    /// `[ic][3][3][oc]`: the taps of an input channel, for [`tile::Rows`].
    Taps(&'a [f32]),
    /// `[oc/16][16][ic][16]`: the transformed kernels, for [`winograd::Tiles`].
    Points(&'a [f32]),
}

impl<'a> Weights<'a> {
    /// The weights of the correlation `y = x * w`, in `workspace` (as long as `w`) where they have to be moved.
    fn forward(isa: Isa, shape: &Conv2dShape, w: &'a [f32], workspace: &'a mut [f32]) -> Self {
        let Conv2dShape { kh, kw, ic, oc, .. } = *shape;
        if has_points(isa, shape, [ic, oc], [shape.oh(), shape.ow()]) {
            let workspace = &mut workspace[..winograd::POINTS * ic * oc];
            winograd::transform_weights(ic, oc, |u, v, i, o| w[((u * 3 + v) * ic + i) * oc + o], workspace);
            return Self::Points(workspace);
        }
        if !has_tile(isa, kh, kw, oc) {
            return Self::KernelRows(w);
        }
        let workspace = &mut workspace[..w.len()];
        for (tap, w) in w.chunks_exact(ic * oc).enumerate() {
            for (i, w) in w.chunks_exact(oc).enumerate() {
                workspace[(i * 9 + tap) * oc..][..oc].copy_from_slice(w);
            }
        }
        Self::Taps(workspace)
    }

    /// The weights of the correlation that takes `dy` to `dx`: flipped in both directions, their channels exchanged.
    pub fn backward_x(isa: Isa, shape: &Conv2dShape, w: &[f32], workspace: &'a mut [f32]) -> Self {
        let Conv2dShape { kh, kw, ic, oc, .. } = *shape;
        if has_points(isa, shape, [oc, ic], [shape.h, shape.w]) {
            let workspace = &mut workspace[..winograd::POINTS * ic * oc];
            winograd::transform_weights(oc, ic, |u, v, o, i| w[(((2 - u) * 3 + 2 - v) * ic + i) * oc + o], workspace);
            return Self::Points(workspace);
        }
        let workspace = &mut workspace[..w.len()];
        let taps = has_tile(isa, kh, kw, ic);
        for (tap, w) in w.chunks_exact(ic * oc).rev().enumerate() {
            for (i, w) in w.chunks_exact(oc).enumerate() {
                for (o, &w) in w.iter().enumerate() {
                    let row = if taps { o * 9 + tap } else { tap * oc + o };
                    workspace[row * ic + i] = w;
                }
            }
        }
        if taps { Self::Taps(workspace) } else { Self::KernelRows(workspace) }
    }
}

/// Whether [`tile::Rows`] computes these output channels: whole vectors of every instruction set, so that all that have it
/// sum in the same order.
fn has_tile(isa: Isa, kh: usize, kw: usize, channels: usize) -> bool {
    kh == 3 && kw == 3 && isa.registers() >= 16 && channels.is_multiple_of(MAX_LANES)
}

/// Whether [`winograd::Tiles`] computes a correlation between these channels with an output of this size.
fn has_points(isa: Isa, shape: &Conv2dShape, [from, to]: [usize; 2], [height, width]: [usize; 2]) -> bool {
    shape.kh == 3 && shape.kw == 3 && isa.registers() >= 16 && winograd::has_tile(from, to, height, width)
}

impl<'a> Rows<'a> {
    /// The forward pass of a convolution; `workspace` has `moved_w_len` values.
    pub fn forward(
        isa: Isa,
        shape: &Conv2dShape,
        w: &'a [f32],
        bias: &'a [f32],
        relu: bool,
        workspace: &'a mut [f32],
    ) -> Self {
        let Conv2dShape { kh, kw, ic, oc, .. } = *shape;
        Self { isa, kh, kw, ic, oc, w: Weights::forward(isa, shape, w, workspace), bias: Some(bias), relu }
    }

    /// The correlation that takes `dy`, with zeros around it, to `dx`; `workspace` has `moved_w_len` values.
    pub fn backward_x(isa: Isa, shape: &Conv2dShape, w: &[f32], workspace: &'a mut [f32]) -> Self {
        let Conv2dShape { kh, kw, ic, oc, .. } = *shape;
        let w = Weights::backward_x(isa, shape, w, workspace);
        Self { isa, kh, kw, ic: oc, oc: ic, w, bias: None, relu: false }
    }

    /// How many rows [`run`](Self::run) is best given at a time; even.
    pub fn at_once(&self) -> usize {
        match self.w {
            Weights::Points(_) => winograd::rows_at_once(self.ic, self.oc),
            Weights::KernelRows(_) | Weights::Taps(_) => 2,
        }
    }

    /// `y`, rows of `width` pixels, from the rows of `x` under their windows, `x_row` values apart; `x` has all the zeros it
    /// needs. Asks for what lies `ahead` on the way.
    pub fn run(&self, x: &[f32], x_row: usize, y: &mut [f32], width: usize, ahead: &mut Ahead) {
        match self.w {
            Weights::KernelRows(w) => self.by_product(w, x, x_row, y, width),
            Weights::Points(u) => self.by_points(u, x, x_row, y, width, ahead),
            Weights::Taps(w) => match self.ic {
                3 => self.by_tiles::<3>(w, x, x_row, y, width, ahead),
                32 => self.by_tiles::<32>(w, x, x_row, y, width, ahead),
                _ => self.by_tiles::<0>(w, x, x_row, y, width, ahead),
            },
        }
    }

    fn by_tiles<const IC: usize>(
        &self,
        w: &[f32],
        x: &[f32],
        x_row: usize,
        y: &mut [f32],
        width: usize,
        ahead: &mut Ahead,
    ) {
        let &Self { ic, oc, bias, relu, .. } = self;
        for (r, y) in y.chunks_mut(2 * width * oc).enumerate() {
            let (x, rows) = (&x[2 * r * x_row..], y.len() / (width * oc));
            self.isa.run(tile::Rows::<IC> { x, x_row, ic, w, bias, relu, y, rows, width, oc, ahead });
        }
    }

    fn by_points(&self, u: &[f32], x: &[f32], x_row: usize, y: &mut [f32], width: usize, ahead: &mut Ahead) {
        let &Self { ic, oc, bias, relu, .. } = self;
        scratch::with(winograd::workspace_len(ic, oc), |workspace| {
            let at_once = self.at_once();
            for (r, y) in y.chunks_mut(at_once * width * oc).enumerate() {
                let (x, rows) = (&x[at_once * r * x_row..], y.len() / (width * oc));
                self.isa.run(winograd::Tiles { x, x_row, ic, u, bias, relu, y, rows, width, oc, workspace, ahead });
            }
        });
    }

    fn by_product(&self, w: &[f32], x: &[f32], x_row: usize, y: &mut [f32], width: usize) {
        for (r, y) in y.chunks_exact_mut(width * self.oc).enumerate() {
            let depth = self.kw * self.ic;
            let a = View::rows(&x[r * x_row..], self.ic).segments(x_row);
            let b = View::rows(w, self.oc).segments(depth * self.oc);
            let init = self.bias.map_or(Init::Zero, Init::Bias);
            Product { segments: self.kh, depth, a, b, c: y, init, relu: self.relu }.run(self.isa);
        }
    }
}

/// A correlation of whole images: `y[n,r,q] = rows(x)[n, r-top, q-left]`, zeros outside the image.
pub(super) struct Correlation<'a> {
    pub rows: Rows<'a>,
    pub input: Plane,
    pub output: Plane,
    /// Rows and columns of zeros before the image; those after it follow from the sizes.
    pub top: usize,
    pub left: usize,
    /// Output rows a task.
    pub band: usize,
}

impl Correlation<'_> {
    /// `x`: `[n]` input planes; `y`: `[n]` output planes, overwritten.
    pub fn run(&self, x: &[f32], y: &mut [f32]) {
        let images = x.par_chunks_exact(self.input.len()).zip(y.par_chunks_exact_mut(self.output.len()));
        images.for_each(|(x, y)| {
            let band_len = self.band * self.output.w * self.output.c;
            y.par_chunks_mut(band_len).enumerate().for_each(|(i, y)| self.band(x, i * self.band, y));
        });
    }

    /// Output rows from `first` on, as many as `y` holds.
    fn band(&self, x: &[f32], first: usize, y: &mut [f32]) {
        let Rows { kh, kw, .. } = self.rows;
        let rows = y.len() / (self.output.w * self.output.c);
        let padded_w = self.output.w + kw - 1;
        if self.top == 0 && self.left == 0 && padded_w == self.input.w && self.output.h + kh - 1 == self.input.h {
            let row = self.input.w * self.input.c;
            return self.rows.run(&x[first * row..], row, y, self.output.w, &mut Ahead::default());
        }
        let staged_rows = first..first + rows + kh - 1;
        let row = padded_w * self.input.c;
        scratch::with(staged_rows.len() * row, |staged| {
            stage(x, self.input, self.top, self.left, staged_rows, padded_w, staged);
            self.rows.run(staged, row, y, self.output.w, &mut Ahead::default());
        });
    }
}

/// Copies rows of an image with zeros around it; `rows` count from `top` rows above the image, a staged row is `width`
/// pixels that start `left` pixels before it.
pub(super) fn stage(
    x: &[f32],
    plane: Plane,
    top: usize,
    left: usize,
    rows: Range<usize>,
    width: usize,
    to: &mut [f32],
) {
    let x_row = plane.w * plane.c;
    for (r, to) in rows.zip(to.chunks_exact_mut(width * plane.c)) {
        if r < top || r >= top + plane.h {
            to.fill(0.0);
            continue;
        }
        let (before, rest) = to.split_at_mut(left * plane.c);
        let kept = x_row.min(rest.len());
        let (inside, after) = rest.split_at_mut(kept);
        before.fill(0.0);
        inside.copy_from_slice(&x[(r - top) * x_row..][..kept]);
        after.fill(0.0);
    }
}
