//! What a run leaves for a reader: `metrics.json`, `history.csv`, `predictions.csv`, and tables on
//! the terminal.
//!
//! All files are written whole or not at all (see [`crate::files`]).

mod history;
mod metrics;
mod predictions;
mod table;

pub use history::{Epoch, Monitor, write_history};
pub use metrics::{Baselines, Evaluation, GenreMetrics, Intervals, Metrics};
pub use predictions::write_predictions;
pub use table::{Table, columns, percent, score, short};

use crate::error::{Error, Result};
use crate::files;
use std::path::Path;

/// The file of [`Metrics`] in the folder of an experiment.
pub const METRICS_FILE: &str = "metrics.json";
/// The file of the epochs.
pub const HISTORY_FILE: &str = "history.csv";
/// The file of the answers about the test films.
pub const PREDICTIONS_FILE: &str = "predictions.csv";

/// Writes `metrics.json`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) with `path`.
pub fn write_metrics(path: &Path, metrics: &Metrics) -> Result<()> {
    files::write_json(path, metrics)
}

/// Reads `metrics.json`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where it cannot be read; [`Error::Data`] where it is damaged.
pub fn read_metrics(path: &Path) -> Result<Metrics> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the metrics"))?;
    serde_json::from_str(&text).map_err(|error| {
        let what = format!("it is not what this version writes ({error})");
        Error::data(path, what, "measure the model again: `train evaluate`")
    })
}
