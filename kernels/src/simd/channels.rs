//! Loops over pixels, a vector of channels at a time, so that what belongs to a channel stays in
//! registers.

use super::Simd;

/// Vectors of one group of channels, pixel by pixel: `LANES` channels, or what is left of them
/// where not `WHOLE`.
#[derive(Clone, Copy)]
pub(crate) struct Channels<S, const WHOLE: bool> {
    pub s: S,
    /// Channels of a pixel.
    pub c: usize,
    /// The first of the group.
    pub first: usize,
}

impl<S: Simd, const WHOLE: bool> Channels<S, WHOLE> {
    /// The number of channels in the group.
    #[inline(always)]
    pub fn count(&self) -> usize {
        if WHOLE { S::LANES } else { self.c - self.first }
    }

    /// The group's values of a parameter.
    #[inline(always)]
    pub fn of(&self, parameter: &[f32]) -> S::F32 {
        self.s.load_part(&parameter[self.first..][..self.count()])
    }

    /// The group's values at a pixel of a row.
    ///
    /// # Safety
    /// The row has that pixel.
    #[inline(always)]
    pub unsafe fn load(&self, row: &[f32], pixel: usize) -> S::F32 {
        debug_assert!((pixel + 1) * self.c <= row.len());
        // SAFETY: `first + count <= c`, so the values lie inside the pixel.
        unsafe {
            let from = row.as_ptr().add(pixel * self.c + self.first);
            if WHOLE { self.s.load_ptr(from) } else { self.s.load_part_ptr(from, self.count()) }
        }
    }

    /// Writes the group's values at a pixel of a row.
    ///
    /// # Safety
    /// The row has that pixel.
    #[inline(always)]
    pub unsafe fn store(&self, row: &mut [f32], pixel: usize, v: S::F32) {
        debug_assert!((pixel + 1) * self.c <= row.len());
        // SAFETY: as in `load`, and the row is borrowed mutably.
        unsafe {
            let to = row.as_mut_ptr().add(pixel * self.c + self.first);
            if WHOLE { self.s.store_ptr(to, v) } else { self.s.store_part_ptr(to, v, self.count()) }
        }
    }

    /// Adds the group's values to an array with one value per channel.
    #[inline(always)]
    pub fn add(&self, v: S::F32, to: &mut [f32]) {
        let to = &mut to[self.first..][..self.count()];
        self.s.store_part(to, self.s.add(self.s.load_part(to), v));
    }
}

/// Evaluates `$body` for each group of channels, with `$channels` bound to its [`Channels`].
macro_rules! each_group {
    ($s:expr, $c:expr, $channels:ident => $body:expr) => {
        let (s, c, mut first) = ($s, $c, 0);
        while c - first >= S::LANES {
            let $channels = $crate::simd::Channels::<S, true> { s, c, first };
            $body;
            first += S::LANES;
        }
        if first < c {
            let $channels = $crate::simd::Channels::<S, false> { s, c, first };
            $body;
        }
    };
}

pub(crate) use each_group;
