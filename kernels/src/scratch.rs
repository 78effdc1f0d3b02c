//! Working memory that a thread keeps from one task to the next.
//!
//! Fresh pages cost more than the arithmetic done in them, so a task never allocates: it borrows its thread's buffer,
//! which grows to the largest size asked for and stays.

use std::cell::RefCell;

thread_local! {
    static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends `work` a buffer of `len` values whose content is unspecified (what the task before left there).
///
/// # Panics
/// If called from within `work`: a thread has one buffer. Take one large piece and split it.
pub(crate) fn with<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        work(&mut buffer[..len])
    })
}
