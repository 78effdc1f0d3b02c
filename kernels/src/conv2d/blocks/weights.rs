//! The weights of a correlation, block by block: `[to/16][kh][blocks][depth/2][16]`, pairs of inputs
//! that follow each other in a kernel row.

use super::depth;
use crate::conv2d::{Conv2dShape, Conv2dSizes};
use crate::matrix::SIDE;
use crate::precision::Precision;
use crate::simd::{Isa, Kernel, MAX_LANES, Pairs, Simd};
use rayon::prelude::*;

/// Values of f32 in whose place the pairs of the arranged weights lie.
pub(in super::super) fn arranged_len([kh, kw]: [usize; 2], from: usize, to: usize) -> usize {
    kh * kernel_row_len(kw, from) / SIDE * to
}

/// Pairs of a kernel row's weights to a block of outputs.
fn kernel_row_len(kw: usize, from: usize) -> usize {
    let [depth, blocks] = depth(kw, from);
    blocks * depth / 2 * SIDE
}

/// The weights of the forward pass, from `[kh][kw][ic][oc]`.
pub(in super::super) fn arrange_forward(isa: Isa, shape: &Conv2dShape, w: &[f32], to: &mut [f32]) {
    let Conv2dSizes { ic, oc, kh, kw, .. } = **shape;
    let to: &mut [u32] = bytemuck::cast_slice_mut(to);
    to.par_chunks_exact_mut(kernel_row_len(kw, ic)).enumerate().for_each(|(row, to)| {
        let (block, u) = (row / kh, row % kh);
        let w = &w[u * kw * ic * oc..][..kw * ic * oc];
        isa.run(InputPairs { w, oc, o: block * SIDE, to });
    });
}

/// The weights of the correlation to the input's gradient, flipped in both directions, their channels
/// exchanged, from `[kh][kw][ic][oc]`.
pub(in super::super) fn arrange_backward_x(isa: Isa, shape: &Conv2dShape, w: &[f32], to: &mut [f32]) {
    let Conv2dSizes { ic, oc, kh, kw, .. } = **shape;
    let to: &mut [u32] = bytemuck::cast_slice_mut(to);
    let of_tap = oc / 2 * SIDE;
    to.par_chunks_exact_mut(of_tap).enumerate().for_each(|(place, to)| {
        let (block, tap) = (place / (kh * kw), kh * kw - 1 - place % (kh * kw));
        let w = &w[(tap * ic + block * SIDE) * oc..][..SIDE * oc];
        isa.run(OutputPairs { w, oc, to });
    });
}

/// `to[i/2] = (w[i], w[i+1])`, each for 16 outputs; 0 for inputs that are not there.
struct InputPairs<'a> {
    /// `[inputs][oc]`.
    w: &'a [f32],
    oc: usize,
    /// The first output.
    o: usize,
    to: &'a mut [u32],
}

impl Kernel for InputPairs<'_> {
    type Output = ();
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { w, oc, o, to } = self;
        for (pair, to) in to.chunks_exact_mut(SIDE).enumerate() {
            for lane in (0..SIDE).step_by(S::LANES) {
                let value = |i: usize| if i * oc < w.len() { s.load(&w[i * oc + o + lane..]) } else { s.zero() };
                let pairs = s.pairs(value(2 * pair), value(2 * pair + 1));
                // SAFETY: lane + LANES <= 16, the length of `to`.
                unsafe { s.store_pairs_ptr(to.as_mut_ptr().add(lane), pairs) }
            }
        }
    }
}

/// `to[o/2][i] = (w[i][o], w[i][o+1])` for 16 inputs.
struct OutputPairs<'a> {
    /// `[16][oc]`, `oc` a multiple of 16.
    w: &'a [f32],
    oc: usize,
    /// `[oc/2][16]`.
    to: &'a mut [u32],
}

impl Kernel for OutputPairs<'_> {
    type Output = ();
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const { assert!(S::LANES <= MAX_LANES && SIDE == MAX_LANES) };
        let Self { w, oc, to } = self;
        assert!(w.len() == SIDE * oc && to.len() == oc / 2 * SIDE && oc.is_multiple_of(SIDE));
        for pair in (0..oc / 2).step_by(S::LANES) {
            for i in (0..SIDE).step_by(S::LANES) {
                let mut rows = [Pairs(s.zero()); MAX_LANES];
                for (k, row) in rows.iter_mut().enumerate().take(S::LANES) {
                    let w = &w[(i + k) * oc + 2 * pair..][..(2 * S::LANES).min(oc - 2 * pair)];
                    let mut pairs = [0u32; MAX_LANES];
                    for half in 0..w.len() / S::LANES {
                        // SAFETY: `pairs` has room for two vectors of bf16, of which half < 2.
                        unsafe {
                            let to = pairs.as_mut_ptr().cast::<u16>().add(half * S::LANES);
                            s.store_bf16_ptr(to, s.load(&w[half * S::LANES..]));
                        }
                    }
                    // SAFETY: `pairs` holds LANES pairs.
                    *row = unsafe { s.load_pairs_ptr(pairs.as_ptr()) };
                }
                if pair + S::LANES <= oc / 2 {
                    // SAFETY: pair + LANES <= oc / 2 rows of 16 values, i + LANES <= 16.
                    unsafe { s.store_transposed_ptr(to.as_mut_ptr().add(pair * SIDE + i), SIDE, &rows) }
                } else {
                    // 16 outputs are 8 pairs, half a square of AVX-512.
                    let mut square = [0u32; MAX_LANES * MAX_LANES];
                    // SAFETY: the square has LANES rows of 16 values.
                    unsafe { s.store_transposed_ptr(square.as_mut_ptr(), MAX_LANES, &rows) }
                    for (to, square) in to[pair * SIDE..].chunks_exact_mut(SIDE).zip(square.chunks_exact(MAX_LANES)) {
                        to[i..i + S::LANES].copy_from_slice(&square[..S::LANES]);
                    }
                }
            }
        }
    }
}
