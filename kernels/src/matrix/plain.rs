//! What a matrix unit computes, in plain arithmetic, to the bit.

use super::{Product, SIDE, Sizes};
use crate::simd::bf16::{from_bf16, mul_add};
use crate::simd::{Isa, Kernel, Simd};
use std::sync::LazyLock;

/// Multiplies.
///
/// # Panics
/// If a block reaches beyond its slice.
pub(super) fn multiply<const N: usize>(sizes: Sizes, product: Product<N>) {
    // All sets have the same bits; without FMA every product would be a call.
    static BEST: LazyLock<Isa> = LazyLock::new(|| Isa::available()[0]);
    BEST.run(Multiply(sizes, product));
}

/// `a + b`, rounded as a unit rounds.
#[inline(always)]
fn add(a: f32, b: f32) -> f32 {
    mul_add(1.0, a, b)
}

struct Multiply<'a, const N: usize>(Sizes, Product<'a, N>);

impl<const N: usize> Kernel for Multiply<'_, N> {
    type Output = ();

    /// The columns of a block are the lanes: the compiler makes vectors of the loops over them.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self(Sizes { rows, depth }, product) = self;
        let Product { a, a_at, a_row, b, b_at, b_row, steps, c, c_at, c_row, accumulate } = product;
        // Blocks that are the same one are computed once, as if from the same start.
        let blocks = if c_at[0] == c_at[1] { 1 } else { 2 };
        for (a_at, c_at) in a_at.into_iter().zip(c_at).take(blocks) {
            for (row, block) in (0..rows).flat_map(|row| (0..N).map(move |block| (row, block))) {
                let c = &mut c[c_at + row * c_row + block * SIDE..][..SIDE];
                let mut totals = [0.0; SIDE];
                if accumulate {
                    totals.copy_from_slice(c);
                }
                for step in steps {
                    let a = &a[a_at + step.a + row * a_row..][..depth];
                    let [mut evens, mut odds] = [[0.0; SIDE]; 2];
                    for (pair, a) in a.as_chunks::<2>().0.iter().enumerate() {
                        let b = &b[b_at[block] + step.b + pair * b_row..][..SIDE];
                        for ((even, odd), b) in evens.iter_mut().zip(&mut odds).zip(b) {
                            *even = mul_add(from_bf16(a[0]), from_bf16(*b as u16), *even);
                            *odd = mul_add(from_bf16(a[1]), from_bf16((*b >> 16) as u16), *odd);
                        }
                    }
                    for ((total, even), odd) in totals.iter_mut().zip(evens).zip(odds) {
                        *total = add(add(even, odd), *total);
                    }
                }
                c.copy_from_slice(&totals);
            }
        }
    }
}
