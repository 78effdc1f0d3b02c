//! Correlations.

use super::pack::Round;
use super::{depth, steps_len};
use crate::matrix::{Multiplier, Product, SIDE, Sizes, Step};
use crate::scratch;
use crate::simd::{Ahead, Isa, Kernel, Simd};

/// Pixels of a product.
const PIXELS: usize = 2 * SIDE;

/// A correlation with stride 1 over rows that have all the zeros they need.
#[derive(Clone, Copy)]
pub(in super::super) struct Blocks<'a> {
    pub isa: Isa,
    pub kh: usize,
    pub kw: usize,
    pub ic: usize,
    pub oc: usize,
    /// As [`weights`](super::weights) arranges them.
    pub w: &'a [f32],
    /// `[oc]`.
    pub bias: Option<&'a [f32]>,
    pub relu: bool,
}

/// The number of output rows that are best computed at once: many enough that few of the rows under
/// them are rounded twice, few enough that the next operation finds them in a cache.
pub(in super::super) fn rows_at_once(width: usize, oc: usize) -> usize {
    const OUTPUTS: usize = 32 << 10;
    const MOST: usize = 16;
    (OUTPUTS / (width * oc) / 2 * 2).clamp(4, MOST)
}

/// The values that a correlation to `oc` channels over rows of `row` values, `width` pixels of which
/// begin a window, borrows from its thread.
pub(in super::super) fn correlation_len([kh, kw]: [usize; 2], row: usize, ic: usize, width: usize, oc: usize) -> usize {
    let rows = rows_at_once(width, oc);
    let [_, blocks] = depth(kw, ic);
    x_len([kh, kw], row, ic, rows).div_ceil(2).next_multiple_of(SIDE) + steps_len(kh * blocks) + PIXELS * 2 * SIDE
}

/// Values of bf16 that blocks are read from.
fn x_len([kh, kw]: [usize; 2], row: usize, ic: usize, rows: usize) -> usize {
    (rows * row / ic).next_multiple_of(PIXELS) * ic + (kh - 1) * row + kw * ic + 1
}

impl Blocks<'_> {
    /// `y`, `[rows][width][oc]`, from the rows of `x` under their windows, `x_row` values apart.
    pub fn run(&self, x: &[f32], x_row: usize, y: &mut [f32], width: usize, ahead: &mut Ahead) {
        let &Self { kh, kw, ic, oc, .. } = self;
        assert!(x_row.is_multiple_of(ic) && x_row >= (width + kw - 1) * ic, "whole pixels, windows inside a row");
        scratch::with(correlation_len([kh, kw], x_row, ic, width, oc), |scratch| {
            let at_once = rows_at_once(width, oc);
            for (r, y) in y.chunks_mut(at_once * width * oc).enumerate() {
                self.rows(&x[at_once * r * x_row..], x_row, y, width, scratch, ahead);
            }
        });
    }

    /// Rows that are computed at once.
    fn rows(&self, x: &[f32], x_row: usize, y: &mut [f32], width: usize, scratch: &mut [f32], ahead: &mut Ahead) {
        let &Self { isa, kh, kw, ic, oc, w, bias, relu } = self;
        let (rows, in_row, [depth, blocks]) = (y.len() / (width * oc), x_row / ic, depth(kw, ic));
        let rounded_len = x_len([kh, kw], x_row, ic, rows).div_ceil(2).next_multiple_of(SIDE);
        let (rounded, rest) = scratch.split_at_mut(rounded_len);
        let (steps, rest) = rest.split_at_mut(steps_len(kh * blocks));

        let rounded: &mut [u16] = bytemuck::cast_slice_mut(rounded);
        let (of_rows, beyond) = rounded.split_at_mut((rows + kh - 1) * x_row);
        isa.run(Round { x: &x[..of_rows.len()], y: of_rows });
        beyond.fill(0);

        let steps: &mut [Step] = &mut bytemuck::cast_slice_mut(steps)[..kh * blocks];
        for (k, step) in steps.iter_mut().enumerate() {
            *step = Step { a: k / blocks * x_row + k % blocks * depth, b: k * depth / 2 * SIDE };
        }
        let w: &[u32] = bytemuck::cast_slice(w);
        let of_outputs = kh * blocks * depth / 2 * SIDE;
        let pixels = (rows - 1) * in_row + width;
        let mut multiplier = isa.matrix_unit().with_sizes(Sizes { rows: SIDE, depth });
        let mut o = 0;
        while o < oc {
            let channels = if oc - o >= 2 * SIDE { 2 * SIDE } else { SIDE };
            let w = &w[o / SIDE * of_outputs..];
            let c = &mut rest[..PIXELS * channels];
            for first in (0..pixels).step_by(PIXELS) {
                let blocks = Pixels { a: rounded, ic, w, of_outputs, steps, first };
                match channels {
                    SIDE => blocks.multiply::<1>(&mut multiplier, c),
                    _ => blocks.multiply::<2>(&mut multiplier, c),
                }
                let bias = bias.map(|bias| &bias[o..]);
                isa.run(Store { c, channels, bias, relu, y, o, oc, first, in_row, width, ahead });
            }
            o += channels;
        }
    }
}

/// Pixels that are multiplied at once.
struct Pixels<'a> {
    a: &'a [u16],
    ic: usize,
    w: &'a [u32],
    /// Pairs of weights to a block of outputs.
    of_outputs: usize,
    steps: &'a [Step],
    first: usize,
}

impl Pixels<'_> {
    fn multiply<const N: usize>(&self, multiplier: &mut Multiplier, c: &mut [f32]) {
        let &Self { a, ic, w, of_outputs, steps, first } = self;
        multiplier.multiply(Product::<N> {
            a,
            a_at: [first * ic, (first + SIDE) * ic],
            a_row: ic,
            b: w,
            b_at: std::array::from_fn(|block| block * of_outputs),
            b_row: SIDE,
            steps,
            c,
            c_at: [0, SIDE * N * SIDE],
            c_row: N * SIDE,
            accumulate: false,
        });
    }
}

/// Bias and ReLU for what a product gave, and its place in `y`.
struct Store<'a, 'b> {
    /// `[pixels][channels]`.
    c: &'a [f32],
    channels: usize,
    /// `[channels]` or more.
    bias: Option<&'a [f32]>,
    relu: bool,
    /// `[rows][width][oc]`.
    y: &'a mut [f32],
    /// The first of the channels.
    o: usize,
    oc: usize,
    /// The first pixel, counted through rows of `in_row` of which the first `width` are in `y`.
    first: usize,
    in_row: usize,
    width: usize,
    ahead: &'a mut Ahead<'b>,
}

/// Cache lines of what lies ahead that are prefetched with each product.
const LINES: usize = 32;

impl Kernel for Store<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { c, channels, bias, relu, y, o, oc, first, in_row, width, ahead } = self;
        ahead.prefetch(s, LINES);
        let (pixels, rows) = (c.len() / channels, y.len() / (width * oc));
        assert!(channels.is_multiple_of(S::LANES) && o + channels <= oc && y.len() == rows * width * oc);
        let (mut row, mut column, mut done) = (first / in_row, first % in_row, 0);
        while done < pixels && row < rows {
            // What is left of the row, and what of that is in `y`.
            let run = (in_row - column).min(pixels - done);
            let stored = width.saturating_sub(column).min(run);
            for i in (0..channels).step_by(S::LANES) {
                let bias = bias.map_or(s.zero(), |bias| s.load(&bias[i..]));
                for k in 0..stored {
                    // SAFETY: done + k < pixels, i + LANES <= channels; row < rows, column + k < width,
                    // o + i + LANES <= oc.
                    unsafe {
                        let value = s.add(s.load_ptr(c.as_ptr().add((done + k) * channels + i)), bias);
                        // `max` gives its second operand where one is NaN: a NaN is not hidden.
                        let value = if relu { s.max(s.zero(), value) } else { value };
                        s.store_ptr(y.as_mut_ptr().add((row * width + column + k) * oc + o + i), value);
                    }
                }
            }
            (row, column, done) = (row + 1, 0, done + run);
        }
    }
}
