//! How good scores are: the precision-recall and ROC curves and the areas under them, the best
//! threshold, top-k.
//!
//! The curves are defined by thresholds, and a threshold cannot separate equal scores. So items
//! of equal score form one group, and the areas are sums over groups from the highest score to
//! the lowest. This is what scikit-learn computes, and why the order of the items can change
//! nothing.

/// Items ordered by falling score, those of equal score taken together.
///
/// ```
/// use onesheet::nn::metrics::Ranking;
///
/// let ranking = Ranking::new([(0.9, true), (0.8, false), (0.3, true), (0.1, false)]);
/// assert_eq!(ranking.roc_auc(), Some(0.75));
/// ```
#[derive(Clone, Debug)]
pub struct Ranking {
    groups: Vec<Group>,
    positives: u64,
    negatives: u64,
}

/// Items of one score.
#[derive(Clone, Copy, Debug)]
struct Group {
    score: f32,
    positives: u64,
    negatives: u64,
}

impl Ranking {
    /// Ranks items by score; each comes with whether it is a positive. Takes `O(n log n)`.
    ///
    /// # Panics
    /// If a score is NaN: it would have no rank.
    pub fn new(items: impl IntoIterator<Item = (f32, bool)>) -> Self {
        let mut items: Vec<_> = items.into_iter().collect();
        assert!(items.iter().all(|(score, _)| !score.is_nan()), "a score is NaN");
        items.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
        let groups: Vec<_> = items
            .chunk_by(|(a, _), (b, _)| a == b)
            .map(|tied| {
                let positives = tied.iter().filter(|(_, positive)| *positive).count() as u64;
                Group { score: tied[0].0, positives, negatives: tied.len() as u64 - positives }
            })
            .collect();
        let positives = groups.iter().map(|group| group.positives).sum();
        Self { groups, positives, negatives: items.len() as u64 - positives }
    }

    /// The threshold with the highest F1 if scores above it count as predicted: half-way between
    /// two scores, the higher one of several that are equally good.
    ///
    /// `None` without positives.
    pub fn best_f1_threshold(&self) -> Option<f32> {
        let (mut found, mut seen, mut best) = (0, 0, None);
        for (i, group) in self.groups.iter().enumerate() {
            found += group.positives;
            seen += group.positives + group.negatives;
            let f1 = (2 * found) as f64 / (seen + self.positives) as f64;
            if best.is_none_or(|(highest, _)| f1 > highest) {
                let next = self.groups.get(i + 1).map_or(0.0, |next| next.score);
                let middle = next + (group.score - next) / 2.0;
                // Between neighbouring floats there is no middle.
                best = Some((f1, if middle < group.score { middle } else { next }));
            }
        }
        best.filter(|_| self.positives > 0).map(|(_, threshold)| threshold)
    }

    /// Average precision, `sum over groups of (recall_i - recall_(i-1)) * precision_i`, without
    /// interpolation.
    ///
    /// `None` without positives.
    ///
    /// # Source
    /// scikit-learn's `average_precision_score`.
    pub fn average_precision(&self) -> Option<f64> {
        areas(self.counts())[0]
    }

    /// Area under the ROC curve: the chance that a positive scores above a negative, an equal score
    /// counting one half.
    ///
    /// `None` without positives or without negatives.
    ///
    /// # Source
    /// scikit-learn's `roc_auc_score`; the equality with the pairwise chance is Mann and Whitney's
    /// U statistic.
    pub fn roc_auc(&self) -> Option<f64> {
        areas(self.counts())[1]
    }

    /// The points `[recall, precision]` as the threshold falls, one per group. The curve is a flight
    /// of steps: the precision of a point holds from the recall of the point before it (from 0, of
    /// the first), so that the area under the steps is the
    /// [`average_precision`](Self::average_precision).
    ///
    /// `None` without positives.
    ///
    /// # Source
    /// scikit-learn's `precision_recall_curve`, the other way round and without its last point,
    /// (0, 1), which no threshold gives.
    pub fn precision_recall_curve(&self) -> Option<Vec<[f64; 2]>> {
        let all = self.positives as f64;
        let points =
            self.cumulative().map(|[found, wrong]| [found as f64 / all, found as f64 / (found + wrong) as f64]);
        (self.positives > 0).then(|| points.collect())
    }

    /// The points `[false positive rate, true positive rate]` as the threshold falls: (0, 0), and
    /// one per group, the last of which is (1, 1). The area under the straight lines between them is
    /// the [`roc_auc`](Self::roc_auc).
    ///
    /// `None` without positives or without negatives.
    ///
    /// # Source
    /// scikit-learn's `roc_curve` with `drop_intermediate=False`.
    pub fn roc_curve(&self) -> Option<Vec<[f64; 2]>> {
        let (positives, negatives) = (self.positives as f64, self.negatives as f64);
        let points = self.cumulative().map(|[found, wrong]| [wrong as f64 / negatives, found as f64 / positives]);
        (self.positives * self.negatives > 0).then(|| std::iter::once([0.0; 2]).chain(points).collect())
    }

    /// The positives and the negatives of each group.
    fn counts(&self) -> impl Iterator<Item = [u64; 2]> {
        self.groups.iter().map(|group| [group.positives, group.negatives])
    }

    /// The positives and the negatives from the highest score down to each group, itself included.
    fn cumulative(&self) -> impl Iterator<Item = [u64; 2]> {
        self.groups.iter().scan([0; 2], |seen, group| {
            *seen = [seen[0] + group.positives, seen[1] + group.negatives];
            Some(*seen)
        })
    }
}

/// The average precision and the area under the ROC curve of groups of items, each of so many
/// `[positives, negatives]` of one score, the highest score first. See
/// [`average_precision`](Ranking::average_precision) and [`roc_auc`](Ranking::roc_auc).
pub(crate) fn areas(groups: impl Iterator<Item = [u64; 2]>) -> [Option<f64>; 2] {
    let (mut found, mut wrong, mut sum) = (0, 0, 0.0);
    // In halves of a pair, so that the sum is exact.
    let mut halves = 0;
    for [positives, negatives] in groups {
        halves += negatives * (2 * found + positives);
        found += positives;
        wrong += negatives;
        if positives > 0 {
            sum += positives as f64 * (found as f64 / (found + wrong) as f64);
        }
    }
    let pairs = found * wrong;
    [(found > 0).then(|| sum / found as f64), (pairs > 0).then(|| halves as f64 / (2 * pairs) as f64)]
}

/// A threshold is tuned for classes with at least this many positives: on a handful, the best one
/// says where these few happen to lie.
const LEAST_POSITIVES: usize = 10;
/// The lowest tuned threshold. The best one is half of the F1 that it reaches (Lipton, Elkan and
/// Naryanaswamy 2014, <https://arxiv.org/abs/1402.1892>), so that one below this is of a class about
/// which the model knows next to nothing; what it predicts would be wrong nine times in ten.
const LOWEST_THRESHOLD: f32 = 0.1;

/// The threshold of each class that has the highest F1 on these items, and is 0.1 at least; 0.5 for
/// a class with fewer than 10 positives.
///
/// # Shapes
/// `probabilities`, `labels` (0 or 1): `[n, classes]`
/// # Panics
/// If the lengths differ or are not a multiple of `classes`, or a probability is NaN.
pub fn best_f1_thresholds(classes: usize, probabilities: &[f32], labels: &[f32]) -> Vec<f32> {
    assert_eq!(probabilities.len(), labels.len(), "probabilities and labels");
    assert!(classes > 0 && labels.len().is_multiple_of(classes), "{} labels of {classes} classes", labels.len());
    let threshold = |class: usize| {
        let of_class = |values: &[f32]| values.iter().skip(class).step_by(classes).copied().collect::<Vec<_>>();
        let (scores, labels) = (of_class(probabilities), of_class(labels));
        if labels.iter().filter(|&&label| label == 1.0).count() < LEAST_POSITIVES {
            return 0.5;
        }
        let items = scores.into_iter().zip(labels).map(|(score, label)| (score, label == 1.0));
        Ranking::new(items).best_f1_threshold().map_or(0.5, |best| best.max(LOWEST_THRESHOLD))
    };
    (0..classes).map(threshold).collect()
}

/// The indices of the `k` highest probabilities (of all, if there are fewer), the highest first;
/// equal ones in the order of their indices.
pub fn top_k(probabilities: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    order.truncate(k);
    order
}
