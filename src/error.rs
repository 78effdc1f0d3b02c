//! Errors that a user can act on: each names the file, the row and the remedy.
//!
//! Kernels do not return errors: their arguments are checked with `assert!`, since a wrong one is a
//! bug in the caller and never the user's mistake.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::printable;

/// `Result` with this crate's [`Error`] as its default error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure that a user can act on. Its text is one line, which says where, what, and what to do
/// about it; whatever names and cells it quotes, it is safe to show on a terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that do not fit together, or an unknown value. Exit code 2.
    #[error("{}; {}", printable(what), printable(remedy))]
    Usage {
        /// What does not fit.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A model whose layers do not fit each other. Exit code 2.
    #[error("the model does not fit together: {}", printable(.0))]
    Shape(String),
    /// A file or folder whose content cannot be used. Exit code 3.
    #[error("{place}: {}; {}", printable(what), printable(remedy))]
    Data {
        /// The file and, where there is one, the row.
        place: Place,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// The operating system refused. Exit code 4.
    #[error("{}: cannot {doing}: {}{}", shown(path), printable(&source.to_string()), remedy_for(source, doing))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: an infinitive, such as "write the file".
        doing: &'static str,
        /// The error that the system reported.
        source: std::io::Error,
    },
    /// Training produced a loss that is not a number. Exit code 5.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step}; lower the learning rate, or look at that batch: {batch}"
    )]
    Diverged {
        /// The value that the loss had.
        loss: f64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step, counted from 1 within the epoch.
        step: usize,
        /// A description of the batch in words.
        batch: String,
    },
    /// The work was asked to stop, and has. Exit code 130.
    #[error("stopped {}; {}", printable(when), printable(remedy))]
    Stopped {
        /// When, such as "in epoch 3 of multi-label".
        when: String,
        /// How to go on.
        remedy: String,
    },
}

impl Error {
    /// An error about options or values that do not fit.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), remedy: remedy.into() }
    }

    /// An error about a file whose content cannot be used.
    pub fn data(path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Data { place: Place { path: path.into(), row: None }, what: what.into(), remedy: remedy.into() }
    }

    /// An error about a row of a file; rows are counted from 1, as an editor counts lines.
    pub fn row(path: &Path, row: u64, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Data { place: Place { path: path.into(), row: Some(row) }, what: what.into(), remedy: remedy.into() }
    }

    /// An adapter for `map_err`: `fs::read(path).map_err(Error::io(path, "read the file"))`.
    pub fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), doing, source }
    }

    /// The error of work that was asked to stop; see `Progress::stops`.
    #[cfg(feature = "posters")]
    pub fn stopped(when: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Stopped { when: when.into(), remedy: remedy.into() }
    }

    /// An adapter for `map_err` where a thread does not start; `what` is what it is for, or on.
    #[cfg(feature = "posters")]
    pub fn thread(what: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: what.into(), doing: START_A_THREAD, source }
    }

    /// The process's exit code: 2 usage, 3 data, 4 I/O, 5 diverged, 130 stopped.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Shape(_) => 2,
            Self::Data { .. } => 3,
            Self::Io { .. } => 4,
            Self::Diverged { .. } => 5,
            Self::Stopped { .. } => 130,
        }
    }
}

/// A file and, optionally, a row of it.
#[derive(Debug)]
pub struct Place {
    /// The file or folder.
    pub path: PathBuf,
    /// The row, counted from 1 including the header.
    pub row: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.row {
            Some(row) => write!(f, "{}, row {row}", shown(&self.path)),
            None => write!(f, "{}", shown(&self.path)),
        }
    }
}

/// A path as text that is safe to show.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

fn remedy_for(source: &std::io::Error, doing: &str) -> &'static str {
    use std::io::ErrorKind::*;
    if doing == START_A_THREAD {
        return "; use fewer threads: lower --threads, or let the system allow more processes (ulimit -u)";
    }
    match source.kind() {
        NotFound => "; check the path",
        PermissionDenied | ReadOnlyFilesystem => "; check the permissions, or name another folder",
        StorageFull | QuotaExceeded => "; free some space, or name a folder on another disk",
        OutOfMemory => "; free some memory",
        _ if is_out_of_handles(source) => "; raise the limit of open files (ulimit -n)",
        _ => "",
    }
}

/// What was tried, where a thread could not be started.
const START_A_THREAD: &str = "start a thread";

#[cfg(unix)]
fn is_out_of_handles(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
fn is_out_of_handles(_error: &std::io::Error) -> bool {
    false
}
