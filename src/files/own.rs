//! Which files are ours: those that begin with a mark that this crate writes.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::{again, open_if_regular, system};

/// What to do about a file of another program that is in the way.
pub(crate) const REMEDY: &str = "remove it, or name another folder";

/// Opens the file at `path` for reading and writing, and makes an empty one where there is none.
/// Links are not followed, and nothing is changed.
///
/// # Errors
/// [`Error::Data`] if `path` is not a regular file, or one that begins with none of `marks`
/// although it is not empty: then it is somebody else's. [`Error::Io`] if the system refuses.
pub(crate) fn open_own(path: &Path, marks: &[&[u8]]) -> Result<File> {
    let irregular = || Error::data(path, "is not a regular file", REMEDY);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = again(|| system::open_without_following(&mut options, path)).map_err(|error| {
        // Systems name a link that was not followed by different errors.
        let is_regular = fs::symlink_metadata(path).map_or(true, |there| there.is_file());
        if is_regular { Error::io(path, "open the file")(error) } else { irregular() }
    })?;
    if !file.metadata().map_err(Error::io(path, "open the file"))?.is_file() {
        return Err(irregular());
    }
    check_mark(path, &file, marks)?;
    Ok(file)
}

/// Refuses what is at `path`, if there is anything, as [`open_own`] does; but a link to a file of
/// ours is one.
pub(crate) fn check_own(path: &Path, marks: &[&[u8]]) -> Result<()> {
    match open_regular(path) {
        Ok(file) => check_mark(path, &file, marks),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(Error::io(path, "open the file")(error)),
    }
}

fn check_mark(path: &Path, file: &File, marks: &[&[u8]]) -> Result<()> {
    let longest = marks.iter().map(|mark| mark.len()).max().unwrap_or_default();
    let head = match head_of(file, longest) {
        // What another process has locked was opened as a lock by it.
        Err(error) if system::is_locked(&error) => return Ok(()),
        head => head.map_err(Error::io(path, "read the file"))?,
    };
    // A mark may be cut off: a file is written from its beginning on, and a full disk ends it
    // anywhere.
    let is_ours = marks.iter().any(|mark| head.starts_with(mark) || mark.starts_with(&head));
    if is_ours { Ok(()) } else { Err(Error::data(path, "is not a file that onesheet made", REMEDY)) }
}

/// Opens a file for reading, as [`open_if_regular`] does.
///
/// # Errors
/// The system's own; also if it is not a regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    open_if_regular(path)?.ok_or_else(|| io::Error::other("it is not a regular file"))
}

/// The content of a file that is read as a whole, such as the answers of a run.
///
/// # Errors
/// The system's own; also if it is not a regular file, or has more than 4 GiB: the answers about a million
/// films in 300 genres.
#[cfg(feature = "posters")]
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(4 << 30, "4 GiB", path)
}

/// The text of a small file: of options, of a mark.
///
/// # Errors
/// The system's own; also if it is not a regular file, has more than a MiB, or is no UTF-8.
#[cfg(feature = "posters")]
pub fn read_small(path: &Path) -> io::Result<String> {
    let bytes = read_at_most(1 << 20, "a MiB", path)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(feature = "posters")]
fn read_at_most(most: u64, named: &str, path: &Path) -> io::Result<Vec<u8>> {
    let (file, mut content) = (open_regular(path)?, Vec::new());
    // Asked before anything is read, and counted, since another process may be writing it.
    if file.metadata()?.len() <= most && file.take(most + 1).read_to_end(&mut content)? as u64 <= most {
        return Ok(content);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {named}")))
}

/// Whether the error says that there is no file, or no folder where it could be.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The first bytes of a file, at most `longest` of them.
fn head_of(mut file: &File, longest: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(longest as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}
