use std::collections::HashMap;
use std::time::Instant;

use onesheet::Error;
use onesheet::nn::Head;
use onesheet::nn::metrics::{Ranking, best_f1_thresholds, top_k};
use onesheet::report::{Baselines, Calibration, Confusion, Evaluation, Metrics};
use proptest::prelude::*;
use rand::RngExt;
use serde::Deserialize;
use serde_json::Value;

/// A case of `tools/golden_metrics.py`.
#[derive(Deserialize)]
struct Golden {
    name: String,
    head: String,
    probabilities: Vec<Vec<f32>>,
    /// The indices of each film's genres.
    labels: Vec<Vec<usize>>,
    expected: Value,
}

fn names(classes: usize) -> Vec<String> {
    (0..classes).map(|genre| format!("genre {genre}")).collect()
}

fn evaluation<'a>(head: Head, genres: &'a [String], probabilities: &'a [f32], labels: &'a [f32]) -> Evaluation<'a> {
    let (experiment, split) = ("multi-label", "test");
    Evaluation { experiment, split, head, genres, probabilities, labels, loss: 0.5, thresholds: None }
}

fn metrics(head: Head, classes: usize, probabilities: &[f32], labels: &[f32]) -> Result<Metrics, Error> {
    Metrics::of(&evaluation(head, &names(classes), probabilities, labels))
}

#[test]
fn metrics_are_scikit_learns() {
    let cases: Vec<Golden> = serde_json::from_str(include_str!("../golden/metrics.json")).unwrap();
    assert_eq!(cases.len(), 12);
    for Golden { name, head, probabilities, labels, expected } in cases {
        let head = if head == "sigmoid" { Head::Sigmoid } else { Head::Softmax };
        let classes = probabilities[0].len();
        let labels: Vec<f32> =
            labels.iter().flat_map(|film| (0..classes).map(|genre| f32::from(film.contains(&genre)))).collect();
        let metrics = metrics(head, classes, &probabilities.concat(), &labels).unwrap();
        let mut ours = serde_json::to_value(&metrics).unwrap();
        ours["constant_scores_macro_ap"] = ours["baselines"]["chance_macro_ap"].clone();
        ours["constant_scores_weighted_ap"] = ours["baselines"]["chance_weighted_ap"].clone();
        ours["all_zeros_hamming_accuracy"] = ours["baselines"]["all_zeros_hamming_accuracy"].clone();
        assert_agrees(&ours, &expected, &name);
    }
}

/// Asserts that everything in `expected` is in `ours` to within 1e-9, and that `ours` is `null`
/// exactly where `expected` is.
fn assert_agrees(ours: &Value, expected: &Value, place: &str) {
    match expected {
        Value::Object(fields) => {
            for (key, expected) in fields {
                assert_agrees(ours.get(key).unwrap_or(&Value::Bool(false)), expected, &format!("{place}: {key}"));
            }
        }
        Value::Array(items) => {
            assert_eq!(ours.as_array().map(Vec::len), Some(items.len()), "{place}");
            for (at, expected) in items.iter().enumerate() {
                assert_agrees(&ours[at], expected, &format!("{place} {at}"));
            }
        }
        Value::Number(expected) => {
            let (ours, expected) = (ours.as_f64().unwrap_or(f64::NAN), expected.as_f64().unwrap());
            assert!((ours - expected).abs() <= 1e-9, "{place}: {ours}, scikit-learn says {expected}");
        }
        _ => assert_eq!(ours, expected, "{place}"),
    }
}

/// Scores on a coarse grid, so that ties are common, each with its truth.
fn scored_films() -> impl Strategy<Value = Vec<(f32, bool)>> {
    (1..9_u8).prop_flat_map(|steps| {
        prop::collection::vec(
            (0..=steps, any::<bool>()).prop_map(|(step, truth)| (f32::from(step) / 8.0, truth)),
            1..60,
        )
    })
}

/// Rows of labels: one row per film, one label per class.
fn label_rows(classes: std::ops::Range<usize>, films: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<bool>>> {
    (classes, 0.05..0.6).prop_flat_map(move |(classes, prevalence)| {
        prop::collection::vec(prop::collection::vec(prop::bool::weighted(prevalence), classes), films.clone())
    })
}

proptest! {
    #[test]
    fn auc_is_the_chance_that_a_positive_scores_above_a_negative(films in scored_films()) {
        let (mut won, mut pairs) = (0.0, 0.0);
        for (positive, _) in films.iter().filter(|(_, truth)| *truth) {
            for (negative, _) in films.iter().filter(|(_, truth)| !truth) {
                pairs += 1.0;
                won += if positive > negative { 1.0 } else if positive == negative { 0.5 } else { 0.0 };
            }
        }
        let auc = Ranking::new(films).roc_auc();
        if pairs == 0.0 {
            prop_assert_eq!(auc, None);
        } else {
            prop_assert!((auc.unwrap() - won / pairs).abs() < 1e-12);
        }
    }

    #[test]
    fn ap_is_the_sum_over_all_thresholds_of_gained_recall_times_precision(films in scored_films()) {
        let positives = films.iter().filter(|(_, truth)| *truth).count() as f64;
        let (mut expected, mut recall_before) = (0.0, 0.0);
        for threshold in (0..=8).rev().map(|step| step as f32 / 8.0) {
            let at_least: Vec<_> = films.iter().filter(|(score, _)| *score >= threshold).collect();
            let right = at_least.iter().filter(|(_, truth)| *truth).count() as f64;
            if right > 0.0 {
                expected += (right / positives - recall_before) * (right / at_least.len() as f64);
                recall_before = right / positives;
            }
        }
        let ap = Ranking::new(films).average_precision();
        if positives == 0.0 {
            prop_assert_eq!(ap, None);
        } else {
            prop_assert!((ap.unwrap() - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_curves_are_those_of_all_thresholds_and_enclose_ap_and_auc(films in scored_films()) {
        let ranking = Ranking::new(films.clone());
        let positives = films.iter().filter(|(_, truth)| *truth).count();
        let negatives = films.len() - positives;
        let mut scores: Vec<f32> = films.iter().map(|(score, _)| *score).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        scores.dedup();
        let at_least = |threshold: f32| {
            let found = |truth: bool| films.iter().filter(|film| film.0 >= threshold && film.1 == truth).count();
            [found(true), found(false)]
        };
        match ranking.precision_recall_curve() {
            None => prop_assert_eq!(positives, 0),
            Some(curve) => {
                prop_assert_eq!(curve.len(), scores.len());
                let (mut area, mut before) = (0.0, 0.0);
                for ([recall, precision], &threshold) in curve.into_iter().zip(&scores) {
                    let [right, wrong] = at_least(threshold);
                    prop_assert_eq!(recall, right as f64 / positives as f64);
                    prop_assert_eq!(precision, right as f64 / (right + wrong) as f64);
                    area += (recall - before) * precision;
                    before = recall;
                }
                prop_assert!((area - ranking.average_precision().unwrap()).abs() < 1e-12);
            }
        }
        match ranking.roc_curve() {
            None => prop_assert_eq!(positives * negatives, 0),
            Some(curve) => {
                prop_assert_eq!((curve[0], curve[curve.len() - 1]), ([0.0, 0.0], [1.0, 1.0]));
                for ([false_positive, true_positive], &threshold) in curve[1..].iter().zip(&scores) {
                    let [right, wrong] = at_least(threshold);
                    prop_assert_eq!(*true_positive, right as f64 / positives as f64);
                    prop_assert_eq!(*false_positive, wrong as f64 / negatives as f64);
                }
                let area: f64 = curve.windows(2).map(|p| (p[1][0] - p[0][0]) * (p[1][1] + p[0][1]) / 2.0).sum();
                prop_assert!((area - ranking.roc_auc().unwrap()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn calibration_is_that_of_the_answers_in_each_bin(films in scored_films(), bins in 1..12_usize) {
        let (probabilities, labels): (Vec<f32>, Vec<f32>) =
            films.iter().map(|&(score, truth)| (score, f32::from(u8::from(truth)))).unzip();
        let genres = names(1);
        let found = Calibration::of(&evaluation(Head::Sigmoid, &genres, &probabilities, &labels), bins);
        prop_assert_eq!(found.bins.len(), bins);
        let (mut ece, mut mce) = (0.0, 0.0_f64);
        for (at, bin) in found.bins.iter().enumerate() {
            let inside = |score: f64| {
                let above = score * bins as f64 > at as f64 || (at == 0 && score == 0.0);
                above && score * bins as f64 <= (at + 1) as f64
            };
            let inside: Vec<_> = films.iter().filter(|film| inside(f64::from(film.0))).collect();
            prop_assert_eq!(bin.count, inside.len());
            prop_assert_eq!(bin.accuracy.is_some(), bin.count > 0);
            if let (Some(accuracy), Some(confidence)) = (bin.accuracy, bin.confidence) {
                let count = inside.len() as f64;
                let right = inside.iter().filter(|film| film.1).count() as f64 / count;
                let mean = inside.iter().map(|film| f64::from(film.0)).sum::<f64>() / count;
                prop_assert!((accuracy - right).abs() < 1e-12 && (confidence - mean).abs() < 1e-12);
                ece += (right - mean).abs() * count / films.len() as f64;
                mce = mce.max((right - mean).abs());
            }
        }
        prop_assert!((found.ece - ece).abs() < 1e-12 && (found.mce - mce).abs() < 1e-12);
    }

    #[test]
    fn confusion_counts_the_films_of_each_pair_of_genres(rows in label_rows(1..6, 1..30), thresholds in 0.1..0.9f32) {
        let classes = rows[0].len();
        let labels: Vec<f32> = rows.concat().into_iter().map(f32::from).collect();
        let probabilities: Vec<f32> = (0..labels.len()).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        let (genres, limits) = (names(classes), vec![thresholds; classes]);
        let evaluation = Evaluation { thresholds: Some(&limits), ..evaluation(Head::Sigmoid, &genres, &probabilities, &labels) };
        let confusion = Confusion::of(&evaluation);
        let predicted = |film: usize, genre: usize| probabilities[film * classes + genre] > thresholds;
        for truth in 0..classes {
            let films: Vec<usize> = (0..rows.len()).filter(|&film| rows[film][truth]).collect();
            prop_assert_eq!(confusion.support[truth], films.len());
            let none = films.iter().filter(|&&film| (0..classes).all(|genre| !predicted(film, genre))).count();
            prop_assert_eq!(confusion.unanswered[truth], none);
            for genre in 0..classes {
                let expected = films.iter().filter(|&&film| predicted(film, genre)).count();
                prop_assert_eq!(confusion.count(truth, genre), expected);
            }
        }
    }

    #[test]
    fn the_order_of_the_films_changes_nothing(
        (films, shuffled) in scored_films().prop_flat_map(|films| (Just(films.clone()), Just(films).prop_shuffle())),
    ) {
        let (a, b) = (Ranking::new(films), Ranking::new(shuffled));
        prop_assert_eq!(a.average_precision(), b.average_precision());
        prop_assert_eq!(a.roc_auc(), b.roc_auc());
    }

    #[test]
    fn top_k_is_by_falling_probability_then_by_index(steps in prop::collection::vec(0..5_u8, 1..12), k in 1..6_usize) {
        let probabilities: Vec<f32> = steps.iter().map(|&step| f32::from(step) / 4.0).collect();
        let top = top_k(&probabilities, k);
        prop_assert_eq!(top.len(), k.min(steps.len()));
        let before = |a: usize, b: usize| {
            probabilities[a] > probabilities[b] || (probabilities[a] == probabilities[b] && a < b)
        };
        prop_assert!(top.windows(2).all(|pair| before(pair[0], pair[1])));
        let left_out = (0..steps.len()).filter(|genre| !top.contains(genre));
        prop_assert!(left_out.into_iter().all(|genre| before(top[top.len() - 1], genre)));
    }

    #[test]
    fn no_constant_answer_is_better_than_the_constant_baselines(rows in label_rows(1..8, 1..90)) {
        let (films, classes) = (rows.len(), rows[0].len());
        let share = |of: &dyn Fn(&Vec<bool>) -> bool| rows.iter().filter(|row| of(row)).count() as f64 / films as f64;
        let (mut top1, mut top3) = (0.0_f64, 0.0_f64);
        for a in 0..classes {
            top1 = top1.max(share(&|row| row[a]));
            for b in 0..classes {
                for c in 0..classes {
                    top3 = top3.max(share(&|row| row[a] || row[b] || row[c]));
                }
            }
        }
        let baselines = Baselines::of(classes, &rows.concat());
        prop_assert_eq!(baselines.constant_top1_hit, top1);
        prop_assert_eq!(baselines.constant_top3_hit, top3);
    }

    #[test]
    fn trivial_answers_get_their_baselines(rows in label_rows(3..8, 1..40)) {
        let (films, classes) = (rows.len(), rows[0].len());
        let labels: Vec<f32> = rows.concat().into_iter().map(f32::from).collect();
        let zeros = metrics(Head::Sigmoid, classes, &vec![0.0; films * classes], &labels).unwrap();
        prop_assert_eq!(zeros.hamming_accuracy, Some(zeros.baselines.all_zeros_hamming_accuracy));
        prop_assert_eq!(zeros.macro_ap.is_some(), zeros.baselines.chance_macro_ap.is_some());
        if let (Some(ap), Some(chance)) = (zeros.macro_ap, zeros.baselines.chance_macro_ap) {
            prop_assert!((ap - chance).abs() < 1e-12);
        }
        prop_assert!(zeros.top1_hit <= zeros.baselines.constant_top1_hit);
        prop_assert!(zeros.top3_hit <= zeros.baselines.constant_top3_hit);
    }
}

#[test]
fn the_best_three_constants_need_not_be_the_most_frequent() {
    // Drama and Romance are frequent but occur on the same films: naming the rarer Horror and War
    // instead reaches all films.
    let rows = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
    let labels = rows.concat().into_iter().map(|label| label == 1).collect::<Vec<_>>();
    assert_eq!(Baselines::of(4, &labels).constant_top3_hit, 1.0);
}

#[test]
fn the_best_three_constants_of_thousands_are_found_in_bounded_time() {
    // Every genre has one film of its own, and all have the first film: of billions of triples none
    // is better than the first.
    let genres = 3000;
    let labels: Vec<bool> = (0..genres).flat_map(|film| (0..genres).map(move |of| film == 0 || film == of)).collect();
    let begin = Instant::now();
    assert_eq!(Baselines::of(genres, &labels).constant_top3_hit, 4.0 / genres as f64);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}

#[test]
fn what_does_not_apply_is_null() {
    let (probabilities, labels) = ([0.9, 0.1, 0.2, 0.8], [1.0, 0.0, 1.0, 0.0]);
    let sigmoid = metrics(Head::Sigmoid, 2, &probabilities, &labels).unwrap();
    assert_eq!((sigmoid.hamming_accuracy, sigmoid.subset_accuracy), (Some(0.5), Some(0.5)));
    assert_eq!((sigmoid.categorical_accuracy, sigmoid.balanced_accuracy), (None, None));
    let softmax = metrics(Head::Softmax, 2, &probabilities, &labels).unwrap();
    assert_eq!((softmax.hamming_accuracy, softmax.subset_accuracy), (None, None));
    assert_eq!((softmax.categorical_accuracy, softmax.balanced_accuracy), (Some(0.5), Some(0.5)));

    // All films have genre 0 and none has genre 1.
    let [all, none] = &softmax.per_genre[..] else { panic!("two genres") };
    assert_eq!((all.support, all.ap, all.auc, all.precision, all.recall), (2, Some(1.0), None, Some(1.0), Some(0.5)));
    assert_eq!(
        (none.support, none.ap, none.auc, none.precision, none.recall, none.f1),
        (0, None, None, None, None, None)
    );
    assert_eq!((softmax.macro_ap, softmax.macro_auc, softmax.macro_f1), (Some(1.0), None, all.f1));
}

#[test]
fn one_half_is_not_predicted() {
    let metrics = metrics(Head::Sigmoid, 2, &[0.5, 0.500_001], &[1.0, 1.0]).unwrap();
    assert_eq!((metrics.per_genre[0].recall, metrics.per_genre[1].recall), (Some(0.0), Some(1.0)));
    assert_eq!(metrics.per_genre[0].precision, Some(0.0), "0 where nothing is predicted");
}

#[test]
fn numbers_that_are_not_finite_are_an_error_with_place_and_remedy() {
    for bad in [f32::NAN, f32::INFINITY] {
        let error = metrics(Head::Sigmoid, 2, &[0.1, 0.2, 0.3, bad], &[1.0, 0.0, 0.0, 1.0]).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let expected = format!("multi-label: the model answers {bad} for genre 1 of film 2; its weights are damaged");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let genres = &names(1);
    let evaluation = Evaluation {
        experiment: "top-6",
        split: "val",
        head: Head::Sigmoid,
        genres,
        probabilities: &[0.1],
        labels: &[1.0],
        loss: f64::NAN,
        thresholds: None,
    };
    assert!(Metrics::of(&evaluation).unwrap_err().to_string().starts_with("top-6: the model's loss is NaN"));
}

#[test]
#[should_panic(expected = "exactly one genre")]
fn softmax_needs_one_genre_a_film() {
    let _ = metrics(Head::Softmax, 3, &[0.2, 0.3, 0.5], &[1.0, 0.0, 1.0]);
}

#[test]
#[should_panic(expected = "neither 0 nor 1")]
fn labels_are_zero_or_one() {
    let _ = metrics(Head::Sigmoid, 3, &[0.2, 0.3, 0.5], &[1.0, 0.0, 0.5]);
}

#[test]
fn the_whole_test_split_takes_no_noticeable_time() {
    let (films, classes) = (70_000, 19);
    // A linear congruential generator is enough to unsort the scores.
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let probabilities: Vec<f32> = (0..films * classes).map(|_| next()).collect();
    let labels: Vec<f32> = (0..films * classes).map(|_| f32::from(next() < 0.1)).collect();
    let start = Instant::now();
    let metrics = metrics(Head::Sigmoid, classes, &probabilities, &labels).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    // This takes about 0.2 s; the bound tells a quadratic algorithm (minutes) from a loaded
    // machine.
    assert!(seconds < 5.0, "{seconds} s");
    assert!((metrics.macro_auc.unwrap() - 0.5).abs() < 0.01);
}

#[test]
fn thresholds_are_tuned_on_enough_films_and_never_low() {
    // Three classes: many positives and high scores; many positives and scores that say nothing; a
    // handful of positives.
    let films = 200;
    let positive = |film: usize, class: usize| [film < 40, film.is_multiple_of(20), film < 9][class];
    let score = |film: usize, class: usize| match class {
        0 => 0.9 - film as f32 / 400.0,
        1 => 0.03 + (film * 7 % 200) as f32 / 1e4,
        _ => 0.04 - film as f32 / 1e4,
    };
    let table = |of: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..films)
            .flat_map(|film| (0..3).map(move |class| (film, class)))
            .map(|(film, class)| of(film, class))
            .collect()
    };
    let (scores, labels) = (table(&score), table(&|film, class| f32::from(u8::from(positive(film, class)))));
    let thresholds = best_f1_thresholds(3, &scores, &labels);
    assert!((thresholds[0] - 0.80125).abs() < 1e-3, "{thresholds:?}");
    assert_eq!(thresholds[1..], [0.1, 0.5]);
}

/// Half-way between a float and the one below it rounds to one of the two, and a score that is equal to
/// its threshold is not above it.
#[test]
fn a_threshold_lies_below_the_scores_that_it_lets_pass() {
    for score in [0.5_f32, 0.500_000_06, 0.75] {
        let below = score.next_down();
        let threshold = Ranking::new(vec![(score, true), (below, false)]).best_f1_threshold().unwrap();
        assert_eq!(threshold, below);
    }
}

#[test]
fn with_a_softmax_the_answer_is_the_most_probable_genre() {
    let genres = names(3);
    let probabilities = [0.5, 0.3, 0.2, 0.125, 0.75, 0.125, 0.15, 0.1, 0.75];
    let labels = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
    let evaluation = evaluation(Head::Softmax, &genres, &probabilities, &labels);
    let confusion = Confusion::of(&evaluation);
    assert_eq!(confusion.counts, HashMap::from([([0, 0], 1), ([2, 1], 1), ([2, 2], 1)]));
    assert_eq!((confusion.support, confusion.unanswered), (vec![1, 0, 2], vec![0; 3]));
    // One right answer of 0.5; one right and one wrong answer of 0.75.
    let calibration = Calibration::of(&evaluation, 10);
    let counts: Vec<usize> = calibration.bins.iter().map(|bin| bin.count).collect();
    assert_eq!(counts, [0, 0, 0, 0, 1, 0, 0, 2, 0, 0]);
    assert!((calibration.ece - (0.5 + 2.0 * 0.25) / 3.0).abs() < 1e-6, "{}", calibration.ece);
}

/// Films of four genres that each have a twentieth of them. Scores of films with a genre are the
/// square roots of uniform numbers, those of others uniform: the AUC of very many is 2/3.
fn drawn(films: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut random = onesheet::rng::stream(seed, onesheet::rng::Purpose::Demo, 0);
    let one = |_| {
        let (label, score): (bool, f32) = (random.random_bool(0.05), random.random());
        (if label { score.sqrt() } else { score }, f32::from(u8::from(label)))
    };
    (0..4 * films).map(one).unzip()
}

#[test]
fn intervals_hold_the_values_of_all_films_of_the_kind_as_often_as_they_say() {
    // Precision at a threshold t is 0.05 (1 + t) / (1 + 0.05 t), and recall 1 - t^2.
    let steps = 100_000;
    let slice = |i: usize| {
        let t = (i as f64 + 0.5) / f64::from(steps);
        2.0 * t * 0.05 * (1.0 + t) / (1.0 + 0.05 * t) / f64::from(steps)
    };
    let ap: f64 = (0..steps as usize).map(slice).sum();
    let (sets, genres) = (40, names(4));
    let (mut held, mut above) = ([0; 2], 0);
    for seed in 0..sets {
        let (probabilities, labels) = drawn(400, seed);
        let metrics = Metrics::with_intervals(&evaluation(Head::Sigmoid, &genres, &probabilities, &labels)).unwrap();
        let intervals = metrics.intervals.unwrap();
        let holds =
            |ends: Option<[f64; 2]>, truth: f64| usize::from((ends.unwrap()[0]..=ends.unwrap()[1]).contains(&truth));
        held[0] += holds(intervals.macro_ap, ap);
        held[1] += holds(intervals.macro_auc, 2.0 / 3.0);
        above += usize::from(metrics.macro_ap.unwrap() > ap);
    }
    // 95 % of 40 are 38. In 200 sets of such films, 182 intervals of AP held it, and the middle 95 % of
    // the resamples 120 times.
    assert!(held.iter().all(|held| *held >= 34), "{held:?}");
    assert!(above > 30, "the AP of few films is high: {above}");
}

#[test]
fn an_interval_of_a_share_is_that_of_the_binomial_distribution() {
    let genres = names(2);
    for (right, ends) in [(50, [0.40, 0.60]), (90, [0.83, 0.95]), (100, [1.0, 1.0])] {
        let probabilities: Vec<f32> =
            (0..100).flat_map(|film| if film < right { [0.75, 0.25] } else { [0.25, 0.75] }).collect();
        let labels = [1.0, 0.0].repeat(100);
        let metrics = Metrics::with_intervals(&evaluation(Head::Softmax, &genres, &probabilities, &labels)).unwrap();
        let interval = metrics.intervals.unwrap().top1_hit;
        let close = interval.iter().zip(ends).all(|(end, expected)| (end - expected).abs() < 0.015);
        assert!(close, "{right}: {interval:?}, expected {ends:?}");
    }
}
