//! The fallback everywhere: 8 lanes over `wide`, which picks its instructions at compile time (SSE2
//! on a baseline x86-64 build). It needs no proof, so its token is free to make.

use super::{Sealed, Simd};
use wide::f32x8;

/// Vectors of the crate `wide`.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Sealed for Portable {}

impl Simd for Portable {
    const LANES: usize = 8;
    // 16 SSE2 registers of 4 lanes hold 8 of these vectors.
    const REGISTERS: usize = 8;
    type F32 = f32x8;
    type Mask = f32x8;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> f32x8 {
        // SAFETY: the caller's promise: 8 values, aligned as an f32 is.
        f32x8::new(unsafe { from.cast::<[f32; 8]>().read() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, v: f32x8) {
        // SAFETY: the caller's promise: 8 values, aligned as an f32 is.
        unsafe { to.cast::<[f32; 8]>().write(v.to_array()) }
    }
    #[inline(always)]
    unsafe fn load_u8_ptr(self, from: *const u8) -> f32x8 {
        // SAFETY: the caller's promise: 8 bytes.
        f32x8::new(unsafe { from.cast::<[u8; 8]>().read() }.map(f32::from))
    }
    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b).select(a, b)
    }
    #[inline(always)]
    fn sqrt(self, v: f32x8) -> f32x8 {
        v.sqrt()
    }
    #[inline(always)]
    fn gt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b)
    }
    #[inline(always)]
    fn eq(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn select(self, mask: f32x8, a: f32x8, b: f32x8) -> f32x8 {
        mask.select(a, b)
    }
}
