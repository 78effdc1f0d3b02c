//! One kernel source, several instruction sets.
//!
//! A kernel is a struct that holds its operands under their names and implements [`Kernel`]: one
//! body, generic over [`Simd`]. An instruction set is a zero-sized token that implements [`Simd`];
//! its field is private, so that only detection at run time ([`Isa`]) can make one, and holding a
//! token proves that the instructions exist.
//!
//! [`Isa::run`] calls the body inside a function that has the `target_feature`s enabled. Everything
//! a kernel calls on the way must be `#[inline(always)]`: a call that is not inlined is compiled
//! without the features, passes vectors through memory, and costs a factor of 70 without any
//! warning. A closure that rayon runs on another thread is such a call, so rayon stays outside and
//! every task dispatches for itself.

/// Calls an intrinsic in a method of a token.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! proven {
    ($e:expr) => {
        // SAFETY: `self` exists, so `detect` found the instructions.
        unsafe { $e }
    };
}

mod ahead;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod bf16;
mod channels;
mod dispatch;
#[cfg(feature = "doubled")]
mod doubled;
mod map;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use crate::precision::Precision;
pub(crate) use ahead::Ahead;
pub use bf16::{Pairs, from_bf16, pair, to_bf16};
pub(crate) use channels::{Channels, each_group};
pub use dispatch::{Isa, UnknownIsa};
pub(crate) use map::{VALUES_PER_TASK, map};
use sealed::Sealed;

/// Cannot be named outside, so only the tokens of this module implement [`Simd`]: unsafe code
/// relies on what they promise.
mod sealed {
    pub trait Sealed {}
}

/// A computation written once for all instruction sets.
///
/// ```
/// use onesheet_kernels::simd::{Isa, Kernel, MAX_LANES, Simd};
///
/// /// The sum of `a[i] * b[i]`.
/// struct Dot<'a> {
///     a: &'a [f32],
///     b: &'a [f32],
/// }
///
/// impl Kernel for Dot<'_> {
///     type Output = f32;
///
///     #[inline(always)]
///     fn run<S: Simd>(self, s: S) -> f32 {
///         let mut sum = s.zero();
///         for (a, b) in self.a.chunks(S::LANES).zip(self.b.chunks(S::LANES)) {
///             // The lanes beyond the last values are 0.
///             sum = s.mul_add(s.load_part(a), s.load_part(b), sum);
///         }
///         let mut lanes = [0.0; MAX_LANES];
///         s.store(&mut lanes, sum);
///         lanes.iter().sum()
///     }
/// }
///
/// let (a, b) = ([2.0; 100], [0.5; 100]);
/// for isa in Isa::available() {
///     assert_eq!(isa.run(Dot { a: &a, b: &b }), 100.0, "{}", isa.name());
/// }
/// ```
pub trait Kernel {
    /// What the computation returns; `()` where it writes into slices.
    type Output;

    /// The precision of its products. Where the processor has instructions for bf16, only a kernel
    /// that says so here gets them; any other would have its pairs computed lane by lane.
    const PRECISION: Precision = Precision::F32;

    /// The body. Implementations are `#[inline(always)]`, and so is all they call with `s`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Vectors of `f32`, and what the kernels do with them. `self` is the proof that the instructions
/// exist.
///
/// [`mul_add`](Simd::mul_add) rounds once except on portable builds without FMA, where it rounds
/// twice; all else is IEEE 754 single precision with round to nearest, lane by lane, so that
/// instruction sets with FMA agree to the bit.
///
/// Pairs of bf16 are the same to the bit on all instruction sets: those of the processor where it has
/// them (AVX512-BF16), else plain arithmetic lane by lane, which is many times slower than f32.
///
/// The trait is sealed: only the tokens of this module implement it.
pub trait Simd: Sealed + Copy + Send + Sync + 'static {
    /// The number of `f32` values in a vector.
    const LANES: usize;
    /// The number of vector registers: what a tile of accumulators may use.
    const REGISTERS: usize;
    /// `LANES` values.
    type F32: Copy;
    /// The result of a comparison, one truth value per lane.
    type Mask: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;
    /// The vector at `from`, aligned as an f32 is.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES` values.
    unsafe fn load_ptr(self, from: *const f32) -> Self::F32;
    /// Writes the vector to `to`, aligned as an f32 is.
    ///
    /// # Safety
    /// `to` is valid for writes of `LANES` values.
    unsafe fn store_ptr(self, to: *mut f32, v: Self::F32);
    /// The first `count` values at `from`; the lanes above are 0.
    ///
    /// # Safety
    /// `count <= LANES`, and `from` is valid for reads of `count` values.
    #[inline(always)]
    unsafe fn load_part_ptr(self, from: *const f32, count: usize) -> Self::F32 {
        const { assert!(Self::LANES <= MAX_LANES) };
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: the caller's promise; `lanes` holds at least LANES values.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            self.load_ptr(lanes.as_ptr())
        }
    }
    /// Writes the first `count` lanes to `to`.
    ///
    /// # Safety
    /// `count <= LANES`, and `to` is valid for writes of `count` values.
    #[inline(always)]
    unsafe fn store_part_ptr(self, to: *mut f32, v: Self::F32, count: usize) {
        const { assert!(Self::LANES <= MAX_LANES) };
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: the caller's promise; `lanes` holds at least LANES values.
        unsafe {
            self.store_ptr(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
    /// `LANES` bytes at `from`, each as the number it is, 0.0 to 255.0.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES` bytes.
    unsafe fn load_u8_ptr(self, from: *const u8) -> Self::F32;

    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The larger of `a` and `b`; `b` where either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The square root.
    fn sqrt(self, v: Self::F32) -> Self::F32;
    /// Where `a > b`; false where either is NaN.
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// Where `a = b`; false where either is NaN.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a` where the mask holds, else `b`.
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;

    /// The pairs (`even[i]`, `odd[i]`), rounded as [`to_bf16`] rounds.
    #[inline(always)]
    fn pairs(self, even: Self::F32, odd: Self::F32) -> Pairs<Self::F32> {
        bf16::pairs(self, even, odd)
    }
    /// `a0 * b0 + (a1 * b1 + acc)` in each lane, where a pair is (`x0`, `x1`). Either product and its
    /// sum are rounded once; subnormal operands and sums count as 0.
    #[inline(always)]
    fn dot_pairs(self, a: Pairs<Self::F32>, b: Pairs<Self::F32>, acc: Self::F32) -> Self::F32 {
        bf16::dot(self, a, b, acc)
    }
    /// The same [`pair`] in every lane.
    #[inline(always)]
    fn splat_pair(self, pair: u32) -> Pairs<Self::F32> {
        Pairs(self.splat(f32::from_bits(pair)))
    }
    /// The pairs at `from`, aligned as a u32 is.
    ///
    /// # Safety
    /// `from` is valid for reads of `LANES` pairs.
    #[inline(always)]
    unsafe fn load_pairs_ptr(self, from: *const u32) -> Pairs<Self::F32> {
        // SAFETY: the caller's promise; a pair has the size and the alignment of an f32.
        Pairs(unsafe { self.load_ptr(from.cast()) })
    }
    /// Writes pairs to `to`, aligned as a u32 is.
    ///
    /// # Safety
    /// `to` is valid for writes of `LANES` pairs.
    #[inline(always)]
    unsafe fn store_pairs_ptr(self, to: *mut u32, pairs: Pairs<Self::F32>) {
        // SAFETY: the caller's promise; a pair has the size and the alignment of an f32.
        unsafe { self.store_ptr(to.cast(), pairs.0) }
    }
    /// Writes the lanes, rounded as [`to_bf16`] rounds, one after the other to `to`, which need not be
    /// aligned: neighbours are pairs.
    ///
    /// # Safety
    /// `to` is valid for writes of `LANES` values.
    #[inline(always)]
    unsafe fn store_bf16_ptr(self, to: *mut u16, v: Self::F32) {
        // SAFETY: the caller's promise.
        unsafe { bf16::store(self, to, v) }
    }

    /// Writes the pairs of a square of `LANES` by `LANES` with rows and columns exchanged: lane `i` of
    /// `rows[k]` to place `k` of row `i` of `to`, whose rows begin `to_row` pairs apart.
    ///
    /// # Safety
    /// Each of the `LANES` rows of `to` is valid for writes of `LANES` pairs; `rows` has `LANES`
    /// vectors that are meant, the first.
    #[inline(always)]
    unsafe fn store_transposed_ptr(self, to: *mut u32, to_row: usize, rows: &[Pairs<Self::F32>; MAX_LANES]) {
        for (k, row) in rows.iter().enumerate().take(Self::LANES) {
            let mut lanes = [0.0; MAX_LANES];
            self.store(&mut lanes, row.0);
            for (i, lane) in lanes.iter().enumerate().take(Self::LANES) {
                // SAFETY: the caller's promise.
                unsafe { to.add(i * to_row + k).write_unaligned(lane.to_bits()) }
            }
        }
    }

    /// Prefetches a cache line that will be read soon, at any address; does nothing where the
    /// instruction set has no such hint.
    #[inline(always)]
    fn prefetch(self, _line: *const f32) {}

    /// The first `LANES` values of `from`.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::F32 {
        let from = &from[..Self::LANES];
        // SAFETY: the slice holds LANES values.
        unsafe { self.load_ptr(from.as_ptr()) }
    }

    /// Writes the vector to the first `LANES` values of `to`.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn store(self, to: &mut [f32], v: Self::F32) {
        let to = &mut to[..Self::LANES];
        // SAFETY: the slice holds LANES values, and it is ours to write.
        unsafe { self.store_ptr(to.as_mut_ptr(), v) }
    }

    /// The first `LANES` bytes of `from` as numbers.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn load_u8(self, from: &[u8]) -> Self::F32 {
        let from = &from[..Self::LANES];
        // SAFETY: the slice holds LANES bytes.
        unsafe { self.load_u8_ptr(from.as_ptr()) }
    }

    /// Up to `LANES` values: all of `from` in the first lanes, 0 in the others.
    ///
    /// # Panics
    /// If there are more.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::F32 {
        if from.len() == Self::LANES {
            return self.load(from);
        }
        assert!(from.len() < Self::LANES);
        // SAFETY: the slice holds that many values, fewer than LANES.
        unsafe { self.load_part_ptr(from.as_ptr(), from.len()) }
    }

    /// Fills `to` from the first lanes.
    ///
    /// # Panics
    /// If it is longer than the vector.
    #[inline(always)]
    fn store_part(self, to: &mut [f32], v: Self::F32) {
        if to.len() == Self::LANES {
            return self.store(to, v);
        }
        assert!(to.len() < Self::LANES);
        // SAFETY: the slice holds that many values, fewer than LANES, and it is ours to write.
        unsafe { self.store_part_ptr(to.as_mut_ptr(), v, to.len()) }
    }

    /// Up to `LANES` bytes as numbers: all of `from` in the first lanes, 0 in the others.
    ///
    /// # Panics
    /// If there are more.
    #[inline(always)]
    fn load_u8_part(self, from: &[u8]) -> Self::F32 {
        if from.len() == Self::LANES {
            return self.load_u8(from);
        }
        let mut padded = [0; MAX_LANES];
        padded[..Self::LANES][..from.len()].copy_from_slice(from);
        self.load_u8(&padded)
    }

    /// The zero vector.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }
}

/// The most lanes of any instruction set here: the size of an array that holds one vector of any of
/// them.
pub const MAX_LANES: usize = 16;
