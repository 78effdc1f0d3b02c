//! The dense layer: `y = x w + bias`.
//!
//! The matrix of weights is the largest thing a step touches, so every pass goes over it in blocks of 512 rows
//! that stay in the L2 cache while all images of the batch meet them.

use crate::gemm::{Init, Product};
use crate::scratch;
use crate::simd::Isa;
use rayon::prelude::*;

/// Rows of the weights that one task works on.
const BLOCK: usize = 512;

/// The sizes of a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseShape {
    /// Images in the batch.
    pub n: usize,
    /// Values an image.
    pub inputs: usize,
    /// Units.
    pub outputs: usize,
}

impl DenseShape {
    /// Values in the workspace of [`Forward`].
    pub fn partials_len(&self) -> usize {
        self.inputs.div_ceil(BLOCK) * self.n * self.outputs
    }

    fn assert_fits(&self, x: &[f32], w: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.n * self.inputs, "x is [n, inputs]: {self:?}");
        assert_eq!(w.len(), self.inputs * self.outputs, "w is [inputs, outputs]: {self:?}");
        assert_eq!(y.len(), self.n * self.outputs, "y is [n, outputs]: {self:?}");
    }
}

/// A dense layer with bias and, if asked, ReLU.
///
/// `y[n,o] = bias[o] + sum over i of x[n,i] * w[i,o]`
///
/// # Shapes (f32, contiguous)
/// `x`: `[n, inputs]`; `w`: `[inputs, outputs]`; `bias`: `[outputs]`; `y`: `[n, outputs]`, overwritten; `partials`:
/// workspace of [`partials_len`](DenseShape::partials_len) values, overwritten
/// # Accuracy
/// An f32 sum over each block of 512 inputs, then over the blocks in order: the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct Forward<'a> {
    /// Sizes.
    pub shape: &'a DenseShape,
    /// Input.
    pub x: &'a [f32],
    /// Weights.
    pub w: &'a [f32],
    /// One value a unit.
    pub bias: &'a [f32],
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// Output.
    pub y: &'a mut [f32],
    /// Workspace.
    pub partials: &'a mut [f32],
}

impl Forward<'_> {
    /// Computes `y`.
    pub fn run(self, isa: Isa) {
        let DenseShape { n, inputs, outputs } = *self.shape;
        self.shape.assert_fits(self.x, self.w, self.y);
        assert_eq!(self.bias.len(), outputs, "bias is [outputs]");
        assert_eq!(self.partials.len(), self.shape.partials_len(), "partials: see partials_len");
        let blocks = self.partials.par_chunks_exact_mut(n * outputs).zip(self.w.par_chunks(BLOCK * outputs));
        blocks.enumerate().for_each(|(block, (partial, w))| {
            Product {
                m: n,
                n: outputs,
                segments: 1,
                depth: w.len() / outputs,
                a: &self.x[block * BLOCK..],
                a_row: inputs,
                a_col: 1,
                a_segment: 0,
                b: w,
                b_row: outputs,
                b_segment: 0,
                c: partial,
                c_row: outputs,
                init: Init::Zero,
                relu: false,
            }
            .run(isa);
        });
        for y in self.y.chunks_exact_mut(outputs) {
            y.copy_from_slice(self.bias);
        }
        for partial in self.partials.chunks_exact(n * outputs) {
            self.y.iter_mut().zip(partial).for_each(|(y, &partial)| *y += partial);
        }
        if self.relu {
            // Not `max`, which would turn NaN into 0 and hide it.
            self.y.iter_mut().filter(|y| **y < 0.0).for_each(|y| *y = 0.0);
        }
    }
}

/// Input gradient of a dense layer.
///
/// `dx[n,i] = sum over o of dy[n,o] * w[i,o]`
///
/// # Shapes (f32, contiguous)
/// `dy`: `[n, outputs]`; `w`: `[inputs, outputs]`; `dx`: `[n, inputs]`, overwritten
/// # Units
/// As `dy`.
/// # Accuracy
/// One running f32 sum; the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct BackwardX<'a> {
    /// Sizes.
    pub shape: &'a DenseShape,
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// Weights.
    pub w: &'a [f32],
    /// Gradient of the input.
    pub dx: &'a mut [f32],
}

impl BackwardX<'_> {
    /// Computes `dx`.
    pub fn run(self, isa: Isa) {
        /// Images that share one transposition of the weights.
        const IMAGES: usize = 16;
        let DenseShape { inputs, outputs, .. } = *self.shape;
        self.shape.assert_fits(self.dx, self.w, self.dy);
        let groups = self.dx.par_chunks_mut(IMAGES * inputs).zip(self.dy.par_chunks(IMAGES * outputs));
        groups.for_each(|(dx, dy)| {
            for (block, w) in self.w.chunks(BLOCK * outputs).enumerate() {
                let rows = w.len() / outputs;
                scratch::with(w.len(), |transposed| {
                    transpose(w, rows, outputs, transposed);
                    Product {
                        m: dy.len() / outputs,
                        n: rows,
                        segments: 1,
                        depth: outputs,
                        a: dy,
                        a_row: outputs,
                        a_col: 1,
                        a_segment: 0,
                        b: transposed,
                        b_row: rows,
                        b_segment: 0,
                        c: &mut dx[block * BLOCK..],
                        c_row: inputs,
                        init: Init::Zero,
                        relu: false,
                    }
                    .run(isa);
                });
            }
        });
    }
}

/// `to[column][row] = from[row][column]`, in squares that stay in the L1 cache.
fn transpose(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    const SQUARE: usize = 16;
    for first_row in (0..rows).step_by(SQUARE) {
        for first_column in (0..columns).step_by(SQUARE) {
            for column in first_column..columns.min(first_column + SQUARE) {
                for row in first_row..rows.min(first_row + SQUARE) {
                    to[column * rows + row] = from[row * columns + column];
                }
            }
        }
    }
}

/// Weight and bias gradients of a dense layer.
///
/// `dw[i,o] += sum over n of x[n,i] * dy[n,o]`, `db[o] += sum over n of dy[n,o]`
///
/// # Shapes (f32, contiguous)
/// `x`: `[n, inputs]`; `dy`: `[n, outputs]`; `dw`: `[inputs, outputs]`, accumulated into; `db`: `[outputs]`, accumulated into
/// # Units
/// As `dy`; nothing is divided by `n`.
/// # Accuracy
/// One running f32 sum, the images in order: the same bits for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct BackwardW<'a> {
    /// Sizes.
    pub shape: &'a DenseShape,
    /// Input.
    pub x: &'a [f32],
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// Gradient of the weights.
    pub dw: &'a mut [f32],
    /// Gradient of the bias.
    pub db: &'a mut [f32],
}

impl BackwardW<'_> {
    /// Adds to `dw` and `db`.
    pub fn run(self, isa: Isa) {
        let DenseShape { n, inputs, outputs } = *self.shape;
        self.shape.assert_fits(self.x, self.dw, self.dy);
        assert_eq!(self.db.len(), outputs, "db is [outputs]");
        self.dw.par_chunks_mut(BLOCK * outputs).enumerate().for_each(|(block, dw)| {
            Product {
                m: dw.len() / outputs,
                n: outputs,
                segments: 1,
                depth: n,
                a: &self.x[block * BLOCK..],
                a_row: 1,
                a_col: inputs,
                a_segment: 0,
                b: self.dy,
                b_row: outputs,
                b_segment: 0,
                c: dw,
                c_row: outputs,
                init: Init::Accumulate,
                relu: false,
            }
            .run(isa);
        });
        for dy in self.dy.chunks_exact(outputs) {
            self.db.iter_mut().zip(dy).for_each(|(db, &dy)| *db += dy);
        }
    }
}
