//! Weight gradients.

use super::pack::{PixelPairs, Transpose};
use crate::conv2d::{Conv2dShape, Conv2dSizes, Rows};
use crate::matrix::{DEPTH, Multiplier, Product, SIDE, Sizes, Step};
use crate::scratch;
use crate::simd::{Ahead, Isa};

/// The values that a gradient over so many rows borrows from its thread.
pub(in super::super) fn gradient_len(shape: &Conv2dShape, rows: usize) -> usize {
    let layout = Layout::new(shape, rows);
    layout.x_len() / 2 + layout.dy_len() + layout.steps_len()
}

/// How the operands lie.
struct Layout {
    /// Values of a pixel that become rows: the input channels, or all inputs of a kernel row.
    values: usize,
    /// Taps of a kernel row that are distances in pixels, not rows of their own.
    taps: usize,
    kh: usize,
    oc: usize,
    /// Pixels of a row, even.
    in_row: usize,
    rows: usize,
    /// Steps of a product.
    steps: usize,
}

impl Layout {
    fn new(shape: &Conv2dShape, rows: usize) -> Self {
        let Conv2dSizes { ic, oc, kh, kw, .. } = **shape;
        let is_whole = ic.is_multiple_of(SIDE);
        let (values, taps) = if is_whole { (ic, kw) } else { (kw * ic, 1) };
        let in_row = (shape.ow() + kw - 1).next_multiple_of(2);
        Self { values, taps, kh, oc, in_row, rows, steps: (rows * in_row).div_ceil(DEPTH) }
    }

    /// Values of bf16 from one row of the transposed matrix to the next: all pixels, and what is
    /// written and read beyond them. An odd number of cache lines, so that rows lie in different sets.
    fn x_row(&self) -> usize {
        let pixels = (self.steps * DEPTH).max((self.rows + self.kh - 1) * self.in_row);
        ((pixels + (self.kh - 1) * self.in_row + self.taps).next_multiple_of(DEPTH) / DEPTH + 1 | 1) * DEPTH
    }

    fn x_len(&self) -> usize {
        self.values.next_multiple_of(SIDE) * self.x_row()
    }

    /// Pairs.
    fn dy_len(&self) -> usize {
        self.steps * DEPTH / 2 * self.oc
    }

    fn steps_len(&self) -> usize {
        (self.steps * size_of::<Step>() / size_of::<f32>()).next_multiple_of(SIDE)
    }

    /// The blocks of A of all weights, as where they begin in A and in `dw`.
    fn blocks(&self) -> impl Iterator<Item = [usize; 2]> {
        let (x_row, values) = (self.x_row(), self.values);
        (0..self.kh * self.taps).flat_map(move |tap| {
            let distance = tap / self.taps * self.in_row + tap % self.taps;
            (0..values).step_by(SIDE).map(move |i| [i * x_row + distance, (tap * values + i) * self.oc])
        })
    }
}

/// `dw += ...`, `[kh][kw][ic][oc]`, for some rows.
pub(in super::super) fn add_gradient(isa: Isa, shape: &Conv2dShape, of: Rows, dw: &mut [f32], mut ahead: Ahead) {
    let layout = &Layout::new(shape, of.rows);
    scratch::with(gradient_len(shape, of.rows), |scratch| {
        let (x, rest) = scratch.split_at_mut(layout.x_len() / 2);
        let (dy, steps) = rest.split_at_mut(layout.dy_len());
        let [x, dy]: [&mut [u32]; 2] = [x, dy].map(bytemuck::cast_slice_mut);
        transpose(isa, shape, layout, of, x);
        pair_pixels(isa, layout, of, dy, &mut ahead);
        let steps: &mut [Step] = &mut bytemuck::cast_slice_mut(steps)[..layout.steps];
        for (k, step) in steps.iter_mut().enumerate() {
            *step = Step { a: k * DEPTH, b: k * DEPTH / 2 * layout.oc };
        }
        multiply(isa, layout, bytemuck::cast_slice(x), dy, steps, dw);
    });
}

/// The rows of `x`, pixels side by side.
fn transpose(isa: Isa, shape: &Conv2dShape, layout: &Layout, of: Rows, to: &mut [u32]) {
    let &Layout { values, taps, in_row, .. } = layout;
    let y_row = layout.x_row() / 2;
    // What a row writes beyond its pixels, the next one overwrites.
    let rows = of.rows + layout.kh - 1;
    for r in 0..rows {
        let (x, pixels) = (&of.x[r * of.x_row..], of.width + taps - 1);
        let y = &mut to[r * in_row / 2..];
        isa.run(Transpose { x, step: shape.ic, pixels, pairs: in_row / 2, values, y, y_row });
    }
    // What lies beyond the last one meets zeros of `dy`, so it must be finite.
    let written = ((rows - 1) * in_row / 2) + (in_row / 2).next_multiple_of(SIDE);
    to.chunks_exact_mut(y_row).for_each(|row| row[written..].fill(0));
}

/// The rows of `dy` as pairs of pixels, with zeros where no window begins.
fn pair_pixels(isa: Isa, layout: &Layout, of: Rows, to: &mut [u32], ahead: &mut Ahead) {
    let &Layout { oc, in_row, .. } = layout;
    let (rows, beyond) = to.split_at_mut(of.rows * in_row / 2 * oc);
    for (r, y) in rows.chunks_exact_mut(in_row / 2 * oc).enumerate() {
        isa.run(PixelPairs { x: &of.dy[r * of.dy_row..][..of.width * oc], y, channels: oc, ahead });
    }
    beyond.fill(0);
}

fn multiply(isa: Isa, layout: &Layout, x: &[u16], dy: &[u32], steps: &[Step], dw: &mut [f32]) {
    let mut multiplier = isa.matrix_unit().with_sizes(Sizes { rows: layout.values.min(SIDE), depth: DEPTH });
    let mut blocks = layout.blocks();
    while let Some(first) = blocks.next() {
        // The last one alone is its own second.
        let second = blocks.next().unwrap_or(first);
        let of_inputs = Inputs { layout, x, dy, steps, at: [first, second] };
        let mut o = 0;
        while o < layout.oc {
            if layout.oc - o >= 2 * SIDE {
                of_inputs.multiply::<2>(&mut multiplier, o, dw);
                o += 2 * SIDE;
            } else {
                of_inputs.multiply::<1>(&mut multiplier, o, dw);
                o += SIDE;
            }
        }
    }
}

/// The inputs of two blocks.
struct Inputs<'a> {
    layout: &'a Layout,
    x: &'a [u16],
    dy: &'a [u32],
    steps: &'a [Step],
    /// Where they begin in `x`, and their weights in `dw`.
    at: [[usize; 2]; 2],
}

impl Inputs<'_> {
    /// Adds to the gradient of the weights to `N` blocks of outputs from `o` on.
    fn multiply<const N: usize>(&self, multiplier: &mut Multiplier, o: usize, dw: &mut [f32]) {
        let &Self { layout, x, dy, steps, at } = self;
        multiplier.multiply(Product::<N> {
            a: x,
            a_at: at.map(|[a, _]| a),
            a_row: layout.x_row(),
            b: dy,
            b_at: std::array::from_fn(|block| o + block * SIDE),
            b_row: layout.oc,
            steps,
            c: dw,
            c_at: at.map(|[_, c]| c + o),
            c_row: layout.oc,
            accumulate: true,
        });
    }
}
