//! Whole files or none: what is written here is never seen half-written, whatever interrupts the
//! writing. And nobody else's files: what does not carry our mark is not changed, removed or
//! followed.

#[cfg(feature = "posters")]
mod exchange;
#[cfg(feature = "posters")]
mod hash;
#[cfg(feature = "posters")]
mod lock;
#[cfg(feature = "posters")]
mod own;
#[cfg(feature = "posters")]
mod own_folder;
pub(crate) mod system;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};
#[cfg(feature = "posters")]
pub(crate) use exchange::exchange;
#[cfg(feature = "posters")]
pub(crate) use hash::{hash, hex};
#[cfg(feature = "posters")]
pub use lock::{Claim, Lock};
#[cfg(feature = "posters")]
pub use own::read_small;
#[cfg(feature = "posters")]
pub(crate) use own::{REMEDY, check_own, is_absent, open_own, open_regular, read_regular};
#[cfg(feature = "posters")]
pub use own_folder::OwnFolder;

/// Replaces the file at `path` by what `write` writes, at once.
///
/// The bytes go to a temporary file in the same folder (`.<name>.onesheet-<random>`), which is
/// synced to the disk and then renamed over `path`; the folder is synced last, where the file
/// system can do that, so that the rename outlives a power cut, too. A reader sees the old file or
/// the new one. If `write` or anything else before the rename fails, the temporary file is removed
/// and the old file stays; only a killed process leaves a temporary file behind.
///
/// A link at `path` is replaced by the file, and what it points to stays as it is. A folder, a pipe
/// or a device is not replaced.
///
/// # Errors
/// [`Error::Io`] with `path`, whatever step failed.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    replace(path, write).map_err(Error::io(path, "write the file"))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if let Ok(there) = std::fs::symlink_metadata(path)
        && !there.is_file()
        && !there.is_symlink()
    {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "what is there is not a regular file"));
    }
    let mut buffered = BufWriter::new(temporary_for(path)?);
    write(&mut buffered)?;
    persist(buffered.into_inner().map_err(io::IntoInnerError::into_error)?, path)
}

/// A temporary file beside `path`, which [`persist`] moves there. Dropped before that, it is
/// removed.
fn temporary_for(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = temporary_prefix(path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).rand_bytes(RANDOM);
    system::share(&mut builder);
    builder.tempfile_in(folder_of(path))
}

/// Removes the temporary files that killed processes left beside `path`: regular files that have
/// exactly such a name. The caller holds a lock on writing `path`.
#[cfg(feature = "posters")]
pub(crate) fn remove_temporaries_of(path: &Path) -> io::Result<()> {
    let prefix = temporary_prefix(path)?;
    let is_ours = |name: &std::ffi::OsStr| {
        let random = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
    };
    for entry in entries(folder_of(path))? {
        let entry = entry?;
        // The type of the entry itself, not of what it may link to.
        if is_ours(&entry.file_name()) && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Opens a file for reading, and also follows a link to it; `None` if it is a folder, a pipe, a
/// socket or a device, from which one could read for ever.
///
/// # Errors
/// The system's own.
pub(crate) fn open_if_regular(path: &Path) -> io::Result<Option<File>> {
    // Asked before it is opened, since to open a device can do something; and once more of what was
    // opened, since the name may be another file's by then.
    if !again(|| std::fs::metadata(path))?.is_file() {
        return Ok(None);
    }
    let file = again(|| system::open_without_waiting(path))?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The entries of a folder. Unlike the opening of a file, std does not try that of a folder again where a
/// signal interrupts it.
///
/// # Errors
/// The system's own.
pub fn entries(folder: &Path) -> io::Result<std::fs::ReadDir> {
    again(|| std::fs::read_dir(folder))
}

/// What `call` returns once no signal interrupts it.
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Syncs `file`, whose name is `from`, and renames it to `to` in the same folder, so that neither a
/// crash nor a power cut shows half of it.
#[cfg(feature = "posters")]
pub(crate) fn rename_whole(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    again(|| std::fs::rename(from, to))?;
    system::sync_folder(folder_of(to))
}

/// The number of random letters and digits at the end of a temporary file's name.
const RANDOM: usize = 6;

/// How the names of temporary files beside `path` begin: `.<name>.onesheet-`
fn temporary_prefix(path: &Path) -> io::Result<OsString> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".onesheet-");
    Ok(prefix)
}

/// Syncs a temporary file and renames it to `path`, so that neither a crash nor a power cut shows
/// half of it.
fn persist(mut temporary: NamedTempFile, path: &Path) -> io::Result<()> {
    temporary.as_file().sync_all()?;
    while let Err(failed) = temporary.persist(path) {
        if failed.error.kind() != io::ErrorKind::Interrupted {
            return Err(failed.error);
        }
        temporary = failed.file;
    }
    system::sync_folder(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What `read` makes of a file with these bytes, which came from another process: it is there meanwhile,
/// under a name of no meaning.
///
/// # Errors
/// [`Error::Io`] where it cannot be written; those of `read`.
#[cfg(feature = "posters")]
pub fn read_received<T>(bytes: &[u8], read: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let made = tempfile::NamedTempFile::new();
    let file = made.map_err(Error::io(&std::env::temp_dir(), "make a file"))?;
    std::fs::write(file.path(), bytes).map_err(Error::io(file.path(), "write the file"))?;
    read(file.path())
}

/// Writes `value` as indented JSON with a line feed at the end, by [`write_atomically`].
///
/// # Errors
/// [`Error::Io`] with `path`.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomically(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}

/// Writes the records that `write` hands over as CSV, by [`write_atomically`]. A header is a record
/// like others.
///
/// # Errors
/// [`Error::Io`] with `path`; also if the records differ in their number of fields.
#[cfg(feature = "posters")]
pub fn write_csv(path: &Path, write: impl FnOnce(&mut csv::Writer<&mut dyn Write>) -> csv::Result<()>) -> Result<()> {
    write_atomically(path, |file| {
        let mut csv = csv::Writer::from_writer(file);
        write(&mut csv).map_err(as_io)?;
        csv.flush()
    })
}

/// The system's own error if there is one: the kind "disk full" chooses the remedy, and csv's
/// conversion loses it.
#[cfg(feature = "posters")]
fn as_io(error: csv::Error) -> io::Error {
    if !error.is_io_error() {
        return io::Error::other(error);
    }
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
