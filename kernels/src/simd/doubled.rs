//! Two vectors as one: the shape of AVX-512, sixteen lanes and thirty-two registers, on machines that
//! have no such instructions, so that the paths chosen by that shape are tested there, too.
//!
//! Only tests want it (feature `doubled`): its tiles do not fit the registers, so it is slow.

use super::{Sealed, Simd};

/// Twice the lanes of `S`.
#[derive(Clone, Copy, Debug)]
pub struct Doubled<S>(pub(super) S);

/// An operation of both halves.
macro_rules! both {
    ($self:ident.$op:ident($($v:ident),+)) => {
        [$self.0.$op($($v[0]),+), $self.0.$op($($v[1]),+)]
    };
}

impl<S: Simd> Sealed for Doubled<S> {}

impl<S: Simd> Simd for Doubled<S> {
    const LANES: usize = 2 * S::LANES;
    const REGISTERS: usize = 32;
    type F32 = [S::F32; 2];
    type Mask = [S::Mask; 2];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [self.0.splat(x); 2]
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> Self::F32 {
        // SAFETY: the caller's promise: both halves are valid.
        unsafe { [self.0.load_ptr(from), self.0.load_ptr(from.add(S::LANES))] }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, [low, high]: Self::F32) {
        // SAFETY: the caller's promise: both halves are valid.
        unsafe {
            self.0.store_ptr(to, low);
            self.0.store_ptr(to.add(S::LANES), high);
        }
    }
    #[inline(always)]
    unsafe fn load_part_ptr(self, from: *const f32, count: usize) -> Self::F32 {
        let low = count.min(S::LANES);
        // SAFETY: the caller's promise; the halves are parts of what it is about.
        unsafe { [self.0.load_part_ptr(from, low), self.0.load_part_ptr(from.add(low), count - low)] }
    }
    #[inline(always)]
    unsafe fn store_part_ptr(self, to: *mut f32, v: Self::F32, count: usize) {
        let low = count.min(S::LANES);
        // SAFETY: the caller's promise; the halves are parts of what it is about.
        unsafe {
            self.0.store_part_ptr(to, v[0], low);
            self.0.store_part_ptr(to.add(low), v[1], count - low);
        }
    }
    #[inline(always)]
    unsafe fn load_u8_ptr(self, from: *const u8) -> Self::F32 {
        // SAFETY: the caller's promise: both halves are valid.
        unsafe { [self.0.load_u8_ptr(from), self.0.load_u8_ptr(from.add(S::LANES))] }
    }
    #[inline(always)]
    fn prefetch(self, line: *const f32) {
        self.0.prefetch(line);
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        both!(self.add(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        both!(self.sub(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        both!(self.mul(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        both!(self.div(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        both!(self.mul_add(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        both!(self.max(a, b))
    }
    #[inline(always)]
    fn sqrt(self, v: Self::F32) -> Self::F32 {
        both!(self.sqrt(v))
    }
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        both!(self.gt(a, b))
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        both!(self.eq(a, b))
    }
    #[inline(always)]
    fn select(self, [low, high]: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        [self.0.select(low, a[0], b[0]), self.0.select(high, a[1], b[1])]
    }
}
