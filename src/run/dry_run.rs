//! A run that stops before its work: everything is checked, a few steps are timed, and nothing is
//! left behind.

use crate::classifier::experiment::Experiment;
use crate::data::frames::Frame;
use crate::error::Result;
use crate::nn::Isa;
use crate::progress::Progress;
use crate::run::budget;
use crate::run::options::Options;
use crate::run::out::{Out, Permission};
use crate::run::plan::Plan;
use crate::run::precision;
use crate::run::prepare::{Choice, choose, posters_of, taught};
use crate::run::start::check_start;
use crate::run::teaching;
use crate::run::timing::measure;
use std::path::PathBuf;

/// The plan of a run, with the time that it takes on rayon's current pool: measured on the first
/// steps of the first experiment, by a model that is thrown away. No folder is made or claimed, and
/// no cache is written.
///
/// # Errors
/// Those that the run would end with before it trains, as far as they can be known.
pub fn dry_run(options: &Options, experiments: &[Experiment], isa: Isa, progress: &dyn Progress) -> Result<Plan> {
    options.recipe.model(1).plan()?;
    let options = &teaching::settled(&precision::settled(options, isa, progress), experiments, isa)?;
    let options = &budget::settled(options, experiments, (1, std::slice::from_ref(&options.out)), isa, progress)?;
    if let Some(run) = &options.init_from {
        let folders: Vec<PathBuf> = experiments.iter().map(|experiment| options.out.join(experiment.name)).collect();
        check_start(run, &folders, options, isa)?;
    }
    Out::check(&options.out, Permission { overwrite: options.overwrite, resume: options.resume })?;
    let Choice { films, chosen, beside } = choose(options, experiments, isa, progress)?;
    let all: Vec<(Experiment, &Frame)> = chosen.iter().map(|of| (of.experiment, &of.frame)).collect();
    let taught = taught(options, &chosen, beside.as_ref())?;
    let mut plan = Plan::of(options, &all, &posters_of(&chosen), taught.as_ref(), isa)?;
    let (speed, decoding) = measure(options, all[0], taught.as_ref(), &films, isa, progress)?;
    plan.measured(speed, decoding);
    Ok(plan)
}
