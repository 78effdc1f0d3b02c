//! The checkpoints of a run: one file that holds everything from which the run can go on, written
//! beside the training.

use crate::data::refusal::Refusal;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::nn::checkpoint::{Checkpoint, Values, description_to_bytes, to_bytes};
use crate::nn::{Sequential, Trainer};
use crate::progress::Progress;
use crate::report::Epoch;
use crate::run::course::Course;
use crate::run::identity;
use crate::run::outcome::Outcome;
use crate::run::watch::Watch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// The name of the file in the folder in which a run works.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

/// The version of what is in the file beside the tensors.
const VERSION: u32 = 1;

/// What a checkpoint says of its run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunState {
    version: u32,
    /// What the results depend on; see [`identity::of_run`].
    identity: String,
    /// The experiments that are complete.
    pub done: Vec<Outcome>,
    /// The posters that turned out not to decode on the way.
    pub late: BTreeMap<u64, Refusal>,
    /// How far the next experiment is; `None` before it begins.
    pub fit: Option<FitState>,
    /// Whether nothing is left to do but to put the results in their place.
    pub is_complete: bool,
}

/// How far the training of an experiment is, beside the values of its model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FitState {
    /// The name of the experiment.
    pub experiment: String,
    /// The [`Frame::digest`](crate::data::frames::Frame::digest) of its films.
    pub films: u32,
    /// Where the training is in its present epoch.
    pub position: Position,
    /// The epochs that are complete.
    pub history: Vec<Epoch>,
    /// What these have come to.
    pub watch: Watch,
    /// The epoch whose values are kept aside.
    pub kept: Option<usize>,
    /// When the experiment began.
    pub begun: SystemTime,
    /// How long the validation of the complete epochs took, in seconds.
    pub validation: f64,
}

impl FitState {
    /// Whether a training of this course can have come so far: a file may say anything.
    pub fn fits(&self, course: &Course) -> bool {
        let Position { epoch, at, seconds, waited, .. } = self.position;
        let (epochs, complete) = (course.epochs(), self.history.len());
        let times = self.history.iter().map(|of| of.seconds).chain([seconds, waited, self.validation]);
        (1..=epochs + 1).contains(&epoch)
            && complete < epoch
            && [complete > 0, self.kept.is_some()] == [epoch > 1; 2]
            && at <= course.films(epoch)
            // An epoch that is at its end has taken its time.
            && (at == 0 || at < course.films(epoch) || seconds > 0.0)
            && times.map(Duration::try_from_secs_f64).all(|time| time.is_ok())
    }
}

/// A place in a training.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The epoch, counted from 1; one more than there are once all are complete.
    pub epoch: usize,
    /// How many films of the epoch's order have been gone through.
    pub at: usize,
    /// How many steps have been taken in the epoch.
    pub steps: usize,
    /// How many films they were.
    pub films: usize,
    /// How many of these have genres.
    pub labelled: usize,
    /// The sum of the losses of these, of their genres alone.
    pub loss: f64,
    /// The duration of these steps.
    pub seconds: f64,
    /// The part of `seconds` in which training waited for images.
    pub waited: f64,
}

impl Position {
    /// The beginning of an epoch.
    pub fn begin(epoch: usize) -> Self {
        Self { epoch, at: 0, steps: 0, films: 0, labelled: 0, loss: 0.0, seconds: 0.0, waited: 0.0 }
    }
}

impl RunState {
    /// Reads what a checkpoint says, and refuses it if it is of a run with other results.
    ///
    /// # Errors
    /// [`Error::Usage`], naming the options that differ; [`Error::Data`] where the file is damaged.
    pub fn read(checkpoint: &Checkpoint, path: &Path, identity: &str) -> Result<Self> {
        let state: Self = checkpoint.description()?;
        if state.version != VERSION {
            let what = format!("a checkpoint of layout {} where {VERSION} is known", state.version);
            return Err(Error::data(path, what, "go on with the program that wrote it"));
        }
        let other = identity::differences(&state.identity, identity);
        if !other.is_empty() {
            let what = format!("{} was written with other options: {}", path.display(), other.join(", "));
            return Err(Error::usage(what, "give the same ones (--config with the config.toml beside it has them)"));
        }
        Ok(state)
    }
}

/// The writer of a run's checkpoints. A checkpoint is written by a thread of its own; while it is at
/// work, none other is begun.
pub(crate) struct Checkpoints<'a> {
    path: PathBuf,
    /// Whether this rank writes them.
    writes: bool,
    identity: String,
    /// The experiments that are complete.
    pub done: Vec<Outcome>,
    every: Duration,
    last: Instant,
    /// Whether one that should have been written could not be begun.
    is_overdue: bool,
    /// One that waits for the step that proves it.
    held: Option<Vec<u8>>,
    writing: Option<JoinHandle<Result<()>>>,
    progress: &'a dyn Progress,
}

/// A training to be written down.
pub(crate) struct Snapshot<'a> {
    pub model: &'a Sequential,
    pub trainer: &'a Trainer,
    /// The values kept aside.
    pub kept: Option<&'a Values>,
    pub state: &'a FitState,
}

impl<'a> Checkpoints<'a> {
    /// Checkpoints in the folder `work`, one after each time span `every` and each epoch, of a run
    /// that has `done` some experiments. A rank that does not write them keeps count alone.
    pub fn new(
        (work, writes): (&Path, bool),
        identity: String,
        every: Duration,
        done: Vec<Outcome>,
        progress: &'a dyn Progress,
    ) -> Self {
        let (path, last) = (work.join(CHECKPOINT_FILE), Instant::now());
        Self { path, writes, identity, done, every, last, is_overdue: false, held: None, writing: None, progress }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is time for one, and none is being written.
    pub fn is_due(&mut self) -> bool {
        self.writes && (self.is_overdue || self.last.elapsed() >= self.every) && self.held.is_none() && self.is_free()
    }

    /// Takes a checkpoint of a training whose last step nothing has proved yet: it is written once
    /// the next step has a finite loss; see [`confirm`](Self::confirm).
    ///
    /// # Errors
    /// [`Error::Data`] if its values are none that a training may have.
    pub fn hold(&mut self, snapshot: Snapshot, late: &BTreeMap<u64, Refusal>) -> Result<()> {
        self.held = Some(self.bytes_of(snapshot, late)?);
        Ok(())
    }

    /// Writes what is held.
    pub fn confirm(&mut self) {
        if let Some(bytes) = self.held.take() {
            self.begin(bytes);
        }
    }

    /// Takes a checkpoint and begins to write it; if another is being written, one is due at the
    /// next step.
    ///
    /// # Errors
    /// [`Error::Data`] if the values are none that a training may have.
    pub fn write(&mut self, snapshot: Snapshot, late: &BTreeMap<u64, Refusal>) -> Result<()> {
        self.held = None;
        if !self.writes {
            return Ok(());
        }
        match self.is_free() {
            true => {
                let bytes = self.bytes_of(snapshot, late)?;
                self.begin(bytes);
            }
            false => self.is_overdue = true,
        }
        Ok(())
    }

    /// Takes a checkpoint, and returns when it is on the disk.
    ///
    /// # Errors
    /// [`Error::Data`] if the values are none that a training may have; [`Error::Io`] where the file
    /// cannot be written.
    pub fn write_now(&mut self, snapshot: Snapshot, late: &BTreeMap<u64, Refusal>) -> Result<()> {
        self.settle();
        if !self.writes {
            return Ok(());
        }
        let bytes = self.bytes_of(snapshot, late)?;
        write_atomically(&self.path, |file| file.write_all(&bytes))
    }

    /// Notes in the file that an experiment is complete.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn complete(&mut self, outcome: Outcome, late: &BTreeMap<u64, Refusal>) -> Result<()> {
        self.settle();
        self.done.push(outcome);
        self.write_state(&self.state(None, late))
    }

    fn write_state(&self, state: &RunState) -> Result<()> {
        if !self.writes {
            return Ok(());
        }
        let bytes = description_to_bytes(state, &self.path)?;
        write_atomically(&self.path, |file| file.write_all(&bytes))
    }

    /// Waits until nothing is being written; what was held is dropped.
    pub fn settle(&mut self) {
        self.held = None;
        if let Some(writing) = self.writing.take() {
            self.note(writing);
        }
    }

    /// Notes in the file that all results of the run are there, and returns them.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn finish(mut self, late: &BTreeMap<u64, Refusal>) -> Result<Vec<Outcome>> {
        self.settle();
        let state = RunState { is_complete: true, ..self.state(None, late) };
        self.write_state(&state)?;
        Ok(state.done)
    }

    /// Whether none is being written.
    fn is_free(&mut self) -> bool {
        if let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) {
            self.note(writing);
        }
        self.writing.is_none()
    }

    /// Waits for a thread, and warns if it could not write: the training goes on, and the file that
    /// was there before is still there.
    fn note(&self, writing: JoinHandle<Result<()>>) {
        if let Err(error) = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            self.progress.note(&format!("warning: no checkpoint was written, and training goes on: {error}"));
        }
    }

    fn begin(&mut self, bytes: Vec<u8>) {
        (self.last, self.is_overdue) = (Instant::now(), false);
        let path = self.path.clone();
        let write = move || write_atomically(&path, |file| file.write_all(&bytes));
        match thread::Builder::new().spawn(write) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => {
                let error = Error::thread(&self.path)(error);
                self.progress.note(&format!("warning: no checkpoint was written, and training goes on: {error}"));
            }
        }
    }

    /// The bytes of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Data`] if its values are none that a training may have.
    pub fn bytes_of(&self, snapshot: Snapshot, late: &BTreeMap<u64, Refusal>) -> Result<Vec<u8>> {
        let Snapshot { model, trainer, kept, state } = snapshot;
        to_bytes(model, trainer, kept, &self.state(Some(state), late), &self.path)
    }

    fn state(&self, fit: Option<&FitState>, late: &BTreeMap<u64, Refusal>) -> RunState {
        let (identity, done, late) = (self.identity.clone(), self.done.clone(), late.clone());
        RunState { version: VERSION, identity, done, late, fit: fit.cloned(), is_complete: false }
    }
}

impl Drop for Checkpoints<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}
