//! A run: films to frames to cache, then each experiment is trained, measured and written down.

use crate::checkpoint::{self, ModelMeta};
use crate::data::batches::{Batches, Order, Source};
use crate::data::cache::{Cache, PIXEL_RULES};
use crate::data::decode::ImageSpec;
use crate::data::films::{Films, poster_name};
use crate::data::frames::{Frame, Limits};
use crate::data::ledger::{Ledger, WITHOUT_POSTER};
use crate::data::refusal::{OnBadImage, Refusal};
use crate::error::{Error, Result};
use crate::experiments::{Experiment, Options};
use crate::files;
use crate::metrics::{Evaluation, Metrics, top_k};
use crate::nn::Sequential;
use crate::optim::Optimizer;
use crate::report::{self, Epoch};
use crate::train::{Answers, Trainer, evaluate};
use onesheet_kernels::simd::Isa;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Where a run tells how far it is. A bar counts films.
pub trait Progress: Sync {
    /// A line of its own.
    fn note(&self, line: &str);
    /// A new bar of `total` films.
    fn start(&self, what: &str, total: usize);
    /// The bar stands at `done`; `loss` is the mean so far, where there is one.
    fn at(&self, done: usize, loss: Option<f64>);
    /// The bar is done and goes away.
    fn finish(&self);
}

/// What an experiment ended with.
pub struct Outcome {
    /// On the test films.
    pub metrics: Metrics,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// A few test films: poster, true genres, the three most probable ones with their probabilities.
    pub examples: Vec<Example>,
}

/// A test film and what the model thinks of it.
pub struct Example {
    /// File name of the poster.
    pub poster: String,
    /// The film's genres.
    pub genres: Vec<String>,
    /// The most probable ones, with probabilities.
    pub predicted: Vec<(String, f32)>,
}

/// Runs the experiments one after the other on rayon's current pool, and leaves everything under `options.out`.
///
/// # Errors
/// Of the options, the data, the disk or a loss that is not a number; see [`Error`].
pub fn run(options: &Options, experiments: &[Experiment], isa: Isa, progress: &dyn Progress) -> Result<Vec<Outcome>> {
    options.model(1).plan()?;
    let earlier: Vec<PathBuf> = Experiment::ALL.iter().flat_map(|of| results(&options.out.join(of.name))).collect();
    if let (Some(file), false) = (earlier.first(), options.overwrite) {
        let what = format!("{} already holds a run ({})", options.out.display(), file.display());
        return Err(Error::usage(what, "name another --out, or add --overwrite"));
    }
    let folders: Vec<PathBuf> = experiments.iter().map(|experiment| options.out.join(experiment.name)).collect();
    let (frames, mut ledger, source) = prepare(options, experiments, progress)?;
    std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out, "make the folder"))?;
    files::write_json(&options.out.join("ledger.json"), &ledger)?;
    progress.note(&format!("\nWhat was left out (all of it in ledger.json):\n{ledger}"));

    // All at once: a run that ends early leaves no results of an earlier one beside its own.
    folders.iter().try_for_each(|folder| claim(folder))?;
    let mut outcomes = Vec::new();
    let mut posters = Posters { source, refused: BTreeMap::new() };
    for ((experiment, frame), folder) in experiments.iter().zip(&frames).zip(&folders) {
        outcomes.push(fit(options, experiment, frame, &mut posters, folder, isa, progress)?);
    }
    if !posters.refused.is_empty() {
        let late = refusals(&posters.refused);
        progress.note(&format!("\nLeft out on the way:\n{late}"));
        ledger.cleaning.extend(late);
        files::write_json(&options.out.join("ledger.json"), &ledger)?;
    }
    Ok(outcomes)
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
) -> Result<(Vec<Frame>, RunLedger, Source)> {
    let films = Films::open(&options.data, options.max_genres)?;
    films.warnings.iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
    let limits = Limits { train: options.limit, val: options.limit_val };
    let mut frames = Vec::new();
    let mut ledger = RunLedger { cleaning: films.ledger.clone(), experiments: Vec::new() };
    for experiment in experiments {
        let rule = experiment.film_rule(options.per_genre, options.balance);
        let folder = frames_folder(options, experiment);
        let (frame, left_out) = match Frame::read_back(&folder, &rule, &frame_options(options), &films)? {
            Some(frame) => {
                progress.note(&format!("{}: the frames in {} are used again", experiment.name, folder.display()));
                (frame, Ledger::default())
            }
            None => Frame::new(&films, &rule, limits),
        };
        frame.check_size(&options.data, options.batch)?;
        frames.push(frame);
        ledger.experiments.push(ExperimentLedger { experiment: experiment.name, ledger: left_out });
    }

    let without = films.ledger.count(WITHOUT_POSTER) as f64;
    let without = without / (without + films.films.len() as f64);
    check_missing(options, without)?;
    let source = match &options.cache {
        None => Source::Files {
            posters: films.posters.clone(),
            spec: ImageSpec::POSTER,
            on_bad_image: options.on_bad_image,
        },
        Some(folder) => {
            let ids: BTreeSet<u64> = frames.iter().flat_map(Frame::ids).collect();
            let cache = cache_of(folder, &films.posters, &ids, progress)?;
            // The cache may hold the posters of other runs, too.
            let refused: BTreeMap<u64, Refusal> =
                cache.refused().iter().filter(|(id, _)| ids.contains(id)).cloned().collect();
            if let (OnBadImage::Fail, Some((id, refusal))) = (options.on_bad_image, refused.first_key_value()) {
                return Err(refusal.clone().into_error(&films.posters.join(poster_name(*id))));
            }
            check_missing(options, without + (1.0 - without) * refused.len() as f64 / ids.len() as f64)?;
            ledger.cleaning.extend(refusals(&refused));
            for frame in &mut frames {
                frame.without(|id| refused.contains_key(&id));
                frame.check_size(&options.data, options.batch)?;
            }
            Source::Cache(Arc::new(cache))
        }
    };
    for (frame, experiment) in frames.iter().zip(experiments) {
        frame.write_csv(&frames_folder(options, experiment), &frame_options(options))?;
    }
    Ok((frames, ledger, source))
}

/// A cache of these posters, made where it is not there.
fn cache_of(folder: &Path, posters: &Path, ids: &BTreeSet<u64>, progress: &dyn Progress) -> Result<Cache> {
    let ids: Vec<u64> = ids.iter().copied().collect();
    progress.start("decoding", ids.len());
    // Posters that the cache keeps for other runs are counted, too.
    let at = |done, all| progress.at(done * ids.len() / all, None);
    let cache = Cache::open_or_build(folder, posters, &ids, ImageSpec::POSTER, &at)?;
    progress.finish();
    if let Some(built) = cache.built() {
        let (decoded, seconds) = (built.decoded, built.time.as_secs_f64());
        progress.note(&format!("{decoded} posters decoded into {} in {seconds:.1} s: {}", folder.display(), built.why));
    }
    Ok(cache)
}

/// Ends a run in which more films lack a poster than the options allow.
fn check_missing(options: &Options, share: f64) -> Result<()> {
    if share <= options.max_missing {
        return Ok(());
    }
    let (share, most) = (100.0 * share, 100.0 * options.max_missing);
    let what = format!("{share:.1} % of the films lack a poster that decodes, and --max-missing allows {most:.1} %");
    Err(Error::data(&options.data, what, "`train doctor` names them; add the posters, or raise --max-missing"))
}

/// Where a run's posters come from, and those that turned out not to decode on the way: without a cache they come to light
/// one by one.
struct Posters {
    source: Source,
    refused: BTreeMap<u64, Refusal>,
}

impl Posters {
    fn note(&mut self, batches: &Batches) {
        self.refused.extend(batches.refused().iter().cloned());
    }
}

/// Counts refused posters by reason.
fn refusals(refused: &BTreeMap<u64, Refusal>) -> Ledger {
    Refusal::ledger(refused.iter().map(|(id, refusal)| (poster_name(*id), refusal)))
}

/// The options that decide which films are in the frames: frames of other options are not used again.
fn frame_options(options: &Options) -> String {
    let Options { data, limit, limit_val, max_genres, per_genre, balance, .. } = options;
    format!(
        "data = {data:?}\nlimit = {limit:?}\nlimit_val = {limit_val:?}\n\
         max_genres = {max_genres}\nper_genre = {per_genre}\nbalance = {balance}\n"
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

/// The content of `config.toml`.
#[derive(Serialize)]
struct Config<'a> {
    onesheet: &'static str,
    pixels: &'static str,
    experiment: &'static str,
    isa: &'static str,
    options: &'a Options,
}

/// Trains one experiment and writes its folder.
fn fit(
    options: &Options,
    experiment: &Experiment,
    frame: &Frame,
    posters: &mut Posters,
    folder: &Path,
    isa: Isa,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let config = Config {
        onesheet: env!("CARGO_PKG_VERSION"),
        pixels: PIXEL_RULES,
        experiment: experiment.name,
        isa: isa.name(),
        options,
    };
    let config = toml::to_string(&config).expect("plain data");
    files::write_atomically(&folder.join("config.toml"), |file| file.write_all(config.as_bytes()))?;

    let mut model = Sequential::build(options.model(frame.genres.len()), isa, options.seed)?;
    model.reserve(options.batch);
    let (train, val, test) = (frame.train.len(), frame.val.len(), frame.test.len());
    progress.note(&format!("\n{}: {train} films to train, {val} to validate, {test} to test", experiment.name));
    progress.note(&model.summary());
    let optimizer = Optimizer::new(options.rule, &model);
    let mut trainer = Trainer::new(model, experiment.head, optimizer, options.seed);
    let classes = frame.genres.len();
    let source = posters.source.clone();
    let batches = |films: &[_], order| Batches::new(source.clone(), films, classes, order, options.batch);
    let measure = |split, answers: &Answers| Metrics::of(&evaluation(experiment, frame, split, answers));

    let mut history = Vec::new();
    for epoch in 1..=options.epochs {
        progress.start(&format!("epoch {epoch}/{}", options.epochs), train);
        let started = Instant::now();
        let order = Order::Shuffled { seed: options.seed, epoch: epoch as u64 };
        let mut train_batches = batches(&frame.train, order);
        let loss = trainer.epoch(epoch, &mut train_batches, |done, loss| progress.at(done, Some(loss)))?;
        let waited = train_batches.waited().as_secs_f64();
        posters.note(&train_batches);
        if loss.is_nan() {
            return Err(Error::data(&options.data, "none of the training posters decodes", "see `train doctor`"));
        }
        let seconds = started.elapsed().as_secs_f64();
        progress.finish();
        let answers = answers_on(
            &mut trainer.model,
            experiment,
            "val",
            batches(&frame.val, Order::Sequential),
            val,
            progress,
            posters,
        )?;
        if !answers.loss.is_finite() {
            // The last step's weights are broken, but no step came after it to notice.
            let step = train.div_ceil(options.batch);
            return Err(Error::Diverged { loss: answers.loss, epoch, step, films: "all, after the last step".into() });
        }
        let metrics = measure("val", &answers)?;
        let line = Epoch::new(epoch, loss, &metrics, train, seconds, waited);
        progress.note(&line.to_string());
        history.push(line);
        report::write_history(&folder.join("history.csv"), &history)?;
    }

    let meta = ModelMeta {
        experiment: experiment.name.into(),
        head: experiment.head,
        genres: frame.genres.clone(),
        max_genres: options.max_genres,
        model: trainer.model.spec().clone(),
    };
    let model_sha256 = checkpoint::save(&folder.join("model.safetensors"), &meta, &trainer.model)?;
    let answers = answers_on(
        &mut trainer.model,
        experiment,
        "test",
        batches(&frame.test, Order::Sequential),
        test,
        progress,
        posters,
    )?;
    let metrics = measure("test", &answers)?;
    report::write_metrics(&folder.join("metrics.json"), &metrics)?;
    report::write_predictions(
        &folder.join("predictions.csv"),
        &answers.ids,
        &evaluation(experiment, frame, "test", &answers),
    )?;
    Ok(Outcome { metrics, model_sha256, examples: examples(frame, &answers) })
}

fn answers_on(
    model: &mut Sequential,
    experiment: &Experiment,
    split: &str,
    mut batches: Batches,
    films: usize,
    progress: &dyn Progress,
    posters: &mut Posters,
) -> Result<Answers> {
    progress.start(split, films);
    let answers = evaluate(model, experiment.head, &mut batches, |done| progress.at(done, None))?;
    progress.finish();
    posters.note(&batches);
    Ok(answers)
}

fn evaluation<'a>(
    experiment: &'a Experiment,
    frame: &'a Frame,
    split: &'a str,
    answers: &'a Answers,
) -> Evaluation<'a> {
    Evaluation {
        experiment: experiment.name,
        split,
        head: experiment.head,
        genres: &frame.genres,
        probabilities: &answers.probabilities,
        labels: &answers.labels,
        loss: answers.loss,
    }
}

/// The first five test films by id, which are the same ones in every run on the same data.
fn examples(frame: &Frame, answers: &Answers) -> Vec<Example> {
    let classes = frame.genres.len();
    let films = frame.test.iter().zip(answers.probabilities.chunks_exact(classes));
    films
        .take(5)
        .map(|(film, probabilities)| Example {
            poster: film.filename(),
            genres: film.genres.iter().map(|&genre| frame.genres[genre].clone()).collect(),
            predicted: top_k(probabilities, 3)
                .into_iter()
                .map(|g| (frame.genres[g].clone(), probabilities[g]))
                .collect(),
        })
        .collect()
}
