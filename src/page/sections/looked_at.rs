//! Which parts of some posters spoke for the genre that the model named.

use crate::classifier::Classifier;
use crate::classifier::explain::{HeatMap, Method};
use crate::data::decode::{Decoder, ImageSpec};
use crate::error::Result;
use crate::nn::metrics::top_k;
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::films::{Posters, Ranked};
use crate::page::folder::Folder;
use crate::page::picture::Picture;
use maud::{Markup, html};

/// Posters of each kind: best, typical, worst.
const EACH: usize = 2;
/// The size in pixels that posters fit into: twice that at which they are shown.
const SIZE: [usize; 2] = [240, 360];

/// A poster beside its heat map.
struct Looked {
    id: u64,
    genre: String,
    probability: f32,
    is_true: bool,
    map: HeatMap,
    poster: Picture,
}

/// # Errors
/// Those of [`Classifier::explain`], and if this process can read no file.
pub(in crate::page) fn section(folder: &mut Folder) -> Result<Section> {
    let (looked, left_out) = looked(folder)?;
    let body = match (&folder.classifier, &folder.predictions) {
        (None, _) => absent("There is no model.safetensors."),
        (_, None) => absent("There are no answers about test films: there is no predictions.csv."),
        _ if looked.is_empty() => {
            absent("The posters are not there any more, so the model cannot be asked about them.")
        }
        (Some(classifier), _) => figure(&looked, left_out, classifier.best_method()),
    };
    Ok(Section { id: "looked-at", title: "What the network looked at", body })
}

/// Asks the model about the posters that are there; also how many are not, or do not decode.
fn looked(folder: &mut Folder) -> Result<(Vec<Looked>, usize)> {
    let posters = Posters::of(folder);
    let Some(mut classifier) = folder.classifier.take() else { return Ok((Vec::new(), 0)) };
    let chosen = chosen(folder);
    let count = chosen.len();
    let asked = chosen.into_iter().map(|(id, genre, probability, is_true)| {
        let Some(file) = posters.file(id) else { return Ok(None) };
        let mut pixels = vec![0; ImageSpec::POSTER.bytes()];
        let decoded = Decoder::new().decode_poster(&file, ImageSpec::POSTER, &mut pixels)?;
        let Some(poster) = Picture::of_poster(&file, SIZE[0], SIZE[1]).filter(|_| decoded.is_ok()) else {
            return Ok(None);
        };
        let map = explain(&mut classifier, &pixels, genre)?;
        Ok(Some(Looked { id, genre: folder.genres[genre].clone(), probability, is_true, map, poster }))
    });
    let looked = asked.collect::<Result<Vec<_>>>();
    folder.classifier = Some(classifier);
    let looked: Vec<_> = looked?.into_iter().flatten().collect();
    let left_out = count - looked.len();
    Ok((looked, left_out))
}

fn explain(classifier: &mut Classifier, poster: &[u8], genre: usize) -> Result<HeatMap> {
    let method = classifier.best_method();
    classifier.explain(poster, genre, method)
}

/// Some films, each with its most probable genre, the probability, and whether the film has it.
fn chosen(folder: &Folder) -> Vec<(u64, usize, f32, bool)> {
    let (Some(predictions), Some(evaluation)) = (&folder.predictions, folder.evaluation()) else { return Vec::new() };
    let Ranked { best, typical, worst } = Ranked::of(&predictions.ids, &evaluation, EACH);
    let classes = evaluation.genres.len();
    let of_film = |film: usize| {
        let row = film * classes..(film + 1) * classes;
        let (probabilities, labels) = (&evaluation.probabilities[row.clone()], &evaluation.labels[row]);
        let genre = top_k(probabilities, 1)[0];
        (predictions.ids[film], genre, probabilities[genre], labels[genre] == 1.0)
    };
    best.into_iter().chain(typical).chain(worst).map(of_film).collect()
}

fn figure(looked: &[Looked], left_out: usize, method: Method) -> Markup {
    let chart = html! {
        div.looked {
            @for of in looked {
                @let name = format!("film {}, {} {:.0}\u{a0}%", of.id, of.genre, 100.0 * of.probability);
                div.pair {
                    img src=(of.poster.data_uri()) alt={ "Poster of " (name) "." }
                        width=(of.poster.width / 2) height=(of.poster.height / 2);
                    img src=(heat(of).data_uri()) alt={ "The same poster with what spoke for " (of.genre) ": " (places(&of.map)) "." }
                        width=(of.poster.width / 2) height=(of.poster.height / 2);
                    p {
                        b { (of.genre) " " (format!("{:.0}\u{a0}%", 100.0 * of.probability)) }
                        (if of.is_true { ", which it is" } else { ", which it is not" })
                        span.film { "Film " (of.id) }
                    }
                }
            }
        }
        ul.legend aria-hidden="true" {
            li { span.swatch.heat {} "the brighter, the more it speaks for the genre; what is dark says nothing, or speaks against it" }
        }
    };
    let row = |of: &Looked| {
        let thirds = thirds(&of.map).map(|value| format!("{value:+.2}"));
        [of.id.to_string(), of.genre.clone()].into_iter().chain(thirds).collect()
    };
    let head = [Head::Text("Film"), Head::Text("Genre")].into_iter();
    let table = Table {
        caption: "How much each ninth of a poster speaks for the genre, or against it: the mean of the map",
        head: head.chain(PLACES.map(Head::Number)).collect(),
        rows: looked.iter().map(row).collect(),
    };
    let caption = html! {
        "The two best, two typical and the two worst of the posters, each with its most probable genre. "
        (explanation(method)) " Every map is brought to its own strongest place."
        @if left_out > 0 { " Left out: " (left_out) ", whose poster is not there any more or cannot be read." }
    };
    Figure { title: "Heat maps", caption, chart, table }.markup()
}

fn explanation(method: Method) -> &'static str {
    match method {
        Method::Occlusion => "The map tells how much the answer loses where a place is hidden (occlusion).",
        Method::Cam => "The map tells what each place adds to the answer (class activation map).",
        Method::GradCam => "The map tells what each place adds to the answer, to first order (Grad-CAM).",
    }
}

/// The poster under its map.
fn heat(Looked { map, poster: Picture { width, height, pixels }, .. }: &Looked) -> Picture {
    let (width, height) = (*width, *height);
    Picture { width, height, pixels: map.over_image(pixels, ImageSpec { height, width }) }
}

/// The names of the ninths of a poster, row by row.
const PLACES: [&str; 9] =
    ["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"];

/// The mean of a map in each ninth of the poster.
fn thirds(map: &HeatMap) -> [f32; 9] {
    const SIDE: usize = 6;
    let values = map.enlarged(ImageSpec { height: 3 * SIDE, width: 3 * SIDE });
    std::array::from_fn(|ninth| {
        let begin = ninth / 3 * SIDE * 3 * SIDE + ninth % 3 * SIDE;
        let rows = (0..SIDE).map(|row| values[begin + row * 3 * SIDE..][..SIDE].iter().sum::<f32>());
        rows.sum::<f32>() / (SIDE * SIDE) as f32
    })
}

/// The strongest ninths of a map, in words.
fn places(map: &HeatMap) -> String {
    let means = thirds(map);
    let place = |better: fn(f32, f32) -> bool| {
        let first = (0..9).reduce(|best, other| if better(means[other], means[best]) { other } else { best });
        PLACES[first.expect("there are nine")]
    };
    format!("most at the {}, least at the {}", place(|a, b| a > b), place(|a, b| a < b))
}
