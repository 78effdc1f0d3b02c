//! What a run leaves for a reader: `metrics.json`, `history.csv`, `predictions.csv`, and tables on
//! the terminal.
//!
//! All files are written whole or not at all (see [`crate::files`]).

mod history;
mod metrics;
mod predictions;
mod table;

pub use history::{Epoch, write_history};
pub use metrics::{Baselines, Evaluation, GenreMetrics, Intervals, Metrics};
pub use predictions::write_predictions;
pub use table::{Table, columns, percent, score, short};

use crate::error::Result;
use crate::files;
use std::path::Path;

/// Writes `metrics.json`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) with `path`.
pub fn write_metrics(path: &Path, metrics: &Metrics) -> Result<()> {
    files::write_json(path, metrics)
}
