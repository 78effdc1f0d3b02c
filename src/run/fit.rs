//! One experiment of a run, from training and measuring to writing the results.

use crate::classifier::answers::{Answers, Question};
use crate::classifier::experiment::Experiment;
use crate::classifier::{Classifier, MODEL_FILE, Meta};
use crate::data::batches::{Batches, Batching, Order};
use crate::data::frames::Frame;
use crate::data::split::Split;
use crate::data::transform::{Look, Transform, Views};
use crate::error::{Error, Result};
use crate::nn::checkpoint::{Checkpoint, Values};
use crate::nn::metrics::{best_f1_thresholds, top_k};
use crate::nn::{Average, Head, Input, Isa, Objective, Optimizer, Schedule, Sequential, Trainer};
use crate::progress::Progress;
use crate::report::{self, Epoch, HISTORY_FILE, METRICS_FILE, Metrics, PREDICTIONS_FILE, RECORD_FILE, Record, Stage};
use crate::run::card::{Card, write_card};
use crate::run::checkpoint::{self, Checkpoints, FitState, Position};
use crate::run::config::{CONFIG_FILE, write_config};
use crate::run::options::Options;
use crate::run::outcome::{Example, Outcome};
use crate::run::posters::Posters;
use crate::run::recipe::{Balance, Keep, Recipe};
use crate::run::speed::FirstSteps;
use crate::run::start::start_from;
use crate::run::watch::{Verdict, Watch};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// An experiment to be trained: its options, its films and their posters, and where progress is
/// reported.
pub(crate) struct Fit<'a, 'p> {
    pub options: &'a Options,
    /// The experiment or model file whose weights it starts from.
    pub start: Option<PathBuf>,
    pub experiment: &'a Experiment,
    pub frame: &'a Frame,
    pub posters: &'a mut Posters,
    pub progress: &'p dyn Progress,
    /// The part of the run's work that is the training of this experiment.
    pub share: Share,
    pub checkpoints: &'a mut Checkpoints<'p>,
}

/// A part of the work of a run, by films to train on: where it begins and how much it is, each from
/// 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub begin: f64,
    pub size: f64,
}

/// A training that was broken off: its checkpoint, and what that says of it.
pub(crate) struct BrokenOff<'a> {
    pub checkpoint: Checkpoint<'a>,
    pub state: FitState,
}

/// A training under way.
struct Training {
    classifier: Classifier,
    trainer: Trainer,
    state: FitState,
    /// The values of the epoch in `state.kept`.
    kept: Option<Values>,
}

impl Fit<'_, '_> {
    /// Trains the experiment, or goes on with its training, and fills its folder.
    pub fn run(mut self, folder: &Path, isa: Isa, broken_off: Option<BrokenOff>) -> Result<Outcome> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
        // What was handed down to this experiment is in its options already.
        let recipe = Recipe { transfer: 0.0, ..self.options.recipe.clone() };
        let own = Options { recipe, ..self.options.clone() };
        write_config(&folder.join(CONFIG_FILE), &[self.experiment.name], isa, &own)?;
        let mut training = match broken_off {
            Some(broken_off) => self.taken_up(broken_off, isa)?,
            None => self.begun(isa)?,
        };
        let model_file = folder.join(MODEL_FILE);
        self.train(&mut training, folder).inspect_err(|_| {
            if model_file.exists() {
                let note = format!("the weights of the best epoch so far are in {}", model_file.display());
                self.progress.note(&note);
            }
        })?;
        self.keep(&mut training)?;

        let experiment = self.experiment.name.to_owned();
        let model_sha256 = training.classifier.save(&model_file)?;
        let begin = Instant::now();
        let (metrics, examples) = match self.options.measures_test {
            true => self.measure(&mut training.classifier, folder)?,
            false => (None, Vec::new()),
        };
        let test = metrics.is_some().then(|| begin.elapsed().as_secs_f64());
        self.record(&training, &model_sha256, test, isa).write(&folder.join(RECORD_FILE))?;
        let (options, frame, classifier) = (self.options, self.frame, &training.classifier);
        let card = Card { options, frame, classifier, model_sha256: &model_sha256, metrics: metrics.as_ref() };
        write_card(folder, &card)?;
        Ok(Outcome { experiment, metrics, model_sha256, examples })
    }

    /// Measures the classifier on the test films, and writes down what came of it.
    fn measure(&mut self, classifier: &mut Classifier, folder: &Path) -> Result<(Option<Metrics>, Vec<Example>)> {
        let answers = self.answers(classifier, Split::Test, self.options.recipe.views)?;
        let evaluation = classifier.evaluation("test", &answers);
        let metrics = Metrics::with_intervals(&evaluation)?;
        report::write_metrics(&folder.join(METRICS_FILE), &metrics)?;
        report::write_predictions(&folder.join(PREDICTIONS_FILE), &answers.ids, &evaluation)?;
        Ok((Some(metrics), examples(self.frame, self.posters, &answers)))
    }

    /// What is written down about the machine and the time that the experiment took, of which the
    /// test took `test` seconds.
    fn record(&self, training: &Training, model_sha256: &str, test: Option<f64>, isa: Isa) -> Record {
        let FitState { history, validation, begun, .. } = &training.state;
        let trained = history.iter().map(|epoch| epoch.seconds).sum();
        let stages = [("training", Some(trained)), ("validation", Some(*validation)), ("test", test)];
        let stage = |(name, seconds): (&str, Option<f64>)| Some(Stage { name: name.to_owned(), seconds: seconds? });
        let stages = stages.into_iter().filter_map(stage).collect();
        Record::new(isa, self.options.threads, *begun, model_sha256.to_owned(), stages)
    }

    /// The training before its first step.
    fn begun(&mut self, isa: Isa) -> Result<Training> {
        let mut classifier = self.untrained(isa)?;
        if let Some(run) = &self.start {
            self.progress.note(&start_from(run, &self.frame.genres, &mut classifier.network)?);
        }
        self.introduce(&classifier);
        let trainer = self.trainer(&mut classifier.network);
        let state = FitState {
            experiment: self.experiment.name.to_owned(),
            films: self.frame.digest(),
            position: Position::begin(1),
            watch: Watch::new(&self.options.recipe),
            history: Vec::new(),
            kept: None,
            begun: SystemTime::now(),
            validation: 0.0,
        };
        let training = Training { classifier, trainer, state, kept: None };
        self.checkpoints.write(training.as_written(), &self.posters.late)?;
        Ok(training)
    }

    /// The training as its checkpoint has it.
    fn taken_up(&mut self, BrokenOff { checkpoint, state }: BrokenOff, isa: Isa) -> Result<Training> {
        let path = self.checkpoints.path();
        if (&*state.experiment, state.films) != (self.experiment.name, self.frame.digest()) {
            let what = format!("the films of {} are not those that it was begun with", self.experiment.name);
            return Err(Error::data(path, what, "put labels and posters back as they were, or name another --out"));
        }
        let mut classifier = self.untrained(isa)?;
        let mut trainer = self.trainer(&mut classifier.network);
        let kept = checkpoint.restore(&mut classifier.network, &mut trainer)?;
        if kept.is_some() != state.kept.is_some() {
            return Err(Error::data(path, "the weights of its best epoch are missing", "begin the run again"));
        }
        self.introduce(&classifier);
        let (at, films, epochs) = (state.position, self.frame.train.len(), self.options.recipe.epochs);
        self.progress.note(&match at.epoch > epochs {
            true => format!("taken up after epoch {epochs} of {epochs}"),
            false => format!("taken up in epoch {} of {epochs}, after {} of {films} films", at.epoch, at.at),
        });
        Ok(Training { classifier, trainer, state, kept })
    }

    /// Shows what is trained.
    fn introduce(&self, classifier: &Classifier) {
        let Self { experiment, frame, progress, .. } = self;
        let (train, val, test) = (frame.train.len(), frame.val.len(), frame.test.len());
        progress.note(&format!("\n{}: {train} films to train, {val} to validate, {test} to test", experiment.name));
        // The later models of a run differ from the first in their last layer alone.
        if self.share.begin == 0.0 {
            progress.note(&classifier.network.summary());
        }
    }

    /// The classifier with its initial weights.
    fn untrained(&self, isa: Isa) -> Result<Classifier> {
        let Self { options, experiment, frame, .. } = self;
        let recipe = &options.recipe;
        let mut network = Sequential::build(recipe.model(frame.genres.len()), isa, options.seed)?;
        network.reserve(recipe.batch);
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
        optimizer.clip_norm = (recipe.clip_norm > 0.0).then_some(recipe.clip_norm);
        let mut trainer = Trainer::new(objective, optimizer, self.options.seed);
        trainer.average = (recipe.ema > 0.0).then(|| Average::new(recipe.ema, network));
        trainer
    }

    /// Trains for all epochs that are left. The weights of the best epoch so far are always in the
    /// model file.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the run was asked to stop: its checkpoint is on the disk by then.
    fn train(&mut self, training: &mut Training, folder: &Path) -> Result<()> {
        let recipe = &self.options.recipe;
        while training.state.position.epoch <= recipe.epochs {
            self.train_epoch(training)?;
            // From here to the next step the classifier is as it would be kept.
            let Training { classifier, trainer, .. } = training;
            trainer.swap_average(&mut classifier.network);
            let begin = Instant::now();
            let validated = self.validate(training);
            if let Err(stopped @ Error::Stopped { .. }) = validated {
                training.trainer.swap_average(&mut training.classifier.network);
                self.checkpoints.write_now(training.as_written(), &self.posters.late)?;
                return Err(stopped);
            }
            let line = validated?;
            let Training { classifier, trainer, state, kept } = training;
            state.validation += begin.elapsed().as_secs_f64();
            let Verdict { is_best, lowers_rate, ends } =
                state.watch.verdict(line.score(recipe.monitor, self.experiment.head));
            self.progress.note(&line.line(is_best && recipe.keep == Keep::Best));
            let epoch = state.position.epoch;
            if is_best || recipe.keep == Keep::Last {
                let values = classifier.network.parameters().into_iter().map(|of| of.value.to_vec());
                (state.kept, *kept) = (Some(epoch), Some(values.collect()));
                self.name_epoch(classifier, epoch);
                classifier.save(&folder.join(MODEL_FILE))?;
            }
            trainer.swap_average(&mut classifier.network);
            state.history.push(line);
            report::write_history(&folder.join(HISTORY_FILE), &state.history)?;
            state.position = Position::begin(if ends { recipe.epochs } else { epoch } + 1);
            if epoch < recipe.epochs {
                self.control(trainer, lowers_rate, ends);
            }
            self.checkpoints.write(training.as_written(), &self.posters.late)?;
        }
        Ok(())
    }

    /// Does, and tells, what the watch over the training asks for.
    fn control(&self, trainer: &mut Trainer, lowers_rate: bool, ends: bool) {
        let recipe = &self.options.recipe;
        let waited = |epochs: usize| {
            let best = recipe.monitor.best(self.experiment.head);
            format!("epochs without a better one ({best}): {epochs}")
        };
        if ends {
            self.progress.note(&format!("the training ends here; {}", waited(recipe.patience)));
        } else if lowers_rate {
            let factor = recipe.plateau_factor;
            trainer.optimizer.rate_factor *= factor;
            self.progress.note(&format!("learning rate times {factor}; {}", waited(recipe.plateau)));
        }
    }

    /// Trains on what is left of the training films of an epoch.
    fn train_epoch(&mut self, training: &mut Training) -> Result<()> {
        let Self { options, experiment, frame, progress, share, .. } = *self;
        let Options { recipe, seed, .. } = options;
        let begun = training.state.position;
        let (seed, epoch) = (*seed, begun.epoch);
        let number = epoch as u64;
        let order = match recipe.balance_of(experiment) {
            Balance::Sampler => Order::Balanced { seed, epoch: number },
            _ => Order::Shuffled { seed, epoch: number },
        };
        let look = Look::Varied { augment: recipe.augment(), seed, epoch: number };
        let transform = Transform { size: recipe.size(), look };
        let (classes, size) = (frame.genres.len(), recipe.batch);
        let batching = Batching { classes, order, skip: begun.at, size, transform };

        let bar = progress.bar(&format!("epoch {epoch}/{}", recipe.epochs), frame.train.len());
        let started = Instant::now();
        let mut first_steps = FirstSteps::of(frame.train.len(), recipe.epochs);
        let mut batches = Batches::new(self.posters.source.clone(), &frame.train, batching)?;
        while let Some(batch) = batches.next() {
            let batch = batch?;
            let Training { classifier, trainer, state: FitState { position, .. }, .. } = training;
            let loss = trainer.step(&mut classifier.network, Input::U8(&batch.images), &batch.labels);
            position.steps += 1;
            if !loss.is_finite() {
                let ids: Vec<String> = batch.ids.iter().map(u64::to_string).collect();
                let batch = format!("films {}", ids.join(", "));
                return Err(Error::Diverged { loss, epoch, step: position.steps, batch });
            }
            self.checkpoints.confirm();
            position.at = batch.end;
            position.films += batch.len();
            position.loss += loss * batch.len() as f64;
            position.seconds = begun.seconds + started.elapsed().as_secs_f64();
            position.waited = begun.waited + batches.waited().as_secs_f64();
            if epoch == 1
                && let Some(speed) = first_steps.step(position.films)
            {
                progress.note(&speed);
            }
            bar.at(position.films, Some(position.loss / position.films as f64));
            let epochs = (epoch - 1) as f64 + position.at as f64 / frame.train.len() as f64;
            progress.whole(share.begin + share.size * epochs / recipe.epochs as f64);
            if progress.stops() {
                self.posters.refuse(batches.refused(), options)?;
                self.checkpoints.write_now(training.as_written(), &self.posters.late)?;
                return Err(Error::stopped(format!("in epoch {epoch} of {}", experiment.name), "begin again"));
            }
            if self.checkpoints.is_due() {
                self.posters.refuse(batches.refused(), options)?;
                self.checkpoints.hold(training.as_written(), &self.posters.late)?;
            }
        }
        drop(bar);
        self.posters.refuse(batches.refused(), options)?;
        let position = &mut training.state.position;
        position.at = frame.train.len();
        if position.films == 0 {
            return Err(Error::data(&options.data, "none of the training posters decodes", "see `train doctor`"));
        }
        Ok(())
    }

    /// Measures the classifier on the validation films after an epoch.
    fn validate(&mut self, training: &mut Training) -> Result<Epoch> {
        let Position { epoch, steps, films, loss, seconds, waited, .. } = training.state.position;
        // One view is enough to tell the epochs apart, and is fast.
        let answers = self.answers(&mut training.classifier, Split::Val, Views::One)?;
        if !answers.loss.is_finite() {
            // The last step broke the weights, and no step came after it to notice.
            let batch = "the one of the last step".into();
            return Err(Error::Diverged { loss: answers.loss, epoch, step: steps, batch });
        }
        let metrics = Metrics::of(&training.classifier.evaluation("val", &answers))?;
        let (rate, train) = (training.trainer.optimizer.last_rate(), self.frame.train.len());
        Ok(Epoch::new(epoch, loss / films as f64, &metrics, rate, train, seconds, waited))
    }

    /// Gives the classifier its final form: the weights of the epoch that is kept, and the
    /// thresholds for them.
    fn keep(&mut self, Training { classifier, state, kept, .. }: &mut Training) -> Result<()> {
        let (recipe, head) = (&self.options.recipe, self.experiment.head);
        let (Some(epoch), Some(kept)) = (state.kept, kept) else { unreachable!("an epoch at least is complete") };
        let mut values = kept.iter();
        classifier.network.each_parameter_mut(|parameter| {
            parameter.value.copy_from_slice(values.next().expect("the weights are of this network"));
        });
        self.name_epoch(classifier, epoch);
        if let Some(best) = &classifier.meta.best {
            self.progress.note(&format!("kept: epoch {epoch}, the {best}"));
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
        classifier.meta.best = is_best.then(|| self.options.recipe.monitor.best(self.experiment.head).to_owned());
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

impl Training {
    fn as_written(&self) -> checkpoint::Training<'_> {
        let Self { classifier, trainer, state, kept } = self;
        checkpoint::Training { model: &classifier.network, trainer, kept: kept.as_ref(), state }
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
