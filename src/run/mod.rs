//! A run: from films to frames and posters; then each experiment is trained and measured, and its
//! results are written.
//!
//! A file imports only from those above it in this list:
//!
//! | file | its job |
//! |---|---|
//! | [`values`] | the values that options may take |
//! | [`recipe`] | what a model is and how it is trained |
//! | [`recipe_options`] | the options of a recipe on the command line |
//! | [`options`] | all options of a run: a recipe, the folders, the limits |
//! | [`identity`] | what results depend on |
//! | `memory` | what a run needs in memory, beside what there is |
//! | `out` | the folder of the results: claimed, and replaced as a whole |
//! | [`posters`] | where a run's posters come from, and which it has to do without |
//! | `prepare` | from the folder to frames and posters, in four steps |
//! | `start` | starting from the weights of another run |
//! | [`fit`] | one experiment, from training to results |
//! | `mod` | [`run`]: all experiments, one after the other |
//! | [`sweep`] | a grid of runs, and the results of each |

pub mod fit;
pub mod identity;
mod memory;
pub mod options;
mod out;
pub mod posters;
mod prepare;
pub mod recipe;
pub mod recipe_options;
mod start;
pub mod sweep;
pub mod values;

use crate::classifier::experiment::Experiment;
use crate::error::Result;
use crate::files;
use crate::nn::Isa;
use crate::progress::Progress;
use crate::run::fit::{Fit, Outcome, Share};
use crate::run::options::Options;
use crate::run::out::{LEDGER, Out};
use crate::run::posters::refusals;
use crate::run::prepare::{Prepared, prepare};
use crate::run::start::check_start;
use std::path::PathBuf;

/// Runs the experiments one after the other on rayon's current pool, and leaves everything under
/// `options.out`. An experiment for which there are not the films is noted and passed over.
///
/// While an experiment trains, its folder holds the weights of the best epoch so far. Results of an
/// earlier run are replaced when the new ones are complete, not before.
///
/// # Errors
/// If the options or the data do not allow any experiment to run, if another process is at work in
/// `options.out`, if a file cannot be read or written, or if a loss is not a number; see [`Error`].
///
/// [`Error`]: crate::Error
pub fn run(options: &Options, experiments: &[Experiment], isa: Isa, progress: &dyn Progress) -> Result<Vec<Outcome>> {
    options.recipe.model(1).plan()?;
    if let Some(run) = &options.init_from {
        let folders: Vec<PathBuf> = experiments.iter().map(|experiment| options.out.join(experiment.name)).collect();
        check_start(run, &folders, options, isa)?;
    }
    let out = Out::claim(&options.out, experiments, options.overwrite)?;
    if !out.is_locked() {
        let folder = options.out.display();
        progress.note(&format!("warning: the file system of {folder} has no locks: let no other run write there"));
    }
    let Prepared { experiments, mut ledger, mut posters } = prepare(options, experiments, out.work(), progress)?;
    let ledger_file = out.work().join(LEDGER);
    files::write_json(&ledger_file, &ledger)?;
    let place = options.out.join(LEDGER);
    progress.note(&format!("\nWhat was left out (all of it in {}):\n{ledger}", place.display()));

    let first = experiments[0].0.name;
    let turns: Vec<Options> =
        (0..experiments.len()).map(|turn| options.of_turn(turn, &options.out.join(first))).collect();
    let films = |turn: usize| (turns[turn].recipe.epochs * experiments[turn].1.train.len()) as f64;
    let all: f64 = (0..turns.len()).map(films).sum();
    let (mut outcomes, mut done) = (Vec::new(), 0.0);
    for (i, ((experiment, frame), of_turn)) in experiments.iter().zip(&turns).enumerate() {
        let share = Share { begin: done / all, size: films(i) / all };
        done += films(i);
        // The first experiment's results have not taken their final place yet.
        let start = if options.init_from == of_turn.init_from {
            options.init_from.clone()
        } else {
            Some(out.work().join(first))
        };
        let fit = Fit { options: of_turn, start, experiment, frame, posters: &mut posters, progress, share };
        outcomes.push(fit.run(&out.work().join(experiment.name), isa)?);
    }
    if !posters.late.is_empty() {
        let late = refusals(&posters.folder, &posters.late);
        progress.note(&format!("\nLeft out on the way:\n{late}"));
        ledger.cleaning.extend(late);
        files::write_json(&ledger_file, &ledger)?;
    }
    out.finish()?;
    Ok(outcomes)
}
