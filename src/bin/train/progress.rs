//! The display of a command's progress: a bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use onesheet::progress::Progress;
use std::io::IsTerminal;
use std::sync::Mutex;

/// A display whose lines go to stdout or stderr, and whose bars go to stderr where that is a
/// terminal.
pub struct Terminal {
    bar: Option<Mutex<ProgressBar>>,
    /// Whether lines go to stderr, because stdout is for the result.
    quiet_stdout: bool,
}

impl Terminal {
    /// A display for commands whose notes are their output.
    pub fn new() -> Self {
        Self::with(false)
    }

    /// A display for commands whose stdout is kept for the result.
    pub fn on_stderr() -> Self {
        Self::with(true)
    }

    fn with(quiet_stdout: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| Mutex::new(ProgressBar::hidden()));
        Self { bar, quiet_stdout }
    }

    fn bar(&self, show: impl FnOnce(&mut ProgressBar)) {
        if let Some(bar) = &self.bar {
            show(&mut bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        }
    }
}

impl Progress for Terminal {
    fn note(&self, line: &str) {
        if self.quiet_stdout {
            eprintln!("{line}");
        } else {
            crate::say(line);
        }
    }

    fn start(&self, what: &str, total: usize) {
        let style =
            ProgressStyle::with_template("{prefix:16} {bar:32} {pos}/{len} films  {per_sec}  {eta} left  {msg}")
                .expect("the template is well-formed");
        self.bar(|bar| *bar = ProgressBar::new(total as u64).with_style(style).with_prefix(what.to_string()));
    }

    fn at(&self, done: usize, loss: Option<f64>) {
        self.bar(|bar| {
            if let Some(loss) = loss {
                bar.set_message(format!("loss {loss:.4}"));
            }
            bar.set_position(done as u64);
        });
    }

    fn finish(&self) {
        self.bar(|bar| bar.finish_and_clear());
    }
}
