//! `history.csv`: one row per epoch.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::nn::Head;
use crate::progress::duration;
use crate::report::{Metrics, REMEDY, percent, read, score};

/// What compares epochs: a metric on the validation films.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Macro AP in multi-label, the loss where a film has one genre.
    // With one genre per film, few validation films have the rare genres, and a mean over genres
    // follows these few; the loss counts all films alike.
    Auto,
    /// The mean loss per film.
    Loss,
    /// The macro AP.
    Ap,
    /// The macro AUC.
    Auc,
    /// The share of films whose most probable genre is one of theirs.
    Top1,
    /// The share of films that have a genre among the three most probable ones.
    Top3,
}

/// A [`Monitor`] of one experiment.
enum Measure {
    Loss,
    Ap,
    Auc,
    Top1,
    Top3,
}

impl Monitor {
    fn of(self, head: Head) -> Measure {
        match (self, head) {
            (Self::Auto, Head::Sigmoid) | (Self::Ap, _) => Measure::Ap,
            (Self::Auto, Head::Softmax) | (Self::Loss, _) => Measure::Loss,
            (Self::Auc, _) => Measure::Auc,
            (Self::Top1, _) => Measure::Top1,
            (Self::Top3, _) => Measure::Top3,
        }
    }

    /// The score of metrics on any films, as of an epoch's: more is better.
    pub(crate) fn score_of(self, head: Head, of: &Metrics) -> f64 {
        self.score(head, of.loss, [of.top1_hit, of.top3_hit], [of.macro_ap, of.macro_auc])
    }

    fn score(self, head: Head, loss: f64, [top1, top3]: [f64; 2], [ap, auc]: [Option<f64>; 2]) -> f64 {
        match self.of(head) {
            Measure::Loss => -loss,
            // There is a macro AP wherever any film has a genre; without one, and so with the AUC,
            // all are equally good.
            Measure::Ap => ap.unwrap_or(0.0),
            Measure::Auc => auc.unwrap_or(0.0),
            Measure::Top1 => top1,
            Measure::Top3 => top3,
        }
    }

    /// A phrase that says what the best [`score`](Epoch::score) is, such as "lowest loss on val".
    pub fn best(self, head: Head) -> &'static str {
        match self.of(head) {
            Measure::Loss => "lowest loss on val",
            Measure::Ap => "highest macro AP on val",
            Measure::Auc => "highest macro AUC on val",
            Measure::Top1 => "highest top-1 hit rate on val",
            Measure::Top3 => "highest top-3 hit rate on val",
        }
    }
}

/// One epoch of training; its fields are the columns of `history.csv`, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The number of the epoch, counted from 1.
    pub epoch: usize,
    /// The mean loss per film over the epoch's batches, each before its own step.
    pub train_loss: f64,
    /// The mean loss per film on the validation films, after the epoch.
    pub val_loss: f64,
    /// [`Metrics::top1_hit`] on the validation films.
    pub val_top1_hit: f64,
    /// [`Metrics::top3_hit`] on the validation films.
    pub val_top3_hit: f64,
    /// [`Metrics::macro_ap`] on the validation films; empty if it does not exist.
    pub val_macro_ap: Option<f64>,
    /// [`Metrics::macro_auc`] on the validation films; empty if it does not exist.
    pub val_macro_auc: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f32,
    /// The duration of the training steps in seconds, validation not included.
    pub seconds: f64,
    /// The number of films trained on per second.
    pub images_per_second: f64,
    /// The share of `seconds` in which training waited for images, from 0 to 1.
    pub waiting: f64,
}

impl Epoch {
    /// The row of an epoch that trained on `films` films in `seconds`, of which it `waited` some
    /// for images, ended at a learning rate, and then got `val` on the validation films.
    ///
    /// # Panics
    /// If `seconds` is not positive.
    pub fn new(
        epoch: usize,
        train_loss: f64,
        val: &Metrics,
        learning_rate: f32,
        films: usize,
        seconds: f64,
        waited: f64,
    ) -> Self {
        assert!(seconds > 0.0, "an epoch took {seconds} s");
        Self {
            epoch,
            train_loss,
            val_loss: val.loss,
            val_top1_hit: val.top1_hit,
            val_top3_hit: val.top3_hit,
            val_macro_ap: val.macro_ap,
            val_macro_auc: val.macro_auc,
            learning_rate,
            seconds,
            images_per_second: films as f64 / seconds,
            waiting: waited / seconds,
        }
    }

    /// The score by which epochs of the same experiment, whose model has this head, are compared:
    /// more is better.
    pub fn score(&self, monitor: Monitor, head: Head) -> f64 {
        let (hits, means) = ([self.val_top1_hit, self.val_top3_hit], [self.val_macro_ap, self.val_macro_auc]);
        monitor.score(head, self.val_loss, hits, means)
    }

    /// The line of the epoch on the terminal: its losses, the metrics on the validation films, its
    /// last learning rate, its duration, and whether it is the best so far.
    pub fn line(&self, is_best: bool) -> String {
        let waiting = match self.waiting {
            // Less than this is not worth a word.
            0.1.. => format!("  {:.0}% waiting for posters", 100.0 * self.waiting),
            _ => String::new(),
        };
        let best = if is_best { "  best" } else { "" };
        let (rate, took) = (self.learning_rate, duration(Duration::from_secs_f64(self.seconds)));
        format!("{self}  lr {rate:.1e}  {took}{best}{waiting}")
    }
}

/// The epoch's losses and its metrics on the validation films, in half a line.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "epoch {:>2}  loss {:.4}  val {:.4}  AP {}  top-1 {:>5}",
            self.epoch,
            self.train_loss,
            self.val_loss,
            score(self.val_macro_ap),
            percent(self.val_top1_hit),
        )
    }
}

/// Writes `history.csv`, all epochs so far: the file is replaced after each epoch, and whole at any
/// time.
///
/// # Errors
/// [`Error::Io`] with `path`.
pub fn write_history(path: &Path, epochs: &[Epoch]) -> Result<()> {
    files::write_csv(path, |csv| epochs.iter().try_for_each(|epoch| csv.serialize(epoch)))
}

/// Reads a `history.csv` that [`write_history`] wrote.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Data`], with the row, if it holds anything but
/// epochs, or none, or they are not numbered 1, 2, 3 and so on.
pub fn read_history(path: &Path) -> Result<Vec<Epoch>> {
    let content = read(path)?;
    let epochs: Vec<Epoch> = csv::Reader::from_reader(&content[..])
        .into_deserialize()
        .collect::<csv::Result<_>>()
        .map_err(|error| from_csv(path, error))?;
    match epochs.iter().zip(1..).find(|(of, number)| of.epoch != *number) {
        Some((of, number)) => {
            Err(Error::row(path, number as u64 + 1, format!("epoch {} where {number} comes next", of.epoch), REMEDY))
        }
        None if epochs.is_empty() => Err(Error::data(path, "it has no epoch", REMEDY)),
        None => Ok(epochs),
    }
}

/// The error for a row that the CSV reader does not take.
pub(super) fn from_csv(path: &Path, error: csv::Error) -> Error {
    let row = error.position().map(csv::Position::line);
    let what = match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} fields instead of {expected_len}"),
        _ => error.to_string(),
    };
    match (error.into_kind(), row) {
        (csv::ErrorKind::Io(source), _) => Error::io(path, "read the results")(source),
        (_, Some(row)) => Error::row(path, row, what, REMEDY),
        (_, None) => Error::data(path, what, REMEDY),
    }
}
