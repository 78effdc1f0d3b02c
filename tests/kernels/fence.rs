//! An allocator that puts every slice of numbers between two pages that nobody may touch: a kernel that
//! reads or writes one lane beside its slices ends the process, as does one that comes back to memory
//! that was freed. What was not written holds NaN.
//!
//! A slice lies at the end of its pages or at their beginning, by turns that have no pattern, so that
//! over many cases both sides are tried. `ONESHEET_FENCE=off` is for sanitizers, whose own allocators
//! watch more closely.
//!
//! # Source
//! The idea is that of Electric Fence (Bruce Perens, 1987).

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::ffi::c_int;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

#[global_allocator]
static FENCE: Fence = Fence;

struct Fence;

impl Fence {
    /// Whether an allocation is fenced: one of f32 or of whole vectors, or a large one. Pages for each
    /// string and each node of the harness would cost more than the tests.
    fn is_for(layout: Layout) -> bool {
        let is_of_numbers = layout.align() == align_of::<f32>() || layout.align() == 64;
        (is_of_numbers || layout.size() >= 512) && layout.align() <= page() && is_on()
    }
}

// SAFETY: what is not fenced is the system's. A fenced allocation is a mapping of its own and lies inside
// its middle pages, at a multiple of its alignment, which divides a page.
unsafe impl GlobalAlloc for Fence {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Self::is_for(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        listen(layout);
        let pages = layout.size().next_multiple_of(page());
        let at = if is_at_end() { (pages - layout.size()) / layout.align() * layout.align() } else { 0 };
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, of which the middle is made ours and filled.
        unsafe {
            let all = libc::mmap(null_mut(), pages + 2 * page(), libc::PROT_NONE, kind, -1, 0);
            if all == libc::MAP_FAILED {
                return null_mut();
            }
            let first = all.cast::<u8>().add(page());
            if libc::mprotect(first.cast(), pages, libc::PROT_READ | libc::PROT_WRITE) != 0 {
                return null_mut();
            }
            first.add(at).write_bytes(0xff, layout.size());
            first.add(at)
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !Self::is_for(layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.dealloc(at, layout) };
        }
        let pages = layout.size().next_multiple_of(page());
        // SAFETY: `alloc` made this mapping, and the allocation begins in the first of its own pages.
        unsafe {
            let first = at.sub(at.addr() % page());
            libc::munmap(first.sub(page()).cast(), pages + 2 * page());
        }
    }
}

fn page() -> usize {
    // SAFETY: a question without arguments.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Whether the next slice lies at the end of its pages: bits of multiples of the golden ratio, so that
/// neither side comes in a rhythm.
fn is_at_end() -> bool {
    static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
    let turn = ALLOCATIONS.fetch_add(1, Ordering::Relaxed) as u64;
    turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1
}

/// Whether there is a fence. The answer of the first allocation holds for all.
fn is_on() -> bool {
    const UNKNOWN: u8 = 0;
    const ON: u8 = 1;
    const OFF: u8 = 2;
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
    let state = STATE.load(Ordering::Relaxed);
    if state != UNKNOWN {
        return state == ON;
    }
    // SAFETY: the name is a C string, and nobody has changed the environment of a process that has
    // allocated nothing yet. std would allocate for the answer.
    let is_off = unsafe {
        let value = libc::getenv(c"ONESHEET_FENCE".as_ptr());
        !value.is_null() && libc::strcmp(value, c"off".as_ptr()) == 0
    };
    STATE.store(if is_off { OFF } else { ON }, Ordering::Relaxed);
    !is_off
}

/// Installs the handler of faults, with the first slice of f32: std, which has a handler of its own, has
/// installed it by then.
fn listen(layout: Layout) {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    if layout.align() == align_of::<f32>() && !LISTENS.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler keeps to what one of a fault of this thread may do, see there.
        unsafe { libc::signal(libc::SIGSEGV, tell_where as *const () as libc::sighandler_t) };
    }
}

/// Says which code touched what it may not, and lets it do so again, which ends the process.
extern "C" fn tell_where(signal: c_int) {
    // SAFETY: the default is no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // Allocates, which a handler may not while an allocation is going on; but there is none on this
    // thread: it was in a kernel.
    let (thread, trace) = (std::thread::current(), Backtrace::force_capture());
    let thread = thread.name().unwrap_or("of rayon").to_owned();
    // Not by eprintln, which the harness keeps until the test ends.
    let _ = writeln!(std::io::stderr(), "memory beside a slice was touched on thread {thread}:\n{trace}");
}

/// How a child process touches what it may not: the number of values beside a slice, or none for a
/// slice that was freed.
const WAYS: [Option<isize>; 3] = [Some(-1), Some(0), None];

#[test]
fn touching_memory_beside_a_slice_ends_the_process() {
    if !is_on() {
        return;
    }
    for (number, way) in WAYS.iter().enumerate() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "fence::child_that_touches_what_it_may_not"])
            .env("ONESHEET_FENCE_WAY", number.to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.signal(), Some(libc::SIGSEGV), "{way:?}: {said}");
        assert!(said.contains("memory beside a slice was touched"), "{said}");
    }
}

#[test]
#[ignore = "started by touching_memory_beside_a_slice_ends_the_process, as a process that dies"]
fn child_that_touches_what_it_may_not() {
    let Ok(way) = std::env::var("ONESHEET_FENCE_WAY") else { return };
    // Some of these lie at either side.
    for len in 1..65 {
        let slice = vec![1.0f32; len];
        let first = slice.as_ptr();
        // SAFETY: none; that it is noticed is what the test is about.
        black_box(unsafe {
            match WAYS[way.parse::<usize>().unwrap()] {
                Some(-1) => first.sub(1).read_volatile(),
                Some(_) => first.add(len).read_volatile(),
                None => {
                    drop(slice);
                    first.read_volatile()
                }
            }
        });
    }
}
