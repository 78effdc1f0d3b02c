//! Working memory that a thread keeps from one task to the next.
//!
//! Fresh pages cost more than the arithmetic done in them, so a task never allocates: it borrows a
//! buffer from its thread, which grows to the largest size asked for and stays.

use crate::buffer::Buffer;
use std::cell::RefCell;

thread_local! {
    static BUFFERS: RefCell<Vec<Buffer>> = RefCell::default();
}

/// Lends `work` a buffer of `len` values, aligned to a cache line, whose content is unspecified
/// (whatever the previous task left there). `work` may borrow another: each depth has its own.
pub(crate) fn with<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut buffer = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.resize(len);
    let result = work(&mut buffer);
    BUFFERS.with_borrow_mut(|buffers| buffers.push(buffer));
    result
}
