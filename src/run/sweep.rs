//! A sweep: many runs over a grid of options, or over points of it that are drawn at random.

use crate::classifier::experiment::Experiment;
use crate::error::Result;
use crate::files;
use crate::report::{Epoch, HISTORY_FILE, METRICS_FILE, Monitor, RECORD_FILE, Record, TRAINING};
use crate::report::{read_history, read_metrics};
use crate::rng::{Purpose, stream};
use crate::run::cross_fit;
use crate::text::cell;
use rand::Rng;
use serde::Serialize;
use std::path::Path;

/// An option of `train run`, and the values that it takes in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The option's name, without the dashes.
    pub option: String,
    /// The values, as the command line takes them.
    pub values: Vec<String>,
}

impl std::str::FromStr for Axis {
    type Err = String;

    /// Reads `option=value value ...`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('=').map(|(option, values)| (option.trim_start_matches('-'), values));
        let (option, values) = parts.ok_or("it is OPTION=VALUE VALUE ..., such as \"lr=1e-3 3e-3\"")?;
        let values: Vec<String> = values.split_whitespace().map(str::to_owned).collect();
        if option.is_empty() || values.is_empty() {
            return Err("an option and one value at least".into());
        }
        Ok(Self { option: option.into(), values })
    }
}

/// A point of the grid: a value for each option that varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial(pub Vec<(String, String)>);

impl Trial {
    /// The name of the trial's folder: `option=value` for each axis, with what a file name may not
    /// hold replaced.
    pub fn name(&self) -> String {
        let part = |(option, value): &(String, String)| format!("{option}={value}");
        let name = self.0.iter().map(part).collect::<Vec<_>>().join(" ");
        name.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect()
    }

    /// The trial's options, as arguments of `train run`.
    pub fn arguments(&self) -> Vec<String> {
        self.0.iter().map(|(option, value)| format!("--{option}={value}")).collect()
    }
}

/// The points of the grid: all of them, the last axis changing fastest, or `random` of them without
/// repetition, in the order in which they are drawn from `seed`.
pub fn trials(axes: &[Axis], random: Option<usize>, seed: u64) -> Vec<Trial> {
    let mut all = vec![Trial(Vec::new())];
    for Axis { option, values } in axes {
        let with = |trial: &Trial| {
            let longer = |value: &String| Trial([&trial.0[..], &[(option.clone(), value.clone())]].concat());
            values.iter().map(longer).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    let Some(count) = random else { return all };
    let mut random = stream(seed, Purpose::Sweep, 0);
    let mut drawn: Vec<(u64, Trial)> = all.into_iter().map(|trial| (random.next_u64(), trial)).collect();
    drawn.sort_by_key(|&(key, _)| key);
    drawn.into_iter().take(count).map(|(_, trial)| trial).collect()
}

/// The result of a trial in one experiment, on the validation films, or, of a trial that is
/// cross-fitted, out of fold on those and the training films: the test films have no part in the
/// choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The name of the trial; see [`Trial::name`].
    pub trial: String,
    /// The name of the experiment.
    pub experiment: String,
    /// The epoch with the best [`Epoch::score`]; `None` out of fold, where each fold has its own.
    pub epoch: Option<usize>,
    /// The score by which trials are compared.
    #[serde(skip)]
    pub score: f64,
    /// The mean loss per film.
    pub val_loss: f64,
    /// The macro AP.
    pub val_macro_ap: Option<f64>,
    /// The macro AUC.
    pub val_macro_auc: Option<f64>,
    /// The share of films whose most probable genre is one of theirs.
    pub val_top1_hit: f64,
    /// The share of films that have a genre among the three most probable ones.
    pub val_top3_hit: f64,
    /// The duration of the training of all epochs in seconds.
    pub seconds: f64,
}

impl Row {
    /// Reads the best epoch of an experiment's folder, by `monitor`.
    ///
    /// # Errors
    /// If its `history.csv` cannot be read.
    pub fn read(trial: &str, experiment: &Experiment, folder: &Path, monitor: Monitor) -> Result<Self> {
        let path = folder.join(HISTORY_FILE);
        let epochs = read_history(&path)?;
        let seconds = epochs.iter().map(|epoch| epoch.seconds).sum();
        let score = |epoch: &Epoch| epoch.score(monitor, experiment.head);
        let best = epochs.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)));
        let best = best.expect("a history has an epoch");
        Ok(Self {
            trial: trial.into(),
            experiment: experiment.name.into(),
            epoch: Some(best.epoch),
            score: score(&best),
            val_loss: best.val_loss,
            val_macro_ap: best.val_macro_ap,
            val_macro_auc: best.val_macro_auc,
            val_top1_hit: best.val_top1_hit,
            val_top3_hit: best.val_top3_hit,
            seconds,
        })
    }
}

impl Row {
    /// Reads the answers of all folds of an experiment in the folder `out` of a trial.
    ///
    /// # Errors
    /// If its metrics, or a fold's `run.json`, cannot be read.
    pub fn of_folds(
        trial: &str,
        experiment: &Experiment,
        (out, folds): (&Path, usize),
        monitor: Monitor,
    ) -> Result<Self> {
        let metrics = read_metrics(&out.join(experiment.name).join(METRICS_FILE))?;
        let mut seconds = 0.0;
        for fold in cross_fit::folders(out, folds) {
            seconds += Record::read(&fold.join(experiment.name).join(RECORD_FILE))?.seconds_of(TRAINING);
        }
        Ok(Self {
            trial: trial.into(),
            experiment: experiment.name.into(),
            epoch: None,
            score: monitor.score_of(experiment.head, &metrics),
            val_loss: metrics.loss,
            val_macro_ap: metrics.macro_ap,
            val_macro_auc: metrics.macro_auc,
            val_top1_hit: metrics.top1_hit,
            val_top3_hit: metrics.top3_hit,
            seconds,
        })
    }
}

/// Writes the rows to `sweep.csv`, the best of each experiment first.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) with `path`.
pub fn write(path: &Path, rows: &mut [Row]) -> Result<()> {
    rows.sort_by(|a, b| a.experiment.cmp(&b.experiment).then(b.score.total_cmp(&a.score)));
    files::write_csv(path, |csv| {
        let safe = |row: &Row| Row { trial: cell(&row.trial).into_owned(), ..row.clone() };
        rows.iter().try_for_each(|row| csv.serialize(safe(row)))
    })
}
