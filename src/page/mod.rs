//! `report.html`: what a run was and what came of it, in a file that holds all that it shows.
//!
//! A report asks nobody for anything: its style, its charts (SVG) and its pictures (JPEG) are in it,
//! it has no scripts, and tells the browser to load nothing. It follows the reader's light or dark
//! scheme, fits a phone and a sheet of paper, and every chart has a description and a table. Text
//! from outside is escaped where it becomes HTML, by the crate that makes the HTML, and made safe to
//! show before (see [`crate::text`]).
//!
//! A file imports only from those above it in this list:
//!
//! | file | its job |
//! |---|---|
//! | `document` | the shell of a report: style, contents, sections, tables, figures |
//! | `chart` | charts as SVG |
//! | `picture` | posters as pictures in the page |
//! | `folder` | what an experiment's folder holds |
//! | `films` | the best, worst and typical test films, and their posters |
//! | `measures` | the headline metrics with their intervals and trivial answers |
//! | `sections` | the parts of an experiment's report |
//! | `experiment` | the report of an experiment |
//! | `overview` | the report of a run |
//! | `comparison` | runs side by side |

mod chart;
mod comparison;
mod document;
mod experiment;
mod films;
mod folder;
mod measures;
mod overview;
mod picture;
mod sections;

use crate::error::Result;
use crate::nn::Isa;
use crate::report::read_column;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The name of a report in the folder of an experiment, of a run or of a sweep.
pub const FILE: &str = "report.html";

/// Writes the report of an experiment into its folder, from the files that are there and from
/// `ledger.json` beside the folder, and returns its path.
///
/// A file that is missing leaves a sentence in its place; only `config.toml` has to be there. The
/// posters come from the data folder that it names; where that is gone, the report says so. The same
/// files give the same bytes.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) or [`Error::Io`](crate::Error::Io), with the file and the row
/// where there is one, if a file that is there cannot be read, if the files are not of one
/// experiment, if there is a `report.html` that onesheet did not write, or if it cannot be written.
pub fn write_experiment(folder: &Path, isa: Isa) -> Result<PathBuf> {
    write(&experiment::report(folder, isa)?, folder.join(FILE))
}

/// Writes the report of a run into its folder: the results of its experiments, with links to their
/// own reports.
///
/// # Errors
/// As [`write_experiment`]; also if the folder has no experiment.
pub fn write_run(out: &Path) -> Result<PathBuf> {
    write(&overview::report(out)?, out.join(FILE))
}

/// Writes a report to `to` that compares runs, each the folder of a run or of an experiment. Runs
/// are compared within each experiment.
///
/// # Errors
/// As [`write_run`].
pub fn write_comparison(runs: &[PathBuf], to: &Path) -> Result<PathBuf> {
    write(&comparison::report(runs)?, to.to_path_buf())
}

/// The file in a sweep's folder that names the trials, best first.
const SWEEP: &str = "sweep.csv";

/// Whether a folder is one of a sweep.
pub fn is_sweep(folder: &Path) -> bool {
    folder.join(SWEEP).is_file()
}

/// Writes the report of a sweep into its folder, which compares the trials that `sweep.csv` names.
///
/// # Errors
/// As [`write_comparison`]; also if there is no `sweep.csv`, or it cannot be read.
pub fn write_sweep(folder: &Path) -> Result<PathBuf> {
    let (mut trials, mut seen) = (Vec::new(), HashSet::new());
    for name in read_column(&folder.join(SWEEP), "trial")? {
        if seen.insert(name.clone()) {
            trials.push(folder.join(name));
        }
    }
    write_comparison(&trials, &folder.join(FILE))
}

/// The folders of the experiments in the folder of a run, in the order in which they ran; the folder
/// itself where it is one of an experiment.
pub fn experiments(run: &Path) -> Vec<PathBuf> {
    match folder::Folder::is_at(run) {
        true => vec![run.to_path_buf()],
        false => overview::experiments(run).into_iter().map(|name| run.join(name)).collect(),
    }
}

fn write(document: &document::Document, path: PathBuf) -> Result<PathBuf> {
    document.write(&path)?;
    Ok(path)
}
