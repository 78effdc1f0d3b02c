//! What an answer that never looks at a poster would get: the numbers that a classifier has to
//! beat.

use serde::{Deserialize, Serialize};

/// The most words of 64 films that are looked at for the best three genres: half a second's work,
/// and thirty times what all triples of 19 genres take with a million films.
const MOST_WORDS: usize = 500_000_000;

/// The metrics of trivial answers, from the labels alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Top-1 hit of always naming the most frequent genre.
    pub constant_top1_hit: f64,
    /// Top-3 hit of always naming the three genres that together cover the most films. Where films
    /// have several genres, these need not be the three most frequent ones.
    pub constant_top3_hit: f64,
    /// Hamming accuracy of answering "no genre at all".
    pub all_zeros_hamming_accuracy: f64,
    /// The mean share of the films, over the genres with films: the macro AP of one constant score.
    /// `None` if no genre has films.
    pub chance_macro_ap: Option<f64>,
    /// The same mean, in which a genre counts by its films: the weighted AP of one constant score.
    pub chance_weighted_ap: Option<f64>,
}

impl Baselines {
    /// The baselines on these films. `labels`: `[films, classes]`, row-major.
    ///
    /// # Panics
    /// If there are no films or no classes, or `labels` is not whole rows.
    pub fn of(classes: usize, labels: &[bool]) -> Self {
        assert!(classes > 0 && !labels.is_empty(), "baselines need films and genres");
        assert_eq!(labels.len() % classes, 0, "labels are not rows of {classes}");
        let films = labels.len() / classes;
        let mut genres = FilmSet::of_genres(classes, labels);
        genres.sort_by_key(|set| std::cmp::Reverse(set.len));
        let share = |count: usize| count as f64 / films as f64;

        // With fewer than three genres a constant answer names them all: naming an empty one
        // besides changes nothing.
        genres.resize_with(classes.max(3), || FilmSet { words: vec![0; films.div_ceil(64)], len: 0 });

        let with_films = genres.iter().filter(|set| set.len > 0).count();
        let positives: usize = genres.iter().map(|set| set.len).sum();
        let squares: f64 = genres.iter().map(|set| (set.len as f64).powi(2)).sum();
        Self {
            constant_top1_hit: share(genres[0].len),
            constant_top3_hit: share(best_cover_by_three(&genres)),
            all_zeros_hamming_accuracy: (labels.len() - positives) as f64 / labels.len() as f64,
            chance_macro_ap: (with_films > 0).then(|| share(positives) / with_films as f64),
            chance_weighted_ap: (with_films > 0).then(|| squares / (positives * films) as f64),
        }
    }
}

/// The films of a genre, one bit per film.
#[derive(Clone)]
struct FilmSet {
    words: Vec<u64>,
    len: usize,
}

impl FilmSet {
    /// The set of every genre, all of them in one pass over the labels.
    fn of_genres(classes: usize, labels: &[bool]) -> Vec<Self> {
        let films = labels.len() / classes;
        let mut genres = vec![Self { words: vec![0; films.div_ceil(64)], len: 0 }; classes];
        for (film, row) in labels.chunks_exact(classes).enumerate() {
            for (genre, _) in row.iter().enumerate().filter(|(_, has)| **has) {
                genres[genre].words[film / 64] |= 1 << (film % 64);
                genres[genre].len += 1;
            }
        }
        genres
    }
}

/// The largest number of films that three of the genres cover together.
///
/// All triples are tried, except those whose sizes cannot add up to more than the best cover so
/// far. `genres` must be in descending order of size, so that where one triple cannot win the ones
/// after it cannot either. 19 genres have 969 triples; where films have one genre each, the first
/// triple is the best already. Thousands of genres that lie over each other could have billions:
/// after [`MOST_WORDS`] the best so far is the answer.
fn best_cover_by_three(genres: &[FilmSet]) -> usize {
    let (mut best, mut words_left) = (0, MOST_WORDS);
    for (i, a) in genres.iter().enumerate() {
        for (j, b) in genres.iter().enumerate().skip(i + 1) {
            let rest = &genres[j + 1..];
            if rest.first().is_none_or(|c| a.len + b.len + c.len <= best) {
                break;
            }
            for c in rest {
                if a.len + b.len + c.len <= best {
                    break;
                }
                let Some(left) = words_left.checked_sub(a.words.len()) else { return best };
                words_left = left;
                let words = a.words.iter().zip(&b.words).zip(&c.words);
                let covered: u32 = words.map(|((a, b), c)| (a | b | c).count_ones()).sum();
                best = best.max(covered as usize);
            }
        }
    }
    best
}
