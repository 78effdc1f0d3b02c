//! How far the probabilities can be taken at their word.

use crate::nn::Head as Activation;
use crate::page::chart::{Axis, Mark, Plot};
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::report::{Bin, Calibration, Evaluation, percent, score};
use crate::text::thousands;
use maud::{Markup, html};

const BINS: usize = 10;

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match folder.evaluation() {
        Some(evaluation) => body(&evaluation),
        None => absent("There are no answers about test films: there is no predictions.csv."),
    };
    Section { id: "calibration", title: "Calibration", body }
}

fn body(evaluation: &Evaluation) -> Markup {
    let calibration = Calibration::of(evaluation, BINS);
    let (answers, right) = match evaluation.head {
        Activation::Sigmoid => ("Every pair of film and genre is an answer", "are of films that have the genre"),
        Activation::Softmax => ("The most probable genre of each film is its answer", "are right"),
    };
    html! {
        p {
            (answers) ". Of the answers with a probability of 70\u{a0}%, some 70\u{a0}% should be right. The expected calibration error
             (ECE), their mean distance from that, is " b { (score(Some(calibration.ece))) } "; the largest of a bin is "
            (score(Some(calibration.mce))) "."
        }
        div.figures { (reliability(&calibration, right)) (histogram(&calibration)) }
    }
}

fn range(bin: &Bin) -> String {
    let [from, to] = bin.range.map(|edge| format!("{:.0}", 100.0 * edge));
    format!("{from} to {to}\u{a0}%")
}

fn table<'a>(calibration: &Calibration) -> Table<'a> {
    let row = |bin: &Bin| {
        let or_none = |value: Option<f64>| value.map_or("n/a".to_owned(), percent);
        vec![range(bin), thousands(bin.count), or_none(bin.confidence), or_none(bin.accuracy)]
    };
    Table {
        caption: "Answers by probability",
        head: vec![
            Head::Text("Probability"),
            Head::Number("Answers"),
            Head::Number("Mean probability"),
            Head::Number("Right"),
        ],
        rows: calibration.bins.iter().map(row).collect(),
    }
}

fn reliability(calibration: &Calibration, right: &str) -> Markup {
    let title = "Reliability";
    let points = calibration.bins.iter().filter_map(|bin| Some([bin.confidence?, bin.accuracy?]));
    let plot = Plot {
        id: "reliability",
        title,
        description: format!(
            "The share of answers that {right}, over their mean probability, in {BINS} bins. The expected calibration error is {}.",
            score(Some(calibration.ece))
        ),
        x: Axis::of_shares("Mean probability of the answers in a bin"),
        y: Axis::of_shares("Share that is right"),
        marks: vec![Mark::Reference([[0.0, 0.0], [1.0, 1.0]]), Mark::Line { points: points.collect(), colour: 0 }],
        height: 300.0,
    };
    let caption = html! { "On the dashed line, probabilities are what they say; under it, the model is too sure." };
    Figure { title, caption, chart: plot.svg(), table: table(calibration) }.markup()
}

fn histogram(calibration: &Calibration) -> Markup {
    let title = "How sure the answers are";
    let all: usize = calibration.bins.iter().map(|bin| bin.count).sum();
    let share = |bin: &Bin| bin.count as f64 / all.max(1) as f64;
    let marks = calibration.bins.iter().map(|bin| Mark::Bar { range: bin.range, height: share(bin), colour: 0 });
    let fullest = calibration.bins.iter().max_by_key(|bin| bin.count);
    let plot = Plot {
        id: "sureness",
        title,
        description: fullest.map_or(String::new(), |bin| {
            format!(
                "Most answers, {} of {}, have a probability of {}.",
                thousands(bin.count),
                thousands(all),
                range(bin)
            )
        }),
        x: Axis::of_shares("Probability"),
        y: Axis::from_zero("Share of the answers", calibration.bins.iter().map(share)),
        marks: marks.collect(),
        height: 300.0,
    };
    let caption = html! { "A point of the reliability curve counts as much as its bin holds." };
    Figure { title, caption, chart: plot.svg(), table: table(calibration) }.markup()
}
