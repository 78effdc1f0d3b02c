//! The matrix product that everything heavy here is made of.
//!
//! A convolution, its two gradients and the dense layer's three products are all `C = A B` with a different reading of
//! the same memory. [`Product`] therefore takes `A` as a *view*: element (row, k) lies at a stride of its own in each
//! direction, and the inner dimension may be cut into segments that lie apart. The im2col matrix of an image is such a
//! view of the image itself (see [`crate::conv2d`]), and so is a transposed matrix. `B` and `C` are read along their rows.
//!
//! The loops have the names of the BLIS paper (Van Zee and van de Geijn, ACM TOMS 41(3), 2015). Loops 5 to 3, which block for
//! the caches, belong to the callers: they know which block fits. [`Product`] is loops 2 and 1 around the micro-kernel
//! [`tile`](tile::tile). Neither operand is packed: B's rows are whole panels already (our weights are small), and the
//! strides of A are compile-time constants where it matters, so that a broadcast costs one load from a fixed offset.

mod tile;

use crate::simd::{Kernel, Simd};
use tile::Start;

/// `c = a b`, `c = a b + bias` or `c += a b` on one thread, for operands that the caller has cut to fit the caches.
///
/// `c[i,j] (+)= sum over s, k of a[i*a_row + s*a_segment + k*a_col] * b[(s*depth + k)*b_row + j]`
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

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.check();
        // The row strides of A that the model's layers have: 1 reads a transposed view (weight gradients), the others are
        // the channels of an image. Any other stride goes through registers.
        match self.a_row {
            1 => self.panels::<S, 1>(s),
            3 => self.panels::<S, 3>(s),
            16 => self.panels::<S, 16>(s),
            32 => self.panels::<S, 32>(s),
            64 => self.panels::<S, 64>(s),
            _ => self.panels::<S, 0>(s),
        }
    }
}

impl Product<'_> {
    /// The bounds that the micro-kernel's unchecked accesses rely on.
    #[inline(always)]
    fn check(&self) {
        assert!(self.m > 0 && self.n > 0 && self.segments > 0 && self.depth > 0, "an empty product");
        let last = (self.m - 1) * self.a_row + (self.segments - 1) * self.a_segment + (self.depth - 1) * self.a_col;
        assert!(last < self.a.len(), "a: element {last} of {}", self.a.len());
        let last = (self.segments * self.depth - 1) * self.b_row + self.n - 1;
        assert!(last < self.b.len(), "b: element {last} of {}", self.b.len());
        let last = (self.m - 1) * self.c_row + self.n - 1;
        assert!(last < self.c.len(), "c: element {last} of {}", self.c.len());
        if let Init::Bias(bias) = self.init {
            assert_eq!(bias.len(), self.n, "one bias a column");
        }
    }

    /// Loop 2: panels of up to 4 vectors of B's columns.
    ///
    /// The tile's height is what the registers allow: height x width accumulators, a row of B, one broadcast.
    #[inline(always)]
    fn panels<S: Simd, const ROW: usize>(&mut self, s: S) {
        let mut j = 0;
        while self.n - j >= S::LANES {
            let vectors = (self.n - j) / S::LANES;
            let width = match (S::REGISTERS, vectors) {
                (32, 4..) => self.rows::<S, ROW, 6, 2, 4>(s, j),
                (32, 2..) => self.rows::<S, ROW, 14, 6, 2>(s, j),
                (32, _) => self.rows::<S, ROW, 26, 9, 1>(s, j),
                (16, 2..) => self.rows::<S, ROW, 6, 3, 2>(s, j),
                (16, _) => self.rows::<S, ROW, 12, 4, 1>(s, j),
                _ => self.rows::<S, ROW, 4, 2, 1>(s, j),
            };
            j += width * S::LANES;
        }
        if j < self.n {
            for i in 0..self.m {
                self.tile::<S, ROW, 1, 1, true>(s, i, j);
            }
        }
    }

    /// Loop 1: tiles of `P` rows of A, then of `Q`, then single rows. Returns the panel's width in vectors.
    ///
    /// Where nothing is accumulated, the last tile may lie over the one before: the same values are stored twice.
    #[inline(always)]
    fn rows<S: Simd, const ROW: usize, const P: usize, const Q: usize, const V: usize>(
        &mut self,
        s: S,
        j: usize,
    ) -> usize {
        let overlap = !matches!(self.init, Init::Accumulate);
        let mut i = 0;
        while i + P <= self.m {
            self.tile::<S, ROW, P, V, false>(s, i, j);
            i += P;
        }
        if overlap && self.m >= P && self.m - i > P / 2 {
            self.tile::<S, ROW, P, V, false>(s, self.m - P, j);
            return V;
        }
        while i + Q <= self.m {
            self.tile::<S, ROW, Q, V, false>(s, i, j);
            i += Q;
        }
        if overlap && self.m >= Q && i < self.m {
            self.tile::<S, ROW, Q, V, false>(s, self.m - Q, j);
            return V;
        }
        while i < self.m {
            self.tile::<S, ROW, 1, V, false>(s, i, j);
            i += 1;
        }
        V
    }

    #[inline(always)]
    fn tile<S: Simd, const ROW: usize, const P: usize, const V: usize, const PART: bool>(
        &mut self,
        s: S,
        i: usize,
        j: usize,
    ) {
        let start = match self.init {
            Init::Zero => Start::Zero,
            Init::Bias(bias) => Start::Bias(&bias[j..]),
            Init::Accumulate => Start::Accumulate,
        };
        let operands = tile::Operands {
            segments: self.segments,
            depth: self.depth,
            // SAFETY: `check` bounds the largest offsets that (i, j) and the loops of the tile can form.
            a: unsafe { self.a.as_ptr().add(i * self.a_row) },
            a_row: self.a_row,
            a_col: self.a_col,
            a_segment: self.a_segment,
            // SAFETY: as above.
            b: unsafe { self.b.as_ptr().add(j) },
            b_row: self.b_row,
            // SAFETY: as above.
            c: unsafe { self.c.as_mut_ptr().add(i * self.c_row + j) },
            c_row: self.c_row,
            columns: (self.n - j).min(V * S::LANES),
        };
        // SAFETY: i + P <= m, and the columns are `n - j` where PART, else at least V * LANES: `check` covers them.
        unsafe { tile::tile::<S, ROW, P, V, PART>(s, operands, start, self.relu) }
    }
}
