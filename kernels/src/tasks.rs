//! Tasks that write to parts of the same slices.

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
