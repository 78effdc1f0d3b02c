//! The test posters with the best, the worst and typical answers.

use crate::nn::Head;
use crate::nn::metrics::top_k;
use crate::page::document::{Section, absent, listed};
use crate::page::films::{Posters, Ranked};
use crate::page::folder::Folder;
use crate::page::picture::Picture;
use crate::report::Evaluation;
use maud::{Markup, html};

/// Posters of each kind.
const EACH: usize = 6;
/// The size in pixels that posters fit into: twice that at which they are shown.
const SIZE: [usize; 2] = [220, 330];

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match (&folder.predictions, folder.evaluation()) {
        (Some(predictions), Some(evaluation)) => body(folder, &predictions.ids, &evaluation),
        _ => absent("There are no answers about test films: there is no predictions.csv."),
    };
    Section { id: "posters", title: "Posters", body }
}

fn body(folder: &Folder, ids: &[u64], evaluation: &Evaluation) -> Markup {
    let Ranked { best, typical, worst } = Ranked::of(ids, evaluation, EACH);
    let kinds = [
        ("Best", "The answers with the smallest losses.", &best),
        ("Typical", "The answers in the middle.", &typical),
        ("Worst", "The answers with the largest losses, the worst first.", &worst),
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
                        span.share { (format!("{:.0}\u{a0}%", 100.0 * probabilities[genre])) }
                        span.bar style={ "--share:" (format!("{:.3}", probabilities[genre])) } {}
                    }
                }
            }
        }
    }
}

/// A film's poster, or an empty frame; nothing where there are no posters at all.
fn image(posters: &Posters, id: u64, alt: &str) -> Markup {
    if posters.are_gone() {
        return html! {};
    }
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
