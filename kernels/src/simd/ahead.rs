//! Memory that a later pass will read, prefetched while the present one computes.

use super::Simd;
use crate::buffer::VALUES_PER_LINE;

/// What will be read next.
///
/// Hardware prefetchers follow a stream only once it is read, and a pass that does little
/// arithmetic then waits for memory. A kernel that is bound by arithmetic has loads to spare, and
/// prefetches a line now and then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead<'a>(pub [&'a [f32]; 3]);

/// Some lines of an [`Ahead`], prefetched one by one without a branch: a loop that is full of
/// accumulators has no register to spare for a count.
pub(crate) struct Lines {
    next: *const f32,
    step: usize,
}

impl Ahead<'_> {
    /// The next `count` lines, or the last ones and what lies behind them; where none are left, a
    /// single line again and again.
    #[inline(always)]
    pub fn take(&mut self, count: usize) -> Lines {
        let [first, second, third] = self.0;
        let lines = Lines { next: first.as_ptr(), step: if first.is_empty() { 0 } else { VALUES_PER_LINE } };
        match first.get(count * VALUES_PER_LINE..) {
            Some(rest) if !rest.is_empty() => self.0[0] = rest,
            _ => self.0 = [second, third, &[]],
        }
        lines
    }

    /// Prefetches the next `count` lines.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&mut self, s: S, count: usize) {
        if self.0[0].is_empty() {
            return;
        }
        let mut lines = self.take(count);
        for _ in 0..count {
            lines.prefetch(s);
        }
    }
}

impl Lines {
    /// Prefetches the next line.
    #[inline(always)]
    pub fn prefetch<S: Simd>(&mut self, s: S) {
        s.prefetch(self.next);
        self.next = self.next.wrapping_add(self.step);
    }
}
