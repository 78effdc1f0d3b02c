//! How well each genre is told, beside how common it is.

use crate::page::chart::{Key, Row, Rows, legend};
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::report::{Metrics, percent, score};
use crate::text::thousands;
use maud::{Markup, html};

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match &folder.metrics {
        Some(metrics) => body(folder, metrics),
        None => absent("The experiment was not measured on test films: there is no metrics.json."),
    };
    Section { id: "genres", title: "Genres", body }
}

fn body(folder: &Folder, metrics: &Metrics) -> Markup {
    let order = folder.shown_genres(|genre| metrics.per_genre[genre].ap);
    let share = |genre: usize| metrics.per_genre[genre].support as f64 / metrics.films.max(1) as f64;
    let rows = order.iter().map(|&genre| {
        let of = &metrics.per_genre[genre];
        let prevalence = (of.support > 0).then(|| share(genre));
        let end = if of.support == 0 { "no films".to_owned() } else { score(of.ap) };
        Row { name: folder.genres[genre].clone(), values: vec![of.ap, prevalence], end }
    });
    let told = order.iter().filter(|&&genre| metrics.per_genre[genre].ap.is_some_and(|ap| ap > share(genre))).count();
    let without = metrics.per_genre.iter().filter(|of| of.support == 0).count();
    let rows = Rows {
        id: "genre-ap",
        title: "Average precision of each genre beside its share of the films",
        description: format!(
            "{told} of {} genres have an average precision above their share of the films.",
            order.len()
        ),
        rows: rows.collect(),
    };
    let chart = html! {
        (rows.marks())
        (legend(&["average precision".to_owned(), "share of the films that have it".to_owned()], Key::Shape))
    };
    let caption = html! {
        "A score that knows nothing of a genre has an average precision near the genre's share of the films; what lies to
         the right of it is learned. The number at the end is the average precision."
        @match without {
            0 => {}
            1 => " One genre has no test films, and no figures.",
            _ => { " " (without) " genres have no test films, and no figures." }
        }
        (folder.note_on_genres())
    };
    let title = "Average precision of each genre";
    let table = table(folder, metrics, &order);
    Figure { title, caption, chart, table }.markup()
}

fn table<'a>(folder: &Folder, metrics: &Metrics, order: &[usize]) -> Table<'a> {
    let thresholds = folder.thresholds();
    let row = |&genre: &usize| {
        let of = &metrics.per_genre[genre];
        let share = of.support as f64 / metrics.films.max(1) as f64;
        let lift = of.ap.filter(|_| of.support > 0).map_or("n/a".to_owned(), |ap| format!("{:.1}", ap / share));
        vec![
            folder.genres[genre].clone(),
            thousands(of.support),
            percent(share),
            score(of.ap),
            lift,
            score(of.auc),
            score(of.precision),
            score(of.recall),
            score(of.f1),
            thresholds.map_or("0.500".to_owned(), |all| score(Some(f64::from(all[genre])))),
        ]
    };
    let names = ["Films", "Share", "AP", "AP / share", "AUC", "Precision", "Recall", "F1", "Threshold"];
    Table {
        caption: "Each genre against the rest on the test films",
        head: [Head::Text("Genre")].into_iter().chain(names.map(Head::Number)).collect(),
        rows: order.iter().map(row).collect(),
    }
}
