//! A run: from films to frames and posters; then each experiment is trained and measured, and its
//! results are written.
//!
//! A file imports only from those above it in this list:
//!
//! | file | its job |
//! |---|---|
//! | [`values`] | the values that options may take |
//! | [`recipe`] | what a model is and how it is trained: the options of the command line |
//! | [`options`] | all options of a run: a recipe, the folders, the limits |
//! | [`identity`] | what results depend on |
//! | [`posters`] | where a run's posters come from, and which it has to do without |
//! | `prepare` | from the folder to frames and posters, in four steps |
//! | `start` | starting from the weights of another run |
//! | [`fit`] | one experiment, from training to results |
//! | `mod` | [`run`]: all experiments, one after the other |
//! | [`sweep`] | a grid of runs, and the results of each |

pub mod fit;
pub mod identity;
pub mod options;
pub mod posters;
mod prepare;
pub mod recipe;
mod start;
pub mod sweep;
pub mod values;

use crate::classifier::MODEL_FILE;
use crate::classifier::experiment::Experiment;
use crate::error::{Error, Result};
use crate::files;
use crate::nn::Isa;
use crate::progress::Progress;
use crate::run::fit::{Fit, Outcome};
use crate::run::options::Options;
use crate::run::posters::refusals;
use crate::run::prepare::{Prepared, prepare};
use crate::run::start::check_start;
use std::path::{Path, PathBuf};

/// Runs the experiments one after the other on rayon's current pool, and leaves everything under
/// `options.out`.
///
/// # Errors
/// If the options or the data do not allow the run, if a file cannot be read or written, or if a
/// loss is not a number; see [`Error`].
pub fn run(options: &Options, experiments: &[Experiment], isa: Isa, progress: &dyn Progress) -> Result<Vec<Outcome>> {
    options.recipe.model(1).plan()?;
    let earlier: Vec<PathBuf> = Experiment::ALL.iter().flat_map(|of| results(&options.out.join(of.name))).collect();
    if let (Some(file), false) = (earlier.first(), options.overwrite) {
        let what = format!("{} already holds a run ({})", options.out.display(), file.display());
        return Err(Error::usage(what, "name another --out, or add --overwrite"));
    }
    let folders: Vec<PathBuf> = experiments.iter().map(|experiment| options.out.join(experiment.name)).collect();
    if let Some(run) = &options.init_from {
        check_start(run, &folders, options, isa)?;
    }
    let Prepared { frames, mut ledger, mut posters } = prepare(options, experiments, progress)?;
    std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out, "make the folder"))?;
    files::write_json(&options.out.join("ledger.json"), &ledger)?;
    progress.note(&format!("\nWhat was left out (all of it in ledger.json):\n{ledger}"));

    // All at once, so that a run that ends early leaves no results of an earlier run beside its
    // own.
    folders.iter().try_for_each(|folder| claim(folder))?;
    let mut outcomes = Vec::new();
    for (i, ((experiment, frame), folder)) in experiments.iter().zip(&frames).zip(&folders).enumerate() {
        let options = &options.of_turn(i, &folders[0]);
        let fit = Fit { options, experiment, frame, posters: &mut posters, progress };
        outcomes.push(fit.run(folder, isa)?);
    }
    if !posters.late.is_empty() {
        let late = refusals(&posters.folder, &posters.late);
        progress.note(&format!("\nLeft out on the way:\n{late}"));
        ledger.cleaning.extend(late);
        files::write_json(&options.out.join("ledger.json"), &ledger)?;
    }
    Ok(outcomes)
}

/// The files that a run writes into an experiment's folder.
fn results(folder: &Path) -> Vec<PathBuf> {
    let files = ["config.toml", "history.csv", "metrics.json", "predictions.csv", MODEL_FILE];
    files.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect()
}

/// Makes the folder of an experiment's results, without those of an earlier run.
fn claim(folder: &Path) -> Result<()> {
    for path in results(folder) {
        std::fs::remove_file(&path).map_err(Error::io(&path, "remove the earlier run's file"))?;
    }
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))
}
