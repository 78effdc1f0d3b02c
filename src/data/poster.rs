//! The file of a poster: its bytes, and the stamp by which a later change is noticed.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::data::refusal::{Reason, Refusal};
use crate::files::{open_if_regular, system};

/// The largest file in bytes; larger ones are refused before they are read.
pub(super) const MAX_BYTES: u64 = 64 << 20;
/// How coarse the clock of a file system may be: FAT counts in steps of 2 seconds.
const GRAIN: i64 = 2_000_000_000;

/// Reads the poster at `path` into `bytes`, which is overwritten.
///
/// # Errors
/// The inner one if this poster is to be left out. The outer one if this process can read no file,
/// since it is out of file handles or memory: that says nothing about the poster.
pub(crate) fn read(path: &Path, bytes: &mut Vec<u8>) -> io::Result<Result<(), Refusal>> {
    match read_regular(path, bytes) {
        Err(error) if system::is_shortage(&error) => Err(error),
        Err(error) => Ok(Err(Refusal::new(Reason::Unreadable, error.to_string()))),
        Ok(read) => Ok(read),
    }
}

fn read_regular(path: &Path, bytes: &mut Vec<u8>) -> io::Result<Result<(), Refusal>> {
    let Some(file) = open_if_regular(path)? else { return Ok(Err(Refusal::new(Reason::NotAFile, ""))) };
    let length = file.metadata()?.len();
    if length > MAX_BYTES {
        return Ok(Err(Refusal::new(Reason::FileTooLarge, format!("{length} bytes"))));
    }
    bytes.clear();
    file.take(MAX_BYTES).read_to_end(bytes)?;
    Ok(Ok(()))
}

/// The CRC-32 of a poster's bytes; 0 if it is refused before it is read, `None` if it cannot be
/// read now. `bytes` is a buffer.
///
/// # Errors
/// If this process can read no file.
pub(super) fn content(path: &Path, bytes: &mut Vec<u8>) -> io::Result<Option<u32>> {
    Ok(match read(path, bytes)? {
        Ok(()) => Some(crc32fast::hash(bytes)),
        Err(refusal) if refusal.reason == Reason::Unreadable => None,
        Err(_) => Some(0),
    })
}

/// What the system says about a poster's file.
///
/// The device is left out: many file systems get another number each time they are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The length in bytes.
    pub(super) bytes: u64,
    /// The time when the content was modified, in nanoseconds since 1970.
    pub(super) modified: i64,
    /// The time when the content or anything else of the file was changed, likewise; unlike the
    /// other it cannot be set. 0 where the system has none.
    pub(super) changed: i64,
    /// The number of the file in its file system; 0 where the system has none.
    pub(super) inode: u64,
}

/// A poster's stamp when it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) stamp: Stamp,
    /// Whether the file was younger than the grain of the clock may be, so that a later change
    /// could leave the stamp as it is.
    pub(super) racy: bool,
}

impl Look {
    /// Looks at the file of a poster now.
    ///
    /// # Errors
    /// The system's own.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let now = nanoseconds(SystemTime::now());
        let metadata = fs::metadata(path)?;
        let (changed, inode) = system::changed_and_inode(&metadata);
        let stamp =
            Stamp { bytes: metadata.len(), modified: metadata.modified().map_or(0, nanoseconds), changed, inode };
        Ok(Self { stamp, racy: stamp.modified.max(changed) > now - GRAIN })
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |before| -before),
    }
}
