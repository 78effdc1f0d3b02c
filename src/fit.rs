//! One experiment of a run: trained, measured and written down.

use crate::average::Average;
use crate::checkpoint::{self, ModelMeta};
use crate::data::batches::{Batches, Batching, Order};
use crate::data::cache::PIXEL_RULES;
use crate::data::frames::Frame;
use crate::data::split::Split;
use crate::data::transform::{Look, Transform, Views};
use crate::error::{Error, Result};
use crate::evaluate::open_run;
use crate::experiments::{Experiment, Options};
use crate::files;
use crate::loss::{Head, Objective};
use crate::metrics::{Evaluation, Intervals, Metrics, best_f1_thresholds, top_k};
use crate::nn::{Parameter, Sequential};
use crate::optim::{Optimizer, Schedule};
use crate::posters::Posters;
use crate::progress::Progress;
use crate::recipe::{Balance, Keep};
use crate::report::{self, Epoch};
use crate::train::{Answers, Trainer, logits};
use onesheet_kernels::simd::Isa;
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

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

/// The content of `config.toml`.
#[derive(Serialize)]
struct Config<'a> {
    onesheet: &'static str,
    pixels: &'static str,
    experiment: &'static str,
    isa: &'static str,
    options: &'a Options,
}

/// What an experiment is trained with and told to.
pub(crate) struct Fit<'a> {
    pub options: &'a Options,
    pub experiment: &'a Experiment,
    pub frame: &'a Frame,
    pub posters: &'a mut Posters,
    pub progress: &'a dyn Progress,
}

impl Fit<'_> {
    /// Trains the experiment and fills its folder.
    pub fn run(mut self, folder: &Path, isa: Isa) -> Result<Outcome> {
        let Self { options, experiment, frame, progress, .. } = self;
        self.write_config(folder, isa)?;
        let recipe = &options.recipe;
        let mut model = Sequential::build(recipe.model(frame.genres.len()), isa, options.seed)?;
        model.reserve(recipe.batch);
        if let Some(run) = &options.init_from {
            progress.note(&start_from(run, &frame.genres, isa, &mut model)?);
        }
        let (train, val, test) = (frame.train.len(), frame.val.len(), frame.test.len());
        progress.note(&format!("\n{}: {train} films to train, {val} to validate, {test} to test", experiment.name));
        progress.note(&model.summary());
        let mut optimizer = Optimizer::new(recipe.rule, &model);
        let steps = (recipe.epochs * train.div_ceil(recipe.batch)) as u64;
        optimizer.schedule = Schedule { warmup: recipe.warmup, decay: recipe.schedule, steps };
        let mut trainer = Trainer::new(model, self.objective(), optimizer, options.seed);
        trainer.average = (recipe.ema > 0.0).then(|| Average::new(recipe.ema, &trainer.model));

        let mut history = Vec::new();
        let mut kept: Option<Kept> = None;
        for epoch in 1..=recipe.epochs {
            let line = self.epoch(&mut trainer, epoch)?;
            progress.note(&line.to_string());
            let score = line.score(experiment.head);
            if recipe.keep == Keep::Last || kept.as_ref().is_none_or(|kept| score >= kept.score) {
                kept = Some(trainer.with_result(|model| Kept::of(epoch, score, model)));
            }
            history.push(line);
            report::write_history(&folder.join("history.csv"), &history)?;
        }

        let (mut model, kept) = (trainer.model, kept.expect("an epoch at least"));
        kept.restore(&mut model);
        let best = (recipe.keep == Keep::Best).then(|| Epoch::best(experiment.head));
        best.iter().for_each(|best| progress.note(&format!("kept: epoch {}, the {best}", kept.epoch)));
        let meta = ModelMeta {
            experiment: experiment.name.into(),
            head: experiment.head,
            genres: frame.genres.clone(),
            max_genres: options.max_genres,
            epoch: Some(kept.epoch),
            best: best.map(str::to_owned),
            thresholds: self.thresholds(&mut model)?,
            views: recipe.views,
            model: model.spec().clone(),
        };
        let model_sha256 = checkpoint::save(&folder.join("model.safetensors"), &meta, &model)?;
        let answers = self.answers(&mut model, Split::Test, recipe.views)?;
        let evaluation = Evaluation { thresholds: meta.thresholds.as_deref(), ..self.evaluation("test", &answers) };
        let metrics = Metrics { intervals: Some(Intervals::of(&evaluation)?), ..Metrics::of(&evaluation)? };
        report::write_metrics(&folder.join("metrics.json"), &metrics)?;
        report::write_predictions(&folder.join("predictions.csv"), &answers.ids, &evaluation)?;
        Ok(Outcome { metrics, model_sha256, examples: examples(frame, &answers) })
    }

    fn write_config(&self, folder: &Path, isa: Isa) -> Result<()> {
        let config = Config {
            onesheet: env!("CARGO_PKG_VERSION"),
            pixels: PIXEL_RULES,
            experiment: self.experiment.name,
            isa: isa.name(),
            options: self.options,
        };
        let config = toml::to_string(&config).expect("plain data");
        files::write_atomically(&folder.join("config.toml"), |file| file.write_all(config.as_bytes()))
    }

    /// An epoch of training, and what it brought on the validation films.
    fn epoch(&mut self, trainer: &mut Trainer, epoch: usize) -> Result<Epoch> {
        let Self { options, experiment, frame, progress, .. } = *self;
        let train = frame.train.len();
        let Options { recipe, seed, .. } = options;
        progress.start(&format!("epoch {epoch}/{}", recipe.epochs), train);
        let started = Instant::now();
        let (seed, number) = (*seed, epoch as u64);
        let order = match experiment.balance(recipe.balance) {
            Balance::Sampler => Order::Balanced { seed, epoch: number },
            _ => Order::Shuffled { seed, epoch: number },
        };
        let look = Look::Varied { augment: recipe.augment, seed, epoch: number };
        let mut batches = self.batches(Split::Train, order, look);
        let loss = trainer.epoch(epoch, &mut batches, |done, loss| progress.at(done, Some(loss)))?;
        let (seconds, waited) = (started.elapsed().as_secs_f64(), batches.waited().as_secs_f64());
        progress.finish();
        self.posters.note(&batches, options)?;
        if loss.is_nan() {
            return Err(Error::data(&options.data, "none of the training posters decodes", "see `train doctor`"));
        }
        // One view: it is to tell the epochs apart, and quickly.
        let answers = trainer.with_result(|model| self.answers(model, Split::Val, Views::One))?;
        if !answers.loss.is_finite() {
            // The last step's weights are broken, but no step came after it to notice.
            let step = train.div_ceil(recipe.batch);
            return Err(Error::Diverged { loss: answers.loss, epoch, step, films: "all, after the last step".into() });
        }
        let metrics = Metrics::of(&self.evaluation("val", &answers))?;
        Ok(Epoch::new(epoch, loss, &metrics, train, seconds, waited))
    }

    /// The thresholds with the highest F1 on the validation films; none for a softmax, whose answer is one genre.
    fn thresholds(&mut self, model: &mut Sequential) -> Result<Option<Vec<f32>>> {
        let (classes, views) = (self.frame.genres.len(), self.options.recipe.views);
        if self.experiment.head == Head::Softmax || !self.options.recipe.tune_thresholds {
            return Ok(None);
        }
        let answers = self.answers(model, Split::Val, views)?;
        Ok(Some(best_f1_thresholds(classes, &answers.probabilities, &answers.labels)))
    }

    fn objective(&self) -> Objective {
        let (head, recipe) = (self.experiment.head, &self.options.recipe);
        let class_weights = recipe.class_weights(head, self.frame);
        Objective { head, class_weights, focus: recipe.focal, smoothing: recipe.label_smoothing }
    }

    fn batches(&self, split: Split, order: Order, look: Look) -> Batches {
        let (frame, recipe) = (self.frame, &self.options.recipe);
        let transform = Transform { size: recipe.size(), look };
        let batching = Batching { classes: frame.genres.len(), order, size: recipe.batch, transform };
        Batches::new(self.posters.source.clone(), frame.side(split), batching)
    }

    fn answers(&mut self, model: &mut Sequential, split: Split, views: Views) -> Result<Answers> {
        let (progress, films, views) = (self.progress, self.frame.side(split).len(), views.all());
        progress.start(&split.to_string(), films * views.len());
        let mut all = Vec::new();
        for (i, view) in views.into_iter().enumerate() {
            let mut batches = self.batches(split, Order::Sequential, Look::View(view));
            all.push(logits(model, &mut batches, |done| progress.at(i * films + done, None))?);
            self.posters.note(&batches, self.options)?;
        }
        progress.finish();
        let answers = Answers::of(self.experiment.head, all);
        if answers.ids.is_empty() {
            let what = format!("none of the {split} posters of {} decodes", self.experiment.name);
            return Err(Error::data(&self.options.data, what, "see `train doctor`"));
        }
        Ok(answers)
    }

    fn evaluation<'a>(&'a self, split: &'a str, answers: &'a Answers) -> Evaluation<'a> {
        Evaluation {
            experiment: self.experiment.name,
            split,
            head: self.experiment.head,
            genres: &self.frame.genres,
            probabilities: &answers.probabilities,
            labels: &answers.labels,
            loss: answers.loss,
            thresholds: None,
        }
    }
}

/// Takes over the layers of another run's model up to the first that has other shapes here; says how many weights they have,
/// and which layers start afresh. The last layer's weights belong to genres: they are taken if these are the same.
///
/// # Errors
/// If the model cannot be read, or no layer fits.
pub(crate) fn start_from(run: &Path, genres: &[String], isa: Isa, model: &mut Sequential) -> Result<String> {
    let (meta, other) = open_run(run, isa)?;
    let theirs: HashMap<String, &Parameter> = other.parameters().collect();
    let layer_of = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let mut layers: Vec<(String, bool)> = Vec::new();
    for (name, own) in model.parameters() {
        let same = theirs.get(&name).is_some_and(|from| from.shape == own.shape);
        match layers.last_mut() {
            Some((layer, fits)) if *layer == layer_of(&name) => *fits &= same,
            below => {
                let fits = same && below.is_none_or(|(_, fits)| *fits);
                layers.push((layer_of(&name), fits));
            }
        }
    }
    if let Some((_, fits)) = layers.last_mut() {
        *fits &= meta.genres == genres;
    }
    let (taken, afresh): (Vec<_>, Vec<_>) = layers.into_iter().partition(|&(_, fits)| fits);
    if taken.is_empty() {
        let what = "its model's first layer has another shape than this recipe's";
        return Err(Error::data(run, what, "name a run of the same --filters, or leave --init-from out"));
    }
    let mut copied = 0;
    for own in model.parameters_mut().filter(|own| taken.iter().any(|(layer, _)| *layer == layer_of(&own.name))) {
        own.value.copy_from_slice(&theirs[&own.name].value);
        copied += own.value.len();
    }
    let afresh = match &afresh[..] {
        [] => String::new(),
        layers => format!("; afresh: {}", layers.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>().join(", ")),
    };
    Ok(format!("{copied} of the weights start as those of {}{afresh}", run.display()))
}

/// The weights of an epoch.
struct Kept {
    epoch: usize,
    score: f64,
    values: Vec<Vec<f32>>,
}

impl Kept {
    fn of(epoch: usize, score: f64, model: &Sequential) -> Self {
        Self { epoch, score, values: model.parameters().map(|(_, parameter)| parameter.value.to_vec()).collect() }
    }

    fn restore(&self, model: &mut Sequential) {
        model.parameters_mut().zip(&self.values).for_each(|(parameter, value)| parameter.value.copy_from_slice(value));
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
