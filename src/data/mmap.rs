//! Files as memory. This is the one module of the crate with `unsafe`.
//!
//! A map is a promise that nobody shortens the file meanwhile: reading past the end of a mapped file ends the process
//! (SIGBUS), and a byte that another process writes changes under a shared reference. Both cannot happen to the files
//! that this crate maps: a cache is written under a name of its own, by the process that holds its lock, with its space
//! reserved; it is never changed once it has its final name, only replaced as a whole.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapMut};

/// Maps a whole file for reading.
///
/// # Errors
/// The system's own.
pub fn read_only(file: &File) -> io::Result<Mmap> {
    // SAFETY: the callers map complete caches only (see above): no process writes to such a file or shortens it, and
    // a cache that is replaced lives on, unchanged, for those who have it mapped.
    unsafe { Mmap::map(file) }
}

/// Maps a whole file for reading and writing.
///
/// # Errors
/// The system's own.
pub fn read_write(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the callers map a temporary file that they made themselves under a random name, whose length is final
    // and whose space is reserved: nobody else opens it, and no store can meet a full disk.
    unsafe { MmapMut::map_mut(file) }
}
