//! Memory for values, aligned to cache lines.
//!
//! A vector of 64 bytes that starts elsewhere lies on two lines, and every load and store of it
//! costs two accesses.

use bytemuck::{Pod, Zeroable};
use std::ops::{Deref, DerefMut};

/// A growable `[f32]` that starts on a cache line.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; VALUES_PER_LINE]);

/// Values on a cache line.
pub(crate) const VALUES_PER_LINE: usize = 16;

impl Buffer {
    /// A buffer of `len` zeros.
    pub fn new(len: usize) -> Self {
        Self { lines: vec![Line([0.0; VALUES_PER_LINE]); len.div_ceil(VALUES_PER_LINE)], len }
    }

    /// Changes the length; the values are unspecified afterwards. Allocates only beyond the largest
    /// length so far.
    pub fn resize(&mut self, len: usize) {
        if self.lines.len() * VALUES_PER_LINE < len {
            let lines = len.div_ceil(VALUES_PER_LINE);
            // A vector would take twice what it had, and a buffer grows a few times at most.
            self.lines.reserve_exact(lines - self.lines.len());
            self.lines.resize(lines, Line([0.0; VALUES_PER_LINE]));
        }
        self.len = len;
    }

    /// The bytes that a buffer of `len` values claims.
    pub const fn bytes(len: usize) -> usize {
        len.div_ceil(VALUES_PER_LINE).saturating_mul(size_of::<Line>())
    }

    /// [Resizes](Self::resize) the buffer and lends its values.
    pub(crate) fn sized(&mut self, len: usize) -> &mut [f32] {
        self.resize(len);
        self
    }
}

/// The first `len` values, which are unspecified; where there are fewer, more are allocated.
pub(crate) fn sized(values: &mut Vec<f64>, len: usize) -> &mut [f64] {
    if values.len() < len {
        values.resize(len, 0.0);
    }
    &mut values[..len]
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Self::default();
        buffer.resize(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}
