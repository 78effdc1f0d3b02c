//! The display of a command's progress: a bar on a terminal, a line now and then elsewhere.

use crate::output::{self, Verbosity};
use crate::signals;
use indicatif::{ProgressBar, ProgressStyle};
use onesheet::progress::{Lines, Pace, Progress, Rhythm, Whole};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A display whose lines go to stdout or stderr. Its bars go to stderr where that is a terminal;
/// elsewhere lines tell of them now and then.
pub struct Terminal {
    shown: Shown,
    /// Whether lines go to stderr, because stdout is for the result.
    quiet_stdout: bool,
}

/// How the display shows progress.
enum Shown {
    Nothing,
    Bar(Mutex<Drawn>),
    Lines(Lines),
}

/// A bar as it is drawn, and what it says.
struct Drawn {
    bar: ProgressBar,
    pace: Option<Pace>,
    whole: Option<Whole>,
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
        // A terminal that can do nothing but print has no bars.
        let has_bars = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let shown = match output::verbosity() {
            Verbosity::Quiet => Shown::Nothing,
            _ if has_bars => Shown::Bar(Mutex::new(Drawn { bar: ProgressBar::hidden(), pace: None, whole: None })),
            Verbosity::Normal => Shown::Lines(Lines::default()),
            Verbosity::Verbose => Shown::Lines(Lines::new(Rhythm::CLOSE)),
        };
        Self { shown, quiet_stdout }
    }

    /// Does what writes to the terminal while no bar is in its way.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.shown {
            Shown::Bar(drawn) => locked(drawn).bar.suspend(write),
            Shown::Lines(_) | Shown::Nothing => write(),
        }
    }

    fn line(&self, line: &str) {
        if self.quiet_stdout { output::tell(line) } else { output::say(line) }
    }
}

impl Progress for Terminal {
    fn note(&self, line: &str) {
        match output::verbosity() {
            Verbosity::Quiet if line.starts_with("warning: ") => output::tell(line),
            Verbosity::Quiet => {}
            _ => self.aside(|| self.line(line)),
        }
    }

    fn detail(&self, line: &str) {
        if output::verbosity() == Verbosity::Verbose {
            self.aside(|| self.line(line));
        }
    }

    fn start(&self, what: &str, total: usize) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(drawn) => locked(drawn).start(what, total),
            Shown::Lines(lines) => lines.start(what, total, Instant::now()),
        }
    }

    fn at(&self, done: usize, loss: Option<f64>) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(drawn) => locked(drawn).at(done, loss),
            Shown::Lines(lines) => lines.at(done, loss, Instant::now()).iter().for_each(|line| self.line(line)),
        }
    }

    fn finish(&self) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(drawn) => locked(drawn).finish(),
            Shown::Lines(lines) => lines.finish(),
        }
    }

    fn whole(&self, done: f64) {
        let now = Instant::now();
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(drawn) => locked(drawn).whole.get_or_insert_with(|| Whole::begin(done, now)).at(done, now),
            Shown::Lines(lines) => lines.whole(done, now),
        }
    }

    fn stops(&self) -> bool {
        signals::asked().is_some()
    }
}

impl Drawn {
    fn start(&mut self, what: &str, total: usize) {
        // The time that the whole work takes stands above that of its part.
        let above = if self.whole.is_some() { "{prefix}\n" } else { "" };
        let bar = if total > 0 { "{wide_bar} " } else { "" };
        // Nothing of others is in the template, where it could mean something.
        let style = ProgressStyle::with_template(&format!("{above}{bar}{{msg}}")).expect("it is well-formed");
        self.bar = ProgressBar::new(total as u64).with_style(style);
        self.pace = Some(Pace::begin(what, total, Instant::now()));
        self.show();
    }

    fn at(&mut self, done: usize, loss: Option<f64>) {
        if let Some(pace) = &mut self.pace {
            pace.at(done, loss, Instant::now());
            self.show();
        }
    }

    fn show(&self) {
        let Some(pace) = &self.pace else { return };
        if let Some(whole) = &self.whole {
            self.bar.set_prefix(whole.text());
        }
        self.bar.set_message(format!("{}: {}", pace.what(), pace.text()));
        self.bar.set_position(pace.counts().0 as u64);
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.pace = None;
    }
}

fn locked(drawn: &Mutex<Drawn>) -> MutexGuard<'_, Drawn> {
    drawn.lock().unwrap_or_else(PoisonError::into_inner)
}
