//! Locks on work: of two processes that would write the same files, one does.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::files::{again, open_own, system};
use crate::text::excerpt;

/// What the text in a lock's file begins with.
pub const MARK: &str = "onesheet, process ";

/// The most of a lock's file that is read.
const MAX_BYTES: u64 = 1024;

/// A lock that this process holds, until it is dropped or the process ends in whatever way: the
/// system releases it then.
///
/// The lock is one on a file (`flock` on Unix), in which the holder says in a line who it is. The
/// file is removed when the lock is dropped; a killed process leaves it, unlocked.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

/// What came of the attempt to claim a [`Lock`].
#[derive(Debug)]
pub enum Claim {
    /// This process holds the lock.
    Held(Lock),
    /// Another process holds it, or another part of this one.
    Taken {
        /// The line that the holder wrote: which process it is, since when, and what it does.
        by: String,
    },
    /// The file system has no locks: nobody can tell whether another process does the same work.
    Unsupported,
}

impl Lock {
    /// Claims the lock whose file is `path`, without waiting for it. `what` says in a few words
    /// what the holder does, such as "builds the cache".
    ///
    /// # Errors
    /// [`Error::Data`] if `path` is not a regular file, or one that is not a lock's; it stays as it
    /// is. [`Error::Io`] if the system refuses anything else but the lock.
    pub fn try_claim(path: &Path, what: &str) -> Result<Claim> {
        loop {
            let file = open(path)?;
            match attempt(|| file.try_lock()).map_err(Error::io(path, "claim the lock"))? {
                Attempt::Locked if !system::is_still_at(&file, path) => continue,
                Attempt::Locked => return Self::hold(path, file, what),
                Attempt::Taken => return Ok(Claim::Taken { by: holder(&file) }),
                Attempt::Unsupported => return Ok(without(path, &file)),
            }
        }
    }

    /// Claims the lock whose file is `path`, and waits for it as long as another holds it: the
    /// outcome is never [`Claim::Taken`]. `goes_on` is asked again and again meanwhile.
    ///
    /// # Errors
    /// Those of [`Lock::try_claim`], and of `goes_on`.
    pub fn wait(path: &Path, what: &str, goes_on: impl Fn() -> Result<()>) -> Result<Claim> {
        // The system would wait by itself, but through the signals that are to end the process.
        const PAUSE: Duration = Duration::from_millis(50);
        loop {
            match Self::try_claim(path, what)? {
                Claim::Taken { .. } => goes_on()?,
                claim => return Ok(claim),
            }
            thread::sleep(PAUSE);
        }
    }

    /// The path of the lock's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the holder's line. The file is locked, and nobody else writes to it.
    fn hold(path: &Path, mut file: File, what: &str) -> Result<Claim> {
        let line = format!("{MARK}{}, since {} UTC: {what}\n", process::id(), utc(SystemTime::now()));
        // A line that cannot be written, on a full disk, would only have told others who holds the
        // lock.
        let _ = file.set_len(0).and_then(|()| file.write_all(line.as_bytes()));
        Ok(Claim::Held(Self { path: path.to_owned(), file }))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // First the file, then the lock: who waits for it sees that the file is gone, and claims a
        // new one.
        if system::is_still_at(&self.file, &self.path) {
            let _ = system::remove_locked(&self.file, &self.path);
        }
    }
}

fn open(path: &Path) -> Result<File> {
    open_own(path, &[MARK.as_bytes()])
}

enum Attempt {
    Locked,
    Taken,
    Unsupported,
}

fn attempt(lock: impl Fn() -> Result<(), TryLockError>) -> io::Result<Attempt> {
    let locked = again(|| match lock() {
        Ok(()) => Ok(Attempt::Locked),
        Err(TryLockError::WouldBlock) => Ok(Attempt::Taken),
        Err(TryLockError::Error(error)) => Err(error),
    });
    match locked {
        Err(error) if system::has_no_locks(&error) => Ok(Attempt::Unsupported),
        other => other,
    }
}

/// Without locks the file that was opened is of no use: a new one is removed.
fn without(path: &Path, file: &File) -> Claim {
    if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        let _ = std::fs::remove_file(path);
    }
    Claim::Unsupported
}

/// The line in a lock's file. A holder that has just got the lock is given a moment to write it.
fn holder(file: &File) -> String {
    const TRIES: usize = 20;
    let mut text = Vec::new();
    for _ in 0..TRIES {
        let _ = file.take(MAX_BYTES).read_to_end(&mut text);
        if text.ends_with(b"\n") {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let text = String::from_utf8_lossy(&text);
    match text.lines().next() {
        Some(line) if !line.is_empty() => excerpt(line),
        _ => "another process".to_owned(),
    }
}

/// A time as `2026-01-31 23:59:59`.
///
/// Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, `civil_from_days`: years that begin
/// in March end with the leap day.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}
