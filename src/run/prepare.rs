//! From the folder to the frames and the posters of a run, in four steps.

use crate::classifier::experiment::Experiment;
use crate::data::auxiliary::Taught;
use crate::data::films::Films;
use crate::data::frame_files::write_without_genres;
use crate::data::frames::{FilmRule, Frame, Limits, RareGenre};
use crate::data::ledger::Ledger;
use crate::data::refusal::Refusal;
use crate::error::{Error, Result};
use crate::nn::Isa;
use crate::progress::Progress;
use crate::run::beside::{Beside, BesideLedger};
use crate::run::identity;
use crate::run::memory::check_memory;
use crate::run::options::Options;
use crate::run::out::FRAMES;
use crate::run::plan::Plan;
use crate::run::posters::{Posters, refusals, twins_ledger};
use crate::run::recipe::Balance;
use crate::run::start::check_start_of_folds;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Instant;

/// What a run needs before it trains.
pub(crate) struct Prepared {
    /// The experiments that can run, with their films.
    pub experiments: Vec<(Experiment, Frame)>,
    /// What the experiment that takes it is taught beside the genres; `None` where nothing is.
    pub taught: Option<Taught>,
    /// What was left out on the way.
    pub ledger: RunLedger,
    /// The source of the posters.
    pub posters: Posters,
}

/// Prepares a run: cleans the films, chooses those of each experiment, opens their posters, and
/// keeps the frames of those that decode, which are written into `work`. An experiment that cannot
/// run is noted and passed over.
///
/// # Errors
/// If no experiment can run, or for any reason that concerns all of them.
pub(crate) fn prepare(
    options: &Options,
    experiments: &[Experiment],
    work: &Path,
    isa: Isa,
    progress: &dyn Progress,
) -> Result<Prepared> {
    let begin = Instant::now();
    let Choice { films, chosen, mut beside } = choose(options, experiments, isa, progress)?;
    progress.detail(&format!("films read and chosen in {:.1} s\n", begin.elapsed().as_secs_f64()));
    let all: Vec<(Experiment, &Frame)> = chosen.iter().map(|of| (of.experiment, &of.frame)).collect();
    let ids = posters_of(&chosen);
    let plan = Plan::of(options, &all, &ids, taught(options, &chosen, beside.as_ref())?.as_ref(), isa)?;
    progress.note(&format!("{plan}\n"));
    plan.check()?;
    let begin = Instant::now();
    let without_genres = beside.as_ref().map_or(&[][..], |beside| &beside.without_genres);
    let posters = Posters::open(options, &films, &ids, without_genres, progress)?;
    progress.detail(&format!("{} posters ready in {:.1} s", ids.len(), begin.elapsed().as_secs_f64()));
    let mut kept = Vec::new();
    let mut runnable = Runnable { experiments: chosen.len(), skipped: Vec::new(), progress };
    for mut of in chosen {
        let identity = keep_frame(options, &mut of, &films, &posters, progress)?;
        let result = check_frame(options, &of);
        if runnable.admits(result)? {
            if options.team.is_first() {
                of.frame.write_csv(&work.join(FRAMES).join(of.experiment.name), &posters.folder, &identity)?;
            }
            if let Some(rare) = RareGenre::phrase(&of.frame.rare()) {
                progress.note(&format!("warning: {}: {rare}", of.experiment.name));
            }
            kept.push(of);
        }
    }
    if let (Some(beside), Some(of)) = (&mut beside, that_takes_it(&kept)) {
        beside.keep(options, &films, &posters, &of.frame);
        let folder = work.join(FRAMES).join(of.experiment.name);
        if !beside.without_genres.is_empty() && options.team.is_first() {
            write_without_genres(&folder, &posters.folder, &beside.without_genres)?;
        }
    }
    let taught = taught(options, &kept, beside.as_ref())?;
    let auxiliary = beside.zip(taught.as_ref()).map(|(beside, taught)| beside.into_ledger(taught));
    let twins = twins_ledger(&posters.folder, &posters.twins);
    let mut ledger = RunLedger { cleaning: films.ledger, twins, experiments: Vec::new(), auxiliary };
    ledger.cleaning.extend(refusals(&posters.folder, &posters.refused));
    let mut experiments = Vec::new();
    for Chosen { experiment, frame, left_out, .. } in kept {
        experiments.push((experiment, frame));
        ledger.experiments.push(ExperimentLedger { experiment: experiment.name, ledger: left_out });
    }
    Ok(Prepared { experiments, taught, ledger, posters })
}

/// The films whose posters are looked at: those of the frames, and those that are left alone.
pub(crate) fn posters_of(chosen: &[Chosen]) -> BTreeSet<u64> {
    chosen.iter().flat_map(|of| of.frame.ids().into_iter().chain(of.left_alone.iter().copied())).collect()
}

/// The experiment that takes what is taught beside the genres.
fn that_takes_it(chosen: &[Chosen]) -> Option<&Chosen> {
    chosen.iter().find(|of| of.experiment.takes_auxiliary())
}

/// What that experiment is taught, as far as it can run.
pub(crate) fn taught(options: &Options, chosen: &[Chosen], beside: Option<&Beside>) -> Result<Option<Taught>> {
    beside.zip(that_takes_it(chosen)).map(|(beside, of)| beside.taught(options, &of.frame)).transpose()
}

/// What a run is to be made of, before any poster is opened.
pub(crate) struct Choice {
    pub films: Films,
    /// The experiments that can run.
    pub chosen: Vec<Chosen>,
    pub beside: Option<Beside>,
}

/// Steps 1 and 2, which write nothing: the films, those of each experiment that can run, and what is
/// taught beside the genres.
///
/// # Errors
/// Those of [`prepare`] that come before any poster is opened.
pub(crate) fn choose(
    options: &Options,
    experiments: &[Experiment],
    isa: Isa,
    progress: &dyn Progress,
) -> Result<Choice> {
    let films = clean_films(options, progress)?;
    if let (Some(run), Some(_), true) = (&options.init_from, options.folds, options.team.is_first()) {
        check_start_of_folds(run, &films)?;
    }
    check_memory(options, films.genres.len(), isa)?;
    let mut runnable = Runnable { experiments: experiments.len(), skipped: Vec::new(), progress };
    let chosen = choose_frames(options, experiments, &films, &mut runnable)?;
    let beside = match that_takes_it(&chosen) {
        Some(of) => Beside::of(options, &films, &of.frame, progress)?,
        None => None,
    };
    Ok(Choice { films, chosen, beside })
}

/// Step 1: the films that have a poster and can be used.
fn clean_films(options: &Options, progress: &dyn Progress) -> Result<Films> {
    let films = Films::open(&options.data, Some(options.max_genres))?;
    films.warnings.iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
    Ok(films)
}

/// The films of an experiment, and those that its rule left out.
pub(crate) struct Chosen {
    pub experiment: Experiment,
    rule: FilmRule,
    pub frame: Frame,
    /// The test films that a cross-fitting leaves alone. Their posters are looked at, and no film is used
    /// that shows the picture of one.
    left_alone: Vec<u64>,
    left_out: Ledger,
    /// Those of its films whose posters do not decode.
    refused: BTreeMap<u64, Refusal>,
}

/// Which of the experiments can run: the others are passed over, as long as one is left.
struct Runnable<'a> {
    /// How many there are.
    experiments: usize,
    skipped: Vec<Error>,
    progress: &'a dyn Progress,
}

impl Runnable<'_> {
    /// Whether the experiment can run, which `result` says; if not, why not is noted.
    ///
    /// # Errors
    /// The experiment's own, if it was the only one; else one that names the reasons of all, if
    /// none can run.
    fn admits(&mut self, result: Result<()>) -> Result<bool> {
        let Err(error) = result else { return Ok(true) };
        if self.experiments == 1 {
            return Err(error);
        }
        self.progress.note(&format!("warning: passed over: {error}"));
        self.skipped.push(error);
        if self.skipped.len() < self.experiments {
            return Ok(false);
        }
        // The first experiment asks least of the films.
        Err(self.skipped.swap_remove(0))
    }
}

/// Step 2: the films of each experiment.
fn choose_frames(
    options: &Options,
    experiments: &[Experiment],
    films: &Films,
    runnable: &mut Runnable,
) -> Result<Vec<Chosen>> {
    let limits = limits(options);
    let balance = options.recipe.balance == Balance::Undersample;
    let mut chosen = Vec::new();
    for &experiment in experiments {
        let rule = experiment.film_rule(options.per_genre, balance);
        let (mut frame, mut left_out) = Frame::new(films, &rule, limits);
        let left_alone = match options.held_out() {
            Some(fold) => frame.hold_out(fold, &mut left_out),
            None => Vec::new(),
        };
        let of = Chosen { experiment, rule, frame, left_alone, left_out, refused: BTreeMap::new() };
        // Checked here so that a frame that is too small is refused before anything is decoded.
        let result = check_frame(options, &of);
        if runnable.admits(result)? {
            chosen.push(of);
        }
    }
    Ok(chosen)
}

/// The most films of each side.
fn limits(options: &Options) -> Limits {
    Limits { train: options.limit, val: options.limit_val }
}

/// Refuses a frame that nothing can be learned or measured on: one with fewer training films than a
/// batch, without validation or test films, or, where the answer is one genre, without a choice.
fn check_frame(options: &Options, of: &Chosen) -> Result<()> {
    let Chosen { experiment, rule, frame, refused, .. } = of;
    let (batch, name) = (options.recipe.batch, experiment.name);
    let [train, val, test] = [&frame.train, &frame.val, &frame.test].map(Vec::len);
    let films = train + val + test;
    let refuse = |what: String, remedy: &str| Err(Error::data(&options.data, format!("{name}: {what}"), remedy));
    if *rule != FilmRule::MultiLabel && films == 0 && refused.is_empty() {
        return refuse("no film has exactly one genre".into(), "--experiment multi-label takes films with several");
    }
    if *rule != FilmRule::MultiLabel && films > 0 && frame.genres.len() < 2 {
        let what = format!("its films ({films}) are all of one genre, {}", frame.genres.join(""));
        return refuse(what, "it needs films of two genres at least");
    }
    if train >= batch && val > 0 && test > 0 {
        return Ok(());
    }
    let counts = format!("{train} films to train, {val} to validate, {test} to test, and the batch is {batch}");
    // Where it is the posters that are missing, to know the films' number helps nobody.
    if refused.len() > films {
        let reasons = Refusal::ledger(refused.iter().map(|(id, refusal)| (id.to_string(), refusal)));
        let reasons: Vec<String> = reasons.entries().iter().map(|of| format!("{} {}", of.count, of.reason)).collect();
        let what = format!("too few posters decode ({}): {counts}", reasons.join(", "));
        return refuse(what, "`train doctor` names the posters and their reasons");
    }
    let limited = options.limit.is_some_and(|limit| limit < batch);
    let remedy = match (val > 0 && test > 0, limited) {
        (true, true) => "raise --limit, or lower --batch",
        (true, false) => "lower --batch, or add films",
        (false, _) => "add films: a tenth of them is for validation, another tenth for the test",
    };
    refuse(format!("too few films: {counts}"), remedy)
}

/// Step 4, after the posters were opened: keeps the films whose posters decode, has those of twins on
/// one side, and returns the identity of the frame. Where an earlier frame was made from the same films and options it is
/// used instead, since it may have been edited.
fn keep_frame(
    options: &Options,
    of: &mut Chosen,
    films: &Films,
    posters: &Posters,
    progress: &dyn Progress,
) -> Result<String> {
    let Chosen { experiment, rule, frame, left_out, refused, .. } = of;
    let folder = options.out.join(FRAMES).join(experiment.name);
    let of_frame = frame.ids().into_iter().filter_map(|id| Some((id, posters.refused.get(&id)?.clone())));
    *refused = of_frame.collect();
    let sides = posters.twins.sides(options.held_out());
    let identity = identity::of_frames(options, rule, films, refused.keys().copied(), &sides);
    frame.without(|id| refused.contains_key(&id));
    frame.move_films(&sides, rule, limits(options), left_out);
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
    Ok(identity)
}

/// The content of `ledger.json`: what cleaning dropped for all experiments, which films are kept on
/// one side of the split, then what each experiment's own rule left out.
#[derive(Debug, Serialize)]
pub(crate) struct RunLedger {
    /// Films and posters that no experiment uses.
    pub cleaning: Ledger,
    /// Films whose posters show the same picture.
    twins: Ledger,
    experiments: Vec<ExperimentLedger>,
    /// What was taught beside the genres.
    #[serde(skip_serializing_if = "Option::is_none")]
    auxiliary: Option<BesideLedger>,
}

#[derive(Debug, Serialize)]
struct ExperimentLedger {
    experiment: &'static str,
    ledger: Ledger,
}

impl fmt::Display for RunLedger {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.cleaning)?;
        write!(f, "kept on one side of the split:\n{}", self.twins)?;
        for of in &self.experiments {
            write!(f, "{}:\n{}", of.experiment, of.ledger)?;
        }
        if let Some(BesideLedger { posters_without_genres, posters_left_out, .. }) = &self.auxiliary {
            writeln!(f, "of the posters without a film, {posters_without_genres} teach auxiliary heads, but not:")?;
            write!(f, "{posters_left_out}")?;
        }
        Ok(())
    }
}
