//! Tasks that write to parts of the same slices.

use std::marker::PhantomData;
use std::ops::Range;

/// Runs `work(task, its part of each slice, its part of the sums)` for every task, in parallel.
///
/// The tasks' parts lie one after the other: `starts(i)` says where those of task `i` begin.
pub(crate) fn each_task<const K: usize>(
    tasks: Range<usize>,
    slices: [&mut [f32]; K],
    sums: &mut [f64],
    starts: &(impl Fn(usize) -> ([usize; K], usize) + Sync),
    work: &(impl Fn(usize, [&mut [f32]; K], &mut [f64]) + Sync),
) {
    if tasks.len() <= 1 {
        if !tasks.is_empty() {
            work(tasks.start, slices, sums);
        }
        return;
    }
    let middle = tasks.start + tasks.len() / 2;
    let (at, base) = (starts(middle), starts(tasks.start));
    let (mut left, mut right) = ([(); K].map(|()| <&mut [f32]>::default()), [(); K].map(|()| <&mut [f32]>::default()));
    for (k, slice) in slices.into_iter().enumerate() {
        (left[k], right[k]) = slice.split_at_mut(at.0[k] - base.0[k]);
    }
    let (left_sums, right_sums) = sums.split_at_mut(at.1 - base.1);
    rayon::join(
        || each_task(tasks.start..middle, left, left_sums, starts, work),
        || each_task(middle..tasks.end, right, right_sums, starts, work),
    );
}

/// A matrix whose columns are written by several tasks, each of which has some of them.
pub(crate) struct Columns<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    of: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is an exclusive borrow of f32 values, which are Send; whoever takes a part promises
// that no other task has it.
unsafe impl Sync for Columns<'_> {}
// SAFETY: as above.
unsafe impl Send for Columns<'_> {}

impl<'a> Columns<'a> {
    /// `columns` values in each of its rows.
    pub fn new(matrix: &'a mut [f32], columns: usize) -> Self {
        Self { start: matrix.as_mut_ptr(), rows: matrix.len() / columns, columns, of: PhantomData }
    }

    /// Columns `first` to `first + count` of a row.
    ///
    /// # Safety
    /// While the part is in use, no other of the row overlaps it.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that the parts are disjoint")]
    pub unsafe fn part(&self, row: usize, first: usize, count: usize) -> &mut [f32] {
        assert!(row < self.rows && first <= self.columns && count <= self.columns - first);
        // SAFETY: the part lies inside the matrix, which is borrowed for as long as `self` is; the
        // caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.columns + first), count) }
    }
}
