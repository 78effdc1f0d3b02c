//! Training and evaluation: batches through a model.

use crate::average::Average;
use crate::data::batches::Batch;
use crate::error::{Error, Result};
use crate::loss::{Head, Objective};
use crate::nn::{Input, Pass, Sequential};
use crate::optim::Optimizer;

/// A model in training.
pub struct Trainer {
    /// The model.
    pub model: Sequential,
    /// What it minimises.
    pub objective: Objective,
    /// Update rule and state.
    pub optimizer: Optimizer,
    /// The run's seed, for dropout.
    pub seed: u64,
    /// The average of the weights, where one is kept.
    pub average: Option<Average>,
    probabilities: Vec<f32>,
    dlogits: Vec<f32>,
}

impl Trainer {
    /// Starts from the model's present weights with a fresh optimiser state.
    pub fn new(model: Sequential, objective: impl Into<Objective>, optimizer: Optimizer, seed: u64) -> Self {
        let (probabilities, dlogits) = Default::default();
        Self { model, objective: objective.into(), optimizer, seed, average: None, probabilities, dlogits }
    }

    /// One step on one batch: forward, loss, backward, update. Returns the mean loss of the batch before the update.
    pub fn step(&mut self, images: Input, labels: &[f32]) -> f64 {
        let pass = Pass::Training { seed: self.seed, step: self.optimizer.steps() };
        let classes = self.model.outputs();
        let Self { objective, probabilities, dlogits, .. } = self;
        probabilities.resize(labels.len(), 0.0);
        dlogits.resize(labels.len(), 0.0);
        let logits = self.model.forward(images, pass).values();
        let loss = objective.cross_entropy(classes, logits, labels, probabilities, dlogits);
        self.optimizer.step(&mut self.model, dlogits);
        if let Some(average) = &mut self.average {
            average.follow(&self.model);
        }
        loss
    }

    /// One pass over the training films. Returns the mean loss a film. `after_step` gets the number of films so far and
    /// the mean loss over them.
    ///
    /// # Errors
    /// [`Error::Diverged`] at the first loss that is not finite, with the films of its batch; errors of the batches.
    pub fn epoch(
        &mut self,
        epoch: usize,
        batches: impl Iterator<Item = Result<Batch>>,
        mut after_step: impl FnMut(usize, f64),
    ) -> Result<f64> {
        let (mut films, mut sum) = (0, 0.0);
        for (step, batch) in batches.enumerate() {
            let batch = batch?;
            let loss = self.step(Input::U8(&batch.images), &batch.labels);
            if !loss.is_finite() {
                let films = batch.ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
                return Err(Error::Diverged { loss, epoch, step: step + 1, films });
            }
            films += batch.ids.len();
            sum += loss * batch.ids.len() as f64;
            after_step(films, sum / films as f64);
        }
        Ok(sum / films as f64)
    }

    /// Calls `work` with the model as it is to be used: with the averaged weights, where they are kept.
    pub fn with_result<T>(&mut self, work: impl FnOnce(&mut Sequential) -> T) -> T {
        let Self { model, average, .. } = self;
        average.iter_mut().for_each(|average| average.swap(model));
        let result = work(model);
        average.iter_mut().for_each(|average| average.swap(model));
        result
    }
}

/// What a model says to some films, film by film, before it becomes probabilities.
#[derive(Clone, Debug, Default)]
pub struct Logits {
    /// Film ids, in the order of the rows below.
    pub ids: Vec<u64>,
    /// `[films, classes]`.
    pub logits: Vec<f32>,
    /// `[films, classes]`, 0 or 1.
    pub labels: Vec<f32>,
}

/// A model's answers on a split, film by film.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Film ids, in the order of the rows below.
    pub ids: Vec<u64>,
    /// `[films, classes]`.
    pub probabilities: Vec<f32>,
    /// `[films, classes]`, 0 or 1.
    pub labels: Vec<f32>,
    /// Mean loss a film.
    pub loss: f64,
}

/// The logits of a model on all films of `batches`, in their order. `after_batch` gets the number of films so far.
///
/// # Errors
/// Those of the batches.
pub fn logits(
    model: &mut Sequential,
    batches: impl Iterator<Item = Result<Batch>>,
    mut after_batch: impl FnMut(usize),
) -> Result<Logits> {
    let mut all = Logits::default();
    for batch in batches {
        let batch = batch?;
        all.logits.extend_from_slice(model.forward(Input::U8(&batch.images), Pass::Inference).values());
        all.labels.extend_from_slice(&batch.labels);
        all.ids.extend_from_slice(&batch.ids);
        after_batch(all.ids.len());
    }
    Ok(all)
}

impl Answers {
    /// What the mean logits of several views of the same films say; a loss of 0 where there are no films.
    ///
    /// # Panics
    /// If there is no view, or they are not of the same films.
    pub fn of(head: Head, views: Vec<Logits>) -> Self {
        let count = views.len() as f32;
        let mut views = views.into_iter();
        let Logits { ids, mut logits, labels } = views.next().expect("one view at least");
        for view in views {
            assert_eq!(view.ids, ids, "views of the same films");
            logits.iter_mut().zip(view.logits).for_each(|(sum, logit)| *sum += logit);
        }
        let mut answers = Self { ids, probabilities: vec![0.0; logits.len()], labels, loss: 0.0 };
        if !answers.ids.is_empty() {
            if count > 1.0 {
                logits.iter_mut().for_each(|logit| *logit /= count);
            }
            // Over all films at once, so that the loss does not depend on how they were batched.
            let classes = logits.len() / answers.ids.len();
            let mut dlogits = vec![0.0; logits.len()];
            let Self { probabilities, labels, .. } = &mut answers;
            answers.loss = Objective::from(head).cross_entropy(classes, &logits, labels, probabilities, &mut dlogits);
        }
        answers
    }
}
