//! From hours to steps: how long a training can be that fits in a time on this machine.

use crate::classifier::experiment::Experiment;
use crate::data::auxiliary::Taught;
use crate::data::frames::Frame;
use crate::data::transform::Views;
use crate::error::{Error, Result};
use crate::nn::{Head, Isa};
use crate::progress::{Progress, duration};
use crate::run::config;
use crate::run::options::Options;
use crate::run::out::{Out, Permission};
use crate::run::plan::Plan;
use crate::run::prepare::{Choice, choose, posters_of, taught};
use crate::run::recipe::Recipe;
use crate::run::speed::Speed;
use crate::run::timing::measure;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The share of the time that is planned with. The rest is for checkpoints and reports, and for a
/// machine that becomes slower than it was in the first steps.
const PLANNED: f64 = 0.95;

/// The options with a number of steps in place of hours, where they ask for those: as many as fit in
/// the time that is left for `runs` runs like this one with all its members, decoding, validation and
/// the test included. Results depend on the steps alone, which `config.toml` has from then on; a run that goes on takes
/// them from one of the `folders` where it was begun.
///
/// # Errors
/// [`Error::Usage`] where no step fits; those of the preparation of a run.
pub(crate) fn settled(
    options: &Options,
    experiments: &[Experiment],
    (runs, folders): (usize, &[PathBuf]),
    isa: Isa,
    progress: &dyn Progress,
) -> Result<Options> {
    let (Some(hours), None) = (options.hours, options.recipe.steps) else { return Ok(options.clone()) };
    // One machine is measured, for all.
    let team = &options.team;
    let own = match team.is_first() {
        true => settle(options, hours, experiments, (runs, folders), isa, progress)?,
        false => 0,
    };
    let steps = team.value_of_first(own);
    Ok(Options { recipe: Recipe { steps: Some(steps), ..options.recipe.clone() }, ..options.clone() })
}

/// The steps that fit.
fn settle(
    options: &Options,
    hours: f64,
    experiments: &[Experiment],
    (runs, folders): (usize, &[PathBuf]),
    isa: Isa,
    progress: &dyn Progress,
) -> Result<usize> {
    let ranks = options.team.count() as f64;
    let with = |steps| Options { recipe: Recipe { steps: Some(steps), ..options.recipe.clone() }, ..options.clone() };
    if let Some(steps) = folders.iter().filter(|_| options.resume).find_map(|folder| begun_with(folder, hours)) {
        progress.note(&format!("--hours {hours}: {steps} steps, as the run was begun with"));
        return Ok(steps);
    }
    Out::check(&options.out, Permission { overwrite: options.overwrite, resume: options.resume })?;
    let begin = Instant::now();
    // What there is to say about the films, the run says.
    let quiet = &WithoutNotes(progress);
    let Choice { films, chosen, beside } = choose(options, experiments, isa, quiet)?;
    let all: Vec<(Experiment, &Frame)> = chosen.iter().map(|of| (of.experiment, &of.frame)).collect();
    let taught = taught(options, &chosen, beside.as_ref())?;
    let taught = taught.as_ref();
    let (speed, decoding) = measure(options, all[0], taught, &films, isa, quiet)?;
    // The ranks share the work; what their messages take is not known.
    let speed = Speed { train: speed.train / ranks, answer: speed.answer / ranks };
    let plan = Plan::of(options, &all, &posters_of(&chosen), taught, isa)?;
    let decoding = decoding.unwrap_or(0.0) / ranks * plan.to_decode() as f64;
    let runs = runs as f64 * options.members as f64;
    let left = PLANNED * (3600.0 * hours - begin.elapsed().as_secs_f64() - decoding) / runs;
    let (mut steps, mut too_many) = (0, 1 << 32);
    while too_many - steps > 1 {
        let middle = steps + (too_many - steps) / 2;
        match seconds(&with(middle), (&all, taught), speed) <= left {
            true => steps = middle,
            false => too_many = middle,
        }
    }
    if steps == 0 {
        let least =
            runs * seconds(&with(1), (&all, taught), speed) / PLANNED + decoding + begin.elapsed().as_secs_f64();
        let least = Duration::try_from_secs_f64(least).unwrap_or_default();
        let what = format!("--hours {hours} are over before the first step is taken and measured");
        return Err(Error::usage(what, format!("that alone takes {}; name more, or --steps", duration(least))));
    }
    let (experiment, frame) = all[0];
    let train = train_films(experiment, frame, taught);
    let epochs = with(steps).recipe.course(train).all_films() as f64 / train as f64;
    let speed = 1.0 / speed.train;
    progress.note(&format!(
        "--hours {hours}: {steps} steps, {epochs:.1} epochs of {}, at about {speed:.0} images/s",
        experiment.name
    ));
    if epochs < 1.0 {
        progress.note("warning: that is less than one epoch: most films would be seen once at most");
    }
    Ok(steps)
}

/// A listener that shows no notes.
struct WithoutNotes<'a>(&'a dyn Progress);

impl Progress for WithoutNotes<'_> {
    fn note(&self, _line: &str) {}

    fn start(&self, what: &str, total: usize) {
        self.0.start(what, total);
    }

    fn at(&self, done: usize, loss: Option<f64>) {
        self.0.at(done, loss);
    }

    fn finish(&self) {
        self.0.finish();
    }

    fn stops(&self) -> bool {
        self.0.stops()
    }
}

/// The steps of the run that was begun or has finished in a folder, if those hours were asked for.
fn begun_with(folder: &Path, hours: f64) -> Option<usize> {
    let options = config::read(&Out::config_in(folder)).ok()?.options;
    let is_other = options.get("hours").is_some_and(|of| of.as_float() != Some(hours));
    let steps = options.get("steps").filter(|_| !is_other)?;
    usize::try_from(steps.as_integer()?).ok()
}

/// The time of one run, from its first step to its results.
fn seconds(options: &Options, (experiments, taught): (&[(Experiment, &Frame)], Option<&Taught>), speed: Speed) -> f64 {
    let one = |(turn, (experiment, frame)): (usize, &(Experiment, &Frame))| {
        let Options { recipe, no_test, .. } = options.of_turn(turn, Path::new(""));
        let course = recipe.course(train_films(*experiment, frame, taught));
        // Each epoch is validated by one view.
        let validated = course.epochs() * frame.val.len() * Views::One.all().len();
        let for_thresholds = recipe.tune_thresholds && experiment.head == Head::Sigmoid;
        let measured = usize::from(for_thresholds) * frame.val.len() + usize::from(!no_test) * frame.test.len();
        let answers = validated + measured * recipe.views.all().len();
        speed.train * course.all_films() as f64 + speed.answer * answers as f64
    };
    experiments.iter().enumerate().map(one).sum()
}

/// How many films an experiment is trained on.
fn train_films(experiment: Experiment, frame: &Frame, taught: Option<&Taught>) -> usize {
    Taught::films(taught.filter(|_| experiment.takes_auxiliary()), frame).len()
}
