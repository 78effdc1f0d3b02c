//! What a classifier's answers are worth, beside what trivial answers get on the same films.
//!
//! Everything is computed in f64 from whole-split counts, never as a mean over batches. Where a
//! quotient's denominator is zero a number exists only if scikit-learn's `zero_division=0` gives
//! one (the precision of a genre that was never predicted is 0); otherwise it is `None`, in JSON
//! `null`, and stays out of the means.

mod baselines;
pub(super) mod bootstrap;
mod calibration;
mod confusion;
mod intervals;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use baselines::Baselines;
use bootstrap::Means;
pub use calibration::{Bin, Calibration};
pub use confusion::Confusion;
pub use intervals::Intervals;

use crate::error::{Error, Result};
use crate::nn::Head;
use crate::nn::metrics::{Ranking, top_k};

/// A classifier's answers on a set of films, and the truth.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    /// The name of the experiment.
    pub experiment: &'a str,
    /// The name of the set of films: `unseen`, `all`, `train`, `val` or `test`.
    pub split: &'a str,
    /// The last activation, which decides which metrics apply.
    pub head: Head,
    /// The names of the classes.
    pub genres: &'a [String],
    /// `[films, classes]`, row-major.
    pub probabilities: &'a [f32],
    /// `[films, classes]`, row-major; 1 where the film has the genre, else 0.
    pub labels: &'a [f32],
    /// The mean loss per film.
    pub loss: f64,
    /// The probability of each class above which it counts as predicted; `None` is 0.5 for all.
    pub thresholds: Option<&'a [f32]>,
}

/// The content of `metrics.json`.
///
/// | metric | sigmoid | softmax |
/// |---|---|---|
/// | top-k hit, AP, AUC | yes | yes, each genre against the rest |
/// | F1, precision and recall at the thresholds | yes | yes, each genre against the rest |
/// | Hamming and subset accuracy | yes | `None`: the answer is one genre, not a set |
/// | categorical and balanced accuracy | `None`: the truth is a set, not one genre | yes |
///
/// A genre is predicted if its probability is above its threshold: the classifier's, tuned for F1
/// on the validation films, or one half where it has none (one half itself is not above, as in
/// Keras).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The name of the experiment.
    pub experiment: String,
    /// The name of the set of films.
    pub split: String,
    /// The number of films evaluated.
    pub films: usize,
    /// The names of the classes, in the order of the model's outputs.
    pub genres: Vec<String>,
    /// The mean loss per film.
    pub loss: f64,
    /// The probability of each genre above which it counts as predicted; `None` is 0.5 for all.
    pub thresholds: Option<Vec<f32>>,
    /// Share of the films whose most probable genre is one of theirs.
    pub top1_hit: f64,
    /// Share of the films that have one of their genres among the three most probable ones.
    pub top3_hit: f64,
    /// Mean AP over the genres with films.
    pub macro_ap: Option<f64>,
    /// Mean AP over the genres with films, in which a genre counts by its films.
    pub weighted_ap: Option<f64>,
    /// Mean AUC over the genres that some films have and some have not.
    pub macro_auc: Option<f64>,
    /// The same mean, in which a genre counts by its films.
    pub weighted_auc: Option<f64>,
    /// F1 over all (film, genre) pairs, at the thresholds.
    pub micro_f1: f64,
    /// Mean F1 over the genres with films, at the thresholds.
    pub macro_f1: Option<f64>,
    /// Share of the (film, genre) pairs that are right at the thresholds.
    pub hamming_accuracy: Option<f64>,
    /// Share of the films whose whole set of genres is right at the thresholds.
    pub subset_accuracy: Option<f64>,
    /// Share of the films whose most probable genre is theirs.
    pub categorical_accuracy: Option<f64>,
    /// The mean, over the genres with films, of the share of a genre's films whose most probable
    /// genre it is.
    pub balanced_accuracy: Option<f64>,
    /// Intervals in which some of these metrics would lie on other films of the same kind; `None`
    /// where they were not asked for.
    pub intervals: Option<Intervals>,
    /// The metrics of trivial answers on the same films.
    pub baselines: Baselines,
    /// One entry per genre, in the order of `genres`.
    pub per_genre: Vec<GenreMetrics>,
}

/// The metrics of one genre against the rest. All but `genre` and `support` are `None` if no film
/// has the genre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenreMetrics {
    /// The name of the genre.
    pub genre: String,
    /// The number of films that have it.
    pub support: usize,
    /// Average precision.
    pub ap: Option<f64>,
    /// Area under the ROC curve; `None` also if all films have the genre.
    pub auc: Option<f64>,
    /// Share of the films predicted to have the genre that do have it; 0 if none is predicted.
    pub precision: Option<f64>,
    /// Share of the films with the genre that are predicted to have it.
    pub recall: Option<f64>,
    /// `2 * true positives / (predicted + support)`.
    pub f1: Option<f64>,
}

impl Metrics {
    /// All metrics of a classifier's answers, bootstrap intervals included.
    ///
    /// # Errors
    /// Those of [`Metrics::of`].
    /// # Panics
    /// Where [`Metrics::of`] does.
    pub fn with_intervals(evaluation: &Evaluation) -> Result<Self> {
        // What the intervals rely on is checked with the metrics.
        let metrics = Self::of(evaluation)?;
        Ok(Self { intervals: Some(Intervals::of(evaluation)), ..metrics })
    }

    /// All metrics of a classifier's answers but the intervals. Takes `O(n log n)` per genre.
    ///
    /// # Errors
    /// [`Error::Data`], its place being the experiment, if the loss or a probability is not finite:
    /// no rank and no JSON number exists for it.
    ///
    /// # Panics
    /// If there are no films or genres, the shapes differ, a label is neither 0 nor 1, or the head
    /// is [`Head::Softmax`] and a film has not exactly one genre.
    pub fn of(evaluation: &Evaluation) -> Result<Self> {
        let &Evaluation { experiment, split, head, genres, probabilities, loss, thresholds, .. } = evaluation;
        let labels = check(evaluation)?;
        let classes = genres.len();
        let films = labels.len() / classes;

        let Tally { counts, top1_hits, top3_hits, right_sets } = Tally::of(evaluation, &labels);
        let metrics_of = |(genre, (count, name)): (usize, (&Counts, &String))| {
            let scores = probabilities.iter().skip(genre).step_by(classes);
            let positives = labels.iter().skip(genre).step_by(classes);
            count.metrics(name, &Ranking::new(scores.copied().zip(positives.copied())))
        };
        let per_genre: Vec<_> = counts.iter().zip(genres).enumerate().map(metrics_of).collect();
        let all = Counts::sum(&counts);
        let right_pairs = labels.len() + 2 * all.true_positives - all.support - all.predicted;

        let (mut ap, mut auc) = (Means::default(), Means::default());
        for genre in &per_genre {
            ap.add(genre.ap, genre.support as u64);
            auc.add(genre.auc, genre.support as u64);
        }
        let top1_hit = ratio(top1_hits, films);
        let sigmoid = |value: f64| (head == Head::Sigmoid).then_some(value);
        Ok(Self {
            experiment: experiment.into(),
            split: split.into(),
            films,
            genres: genres.to_vec(),
            loss,
            thresholds: thresholds.map(<[f32]>::to_vec),
            top1_hit,
            top3_hit: ratio(top3_hits, films),
            macro_ap: ap.of_genres(),
            weighted_ap: ap.by_support(),
            macro_auc: auc.of_genres(),
            weighted_auc: auc.by_support(),
            micro_f1: all.f1(),
            macro_f1: mean(per_genre.iter().filter_map(|genre| genre.f1)),
            hamming_accuracy: sigmoid(ratio(right_pairs, labels.len())),
            subset_accuracy: sigmoid(ratio(right_sets, films)),
            categorical_accuracy: (head == Head::Softmax).then_some(top1_hit),
            balanced_accuracy: match head {
                Head::Sigmoid => None,
                Head::Softmax => {
                    let with_films = counts.iter().filter(|count| count.support > 0);
                    mean(with_films.map(|count| ratio(count.top1_hits, count.support)))
                }
            },
            intervals: None,
            baselines: Baselines::of(classes, &labels),
            per_genre,
        })
    }
}

/// The labels as truth values, once everything that [`Metrics::of`] relies on holds.
fn check(evaluation: &Evaluation) -> Result<Vec<bool>> {
    let &Evaluation { experiment, head, genres, probabilities, labels, loss, .. } = evaluation;
    let classes = genres.len();
    assert!(classes > 0 && !labels.is_empty(), "metrics need films and genres");
    assert_eq!(labels.len() % classes, 0, "labels are not rows of {classes}");
    assert_eq!(probabilities.len(), labels.len(), "probabilities and labels differ in shape");
    assert!(evaluation.thresholds.is_none_or(|all| all.len() == classes), "a threshold for each of {classes}");
    assert!(labels.iter().all(|&label| label == 0.0 || label == 1.0), "a label is neither 0 nor 1");
    let labels: Vec<bool> = labels.iter().map(|&label| label == 1.0).collect();
    if head == Head::Softmax {
        let one_genre = |row: &[bool]| row.iter().filter(|&&label| label).count() == 1;
        assert!(labels.chunks_exact(classes).all(one_genre), "with softmax a film has exactly one genre");
    }

    let not_finite = |what: String| {
        let remedy = "its weights are damaged or training diverged: train it again, perhaps with a lower learning rate";
        Err(Error::data(Path::new(experiment), what, remedy))
    };
    if let Some(at) = probabilities.iter().position(|probability| !probability.is_finite()) {
        let (film, genre) = (at / classes + 1, &genres[at % classes]);
        return not_finite(format!("the model answers {} for {genre} of film {film}", probabilities[at]));
    }
    if !loss.is_finite() {
        return not_finite(format!("the model's loss is {loss}"));
    }
    Ok(labels)
}

/// The counts of all genres over all films.
struct Tally {
    counts: Vec<Counts>,
    /// Films whose most probable genre is one of theirs.
    top1_hits: usize,
    /// Films that have one of their genres among the three most probable ones.
    top3_hits: usize,
    /// Films whose set of genres is predicted exactly.
    right_sets: usize,
}

impl Tally {
    fn of(&Evaluation { genres, probabilities, thresholds, .. }: &Evaluation, labels: &[bool]) -> Self {
        let classes = genres.len();
        let counts = vec![Counts::default(); classes];
        let mut tally = Self { counts, top1_hits: 0, top3_hits: 0, right_sets: 0 };
        for (probabilities, labels) in probabilities.chunks_exact(classes).zip(labels.chunks_exact(classes)) {
            let top = top_k(probabilities, 3);
            tally.top3_hits += usize::from(top.iter().any(|&genre| labels[genre]));
            if labels[top[0]] {
                tally.top1_hits += 1;
                tally.counts[top[0]].top1_hits += 1;
            }
            let mut right = true;
            for (genre, count) in tally.counts.iter_mut().enumerate() {
                let predicted = probabilities[genre] > thresholds.map_or(0.5, |thresholds| thresholds[genre]);
                count.support += usize::from(labels[genre]);
                count.predicted += usize::from(predicted);
                count.true_positives += usize::from(labels[genre] && predicted);
                right &= labels[genre] == predicted;
            }
            tally.right_sets += usize::from(right);
        }
        tally
    }
}

/// The counts of one genre over all films.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    support: usize,
    predicted: usize,
    true_positives: usize,
    top1_hits: usize,
}

impl Counts {
    fn sum(counts: &[Self]) -> Self {
        let of = |count: fn(&Self) -> usize| counts.iter().map(count).sum();
        Self {
            support: of(|count| count.support),
            predicted: of(|count| count.predicted),
            true_positives: of(|count| count.true_positives),
            top1_hits: of(|count| count.top1_hits),
        }
    }

    fn metrics(&self, genre: &str, ranking: &Ranking) -> GenreMetrics {
        let if_films = |value: f64| (self.support > 0).then_some(value);
        GenreMetrics {
            genre: genre.into(),
            support: self.support,
            ap: ranking.average_precision(),
            auc: ranking.roc_auc(),
            precision: if_films(ratio(self.true_positives, self.predicted)),
            recall: if_films(ratio(self.true_positives, self.support)),
            f1: if_films(self.f1()),
        }
    }

    fn f1(&self) -> f64 {
        ratio(2 * self.true_positives, self.predicted + self.support)
    }
}

/// `part / whole`; 0 if the whole is 0 (scikit-learn's `zero_division=0`).
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
