//! The dense layer: `y = x w + bias`.
//!
//! The matrix of weights is the largest thing that a step touches, so every pass goes over it in
//! blocks of rows that stay in a cache while all images of the batch meet them, and
//! [`BackwardAndStep`] does in one pass what otherwise takes three.

use crate::buffer::Buffer;
use crate::gemm::{Init, Product, View};
use crate::optim::Step;
use crate::scratch;
use crate::shape::{check_sizes, product, shape_of_sizes};
use crate::simd::{Isa, MAX_LANES};
use crate::tasks::{Columns, each_task};
use rayon::prelude::*;

/// Rows of the weights that a task of the forward pass works on.
const FORWARD_ROWS: usize = 512;

/// What a [`DenseShape`] is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseSizes {
    /// Images in the batch.
    pub n: usize,
    /// Values per image.
    pub inputs: usize,
    /// Units.
    pub outputs: usize,
}

/// The shape of a dense layer: all that its kernels need to know.
///
/// It reads as its [`DenseSizes`], which cannot be changed any more: all products that the passes
/// form of them have been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DenseShape {
    sizes: DenseSizes,
    x_len: usize,
    w_len: usize,
    y_len: usize,
    /// Values in the outputs of all blocks of inputs.
    partials_len: usize,
    /// Values in `dy` as [`ToInput`] reads it.
    turned_len: usize,
    /// Rows of the weights that a task of the backward passes works on: 16 kB of them, which stay
    /// in the L1 cache while everything that concerns them is done.
    chunk: usize,
}

shape_of_sizes!(DenseShape, DenseSizes);

impl DenseShape {
    fn checked(sizes: DenseSizes) -> Result<Self, &'static str> {
        let DenseSizes { n, inputs, outputs } = sizes;
        check_sizes([n, inputs, outputs])?;
        let chunk = (4096 / outputs).next_multiple_of(MAX_LANES).clamp(MAX_LANES, 512).min(inputs);
        product([chunk, columns(n)])?;
        Ok(Self {
            sizes,
            x_len: product([n, inputs])?,
            w_len: product([inputs, outputs])?,
            y_len: product([n, outputs])?,
            partials_len: product([inputs.div_ceil(FORWARD_ROWS), n, outputs])?,
            turned_len: product([outputs, columns(n)])?,
            chunk,
        })
    }

    /// Values in `x`.
    pub fn x_len(&self) -> usize {
        self.x_len
    }

    /// Values in the weights `[inputs][outputs]`.
    pub fn w_len(&self) -> usize {
        self.w_len
    }

    /// Values in `y`.
    pub fn y_len(&self) -> usize {
        self.y_len
    }

    /// The most values that a task of a pass borrows from its thread.
    pub fn scratch_len(&self, training: bool) -> usize {
        if training { self.chunk * (self.outputs + columns(self.n)) } else { 0 }
    }

    fn assert_fits(&self, x: &[f32], w: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.x_len, "x is [n, inputs]: {self:?}");
        assert_eq!(w.len(), self.w_len, "w is [inputs, outputs]: {self:?}");
        assert_eq!(y.len(), self.y_len, "y is [n, outputs]: {self:?}");
    }
}

/// Images, rounded up to whole vectors.
fn columns(n: usize) -> usize {
    n.next_multiple_of(MAX_LANES)
}

/// Memory that a dense layer's passes work in. It grows to what they ask for and stays.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The outputs of each block of inputs.
    partials: Buffer,
    /// `dy` transposed.
    turned_dy: Buffer,
}

impl Workspace {
    /// Claims what the passes over batches of up to the shape's `n` need, so that they allocate
    /// nothing; for inference, only what [`Forward`] needs.
    pub fn reserve(&mut self, shape: &DenseShape, training: bool) {
        let [partials, turned_dy] = Self::lens(shape, training);
        self.partials.resize(partials);
        self.turned_dy.resize(turned_dy);
    }

    /// The bytes that [`reserve`](Self::reserve) claims.
    pub fn bytes(shape: &DenseShape, training: bool) -> usize {
        Self::lens(shape, training).into_iter().map(Buffer::bytes).sum()
    }

    fn lens(shape: &DenseShape, training: bool) -> [usize; 2] {
        [shape.partials_len, if training { shape.turned_len } else { 0 }]
    }
}

/// A dense layer with bias and, if asked, ReLU.
///
/// `y[n,o] = bias[o] + sum over i of x[n,i] * w[i,o]`
///
/// # Shapes (f32, contiguous)
/// `x`: `[n, inputs]`; `w`: `[inputs, outputs]`; `bias`: `[outputs]`; `y`: `[n, outputs]`,
/// overwritten
/// # Accuracy
/// An f32 sum over each block of 512 inputs, then over the blocks in order: the same bits for any
/// number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct Forward<'a> {
    /// Sizes.
    pub shape: &'a DenseShape,
    /// Input.
    pub x: &'a [f32],
    /// Weights.
    pub w: &'a [f32],
    /// One value per unit.
    pub bias: &'a [f32],
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// Output.
    pub y: &'a mut [f32],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

impl Forward<'_> {
    /// Computes `y`.
    pub fn run(self, isa: Isa) {
        let shape = self.shape;
        let DenseSizes { inputs, outputs, .. } = **shape;
        shape.assert_fits(self.x, self.w, self.y);
        assert_eq!(self.bias.len(), outputs, "bias is [outputs]: {shape:?}");
        let partials = self.workspace.partials.sized(shape.partials_len);
        let rows = FORWARD_ROWS.min(inputs);
        let blocks = partials.par_chunks_exact_mut(shape.y_len).zip(self.w.par_chunks(rows * outputs));
        blocks.enumerate().for_each(|(block, (partial, w))| {
            let (a, b) = (View::rows(&self.x[block * FORWARD_ROWS..], inputs), View::rows(w, outputs));
            let depth = w.len() / outputs;
            Product { segments: 1, depth, a, b, c: partial, init: Init::Zero, relu: false }.run(isa);
        });
        for y in self.y.chunks_exact_mut(outputs) {
            y.copy_from_slice(self.bias);
        }
        for partial in partials.chunks_exact(shape.y_len) {
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
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

impl BackwardX<'_> {
    /// Computes `dx`.
    pub fn run(self, isa: Isa) {
        let shape = self.shape;
        shape.assert_fits(self.dx, self.w, self.dy);
        let pass = ToInput::new(isa, shape, self.dy, self.dx, &mut self.workspace.turned_dy);
        let rows = shape.chunk;
        self.w.par_chunks(rows * shape.outputs).enumerate().for_each(|(chunk, w)| {
            // SAFETY: a chunk of w is of these inputs alone.
            scratch::with(pass.scratch_len(), |scratch| unsafe { pass.run(chunk * rows, w, scratch) });
        });
    }
}

/// Weight and bias gradients of a dense layer.
///
/// `dw[i,o] += sum over n of x[n,i] * dy[n,o]`, `db[o] += sum over n of dy[n,o]`
///
/// # Shapes (f32, contiguous)
/// `x`: `[n, inputs]`; `dy`: `[n, outputs]`; `dw`: `[inputs, outputs]`, accumulated into; `db`:
/// `[outputs]`, accumulated into
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
        let shape = self.shape;
        shape.assert_fits(self.x, self.dw, self.dy);
        let rows = shape.chunk;
        self.dw.par_chunks_mut(rows * shape.outputs).enumerate().for_each(|(chunk, dw)| {
            weight_gradient(isa, shape, self.x, self.dy, chunk * rows, Init::Accumulate, dw);
        });
        bias_gradient(shape, self.dy, self.db);
    }
}

/// Both gradients of a dense layer and the update of its weights in one pass over them, for callers
/// that do not need the gradient of all weights at once.
///
/// `dx` as [`BackwardX`] from the weights as they come in, `dw` as [`BackwardW`] from zero, then
/// [`Step::run`] with `dw`
///
/// # Shapes (f32, contiguous)
/// `x`: `[n, inputs]`; `dy`: `[n, outputs]`; `w`: `[inputs, outputs]`, overwritten; `state`: as in
/// [`Step::run`]; `dx`: `[n, inputs]`, overwritten; `db`: `[outputs]`, accumulated into
/// # Accuracy
/// The same bits as the three passes, for any number of threads.
/// # Panics
/// If a slice's length differs from its shape.
pub struct BackwardAndStep<'a> {
    /// Sizes.
    pub shape: &'a DenseShape,
    /// Input.
    pub x: &'a [f32],
    /// Gradient of the output.
    pub dy: &'a [f32],
    /// Weights.
    pub w: &'a mut [f32],
    /// The update.
    pub step: Step,
    /// What the rule remembers of the weights.
    pub state: [&'a mut [f32]; 2],
    /// Gradient of the input.
    pub dx: Option<&'a mut [f32]>,
    /// Gradient of the bias.
    pub db: &'a mut [f32],
    /// Workspace.
    pub workspace: &'a mut Workspace,
}

impl BackwardAndStep<'_> {
    /// Computes `dx`, adds to `db` and changes `w`.
    pub fn run(self, isa: Isa) {
        let Self { shape, x, dy, w, step, state: [first, second], dx, db, workspace } = self;
        let DenseSizes { inputs, outputs, .. } = **shape;
        shape.assert_fits(x, w, dy);
        step.check(w.len(), [first, second], w);
        bias_gradient(shape, dy, db);
        let pass = dx.map(|dx| {
            assert_eq!(dx.len(), x.len(), "dx is [n, inputs]: {shape:?}");
            ToInput::new(isa, shape, dy, dx, &mut workspace.turned_dy)
        });
        let rows = shape.chunk;
        let starts = |chunk: usize| {
            let at = (chunk * rows).min(inputs) * outputs;
            let [first, second] = step.rule.state_lens(at);
            ([at, first, second], 0)
        };
        let scratch_len = rows * outputs + pass.as_ref().map_or(0, ToInput::scratch_len);
        each_task(0..inputs.div_ceil(rows), [w, first, second], &mut [], &starts, &|chunk, [w, first, second], _| {
            scratch::with(scratch_len, |scratch| {
                let (dw, scratch) = scratch.split_at_mut(rows * outputs);
                let dw = &mut dw[..w.len()];
                if let Some(pass) = &pass {
                    // SAFETY: each task has the weights of some inputs, and no other has these.
                    unsafe { pass.run(chunk * rows, w, scratch) };
                }
                weight_gradient(isa, shape, x, dy, chunk * rows, Init::Zero, dw);
                step.run_block(isa, dw, [first, second], w);
            });
        });
    }
}

/// `db[o] += sum over n of dy[n,o]`.
fn bias_gradient(shape: &DenseShape, dy: &[f32], db: &mut [f32]) {
    assert_eq!(db.len(), shape.outputs, "db is [outputs]: {shape:?}");
    for dy in dy.chunks_exact(db.len()) {
        db.iter_mut().zip(dy).for_each(|(db, &dy)| *db += dy);
    }
}

/// `dw` of the inputs from `first` on, as many as it has rows.
fn weight_gradient(isa: Isa, shape: &DenseShape, x: &[f32], dy: &[f32], first: usize, init: Init, dw: &mut [f32]) {
    let DenseSizes { n, inputs, outputs } = **shape;
    let (a, b) = (View::rows(&x[first..], inputs).transposed(), View::rows(dy, outputs));
    Product { segments: 1, depth: n, a, b, c: dw, init, relu: false }.run(isa);
}

/// `dx` for some inputs at a time, in vectors over the images: `dx^T = w dy^T` reads the weights as
/// they lie, and only the small `dy` has to be transposed before.
struct ToInput<'a> {
    isa: Isa,
    shape: &'a DenseShape,
    /// `[outputs][columns]`.
    turned_dy: &'a [f32],
    dx: Columns<'a>,
}

impl<'a> ToInput<'a> {
    fn new(isa: Isa, shape: &'a DenseShape, dy: &[f32], dx: &'a mut [f32], turned_dy: &'a mut Buffer) -> Self {
        let turned_dy = turned_dy.sized(shape.turned_len);
        turned_dy.fill(0.0);
        let columns = columns(shape.n);
        for (image, dy) in dy.chunks_exact(shape.outputs).enumerate() {
            for (o, &dy) in dy.iter().enumerate() {
                turned_dy[o * columns + image] = dy;
            }
        }
        Self { isa, shape, turned_dy, dx: Columns::new(dx, shape.inputs) }
    }

    fn scratch_len(&self) -> usize {
        self.shape.chunk * columns(self.shape.n)
    }

    /// The inputs from `first` on, as many as `w` has rows.
    ///
    /// # Safety
    /// No other thread has these inputs.
    unsafe fn run(&self, first: usize, w: &[f32], scratch: &mut [f32]) {
        let DenseSizes { n, outputs, .. } = **self.shape;
        let (rows, columns) = (w.len() / outputs, columns(n));
        let turned_dx = &mut scratch[..rows * columns];
        let (a, b) = (View::rows(w, outputs), View::rows(self.turned_dy, columns));
        Product { segments: 1, depth: outputs, a, b, c: turned_dx, init: Init::Zero, relu: false }.run(self.isa);
        for image in 0..n {
            // SAFETY: no other thread has these columns of dx.
            let dx = unsafe { self.dx.part(image, first, rows) };
            for (dx, turned) in dx.iter_mut().zip(turned_dx[image..].iter().step_by(columns)) {
                *dx = *turned;
            }
        }
    }
}
