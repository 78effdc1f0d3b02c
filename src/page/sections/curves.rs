//! Precision-recall and ROC curves: over all pairs of film and genre, and of each genre.

use crate::nn::metrics::Ranking;
use crate::page::chart::{Axis, Mark, Plot, number, path, picture};
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::report::{Evaluation, score};
use maud::{Markup, html};

/// The recalls at which tables give the precision.
const RECALLS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
/// The false positive rates at which tables give the true positive rate.
const FALSE_POSITIVES: [f64; 5] = [0.01, 0.05, 0.1, 0.25, 0.5];

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match folder.evaluation() {
        Some(evaluation) => body(folder, &evaluation),
        None => absent("There are no answers about test films: there is no predictions.csv."),
    };
    Section { id: "curves", title: "Precision, recall, ROC", body }
}

/// The curves of a genre, or of all pairs.
struct Curves {
    /// Points `[recall, precision]`, from recall 0 on; `None` without positives.
    precision_recall: Option<Vec<[f64; 2]>>,
    /// Points `[false positive rate, true positive rate]`; `None` without positives or negatives.
    roc: Option<Vec<[f64; 2]>>,
    ap: Option<f64>,
    auc: Option<f64>,
    /// The share of positives.
    prevalence: f64,
}

impl Curves {
    fn of(items: impl Iterator<Item = (f32, bool)>) -> Self {
        let items: Vec<(f32, bool)> = items.collect();
        let positives = items.iter().filter(|(_, positive)| *positive).count();
        let prevalence = positives as f64 / items.len().max(1) as f64;
        let ranking = Ranking::new(items);
        let precision_recall = ranking.precision_recall_curve().map(|mut points| {
            // The first step begins at recall 0.
            points.insert(0, [0.0, points[0][1]]);
            points
        });
        let (ap, auc) = (ranking.average_precision(), ranking.roc_auc());
        Self { precision_recall, roc: ranking.roc_curve(), ap, auc, prevalence }
    }

    fn of_genre(evaluation: &Evaluation, genre: usize) -> Self {
        let of =
            |values: &'_ [f32]| values.iter().skip(genre).step_by(evaluation.genres.len()).copied().collect::<Vec<_>>();
        let (scores, labels) = (of(evaluation.probabilities), of(evaluation.labels));
        Self::of(scores.into_iter().zip(labels).map(|(score, label)| (score, label == 1.0)))
    }

    /// The precision at each of [`RECALLS`]: that of the highest threshold that reaches it.
    fn precisions(&self) -> Vec<String> {
        let at =
            |recall: f64| self.precision_recall.as_ref()?.iter().find(|point| point[0] >= recall).map(|point| point[1]);
        RECALLS.iter().map(|&recall| score(at(recall))).collect()
    }

    /// The true positive rate at each of [`FALSE_POSITIVES`]: that of the lowest threshold that
    /// keeps within it.
    fn true_positives(&self) -> Vec<String> {
        let at = |rate: f64| self.roc.as_ref()?.iter().rfind(|point| point[0] <= rate).map(|point| point[1]);
        FALSE_POSITIVES.iter().map(|&rate| score(at(rate))).collect()
    }
}

fn body(folder: &Folder, evaluation: &Evaluation) -> Markup {
    let pairs = evaluation.probabilities.iter().zip(evaluation.labels);
    let all = Curves::of(pairs.map(|(&score, &label)| (score, label == 1.0)));
    let of_genres: Vec<Curves> = (0..folder.genres.len()).map(|genre| Curves::of_genre(evaluation, genre)).collect();
    let order = folder.shown_genres(|genre| of_genres[genre].ap);
    html! {
        div.figures { (precision_recall(&all)) (roc(&all)) }
        (multiples(folder, &of_genres, &order))
    }
}

fn precision_recall(all: &Curves) -> Markup {
    let title = "Precision and recall, all genres together";
    let mut marks = vec![Mark::Reference([[0.0, all.prevalence], [1.0, all.prevalence]])];
    marks.extend(all.precision_recall.clone().map(|points| Mark::Steps { points, colour: 0 }));
    let ap = score(all.ap);
    let plot = Plot {
        id: "pr",
        title,
        description: format!(
            "The average precision is {ap}; that of a constant score is {}.",
            score(Some(all.prevalence))
        ),
        x: Axis::of_shares("Recall"),
        y: Axis::of_shares("Precision"),
        marks,
        height: 300.0,
    };
    let rows = RECALLS.iter().zip(all.precisions()).map(|(recall, precision)| vec![recall.to_string(), precision]);
    let table = Table {
        caption: "Precision at some recalls, over all pairs of film and genre",
        head: vec![Head::Number("Recall"), Head::Number("Precision")],
        rows: rows.collect(),
    };
    let caption = html! {
        "Over all pairs of film and genre: average precision " (ap) ". The dashed line is a score that knows nothing, "
        (score(Some(all.prevalence))) "."
    };
    Figure { title, caption, chart: plot.svg(), table }.markup()
}

fn roc(all: &Curves) -> Markup {
    let title = "ROC, all genres together";
    let mut marks = vec![Mark::Reference([[0.0, 0.0], [1.0, 1.0]])];
    marks.extend(all.roc.clone().map(|points| Mark::Line { points, colour: 0 }));
    let auc = score(all.auc);
    let plot = Plot {
        id: "roc",
        title,
        description: format!("The area under the curve is {auc}; that of a constant score is 0.500."),
        x: Axis::of_shares("False positive rate"),
        y: Axis::of_shares("True positive rate"),
        marks,
        height: 300.0,
    };
    let rows = FALSE_POSITIVES.iter().zip(all.true_positives()).map(|(rate, found)| vec![rate.to_string(), found]);
    let table = Table {
        caption: "True positive rate at some false positive rates, over all pairs of film and genre",
        head: vec![Head::Number("False positive rate"), Head::Number("True positive rate")],
        rows: rows.collect(),
    };
    let caption = html! {
        "Over all pairs of film and genre: area " (auc) ". The dashed line is a score that knows nothing, 0.500."
    };
    Figure { title, caption, chart: plot.svg(), table }.markup()
}

/// The curves of each genre, small and side by side.
fn multiples(folder: &Folder, of_genres: &[Curves], order: &[usize]) -> Markup {
    let row = |&genre: &usize| {
        let (name, curves) = (vec![folder.genres[genre].clone()], &of_genres[genre]);
        [name, curves.precisions(), curves.true_positives()].concat()
    };
    let names = RECALLS.map(|recall| format!("Precision at recall {recall}"));
    let rates = FALSE_POSITIVES.map(|rate| format!("TPR at FPR {rate}"));
    let table = Table {
        caption: "Precision at some recalls and true positive rate (TPR) at some false positive rates (FPR)",
        head: [Head::Text("Genre")]
            .into_iter()
            .chain(names.iter().chain(&rates).map(|name| Head::Number(name)))
            .collect(),
        rows: order.iter().map(row).collect(),
    };
    let chart = html! {
        div.multiples { @for &genre in order { (small(&folder.genres[genre], genre, &of_genres[genre])) } }
    };
    let caption = html! {
        "On the left, precision (upwards) over recall; on the right, true over false positive rate. All axes are from 0 to
         1, the dashed lines are scores that know nothing." (folder.note_on_genres())
    };
    Figure { title: "The curves of each genre", caption, chart, table }.markup()
}

fn small(name: &str, genre: usize, curves: &Curves) -> Markup {
    const SIDE: f64 = 100.0;
    const SECOND: f64 = SIDE + 14.0;
    let path = |points: &[[f64; 2]], left: f64, steps: bool| {
        path(points.iter().map(|[x, y]| [left + x * SIDE, 2.0 + (1.0 - y) * SIDE]), steps)
    };
    let chance = number(2.0 + (1.0 - curves.prevalence) * SIDE);
    let content = html! {
        @for left in [1.0, SECOND] {
            rect.frame x=(number(left)) y="2" width=(number(SIDE)) height=(number(SIDE)) {}
        }
        line.reference x1="1" x2=(number(1.0 + SIDE)) y1=(chance) y2=(chance) {}
        line.reference x1=(number(SECOND)) y1=(number(2.0 + SIDE)) x2=(number(SECOND + SIDE)) y2="2" {}
        @if let Some(points) = &curves.precision_recall { path class="line s0" d=(path(points, 1.0, true)) {} }
        @if let Some(points) = &curves.roc { path class="line s1" d=(path(points, SECOND, false)) {} }
    };
    let (ap, auc) = (score(curves.ap), score(curves.auc));
    let description = match curves.ap {
        None => "No test film has the genre.".to_owned(),
        Some(_) => format!("Average precision {ap}, area under the ROC curve {auc}."),
    };
    html! {
        div.multiple {
            p { b { (name) } span { @if curves.ap.is_none() { "no test films" } @else { "AP " (ap) " · AUC " (auc) } } }
            (picture(&format!("genre-{genre}"), name, &description, [SECOND + SIDE + 1.0, SIDE + 4.0], &content))
        }
    }
}
