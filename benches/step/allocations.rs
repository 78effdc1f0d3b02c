//! An allocator that counts: a steady step should ask for no memory at all, and a model for as much
//! as its plan says.
//!
//! The count covers the whole process, so every user of it has a binary of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The system's allocator, with a count of the allocations made while [`during`](Counting::during)
/// runs, and of the bytes that are allocated now.
pub struct Counting {
    counting: AtomicBool,
    count: AtomicUsize,
    live: AtomicUsize,
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
        let (counting, count, live) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { counting, count, live, observe }
    }

    /// The bytes that the process has allocated and not freed.
    #[allow(dead_code, reason = "only the tests ask")]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Returns how often `work` allocated or reallocated, on all threads.
    pub fn during(&self, work: impl FnOnce()) -> usize {
        let before = self.count.load(Ordering::SeqCst);
        self.counting.store(true, Ordering::SeqCst);
        work();
        self.counting.store(false, Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) - before
    }

    fn record(&self, bytes: usize) {
        self.live.fetch_add(bytes, Ordering::Relaxed);
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
        self.record(layout.size());
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.record(layout.size());
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.record(size);
        self.live.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.dealloc(block, layout) }
    }
}
