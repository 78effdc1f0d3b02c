//! The loss of a model with several heads, some of whose labels may not be known.
//!
//! The outputs of auxiliary heads follow those of the first in a model's output. Each head has a loss
//! of its own, a mean over its classes and over those items of the batch that have labels there: for
//! each, the items with labels are gathered, and the gradients put back where they belong. Where there
//! are no labels the gradient is 0, so that nothing is learned from them.

use super::loss::{AuxiliaryHeads, Head, Objective};
use crate::ranks::Team;

/// The loss of a head in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeadLoss {
    /// The mean over the items that have labels, before its factor; 0 where none has.
    pub loss: f64,
    /// How many items have labels.
    pub items: usize,
}

/// The losses of all heads, and what it takes to compute them.
#[derive(Debug, Default)]
pub struct HeadLosses {
    all: Vec<HeadLoss>,
    rows: Vec<usize>,
    logits: Vec<f32>,
    labels: Vec<f32>,
    probabilities: Vec<f32>,
    dlogits: Vec<f32>,
    /// Of each head, the sum of the losses of its items, and their number.
    sums: Vec<f64>,
}

impl HeadLosses {
    /// The loss of a batch: that of the first head plus the auxiliary ones times their factor. Writes
    /// its gradient by the logits. Of each head, an item has all labels or none: where the first one is
    /// NaN, none. Class weights, focus and smoothing are for the first head. Where the batch is shared
    /// out among ranks, losses and means are those of the whole batch.
    ///
    /// # Shapes
    /// `logits`, `labels` (0 to 1, or NaN) and `dlogits` (overwritten): `[n, outputs]`
    /// # Panics
    /// If a length differs from its shape, or the auxiliary heads leave no output for the first.
    pub fn of(
        &mut self,
        objective: &Objective,
        outputs: usize,
        logits: &[f32],
        labels: &[f32],
        dlogits: &mut [f32],
        team: &Team,
    ) -> f64 {
        assert_eq!((logits.len(), labels.len()), (dlogits.len(), dlogits.len()), "logits, labels and dlogits");
        assert_eq!(labels.len() % outputs, 0, "the labels of whole items");
        self.all.clear();
        let (others, weight) = match &objective.auxiliary {
            Some(AuxiliaryHeads { outputs, weight }) => (&outputs[..], *weight),
            None => (&[][..], 0.0),
        };
        let first = outputs.checked_sub(others.iter().sum()).filter(|&first| first > 0);
        let first = first.expect("the first head has an output");
        self.of_head(objective, [0, first, outputs], 1.0, [logits, labels], dlogits);
        let plain = Objective::from(Head::Sigmoid);
        let mut begin = first;
        for &classes in others {
            self.of_head(&plain, [begin, classes, outputs], weight, [logits, labels], dlogits);
            begin += classes;
        }
        if !team.is_alone() {
            self.sum_over(team, std::iter::once(first).chain(others.iter().copied()), outputs, dlogits);
        }
        self.all[1..].iter().fold(self.all[0].loss, |loss, of| loss + f64::from(weight) * of.loss)
    }

    /// Makes the means over a rank's items those over the items of all ranks, given the number of classes
    /// of each head.
    fn sum_over(&mut self, team: &Team, heads: impl Iterator<Item = usize>, outputs: usize, dlogits: &mut [f32]) {
        self.sums.clear();
        self.sums.extend(self.all.iter().flat_map(|of| [of.loss * of.items as f64, of.items as f64]));
        team.sum(&mut self.sums);
        let mut begin = 0;
        for ((of, sums), classes) in self.all.iter_mut().zip(self.sums.as_chunks().0).zip(heads) {
            let &[loss, items] = sums;
            let share = if items > 0.0 { (of.items as f64 / items) as f32 } else { 0.0 };
            for item in dlogits.chunks_exact_mut(outputs) {
                item[begin..begin + classes].iter_mut().for_each(|gradient| *gradient *= share);
            }
            *of = HeadLoss { loss: if items > 0.0 { loss / items } else { 0.0 }, items: items as usize };
            begin += classes;
        }
    }

    /// The losses of the last batch, that of the first head first.
    pub fn all(&self) -> &[HeadLoss] {
        &self.all
    }

    /// The loss of the head whose outputs are `classes` from `begin` on, of `outputs`; its gradient is
    /// multiplied by `factor`.
    fn of_head(
        &mut self,
        objective: &Objective,
        [begin, classes, outputs]: [usize; 3],
        factor: f32,
        [logits, labels]: [&[f32]; 2],
        dlogits: &mut [f32],
    ) {
        let row = |at: usize| at * outputs + begin..at * outputs + begin + classes;
        self.rows.clear();
        self.logits.clear();
        self.labels.clear();
        for at in 0..labels.len() / outputs {
            dlogits[row(at)].fill(0.0);
            if !labels[row(at)][0].is_nan() {
                self.rows.push(at);
                self.logits.extend_from_slice(&logits[row(at)]);
                self.labels.extend_from_slice(&labels[row(at)]);
            }
        }
        let mut of = HeadLoss { loss: 0.0, items: self.rows.len() };
        if of.items > 0 {
            let Self { rows, logits, labels, probabilities, dlogits: gathered, .. } = self;
            probabilities.resize(logits.len(), 0.0);
            gathered.resize(logits.len(), 0.0);
            of.loss = objective.cross_entropy(classes, logits, labels, probabilities, gathered);
            for (&at, gradient) in rows.iter().zip(gathered.chunks_exact(classes)) {
                dlogits[row(at)].iter_mut().zip(gradient).for_each(|(to, gradient)| *to = factor * gradient);
            }
        }
        self.all.push(of);
    }
}
