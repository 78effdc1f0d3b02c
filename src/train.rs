//! Training and evaluation: batches through a model.

use crate::data::batches::Batch;
use crate::error::{Error, Result};
use crate::loss::Head;
use crate::nn::{Input, Pass, Sequential};
use crate::optim::Optimizer;

/// A model in training.
pub struct Trainer {
    /// The model.
    pub model: Sequential,
    /// Its last activation and loss.
    pub head: Head,
    /// Update rule and state.
    pub optimizer: Optimizer,
    /// The run's seed, for dropout.
    pub seed: u64,
    probabilities: Vec<f32>,
    dlogits: Vec<f32>,
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

impl Trainer {
    /// Starts from the model's present weights with a fresh optimiser state.
    pub fn new(model: Sequential, head: Head, optimizer: Optimizer, seed: u64) -> Self {
        Self { model, head, optimizer, seed, probabilities: Vec::new(), dlogits: Vec::new() }
    }

    /// One step on one batch: forward, loss, backward, update. Returns the mean loss of the batch before the update.
    pub fn step(&mut self, images: Input, labels: &[f32]) -> f64 {
        let pass = Pass::Training { seed: self.seed, step: self.optimizer.steps() };
        let classes = self.model.outputs();
        self.probabilities.resize(labels.len(), 0.0);
        self.dlogits.resize(labels.len(), 0.0);
        let logits = self.model.forward(images, pass).values();
        let loss = self.head.cross_entropy(classes, logits, labels, None, &mut self.probabilities, &mut self.dlogits);
        self.optimizer.step(&mut self.model, &self.dlogits);
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
}

/// The answers of a model on all films of `batches`, in their order; a loss of 0 where there are none. `after_batch` gets the number of films so far.
///
/// # Errors
/// Those of the batches.
pub fn evaluate(
    model: &mut Sequential,
    head: Head,
    batches: impl Iterator<Item = Result<Batch>>,
    mut after_batch: impl FnMut(usize),
) -> Result<Answers> {
    let classes = model.outputs();
    let mut answers = Answers::default();
    let mut logits = Vec::new();
    for batch in batches {
        let batch = batch?;
        logits.extend_from_slice(model.forward(Input::U8(&batch.images), Pass::Inference).values());
        answers.labels.extend_from_slice(&batch.labels);
        answers.ids.extend_from_slice(&batch.ids);
        after_batch(answers.ids.len());
    }
    if !answers.ids.is_empty() {
        // Over all films at once, so that the loss does not depend on how they were batched.
        let mut dlogits = vec![0.0; logits.len()];
        answers.probabilities.resize(logits.len(), 0.0);
        let Answers { probabilities, labels, .. } = &mut answers;
        answers.loss = head.cross_entropy(classes, &logits, labels, None, probabilities, &mut dlogits);
    }
    Ok(answers)
}
