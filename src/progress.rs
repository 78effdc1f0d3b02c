//! Where long work tells how far it is.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A listener to long work: it shows notes as lines, and how far the work is as a bar that counts
/// films; and it may ask the work to stop.
pub trait Progress: Sync {
    /// Shows a line of its own. One that begins with `warning: ` is shown also where notes are not
    /// wanted.
    fn note(&self, line: &str);
    /// Shows a line that only those want who look closely: how long a step took, why something is
    /// made again. A listener that shows no such lines need not have the method.
    fn detail(&self, _line: &str) {}
    /// Begins a bar of `total` films, or of an unknown number if that is 0; see
    /// [`bar`](trait.Progress.html#method.bar).
    fn start(&self, what: &str, total: usize);
    /// Moves the bar to `done`; `loss` is the mean so far, where there is one.
    fn at(&self, done: usize, loss: Option<f64>);
    /// Ends the bar, which goes away.
    fn finish(&self);
    /// Tells how much of the whole work, of which the bars are parts, is done: a share from 0 to 1.
    /// A listener that shows nothing of it need not have the method.
    fn whole(&self, _done: f64) {}
    /// Whether the work is to stop as soon as nothing is lost by it, with
    /// [`Error::Stopped`](crate::Error::Stopped). A listener that lets work run to its end need not
    /// have the method.
    fn stops(&self) -> bool {
        false
    }
}

impl dyn Progress + '_ {
    /// A bar of `total` films, which ends when it is dropped: also where the work fails.
    pub fn bar<'a>(&'a self, what: &str, total: usize) -> Bar<'a> {
        self.start(what, total);
        Bar { progress: self }
    }
}

/// A part of the whole work that is a whole of its own: what is told of it goes on to the listener,
/// with the shares that it is done as shares of the larger whole.
pub struct Part<'a> {
    progress: &'a dyn Progress,
    begin: f64,
    size: f64,
}

impl<'a> Part<'a> {
    /// The part with this number, counted from 1, of so many of the same size.
    pub fn new(progress: &'a dyn Progress, number: usize, of: usize) -> Self {
        Self { progress, begin: (number - 1) as f64 / of as f64, size: 1.0 / of as f64 }
    }
}

impl Progress for Part<'_> {
    fn note(&self, line: &str) {
        self.progress.note(line);
    }

    fn detail(&self, line: &str) {
        self.progress.detail(line);
    }

    fn start(&self, what: &str, total: usize) {
        self.progress.start(what, total);
    }

    fn at(&self, done: usize, loss: Option<f64>) {
        self.progress.at(done, loss);
    }

    fn finish(&self) {
        self.progress.finish();
    }

    fn whole(&self, done: f64) {
        self.progress.whole(self.begin + self.size * done);
    }

    fn stops(&self) -> bool {
        self.progress.stops()
    }
}

/// A bar that ends when it is dropped.
pub struct Bar<'a> {
    progress: &'a (dyn Progress + 'a),
}

impl Bar<'_> {
    /// Moves the bar to `done`; `loss` is the mean so far, where there is one.
    pub fn at(&self, done: usize, loss: Option<f64>) {
        self.progress.at(done, loss);
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.progress.finish();
    }
}

/// How far a bar is, how fast it goes, and when it will be done.
#[derive(Clone, Debug)]
pub struct Pace {
    what: String,
    total: usize,
    done: usize,
    loss: Option<f64>,
    begun: Instant,
    now: Instant,
}

impl Pace {
    /// A bar that begins `now`; a `total` of 0 is an unknown number.
    pub fn begin(what: &str, total: usize, now: Instant) -> Self {
        Self { what: what.into(), total, done: 0, loss: None, begun: now, now }
    }

    /// Moves the bar to `done`.
    pub fn at(&mut self, done: usize, loss: Option<f64>, now: Instant) {
        // Threads that count together may report out of order.
        self.done = self.done.max(done);
        self.loss = loss.or(self.loss);
        self.now = self.now.max(now);
    }

    /// What the bar is about, such as `epoch 3/24`.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The number of films that the bar has reached, and how many there are; the latter is 0 where
    /// it is unknown.
    pub fn counts(&self) -> (usize, usize) {
        (self.done, self.total)
    }

    /// Done, of, rate, remaining, such as `1200/5864 films, 190/s, 25 s left, loss 0.2345`.
    pub fn text(&self) -> String {
        let &Self { total, done, loss, .. } = self;
        let seconds = self.now.duration_since(self.begun).as_secs_f64();
        let mut text = match total {
            0 => format!("{done} films"),
            total => format!("{done}/{total} films"),
        };
        if done > 0 && seconds > 0.0 {
            let rate = done as f64 / seconds;
            // Slow work needs the decimal, quick work does not.
            let decimals = usize::from(rate < 10.0);
            write!(text, ", {rate:.decimals$}/s").expect("a String takes all");
            if total >= done {
                let left = Duration::from_secs_f64((total - done) as f64 / rate);
                write!(text, ", {} left", duration(left)).expect("a String takes all");
            }
        }
        if let Some(loss) = loss {
            write!(text, ", loss {loss:.4}").expect("a String takes all");
        }
        text
    }
}

/// How far the whole work is, of which bars are parts.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// When the work began, and the share that was done then: what was done before, at another
    /// pace, says nothing of what is to come.
    begun: (Instant, f64),
    now: (Instant, f64),
}

impl Whole {
    /// Work of which the share `done`, from 0 to 1, is done already.
    pub fn begin(done: f64, now: Instant) -> Self {
        Self { begun: (now, done), now: (now, done) }
    }

    /// Moves to the share `done`.
    pub fn at(&mut self, done: f64, now: Instant) {
        self.now = (now, done.clamp(0.0, 1.0));
    }

    /// Done and remaining, such as `in all 12 %, 1 h 3 min left`.
    pub fn text(&self) -> String {
        let ((then, before), (now, done)) = (self.begun, self.now);
        let mut text = format!("in all {:.0} %", (100.0 * done).floor());
        let seconds = now.duration_since(then).as_secs_f64();
        if done > before && seconds > 0.0 {
            let left = Duration::from_secs_f64(seconds * (1.0 - done) / (done - before));
            write!(text, ", {} left", duration(left)).expect("a String takes all");
        }
        text
    }
}

/// A duration in the two largest units that say something: `8 s`, `12 min`, `3 h 20 min`, `2 d 5 h`.
pub fn duration(of: Duration) -> String {
    let seconds = of.as_secs_f64().round() as u64;
    let minutes = (of.as_secs_f64() / 60.0).round() as u64;
    match seconds {
        0..100 => format!("{seconds} s"),
        100..5_970 => format!("{minutes} min"),
        5_970..172_800 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1_440, minutes / 60 % 24),
    }
}

/// [`duration`] of seconds that a file tells; `?` where they are no time, or one beyond all.
pub fn seconds(of: f64) -> String {
    Duration::try_from_secs_f64(of).map_or_else(|_| "?".to_owned(), duration)
}

/// When a line tells of work that nobody watches as a bar.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// The time from the beginning of a bar to its first line: work that takes less needs none.
    pub first: Duration,
    /// The time from one line to the next.
    pub then: Duration,
}

impl Rhythm {
    /// The rhythm for those who look closely: a line every two seconds.
    pub const CLOSE: Self = Self { first: Duration::from_secs(2), then: Duration::from_secs(2) };
}

impl Default for Rhythm {
    /// The first line after 10 s, then one every 30 s.
    fn default() -> Self {
        Self { first: Duration::from_secs(10), then: Duration::from_secs(30) }
    }
}

/// Tells of work in lines now and then, for logs and other places that are no terminal.
///
/// It takes the time as an argument and hands lines back, so that it needs no clock and writes
/// nowhere.
#[derive(Debug, Default)]
pub struct Lines {
    rhythm: Rhythm,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bar: Option<(Pace, Instant)>,
    whole: Option<Whole>,
}

impl Lines {
    /// Lines in a rhythm of their own.
    pub fn new(rhythm: Rhythm) -> Self {
        Self { rhythm, ..Self::default() }
    }

    /// Begins a bar; see [`Progress::start`].
    pub fn start(&self, what: &str, total: usize, now: Instant) {
        self.state().bar = Some((Pace::begin(what, total, now), now + self.rhythm.first));
    }

    /// Moves the bar; see [`Progress::at`]. Returns a line if it is time for one.
    pub fn at(&self, done: usize, loss: Option<f64>, now: Instant) -> Option<String> {
        let State { bar, whole } = &mut *self.state();
        let (pace, due) = bar.as_mut()?;
        pace.at(done, loss, now);
        if now < *due {
            return None;
        }
        *due = now + self.rhythm.then;
        let whole = whole.map_or(String::new(), |whole| format!("; {}", whole.text()));
        Some(format!("{}: {}{whole}", pace.what(), pace.text()))
    }

    /// Ends the bar.
    pub fn finish(&self) {
        self.state().bar = None;
    }

    /// Tells how much of the whole work is done; see [`Progress::whole`].
    pub fn whole(&self, done: f64, now: Instant) {
        let whole = &mut self.state().whole;
        whole.get_or_insert_with(|| Whole::begin(done, now)).at(done, now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
