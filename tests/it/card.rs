//! Model cards: a header that is YAML, a text that is Markdown, whatever the genres are called.

use onesheet::classifier::{Classifier, Meta};
use onesheet::data::decode::ImageSpec;
use onesheet::data::films::Film;
use onesheet::data::frames::Frame;
use onesheet::data::transform::Views;
use onesheet::nn::{Head, Isa, Sequential};
use onesheet::report::{Evaluation, Metrics};
use onesheet::run::card::{CARD_FILE, Card, write_card};
use onesheet::run::options::Options;
use onesheet::run::recipe::Recipe;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;

/// Names that mean something to YAML, Markdown, HTML or a terminal.
const HOSTILE: [&str; 16] = [
    "---\nlicense: mit\n---",
    "a|b",
    "a\\|b",
    "<script>alert(1)</script>",
    "[x](http://example.org)",
    "![](x.png)",
    "`x` ```",
    "\u{1b}[2J\u{202e}",
    "# Results",
    "- x\r\n| y | z |",
    "&lt;b&gt;",
    "*x* __y__ ~~z~~",
    "www.example.org @someone #1",
    "{a: [b, c]}",
    "yes",
    "\\",
];

/// Four films of each genre on each side.
fn frame(genres: &[String]) -> Frame {
    let side = |first: u64| {
        (0..4 * genres.len()).map(|at| Film { id: first + at as u64, genres: vec![at % genres.len()] }).collect()
    };
    Frame { genres: genres.to_vec(), train: side(1_000_000), val: side(2_000_000), test: side(3_000_000) }
}

/// A tiny classifier, and metrics of answers that are right for every other film.
fn trained(head: Head, genres: &[String]) -> (Options, Classifier, Metrics) {
    let recipe = Recipe { input: ImageSpec::square(8), filters: vec![2], ..Recipe::best() };
    let network = Sequential::build(recipe.model(genres.len()), Isa::available()[0], 1).unwrap();
    let experiment = if head == Head::Sigmoid { "multi-label" } else { "single-genre" };
    let best = Some("highest macro AP on val".to_owned());
    let thresholds = (head == Head::Sigmoid).then(|| vec![0.3; genres.len()]);
    let meta = Meta {
        experiment: experiment.into(),
        head,
        genres: genres.to_vec(),
        max_genres: 3,
        epoch: Some(7),
        best,
        thresholds,
        views: Views::Flip,
    };
    let films = 4 * genres.len();
    let classes = genres.len();
    let labels: Vec<f32> = (0..films * classes).map(|at| f32::from(at % classes == at / classes % classes)).collect();
    let right = |at: usize| (at / classes).is_multiple_of(2);
    let probabilities: Vec<f32> =
        labels.iter().enumerate().map(|(at, l)| if right(at) { 0.1 + 0.8 * l } else { 0.4 }).collect();
    let evaluation = Evaluation {
        experiment,
        split: "test",
        head,
        genres,
        probabilities: &probabilities,
        labels: &labels,
        loss: 0.5,
        thresholds: None,
    };
    let metrics = Metrics::with_intervals(&evaluation).unwrap();
    (
        Options::new(Path::new("data"), Path::new("out"), recipe),
        Classifier { meta, network, others: Vec::new() },
        metrics,
    )
}

fn card(head: Head, genres: &[String], is_measured: bool) -> (String, Metrics) {
    let (options, classifier, metrics) = trained(head, genres);
    let frame = frame(genres);
    let metrics_of = is_measured.then_some(&metrics);
    let text = Card {
        options: &options,
        frame: &frame,
        taught: None,
        classifier: &classifier,
        model_sha256: "abc",
        metrics: metrics_of,
    }
    .text();
    (text, metrics)
}

/// The header of a card as data, and the text below it.
fn parts(card: &str) -> (Value, &str) {
    let (header, text) = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    (serde_saphyr::from_str(header).unwrap(), text)
}

/// How many cells a row of a table has, as GitHub's Markdown counts them.
fn cells(row: &str) -> usize {
    let mut escaped = false;
    let bars = row.chars().filter(|&c| {
        let is_bar = c == '|' && !escaped;
        escaped = c == '\\' && !escaped;
        is_bar
    });
    bars.count() - 1
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Every table has rows of one width, every line a meaning that the card itself gives it, and no
/// name one of its own.
#[track_caller]
fn assert_is_whole(text: &str, genres: &[String]) {
    let mut width = None;
    for line in text.lines() {
        match (line.starts_with('|'), width) {
            (true, None) => width = Some(cells(line)),
            (true, Some(width)) => assert_eq!(cells(line), width, "{line}"),
            (false, _) => width = None,
        }
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("## ")).count(), 5, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("```")).count(), 6, "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.replace("\\<", "").contains('<'), "{text}");
    for part in ["](http", "![](", "\u{202e}", "\n---", "&lt;", "www.e"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    // Each genre has a row of its films and one of its metrics.
    let rows =
        text.lines().filter(|line| line.ends_with("| 4 | 4 | 4 |") || line.starts_with("| ") && cells(line) == 7);
    assert_eq!(rows.count(), 2 * genres.len() + 1, "{text}");
}

#[test]
fn the_header_says_what_the_metrics_say() {
    let genres = names(&["Comedy", "Drama", "Sci-Fi"]);
    for (head, kind) in [(Head::Sigmoid, "multi-label-classification"), (Head::Softmax, "multi-class-classification")] {
        let (text, metrics) = card(head, &genres, true);
        let (header, body) = parts(&text);
        assert_eq!(header["library_name"], "onesheet");
        assert_eq!(header["pipeline_tag"], "image-classification");
        assert!(header["tags"].as_array().unwrap().contains(&kind.into()), "{header}");
        let model = &header["model-index"][0];
        assert_eq!(model["name"], format!("onesheet-{}", metrics.experiment));
        let result = &model["results"][0];
        assert_eq!(
            (&result["task"]["type"], &result["dataset"]["split"]),
            (&"image-classification".into(), &"test".into())
        );
        let of = |kind: &str| {
            let all = result["metrics"].as_array().unwrap();
            all.iter().find(|metric| metric["type"] == kind).map(|metric| metric["value"].as_f64().unwrap())
        };
        assert_eq!(of("top1_hit"), Some(metrics.top1_hit));
        assert_eq!(of("average_precision"), metrics.macro_ap);
        assert_eq!(of("roc_auc"), metrics.macro_auc);
        assert_eq!(of("accuracy"), metrics.categorical_accuracy);
        assert_eq!(header["metrics"].as_array().unwrap().len(), result["metrics"].as_array().unwrap().len());

        assert_is_whole(body, &genres);
        let weights = card_weights(head, &genres);
        for part in [
            "| Sci-Fi | 4 | 4 | 4 |",
            "after epoch 7: the highest macro AP on val",
            "seed = 1",
            "12 test films",
            &weights,
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        let [low, high] = metrics.intervals.unwrap().top1_hit;
        assert!(body.contains(&format!("| {:.1}% to {:.1}% |", 100.0 * low, 100.0 * high)), "{body}");
        assert!(body.contains(&format!("{:.1}% (always", 100.0 * metrics.baselines.constant_top1_hit)), "{body}");
    }
}

fn card_weights(head: Head, genres: &[String]) -> String {
    format!("It has {} weights", trained(head, genres).1.network.parameter_counts().0)
}

#[test]
fn a_model_that_was_not_measured_has_a_card_too() {
    let (text, _) = card(Head::Sigmoid, &names(&["Comedy", "Drama"]), false);
    let (header, body) = parts(&text);
    assert!(header.get("metrics").is_none() && header.get("model-index").is_none(), "{header}");
    assert!(body.contains("The test films were not looked at.") && body.contains("SHA-256"), "{body}");
}

#[test]
fn names_of_genres_mean_nothing_to_yaml_and_markdown() {
    let mut genres = names(&HOSTILE);
    genres.push("x|".repeat(10_000));
    let (text, _) = card(Head::Sigmoid, &genres, true);
    let (header, body) = parts(&text);
    assert!(header.get("license").is_none() && header["model-index"][0]["results"].is_array(), "{header}");
    assert_is_whole(body, &genres);
    assert!(text.len() < 20_000, "a long name is cut");
}

#[test]
fn the_same_training_has_the_same_card_wherever_it_was() {
    let genres = names(&["Comedy", "Drama"]);
    let (options, classifier, metrics) = trained(Head::Sigmoid, &genres);
    let frame = frame(&genres);
    let folder = tempfile::tempdir().unwrap();
    let (data, out, cache) = ("elsewhere".into(), "other".into(), Some("there".into()));
    let moved = Options { data, out, cache, threads: 4_321, ..options.clone() };
    let bytes = [&options, &moved].map(|options| {
        let metrics = Some(&metrics);
        write_card(
            folder.path(),
            &Card { options, frame: &frame, taught: None, classifier: &classifier, model_sha256: "abc", metrics },
        )
        .unwrap();
        std::fs::read(folder.path().join(CARD_FILE)).unwrap()
    });
    assert_eq!(bytes[0], bytes[1]);
    let text = String::from_utf8(bytes[1].clone()).unwrap();
    assert!(!["elsewhere", "other\"", "there\"", "4321"].iter().any(|part| text.contains(part)), "{text}");
}

proptest! {
    #![proptest_config(crate::common::cases(32))]

    #[test]
    fn a_card_is_whole_for_any_names(genres in proptest::collection::vec("\\PC{0,12}|[|`<\\\\\n#*-]{1,6}", 2..5)) {
        let (text, _) = card(Head::Sigmoid, &genres, true);
        let (header, body) = parts(&text);
        prop_assert_eq!(&header["library_name"], "onesheet");
        for line in body.lines().filter(|line| line.starts_with('|')) {
            prop_assert!([4, 7].contains(&cells(line)), "{}", line);
        }
    }
}
