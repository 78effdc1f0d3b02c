//! From the folder to the frames and the posters of a run, in four steps.

use crate::classifier::experiment::Experiment;
use crate::data::films::Films;
use crate::data::frames::{FilmRule, Frame, Limits};
use crate::data::ledger::Ledger;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::run::identity;
use crate::run::options::Options;
use crate::run::posters::{Posters, refusals};
use crate::run::recipe::Balance;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// What a run needs before it trains.
pub(crate) struct Prepared {
    /// The films of each experiment.
    pub frames: Vec<Frame>,
    /// What was left out on the way.
    pub ledger: RunLedger,
    /// The source of the posters.
    pub posters: Posters,
}

/// Prepares a run: cleans the films, chooses those of each experiment, opens their posters, and
/// keeps the frames of those that decode.
pub(crate) fn prepare(options: &Options, experiments: &[Experiment], progress: &dyn Progress) -> Result<Prepared> {
    let films = clean_films(options, progress)?;
    let mut chosen = choose_frames(options, experiments, &films)?;
    let ids: BTreeSet<u64> = chosen.iter().flat_map(|of| of.frame.ids()).collect();
    let posters = Posters::open(options, &films, &ids, progress)?;
    for of in &mut chosen {
        keep_frame(options, of, &films, &posters, progress)?;
    }
    let mut ledger = RunLedger { cleaning: films.ledger, experiments: Vec::new() };
    ledger.cleaning.extend(refusals(&posters.folder, &posters.refused));
    let mut frames = Vec::new();
    for Chosen { experiment, frame, left_out, .. } in chosen {
        frames.push(frame);
        ledger.experiments.push(ExperimentLedger { experiment: experiment.name, ledger: left_out });
    }
    Ok(Prepared { frames, ledger, posters })
}

/// Step 1: the films that have a poster and can be used.
fn clean_films(options: &Options, progress: &dyn Progress) -> Result<Films> {
    let films = Films::open(&options.data, options.max_genres)?;
    films.warnings.iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
    Ok(films)
}

/// The films of an experiment, and those that its rule left out.
struct Chosen {
    experiment: Experiment,
    rule: FilmRule,
    frame: Frame,
    left_out: Ledger,
}

/// Step 2: the films of each experiment.
fn choose_frames(options: &Options, experiments: &[Experiment], films: &Films) -> Result<Vec<Chosen>> {
    let limits = Limits { train: options.limit, val: options.limit_val };
    let balance = options.recipe.balance == Balance::Undersample;
    let choose = |&experiment: &Experiment| {
        let rule = experiment.film_rule(options.per_genre, balance);
        let (frame, left_out) = Frame::new(films, &rule, limits);
        // Checked here so that a frame that is too small is refused before anything is decoded.
        frame.check_size(&options.data, options.recipe.batch)?;
        Ok(Chosen { experiment, rule, frame, left_out })
    };
    experiments.iter().map(choose).collect()
}

/// Step 4, after the posters were opened: keeps the films whose posters decode, and writes the
/// frame. Where an earlier frame was made from the same films and options it is used instead, since
/// it may have been edited.
fn keep_frame(
    options: &Options,
    of: &mut Chosen,
    films: &Films,
    posters: &Posters,
    progress: &dyn Progress,
) -> Result<()> {
    let Chosen { experiment, rule, frame, .. } = of;
    let folder: PathBuf = options.out.join("frames").join(experiment.name);
    let refused = |id: u64| posters.refused.contains_key(&id);
    let identity = identity::of_frames(options, rule, films, frame.ids().into_iter().filter(|&id| refused(id)));
    frame.without(refused);
    if let Some(earlier) = Frame::read_back(&folder, rule, &identity, films)? {
        progress.note(&format!("{}: the frames in {} are used again", experiment.name, folder.display()));
        let own = frame.ids();
        if let Some(id) = earlier.ids().into_iter().find(|id| own.binary_search(id).is_err()) {
            let what =
                format!("{} is not among the films of these options, or does not decode", posters.folder.name(id));
            return Err(Error::data(&folder, what, "remove the folder to have the frames made again"));
        }
        *frame = earlier;
    }
    frame.check_size(&options.data, options.recipe.batch)?;
    frame.write_csv(&folder, &posters.folder, &identity)
}

/// The content of `ledger.json`: what cleaning dropped for all experiments, then what each
/// experiment's own rule left out.
#[derive(Debug, Serialize)]
pub(crate) struct RunLedger {
    /// Films and posters that no experiment uses.
    pub cleaning: Ledger,
    experiments: Vec<ExperimentLedger>,
}

#[derive(Debug, Serialize)]
struct ExperimentLedger {
    experiment: &'static str,
    ledger: Ledger,
}

impl fmt::Display for RunLedger {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.cleaning)?;
        for of in &self.experiments {
            write!(f, "{}:\n{}", of.experiment, of.ledger)?;
        }
        Ok(())
    }
}
