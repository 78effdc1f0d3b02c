//! Whole files or none: what is written here is never seen half-written, whatever interrupts the
//! writing.

#[cfg_attr(not(feature = "posters"), allow(dead_code, unused_imports))]
pub(crate) mod system;

use std::ffi::OsString;
#[cfg(feature = "posters")]
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// Replaces the file at `path` by what `write` writes, at once.
///
/// The bytes go to a temporary file in the same folder (`.<name>.<random>`), which is synced to the
/// disk and then renamed over `path`; the folder is synced last, so that the rename outlives a
/// power cut, too. A reader sees the old file or the new one. If `write` or anything else before
/// the rename fails, the temporary file is removed and the old file stays; only a killed process
/// leaves a temporary file behind.
///
/// # Errors
/// [`Error::Io`] with `path`, whatever step failed.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    replace(path, write).map_err(Error::io(path, "write the file"))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut buffered = BufWriter::new(temporary_for(path)?);
    write(&mut buffered)?;
    persist(buffered.into_inner().map_err(io::IntoInnerError::into_error)?, path)
}

/// A temporary file beside `path`, which [`persist`] moves there. Dropped before that, it is
/// removed.
fn temporary_for(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = temporary_prefix(path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    system::share(&mut builder);
    builder.tempfile_in(folder_of(path))
}

/// Removes the temporary files that killed processes left beside `path`. The caller holds a lock on
/// writing it.
#[cfg(feature = "posters")]
pub(crate) fn remove_temporaries_of(path: &Path) -> io::Result<()> {
    let prefix = temporary_prefix(path)?;
    for entry in std::fs::read_dir(folder_of(path))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Syncs `file`, whose name is `from`, and renames it to `to` in the same folder, so that neither a
/// crash nor a power cut shows half of it.
#[cfg(feature = "posters")]
pub(crate) fn rename_whole(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    std::fs::rename(from, to)?;
    system::sync_folder(folder_of(to))
}

/// How the names of temporary files beside `path` begin: `.<name>.`
fn temporary_prefix(path: &Path) -> io::Result<OsString> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    Ok(prefix)
}

/// Syncs a temporary file and renames it to `path`, so that neither a crash nor a power cut shows
/// half of it.
fn persist(temporary: NamedTempFile, path: &Path) -> io::Result<()> {
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|failed| failed.error)?;
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
