//! The micro-kernel: a tile of C in registers while the inner dimension runs past.

use crate::simd::Simd;

/// Pointers to the tile's first elements; the strides are those of the [`View`](super::View)s.
pub(super) struct Operands {
    pub segments: usize,
    pub depth: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_col: usize,
    pub a_segment: usize,
    pub b: *const f32,
    pub b_segment: usize,
    pub c: *mut f32,
    /// Values from one row of `b` to the next, and of `c`.
    pub n: usize,
    /// Columns of the tile: `V * LANES`, or fewer than `LANES` where `PART`.
    pub columns: usize,
}

/// What the accumulators start from.
pub(super) enum Start<'a> {
    Zero,
    Bias(&'a [f32]),
    Accumulate,
}

/// A tile of `P` rows by `V` vectors; where `PART`, `V` is 1 and the tile has fewer than `LANES`
/// columns.
///
/// For each k, `V` loads from B and `P` broadcasts from A feed `P * V` FMAs. `ROW` is A's row
/// stride where it is known at compile time, which makes the `P` addresses one register and
/// constants; 0 reads it from `a_row`.
///
/// # Safety
/// For p in 0..P, s in 0..segments, k in 0..depth: `a + p*a_row + s*a_segment + k*a_col` is valid
/// for reads, `b + s*b_segment + k*n` for reads of `columns` values, `c + p*n` for reads and writes
/// of `columns` values. A bias holds at least `columns` values.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const ROW: usize, const P: usize, const V: usize, const PART: bool>(
    s: S,
    o: Operands,
    start: Start,
    relu: bool,
) {
    let row = if ROW == 0 { o.a_row } else { ROW };
    let load = |from: *const f32, v: usize| {
        // SAFETY: v < V, and the caller vouches for `columns` values at every address that is
        // loaded from.
        unsafe { if PART { s.load_part_ptr(from, o.columns) } else { s.load_ptr(from.add(v * S::LANES)) } }
    };

    let mut acc = [[s.zero(); V]; P];
    match start {
        Start::Zero => {}
        Start::Bias(bias) => {
            let bias: [S::F32; V] = std::array::from_fn(|v| load(bias.as_ptr(), v));
            acc = [bias; P];
        }
        Start::Accumulate => {
            for (p, acc) in acc.iter_mut().enumerate() {
                for (v, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: p < P, for which the caller vouches.
                    *acc = load(unsafe { o.c.add(p * o.n) }, v);
                }
            }
        }
    }

    for segment in 0..o.segments {
        // SAFETY: segment < segments, for which the caller vouches.
        let (mut a, mut b) = unsafe { (o.a.add(segment * o.a_segment), o.b.add(segment * o.b_segment)) };
        for _ in 0..o.depth {
            let b_row: [S::F32; V] = std::array::from_fn(|v| load(b, v));
            for (p, acc) in acc.iter_mut().enumerate() {
                // SAFETY: p < P and k < depth, for which the caller vouches.
                let broadcast = s.splat(unsafe { *a.add(p * row) });
                for (acc, &b) in acc.iter_mut().zip(&b_row) {
                    *acc = s.mul_add(broadcast, b, *acc);
                }
            }
            // The last step leaves both pointers past their ends, where they are not read.
            a = a.wrapping_add(o.a_col);
            b = b.wrapping_add(o.n);
        }
    }

    for (p, acc) in acc.iter().enumerate() {
        for (v, &acc) in acc.iter().enumerate() {
            // `max` gives its second operand where one is NaN: a NaN is not hidden.
            let value = if relu { s.max(s.zero(), acc) } else { acc };
            // SAFETY: p < P, v < V, for which the caller vouches.
            unsafe {
                let to = o.c.add(p * o.n);
                if PART { s.store_part_ptr(to, value, o.columns) } else { s.store_ptr(to.add(v * S::LANES), value) }
            }
        }
    }
}
