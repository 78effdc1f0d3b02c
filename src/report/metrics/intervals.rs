//! How much of a result is luck: bootstrap intervals.

use serde::{Deserialize, Serialize};

use super::Evaluation;
use super::bootstrap::{
    BALANCED_ACCURACY, MACRO_AP, MACRO_AUC, Resampled, Sample, TOP1_HIT, TOP3_HIT, WEIGHTED_AP, WEIGHTED_AUC,
};
use crate::nn::Head;

/// 95 % intervals of the headline metrics, each as its low and high end: bias-corrected and
/// accelerated bootstrap intervals (Efron 1987, Better Bootstrap Confidence Intervals), over sets of
/// as many films as were evaluated, drawn from these with replacement.
///
/// The intervals say how far a number would move with other test films of the same kind, not how
/// far it would move with another seed of the training. The AP of a few films is on average higher
/// than that of many, and its interval may lie below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// The number of times that films were drawn.
    pub resamples: usize,
    /// The interval of [`Metrics::top1_hit`](super::Metrics::top1_hit).
    pub top1_hit: [f64; 2],
    /// The interval of [`Metrics::top3_hit`](super::Metrics::top3_hit).
    pub top3_hit: [f64; 2],
    /// The interval of [`Metrics::macro_ap`](super::Metrics::macro_ap).
    pub macro_ap: Option<[f64; 2]>,
    /// The interval of [`Metrics::weighted_ap`](super::Metrics::weighted_ap).
    pub weighted_ap: Option<[f64; 2]>,
    /// The interval of [`Metrics::macro_auc`](super::Metrics::macro_auc).
    pub macro_auc: Option<[f64; 2]>,
    /// The interval of [`Metrics::weighted_auc`](super::Metrics::weighted_auc).
    pub weighted_auc: Option<[f64; 2]>,
    /// The interval of [`Metrics::balanced_accuracy`](super::Metrics::balanced_accuracy).
    pub balanced_accuracy: Option<[f64; 2]>,
}

impl Intervals {
    /// The intervals of a classifier's answers, on all threads of the current pool; the same for any
    /// number of them.
    pub(super) fn of(&Evaluation { head, genres, probabilities, labels, .. }: &Evaluation) -> Self {
        let sample = Sample::new(genres.len(), probabilities, labels);
        let resampled = Resampled::of(sample.films(), |weights| sample.values(weights));
        let some = |metric| resampled.interval(metric, [0.0, 1.0]);
        let each = |metric| some(metric).expect("every set of films has it");
        Self {
            resamples: resampled.resamples(),
            top1_hit: each(TOP1_HIT),
            top3_hit: each(TOP3_HIT),
            macro_ap: some(MACRO_AP),
            weighted_ap: some(WEIGHTED_AP),
            macro_auc: some(MACRO_AUC),
            weighted_auc: some(WEIGHTED_AUC),
            balanced_accuracy: if head == Head::Softmax { some(BALANCED_ACCURACY) } else { None },
        }
    }
}
