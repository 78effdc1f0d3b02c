//! What a run leaves for a reader: `metrics.json`, `history.csv`, `predictions.csv`, `run.json`, and
//! tables on the terminal.
//!
//! All files are written whole or not at all (see [`crate::files`]).

mod comparison;
mod history;
mod metrics;
mod predictions;
mod record;
mod table;

pub use comparison::{Comparison, Difference};
pub use history::{Epoch, Monitor, read_history, write_history};
pub use metrics::{Baselines, Bin, Calibration, Confusion, Evaluation, GenreMetrics, Intervals, Metrics};
pub use predictions::{Predictions, write_predictions};
pub use record::{Record, Stage, TRAINING, VALIDATION};
pub(crate) use table::{CHANCE_AUC, FEW};
pub use table::{Table, columns, percent, score, short};

use crate::error::{Error, Result};
use crate::files;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The file of [`Metrics`] in the folder of an experiment.
pub const METRICS_FILE: &str = "metrics.json";
/// The file of the epochs.
pub const HISTORY_FILE: &str = "history.csv";
/// The file of the [`Record`].
pub const RECORD_FILE: &str = "run.json";
/// The file of the answers about the test films.
pub const PREDICTIONS_FILE: &str = "predictions.csv";
/// What to do about a file of results that cannot be read.
const REMEDY: &str = "run the experiment again, or name another folder";

/// Writes `metrics.json`.
///
/// # Errors
/// [`Error::Io`] with `path`.
pub fn write_metrics(path: &Path, metrics: &Metrics) -> Result<()> {
    files::write_json(path, metrics)
}

/// Reads a `metrics.json` that [`write_metrics`] wrote; every number is the one that was written.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Data`] if it is no such file, or has not as many
/// figures as genres.
pub fn read_metrics(path: &Path) -> Result<Metrics> {
    let metrics: Metrics = read_json(path)?;
    let genres = metrics.genres.len();
    let figures = [Some(metrics.per_genre.len()), metrics.thresholds.as_ref().map(Vec::len)];
    match figures.into_iter().flatten().find(|&figures| figures != genres) {
        Some(figures) => Err(Error::data(path, format!("it has {genres} genres, and figures of {figures}"), REMEDY)),
        None => Ok(metrics),
    }
}

/// Reads a JSON file of a run.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Data`], with the line where JSON ends, if its
/// content is something else.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?).map_err(|why| match why.line() {
        0 => Error::data(path, why.to_string(), REMEDY),
        line => Error::row(path, line as u64, why.to_string(), REMEDY),
    })
}

/// Reads the cells of one column of a CSV file with a header.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Data`], with the row, if it is no such file.
pub(crate) fn read_column(path: &Path, name: &str) -> Result<Vec<String>> {
    let content = read(path)?;
    let mut reader = csv::Reader::from_reader(&content[..]);
    let bad = |error| history::from_csv(path, error);
    let at = reader.headers().map_err(bad)?.iter().position(|head| head == name);
    let at = at.ok_or_else(|| Error::row(path, 1, format!("there is no column {name}"), REMEDY))?;
    reader.records().map(|record| Ok(record.map_err(bad)?[at].to_owned())).collect()
}

/// The content of a file of results, if it is a regular one: read as a whole, since a CSV reader gives up
/// where a signal interrupts it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    files::read_regular(path).map_err(Error::io(path, "read the results"))
}
