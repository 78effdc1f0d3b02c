//! How far probabilities can be taken at their word.

use crate::nn::Head;
use crate::nn::metrics::top_k;
use crate::report::Evaluation;

/// How often answers are right, beside the probability that they came with.
///
/// With a softmax, an answer is a film's most probable genre, as in Guo et al.; with a sigmoid, each
/// pair of film and genre is an answer, and right where the film has the genre.
///
/// # Source
/// Guo, Pleiss, Sun and Weinberger 2017, On Calibration of Modern Neural Networks,
/// <https://arxiv.org/abs/1706.04599>, section 2: the reliability diagram and the expected
/// calibration error, over bins of equal width.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The bins, from probability 0 to 1.
    pub bins: Vec<Bin>,
    /// Expected calibration error: the mean, over all answers, of the distance between the mean
    /// probability of an answer's bin and the share of the bin that is right.
    pub ece: f64,
    /// Maximum calibration error: the largest of these distances.
    pub mce: f64,
}

/// The answers whose probability lies in a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Bin {
    /// The range of the probabilities: above the first, up to the second; 0 is in the first bin.
    pub range: [f64; 2],
    /// The number of answers.
    pub count: usize,
    /// Their mean probability; `None` if there are none.
    pub confidence: Option<f64>,
    /// The share of them that is right; `None` if there are none.
    pub accuracy: Option<f64>,
}

impl Calibration {
    /// The calibration of a classifier's answers in that many bins.
    ///
    /// # Panics
    /// If there are no bins, no films or no genres, or a probability is not in `0..=1`.
    pub fn of(evaluation: &Evaluation, bins: usize) -> Self {
        let &Evaluation { head, genres, probabilities, labels, .. } = evaluation;
        assert!(bins > 0 && !genres.is_empty() && !labels.is_empty(), "calibration needs bins, films and genres");
        assert_eq!(probabilities.len(), labels.len(), "probabilities and labels differ in shape");
        let mut sums = vec![(0, 0.0, 0); bins];
        let mut add = |probability: f32, right: bool| {
            assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
            let probability = f64::from(probability);
            let bin = ((probability * bins as f64).ceil() as usize).clamp(1, bins) - 1;
            let (count, sum, hits) = &mut sums[bin];
            *count += 1;
            *sum += probability;
            *hits += usize::from(right);
        };
        match head {
            Head::Sigmoid => probabilities.iter().zip(labels).for_each(|(&p, &label)| add(p, label == 1.0)),
            Head::Softmax => {
                let rows = probabilities.chunks_exact(genres.len()).zip(labels.chunks_exact(genres.len()));
                for (probabilities, labels) in rows {
                    let top = top_k(probabilities, 1)[0];
                    add(probabilities[top], labels[top] == 1.0);
                }
            }
        }
        let all: usize = sums.iter().map(|(count, ..)| count).sum();
        let bin = |(i, &(count, sum, hits)): (usize, &(usize, f64, usize))| {
            let mean = |sum: f64| (count > 0).then(|| sum / count as f64);
            let range = [i, i + 1].map(|edge| edge as f64 / bins as f64);
            Bin { range, count, confidence: mean(sum), accuracy: mean(hits as f64) }
        };
        let bins: Vec<Bin> = sums.iter().enumerate().map(bin).collect();
        let gap = |bin: &Bin| Some((bin.confidence? - bin.accuracy?).abs());
        let ece = bins.iter().filter_map(|bin| Some(gap(bin)? * bin.count as f64 / all as f64)).sum();
        let mce = bins.iter().filter_map(gap).fold(0.0, f64::max);
        Self { bins, ece, mce }
    }
}
