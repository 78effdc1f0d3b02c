//! The loop of every kernel that works element by element.

use super::Simd;

/// The number of values that a task of an element-wise kernel takes: 32 kB, large beside the cost
/// of a dispatch, and small enough to stay in the first two levels of cache until it is read again.
pub(crate) const VALUES_PER_TASK: usize = 8 * 1024;

/// Sets the outputs, vector by vector, to `f(vectors of the inputs, old vectors of the outputs)`.
///
/// The elements that no whole vector holds go through padded ones, so that there is one body for
/// all. `f` is written `#[inline(always)] |..| ..`: see [`super`].
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub(crate) fn map<S: Simd, const IN: usize, const OUT: usize>(
    s: S,
    inputs: [&[f32]; IN],
    outputs: [&mut [f32]; OUT],
    f: impl Fn([S::F32; IN], [S::F32; OUT]) -> [S::F32; OUT],
) {
    let len = outputs[0].len();
    for input in &inputs {
        assert_eq!(input.len(), len);
    }
    for output in &outputs {
        assert_eq!(output.len(), len);
    }
    // Indexed loops over IN and OUT: they unroll completely, and the arrays of vectors stay in
    // registers.
    let (mut x, mut y) = ([s.zero(); IN], [s.zero(); OUT]);
    let whole = len / S::LANES * S::LANES;
    let mut at = 0;
    while at < whole {
        for k in 0..IN {
            x[k] = s.load(&inputs[k][at..at + S::LANES]);
        }
        for k in 0..OUT {
            y[k] = s.load(&outputs[k][at..at + S::LANES]);
        }
        y = f(x, y);
        for k in 0..OUT {
            s.store(&mut outputs[k][at..at + S::LANES], y[k]);
        }
        at += S::LANES;
    }
    if whole < len {
        for k in 0..IN {
            x[k] = s.load_part(&inputs[k][whole..]);
        }
        for k in 0..OUT {
            y[k] = s.load_part(&outputs[k][whole..]);
        }
        y = f(x, y);
        for k in 0..OUT {
            s.store_part(&mut outputs[k][whole..], y[k]);
        }
    }
}
