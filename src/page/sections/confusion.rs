//! Which genres are predicted for the films of which.

use crate::nn::Head as Activation;
use crate::page::chart::Matrix;
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::report::{Confusion, Evaluation};
use crate::text::thousands;
use maud::{Markup, html};

/// The most genres that the matrix has.
const MOST: usize = 24;
/// The column of films for which no genre is predicted.
const NONE: &str = "none at all";

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match folder.evaluation() {
        Some(evaluation) => body(folder, &evaluation),
        None => absent("There are no answers about test films: there is no predictions.csv."),
    };
    let title = match folder.head() {
        Activation::Sigmoid => "True and predicted genres",
        Activation::Softmax => "Confusion",
    };
    Section { id: "confusion", title, body }
}

fn body(folder: &Folder, evaluation: &Evaluation) -> Markup {
    let confusion = Confusion::of(evaluation);
    let several = evaluation.head == Activation::Sigmoid;
    let mut order: Vec<usize> = (0..folder.genres.len()).collect();
    order.sort_by_key(|&genre| std::cmp::Reverse(confusion.support[genre]));
    order.truncate(MOST);
    let names: Vec<String> = order.iter().map(|&genre| folder.genres[genre].clone()).collect();
    let columns: Vec<String> = names.iter().cloned().chain(several.then(|| NONE.to_owned())).collect();
    let counts = |truth: usize| {
        let of = order.iter().map(move |&predicted| (truth, predicted)).map(|(t, p)| confusion.count(t, p));
        of.chain(several.then(|| confusion.unanswered[truth])).collect::<Vec<_>>()
    };
    let shares = order.iter().flat_map(|&truth| {
        let support = confusion.support[truth];
        counts(truth).into_iter().map(move |count| (support > 0).then(|| count as f64 / support as f64))
    });
    let title = if several { "Predicted genres of the films of each genre" } else { "Confusion matrix" };
    let matrix = Matrix {
        id: "matrix",
        title,
        description: description(&names, &order, &confusion),
        shares: shares.collect(),
        rows: names.clone(),
        columns: columns.clone(),
    };
    let head = [Head::Text("True genre"), Head::Number("Films")].into_iter();
    let table = Table {
        caption: "Films of each true genre (rows) by predicted genre (columns)",
        head: head.chain(columns.iter().map(|name| Head::Number(name))).collect(),
        rows: order
            .iter()
            .map(|&truth| {
                let counts = counts(truth).into_iter().map(thousands);
                let support = thousands(confusion.support[truth]);
                [folder.genres[truth].clone(), support].into_iter().chain(counts).collect()
            })
            .collect(),
    };
    let caption = html! {
        @if several {
            "Of the films that have the genre of a row, the per cent for which the genre of a column is predicted, at the
             model's thresholds. A film can have several genres, and several can be predicted, so that a row need not add
             up to 100; the diagonal is the recall."
        } @else {
            "Of the films of the genre of a row, the per cent whose most probable genre is that of a column. The diagonal
             is the recall."
        }
        " The commonest genre comes first."
        @if folder.genres.len() > MOST { " The " (MOST) " commonest of " (folder.genres.len()) " genres are shown." }
    };
    Figure { title, caption, chart: matrix.svg(), table }.markup()
}

/// The commonest wrong answer, in words.
fn description(names: &[String], order: &[usize], confusion: &Confusion) -> String {
    let pairs = (0..order.len()).flat_map(|t| (0..order.len()).map(move |p| (t, p))).filter(|(t, p)| t != p);
    let most = pairs.map(|(t, p)| (confusion.count(order[t], order[p]), t, p)).max_by_key(|&(count, ..)| count);
    match most {
        Some((count, t, p)) if count > 0 => {
            format!(
                "Rows are true genres, columns predicted ones. Most often beside the diagonal: {} for {count} films of {}.",
                names[p], names[t]
            )
        }
        _ => "Rows are true genres, columns predicted ones.".to_owned(),
    }
}
