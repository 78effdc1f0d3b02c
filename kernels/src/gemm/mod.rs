//! The matrix product that everything heavy here is made of.
//!
//! A convolution, its two gradients and the dense layer's three products are all `C = A B` with a
//! different reading of the same memory. [`Product`] therefore takes its operands as a [`View`]:
//! each direction has a stride of its own, and the inner dimension may be cut into segments that
//! lie apart. The im2col matrix of an image is such a view of the image itself (see
//! [`crate::conv2d`]), and so is a transposed matrix.
//!
//! The loops have the names of the BLIS paper (Van Zee and van de Geijn, ACM TOMS 41(3), 2015).
//! Loops 5 to 3, which block for the caches, belong to the callers: they know which block fits.
//! [`Product`] is loops 2 and 1 around the micro-kernel [`tile`](tile::tile). Neither operand is
//! packed: B's rows are whole panels already (our weights are small), and the strides of A are
//! compile-time constants where it matters, so that a broadcast costs one load from a fixed offset.

mod tile;

use crate::simd::{Isa, Kernel, Simd};
use tile::Start;

/// A matrix as a reading of `data`: element (i, j) of segment s is
/// `data[i * row + j * col + s * segment]`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    row: usize,
    col: usize,
    segment: usize,
}

impl<'a> View<'a> {
    /// Contiguous rows, `stride` values from one to the next: fewer than a row has where rows
    /// overlap.
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row: stride, col: 1, segment: 0 }
    }

    /// The same matrix with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }

    /// As many such matrices as the product has segments, `step` values from one to the next.
    pub fn segments(self, step: usize) -> Self {
        Self { segment: step, ..self }
    }

    /// The bounds that the micro-kernel's unchecked accesses rely on: the last element, whose place
    /// must not wrap, lies inside the data, and no other lies behind it.
    fn check(&self, segments: usize, rows: usize, columns: usize) {
        let steps = [(segments, self.segment), (rows, self.row), (columns, self.col)];
        let last = steps
            .into_iter()
            .try_fold(0usize, |last, (count, step)| last.checked_add(count.checked_sub(1)?.checked_mul(step)?));
        let inside = last.is_some_and(|last| last < self.data.len());
        assert!(inside, "{segments} x {rows} x {columns} elements of {}", self.data.len());
    }

    /// The address of an element of the first segment.
    ///
    /// # Safety
    /// It lies inside the data.
    #[inline(always)]
    unsafe fn at(&self, row: usize, column: usize) -> *const f32 {
        // SAFETY: the caller's promise.
        unsafe { self.data.as_ptr().add(row * self.row + column * self.col) }
    }
}

/// `c = a b`, `c = a b + bias` or `c += a b` on one thread, for operands that the caller has cut to
/// fit the caches.
///
/// `c[i,j] (+)= sum over s, k of a[s][i,k] * b[s][k,j]`, then ReLU where `relu`
///
/// # Shapes
/// `a`: `segments` views of `[m, depth]`; `b`: `segments` views of `[depth, n]` by rows, n values
/// from one to the next; `c`: `[m, n]`, contiguous
/// # Accuracy
/// One running f32 sum per element of `c`, in the order of (s, k), rounded once per term where the
/// instruction set has FMA.
/// # Panics
/// If an index above lies outside its slice, or the product is empty.
pub(crate) struct Product<'a> {
    pub segments: usize,
    pub depth: usize,
    pub a: View<'a>,
    pub b: View<'a>,
    pub c: &'a mut [f32],
    pub init: Init<'a>,
    /// Negative results become 0 as they are stored.
    pub relu: bool,
}

/// What a product starts from.
#[derive(Clone, Copy)]
pub(crate) enum Init<'a> {
    /// 0: `c` is overwritten.
    Zero,
    /// `bias[j]`: `c` is overwritten.
    Bias(&'a [f32]),
    /// What `c` holds.
    Accumulate,
}

impl Product<'_> {
    /// Computes `c`.
    ///
    /// The row strides of A that the models' layers have are compiled in: 1 reads a transposed view
    /// (weight gradients), 64 the rows of the first dense layer's weights. Any other stride goes
    /// through registers.
    pub fn run(self, isa: Isa) {
        self.check();
        match self.a.row {
            1 => isa.run(Strided::<1>(self)),
            64 => isa.run(Strided::<64>(self)),
            _ => isa.run(Strided::<0>(self)),
        }
    }

    /// Rows of `c`.
    fn m(&self) -> usize {
        self.c.len() / self.n()
    }

    /// Columns of `c`.
    fn n(&self) -> usize {
        self.b.row
    }

    fn check(&self) {
        let (m, n) = (self.m(), self.n());
        assert!(m > 0 && n > 0 && self.segments > 0 && self.depth > 0, "an empty product");
        assert!(self.b.col == 1, "b is read along its rows");
        self.a.check(self.segments, m, self.depth);
        self.b.check(self.segments, self.depth, n);
        assert!(self.c.len() == m * n, "c has whole rows");
        if let Init::Bias(bias) = self.init {
            assert_eq!(bias.len(), n, "one bias per column");
        }
    }
}

/// A checked product whose A has the row stride `ROW`, or any where `ROW` is 0.
struct Strided<'a, const ROW: usize>(Product<'a>);

impl<const ROW: usize> Kernel for Strided<'_, ROW> {
    type Output = ();

    /// Loop 2: panels of up to 4 vectors of B's columns.
    ///
    /// The tile's height is what the registers allow: height x width accumulators, a row of B, one
    /// broadcast.
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (m, n) = (self.0.m(), self.0.n());
        let mut j = 0;
        while n - j >= S::LANES {
            let width = match (S::REGISTERS, tile_shape(S::REGISTERS, (n - j) / S::LANES)) {
                (32, [_, 4]) => self.panel::<S, 6, 2, 4, false>(s, m, j),
                (32, [_, 2]) => self.panel::<S, 14, 6, 2, false>(s, m, j),
                (32, _) => self.panel::<S, 16, 9, 1, false>(s, m, j),
                (16, [_, 2]) => self.panel::<S, 6, 3, 2, false>(s, m, j),
                (16, _) => self.panel::<S, 12, 4, 1, false>(s, m, j),
                _ => self.panel::<S, 4, 2, 1, false>(s, m, j),
            };
            j += width * S::LANES;
        }
        if j < n {
            self.panel::<S, 8, 2, 1, true>(s, m, j);
        }
    }
}

/// The tile where so many vectors of columns are left: its rows and its vectors. Rows that are left
/// over go through tiles of fewer.
#[inline(always)]
pub(crate) fn tile_shape(registers: usize, vectors: usize) -> [usize; 2] {
    match (registers, vectors) {
        (32, 4..) => [6, 4],
        (32, 2..) => [14, 2],
        (32, _) => [16, 1],
        (16, 2..) => [6, 2],
        (16, _) => [12, 1],
        _ => [4, 1],
    }
}

impl<const ROW: usize> Strided<'_, ROW> {
    /// Loop 1: tiles of `P` rows of A, then of `Q`, then single rows. Returns the panel's width in
    /// vectors.
    ///
    /// Where nothing is accumulated, a last tile may lie over the one before: the same values are
    /// stored twice.
    #[inline(always)]
    fn panel<S: Simd, const P: usize, const Q: usize, const V: usize, const PART: bool>(
        &mut self,
        s: S,
        m: usize,
        j: usize,
    ) -> usize {
        let overlap = !matches!(self.0.init, Init::Accumulate);
        let mut i = 0;
        while m - i >= P || overlap && m >= P && m - i > P / 2 {
            i = i.min(m - P);
            self.tile::<S, P, V, PART>(s, i, j);
            i += P;
        }
        while m - i >= Q || overlap && m >= Q && m > i {
            i = i.min(m - Q);
            self.tile::<S, Q, V, PART>(s, i, j);
            i += Q;
        }
        while i < m {
            self.tile::<S, 1, V, PART>(s, i, j);
            i += 1;
        }
        V
    }

    #[inline(always)]
    fn tile<S: Simd, const P: usize, const V: usize, const PART: bool>(&mut self, s: S, i: usize, j: usize) {
        let n = self.0.n();
        let Product { segments, depth, a, b, c, init, relu } = &mut self.0;
        let start = match init {
            Init::Zero => Start::Zero,
            Init::Bias(bias) => Start::Bias(&bias[j..]),
            Init::Accumulate => Start::Accumulate,
        };
        let operands = tile::Operands {
            segments: *segments,
            depth: *depth,
            // SAFETY: `Product::check` bounds the largest offsets that (i, j) and the loops of the
            // tile can form.
            a: unsafe { a.at(i, 0) },
            a_row: a.row,
            a_col: a.col,
            a_segment: a.segment,
            // SAFETY: as above.
            b: unsafe { b.at(0, j) },
            b_segment: b.segment,
            // SAFETY: as above.
            c: unsafe { c.as_mut_ptr().add(i * n + j) },
            n,
            columns: (n - j).min(V * S::LANES),
        };
        // SAFETY: i + P <= m, and the columns are `n - j` where PART, else at least V * LANES:
        // `check` covers them.
        unsafe { tile::tile::<S, ROW, P, V, PART>(s, operands, start, *relu) }
    }
}
