//! The test posters with the best, the worst and typical answers.

use std::path::{Path, PathBuf};

use crate::data::layout::{PosterFolder, poster_name};
use crate::data::ledger::Ledger;
use crate::nn::Head;
use crate::nn::metrics::top_k;
use crate::page::document::{Section, absent, listed};
use crate::page::folder::Folder;
use crate::page::picture::Picture;
use crate::report::Evaluation;
use maud::{Markup, html};

/// Posters of each kind.
const EACH: usize = 6;
/// The size in pixels that posters fit into: twice that at which they are shown.
const SIZE: [usize; 2] = [220, 330];
/// The least probability that a loss is taken of.
const LEAST: f64 = 1e-7;

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match (&folder.predictions, folder.evaluation()) {
        (Some(predictions), Some(evaluation)) => body(folder, &predictions.ids, &evaluation),
        _ => absent("There are no answers about test films: there is no predictions.csv."),
    };
    Section { id: "posters", title: "Posters", body }
}

/// The posters in the data folder that the configuration names, as far as it is still there.
pub(in crate::page) struct Posters {
    folder: Option<PathBuf>,
    /// The folder's list, which only odd names need.
    listed: std::cell::OnceCell<Option<PosterFolder>>,
}

impl Posters {
    pub fn of(folder: &Folder) -> Self {
        let posters = folder.option("data").map(|data| Path::new(data).join("posters")).filter(|path| path.is_dir());
        Self { folder: posters, listed: std::cell::OnceCell::new() }
    }

    /// Whether there is no folder of posters any more.
    pub fn are_gone(&self) -> bool {
        self.folder.is_none()
    }

    /// The file of a film's poster.
    pub fn file(&self, id: u64) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let usual = folder.join(poster_name(id));
        if usual.is_file() {
            return Some(usual);
        }
        let list = self.listed.get_or_init(|| PosterFolder::list(folder, &mut Ledger::default()).ok());
        list.as_ref().filter(|list| list.ids().contains(&id)).map(|list| list.file(id))
    }
}

fn body(folder: &Folder, ids: &[u64], evaluation: &Evaluation) -> Markup {
    let classes = evaluation.genres.len();
    let rows = evaluation.probabilities.chunks_exact(classes).zip(evaluation.labels.chunks_exact(classes));
    let losses: Vec<f64> = rows.map(|(probabilities, labels)| loss(evaluation.head, probabilities, labels)).collect();
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]).then(ids[a].cmp(&ids[b])));
    let each = EACH.min(order.len().div_ceil(3));
    let middle = (order.len() - each) / 2;
    let worst: Vec<usize> = order[order.len() - each..].iter().rev().copied().collect();
    let kinds = [
        ("Best", "The answers with the smallest losses.", &order[..each]),
        ("Typical", "The answers in the middle.", &order[middle..middle + each]),
        ("Worst", "The answers with the largest losses, the worst first.", &worst[..]),
    ];
    let posters = Posters::of(folder);
    html! {
        p {
            "By the loss of each test film: how far the probabilities are from its genres. "
            @if evaluation.head == Head::Sigmoid {
                "A tick stands before each true genre that is predicted at the model's threshold, a cross before each that is
                 not."
            } @else {
                "A tick stands before the true genre where it is the most probable one, else a cross."
            }
        }
        @if posters.are_gone() {
            (absent("The folder of the posters that the configuration names is not there any more, so the posters are not shown."))
        }
        @for (title, caption, films) in kinds {
            figure {
                figcaption { h3 { (title) } p { (caption) } }
                div.posters {
                    @for &film in films { (card(folder, evaluation, &posters, ids[film], film)) }
                }
            }
        }
    }
}

/// The cross-entropy of a film; with a sigmoid the mean over the genres.
fn loss(head: Head, probabilities: &[f32], labels: &[f32]) -> f64 {
    let log = |probability: f64| -probability.max(LEAST).ln();
    let pairs = probabilities.iter().map(|&p| f64::from(p)).zip(labels);
    match head {
        Head::Softmax => pairs.filter(|(_, label)| **label == 1.0).map(|(p, _)| log(p)).sum(),
        Head::Sigmoid => {
            pairs.map(|(p, label)| if *label == 1.0 { log(p) } else { log(1.0 - p) }).sum::<f64>() / labels.len() as f64
        }
    }
}

fn card(folder: &Folder, evaluation: &Evaluation, posters: &Posters, id: u64, film: usize) -> Markup {
    let classes = evaluation.genres.len();
    let of = |values: &'_ [f32]| values[film * classes..][..classes].to_vec();
    let (probabilities, labels) = (of(evaluation.probabilities), of(evaluation.labels));
    let top = top_k(&probabilities, 3);
    let is_predicted = |genre: usize| match evaluation.head {
        Head::Softmax => top[0] == genre,
        Head::Sigmoid => probabilities[genre] > evaluation.thresholds.map_or(0.5, |all| all[genre]),
    };
    let truth: Vec<usize> = (0..classes).filter(|&genre| labels[genre] == 1.0).collect();
    let names = |genres: &[usize]| listed(genres.iter().map(|&genre| &*folder.genres[genre]));
    let alt = format!("Poster of film {id}. Its genres: {}. Most probable: {}.", names(&truth), names(&top));
    html! {
        div.poster {
            (image(posters, id, &alt))
            p.film { "Film " (id) }
            ul.truth aria-label="True genres" {
                @for &genre in &truth {
                    @let found = is_predicted(genre);
                    li.found[found].missed[!found] {
                        span aria-label=(if found { "predicted:" } else { "missed:" }) role="img" {
                            (if found { "✓" } else { "✗" })
                        }
                        " " (folder.genres[genre])
                    }
                }
            }
            ol.answers aria-label="Most probable genres" {
                @for &genre in &top {
                    li.true[labels[genre] == 1.0] {
                        span.genre { (folder.genres[genre]) }
                        span.share { (format!("{:.0} %", 100.0 * probabilities[genre])) }
                        span.bar style={ "--share:" (format!("{:.3}", probabilities[genre])) } {}
                    }
                }
            }
        }
    }
}

/// A film's poster, or a sentence in its place.
fn image(posters: &Posters, id: u64, alt: &str) -> Markup {
    let picture = posters.file(id).and_then(|file| Picture::of_poster(&file, SIZE[0], SIZE[1]));
    html! {
        @match picture {
            Some(picture) => {
                img src=(picture.data_uri()) alt=(alt) width=(picture.width / 2) height=(picture.height / 2);
            }
            None => div.no-poster role="img" aria-label=(alt) { "no poster" },
        }
    }
}
