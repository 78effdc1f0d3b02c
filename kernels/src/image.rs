//! Conversion of an image's bytes to the numbers that a network takes.

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
