//! Which genres are predicted for the films of which.

use std::collections::HashMap;

use crate::nn::Head;
use crate::nn::metrics::top_k;
use crate::report::Evaluation;

/// How many films of each genre each genre is predicted for.
///
/// With a softmax, the genre predicted for a film is its most probable one, and this is the
/// confusion matrix. With a sigmoid, a film may have several genres, and several may be predicted,
/// or none: a film counts once for each pair of a true and a predicted genre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// The films that have the first genre and for which the second is predicted, of pairs of which
    /// there are such films.
    pub counts: HashMap<[usize; 2], usize>,
    /// The films that have each genre.
    pub support: Vec<usize>,
    /// The films that have each genre and for which none is predicted.
    pub unanswered: Vec<usize>,
}

impl Confusion {
    /// The counts of a classifier's answers, at its thresholds (0.5 where it has none).
    ///
    /// # Panics
    /// If there are no genres, or the shapes differ.
    pub fn of(evaluation: &Evaluation) -> Self {
        let &Evaluation { head, genres, probabilities, labels, thresholds, .. } = evaluation;
        let classes = genres.len();
        assert!(classes > 0, "a confusion is of genres");
        assert_eq!(probabilities.len(), labels.len(), "probabilities and labels differ in shape");
        let mut found = Self { counts: HashMap::new(), support: vec![0; classes], unanswered: vec![0; classes] };
        for (probabilities, labels) in probabilities.chunks_exact(classes).zip(labels.chunks_exact(classes)) {
            let above = |&genre: &usize| probabilities[genre] > thresholds.map_or(0.5, |thresholds| thresholds[genre]);
            let predicted: Vec<usize> = match head {
                Head::Sigmoid => (0..classes).filter(above).collect(),
                Head::Softmax => top_k(probabilities, 1),
            };
            for truth in (0..classes).filter(|&genre| labels[genre] == 1.0) {
                found.support[truth] += 1;
                found.unanswered[truth] += usize::from(predicted.is_empty());
                predicted.iter().for_each(|&genre| *found.counts.entry([truth, genre]).or_default() += 1);
            }
        }
        found
    }

    /// The films that have the genre `truth` and for which `predicted` is predicted.
    pub fn count(&self, truth: usize, predicted: usize) -> usize {
        self.counts.get(&[truth, predicted]).copied().unwrap_or(0)
    }
}
