//! How much of a result is luck: bootstrap intervals.

use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Evaluation, Metrics};
use crate::error::Result;
use crate::rng::{Purpose, stream};

/// The middle 95 % of each metric, as its low and high end, over sets of as many films as were
/// evaluated, drawn from these with replacement.
///
/// The intervals say how far a number would move with other test films of the same kind, not how
/// far it would move with another seed of the training.
///
/// Efron 1979, Bootstrap Methods: Another Look at the Jackknife; percentile intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// The number of times that films were drawn.
    pub resamples: usize,
    /// The interval of [`Metrics::top1_hit`].
    pub top1_hit: [f64; 2],
    /// The interval of [`Metrics::top3_hit`].
    pub top3_hit: [f64; 2],
    /// The interval of [`Metrics::macro_ap`].
    pub macro_ap: Option<[f64; 2]>,
    /// The interval of [`Metrics::macro_auc`].
    pub macro_auc: Option<[f64; 2]>,
    /// The interval of [`Metrics::balanced_accuracy`].
    pub balanced_accuracy: Option<[f64; 2]>,
}

/// The most resamples: enough for two digits of a percentile.
const RESAMPLES: usize = 1_000;
/// The most films in all resamples together (of which there are at least 100): large sets have
/// narrow intervals, which fewer draws find as well.
const FILMS: usize = 4_000_000;

impl Intervals {
    /// The intervals of a classifier's answers, on all threads of the current pool; the same for
    /// any number of them.
    ///
    /// # Errors
    /// Those of [`Metrics::of`].
    /// # Panics
    /// Where [`Metrics::of`] does.
    pub fn of(evaluation: &Evaluation) -> Result<Self> {
        let classes = evaluation.genres.len();
        let films = evaluation.labels.len() / classes;
        let resamples = (FILMS / films).clamp(100, RESAMPLES);
        let resample = |i: usize| {
            let mut random = stream(0, Purpose::Bootstrap, i as u64);
            let drawn: Vec<usize> = (0..films).map(|_| random.random_range(0..films)).collect();
            let rows = |of: &[f32]| drawn.iter().flat_map(|&film| &of[film * classes..][..classes]).copied().collect();
            let (probabilities, labels): (Vec<f32>, Vec<f32>) =
                (rows(evaluation.probabilities), rows(evaluation.labels));
            Metrics::of(&Evaluation { probabilities: &probabilities, labels: &labels, ..*evaluation })
        };
        let all: Vec<Metrics> = (0..resamples).into_par_iter().map(resample).collect::<Result<_>>()?;
        let some = |of: fn(&Metrics) -> Option<f64>| middle(all.iter().filter_map(of).collect());
        let each = |of: fn(&Metrics) -> f64| middle(all.iter().map(of).collect()).expect("there are resamples");
        Ok(Self {
            resamples,
            top1_hit: each(|metrics| metrics.top1_hit),
            top3_hit: each(|metrics| metrics.top3_hit),
            macro_ap: some(|metrics| metrics.macro_ap),
            macro_auc: some(|metrics| metrics.macro_auc),
            balanced_accuracy: some(|metrics| metrics.balanced_accuracy),
        })
    }
}

/// The value that 2.5 % of the values lie below, and the one that 2.5 % lie above.
fn middle(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([0.025, 0.975].map(|share| values[(share * last as f64).round() as usize]))
}
