//! The training step: a batch through a model, forward and back.

use super::heads::HeadLosses;
use super::{Average, HeadLoss, Input, Objective, Optimizer, Pass, Sequential};

/// What a model is trained with: an objective, an optimiser, and what they remember from step to
/// step.
///
/// ```
/// use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Rule, Sequential, Trainer};
///
/// let spec = ModelSpec::input(&[2]).dense(8).relu().dense(1);
/// let mut model = Sequential::build(spec, Isa::available()[0], 1)?;
/// let optimizer = Optimizer::new(Rule::adam(0.05), &mut model);
/// let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 1);
///
/// let (points, labels) = ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]);
/// let first = trainer.step(&mut model, Input::F32(&points), &labels);
/// let last = (0..50).map(|_| trainer.step(&mut model, Input::F32(&points), &labels)).last().unwrap();
/// assert!(last < first / 2.0);
/// # Ok::<(), onesheet::Error>(())
/// ```
pub struct Trainer {
    /// What the training minimises.
    pub objective: Objective,
    /// The update rule and its schedule.
    pub optimizer: Optimizer,
    /// The seed of the training, for dropout.
    pub seed: u64,
    /// The average of the weights, where one is kept.
    pub average: Option<Average>,
    losses: HeadLosses,
    dlogits: Vec<f32>,
}

impl Trainer {
    /// A trainer that keeps no average of the weights.
    pub fn new(objective: impl Into<Objective>, optimizer: Optimizer, seed: u64) -> Self {
        let (losses, dlogits) = Default::default();
        Self { objective: objective.into(), optimizer, seed, average: None, losses, dlogits }
    }

    /// One step on one batch: forward, loss, backward, update. Returns the mean loss of the batch
    /// before the update, that of all heads. A steady step allocates nothing.
    ///
    /// # Shapes
    /// `input`: `[n, input shape...]`; `labels`: `[n, outputs]`, 0 to 1, or NaN for all outputs of a
    /// head where the labels of an item are not known: they teach nothing
    /// # Panics
    /// If the batch has no items or not whole ones, or the labels are not as many as the outputs;
    /// if the optimiser was made for another model.
    pub fn step(&mut self, model: &mut Sequential, input: Input, labels: &[f32]) -> f64 {
        self.step_from(model, 0, input, labels)
    }

    /// [`step`](Self::step) on this rank's share of a batch, whose first item is at the place `first` in
    /// the batch, for a model that is [trained among ranks](Sequential::train_among): the loss, and the
    /// step, are those of the whole batch, and the same on all ranks.
    ///
    /// # Shapes
    /// As of [`step`](Self::step).
    /// # Panics
    /// As [`step`](Self::step).
    pub fn step_from(&mut self, model: &mut Sequential, first: usize, input: Input, labels: &[f32]) -> f64 {
        let pass = Pass::Training { seed: self.seed, step: self.optimizer.steps(), first };
        let outputs = model.outputs();
        let Self { objective, losses, dlogits, .. } = self;
        dlogits.resize(labels.len(), 0.0);
        let team = model.team().clone();
        let logits = model.forward(input, pass).values();
        let loss = losses.of(objective, outputs, logits, labels, dlogits, &team);
        self.optimizer.step(model, dlogits);
        if let Some(average) = &mut self.average {
            average.follow(model);
        }
        loss
    }

    /// The loss of each head in the last step, that of the first one first.
    pub fn losses(&self) -> &[HeadLoss] {
        self.losses.all()
    }

    /// Exchanges the model's weights and their average, where one is kept: called before and after
    /// the model is used as it is to be used in the end.
    pub fn swap_average(&mut self, model: &mut Sequential) {
        if let Some(average) = &mut self.average {
            average.swap(model);
        }
    }
}
