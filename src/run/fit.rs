//! One experiment of a run, from training and measuring to writing the results.

use crate::classifier::answers::{Answers, Question};
use crate::classifier::experiment::Experiment;
use crate::classifier::{Classifier, MODEL_FILE, Meta};
use crate::data::batches::{Batches, Batching, Order};
use crate::data::cache::PIXEL_RULES;
use crate::data::frames::Frame;
use crate::data::split::Split;
use crate::data::transform::{Look, Transform, Views};
use crate::error::{Error, Result};
use crate::files;
use crate::nn::metrics::{best_f1_thresholds, top_k};
use crate::nn::{Average, Head, Input, Isa, Objective, Optimizer, Schedule, Sequential, Trainer};
use crate::progress::Progress;
use crate::report::{self, Epoch, Metrics};
use crate::run::options::Options;
use crate::run::posters::Posters;
use crate::run::recipe::{Balance, Keep};
use crate::run::start::start_from;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The results of an experiment.
pub struct Outcome {
    /// The name of the experiment.
    pub experiment: &'static str,
    /// The metrics on the test films; `None` where they were not looked at.
    pub metrics: Option<Metrics>,
    /// The SHA-256 of the model file.
    pub model_sha256: String,
    /// The first few test films; none where they were not looked at.
    pub examples: Vec<Example>,
}

/// A test film, and what the classifier says of its poster.
pub struct Example {
    /// The file name of the poster.
    pub poster: String,
    /// The film's genres.
    pub genres: Vec<String>,
    /// The three most probable genres with their probabilities.
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

/// An experiment to be trained: its options, its films and their posters, and where progress is
/// reported.
pub(crate) struct Fit<'a> {
    pub options: &'a Options,
    /// The experiment or model file whose weights it starts from.
    pub start: Option<PathBuf>,
    pub experiment: &'a Experiment,
    pub frame: &'a Frame,
    pub posters: &'a mut Posters,
    pub progress: &'a dyn Progress,
    /// The part of the run's work that is the training of this experiment.
    pub share: Share,
}

/// A part of the work of a run, by films to train on: where it begins and how much it is, each from
/// 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub begin: f64,
    pub size: f64,
}

impl Fit<'_> {
    /// Trains the experiment and fills its folder.
    pub fn run(mut self, folder: &Path, isa: Isa) -> Result<Outcome> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
        let spec = self.options.recipe.model(self.frame.genres.len());
        check_room(folder, spec.memory(1, None)?.values)?;
        self.write_config(folder, isa)?;
        let mut classifier = self.untrained(isa)?;
        let mut trainer = self.trainer(&mut classifier.network);
        let model_file = folder.join(MODEL_FILE);
        let kept = self.train(&mut classifier, &mut trainer, folder).inspect_err(|_| {
            if model_file.exists() {
                let note = format!("the weights of the best epoch so far are in {}", model_file.display());
                self.progress.note(&note);
            }
        })?;
        self.keep(&mut classifier, &kept)?;

        let (experiment, model_sha256) = (self.experiment.name, classifier.save(&model_file)?);
        if !self.options.measures_test {
            return Ok(Outcome { experiment, metrics: None, model_sha256, examples: Vec::new() });
        }
        let answers = self.answers(&mut classifier, Split::Test, self.options.recipe.views)?;
        let evaluation = classifier.evaluation("test", &answers);
        let metrics = Metrics::with_intervals(&evaluation)?;
        report::write_metrics(&folder.join("metrics.json"), &metrics)?;
        report::write_predictions(&folder.join("predictions.csv"), &answers.ids, &evaluation)?;
        Ok(Outcome {
            experiment,
            metrics: Some(metrics),
            model_sha256,
            examples: examples(self.frame, self.posters, &answers),
        })
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

    /// The classifier before training.
    fn untrained(&self, isa: Isa) -> Result<Classifier> {
        let Self { options, start, experiment, frame, progress, .. } = self;
        let recipe = &options.recipe;
        let mut network = Sequential::build(recipe.model(frame.genres.len()), isa, options.seed)?;
        network.reserve(recipe.batch);
        if let Some(run) = start {
            progress.note(&start_from(run, &frame.genres, &mut network)?);
        }
        let (train, val, test) = (frame.train.len(), frame.val.len(), frame.test.len());
        progress.note(&format!("\n{}: {train} films to train, {val} to validate, {test} to test", experiment.name));
        // The later models of a run differ from the first in their last layer alone.
        if self.share.begin == 0.0 {
            progress.note(&network.summary());
        }
        let meta = Meta {
            experiment: experiment.name.into(),
            head: experiment.head,
            genres: frame.genres.clone(),
            max_genres: options.max_genres,
            epoch: None,
            best: None,
            thresholds: None,
            views: recipe.views,
        };
        Ok(Classifier { meta, network })
    }

    fn trainer(&self, network: &mut Sequential) -> Trainer {
        let (recipe, head) = (&self.options.recipe, self.experiment.head);
        let mut optimizer = Optimizer::new(recipe.rule, network);
        let steps = (recipe.epochs * self.frame.train.len().div_ceil(recipe.batch)) as u64;
        optimizer.schedule = Schedule { warmup: recipe.warmup, decay: recipe.schedule, steps };
        let class_weights = recipe.class_weights(head, self.frame);
        let objective = Objective { head, class_weights, focus: recipe.focal, smoothing: recipe.label_smoothing };
        let mut trainer = Trainer::new(objective, optimizer, self.options.seed);
        trainer.average = (recipe.ema > 0.0).then(|| Average::new(recipe.ema, network));
        trainer
    }

    /// Trains for all epochs, and returns the weights of the epoch that is to be kept. Those of the
    /// best epoch so far are always in the model file.
    fn train(&mut self, classifier: &mut Classifier, trainer: &mut Trainer, folder: &Path) -> Result<Kept> {
        let recipe = &self.options.recipe;
        let mut history = Vec::new();
        let mut kept: Option<Kept> = None;
        for epoch in 1..=recipe.epochs {
            let trained = self.train_epoch(classifier, trainer, epoch)?;
            // From here to the next step the classifier is as it would be kept.
            trainer.swap_average(&mut classifier.network);
            let line = self.validate(classifier, trained)?;
            let score = line.score(self.experiment.head);
            let is_best = kept.as_ref().is_none_or(|kept| score >= kept.score);
            self.progress.note(&line.line(trainer.optimizer.last_rate(), is_best && recipe.keep == Keep::Best));
            if is_best || recipe.keep == Keep::Last {
                kept = Some(Kept::of(epoch, score, &classifier.network));
                self.name_epoch(classifier, epoch);
                classifier.save(&folder.join(MODEL_FILE))?;
            }
            trainer.swap_average(&mut classifier.network);
            history.push(line);
            report::write_history(&folder.join("history.csv"), &history)?;
        }
        Ok(kept.expect("an epoch at least"))
    }

    /// Trains on all training films once.
    fn train_epoch(
        &mut self,
        classifier: &mut Classifier,
        trainer: &mut Trainer,
        epoch: usize,
    ) -> Result<TrainedEpoch> {
        let Self { options, experiment, frame, progress, share, .. } = *self;
        let Options { recipe, seed, .. } = options;
        let (seed, number) = (*seed, epoch as u64);
        let order = match recipe.balance_of(experiment) {
            Balance::Sampler => Order::Balanced { seed, epoch: number },
            _ => Order::Shuffled { seed, epoch: number },
        };
        let look = Look::Varied { augment: recipe.augment(), seed, epoch: number };
        let transform = Transform { size: recipe.size(), look };
        let batching = Batching { classes: frame.genres.len(), order, size: recipe.batch, transform };

        let bar = progress.bar(&format!("epoch {epoch}/{}", recipe.epochs), frame.train.len());
        let started = Instant::now();
        let mut batches = Batches::new(self.posters.source.clone(), &frame.train, batching)?;
        let (mut films, mut sum) = (0, 0.0);
        for (step, batch) in (&mut batches).enumerate() {
            let batch = batch?;
            let loss = trainer.step(&mut classifier.network, Input::U8(&batch.images), &batch.labels);
            if !loss.is_finite() {
                let ids: Vec<String> = batch.ids.iter().map(u64::to_string).collect();
                let batch = format!("films {}", ids.join(", "));
                return Err(Error::Diverged { loss, epoch, step: step + 1, batch });
            }
            films += batch.len();
            sum += loss * batch.len() as f64;
            bar.at(films, Some(sum / films as f64));
            let epochs = (epoch - 1) as f64 + films as f64 / frame.train.len() as f64;
            progress.whole(share.begin + share.size * epochs / recipe.epochs as f64);
        }
        let (seconds, waited) = (started.elapsed().as_secs_f64(), batches.waited().as_secs_f64());
        drop(bar);
        self.posters.refuse(batches.refused(), options)?;
        if films == 0 {
            return Err(Error::data(&options.data, "none of the training posters decodes", "see `train doctor`"));
        }
        Ok(TrainedEpoch { epoch, loss: sum / films as f64, seconds, waited })
    }

    /// Measures the classifier on the validation films after an epoch.
    fn validate(&mut self, classifier: &mut Classifier, trained: TrainedEpoch) -> Result<Epoch> {
        let TrainedEpoch { epoch, loss, seconds, waited } = trained;
        let train = self.frame.train.len();
        // One view is enough to tell the epochs apart, and is fast.
        let answers = self.answers(classifier, Split::Val, Views::One)?;
        if !answers.loss.is_finite() {
            // The last step broke the weights, and no step came after it to notice.
            let step = train.div_ceil(self.options.recipe.batch);
            return Err(Error::Diverged { loss: answers.loss, epoch, step, batch: "the one of the last step".into() });
        }
        let metrics = Metrics::of(&classifier.evaluation("val", &answers))?;
        Ok(Epoch::new(epoch, loss, &metrics, train, seconds, waited))
    }

    /// Gives the classifier its final form: the weights of the epoch that is kept, and the
    /// thresholds for them.
    fn keep(&mut self, classifier: &mut Classifier, kept: &Kept) -> Result<()> {
        let (recipe, head) = (&self.options.recipe, self.experiment.head);
        kept.restore(&mut classifier.network);
        self.name_epoch(classifier, kept.epoch);
        if let Some(best) = &classifier.meta.best {
            self.progress.note(&format!("kept: epoch {}, the {best}", kept.epoch));
        }
        // A softmax answers with one genre and has no thresholds.
        if head == Head::Sigmoid && recipe.tune_thresholds {
            let answers = self.answers(classifier, Split::Val, recipe.views)?;
            let classes = self.frame.genres.len();
            classifier.meta.thresholds = Some(best_f1_thresholds(classes, &answers.probabilities, &answers.labels));
        }
        Ok(())
    }

    /// Notes in the classifier which epoch its weights are of, and what made it the best.
    fn name_epoch(&self, classifier: &mut Classifier, epoch: usize) {
        classifier.meta.epoch = Some(epoch);
        let is_best = self.options.recipe.keep == Keep::Best;
        classifier.meta.best = is_best.then(|| Epoch::best(self.experiment.head).to_owned());
    }

    fn answers(&mut self, classifier: &mut Classifier, split: Split, views: Views) -> Result<Answers> {
        let Self { options, experiment, frame, progress, .. } = *self;
        let (source, films) = (&self.posters.source, frame.side(split));
        let question = Question { films, source, views, batch: options.recipe.batch, name: &split.to_string() };
        let answers = classifier.answers(question, progress)?;
        self.posters.refuse(&answers.refused, options)?;
        if answers.ids.is_empty() {
            let what = format!("none of the {split} posters of {} decodes", experiment.name);
            return Err(Error::data(&options.data, what, "see `train doctor`"));
        }
        Ok(answers)
    }
}

/// Refuses to train where a model of so many bytes of weights would not fit on the disk. It takes
/// room for two: a better epoch's weights are written before those that they replace are removed.
///
/// # Errors
/// [`Error::Io`], as for a disk that is full.
fn check_room(folder: &Path, weights: u64) -> Result<()> {
    // Beside the weights: the descriptions, and what is said of the test films.
    const BESIDE: u64 = 64 << 10;
    let needed = 2 * weights + BESIDE;
    let free = fs4::available_space(folder).map_err(Error::io(folder, "ask for the free space"))?;
    if free >= needed {
        return Ok(());
    }
    let what = format!("the model takes {:.1} MB and {:.1} MB are free", needed as f64 / 1e6, free as f64 / 1e6);
    let full = std::io::Error::new(std::io::ErrorKind::StorageFull, what);
    Err(Error::io(folder, "make room for the results")(full))
}

/// An epoch of training, before it is validated.
struct TrainedEpoch {
    epoch: usize,
    /// The mean loss per film.
    loss: f64,
    seconds: f64,
    /// The part of `seconds` in which training waited for images.
    waited: f64,
}

/// The weights of an epoch.
struct Kept {
    epoch: usize,
    score: f64,
    values: Vec<Vec<f32>>,
}

impl Kept {
    fn of(epoch: usize, score: f64, network: &Sequential) -> Self {
        let values = network.parameters().into_iter().map(|parameter| parameter.value.to_vec());
        Self { epoch, score, values: values.collect() }
    }

    fn restore(&self, network: &mut Sequential) {
        let mut values = self.values.iter();
        network.each_parameter_mut(|parameter| {
            parameter.value.copy_from_slice(values.next().expect("the weights are of this network"));
        });
    }
}

/// The first five test films by id whose posters decode: the same ones in every run on the same
/// data.
fn examples(frame: &Frame, posters: &Posters, answers: &Answers) -> Vec<Example> {
    let names = |genres: &[usize]| genres.iter().map(|&genre| frame.genres[genre].clone()).collect();
    let example = |(id, probabilities): (&u64, &[f32])| {
        let film = frame.test.iter().find(|film| film.id == *id).expect("the answers are on these films");
        let predicted = top_k(probabilities, 3).into_iter();
        Example {
            poster: posters.folder.name(film.id),
            genres: names(&film.genres),
            predicted: predicted.map(|genre| (frame.genres[genre].clone(), probabilities[genre])).collect(),
        }
    };
    answers.ids.iter().zip(answers.probabilities.chunks_exact(frame.genres.len())).take(5).map(example).collect()
}
