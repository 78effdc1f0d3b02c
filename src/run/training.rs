//! The training of an experiment: epoch after epoch, from wherever it is.

use crate::classifier::answers::{Answers, BATCH, Question};
use crate::classifier::experiment::Experiment;
use crate::classifier::teacher::Teacher;
use crate::classifier::{Classifier, MODEL_FILE};
use crate::data::auxiliary::Taught;
use crate::data::batches::{Batches, Batching, Order};
use crate::data::decode::ImageSpec;
use crate::data::films::Film;
use crate::data::frames::Frame;
use crate::data::split::Split;
use crate::data::transform::{Look, Transform, Views};
use crate::error::{Error, Result};
use crate::nn::checkpoint::Values;
use crate::nn::{Input, Sequential, Trainer};
use crate::progress::Progress;
use crate::report::{self, Epoch, HISTORY_FILE, Metrics};
use crate::run::checkpoint::{Checkpoints, FitState, Position, Snapshot};
use crate::run::course::Course;
use crate::run::options::Options;
use crate::run::posters::Posters;
use crate::run::recipe::{Balance, Keep};
use crate::run::speed::FirstSteps;
use crate::run::watch::Verdict;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Ranks ask each other after this many steps, which are a second or so, whether one was told to stop.
const STEPS_BETWEEN_ASKING: usize = 8;

/// An experiment to be trained: its options, its films and their posters, and where progress is
/// reported.
pub(crate) struct Fit<'a, 'p> {
    pub options: &'a Options,
    /// The experiment or model file whose weights it starts from.
    pub start: Option<PathBuf>,
    /// What it learns from beside the labels.
    pub teacher: Option<Teacher>,
    pub experiment: &'a Experiment,
    pub frame: &'a Frame,
    /// What is taught beside the genres.
    pub taught: Option<&'a Taught>,
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

/// A training under way.
pub(crate) struct Training {
    /// The classifier as it would be kept, if `wide` does not hold the present weights.
    pub classifier: Classifier,
    /// Where auxiliary heads are trained, the network with their outputs, too.
    pub wide: Option<Sequential>,
    pub trainer: Trainer,
    pub state: FitState,
    /// The values of the epoch in `state.kept`.
    pub kept: Option<Values>,
}

impl Training {
    /// What a checkpoint holds of it.
    pub fn as_written(&self) -> Snapshot<'_> {
        let Self { classifier, wide, trainer, state, kept } = self;
        let model = wide.as_ref().unwrap_or(&classifier.network);
        Snapshot { model, trainer, kept: kept.as_ref(), state }
    }

    /// The network that is trained.
    pub fn network(&mut self) -> &mut Sequential {
        self.wide.as_mut().unwrap_or(&mut self.classifier.network)
    }

    /// Exchanges the weights and their average, where one is kept.
    fn swap_average(&mut self) {
        let network = self.wide.as_mut().unwrap_or(&mut self.classifier.network);
        self.trainer.swap_average(network);
    }

    /// Cuts off the auxiliary heads, of which the classifier knows nothing.
    pub fn cut_off(&mut self) {
        if let Some(wide) = &self.wide {
            self.classifier.network.take_first_outputs(wide);
        }
    }
}

impl Fit<'_, '_> {
    /// Trains for all epochs that are left. The weights of the best epoch so far are always in the
    /// model file.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the run was asked to stop: its checkpoint is on the disk by then.
    pub fn train(&mut self, training: &mut Training, folder: &Path) -> Result<()> {
        let recipe = &self.options.recipe;
        let epochs = self.course().epochs();
        let writes = self.options.team.is_first();
        while training.state.position.epoch <= epochs {
            self.train_epoch(training)?;
            // From here to the next step the classifier is as it would be kept.
            training.swap_average();
            training.cut_off();
            let begin = Instant::now();
            let validated = self.validate(training);
            if let Err(stopped @ Error::Stopped { .. }) = validated {
                training.swap_average();
                self.checkpoints.write_now(training.as_written(), &self.posters.late)?;
                // A rank that has gone ends the job, and with it the writing.
                self.options.team.meet();
                return Err(stopped);
            }
            let line = validated?;
            let Training { classifier, wide, state, kept, .. } = training;
            state.validation += begin.elapsed().as_secs_f64();
            let Verdict { is_best, lowers_rate, ends } =
                state.watch.verdict(line.score(recipe.monitor, self.experiment.head));
            self.progress.note(&line.line(is_best && recipe.keep == Keep::Best));
            let epoch = state.position.epoch;
            if is_best || recipe.keep == Keep::Last {
                let values =
                    wide.as_ref().unwrap_or(&classifier.network).parameters().into_iter().map(|of| of.value.to_vec());
                (state.kept, *kept) = (Some(epoch), Some(values.collect()));
                self.name_epoch(classifier, epoch);
                if writes {
                    classifier.save(&folder.join(MODEL_FILE))?;
                }
            }
            training.swap_average();
            let Training { trainer, state, .. } = training;
            state.history.push(line);
            if writes {
                report::write_history(&folder.join(HISTORY_FILE), &state.history)?;
            }
            state.position = Position::begin(if ends { epochs } else { epoch } + 1);
            if epoch < epochs {
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

    /// The films to train on.
    pub fn train_films(&self) -> &[Film] {
        Taught::films(self.taught, self.frame)
    }

    /// How long the training on them is.
    pub fn course(&self) -> Course {
        self.options.recipe.course(self.train_films().len())
    }

    /// Trains on what is left of the training films of an epoch.
    fn train_epoch(&mut self, training: &mut Training) -> Result<()> {
        let Self { options, experiment, frame, taught, progress, share, .. } = *self;
        let Options { recipe, seed, .. } = options;
        let all = Taught::films(taught, frame);
        let begun = training.state.position;
        let (seed, epoch) = (*seed, begun.epoch);
        let number = epoch as u64;
        let order = match recipe.balance_of(experiment) {
            Balance::Sampler => Order::Balanced { seed, epoch: number },
            _ => Order::Shuffled { seed, epoch: number },
        };
        let look = Look::Varied { augment: recipe.augment(), seed, epoch: number };
        let course = self.course();
        // Of the last epoch perhaps a part.
        let films = course.films(epoch);
        let image = recipe.size_in(epoch, course.epochs());
        let transform = Transform { size: image, look };
        let (classes, size) = (frame.genres.len(), recipe.batch);
        let place = options.team.place();
        let batching = Batching { classes, order, skip: begun.at, size, transform, place };

        resize(training.network(), image, recipe.batch)?;
        if let Some(teacher) = &mut self.teacher {
            teacher.resize(image)?;
        }
        let bar = progress.bar(&format!("epoch {epoch}/{}", course.epochs()), films);
        let started = Instant::now();
        let mut first_steps = FirstSteps::of(films, course.epochs());
        let heads = taught.map(|taught| Arc::clone(&taught.heads));
        let mut batches = Batches::with_heads(self.posters.source.clone(), all, batching, heads)?;
        while training.state.position.at < films
            && let Some(batch) = batches.next()
        {
            let batch = batch?;
            let Training { classifier, wide, trainer, state: FitState { position, .. }, .. } = training;
            let network = wide.as_mut().unwrap_or(&mut classifier.network);
            let targets = match &mut self.teacher {
                Some(teacher) => teacher.targets(&batch.images, &batch.labels),
                None => &batch.labels,
            };
            let loss = trainer.step_from(network, batch.first, Input::U8(&batch.images), targets);
            position.steps += 1;
            if !loss.is_finite() {
                let ids: Vec<String> = batch.ids.iter().map(u64::to_string).collect();
                let batch = format!("films {}", ids.join(", "));
                return Err(Error::Diverged { loss, epoch, step: position.steps, batch });
            }
            self.checkpoints.confirm();
            position.at = batch.end;
            position.films += batch.of_all_ranks;
            let of_genres = trainer.losses()[0];
            let labelled = of_genres.items / place.times(batch.of_all_ranks);
            position.labelled += labelled;
            position.loss += of_genres.loss * labelled as f64;
            position.seconds = begun.seconds + started.elapsed().as_secs_f64();
            position.waited = begun.waited + batches.waited().as_secs_f64();
            if epoch == 1
                && recipe.progressive.is_empty()
                && let Some(speed) = first_steps.step(position.films)
            {
                progress.note(&speed);
            }
            bar.at(position.films, (position.labelled > 0).then(|| position.loss / position.labelled as f64));
            let done = (epoch - 1) * all.len() + position.at;
            progress.whole(share.begin + share.size * done as f64 / course.all_films() as f64);
            // Ranks ask each other now and then: it takes a message's time.
            let asks = place.count == 1 || position.steps.is_multiple_of(STEPS_BETWEEN_ASKING);
            if asks && options.team.any(progress.stops()) {
                self.posters.refuse(batches.refused(), options)?;
                self.checkpoints.write_now(training.as_written(), &self.posters.late)?;
                options.team.meet();
                return Err(Error::stopped(format!("in epoch {epoch} of {}", experiment.name), "begin again"));
            }
            if self.checkpoints.is_due() {
                self.posters.refuse(batches.refused(), options)?;
                self.checkpoints.hold(training.as_written(), &self.posters.late)?;
            }
        }
        drop(bar);
        self.posters.refuse(batches.refused(), options)?;
        // What follows asks the classifier as it will be asked in the end.
        resize(training.network(), recipe.input, recipe.batch)?;
        let position = &mut training.state.position;
        position.at = films;
        // The last epoch may be so small a part of one that only films without genres come up in it.
        if position.labelled == 0 && training.state.history.is_empty() {
            if films < all.len() {
                let what = "no film with genres comes up in so few steps";
                return Err(Error::data(&options.data, what, "name more --steps or --hours"));
            }
            return Err(Error::data(&options.data, "none of the training posters decodes", "see `train doctor`"));
        }
        Ok(())
    }

    /// Measures the classifier on the validation films after an epoch.
    fn validate(&mut self, training: &mut Training) -> Result<Epoch> {
        let Position { epoch, steps, labelled, loss, seconds, waited, .. } = training.state.position;
        // One view is enough to tell the epochs apart, and is fast.
        let answers = self.answers(&mut training.classifier, Split::Val, Views::One)?;
        if !answers.loss.is_finite() {
            // The last step broke the weights, and no step came after it to notice.
            let batch = "the one of the last step".into();
            return Err(Error::Diverged { loss: answers.loss, epoch, step: steps, batch });
        }
        let metrics = Metrics::of(&training.classifier.evaluation("val", &answers))?;
        let (rate, gone_through) = (training.trainer.optimizer.last_rate(), self.course().films(epoch));
        let train_loss = match training.state.history.last() {
            // Of no film with genres there is no new loss.
            Some(before) if labelled == 0 => before.train_loss,
            _ => loss / labelled as f64,
        };
        Ok(Epoch::new(epoch, train_loss, &metrics, rate, gone_through, seconds, waited))
    }

    /// Notes in the classifier which epoch its weights are of, and what made it the best.
    pub fn name_epoch(&self, classifier: &mut Classifier, epoch: usize) {
        classifier.meta.epoch = Some(epoch);
        let is_best = self.options.recipe.keep == Keep::Best;
        classifier.meta.best = is_best.then(|| self.options.recipe.monitor.best(self.experiment.head).to_owned());
    }

    /// The classifier's answers on the films of one side.
    pub fn answers(&mut self, classifier: &mut Classifier, split: Split, views: Views) -> Result<Answers> {
        let Self { options, experiment, frame, progress, .. } = *self;
        let (source, films) = (&self.posters.source, frame.side(split));
        // No more than a step takes.
        let batch = options.recipe.batch.min(BATCH);
        let question = Question { films, source, views, batch, name: &split.to_string(), team: &options.team };
        let answers = classifier.answers(question, progress)?;
        self.posters.refuse(&answers.refused, options)?;
        if answers.ids.is_empty() {
            let what = format!("none of the {split} posters of {} decodes", experiment.name);
            return Err(Error::data(&options.data, what, "see `train doctor`"));
        }
        Ok(answers)
    }
}

/// Has a network take images of a size, in batches of up to `batch`.
fn resize(network: &mut Sequential, size: ImageSpec, batch: usize) -> Result<()> {
    network.resize_input(&[size.height, size.width, 3])?;
    network.reserve(batch);
    Ok(())
}
