//! Folders of results: one process at a time works in a folder, and nothing in it is replaced that
//! onesheet did not write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, Claim, Lock};

/// The file that marks a folder whose results onesheet may replace.
const MARK_FILE: &str = ".onesheet";
/// What it says.
const MARK: &str = "onesheet writes its results into this folder, and may replace them.\n";
/// The file that is locked while a process works in the folder.
const LOCK_FILE: &str = ".onesheet.lock";

/// A folder that this process alone works in, until the value is dropped or the process ends.
///
/// If nothing was done in it by then, it is left as it was found.
pub struct OwnFolder {
    path: PathBuf,
    /// `None` where the file system has no locks.
    lock: Option<Lock>,
    /// Whether there was no such folder before.
    is_new: bool,
}

impl OwnFolder {
    /// Claims a folder and makes it if there is none. `what` says in a few words what for; `names`
    /// are those of the files and folders that will be written into it.
    ///
    /// # Errors
    /// [`Error::Usage`] if another process is at work in it, which is named; [`Error::Data`] if
    /// there is something under one of the names that onesheet did not write; [`Error::Io`] if the
    /// folder cannot be made or written into.
    pub fn claim(path: &Path, what: &str, names: &[&str]) -> Result<Self> {
        let is_new = !path.exists();
        fs::create_dir_all(path).map_err(Error::io(path, "make the folder"))?;
        let lock = match Lock::try_claim(&path.join(LOCK_FILE), what)? {
            Claim::Held(lock) => Some(lock),
            Claim::Unsupported => None,
            Claim::Taken { by } => {
                let what = format!("{} is in use: {by}", path.display());
                return Err(Error::usage(what, "wait for it, or name another --out"));
            }
        };
        let folder = Self { path: path.to_owned(), lock, is_new };
        folder.mark(names)?;
        let clean = |name| files::remove_temporaries_of(&path.join(name));
        names
            .iter()
            .chain([&MARK_FILE])
            .try_for_each(clean)
            .map_err(Error::io(path, "remove what a killed process left"))?;
        Ok(folder)
    }

    /// Whether other processes are kept out; if not, the file system has no locks.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether a folder is marked as one whose results onesheet may replace.
    pub fn is_marked(path: &Path) -> bool {
        let mark = path.join(MARK_FILE);
        let is_file = mark.symlink_metadata().is_ok_and(|there| there.is_file());
        is_file && files::read_small(&mark).is_ok_and(|text| text == MARK)
    }

    /// Marks the folder, unless it is marked already.
    fn mark(&self, names: &[&str]) -> Result<()> {
        let mark = self.path.join(MARK_FILE);
        if Self::is_marked(&self.path) {
            return Ok(());
        }
        if let Some(name) =
            names.iter().chain([&MARK_FILE]).find(|name| self.path.join(name).symlink_metadata().is_ok())
        {
            let what = "is there already, and onesheet did not write it";
            return Err(Error::data(&self.path.join(name), what, "move it elsewhere, or name another --out"));
        }
        files::write_atomically(&mark, |file| file.write_all(MARK.as_bytes()))
    }

    /// Removes the mark if there is nothing beside it, and then the folder, if it was made here.
    fn tidy(&self) -> io::Result<()> {
        let is_own = |name: &std::ffi::OsStr| name == MARK_FILE || name == LOCK_FILE;
        for entry in files::entries(&self.path)? {
            if !is_own(&entry?.file_name()) {
                return Ok(());
            }
        }
        fs::remove_file(self.path.join(MARK_FILE))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        // Whatever cannot be tidied up stays: it is in nobody's way.
        let _ = self.tidy();
        drop(self.lock.take());
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}
