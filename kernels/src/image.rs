//! From an image's bytes to the numbers that a network takes, and their layout.

use crate::simd::{Isa, Kernel, Simd, VALUES_PER_TASK};
use rayon::prelude::*;

/// `y = x * scale`; with `scale = 1.0 / 255.0`, 0 to 1.
///
/// # Shapes
/// `x`: any u8; `y`: as many f32, overwritten
/// # Accuracy
/// One rounding: within 0.5 ulp of the product, which for 1/255 is within 1.5 ulp of the quotient.
/// # Panics
/// If the lengths differ.
pub fn u8_to_f32(isa: Isa, x: &[u8], scale: f32, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    x.par_chunks(VALUES_PER_TASK)
        .zip(y.par_chunks_mut(VALUES_PER_TASK))
        .for_each(|(x, y)| isa.run(U8ToF32 { x, scale, y }));
}

/// Makes one pixel of each square of `block` x `block` pixels, with the channels of all of them, row by row;
/// `of` is what becomes of a value.
///
/// ONNX's `SpaceToDepth`, with the channels last.
///
/// # Shapes
/// `x`: `[n, h, w, c]`; `y`: `[n, h / block, w / block, block, block, c]`, overwritten; `[h, w, c]` is `image`
/// # Panics
/// If the lengths differ, `x` does not hold whole images, or `block` does not divide `h` and `w`.
pub fn space_to_depth<T, U>([h, w, c]: [usize; 3], block: usize, x: &[T], y: &mut [U], of: impl Fn(T) -> U + Sync)
where
    T: Copy + Sync,
    U: Send,
{
    assert_eq!(x.len(), y.len(), "x and y");
    assert!(block > 0 && h.is_multiple_of(block) && w.is_multiple_of(block), "squares of {block} in {h} x {w}");
    let (row, run) = (w * c, block * c);
    if x.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(h * row), "{} values in images of {h} x {w} x {c}", x.len());
    // A band of squares keeps its place: only the order within it changes.
    let bands = x.par_chunks_exact(block * row).zip(y.par_chunks_exact_mut(block * row));
    bands.for_each(|(x, y)| {
        for (dy, x) in x.chunks_exact(row).enumerate() {
            let squares = y.chunks_exact_mut(block * run);
            for (y, x) in squares.zip(x.chunks_exact(run)) {
                y[dy * run..][..run].iter_mut().zip(x).for_each(|(y, &x)| *y = of(x));
            }
        }
    });
}

/// The conversion of a block, or of a row.
pub(crate) struct U8ToF32<'a> {
    pub x: &'a [u8],
    pub scale: f32,
    pub y: &'a mut [f32],
}

impl Kernel for U8ToF32<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let scale = s.splat(self.scale);
        for (x, y) in self.x.chunks(S::LANES).zip(self.y.chunks_mut(S::LANES)) {
            s.store_part(y, s.mul(s.load_u8_part(x), scale));
        }
    }
}
