//! bf16, the upper half of an f32 (8 significant bits), and the dot product of its pairs, as
//! AVX512-BF16 computes them: in plain arithmetic, to the bit.
//!
//! The instructions know no subnormal numbers. One that comes in counts as 0 of its sign, and a
//! result that would be one becomes such a 0. Whether it would be one is decided by the sum as it
//! would be rounded if exponents had no lower bound, so that a sum just below the smallest normal
//! number becomes 0 where f32 would round it up.
//!
//! # Source
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, `VCVTNE2PS2BF16` and
//! `VDPBF16PS`. What it leaves open (where the sum is rounded, and what is tiny) is as measured on
//! Zen 4; `tests/kernels/bf16.rs` compares with whatever the machine has.

use super::{MAX_LANES, Simd};

/// `LANES` pairs of bf16, each in the bits of a lane: the even number of a pair in its lower half,
/// the odd one in its upper half. `V` is the vector [`Simd::F32`].
#[derive(Clone, Copy, Debug)]
pub struct Pairs<V>(pub(crate) V);

const SIGN: u32 = 1 << 31;
/// What makes a NaN a quiet one.
const QUIET: u32 = 1 << 22;

/// `x` as the nearest bf16, ties to even. What lies beyond the largest becomes infinite, a subnormal
/// number 0 of its sign, and NaN stays NaN.
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = if x.is_nan() {
        bits | QUIET
    } else if x.is_subnormal() {
        bits & SIGN
    } else {
        // Half a unit of what is kept, less 1 where that is even already.
        bits + 0x7fff + (bits >> 16 & 1)
    };
    (rounded >> 16) as u16
}

/// The number that a bf16 is.
#[inline(always)]
pub fn from_bf16(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// The pair of two bf16.
#[inline(always)]
pub fn pair(even: u16, odd: u16) -> u32 {
    u32::from(odd) << 16 | u32::from(even)
}

/// [`Simd::pairs`] lane by lane.
#[inline(always)]
pub(super) fn pairs<S: Simd>(s: S, even: S::F32, odd: S::F32) -> Pairs<S::F32> {
    let (even, odd) = (lanes(s, even), lanes(s, odd));
    let pairs = std::array::from_fn(|i| pair(to_bf16(even[i]), to_bf16(odd[i])));
    Pairs(from_lanes(s, pairs))
}

/// [`Simd::store_bf16_ptr`] lane by lane.
///
/// # Safety
/// `to` is valid for writes of `LANES` values.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(s: S, to: *mut u16, v: S::F32) {
    let rounded = lanes(s, v).map(to_bf16);
    // SAFETY: the caller's promise; `rounded` holds at least LANES values.
    unsafe { std::ptr::copy_nonoverlapping(rounded.as_ptr(), to, S::LANES) }
}

/// [`Simd::dot_pairs`] lane by lane.
#[inline(always)]
pub(super) fn dot<S: Simd>(s: S, a: Pairs<S::F32>, b: Pairs<S::F32>, acc: S::F32) -> S::F32 {
    let (a, b, acc) = (lanes(s, a.0), lanes(s, b.0), lanes(s, acc));
    let [even, odd] = [|x: f32| f32::from_bits(x.to_bits() << 16), |x: f32| f32::from_bits(x.to_bits() >> 16 << 16)];
    let of_lane = |i: usize| mul_add(even(a[i]), even(b[i]), mul_add(odd(a[i]), odd(b[i]), acc[i]));
    from_lanes(s, std::array::from_fn(|i| of_lane(i).to_bits()))
}

/// `a * b + c` of numbers of which none counts as subnormal, rounded once.
#[inline(always)]
pub(crate) fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    // So far up that the sum keeps all its bits where it is subnormal down here. Numbers that
    // become infinite up there have sums that are either 0 or far from subnormal.
    const UP: f32 = (1u64 << 32) as f32;
    let [a, b, c] = [a, b, c].map(|x| if x.is_subnormal() { zero_of(x) } else { x });
    let sum = a.mul_add(b, c);
    let is_tiny = (a * UP).mul_add(b, c * UP).abs() < f32::MIN_POSITIVE * UP;
    if is_tiny { zero_of(sum) } else { sum }
}

/// 0 of the sign of `x`.
#[inline(always)]
fn zero_of(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & SIGN)
}

#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::F32) -> [f32; MAX_LANES] {
    let mut lanes = [0.0; MAX_LANES];
    s.store(&mut lanes, v);
    lanes
}

#[inline(always)]
fn from_lanes<S: Simd>(s: S, bits: [u32; MAX_LANES]) -> S::F32 {
    s.load(&bits.map(f32::from_bits))
}
