//! What a run leaves behind for a reader: `metrics.json`, `history.csv`, `predictions.csv`, and the terminal's table.
//!
//! All files are written whole or not at all (see [`crate::files`]).

mod history;
mod predictions;
mod table;

use std::path::Path;

pub use history::{Epoch, write_history};
pub use predictions::write_predictions;
pub use table::Table;

use crate::error::Result;
use crate::files;
use crate::metrics::Metrics;

/// Writes `metrics.json`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) with `path`.
pub fn write_metrics(path: &Path, metrics: &Metrics) -> Result<()> {
    files::write_json(path, metrics)
}
