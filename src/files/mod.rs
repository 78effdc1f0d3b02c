//! Whole files or none: what is written here is never seen half-written, whatever interrupts the
//! writing. And nobody else's files: what does not carry our mark is not changed, removed or
//! followed.

#[cfg(feature = "posters")]
mod exchange;
#[cfg(feature = "posters")]
mod lock;
#[cfg(feature = "posters")]
mod own_folder;
pub(crate) mod system;

use std::ffi::OsString;
#[cfg(feature = "posters")]
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};
#[cfg(feature = "posters")]
pub(crate) use exchange::exchange;
#[cfg(feature = "posters")]
pub use lock::{Claim, Lock};
#[cfg(feature = "posters")]
pub use own_folder::OwnFolder;

/// Replaces the file at `path` by what `write` writes, at once.
///
/// The bytes go to a temporary file in the same folder (`.<name>.onesheet-<random>`), which is
/// synced to the disk and then renamed over `path`; the folder is synced last, where the file system
/// can do that, so that the rename outlives a power cut, too. A reader sees the old file or the new
/// one. If `write` or anything else before the rename fails, the temporary file is removed and the
/// old file stays; only a killed process leaves a temporary file behind.
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
    for entry in std::fs::read_dir(folder_of(path))? {
        let entry = entry?;
        // The type of the entry itself, not of what it may link to.
        if is_ours(&entry.file_name()) && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Opens the file at `path` for reading and writing, and makes an empty one where there is none.
/// Links are not followed, and nothing is changed.
///
/// # Errors
/// [`Error::Data`] if `path` is not a regular file, or one that begins with none of `marks` although
/// it is not empty: then it is somebody else's. [`Error::Io`] if the system refuses.
#[cfg(feature = "posters")]
pub(crate) fn open_own(path: &Path, marks: &[&[u8]]) -> Result<File> {
    let irregular = || Error::data(path, "is not a regular file", REMEDY);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = again(|| system::open_without_following(&mut options, path)).map_err(|error| {
        // Systems name a link that was not followed by different errors.
        let is_regular = std::fs::symlink_metadata(path).map_or(true, |there| there.is_file());
        if is_regular { Error::io(path, "open the file")(error) } else { irregular() }
    })?;
    if !file.metadata().map_err(Error::io(path, "open the file"))?.is_file() {
        return Err(irregular());
    }
    check_mark(path, &file, marks)?;
    Ok(file)
}

/// Refuses what is at `path`, if there is anything, as [`open_own`] does; but a link to a file of ours
/// is one.
#[cfg(feature = "posters")]
pub(crate) fn check_own(path: &Path, marks: &[&[u8]]) -> Result<()> {
    match open_regular(path) {
        Ok(file) => check_mark(path, &file, marks),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(path, "open the file")(error)),
    }
}

#[cfg(feature = "posters")]
fn check_mark(path: &Path, file: &File, marks: &[&[u8]]) -> Result<()> {
    let longest = marks.iter().map(|mark| mark.len()).max().unwrap_or_default();
    let head = match head_of(file, longest) {
        // What another process has locked was opened as a lock by it.
        Err(error) if system::is_locked(&error) => return Ok(()),
        head => head.map_err(Error::io(path, "read the file"))?,
    };
    // A mark may be cut off: a file is written from its beginning on, and a full disk ends it anywhere.
    let is_ours = marks.iter().any(|mark| head.starts_with(mark) || mark.starts_with(&head));
    if is_ours { Ok(()) } else { Err(Error::data(path, "is not a file that onesheet made", REMEDY)) }
}

/// What to do about a file of another program that is in the way.
#[cfg(feature = "posters")]
pub(crate) const REMEDY: &str = "remove it, or name another folder";

/// Opens a file for reading, and also follows a link to it.
///
/// # Errors
/// The system's own; also if it is not a regular file, which it may be that nobody ever writes to.
#[cfg(feature = "posters")]
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = again(|| system::open_without_waiting(path))?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// The first bytes of a file, at most `longest` of them.
#[cfg(feature = "posters")]
fn head_of(mut file: &File, longest: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, longest as u64), &mut head)?;
    io::Seek::rewind(&mut file)?;
    Ok(head)
}

/// What `call` returns once no signal interrupts it.
#[cfg(feature = "posters")]
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
