//! The teacher of a run: found and checked before any work is done, and opened for each experiment.

use crate::classifier::experiment::Experiment;
use crate::classifier::seen::Seen;
use crate::classifier::teacher::{Student, Teacher};
use crate::classifier::{Classifier, MODEL_FILE};
use crate::data::frames::Frame;
use crate::data::split::Fold;
use crate::error::{Error, Result};
use crate::nn::Isa;
use crate::run::config::{self, CONFIG_FILE};
use crate::run::options::{Options, Teaching, fold_folder};
use std::path::{Path, PathBuf};

/// The options with what their teacher is: the SHA-256 of its models, one for each experiment (of a
/// cross-fitting, for each fold and experiment), and the memory that it takes.
///
/// # Errors
/// Those of [`Classifier::open`]; [`Error::Usage`] for a teacher that may have seen what a fold
/// predicts; [`Error::Data`] for one that does not fit, as far as that is known before the films are.
pub fn settled(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<Options> {
    let mut settled = options.clone();
    let Some(teaching) = &mut settled.teaching else { return Ok(settled) };
    (teaching.sha256, teaching.bytes) = (Vec::new(), 0);
    let folds = if options.is_cross_fit() { options.folds } else { None };
    let parts = match folds {
        Some(folds) => (1..=folds).map(|number| Options { fold: Some(number), ..options.clone() }).collect(),
        None => vec![options.clone()],
    };
    for part in &parts {
        for experiment in experiments {
            let path = path_of(part, &teaching.run, experiment)?;
            let classifier = Classifier::open(&path, isa)?;
            let spec = classifier.network.spec();
            let memory = spec.memory(isa, options.recipe.batch, None)?.total(options.threads);
            teaching.bytes = teaching.bytes.max(memory.saturating_mul(classifier.members() as u64));
            teacher(classifier, &path, options, experiment, &[], teaching.weight)?;
            teaching.sha256.push(Classifier::sha256_of(&path)?);
        }
    }
    Ok(settled)
}

/// The teacher of an experiment with these genres, if the options name one.
///
/// # Errors
/// Those of [`settled`], and [`Error::Data`] for a teacher that lacks a genre.
pub(crate) fn teacher_of(
    options: &Options,
    experiment: &Experiment,
    genres: &[String],
    isa: Isa,
) -> Result<Option<Teacher>> {
    let Some(Teaching { run, weight, .. }) = &options.teaching else { return Ok(None) };
    let path = path_of(options, run, experiment)?;
    // It answers in the precision that the student learns in.
    let classifier = Classifier::open(&path, isa.with_precision(options.recipe.precision.into()))?;
    teacher(classifier, &path, options, experiment, genres, *weight).map(Some)
}

/// Refuses a teacher that has learned from what a fold predicts: where it was cross-fitted on other films,
/// other twins have drawn some into other folds.
///
/// # Errors
/// [`Error::Usage`], naming a film; or those of reading the frames beside the teacher.
pub(crate) fn check_of_fold(options: &Options, experiment: &Experiment, frame: &Frame) -> Result<()> {
    let Some((teaching, _)) = options.teaching.as_ref().zip(options.held_out()) else { return Ok(()) };
    let path = path_of(options, &teaching.run, experiment)?;
    let seen = Seen::by(&Classifier::file_of(&path))?;
    match seen.and_then(|seen| frame.test.iter().find(|film| seen.has_learned_from(film.id)).map(|film| film.id)) {
        Some(id) => {
            let what = format!("the teacher {} has learned from film {id}, which the fold predicts", path.display());
            Err(Error::usage(what, "cross-fit the teacher on the same films, or leave --folds out"))
        }
        None => Ok(()),
    }
}

fn teacher(
    classifier: Classifier,
    path: &Path,
    options: &Options,
    experiment: &Experiment,
    genres: &[String],
    weight: f32,
) -> Result<Teacher> {
    let student = Student { head: experiment.head, genres, input: options.recipe.input };
    Teacher::new(classifier, student, weight)
        .map_err(|(what, remedy)| Error::data(path, format!("it cannot teach {}: {what}", experiment.name), remedy))
}

/// The model that teaches an experiment: that of the same experiment where `run` is a whole run, else
/// `run` itself. A fold is taught by the same fold of a cross-fitting.
fn path_of(options: &Options, run: &Path, experiment: &Experiment) -> Result<PathBuf> {
    let run = match options.held_out() {
        Some(fold) => fold_of(run, fold)?,
        None => run.to_owned(),
    };
    let of_experiment = run.join(experiment.name);
    Ok(if of_experiment.join(MODEL_FILE).exists() { of_experiment } else { run })
}

/// The run of the same fold of a teacher that is a cross-fitting of as many folds; any other may have
/// seen the films that the fold predicts.
fn fold_of(run: &Path, Fold { number, of }: Fold) -> Result<PathBuf> {
    let file = run.join(CONFIG_FILE);
    let options = if file.is_file() { Some(config::read(&file)?.options) } else { None };
    let number_in = |name: &str| options.as_ref()?.get(name)?.as_integer();
    if number_in("folds") != Some(of as i64) || number_in("fold").is_some() {
        let what = format!("the teacher {} may have seen the films that the folds predict", run.display());
        let remedy = format!("name a run with --folds {of} as the teacher, or leave --folds out");
        return Err(Error::usage(what, remedy));
    }
    Ok(run.join(fold_folder(number)))
}
