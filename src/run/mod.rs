//! A run: from films to frames and posters; then each experiment is trained and measured, and its
//! results are written.
//!
//! A file imports only from those above it in this list:
//!
//! | file | its job |
//! |---|---|
//! | [`values`] | the values that options may take |
//! | [`course`] | how long a training is: steps, and the epochs that they make |
//! | [`recipe`] | what a model is and how it is trained |
//! | [`presets`] | the recipes that have names |
//! | [`recipe_options`] | the options of a recipe on the command line |
//! | [`options`] | all options of a run: a recipe, the folders, the limits |
//! | [`precision`] | the precision that a run multiplies in, by what the machine is worth |
//! | [`identity`] | what results depend on |
//! | `memory` | what a run needs in memory, beside what there is |
//! | [`speed`] | how fast this machine trains |
//! | [`plan`] | what a run will do and what that takes |
//! | [`config`] | `config.toml`, from which a run can be run again |
//! | [`teaching`] | the teacher of a run, whose answers it learns beside the labels |
//! | [`outcome`] | what becomes of an experiment |
//! | [`watch`] | which epoch is the best, and when the rate falls or the training ends |
//! | `checkpoint` | how far a run is, on disk |
//! | [`card`] | the model card: what a model is, for whoever finds it |
//! | `out` | the folder of the results: claimed, and replaced as a whole |
//! | [`posters`] | where a run's posters come from, and which it has to do without |
//! | `agreement` | whether all ranks are about to do the same |
//! | `beside` | what a run is taught beside the genres |
//! | `start` | starting from the weights of another run |
//! | `prepare` | from the folder to frames and posters, in four steps |
//! | `timing` | how fast this machine takes the first steps |
//! | `budget` | from hours to steps |
//! | [`dry_run`] | a run that stops before its work |
//! | `training` | the epochs of an experiment, from wherever its training is |
//! | `fit` | one experiment, from training to results |
//! | `ensemble` | one experiment of an ensemble, from its members to results |
//! | `mod` | [`run`]: all experiments, one after the other; the members of an ensemble before them |
//! | [`cross_fit`] | a run per fold, and the answers of all |
//! | [`sweep`] | a grid of runs, and the results of each |

mod agreement;
mod beside;
mod budget;
pub mod card;
mod checkpoint;
pub mod config;
pub mod course;
pub mod cross_fit;
pub mod dry_run;
mod ensemble;
mod fit;
pub mod identity;
mod memory;
pub mod options;
mod out;
pub mod outcome;
pub mod plan;
pub mod posters;
pub mod precision;
mod prepare;
pub mod presets;
pub mod recipe;
pub mod recipe_options;
pub mod speed;
mod start;
pub mod sweep;
pub mod teaching;
mod timing;
mod training;
pub mod values;
pub mod watch;

use crate::classifier::experiment::Experiment;
use crate::classifier::{Classifier, MODEL_FILE};
use crate::data::auxiliary::Taught;
use crate::data::frames::Frame;
use crate::error::{Error, Result};
use crate::files::{self, OwnFolder};
use crate::nn::Isa;
use crate::nn::checkpoint::Checkpoint;
use crate::page;
use crate::progress::{Part, Progress};
use crate::run::checkpoint::{CHECKPOINT_FILE, Checkpoints, RunState};
use crate::run::config::{CONFIG_FILE, write_config};
use crate::run::fit::BrokenOff;
use crate::run::options::Options;
use crate::run::out::{LEDGER, Out, Permission};
use crate::run::outcome::Outcome;
use crate::run::posters::refusals;
use crate::run::prepare::{Prepared, prepare};
pub use crate::run::start::seen_by;
use crate::run::start::{check_start, start_of_member};
use crate::run::training::{Fit, Share};
use crate::text::shell_word;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs the experiments one after the other on rayon's current pool, and leaves everything under
/// `options.out`. An experiment for which there are not the films is noted and passed over.
///
/// While an experiment trains, its folder holds the weights of the best epoch so far, and a
/// checkpoint holds all from which a later call with `options.resume` goes on: it ends with the
/// bits that this one would have ended with, on any number of threads. Results of an earlier run
/// are replaced when the new ones are complete, not before.
///
/// With several `options.members`, each is a run of its own, in a folder of `options.out`, with a seed
/// of its own; an experiment then is the ensemble of their models (see
/// [`ensemble`](crate::classifier::ensemble)). Members that have finished are not run again where
/// `options.resume` allows to go on.
///
/// # Errors
/// If the options or the data do not allow any experiment to run, if another process is at work in
/// `options.out`, if a file cannot be read or written, if a loss is not a number, or if `progress`
/// asks the run to stop; see [`Error`].
pub fn run(options: &Options, experiments: &[Experiment], isa: Isa, progress: &dyn Progress) -> Result<Vec<Outcome>> {
    options.recipe.model(1).plan()?;
    agreement::check(options, experiments, isa)?;
    let options = &teaching::settled(&precision::settled(options, isa, progress), experiments, isa)?;
    let options = &budget::settled(options, experiments, (1, std::slice::from_ref(&options.out)), isa, progress)?;
    let team = &options.team;
    let finished = if team.is_first() { finished(options, experiments)? } else { None };
    if team.any(finished.is_some()) {
        let Some(outcomes) = finished else { return Ok(Vec::new()) };
        // For what a process that was killed at its very end has left. It stays where another is at work
        // or nothing can be written.
        let _tidied = OwnFolder::claim(&options.out, "tidies up", &[page::FILE]);
        progress.note(&format!("{}: this run is finished, and there is nothing to go on with", options.out.display()));
        if options.fold.is_none() && !options.out.join(page::FILE).exists() {
            warn(page::write_run(&options.out), progress);
        }
        return Ok(outcomes);
    }
    if let Some(run) = options.init_from.as_ref().filter(|_| team.is_first()) {
        let folders: Vec<PathBuf> = experiments.iter().map(|experiment| options.out.join(experiment.name)).collect();
        check_start(run, &folders, options, isa)?;
    }
    let may = Permission { overwrite: options.overwrite, resume: options.resume };
    let mut out = match team.is_first() {
        true => Out::claim(&options.out, experiments, may)?,
        false => Out::of_first_rank(&options.out),
    };
    if !out.is_locked() {
        let folder = options.out.display();
        progress.note(&format!("warning: the file system of {folder} has no locks: let no other run write there"));
    }
    let outcomes = work(options, experiments, isa, &mut out, progress);
    let outcomes = outcomes.and_then(|outcomes| out.finish(experiments, &outcomes).map(|()| outcomes));
    let outcomes = outcomes.map_err(|error| with_a_way_on(error, out.work(), progress))?;
    if options.fold.is_none() && team.is_first() {
        // Its links are those of the folder.
        warn(page::write_run(&options.out), progress);
    }
    Ok(outcomes)
}

/// Tells that a report could not be written: the results are there without it.
fn warn(report: Result<PathBuf>, progress: &dyn Progress) {
    if let Err(error) = report {
        progress.note(&format!("warning: there is no report: {error}"));
    }
}

/// A run that is a part of another one: one of its folds or members, which `name` says.
///
/// To go on is to keep what has finished with the same options, and to replace all else.
pub(crate) fn run_part(
    part: Options,
    name: &str,
    experiments: &[Experiment],
    isa: Isa,
    progress: &dyn Progress,
) -> Result<Vec<Outcome>> {
    let kept = Options { overwrite: false, ..part.clone() };
    // What is on the disk is rank 0's to know.
    let has_finished = part.team.is_first() && matches!(finished(&kept, experiments), Ok(Some(_)));
    let options = if part.team.any(has_finished) { kept } else { part };
    run(&options, experiments, isa, progress).map_err(|error| match error {
        Error::Stopped { when, .. } => {
            Error::stopped(format!("{when}, {name}"), "the same command with --resume goes on")
        }
        error => error,
    })
}

/// Trains the members of an ensemble, one after the other, and returns the folders of their runs; none
/// where the options ask for a plain model.
fn train_members(
    options: &Options,
    experiments: &[Experiment],
    isa: Isa,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>> {
    let folders = options.member_folders();
    for (i, out) in folders.iter().enumerate() {
        let seed = options.seed.wrapping_add(i as u64);
        let name = format!("member {} of {}", i + 1, folders.len());
        progress.note(&format!("\n{name}, seed {seed}"));
        let start = match &options.init_from {
            Some(run) if options.team.is_first() => Some(start_of_member(run, i + 1, isa)?),
            start => start.clone(),
        };
        let own = Options { members: 1, seed, out: out.clone(), init_from: start, ..options.clone() };
        // They are measured together.
        let own = Options { no_test: true, ..own };
        run_part(own, &name, experiments, isa, &Part::new(progress, i + 1, folders.len()))?;
    }
    Ok(folders)
}

/// What a run does in its folder, from where its last checkpoint left it.
fn work(
    options: &Options,
    experiments: &[Experiment],
    isa: Isa,
    out: &mut Out,
    progress: &dyn Progress,
) -> Result<Vec<Outcome>> {
    let team = &options.team;
    let identity = identity::of_run(options, experiments, isa)?;
    let (mut broken_off, mut done, mut late, mut is_complete) = Default::default();
    let path = out.checkpoint();
    if let Some(path) = &path {
        let checkpoint = Checkpoint::open(path);
        match checkpoint.and_then(|of| RunState::read(&of, path, &identity).map(|state| (of, state))) {
            Ok((checkpoint, state)) => {
                (done, late, is_complete) = (state.done, state.late, state.is_complete);
                broken_off = state.fit.map(|state| BrokenOff { checkpoint, state });
            }
            Err(error) if options.overwrite => {
                progress.note(&format!("the run begins anew: {error}"));
                out.begin_anew(experiments)?;
            }
            Err(error) => return Err(error),
        }
    }
    // What is on the disk is rank 0's to know.
    (done, late, is_complete) = team.value_of_first((done, late, is_complete));
    if is_complete {
        return Ok(done);
    }
    let names: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
    let all = experiments;
    let Prepared { experiments, taught, mut ledger, mut posters } = prepare(options, all, out.work(), isa, progress)?;
    agreement::check_films(options, &experiments, taught.as_ref(), &posters)?;
    posters.late = late;
    let ledger_file = out.work().join(LEDGER);
    if team.is_first() {
        write_config(&out.work().join(CONFIG_FILE), &names, isa, options, Some(identity::inputs(options)?))?;
        files::write_json(&ledger_file, &ledger)?;
    }
    let place = options.out.join(LEDGER);
    progress.note(&format!("\nWhat was left out (all of it in {}):\n{ledger}", place.display()));

    if team.is_first() {
        check_done(&done, &experiments, out.work())?;
    }
    for (experiment, frame) in experiments.iter().filter(|_| team.is_first()) {
        teaching::check_of_fold(options, experiment, frame)?;
    }
    let members = train_members(options, all, isa, progress)?;
    let every = Duration::from_secs_f64(60.0 * options.checkpoint_every);
    let mut checkpoints = Checkpoints::new((out.work(), team.is_first()), identity, every, done, progress);
    let first = experiments[0].0.name;
    let of_turn = |(turn, (experiment, _)): (usize, &(Experiment, Frame))| {
        let mut of_turn = options.of_turn(turn, &options.out.join(first));
        of_turn.recipe = of_turn.recipe.of_experiment(experiment);
        if let Some(teaching) = &mut of_turn.teaching {
            let place = all.iter().position(|of| of == experiment).expect("it was asked for");
            teaching.sha256 = vec![teaching.sha256[place].clone()];
        }
        of_turn
    };
    let turns: Vec<Options> = experiments.iter().enumerate().map(of_turn).collect();
    let taught = |turn: usize| taught.as_ref().filter(|_| experiments[turn].0.takes_auxiliary());
    let train = |turn: usize| Taught::films(taught(turn), &experiments[turn].1).len();
    let films = |turn: usize| turns[turn].recipe.course(train(turn)).all_films() as f64;
    let in_all: f64 = (0..turns.len()).map(films).sum();
    for i in checkpoints.done.len()..experiments.len() {
        let ((experiment, frame), of_turn) = (&experiments[i], &turns[i]);
        let share = Share { begin: (0..i).map(films).sum::<f64>() / in_all, size: films(i) / in_all };
        // The first experiment's results have not taken their final place yet.
        let start = if options.init_from == of_turn.init_from {
            options.init_from.clone()
        } else {
            Some(out.work().join(first))
        };
        let (posters, of_run) = (&mut posters, &mut checkpoints);
        let teacher = match &members[..] {
            [] => teaching::teacher_of(of_turn, experiment, &frame.genres, isa)?,
            // They have learned from it.
            _ => None,
        };
        let fit = Fit {
            options: of_turn,
            start,
            teacher,
            experiment,
            frame,
            taught: taught(i),
            posters,
            progress,
            share,
            checkpoints: of_run,
        };
        let folder = out.work().join(experiment.name);
        let outcome = match &members[..] {
            [] => fit.run(&folder, isa, broken_off.take())?,
            members => fit.join(members, &folder, isa)?,
        };
        checkpoints.complete(outcome, &posters.late)?;
    }
    if !posters.late.is_empty() {
        let late = refusals(&posters.folder, &posters.late);
        progress.note(&format!("\nLeft out on the way:\n{late}"));
        ledger.cleaning.extend(late);
        if team.is_first() {
            files::write_json(&ledger_file, &ledger)?;
        }
    }
    // A report is of test films.
    if options.fold.is_none() && team.is_first() {
        let folders = experiments.iter().map(|(experiment, _)| out.work().join(experiment.name));
        folders.for_each(|folder| warn(page::write_experiment(&folder, isa), progress));
    }
    checkpoints.finish(&posters.late)
}

/// Refuses to go on where what the run has completed is not there any more, or is not the same.
fn check_done(done: &[Outcome], experiments: &[(Experiment, Frame)], work: &Path) -> Result<()> {
    for (i, outcome) in done.iter().enumerate() {
        let model = work.join(&outcome.experiment).join(MODEL_FILE);
        let is_same = experiments.get(i).is_some_and(|(of, _)| of.name == outcome.experiment)
            && Classifier::sha256_of(&model)? == outcome.model_sha256;
        if !is_same {
            let what = "is not the model that this run had completed";
            return Err(Error::data(&model, what, "put it back, or begin the run again in another --out"));
        }
    }
    Ok(())
}

/// The results of the run that the options describe, if it is to be taken up and has finished.
///
/// # Errors
/// [`Error::Usage`] if it had other options, which are named.
fn finished(options: &Options, experiments: &[Experiment]) -> Result<Option<Vec<Outcome>>> {
    let config = options.out.join(CONFIG_FILE);
    if !options.resume || options.overwrite || Out::has_checkpoint(&options.out) || !config.exists() {
        return Ok(None);
    }
    let complete: Vec<&Experiment> =
        experiments.iter().filter(|of| Outcome::is_in(&options.out.join(of.name))).collect();
    if complete.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
    let other = config::read(&config)?.differences(&names, options)?;
    if !other.is_empty() {
        let what =
            format!("{} holds a finished run of other options or data: {}", options.out.display(), other.join(", "));
        return Err(Error::usage(what, "name another --out, or add --overwrite"));
    }
    complete.iter().map(|of| Outcome::read(&options.out, of)).collect::<Result<_>>().map(Some)
}

/// The error of a run that ends before its time, with the command that goes on from its last
/// checkpoint, if there is one.
fn with_a_way_on(error: Error, work: &Path, progress: &dyn Progress) -> Error {
    let checkpoint = work.join(CHECKPOINT_FILE);
    if !checkpoint.exists() {
        return error;
    }
    let command = format!("train run --config {} --resume", shell_word(&work.join(CONFIG_FILE)));
    match error {
        Error::Stopped { when, .. } => Error::stopped(when, format!("go on with: {command}")),
        Error::Diverged { .. } => {
            progress.note(&format!("the last good checkpoint is {}", checkpoint.display()));
            error
        }
        error => {
            progress.note(&format!("to go on from the last checkpoint: {command}"));
            error
        }
    }
}
