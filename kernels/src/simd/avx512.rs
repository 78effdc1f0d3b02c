//! AVX-512: 16 lanes, 32 registers; with AVX512-BF16 or without.

use super::{Pairs, Sealed, Simd, bf16};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Proof that AVX-512 F, BW, DQ and VL, AVX2 and FMA exist here, and AVX512-BF16 where `BF16`.
#[derive(Clone, Copy, Debug)]
pub struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// The token, where the processor has the instructions.
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!BF16 || is_x86_feature_detected!("avx512bf16"));
        there.then_some(Self(()))
    }
}

impl<const BF16: bool> Sealed for Avx512<BF16> {}

impl<const BF16: bool> Simd for Avx512<BF16> {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type F32 = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        proven!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> __m512 {
        // SAFETY: the caller's promise; the instruction allows any alignment.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, v: __m512) {
        // SAFETY: the caller's promise; the instruction allows any alignment.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn load_part_ptr(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: the caller's promise; the lanes that the mask leaves out are not accessed.
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }
    #[inline(always)]
    unsafe fn store_part_ptr(self, to: *mut f32, v: __m512, count: usize) {
        // SAFETY: the caller's promise; the lanes that the mask leaves out are not accessed.
        unsafe { _mm512_mask_storeu_ps(to, first(count), v) }
    }
    #[inline(always)]
    unsafe fn load_u8_ptr(self, from: *const u8) -> __m512 {
        // SAFETY: the caller's promise: 16 bytes, any alignment.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    fn prefetch(self, line: *const f32) {
        // Into the L2 cache: what is asked for this early would push out of L1 what is in use.
        // A prefetch never faults, whatever the address.
        proven!(_mm_prefetch::<_MM_HINT_T1>(line.cast()))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, v: __m512) -> __m512 {
        proven!(_mm512_sqrt_ps(v))
    }
    #[inline(always)]
    fn gt(self, a: __m512, b: __m512) -> __mmask16 {
        proven!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m512, b: __m512) -> __mmask16 {
        proven!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mask_blend_ps(mask, b, a))
    }
    #[inline(always)]
    fn pairs(self, even: __m512, odd: __m512) -> Pairs<__m512> {
        if !BF16 {
            return bf16::pairs(self, even, odd);
        }
        // SAFETY: `self` proves that the instructions exist. `EVEN_ODD` holds 32 values, and vectors
        // of 512 bits may have any bits.
        unsafe {
            let even_then_odd = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(odd, even));
            let order = _mm512_loadu_epi16(EVEN_ODD.as_ptr());
            Pairs(_mm512_castsi512_ps(_mm512_permutexvar_epi16(order, even_then_odd)))
        }
    }
    #[inline(always)]
    fn dot_pairs(self, a: Pairs<__m512>, b: Pairs<__m512>, acc: __m512) -> __m512 {
        if !BF16 {
            return bf16::dot(self, a, b, acc);
        }
        // SAFETY: `self` proves that the instruction exists; vectors of 512 bits may have any bits.
        unsafe { _mm512_dpbf16_ps(acc, transmute::<__m512, __m512bh>(a.0), transmute::<__m512, __m512bh>(b.0)) }
    }
    #[inline(always)]
    unsafe fn store_bf16_ptr(self, to: *mut u16, v: __m512) {
        // SAFETY: the caller's promise, 16 values of any alignment; where BF16, `self` proves that
        // the instruction exists.
        unsafe {
            if !BF16 {
                return bf16::store(self, to, v);
            }
            to.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(v));
        }
    }
    #[inline(always)]
    unsafe fn store_transposed_ptr(self, to: *mut u32, to_row: usize, rows: &[Pairs<__m512>; 16]) {
        // Loops, not closures: nothing says of a closure in an array's constructor that it is inlined.
        // Of each four rows, the squares of 4 x 4 that lie side by side in their quarters: `quads[i][j]`
        // has column i of each square of rows 4j to 4j + 3.
        let mut quads = [[proven!(_mm512_setzero_ps()); 4]; 4];
        for j in 0..4 {
            let [a, b, c, d] = [rows[4 * j].0, rows[4 * j + 1].0, rows[4 * j + 2].0, rows[4 * j + 3].0];
            let low = [proven!(_mm512_unpacklo_ps(a, b)), proven!(_mm512_unpacklo_ps(c, d))];
            let high = [proven!(_mm512_unpackhi_ps(a, b)), proven!(_mm512_unpackhi_ps(c, d))];
            quads[0][j] = proven!(_mm512_shuffle_ps::<0b01_00_01_00>(low[0], low[1]));
            quads[1][j] = proven!(_mm512_shuffle_ps::<0b11_10_11_10>(low[0], low[1]));
            quads[2][j] = proven!(_mm512_shuffle_ps::<0b01_00_01_00>(high[0], high[1]));
            quads[3][j] = proven!(_mm512_shuffle_ps::<0b11_10_11_10>(high[0], high[1]));
        }
        for (i, &[a, b, c, d]) in quads.iter().enumerate() {
            // The quarters of four vectors are a square of 4 x 4 themselves.
            let even = [
                proven!(_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b)),
                proven!(_mm512_shuffle_f32x4::<0b10_00_10_00>(c, d)),
            ];
            let odd = [
                proven!(_mm512_shuffle_f32x4::<0b11_01_11_01>(a, b)),
                proven!(_mm512_shuffle_f32x4::<0b11_01_11_01>(c, d)),
            ];
            let columns = [
                proven!(_mm512_shuffle_f32x4::<0b10_00_10_00>(even[0], even[1])),
                proven!(_mm512_shuffle_f32x4::<0b10_00_10_00>(odd[0], odd[1])),
                proven!(_mm512_shuffle_f32x4::<0b11_01_11_01>(even[0], even[1])),
                proven!(_mm512_shuffle_f32x4::<0b11_01_11_01>(odd[0], odd[1])),
            ];
            for (quarter, column) in columns.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { _mm512_storeu_ps(to.add((4 * quarter + i) * to_row).cast(), column) }
            }
        }
    }
}

/// The mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    debug_assert!(count <= 16);
    ((1u32 << count) - 1) as __mmask16
}

/// Where 16 even numbers and then 16 odd ones come from in pairs of them.
const EVEN_ODD: [i16; 32] = {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 32 {
        order[i] = (i / 2 + i % 2 * 16) as i16;
        i += 1;
    }
    order
};
