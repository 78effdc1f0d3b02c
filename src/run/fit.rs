//! One experiment of a run, from its first step or its last checkpoint to its results.

use crate::classifier::answers::Answers;
use crate::classifier::{Classifier, MODEL_FILE, Meta};
use crate::data::frames::Frame;
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::files;
use crate::nn::checkpoint::Checkpoint;
use crate::nn::metrics::{best_f1_thresholds, top_k};
use crate::nn::{Average, Head, Isa, Objective, Optimizer, Schedule, Sequential, Trainer};
use crate::report::{self, METRICS_FILE, Metrics, PREDICTIONS_FILE, RECORD_FILE, Record, Stage, TRAINING, VALIDATION};
use crate::run::card::{Card, write_card};
use crate::run::checkpoint::{FitState, Position, RunState};
use crate::run::config::{CONFIG_FILE, write_config};
use crate::run::options::{OUT_OF_FOLD, Options};
use crate::run::outcome::{Example, Outcome};
use crate::run::posters::Posters;
use crate::run::recipe::Recipe;
use crate::run::start::start_from;
use crate::run::training::{Fit, Training};
use crate::run::watch::Watch;
use std::path::Path;
use std::time::{Instant, SystemTime};

/// A training that was broken off: its checkpoint, and what that says of it.
pub(crate) struct BrokenOff<'a> {
    pub checkpoint: Checkpoint<'a>,
    pub state: FitState,
}

/// When the training of an experiment began, and the seconds that its parts took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub begun: SystemTime,
    pub training: f64,
    pub validation: f64,
}

impl Fit<'_, '_> {
    /// Trains the experiment, or goes on with its training, and fills its folder.
    pub fn run(mut self, folder: &Path, isa: Isa, broken_off: Option<BrokenOff>) -> Result<Outcome> {
        self.begin_in(folder, isa)?;
        let mut training = match broken_off {
            _ if !self.options.team.is_first() => self.joined(isa)?,
            Some(broken_off) => self.taken_up(broken_off, isa)?,
            None => self.begun(isa)?,
        };
        if self.options.team.is_first() && !self.options.team.is_alone() {
            let state = self.checkpoints.bytes_of(training.as_written(), &self.posters.late)?;
            self.options.team.of_first(state);
        }
        let model_file = folder.join(MODEL_FILE);
        self.train(&mut training, folder).inspect_err(|_| {
            if model_file.exists() {
                let note = format!("the weights of the best epoch so far are in {}", model_file.display());
                self.progress.note(&note);
            }
        })?;
        self.keep(&mut training)?;
        let Training { mut classifier, state, .. } = training;
        let FitState { history, validation, begun, .. } = state;
        let training = history.iter().map(|epoch| epoch.seconds).sum();
        self.finish(&mut classifier, Times { begun, training, validation }, folder, isa)
    }

    /// Makes the folder of the experiment, with its options in it.
    pub fn begin_in(&self, folder: &Path, isa: Isa) -> Result<()> {
        if !self.options.team.is_first() {
            return Ok(());
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
        // What was handed down to this experiment is in its options already.
        let recipe = Recipe { transfer: 0.0, ..self.options.recipe.clone() };
        let own = Options { recipe, ..self.options.clone() };
        write_config(&folder.join(CONFIG_FILE), &[self.experiment.name], isa, &own, None)
    }

    /// Writes down a classifier that is in its final form, and what it is worth.
    pub fn finish(&mut self, classifier: &mut Classifier, times: Times, folder: &Path, isa: Isa) -> Result<Outcome> {
        let experiment = self.experiment.name.to_owned();
        if !self.options.team.is_first() {
            if !self.options.no_test {
                self.answers(classifier, Split::Test, self.options.recipe.views)?;
            }
            return Ok(Outcome { experiment, metrics: None, model_sha256: String::new(), examples: Vec::new() });
        }
        let model_sha256 = classifier.save(&folder.join(MODEL_FILE))?;
        let begin = Instant::now();
        let (metrics, examples) = match self.options.no_test {
            true => (None, Vec::new()),
            false => self.measure(classifier, folder)?,
        };
        let test = metrics.is_some().then(|| begin.elapsed().as_secs_f64());
        self.record(times, &model_sha256, test, isa).write(&folder.join(RECORD_FILE))?;
        let (options, frame, taught, classifier) = (self.options, self.frame, self.taught, &*classifier);
        let card = Card { options, frame, taught, classifier, model_sha256: &model_sha256, metrics: metrics.as_ref() };
        write_card(folder, &card)?;
        Ok(Outcome { experiment, metrics, model_sha256, examples })
    }

    /// Measures the classifier on the test films, and writes down what came of it.
    fn measure(&mut self, classifier: &mut Classifier, folder: &Path) -> Result<(Option<Metrics>, Vec<Example>)> {
        let answers = self.answers(classifier, Split::Test, self.options.recipe.views)?;
        let evaluation = classifier.evaluation(self.options.held_out().map_or("test", |_| OUT_OF_FOLD), &answers);
        let metrics = Metrics::with_intervals(&evaluation)?;
        report::write_metrics(&folder.join(METRICS_FILE), &metrics)?;
        report::write_predictions(&folder.join(PREDICTIONS_FILE), &answers.ids, &evaluation)?;
        Ok((Some(metrics), examples(self.frame, self.posters, &answers)))
    }

    /// What is written down about the machine and the time that the experiment took, of which the
    /// test took `test` seconds.
    fn record(&self, times: Times, model_sha256: &str, test: Option<f64>, isa: Isa) -> Record {
        let Times { begun, training, validation } = times;
        let stages = [(TRAINING, Some(training)), (VALIDATION, Some(validation)), ("test", test)];
        let stage = |(name, seconds): (&str, Option<f64>)| Some(Stage { name: name.to_owned(), seconds: seconds? });
        let stages = stages.into_iter().filter_map(stage).collect();
        let precision = self.options.recipe.precision.into();
        Record::new(isa, precision, self.options.threads, begun, model_sha256.to_owned(), stages)
    }

    /// The training before its first step.
    fn begun(&mut self, isa: Isa) -> Result<Training> {
        let (mut classifier, mut wide) = self.untrained(isa)?;
        let network = wide.as_mut().unwrap_or(&mut classifier.network);
        if let Some(run) = &self.start {
            self.progress.note(&start_from(run, &self.frame.genres, network)?);
        }
        self.introduce(network);
        let trainer = self.trainer(network);
        let state = FitState {
            experiment: self.experiment.name.to_owned(),
            films: self.digest(),
            position: Position::begin(1),
            watch: Watch::new(&self.options.recipe),
            history: Vec::new(),
            kept: None,
            begun: SystemTime::now(),
            validation: 0.0,
        };
        let training = Training { classifier, wide, trainer, state, kept: None };
        self.checkpoints.write(training.as_written(), &self.posters.late)?;
        Ok(training)
    }

    /// The training as rank 0 begins it or takes it up, for the other ranks.
    fn joined(&mut self, isa: Isa) -> Result<Training> {
        let (mut classifier, mut wide) = self.untrained(isa)?;
        let network = wide.as_mut().unwrap_or(&mut classifier.network);
        let mut trainer = self.trainer(network);
        let state = self.options.team.of_first(Vec::new());
        let (state, kept) = files::read_received(&state, |path| {
            let checkpoint = Checkpoint::open(path)?;
            let state: RunState = checkpoint.description()?;
            Ok((state.fit, checkpoint.restore(network, &mut trainer)?))
        })?;
        let state = state.expect("rank 0 has sent a training");
        Ok(Training { classifier, wide, trainer, state, kept })
    }

    /// The training as its checkpoint has it.
    fn taken_up(&mut self, BrokenOff { checkpoint, state }: BrokenOff, isa: Isa) -> Result<Training> {
        let path = self.checkpoints.path();
        if (&*state.experiment, state.films) != (self.experiment.name, self.digest()) {
            let what = format!("the films of {} are not those that it was begun with", self.experiment.name);
            return Err(Error::data(path, what, "put labels and posters back as they were, or name another --out"));
        }
        if !state.fits(&self.course()) {
            return Err(Error::data(path, "no training of this run comes to such a place", "begin the run again"));
        }
        let (mut classifier, mut wide) = self.untrained(isa)?;
        let network = wide.as_mut().unwrap_or(&mut classifier.network);
        let mut trainer = self.trainer(network);
        let kept = checkpoint.restore(network, &mut trainer)?;
        if kept.is_some() != state.kept.is_some() {
            return Err(Error::data(path, "the weights of its best epoch are missing", "begin the run again"));
        }
        self.introduce(network);
        let course = self.course();
        let (at, epochs) = (state.position, course.epochs());
        self.progress.note(&match at.epoch > epochs {
            true => format!("taken up after epoch {epochs} of {epochs}"),
            false => {
                let films = course.films(at.epoch);
                format!("taken up in epoch {} of {epochs}, after {} of {films} films", at.epoch, at.at)
            }
        });
        Ok(Training { classifier, wide, trainer, state, kept })
    }

    /// A checksum of all that is learned from, and measured on.
    fn digest(&self) -> u32 {
        match self.taught {
            None => self.frame.digest(),
            Some(taught) => crc32fast::hash(format!("{} {}", self.frame.digest(), taught.digest()).as_bytes()),
        }
    }

    /// Shows what is trained.
    fn introduce(&self, network: &Sequential) {
        let Self { experiment, frame, progress, .. } = self;
        let (train, val, test) = (frame.train.len(), frame.val.len(), frame.test.len());
        let kept_for = if self.options.held_out().is_some() { "predict" } else { "test" };
        let name = experiment.name;
        progress.note(&format!("\n{name}: {train} films to train, {val} to validate, {test} to {kept_for}"));
        if let Some(taught) = self.taught {
            progress.note(&format!("also {taught}"));
        }
        // The later models of a run differ from the first in their last layer alone.
        if self.share.begin == 0.0 {
            progress.note(&network.summary());
        }
    }

    /// The classifier with its initial weights, and the network with auxiliary heads, where there are
    /// any and it is trained in place of the classifier's.
    fn untrained(&self, isa: Isa) -> Result<(Classifier, Option<Sequential>)> {
        let Self { options, experiment, frame, .. } = self;
        let recipe = &options.recipe;
        let build = |outputs| {
            let mut network = Sequential::build(recipe.model(outputs), isa, options.seed)?;
            network.train_in(recipe.precision.into());
            network.train_among(&options.team, options.statistics());
            Ok(network)
        };
        let mut network = build(frame.genres.len())?;
        let wide = self.taught.map(|taught| build(frame.genres.len() + taught.heads.classes()));
        let mut wide: Option<Sequential> = wide.transpose()?;
        wide.as_mut().unwrap_or(&mut network).reserve(recipe.batch);
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
        Ok((Classifier { meta, network, others: Vec::new() }, wide))
    }

    fn trainer(&self, network: &mut Sequential) -> Trainer {
        let (recipe, head) = (&self.options.recipe, self.experiment.head);
        let course = self.course();
        let (rule, warmup) = self.options.rule(course.epochs());
        let mut optimizer = Optimizer::new(rule, network);
        optimizer.schedule = Schedule { warmup, decay: recipe.schedule, steps: course.steps() as u64 };
        let class_weights = recipe.class_weights(head, self.frame);
        let auxiliary = self.taught.map(|taught| recipe.auxiliary_heads(taught));
        let (focus, smoothing) = (recipe.focal, recipe.label_smoothing);
        let objective = Objective { head, class_weights, focus, smoothing, auxiliary };
        optimizer.clip_norm = (recipe.clip_norm > 0.0).then_some(recipe.clip_norm);
        let mut trainer = Trainer::new(objective, optimizer, self.options.seed);
        trainer.average = (recipe.ema > 0.0).then(|| Average::new(recipe.ema, network));
        trainer
    }

    /// Gives the classifier its final form: the weights of the epoch that is kept, and the
    /// thresholds for them.
    fn keep(&mut self, training: &mut Training) -> Result<()> {
        let (Some(epoch), Some(kept)) = (training.state.kept, training.kept.take()) else {
            unreachable!("an epoch at least is complete")
        };
        let mut values = kept.iter();
        training.network().each_parameter_mut(|parameter| {
            parameter.value.copy_from_slice(values.next().expect("the weights are of this network"));
        });
        training.cut_off();
        let classifier = &mut training.classifier;
        self.name_epoch(classifier, epoch);
        if let Some(best) = &classifier.meta.best {
            self.progress.note(&format!("kept: epoch {epoch}, the {best}"));
        }
        self.tune(classifier)
    }

    /// Gives the classifier the thresholds that suit it.
    pub fn tune(&mut self, classifier: &mut Classifier) -> Result<()> {
        let recipe = &self.options.recipe;
        // A softmax answers with one genre and has no thresholds.
        if self.experiment.head == Head::Sigmoid && recipe.tune_thresholds {
            let answers = self.answers(classifier, Split::Val, recipe.views)?;
            let classes = self.frame.genres.len();
            classifier.meta.thresholds = Some(best_f1_thresholds(classes, &answers.probabilities, &answers.labels));
        }
        Ok(())
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
