//! What a matrix unit computes, in plain arithmetic, to the bit.

use super::{Product, SIDE, Sizes};
use crate::simd::bf16::{from_bf16, mul_add};

/// `a + b`, rounded as a unit rounds.
fn add(a: f32, b: f32) -> f32 {
    mul_add(1.0, a, b)
}

/// Multiplies.
///
/// # Panics
/// If a block reaches beyond its slice.
pub(super) fn multiply<const N: usize>(Sizes { rows, depth }: Sizes, product: Product<N>) {
    let Product { a, a_at, a_row, b, b_at, b_row, steps, c, c_at, c_row, accumulate } = product;
    // Blocks that are the same one are computed once, as if from the same start.
    let blocks = if c_at[0] == c_at[1] { 1 } else { 2 };
    for (a_at, c_at) in a_at.into_iter().zip(c_at).take(blocks) {
        for (row, column) in (0..rows).flat_map(|row| (0..N * SIDE).map(move |column| (row, column))) {
            let c = &mut c[c_at + row * c_row + column];
            let mut total = if accumulate { *c } else { 0.0 };
            for step in steps {
                let a = &a[a_at + step.a + row * a_row..][..depth];
                let [mut even, mut odd] = [0.0; 2];
                for (pair, a) in a.as_chunks::<2>().0.iter().enumerate() {
                    let b = b[b_at[column / SIDE] + step.b + pair * b_row + column % SIDE];
                    even = mul_add(from_bf16(a[0]), from_bf16(b as u16), even);
                    odd = mul_add(from_bf16(a[1]), from_bf16((b >> 16) as u16), odd);
                }
                total = add(add(even, odd), total);
            }
            *c = total;
        }
    }
}
