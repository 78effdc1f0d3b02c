//! The bootstrap: what the headline metrics become on other films of the same kind, by sets of films
//! that are drawn from the evaluated ones with replacement.
//!
//! A set is a weight per film, how often it was drawn. So the films of each genre are put in order
//! once, and a metric of a set takes one pass over them.

use rand::RngExt;
use rayon::prelude::*;

use crate::nn::metrics::{areas, top_k};
use crate::rng::{Purpose, stream};

/// The metrics that have intervals and are compared, in this order; `None` where one does not exist.
pub(in crate::report) type Values = [Option<f64>; 7];

/// The places of the metrics in [`Values`].
pub(in crate::report) const TOP1_HIT: usize = 0;
pub(in crate::report) const TOP3_HIT: usize = 1;
pub(in crate::report) const MACRO_AP: usize = 2;
pub(in crate::report) const WEIGHTED_AP: usize = 3;
pub(in crate::report) const MACRO_AUC: usize = 4;
pub(in crate::report) const WEIGHTED_AUC: usize = 5;
pub(in crate::report) const BALANCED_ACCURACY: usize = 6;

/// Their names in files, and in words.
pub(in crate::report) const NAMES: [[&str; 2]; 7] = [
    ["top1_hit", "top-1 hit"],
    ["top3_hit", "top-3 hit"],
    ["macro_ap", "macro AP"],
    ["weighted_ap", "weighted AP"],
    ["macro_auc", "macro AUC"],
    ["weighted_auc", "weighted AUC"],
    ["balanced_accuracy", "balanced accuracy"],
];

/// The most resamples: an interval without bias has its ends far out in the tails.
const RESAMPLES: usize = 10_000;
/// The fewest.
const FEWEST: usize = 500;
/// The most films in all resamples together, unless these are the fewest: large sets have narrow
/// intervals, which fewer draws find as well.
const FILMS: usize = 40_000_000;
/// The most groups of films that are left out in turn.
const GROUPS: usize = 1_000;

/// A classifier's answers on some films, in an order in which metrics are quickly had for any weights
/// of the films.
pub(in crate::report) struct Sample {
    /// Of each film, whether its most probable genre is one of its own, and whether one of the three
    /// most probable is.
    hits: Vec<[bool; 2]>,
    /// The films by falling probability, once for each genre.
    genres: Vec<Vec<Place>>,
    /// The genre of each film, if each has exactly one.
    one_genre: Option<Vec<usize>>,
}

/// A film in the order of a genre.
struct Place {
    film: u32,
    is_positive: bool,
    /// Whether the next film has a lower probability.
    ends_group: bool,
}

impl Sample {
    /// The answers `probabilities` beside the truth.
    ///
    /// # Shapes
    /// `probabilities`, `labels` (1 where the film has the genre, else 0): `[films, classes]`
    /// # Panics
    /// If there are no classes, or 2^32 films.
    pub fn new(classes: usize, probabilities: &[f32], labels: &[f32]) -> Self {
        let rows = || probabilities.chunks_exact(classes).zip(labels.chunks_exact(classes));
        let hits = rows().map(|(probabilities, labels)| {
            let top = top_k(probabilities, 3);
            [1, 3].map(|k| top.iter().take(k).any(|&genre| labels[genre] == 1.0))
        });
        let one_genre = |labels: &[f32]| {
            let mut own = labels.iter().enumerate().filter(|(_, label)| **label == 1.0).map(|(genre, _)| genre);
            own.next().filter(|_| own.next().is_none())
        };
        Self {
            hits: hits.collect(),
            genres: (0..classes).map(|genre| places(genre, classes, probabilities, labels)).collect(),
            one_genre: labels.chunks_exact(classes).map(one_genre).collect(),
        }
    }

    /// The number of films.
    pub fn films(&self) -> usize {
        self.hits.len()
    }

    /// The metrics of a set in which each film is as often as its weight says.
    pub fn values(&self, weights: &[u32]) -> Values {
        let all: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let share = |k: usize| {
            let hits = self.hits.iter().zip(weights).filter(|(hits, _)| hits[k]).map(|(_, &weight)| u64::from(weight));
            (all > 0).then(|| hits.sum::<u64>() as f64 / all as f64)
        };
        let mut means = [Means::default(), Means::default()];
        for places in &self.genres {
            let (mut support, mut group) = (0, [0; 2]);
            let groups = places.iter().filter_map(|place| {
                let weight = u64::from(weights[place.film as usize]);
                group[usize::from(!place.is_positive)] += weight;
                support += if place.is_positive { weight } else { 0 };
                place.ends_group.then(|| std::mem::take(&mut group))
            });
            let [ap, auc] = areas(groups);
            means[0].add(ap, support);
            means[1].add(auc, support);
        }
        let [ap, auc] = means;
        let hit = [share(0), share(1)];
        [hit[0], hit[1], ap.of_genres(), ap.by_support(), auc.of_genres(), auc.by_support(), self.balanced(weights)]
    }

    /// The mean, over the genres with films, of the share of their films that are right; `None` if
    /// films have several genres.
    fn balanced(&self, weights: &[u32]) -> Option<f64> {
        let mut counts = vec![[0_u64; 2]; self.genres.len()];
        for ((&genre, hits), &weight) in self.one_genre.as_ref()?.iter().zip(&self.hits).zip(weights) {
            counts[genre][0] += u64::from(weight);
            counts[genre][1] += if hits[0] { u64::from(weight) } else { 0 };
        }
        let mut recall = Means::default();
        counts.iter().for_each(|&[films, right]| recall.add((films > 0).then(|| right as f64 / films as f64), films));
        recall.of_genres()
    }
}

/// The films by falling probability of a genre.
fn places(genre: usize, classes: usize, probabilities: &[f32], labels: &[f32]) -> Vec<Place> {
    let films = u32::try_from(labels.len() / classes).expect("there are not that many films");
    let at = |film: u32| film as usize * classes + genre;
    let mut order: Vec<u32> = (0..films).collect();
    order.sort_unstable_by(|&a, &b| probabilities[at(b)].total_cmp(&probabilities[at(a)]).then(a.cmp(&b)));
    let place = |(i, &film): (usize, &u32)| Place {
        film,
        is_positive: labels[at(film)] == 1.0,
        ends_group: order.get(i + 1).is_none_or(|&next| probabilities[at(next)] != probabilities[at(film)]),
    };
    order.iter().enumerate().map(place).collect()
}

/// The means of a metric over the genres for which it exists.
#[derive(Clone, Copy, Default)]
pub(super) struct Means {
    sum: f64,
    genres: usize,
    weighted: f64,
    support: u64,
}

impl Means {
    /// Adds a genre that `support` films have.
    pub fn add(&mut self, value: Option<f64>, support: u64) {
        if let Some(value) = value {
            self.sum += value;
            self.genres += 1;
            self.weighted += value * support as f64;
            self.support += support;
        }
    }

    /// The mean in which all genres count alike: the macro mean.
    pub fn of_genres(self) -> Option<f64> {
        (self.genres > 0).then(|| self.sum / self.genres as f64)
    }

    /// The mean in which a genre counts by the films that have it; scikit-learn's
    /// `average="weighted"`.
    pub fn by_support(self) -> Option<f64> {
        (self.support > 0).then(|| self.weighted / self.support as f64)
    }
}

/// Metrics of all films, of sets that were drawn from them, and of all but a few in turn.
pub(in crate::report) struct Resampled {
    /// The metrics of all films.
    pub point: Values,
    /// Those of each drawn set.
    drawn: Vec<Values>,
    /// Those without one film, or without one group of films, of each in turn.
    without: Vec<Values>,
}

impl Resampled {
    /// The metrics that `values` gives for weights of `films` films, on all threads of the current
    /// pool; the same for any number of them, and the same each time.
    pub fn of(films: usize, values: impl Fn(&[u32]) -> Values + Sync) -> Self {
        let draw = |weights: &mut Vec<u32>, i: usize| {
            weights.fill(0);
            let mut random = stream(0, Purpose::Bootstrap, i as u64);
            (0..films).for_each(|_| weights[random.random_range(0..films)] += 1);
            values(weights)
        };
        let groups = films.min(GROUPS);
        let leave_out = |weights: &mut Vec<u32>, group: usize| {
            weights.iter_mut().enumerate().for_each(|(film, weight)| *weight = u32::from(film % groups != group));
            values(weights)
        };
        let weights = || vec![1; films];
        let resamples = (FILMS / films).clamp(FEWEST, RESAMPLES);
        Self {
            point: values(&weights()),
            drawn: (0..resamples).into_par_iter().map_init(weights, draw).collect(),
            without: (0..groups).into_par_iter().map_init(weights, leave_out).collect(),
        }
    }

    /// The number of sets that were drawn.
    pub fn resamples(&self) -> usize {
        self.drawn.len()
    }

    /// The share of the sets in which a metric is above 0, those in which it is 0 counting one half;
    /// `None` where it does not exist.
    pub fn share_above_zero(&self, metric: usize) -> Option<f64> {
        let values: Vec<f64> = self.drawn.iter().filter_map(|of| of[metric]).collect();
        let halves = values.iter().map(|&value| if value > 0.0 { 2 } else { usize::from(value == 0.0) });
        (!values.is_empty()).then(|| halves.sum::<usize>() as f64 / (2 * values.len()) as f64)
    }

    /// The 95 % interval of a metric that lies between `bounds`; `None` where it does not exist.
    ///
    /// It is the bias-corrected and accelerated one. A film that is drawn twice ties with itself,
    /// which raises the AP of rare genres in every set: the middle 95 % of the sets would lie too
    /// high. How far the whole of them lies beside the metric of all films says how far that lies
    /// beside the truth.
    ///
    /// # Source
    /// Efron 1987, Better Bootstrap Confidence Intervals, with the acceleration from a jackknife (by
    /// groups, where there are more films than 1,000).
    pub fn interval(&self, metric: usize, bounds: [f64; 2]) -> Option<[f64; 2]> {
        let of = |all: &[Values]| all.iter().filter_map(|of| of[metric]).collect::<Vec<f64>>();
        let mut drawn = of(&self.drawn);
        drawn.sort_by(f64::total_cmp);
        if drawn.is_empty() {
            return None;
        }
        let ends = bias_corrected(&drawn, self.point[metric]?, acceleration(&of(&self.without)));
        Some(ends.map(|end| end.clamp(bounds[0], bounds[1])))
    }
}

/// The ends of the bias-corrected and accelerated 95 % interval about `point`, from the sorted values
/// of the resamples.
fn bias_corrected(drawn: &[f64], point: f64, acceleration: f64) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    let count = drawn.len() as f64;
    let below = drawn.partition_point(|&value| value < point) as f64;
    let equal = drawn.partition_point(|&value| value <= point) as f64 - below;
    // Never 0 or 1, so that the bias is finite.
    let bias = normal_quantile((below + equal / 2.0 + 0.5) / (count + 1.0));
    [-Z, Z].map(|z| {
        // The acceleration is at most 1/6 in size, so that the divisor is positive.
        let shifted = bias + (bias + z) / (1.0 - acceleration * (bias + z));
        quantile(drawn, shifted)
    })
}

/// The value below which a share of the sorted values lies that a normal distribution has below `z`.
/// Beyond the outermost values, where the shares are smaller than one value, its tails go on.
fn quantile(sorted: &[f64], z: f64) -> f64 {
    let (count, last) = (sorted.len() as f64, sorted.len() - 1);
    let outermost = normal_quantile(count / (count + 1.0));
    if z.abs() > outermost {
        let mean = sorted.iter().sum::<f64>() / count;
        let deviation = (sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let end = if z < 0.0 { sorted[0] } else { sorted[last] };
        return end + (z - outermost.copysign(z)) * deviation;
    }
    let place = normal(z) * (count + 1.0) - 1.0;
    sorted[(place.round().max(0.0) as usize).min(last)]
}

/// A sixth of the skewness of what each left-out film does to a metric.
fn acceleration(without: &[f64]) -> f64 {
    let mean = without.iter().sum::<f64>() / without.len() as f64;
    let sum_of = |power: i32| without.iter().map(|value| (mean - value).powi(power)).sum::<f64>();
    let squares = sum_of(2);
    if squares > 0.0 { sum_of(3) / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

/// The share of a normal distribution below `z`, to within 1e-15.
///
/// # Source
/// Marsaglia 2004, Evaluating the Normal Distribution.
fn normal(z: f64) -> f64 {
    const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;
    if z.abs() > 8.0 {
        return f64::from(u8::from(z > 0.0));
    }
    let (mut sum, mut before, mut term, mut i) = (z, f64::NAN, z, 1.0);
    while sum != before {
        i += 2.0;
        before = sum;
        term *= z * z / i;
        sum += term;
    }
    0.5 + sum * (-0.5 * z * z - HALF_LOG_TAU).exp()
}

/// The `z` below which a share of a normal distribution lies, from -8 to 8: found by halving.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if normal(middle) < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}
