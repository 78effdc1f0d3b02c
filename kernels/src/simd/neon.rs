//! NEON: 4 lanes, 32 registers. Part of every aarch64 processor that Rust's targets name.

use super::{Sealed, Simd};
use std::arch::aarch64::*;

/// Proof that NEON exists here.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    /// The token, where the processor has the instructions.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Sealed for Neon {}

impl Simd for Neon {
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    type F32 = float32x4_t;
    type Mask = uint32x4_t;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        proven!(vdupq_n_f32(x))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller's promise; the instruction allows any alignment.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: the caller's promise; the instruction allows any alignment.
        unsafe { vst1q_f32(to, v) }
    }
    #[inline(always)]
    unsafe fn load_u8_ptr(self, from: *const u8) -> float32x4_t {
        // SAFETY: the caller's promise: 4 bytes, read as an array, so of any alignment.
        let bytes = unsafe { from.cast::<[u8; 4]>().read() };
        proven!(vcvtq_f32_u32(vld1q_u32(bytes.map(u32::from).as_ptr())))
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        proven!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // Not vmaxq, which returns NaN where either is NaN.
        self.select(self.gt(a, b), a, b)
    }
    #[inline(always)]
    fn sqrt(self, v: float32x4_t) -> float32x4_t {
        proven!(vsqrtq_f32(v))
    }
    #[inline(always)]
    fn gt(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        proven!(vcgtq_f32(a, b))
    }
    #[inline(always)]
    fn eq(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        proven!(vceqq_f32(a, b))
    }
    #[inline(always)]
    fn select(self, mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        proven!(vbslq_f32(mask, a, b))
    }
}
