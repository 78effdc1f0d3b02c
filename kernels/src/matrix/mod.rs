//! Products of blocks of bf16, as matrix units make them: 16 rows times 16 columns, 32 products deep,
//! in one instruction.
//!
//! A matrix unit multiplies some fifteen times as fast as vectors of f32 do, so that little else is
//! left to do well: operands in the order that it reads, near enough to come in time. A product of
//! two by two blocks reads four blocks for four instructions; with fewer it would wait for them.
//!
//! # Semantics
//! `c += even + odd`, where `even` and `odd` are the sums of the products of the even and of the odd
//! numbers of all pairs, from 0 on, in the order of the pairs, each product and its sum rounded once.
//! Subnormal operands and sums count as 0. [`Unit::Plain`] computes the same bits.
//!
//! # Source
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, `TDPBF16PS`; compared with
//! what the machine does in `tests/kernels/matrix.rs`.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod plain;

use bytemuck::{Pod, Zeroable};
use std::cell::Cell;

/// The most rows of a block of A and C, and the columns of one of B and C.
pub const SIDE: usize = 16;

/// The most columns of a block of A, and rows of one of B, of which pairs lie together.
pub const DEPTH: usize = 32;

/// What multiplies blocks.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// AMX-BF16.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(amx::Amx),
    /// Plain arithmetic, with the same results, many times slower than f32.
    Plain,
}

/// The sizes of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of a block of A and of C, at most [`SIDE`].
    pub rows: usize,
    /// Columns of a block of A and rows of one of B: even, at most [`DEPTH`].
    pub depth: usize,
}

/// Where the blocks of a step lie, beyond where those of a product's first would.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Step {
    /// In values of A.
    pub a: usize,
    /// In pairs of B.
    pub b: usize,
}

/// `C = sum over steps of A * B` or, where it accumulates, `C += ...`, for two blocks of rows and `N`
/// of columns.
///
/// # Shapes
/// A block of A: `[rows][depth]`, bf16; of B: `[depth / 2][16]`, pairs of bf16; of C: `[rows][16]`,
/// f32; the blocks of C that differ in the columns alone lie side by side
pub struct Product<'a, const N: usize> {
    /// Bits of bf16.
    pub a: &'a [u16],
    /// Where the blocks of A begin.
    pub a_at: [usize; 2],
    /// Values from one row of A to the next.
    pub a_row: usize,
    /// Pairs of bf16.
    pub b: &'a [u32],
    /// Where the blocks of B begin.
    pub b_at: [usize; N],
    /// Pairs from one row of B to the next.
    pub b_row: usize,
    /// Where the first two blocks of each step lie; at least one step.
    pub steps: &'a [Step],
    /// Of f32.
    pub c: &'a mut [f32],
    /// Where the first blocks of C's rows begin. Where both are the same, so must those of A be.
    pub c_at: [usize; 2],
    /// Values from one row of C to the next.
    pub c_row: usize,
    /// Whether the products are added to what C holds.
    pub accumulate: bool,
}

thread_local! {
    /// Whether this thread has a [`Multiplier`].
    static IS_READY: Cell<bool> = const { Cell::new(false) };
}

/// A unit that is ready for blocks of certain sizes. The thread's own, and its only one: a unit may
/// keep its sizes in registers.
pub struct Multiplier {
    unit: Unit,
    sizes: Sizes,
    /// Not to be sent to another thread.
    of_thread: std::marker::PhantomData<*const ()>,
}

impl Unit {
    /// The machine's matrix unit, where it has one that this process may use.
    pub fn detect() -> Option<Self> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        return amx::Amx::detect().map(Self::Amx);
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        None
    }

    /// Makes the unit ready for blocks of these sizes, for as long as the multiplier lives.
    ///
    /// # Panics
    /// If the sizes are too large, the depth is odd, or the thread has a multiplier already.
    pub fn with_sizes(self, sizes: Sizes) -> Multiplier {
        let Sizes { rows, depth } = sizes;
        assert!((1..=SIDE).contains(&rows) && (2..=DEPTH).contains(&depth) && depth.is_multiple_of(2), "{sizes:?}");
        assert!(!IS_READY.replace(true), "a thread has one multiplier at a time");
        match self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx(amx) => amx.configure(sizes),
            Self::Plain => {}
        }
        Multiplier { unit: self, sizes, of_thread: std::marker::PhantomData }
    }
}

impl Multiplier {
    /// Multiplies.
    ///
    /// # Panics
    /// If a block reaches beyond its slice.
    pub fn multiply<const N: usize>(&mut self, product: Product<N>) {
        product.check(self.sizes);
        match self.unit {
            // SAFETY: the blocks lie in their slices; this thread's unit has these sizes, because a
            // multiplier is not sent, and `with_sizes` makes no other on its thread while it lives.
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Unit::Amx(amx) => unsafe { amx.multiply(product) },
            Unit::Plain => plain::multiply(self.sizes, product),
        }
    }
}

impl Drop for Multiplier {
    fn drop(&mut self) {
        match self.unit {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Unit::Amx(amx) => amx.release(),
            Unit::Plain => {}
        }
        IS_READY.set(false);
    }
}

impl<const N: usize> Product<'_, N> {
    fn check(&self, Sizes { rows, depth }: Sizes) {
        const { assert!(N == 1 || N == 2) };
        assert!(!self.steps.is_empty(), "a product has steps");
        let most = |of: fn(&Step) -> usize| self.steps.iter().map(of).max().unwrap_or(0);
        let [a_at, c_at] = [self.a_at, self.c_at].map(|[first, second]| first.max(second));
        let b_at = self.b_at.into_iter().max().unwrap_or(0);
        // Offsets may be any numbers: a sum that wraps would let a block through.
        let end = |first: usize, step: usize, [rows, row]: [usize; 2], last: usize| {
            first.checked_add(step)?.checked_add((rows - 1).checked_mul(row)?)?.checked_add(last)
        };
        let of_a = end(a_at, most(|step| step.a), [rows, self.a_row], depth);
        let of_b = end(b_at, most(|step| step.b), [depth / 2, self.b_row], SIDE);
        let of_c = end(c_at, 0, [rows, self.c_row], N * SIDE);
        assert!(of_a.is_some_and(|end| end <= self.a.len()), "blocks of A lie in it");
        assert!(of_b.is_some_and(|end| end <= self.b.len()), "blocks of B lie in it");
        assert!(of_c.is_some_and(|end| end <= self.c.len()), "blocks of C lie in it");
    }
}
