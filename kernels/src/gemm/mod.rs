//! The matrix product that everything heavy here is made of.
//!
//! A convolution, its two gradients and the dense layer's three products are all `C = A B` with a different reading of
//! the same memory. [`Product`] therefore takes `A` as a *view*: element (row, k) lies at a stride of its own in each
//! direction, and the inner dimension may be cut into segments that lie apart. The im2col matrix of an image is such a
//! view of the image itself (see [`crate::conv2d`]), and so is a transposed matrix. `B` and `C` are read along their rows.
//!
//! The loops have the names of the BLIS paper (Van Zee and van de Geijn, ACM TOMS 41(3), 2015). Loops 5 to 3, which block for
//! the caches, belong to the callers: they know which block fits. [`Product`] is loops 2 and 1 around the micro-kernel [`tile`](tile::tile). Neither operand is packed: B's rows are whole panels already (our weights are small), and the
//! strides of A are compile-time constants where it matters, so that a broadcast costs one load from a fixed offset.

mod tile;

use crate::simd::{Isa, Kernel, Simd};
use tile::Start;

/// `c = a b`, `c = a b + bias` or `c += a b` on one thread, for operands that the caller has cut to fit the caches.
///
/// `c[i,j] (+)= sum over s, k of a[i*a_row + s*a_segment + k*a_col] * b[s*b_segment + k*b_row + j]`
///
/// # Shapes
/// `i` in `0..m`, `j` in `0..n`, `s` in `0..segments`, `k` in `0..depth`; `c` at `i*c_row + j`.
/// # Accuracy
/// One running f32 sum per element of `c`, in the order of (s, k), rounded once a term where the instruction set has FMA.
/// # Panics
/// If an index above lies outside its slice, or the product is empty.
pub(crate) struct Product<'a> {
    pub m: usize,
    pub n: usize,
    pub segments: usize,
    pub depth: usize,
    pub a: &'a [f32],
    pub a_row: usize,
    pub a_col: usize,
    pub a_segment: usize,
    pub b: &'a [f32],
    pub b_row: usize,
    pub b_segment: usize,
    pub c: &'a mut [f32],
    pub c_row: usize,
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
    /// The row strides of A that the model's layers have are compiled in: 1 reads a transposed view (weight gradients), the
    /// others are the channels of an image. Any other stride goes through registers.
    pub fn run(self, isa: Isa) {
        self.check();
        match self.a_row {
            1 => isa.run(Rows::<1>(self)),
            3 => isa.run(Rows::<3>(self)),
            16 => isa.run(Rows::<16>(self)),
            32 => isa.run(Rows::<32>(self)),
            64 => isa.run(Rows::<64>(self)),
            _ => isa.run(Rows::<0>(self)),
        }
    }

    /// The bounds that the micro-kernel's unchecked accesses rely on.
    fn check(&self) {
        assert!(self.m > 0 && self.n > 0 && self.segments > 0 && self.depth > 0, "an empty product");
        let last = (self.m - 1) * self.a_row + (self.segments - 1) * self.a_segment + (self.depth - 1) * self.a_col;
        assert!(last < self.a.len(), "a: element {last} of {}", self.a.len());
        let last = (self.segments - 1) * self.b_segment + (self.depth - 1) * self.b_row + self.n - 1;
        assert!(last < self.b.len(), "b: element {last} of {}", self.b.len());
        let last = (self.m - 1) * self.c_row + self.n - 1;
        assert!(last < self.c.len(), "c: element {last} of {}", self.c.len());
        if let Init::Bias(bias) = self.init {
            assert_eq!(bias.len(), self.n, "one bias a column");
        }
    }
}

/// A checked product whose A has the row stride `ROW`, or any where `ROW` is 0.
struct Rows<'a, const ROW: usize>(Product<'a>);

impl<const ROW: usize> Kernel for Rows<'_, ROW> {
    type Output = ();

    /// Loop 2: panels of up to 4 vectors of B's columns.
    ///
    /// The tile's height is what the registers allow: height x width accumulators, a row of B, one broadcast.
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let n = self.0.n;
        let mut j = 0;
        while n - j >= S::LANES {
            let vectors = (n - j) / S::LANES;
            let width = match (S::REGISTERS, vectors) {
                (32, 4..) => self.panel::<S, 6, 2, 4>(s, j),
                (32, 2..) => self.panel::<S, 14, 6, 2>(s, j),
                (32, _) => self.panel::<S, 16, 9, 1>(s, j),
                (16, 2..) => self.panel::<S, 6, 3, 2>(s, j),
                (16, _) => self.panel::<S, 12, 4, 1>(s, j),
                _ => self.panel::<S, 4, 2, 1>(s, j),
            };
            j += width * S::LANES;
        }
        if j < n {
            for i in 0..self.0.m {
                self.tile::<S, 1, 1, true>(s, i, j);
            }
        }
    }
}

impl<const ROW: usize> Rows<'_, ROW> {
    /// Loop 1: tiles of `P` rows of A, then of `Q`, then single rows. Returns the panel's width in vectors.
    ///
    /// Where nothing is accumulated, a last tile may lie over the one before: the same values are stored twice.
    #[inline(always)]
    fn panel<S: Simd, const P: usize, const Q: usize, const V: usize>(&mut self, s: S, j: usize) -> usize {
        let m = self.0.m;
        let overlap = !matches!(self.0.init, Init::Accumulate);
        let mut i = 0;
        while m - i >= P || overlap && m >= P && m - i > P / 2 {
            i = i.min(m - P);
            self.tile::<S, P, V, false>(s, i, j);
            i += P;
        }
        while m - i >= Q || overlap && m >= Q && m > i {
            i = i.min(m - Q);
            self.tile::<S, Q, V, false>(s, i, j);
            i += Q;
        }
        while i < m {
            self.tile::<S, 1, V, false>(s, i, j);
            i += 1;
        }
        V
    }
    #[inline(always)]
    fn tile<S: Simd, const P: usize, const V: usize, const PART: bool>(&mut self, s: S, i: usize, j: usize) {
        let product = &mut self.0;
        let start = match product.init {
            Init::Zero => Start::Zero,
            Init::Bias(bias) => Start::Bias(&bias[j..]),
            Init::Accumulate => Start::Accumulate,
        };
        let operands = tile::Operands {
            segments: product.segments,
            depth: product.depth,
            // SAFETY: `Product::check` bounds the largest offsets that (i, j) and the loops of the tile can form.
            a: unsafe { product.a.as_ptr().add(i * product.a_row) },
            a_row: product.a_row,
            a_col: product.a_col,
            a_segment: product.a_segment,
            // SAFETY: as above.
            b: unsafe { product.b.as_ptr().add(j) },
            b_row: product.b_row,
            b_segment: product.b_segment,
            // SAFETY: as above.
            c: unsafe { product.c.as_mut_ptr().add(i * product.c_row + j) },
            c_row: product.c_row,
            columns: (product.n - j).min(V * S::LANES),
        };
        // SAFETY: i + P <= m, and the columns are `n - j` where PART, else at least V * LANES: `check` covers them.
        unsafe { tile::tile::<S, ROW, P, V, PART>(s, operands, start, product.relu) }
    }
}
