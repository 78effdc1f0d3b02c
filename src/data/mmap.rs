//! Files as memory. This is the one module of the crate with `unsafe`.
//!
//! A map is a promise that nobody shortens the file meanwhile: reading past the end of a mapped
//! file ends the process (SIGBUS), and a byte that another process writes changes under a shared
//! reference. Neither can happen to the files that this crate maps: a cache is written under a name
//! of its own and never changed once it has its final name, only replaced as a whole.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// Maps a whole file for reading.
///
/// # Errors
/// The system's own.
pub fn read_only(file: &File) -> io::Result<Mmap> {
    // SAFETY: the callers map complete caches only (see above): no process writes to such a file or
    // shortens it, and a cache that is replaced lives on, unchanged, for those who have it mapped.
    unsafe { Mmap::map(file) }
}

/// Asks the system to read a range of a map from the disk, without waiting for it. This is advice:
/// a refusal costs time, no more, and systems without it are not asked.
pub fn will_need(map: &Mmap, offset: usize, len: usize) {
    #[cfg(unix)]
    let _ = map.advise_range(memmap2::Advice::WillNeed, offset, len);
    #[cfg(not(unix))]
    let _ = (map, offset, len);
}

/// Gives a range of a map back: it no longer counts as this process's memory, and the next read of
/// it asks the system again. `offset` is a multiple of the page size. Systems without such advice
/// are not asked.
pub fn drop_behind(map: &Mmap, offset: usize, len: usize) {
    #[cfg(unix)]
    // SAFETY: the map is shared with a file and read-only (`read_only` made it), so that dropped
    // pages come back from the file with the same content.
    let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len) };
    #[cfg(not(unix))]
    let _ = (map, offset, len);
}
