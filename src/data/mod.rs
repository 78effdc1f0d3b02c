//! From a folder of posters to batches. A module imports only from those above it in this list:
//!
//! | module | its job |
//! |---|---|
//! | [`ledger`] | what was dropped, how much of it, why |
//! | [`labels`] | `genres.csv` -> films and their genres |
//! | [`split`] | film id -> train, val or test, the same for ever |
//! | [`films`] | labels + `posters/` -> the cleaned films |
//! | [`frames`] | cleaned films -> the three frames of an experiment, as CSV files too |
//! | [`refusal`] | why a poster is left out |
//! | [`decode`] | a poster's file -> pixels of one size, or the reason why not |
//! | [`mmap`] | files as memory: the one module with `unsafe` |
//! | [`cache`] | decoded posters in one file |
//! | `build` | makes that file |
//! | [`batches`] | images and labels for a step, prefetched |

pub mod ledger;

pub mod labels;

pub mod split;

pub mod films;

pub mod frames;

pub mod refusal;

pub mod decode;

pub mod mmap;

pub mod cache;

mod build;

pub mod batches;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file through a temporary one in the same folder: afterwards there is the whole new file or, after an
/// error or a crash, what was there before.
///
/// # Errors
/// The system's own, at any of the steps.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = BufWriter::new(temporary_in(folder)?);
    write(&mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file that gets the permissions of any other file once it stays.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".onesheet-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes a rename in `folder` survive a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
