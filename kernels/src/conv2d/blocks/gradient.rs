//! Weight gradients.

use super::pack::{PixelPairs, Transpose};
use super::steps_len;
use crate::conv2d::backward_w::MOST_ROWS;
use crate::conv2d::{Conv2dShape, Conv2dSizes, Rows};
use crate::matrix::{DEPTH, Multiplier, Product, SIDE, Sizes, Step};
use crate::simd::{Ahead, Isa};

/// A weight gradient in the making. Rows are transposed until there are pixels enough that what is read
/// and written of `dw` costs little, whatever rows and images they come from; then all are multiplied.
pub(in super::super) struct BlockGradients<'a> {
    isa: Isa,
    layout: Layout,
    /// The transposed rows of `x`, `[values][x_row]`, as pairs of neighbours.
    x: &'a mut [u32],
    /// Pairs of pixels of `dy`, `[pairs][oc]`.
    dy: &'a mut [u32],
    steps: &'a mut [Step],
    /// Pixels of `x` and steps that there are.
    pixels: usize,
    count: usize,
}

/// So many steps that `dw` is seldom read and written, and so few that a block of inputs stays in the
/// L1 cache while all outputs meet it.
const STEPS: usize = 8;

/// How the operands lie.
#[derive(Clone, Copy)]
struct Layout {
    /// From one pixel of `x` to the next.
    ic: usize,
    /// Values of a pixel that become rows: the input channels, or all inputs of a kernel row.
    values: usize,
    /// Taps of a kernel row that are distances in pixels, not rows of their own.
    taps: usize,
    kh: usize,
    oc: usize,
    /// Pixels of a row, even.
    in_row: usize,
}

impl Layout {
    fn new(shape: &Conv2dShape) -> Self {
        let Conv2dSizes { ic, oc, kh, kw, .. } = **shape;
        let (values, taps) = if ic.is_multiple_of(SIDE) { (ic, kw) } else { (kw * ic, 1) };
        Self { ic, values, taps, kh, oc, in_row: (shape.ow() + kw - 1).next_multiple_of(2) }
    }

    fn steps(&self, rows: usize) -> usize {
        (rows * self.in_row).div_ceil(DEPTH)
    }

    fn most_steps(&self) -> usize {
        self.steps(MOST_ROWS).max(STEPS)
    }

    /// Pixels that so many rows of `dy` take in `x`: those that their steps read, and what is written
    /// beyond them.
    fn pixels(&self, rows: usize) -> usize {
        let above = (self.kh - 1) * self.in_row;
        (self.steps(rows) * DEPTH + above + self.taps - 1).next_multiple_of(DEPTH) + DEPTH
    }

    /// Values of bf16 from one row of the transposed matrix to the next: an odd number of cache lines,
    /// so that rows lie in different sets.
    fn x_row(&self) -> usize {
        let most = self.pixels(MOST_ROWS).max(2 * STEPS * DEPTH);
        ((most / DEPTH) | 1) * DEPTH
    }

    fn x_len(&self) -> usize {
        self.values.next_multiple_of(SIDE) * self.x_row() / 2
    }

    fn dy_len(&self) -> usize {
        self.most_steps() * DEPTH / 2 * self.oc
    }

    /// The blocks of A of all weights, as where they begin in A and in `dw`.
    fn blocks(self) -> impl Iterator<Item = [usize; 2]> {
        let (x_row, values) = (self.x_row(), self.values);
        (0..self.kh * self.taps).flat_map(move |tap| {
            let distance = tap / self.taps * self.in_row + tap % self.taps;
            (0..values).step_by(SIDE).map(move |i| [i * x_row + distance, (tap * values + i) * self.oc])
        })
    }
}

/// Values that a gradient works in.
pub(in super::super) fn gradient_len(shape: &Conv2dShape) -> usize {
    let layout = Layout::new(shape);
    layout.x_len() + layout.dy_len() + steps_len(layout.most_steps())
}

impl<'a> BlockGradients<'a> {
    /// Starts from 0; `workspace` has [`gradient_len`] values.
    pub fn new(isa: Isa, shape: &Conv2dShape, workspace: &'a mut [f32]) -> Self {
        let layout = Layout::new(shape);
        let (x, rest) = workspace.split_at_mut(layout.x_len());
        let (dy, steps) = rest.split_at_mut(layout.dy_len());
        let [x, dy] = [x, dy].map(bytemuck::cast_slice_mut);
        let steps = bytemuck::cast_slice_mut(&mut steps[..steps_len(layout.most_steps())]);
        Self { isa, layout, x, dy, steps, pixels: 0, count: 0 }
    }

    /// Takes some rows, at most [`MOST_ROWS`].
    pub fn add(&mut self, of: Rows, dw: &mut [f32], mut ahead: Ahead) {
        let layout = self.layout;
        let (steps, pixels) = (layout.steps(of.rows), layout.pixels(of.rows));
        if self.count + steps > layout.most_steps() || self.pixels + pixels > layout.x_row() {
            self.multiply(dw);
        }
        self.transpose(of, pixels);
        self.pair_pixels(of, steps, &mut ahead);
        for k in 0..steps {
            let b = (self.count + k) * DEPTH / 2 * layout.oc;
            self.steps[self.count + k] = Step { a: self.pixels + k * DEPTH, b };
        }
        (self.pixels, self.count) = (self.pixels + pixels, self.count + steps);
        if self.count >= STEPS {
            self.multiply(dw);
        }
    }

    /// Adds what is left.
    pub fn finish(mut self, dw: &mut [f32]) {
        self.multiply(dw);
    }

    /// The rows of `x`, pixels side by side.
    fn transpose(&mut self, of: Rows, pixels: usize) {
        let Layout { ic, values, taps, kh, in_row, .. } = self.layout;
        let (y_row, first) = (self.layout.x_row() / 2, self.pixels / 2);
        let rows = of.rows + kh - 1;
        for r in 0..rows {
            // What a row writes beyond its pixels, the next one overwrites.
            let (x, y) = (&of.x[r * of.x_row..], &mut self.x[first + r * in_row / 2..]);
            let pixels = of.width + taps - 1;
            self.isa.run(Transpose { x, step: ic, pixels, pairs: in_row / 2, values, y, y_row });
        }
        // What lies beyond the last one meets zeros of `dy`, so it must be finite.
        let written = first + (rows - 1) * in_row / 2 + (in_row / 2).next_multiple_of(SIDE);
        let end = first + pixels / 2;
        self.x.chunks_exact_mut(y_row).for_each(|row| row[written..end].fill(0));
    }

    /// The rows of `dy` as pairs of pixels, with zeros where no window begins.
    fn pair_pixels(&mut self, of: Rows, steps: usize, ahead: &mut Ahead) {
        let Layout { oc, in_row, .. } = self.layout;
        let of_step = DEPTH / 2 * oc;
        let to = &mut self.dy[self.count * of_step..][..steps * of_step];
        let (rows, beyond) = to.split_at_mut(of.rows * in_row / 2 * oc);
        for (r, y) in rows.chunks_exact_mut(in_row / 2 * oc).enumerate() {
            let x = &of.dy[r * of.dy_row..][..of.width * oc];
            self.isa.run(PixelPairs { x, y, channels: oc, ahead });
        }
        beyond.fill(0);
    }

    /// Adds what there is to `dw`, `[kh][kw][ic][oc]`.
    fn multiply(&mut self, dw: &mut [f32]) {
        let (layout, count) = (self.layout, self.count);
        (self.pixels, self.count) = (0, 0);
        if count == 0 {
            return;
        }
        let sizes = Sizes { rows: layout.values.min(SIDE), depth: DEPTH };
        let mut multiplier = self.isa.matrix_unit().with_sizes(sizes);
        let mut blocks = layout.blocks();
        while let Some(first) = blocks.next() {
            // The last one alone is its own second.
            let second = blocks.next().unwrap_or(first);
            let of_inputs = Inputs {
                layout,
                x: bytemuck::cast_slice(self.x),
                dy: self.dy,
                steps: &self.steps[..count],
                at: [first, second],
            };
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
}

/// The inputs of two blocks.
struct Inputs<'a> {
    layout: Layout,
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
