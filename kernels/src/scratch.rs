//! Working memory that a thread keeps from one task to the next.
//!
//! Fresh pages cost more than the arithmetic done in them, so a task never allocates: it borrows its thread's buffer,
//! which grows to the largest size asked for and stays.

use crate::buffer::Buffer;
use std::cell::RefCell;

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::default();
}

/// Lends `work` a buffer of `len` values, aligned to a cache line, whose content is unspecified (what the task before
/// left there).
///
/// # Panics
/// If called from within `work`: a thread has one buffer. Take one large piece and split it.
pub(crate) fn with<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(len);
        work(buffer)
    })
}
