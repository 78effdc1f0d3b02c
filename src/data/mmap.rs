//! Files as memory. This is the one module of the crate with `unsafe`.
//!
//! A map is a promise that nobody writes to the file or shortens it meanwhile. This crate keeps it
//! with the files that it maps: a cache is written under a name of its own and never changed once
//! it has its final name, only replaced as a whole. Another program may break it. Reading where a
//! shortened file has no bytes any more, or where the disk fails, raises SIGBUS, which would end
//! the process without a word; for addresses of our maps a handler ends it with a line on standard
//! error and exit code 4 instead (`guard`).
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

/// A whole file, mapped for reading.
pub struct Map {
    // Dropped before the pages are given back: no fault elsewhere must be taken for one of this
    // map.
    _guard: guard::Guard,
    map: Mmap,
}

impl Map {
    /// Maps a whole file.
    ///
    /// # Errors
    /// The system's own; there are file systems that map no files.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the callers map complete caches only (see above): no process of ours writes to
        // such a file or shortens it, and a cache that is replaced lives on, unchanged, for those
        // who have it mapped.
        let map = unsafe { Mmap::map(file) }?;
        Ok(Self { _guard: guard::Guard::new(map.as_ptr_range()), map })
    }

    /// Asks the system to read a range from the disk, without waiting for it. This is advice: a
    /// refusal costs time, no more, and systems without it are not asked.
    pub fn will_need(&self, offset: usize, len: usize) {
        #[cfg(unix)]
        let _ = self.map.advise_range(memmap2::Advice::WillNeed, offset, len);
        #[cfg(not(unix))]
        let _ = (offset, len);
    }

    /// Gives a range back: it no longer counts as this process's memory, and the next read of it
    /// asks the system again. `offset` is a multiple of the page size. Systems without such advice
    /// are not asked.
    ///
    /// # Panics
    /// If the range is not one of the map.
    pub fn drop_behind(&self, offset: usize, len: usize) {
        assert!(offset <= self.map.len() && len <= self.map.len() - offset, "the range lies in the map");
        #[cfg(unix)]
        // SAFETY: the range is the map's own. The map is shared with a file and read-only (`new` made
        // it), so that dropped pages come back from the file with the same content, also under those
        // who have them borrowed.
        let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len) };
        #[cfg(not(unix))]
        let _ = (offset, len);
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// What happens when a mapped file was shortened.
#[cfg(unix)]
mod guard {
    use std::ops::Range;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::{mem, ptr};

    use libc::{c_int, c_void, sigaction, siginfo_t};

    /// The number of maps that are guarded at a time; a fault in one more ends the process as if
    /// there were no handler.
    const MAPS: usize = 64;

    /// The first address of each guarded map and the one behind its last; zeros where there is
    /// none.
    static GUARDED: [[AtomicUsize; 2]; MAPS] = [const { [const { AtomicUsize::new(0) }; 2] }; MAPS];

    /// What happened at SIGBUS before our handler was installed: usually Rust's own handler, which
    /// tells overflows of the stack.
    static BEFORE: OnceLock<sigaction> = OnceLock::new();

    const LINE: &[u8] = b"\nerror: the cache of posters cannot be read any more: another program shortened it, or its \
        disk fails; remove the cache to have it made again\n";

    /// Guards a range of addresses until it is dropped.
    pub struct Guard(Option<&'static [AtomicUsize; 2]>);

    impl Guard {
        pub fn new(range: Range<*const u8>) -> Self {
            BEFORE.get_or_init(install);
            let (start, end) = (range.start.addr(), range.end.addr());
            let claim = |slot: &&[AtomicUsize; 2]| {
                slot[0].compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            };
            let slot = GUARDED.iter().find(claim);
            slot.inspect(|slot| slot[1].store(end, Ordering::Release));
            Self(slot)
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            if let Some([start, end]) = self.0 {
                end.store(0, Ordering::Release);
                start.store(0, Ordering::Release);
            }
        }
    }

    /// Installs the handler, and returns what was there before.
    fn install() -> sigaction {
        // SAFETY: a sigaction is plain data, for which zeros are valid: the default action, no
        // flags, an empty mask. Both calls get pointers to such values that live as long as the
        // calls, or null.
        unsafe {
            let mut before: sigaction = mem::zeroed();
            libc::sigaction(libc::SIGBUS, ptr::null(), &mut before);
            let mut ours: sigaction = mem::zeroed();
            ours.sa_sigaction = on_bus_error as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut());
            before
        }
    }

    /// Ends the process if the fault is in a guarded map, else does what would have been done
    /// without this handler.
    ///
    /// Only what is safe in a handler of signals is called here: atomic loads, `write`, `_exit` and
    /// `sigaction` (POSIX.1-2017, 2.4.3).
    extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the system calls a handler with SA_SIGINFO with a valid siginfo_t, and at SIGBUS
        // that holds the address of the fault; where another process sent the signal, the code is
        // not positive and the address some other number.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
        let is_inside = |[start, end]: &[AtomicUsize; 2]| {
            (start.load(Ordering::Acquire)..end.load(Ordering::Acquire)).contains(&address)
        };
        if code > 0 && GUARDED.iter().any(is_inside) {
            // SAFETY: the pointer and the length are those of a constant, and `_exit` needs
            // nothing.
            unsafe {
                libc::write(libc::STDERR_FILENO, LINE.as_ptr().cast(), LINE.len());
                libc::_exit(4);
            }
        }
        match BEFORE.get() {
            Some(before) if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN => {
                // SAFETY: the address is that of the handler that the program had installed, and
                // its flags say which of the two signatures it has.
                unsafe {
                    if before.sa_flags & libc::SA_SIGINFO != 0 {
                        type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
                        mem::transmute::<usize, Handler>(before.sa_sigaction)(signal, info, context);
                    } else {
                        mem::transmute::<usize, extern "C" fn(c_int)>(before.sa_sigaction)(signal);
                    }
                }
            }
            // SAFETY: as in `install`. With the default action the fault, which comes again when
            // this function returns, ends the process.
            _ => unsafe {
                let default: sigaction = mem::zeroed();
                libc::sigaction(libc::SIGBUS, &default, ptr::null_mut());
            },
        }
    }
}

/// Systems without signals.
#[cfg(not(unix))]
mod guard {
    use std::ops::Range;

    pub struct Guard;

    impl Guard {
        pub fn new(_range: Range<*const u8>) -> Self {
            Self
        }
    }
}
