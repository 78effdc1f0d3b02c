//! The one place through which lines leave the program: results to standard output, notes and
//! errors to standard error. How much is told is decided once, by `--quiet` and `--verbose`.
//!
//! Names of genres, films and files are in many of these lines, and are made safe to show here: see
//! [`onesheet::text`]. Nothing here panics, whatever has become of the streams: results that cannot
//! be written are remembered until [`failure`] is asked, while the work goes on, since its files
//! are worth as much; what standard error does not take is lost.

use onesheet::Error;
use onesheet::text::printable;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// How much the program tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Results, warnings and errors.
    Quiet,
    /// Notes and progress, too.
    Normal,
    /// And what only those want to know who look closely.
    Verbose,
}

static VERBOSITY: OnceLock<Verbosity> = OnceLock::new();

/// Decides how much is told from now on; the first decision stands.
pub fn set_verbosity(verbosity: Verbosity) {
    let _ = VERBOSITY.set(verbosity);
}

/// How much is to be told.
pub fn verbosity() -> Verbosity {
    *VERBOSITY.get().unwrap_or(&Verbosity::Normal)
}

/// Whether this process is a rank that leaves it to rank 0 to print, and how its errors call it.
static SILENT: OnceLock<String> = OnceLock::new();

/// Has nothing but errors printed from now on, each with the name of the rank.
#[cfg(feature = "mpi")]
pub fn leave_to_first(name: String) {
    let _ = SILENT.set(name);
}

/// What has become of standard output.
enum Stdout {
    /// It takes results.
    Open,
    /// Its reader, such as `head`, went away, which is no error.
    Unread,
    /// The system refused to write, for example on a full disk.
    Failed(io::Error),
}

impl Stdout {
    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => *self = Self::Unread,
            Err(error) => *self = Self::Failed(error),
        }
    }
}

static STDOUT: Mutex<Stdout> = Mutex::new(Stdout::Open);

fn stdout() -> MutexGuard<'static, Stdout> {
    STDOUT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes lines to standard output. The line breaks in the text are the program's own; what else is
/// unsafe to show is escaped.
pub fn say(text: &str) {
    write_out(&(safe_lines(text) + "\n"));
}

/// Writes lines to standard output that say what is being done, which a quiet program leaves out.
pub fn note(text: &str) {
    if verbosity() > Verbosity::Quiet {
        say(text);
    }
}

/// Writes lines to standard output that only those want who look closely.
pub fn detail(text: &str) {
    if verbosity() == Verbosity::Verbose {
        say(text);
    }
}

/// Writes text to standard output that other programs are to read, as it is. What could do harm on
/// a terminal must not be in it; see [`safe_json`].
pub fn write_out(text: &str) {
    let mut state = stdout();
    if SILENT.get().is_some() || !matches!(*state, Stdout::Open) {
        return;
    }
    state.note(io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()));
}

/// Notes whether something reached standard output that others wrote, such as a help text.
pub fn shown(written: io::Result<()>) {
    stdout().note(written.and_then(|()| io::stdout().flush()));
}

/// Writes one JSON value to standard output.
pub fn print_json(value: &impl serde::Serialize) {
    write_out(&(safe_json(&serde_json::to_string_pretty(value).expect("plain data")) + "\n"));
}

/// Whether nobody will see further results.
pub fn is_over() -> bool {
    !matches!(*stdout(), Stdout::Open)
}

/// The error that there was in writing results, if there was one.
pub fn failure() -> Option<Error> {
    match std::mem::replace(&mut *stdout(), Stdout::Unread) {
        Stdout::Failed(error) => Some(Error::io(Path::new("standard output"), "write the results")(error)),
        Stdout::Open | Stdout::Unread => None,
    }
}

/// Writes lines to standard error, in one piece where the system allows it.
pub fn tell(text: &str) {
    if SILENT.get().is_none() {
        write_to_stderr(text);
    }
}

fn write_to_stderr(text: &str) {
    let _ = io::stderr().write_all((safe_lines(text) + "\n").as_bytes());
}

/// Writes an error to standard error.
pub fn tell_error(error: &Error) {
    match SILENT.get() {
        Some(rank) => write_to_stderr(&format!("{rank}: error: {error}")),
        None => tell(&format!("error: {error}")),
    }
}

/// The text with everything but its line breaks made printable.
fn safe_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// JSON with the characters that are unsafe to show written as `\u202e` and the like, which means
/// the same.
pub fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_safe(c) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").expect("a String takes all");
            }
        }
    }
    safe
}

fn is_safe(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || matches!(printable(c.encode_utf8(&mut [0; 4])), Cow::Borrowed(_))
}
