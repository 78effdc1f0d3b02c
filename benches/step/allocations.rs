//! An allocator that counts: a steady step should ask for no memory at all.
//!
//! The count covers the whole process, so every user of it has a binary of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The system's allocator, with a count of the allocations made while [`during`](Counting::during)
/// runs.
pub struct Counting {
    counting: AtomicBool,
    count: AtomicUsize,
    observe: fn() -> bool,
}

thread_local! {
    /// Whether this thread is in `observe`, whose own allocations are not counted.
    static OBSERVING: Cell<bool> = const { Cell::new(false) };
}

impl Counting {
    /// An allocator that calls `observe` at every allocation, on the allocating thread, to learn
    /// whether it counts; `observe` may itself allocate.
    pub const fn new(observe: fn() -> bool) -> Self {
        Self { counting: AtomicBool::new(false), count: AtomicUsize::new(0), observe }
    }

    /// Returns how often `work` allocated or reallocated, on all threads.
    pub fn during(&self, work: impl FnOnce()) -> usize {
        let before = self.count.load(Ordering::SeqCst);
        self.counting.store(true, Ordering::SeqCst);
        work();
        self.counting.store(false, Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) - before
    }

    fn record(&self) {
        if self.counting.load(Ordering::Relaxed) && !OBSERVING.replace(true) {
            if (self.observe)() {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            OBSERVING.set(false);
        }
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches none of the
// memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.record();
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.record();
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.record();
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.dealloc(block, layout) }
    }
}
