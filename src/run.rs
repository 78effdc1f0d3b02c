//! A run: films to frames to cache, then each experiment is trained, measured and written down.

use crate::data::batches::Source;
use crate::data::decode::ImageSpec;
use crate::data::films::{Films, poster_name};
use crate::data::frames::{FilmRule, Frame, Limits};
use crate::data::ledger::{Ledger, WITHOUT_POSTER};
use crate::data::refusal::OnBadImage;
use crate::error::{Error, Result};
use crate::experiments::{Experiment, Options};
use crate::files;
use crate::fit::{Fit, Outcome, start_from};
use crate::nn::Sequential;
use crate::posters::{Posters, cache_of, check_missing, refusals};
use crate::progress::Progress;
use crate::recipe::Balance;
use onesheet_kernels::simd::Isa;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs the experiments one after the other on rayon's current pool, and leaves everything under `options.out`.
///
/// # Errors
/// Of the options, the data, the disk or a loss that is not a number; see [`Error`].
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
    let (frames, mut ledger, mut posters) = prepare(options, experiments, progress)?;
    std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out, "make the folder"))?;
    files::write_json(&options.out.join("ledger.json"), &ledger)?;
    progress.note(&format!("\nWhat was left out (all of it in ledger.json):\n{ledger}"));

    // All at once: a run that ends early leaves no results of an earlier one beside its own.
    folders.iter().try_for_each(|folder| claim(folder))?;
    let mut outcomes = Vec::new();
    for (i, ((experiment, frame), folder)) in experiments.iter().zip(&frames).zip(&folders).enumerate() {
        let options = &options.of_turn(i, &folders[0]);
        let fit = Fit { options, experiment, frame, posters: &mut posters, progress };
        outcomes.push(fit.run(folder, isa)?);
    }
    if !posters.refused.is_empty() {
        let late = refusals(&posters.refused);
        progress.note(&format!("\nLeft out on the way:\n{late}"));
        ledger.cleaning.extend(late);
        files::write_json(&options.out.join("ledger.json"), &ledger)?;
    }
    Ok(outcomes)
}

/// Refuses a model to start from that cannot be read or does not fit, or that this run would replace before it is read: before
/// anything is decoded or removed.
fn check_start(run: &Path, folders: &[PathBuf], options: &Options, isa: Isa) -> Result<()> {
    start_from(run, &[], isa, &mut Sequential::build(options.recipe.model(1), isa, options.seed)?)?;
    let place = |path: &Path| path.canonicalize().ok();
    let of_model = place(if run.is_dir() { run } else { run.parent().unwrap_or(run) });
    match folders.iter().find(|folder| of_model.is_some() && place(folder) == of_model) {
        Some(folder) => {
            let what = format!("{} is to be replaced, and --init-from needs its model", folder.display());
            Err(Error::usage(what, "name another --out"))
        }
        None => Ok(()),
    }
}

/// The files of a run that are in an experiment's folder.
fn results(folder: &Path) -> Vec<PathBuf> {
    const FILES: [&str; 5] = ["config.toml", "history.csv", "metrics.json", "predictions.csv", "model.safetensors"];
    FILES.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect()
}

/// Makes the folder of an experiment's results, without those of an earlier run.
fn claim(folder: &Path) -> Result<()> {
    for path in results(folder) {
        std::fs::remove_file(&path).map_err(Error::io(&path, "remove the earlier run's file"))?;
    }
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))
}

/// The frames of all experiments, what was left out on the way, and the source of the posters: a cache that holds all of
/// them, or their files.
fn prepare(
    options: &Options,
    experiments: &[Experiment],
    progress: &dyn Progress,
) -> Result<(Vec<Frame>, RunLedger, Posters)> {
    let films = Films::open(&options.data, options.max_genres)?;
    films.warnings.iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
    let limits = Limits { train: options.limit, val: options.limit_val };
    let balance = options.recipe.balance == Balance::Undersample;
    let mut frames = Vec::new();
    let mut ledger = RunLedger { cleaning: films.ledger.clone(), experiments: Vec::new() };
    for experiment in experiments {
        let (frame, left_out) = Frame::new(&films, &experiment.film_rule(options.per_genre, balance), limits);
        frame.check_size(&options.data, options.recipe.batch)?;
        frames.push(frame);
        ledger.experiments.push(ExperimentLedger { experiment: experiment.name, ledger: left_out });
    }

    let without = films.ledger.count(WITHOUT_POSTER) as f64;
    let without = without / (without + films.films.len() as f64);
    check_missing(options, without)?;
    let ids: BTreeSet<u64> = frames.iter().flat_map(Frame::ids).collect();
    let mut refused = BTreeMap::new();
    let source = match &options.cache {
        None => Source::Files {
            posters: films.posters.clone(),
            spec: ImageSpec::POSTER,
            on_bad_image: options.on_bad_image,
        },
        Some(folder) => {
            let cache = cache_of(folder, &films.posters, &ids, progress)?;
            // The cache may hold the posters of other runs, too.
            refused = cache.refused().iter().filter(|(id, _)| ids.contains(id)).cloned().collect();
            if let (OnBadImage::Fail, Some((id, refusal))) = (options.on_bad_image, refused.first_key_value()) {
                return Err(refusal.clone().into_error(&films.posters.join(poster_name(*id))));
            }
            check_missing(options, without + (1.0 - without) * refused.len() as f64 / ids.len() as f64)?;
            ledger.cleaning.extend(refusals(&refused));
            Source::Cache(Arc::new(cache))
        }
    };
    for (frame, experiment) in frames.iter_mut().zip(experiments) {
        let (folder, rule) = (frames_folder(options, experiment), experiment.film_rule(options.per_genre, balance));
        let not_decoding = frame.ids().into_iter().filter(|id| refused.contains_key(id));
        let made_with = frame_options(options, &rule, &films, not_decoding);
        frame.without(|id| refused.contains_key(&id));
        if let Some(earlier) = Frame::read_back(&folder, &rule, &made_with, &films)? {
            progress.note(&format!("{}: the frames in {} are used again", experiment.name, folder.display()));
            let own = frame.ids();
            if let Some(id) = earlier.ids().into_iter().find(|id| own.binary_search(id).is_err()) {
                let what = format!("{} is not among the films of these options, or does not decode", poster_name(id));
                return Err(Error::data(&folder, what, "remove the folder to have the frames made again"));
            }
            *frame = earlier;
        }
        frame.check_size(&options.data, options.recipe.batch)?;
        frame.write_csv(&folder, &made_with)?;
    }
    Ok((frames, ledger, Posters { source, films: ids.len(), without, refused: BTreeMap::new() }))
}

/// What decides which films are in the frames; frames of anything else are not used again. The `refused` are those of their films
/// whose posters do not decode.
fn frame_options(options: &Options, rule: &FilmRule, films: &Films, refused: impl Iterator<Item = u64>) -> String {
    let Options { data, limit, limit_val, max_genres, .. } = options;
    let (version, films) = (env!("CARGO_PKG_VERSION"), films.digest());
    let mut digest = crc32fast::Hasher::new();
    refused.for_each(|id| digest.update(&id.to_le_bytes()));
    let refused = digest.finalize();
    format!(
        "onesheet = {version:?}\ndata = {data:?}\nlimit = {limit:?}\nlimit_val = {limit_val:?}\n\
         max_genres = {max_genres}\nrule = \"{rule:?}\"\nfilms = \"{films:08x}\"\nrefused = \"{refused:08x}\"\n"
    )
}

fn frames_folder(options: &Options, experiment: &Experiment) -> PathBuf {
    options.out.join("frames").join(experiment.name)
}

/// The content of `ledger.json`: what cleaning dropped for everyone, then what each experiment's own rule left out.
#[derive(Debug, Serialize)]
struct RunLedger {
    cleaning: Ledger,
    experiments: Vec<ExperimentLedger>,
}

#[derive(Debug, Serialize)]
struct ExperimentLedger {
    experiment: &'static str,
    ledger: Ledger,
}

impl std::fmt::Display for RunLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}", self.cleaning)?;
        for of in &self.experiments {
            write!(f, "{}:\n{}", of.experiment, of.ledger)?;
        }
        Ok(())
    }
}
