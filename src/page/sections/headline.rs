//! The headline metrics, and all others in a table.

use crate::page::chart::{number, picture};
use crate::page::document::{Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::page::measures::{Measure, Standing};
use crate::report::{Metrics, percent, score};
use maud::{Markup, html};

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match &folder.metrics {
        Some(metrics) => body(metrics),
        None => absent("The experiment was not measured on test films: there is no metrics.json."),
    };
    Section { id: "results", title: "Results", body }
}

fn body(metrics: &Metrics) -> Markup {
    let measures = Measure::all(metrics);
    html! {
        (cards("result", &measures))
        @if let Some(intervals) = &metrics.intervals {
            p.note {
                "The bar is the 95\u{a0}% interval, from " (intervals.resamples) " bootstrap draws of the test films; the dot is
                 the result, the upright line the trivial answer. The interval says how far a figure would move with other
                 test films, not with another seed. It is corrected for the bias of resampled AP (BCa)."
            }
        }
        @if metrics.films < 100 {
            p.note { "These are results on only " (metrics.films) " films: take them as rough." }
        }
        details {
            summary { "All metrics" }
            (all(metrics, &measures).markup())
        }
    }
}

/// A card for each metric; `id` is their own in the document.
pub(in crate::page) fn cards(id: &str, measures: &[Measure]) -> Markup {
    html! {
        div.cards { @for (i, measure) in measures.iter().enumerate() { (card(&format!("{id}-{i}"), measure)) } }
    }
}

fn card(id: &str, measure: &Measure) -> Markup {
    let standing = measure.standing();
    let class = match standing {
        Some(Standing::Above) => "above",
        Some(Standing::Below) => "below",
        _ => "within",
    };
    html! {
        div.card {
            p.name { (measure.name) }
            p.value { (measure.shown(measure.value)) }
            p.meaning { (measure.meaning) }
            (strip(id, measure))
            dl {
                @if let Some(interval) = measure.shown_interval() { dt { "95\u{a0}% interval" } dd { (interval) } }
                dt { (capital(measure.trivial)) } dd { (measure.shown(measure.baseline)) }
            }
            @if let Some(standing) = standing {
                p.standing.(class) { (capital(standing.words())) }
            }
        }
    }
}

/// The result, its interval and its baseline on a line from 0 to 1.
fn strip(id: &str, measure: &Measure) -> Markup {
    const WIDTH: f64 = 240.0;
    let at = |value: f64| number(6.0 + value.clamp(0.0, 1.0) * (WIDTH - 12.0));
    let interval = measure.shown_interval().map_or(String::new(), |text| format!(", 95\u{a0}% interval {text}"));
    let description = format!(
        "{}{interval}; {}: {}.",
        measure.shown(measure.value),
        measure.trivial,
        measure.shown(measure.baseline)
    );
    let content = html! {
        line.track x1="6" x2=(number(WIDTH - 6.0)) y1="13" y2="13" {}
        @if let Some([low, high]) = measure.interval { line.interval x1=(at(low)) x2=(at(high)) y1="13" y2="13" {} }
        line.baseline x1=(at(measure.baseline)) x2=(at(measure.baseline)) y1="3" y2="23" {}
        circle.fill.s0 cx=(at(measure.value)) cy="13" r="4" {}
    };
    picture(id, measure.name, &description, [WIDTH, 26.0], &content)
}

fn all<'a>(metrics: &Metrics, measures: &[Measure]) -> Table<'a> {
    let mut rows: Vec<Vec<String>> = measures
        .iter()
        .chain(&Measure::weighted(metrics))
        .map(|of| {
            let interval = of.shown_interval().unwrap_or_default();
            vec![of.name.into(), of.shown(of.value), interval, format!("{} ({})", of.shown(of.baseline), of.trivial)]
        })
        .collect();
    let zeros = format!("{} (no genre at all)", percent(metrics.baselines.all_zeros_hamming_accuracy));
    let mut add = |name: &str, value: Option<String>, trivial: &str| {
        rows.extend(value.map(|value| vec![name.to_owned(), value, String::new(), trivial.to_owned()]));
    };
    add("Loss, mean per film", Some(score(Some(metrics.loss))), "");
    add("Micro F1 at the thresholds", Some(score(Some(metrics.micro_f1))), "");
    add("Macro F1 at the thresholds", metrics.macro_f1.map(|value| score(Some(value))), "");
    add("Hamming accuracy", metrics.hamming_accuracy.map(percent), &zeros);
    add("Subset accuracy", metrics.subset_accuracy.map(percent), "");
    Table {
        caption: "All metrics on the test films",
        head: vec![
            Head::Text("Metric"),
            Head::Number("Result"),
            Head::Number("95\u{a0}% interval"),
            Head::Number("Trivial answer"),
        ],
        rows,
    }
}

/// A phrase that begins a line.
fn capital(phrase: &str) -> String {
    let mut letters = phrase.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
