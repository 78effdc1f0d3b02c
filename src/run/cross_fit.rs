//! Cross-fitting: every film but the test films is predicted by a model that has not seen it.
//!
//! The films of train and val fall into folds. For each fold there is a run of its own on the films
//! of the others, in which they keep their sides: those of train are trained on, those of val choose
//! the epoch and the thresholds, as in any run. The fold that is predicted chooses nothing, and no
//! fold has a test film.

use crate::classifier::experiment::Experiment;
use crate::data::split::Fold;
use crate::error::{Error, Result};
use crate::files::OwnFolder;
use crate::nn::Isa;
use crate::progress::{Part, Progress};
use crate::report::{self, Evaluation, METRICS_FILE, Metrics, PREDICTIONS_FILE, Predictions};
use crate::run::budget;
use crate::run::config::{CONFIG_FILE, write_config};
use crate::run::options::{OUT_OF_FOLD, Options, fold_folder};
use crate::run::{precision, run_part, teaching};
use std::path::{Path, PathBuf};

/// Runs the experiments once for each of `options.folds`, in a folder of its own in `options.out`, and
/// gathers the answers and what they are worth in a folder per experiment. Folds that have finished
/// are not run again where `options.resume` allows to go on.
///
/// # Errors
/// Those of [`run`](crate::run::run); [`Error::Usage`] if `options.out` holds a run of another kind.
///
/// # Panics
/// If the options have no folds.
pub fn cross_fit(
    options: &Options,
    experiments: &[Experiment],
    isa: Isa,
    progress: &dyn Progress,
) -> Result<Vec<Metrics>> {
    let folds = options.folds.expect("a number of folds");
    let options = &teaching::settled(&precision::settled(options, isa, progress), experiments, isa)?;
    let names: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
    let folders: Vec<String> = (1..=folds).map(fold_folder).collect();
    let written: Vec<&str> =
        folders.iter().map(String::as_str).chain(names.iter().copied()).chain([CONFIG_FILE]).collect();
    let _folder = OwnFolder::claim(&options.out, "a cross-fitting", &written)?;
    if let Some(name) = names.iter().find(|name| options.out.join(name).join(CONFIG_FILE).exists()) {
        let what = format!("{} already holds a run that is not cross-fitted ({name})", options.out.display());
        return Err(Error::usage(what, "name another --out"));
    }
    let one = Options { fold: Some(1), out: options.out.join(fold_folder(1)), no_test: false, ..options.clone() };
    let begun: Vec<PathBuf> = std::iter::once(options.out.clone()).chain(self::folders(&options.out, folds)).collect();
    let recipe = budget::settled(&one, experiments, (folds, &begun), isa, progress)?.recipe;
    let options = &Options { recipe, ..options.clone() };
    for number in 1..=folds {
        let name = Fold { number, of: folds }.to_string();
        progress.note(&format!("\n{name}"));
        let out = options.out.join(fold_folder(number));
        // The films that the run keeps for its end are those of the fold.
        let of_fold = Options { fold: Some(number), out, no_test: false, ..options.clone() };
        run_part(of_fold, &name, experiments, isa, &Part::new(progress, number, folds))?;
    }
    let mut all = Vec::new();
    for experiment in experiments {
        match gather(&options.out, folds, experiment)? {
            Some(metrics) => all.push(metrics),
            None => progress.note(&format!("warning: {}: not all folds could be predicted", experiment.name)),
        }
    }
    write_config(&options.out.join(CONFIG_FILE), &names, isa, options, None)?;
    Ok(all)
}

/// The folders of the folds in that of a cross-fitting.
pub fn folders(out: &Path, folds: usize) -> impl Iterator<Item = PathBuf> {
    (1..=folds).map(move |number| out.join(fold_folder(number)))
}

/// Writes the answers of all folds on their films into one file, in the order of the ids, and what
/// they are worth into another. `None` where a fold has none; then there are no earlier ones either.
fn gather(out: &Path, folds: usize, experiment: &Experiment) -> Result<Option<Metrics>> {
    let (mut genres, mut films, mut loss) = (Vec::new(), Vec::new(), 0.0);
    for folder in folders(out, folds).map(|fold| fold.join(experiment.name)) {
        let path = folder.join(PREDICTIONS_FILE);
        if !path.exists() {
            for earlier in [PREDICTIONS_FILE, METRICS_FILE].map(|name| out.join(experiment.name).join(name)) {
                if earlier.exists() {
                    std::fs::remove_file(&earlier).map_err(Error::io(&earlier, "remove earlier results"))?;
                }
            }
            return Ok(None);
        }
        let of_fold = Predictions::read(&path)?;
        loss += report::read_metrics(&folder.join(METRICS_FILE))?.loss * of_fold.ids.len() as f64;
        if !genres.is_empty() && genres != of_fold.genres {
            let what = "its genres are not those of the other folds";
            return Err(Error::data(&path, what, "begin again with --overwrite"));
        }
        let rows = of_fold.probabilities.chunks(of_fold.genres.len()).zip(of_fold.labels.chunks(of_fold.genres.len()));
        films.extend(
            of_fold.ids.iter().zip(rows).map(|(id, (answers, labels))| (*id, answers.to_vec(), labels.to_vec())),
        );
        genres = of_fold.genres;
    }
    films.sort_by_key(|(id, ..)| *id);
    if let Some(&[(id, ..), _]) = films.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let what = format!("two folds have film {id}: the posters have changed since the first of them");
        return Err(Error::data(&out.join(experiment.name), what, "begin again with --overwrite"));
    }
    let ids: Vec<u64> = films.iter().map(|(id, ..)| *id).collect();
    let probabilities: Vec<f32> = films.iter().flat_map(|(_, answers, _)| answers).copied().collect();
    let labels: Vec<f32> = films.iter().flat_map(|(.., labels)| labels).copied().collect();
    let evaluation = Evaluation {
        experiment: experiment.name,
        split: OUT_OF_FOLD,
        head: experiment.head,
        genres: &genres,
        probabilities: &probabilities,
        labels: &labels,
        loss: loss / ids.len() as f64,
        // Each fold's model has its own.
        thresholds: None,
    };
    let metrics = Metrics::with_intervals(&evaluation)?;
    let folder = out.join(experiment.name);
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "make the folder"))?;
    report::write_predictions(&folder.join(PREDICTIONS_FILE), &ids, &evaluation)?;
    report::write_metrics(&folder.join(METRICS_FILE), &metrics)?;
    Ok(Some(metrics))
}
