//! The watch over a training: which epoch is the best so far, and whether the learning rate falls or
//! the training ends because no better one comes.

use crate::run::recipe::Recipe;
use serde::{Deserialize, Serialize};

/// What the epochs so far have come to. It goes into a checkpoint, and a training that goes on from
/// there ends where it would have ended.
///
/// An epoch is better than those before only if its score is higher, by however little: as good as
/// the best is no better, though it is the one that is kept.
///
/// Prechelt 1998, Early Stopping - But When?; Keras' `EarlyStopping` and `ReduceLROnPlateau` with
/// `min_delta=0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The epochs without a better one after which the training ends; 0 never ends it.
    patience: usize,
    /// The epochs without a better one, or since the rate fell, after which the learning rate
    /// falls; 0 never lowers it.
    plateau: usize,
    /// The highest score; `None` before the first epoch.
    best: Option<f64>,
    /// The epochs since the last one that was better than those before it.
    since_better: usize,
    /// The same, or the epochs since the rate fell last, if they are fewer.
    on_plateau: usize,
}

/// What is to be done after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether no epoch before was better.
    pub is_best: bool,
    /// Whether the learning rate falls.
    pub lowers_rate: bool,
    /// Whether the training ends.
    pub ends: bool,
}

impl Watch {
    /// The watch before the first epoch.
    pub fn new(recipe: &Recipe) -> Self {
        let &Recipe { patience, plateau, .. } = recipe;
        Self { patience, plateau, best: None, since_better: 0, on_plateau: 0 }
    }

    /// What is to be done after an epoch with this score, of which more is better.
    pub fn verdict(&mut self, score: f64) -> Verdict {
        let is_best = self.best.is_none_or(|best| score >= best);
        if self.best.is_none_or(|best| score > best) {
            (self.since_better, self.on_plateau) = (0, 0);
        } else {
            self.since_better += 1;
            self.on_plateau += 1;
        }
        if is_best {
            self.best = Some(score);
        }
        let has_passed = |limit: usize, epochs: usize| limit > 0 && epochs >= limit;
        let lowers_rate = has_passed(self.plateau, self.on_plateau);
        if lowers_rate {
            self.on_plateau = 0;
        }
        Verdict { is_best, lowers_rate, ends: has_passed(self.patience, self.since_better) }
    }
}
