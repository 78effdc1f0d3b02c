//! Runs side by side: what differs in their options, and what came of it.

use crate::classifier::experiment::Experiment;
use crate::error::{Error, Result};
use crate::nn::Head as Activation;
use crate::page::chart::{Axis, COLOURS, Key, Mark, Plot, Row, Rows, legend};
use crate::page::document::{Document, Figure, Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::page::measures::Measure;
use crate::page::overview;
use crate::progress;
use crate::report::{Epoch, percent, score};
use crate::text::printable;
use maud::{Markup, html};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Options that say where a run was and not what it was.
const PLACES: [&str; 3] = ["out", "cache", "threads"];
/// What stands before the best of a column.
const BEST: &str = "★ ";

/// An experiment of a run.
struct Entry {
    /// What the run is called here.
    run: String,
    folder: Folder,
}

impl Entry {
    /// The epoch with the best score on the validation films, and its score.
    fn best(&self) -> Option<(f64, &Epoch)> {
        let (monitor, head) = (self.folder.monitor(), self.folder.head());
        let epochs = self.folder.history.as_ref()?.iter().map(|of| (of.score(monitor, head), of));
        epochs.max_by(|(a, _), (b, _)| a.total_cmp(b))
    }
}

/// The report on some runs, each the folder of a run or of an experiment.
///
/// # Errors
/// [`Error::Data`] if a folder holds no experiment; else those of [`Folder::read_small`].
pub(super) fn report(runs: &[PathBuf]) -> Result<Document> {
    let mut folders = Vec::new();
    for run in runs {
        if Folder::is_at(run) {
            folders.push(run.clone());
            continue;
        }
        let names = overview::experiments(run);
        if names.is_empty() {
            let remedy = "name folders of runs or of experiments, such as runs/1 or runs/1/multi-label";
            return Err(Error::data(run, "it holds no experiment", remedy));
        }
        folders.extend(names.into_iter().map(|name| run.join(name)));
    }
    let names = names(&folders);
    let entries =
        names.into_iter().zip(&folders).map(|(run, path)| Ok(Entry { run, folder: Folder::read_small(path)? }));
    let mut entries = entries.collect::<Result<Vec<_>>>()?;
    let place = |entry: &Entry| Experiment::ALL.iter().position(|of| of.name == entry.folder.experiment);
    entries.sort_by_key(|entry| (place(entry).unwrap_or(usize::MAX), entry.folder.experiment.clone()));
    let groups: Vec<&[Entry]> = entries.chunk_by(|a, b| a.folder.experiment == b.folder.experiment).collect();
    let runs: BTreeSet<&str> = entries.iter().map(|entry| &*entry.run).collect();
    Ok(Document {
        title: format!("{} runs compared", runs.len()),
        above: html! { "Comparison" },
        lead: html! {
            @if runs.len() <= COLOURS { p.facts { @for run in runs { span { (run) } " " } } }
        },
        sections: groups.iter().enumerate().map(|(i, group)| section(i, group)).collect(),
    })
}

/// What the runs of experiments' folders are called: their paths, without what all have in common.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let parts = |folder: &PathBuf| -> Vec<String> {
        let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        let run = whole.parent().unwrap_or(Path::new(""));
        run.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let all: Vec<Vec<String>> = folders.iter().map(parts).collect();
    let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
    let common = (0..shortest).take_while(|&i| all.iter().all(|parts| parts[i] == all[0][i])).count();
    let common = common.min(shortest.saturating_sub(1));
    all.iter().map(|parts| printable(&parts[common..].join("/")).into_owned()).collect()
}

fn section(i: usize, entries: &[Entry]) -> Section {
    // Addresses within the page, of which there are as many as there are experiments.
    const IDS: [&str; 4] = ["first", "second", "third", "others"];
    const TITLES: [&str; 3] = ["multi-label", "single-genre", "top-6"];
    let id = IDS[i.min(IDS.len() - 1)];
    let title = TITLES.into_iter().find(|name| *name == entries[0].folder.experiment).unwrap_or("Another experiment");
    let body = html! {
        (results(entries))
        (options(entries))
        (curves(id, entries))
        (genres(id, entries))
    };
    Section { id, title, body }
}

/// A column of the table of results: its head, its cells, and which of two values is the better.
struct Column<'a> {
    head: &'a str,
    cells: Vec<Option<(f64, String)>>,
    larger_is_better: Option<bool>,
}

fn results(entries: &[Entry]) -> Markup {
    let mut columns = Vec::new();
    let measures: Vec<Vec<Measure>> =
        entries.iter().map(|of| of.folder.metrics.as_ref().map(Measure::all).unwrap_or_default()).collect();
    let first = measures.iter().find(|all| !all.is_empty());
    for name in first.into_iter().flatten().map(|measure| measure.name) {
        let cell = |all: &Vec<Measure>| {
            let measure = all.iter().find(|measure| measure.name == name)?;
            let interval = measure.shown_interval().map_or(String::new(), |text| format!(" ({text})"));
            Some((measure.value, format!("{}{interval}", measure.shown(measure.value))))
        };
        columns.push(Column { head: name, cells: measures.iter().map(cell).collect(), larger_is_better: Some(true) });
    }
    let of_best = |head, larger_is_better, show: &dyn Fn(&Epoch) -> Option<(f64, String)>| Column {
        head,
        cells: entries.iter().map(|entry| entry.best().and_then(|(_, epoch)| show(epoch))).collect(),
        larger_is_better,
    };
    columns.push(of_best("Best epoch", None, &|of| Some((0.0, of.epoch.to_string()))));
    columns.push(of_best("Loss, val", Some(false), &|of| Some((of.val_loss, format!("{:.4}", of.val_loss)))));
    columns.push(of_best("Macro AP, val", Some(true), &|of| of.val_macro_ap.map(|ap| (ap, score(Some(ap))))));
    columns.push(of_best("Top-1 hit, val", Some(true), &|of| Some((of.val_top1_hit, percent(of.val_top1_hit)))));
    let time = |entry: &Entry| {
        let seconds = entry.folder.trained()?;
        Some((seconds, progress::seconds(seconds)))
    };
    let cells = entries.iter().map(time).collect();
    columns.push(Column { head: "Training time", cells, larger_is_better: None });

    let rows = entries.iter().enumerate().map(|(row, entry)| {
        let cells = columns.iter().map(|column| cell(column, row, entries.len()));
        std::iter::once(entry.run.clone()).chain(cells).collect()
    });
    let head = [Head::Text("Run")].into_iter().chain(columns.iter().map(|column| Head::Number(column.head)));
    let table = Table { caption: "Results of each run", head: head.collect(), rows: rows.collect() };
    let trivial: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| entry.folder.metrics.as_ref())
        .map(|metrics| format!("{} {:?}", metrics.films, metrics.baselines))
        .collect();
    html! {
        p {
            @if first.is_some() {
                "The first columns are on the test films, with their 95\u{a0}% intervals; those of val are of the best epoch on
                 the validation films. A star marks the best of a column; where intervals overlap, the difference may be luck."
            } @else {
                "All figures are of the best epoch on the validation films: the runs were not measured on test films, which
                 have no part in the choice. A star marks the best of a column."
            }
        }
        @if trivial.len() > 1 {
            (absent("The runs were measured on different test films: their results are no fair comparison."))
        }
        (table.markup())
    }
}

fn cell(column: &Column, row: usize, rows: usize) -> String {
    let Some((value, text)) = &column.cells[row] else { return "–".to_owned() };
    let beats = |other: f64, larger: bool| if larger { other > *value } else { other < *value };
    let is_best = column
        .larger_is_better
        .is_some_and(|larger| rows > 1 && !column.cells.iter().flatten().any(|(other, _)| beats(*other, larger)));
    if is_best { format!("{BEST}{text}") } else { text.clone() }
}

/// The options in which the runs differ.
fn options(entries: &[Entry]) -> Markup {
    let all: Vec<Vec<(String, String)>> = entries.iter().map(|entry| entry.folder.options()).collect();
    let names: BTreeSet<&String> = all.iter().flatten().map(|(name, _)| name).collect();
    let value = |of: &[(String, String)], name: &String| {
        of.iter().find(|(other, _)| other == name).map_or("–".to_owned(), |(_, value)| value.clone())
    };
    let differs = |name: &&String| {
        !PLACES.contains(&name.as_str()) && all.iter().any(|of| value(of, name) != value(&all[0], name))
    };
    let different: Vec<&String> = names.into_iter().filter(differs).collect();
    if entries.len() < 2 {
        return html! {};
    }
    if different.is_empty() {
        return html! { p { "The runs have the same options." } };
    }
    let rows = entries.iter().zip(&all).map(|(entry, of)| {
        let cells = different.iter().map(|name| value(of, name));
        std::iter::once(entry.run.clone()).chain(cells).collect()
    });
    let head = [Head::Text("Run")].into_iter().chain(different.iter().map(|name| Head::Text(name)));
    Table { caption: "Options in which the runs differ", head: head.collect(), rows: rows.collect() }.markup()
}

/// The runs that charts show: as many as there are colours, the best on the validation films.
fn shown(entries: &[Entry]) -> Vec<&Entry> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    let key = |entry: &Entry| entry.best().map_or(f64::NEG_INFINITY, |(score, _)| score);
    if order.len() > COLOURS {
        order.sort_by(|a, b| key(b).total_cmp(&key(a)));
        order.truncate(COLOURS);
    }
    order
}

fn note_on_runs(entries: &[Entry]) -> String {
    match entries.len() {
        0..=COLOURS => String::new(),
        all => format!(" Of the {all} runs, the {COLOURS} best on the validation films are shown."),
    }
}

fn curves(id: &str, entries: &[Entry]) -> Markup {
    let with_epochs: Vec<&Entry> = shown(entries).into_iter().filter(|entry| entry.folder.history.is_some()).collect();
    if with_epochs.is_empty() {
        return absent("No run has a history.csv.");
    }
    let figure = |part: &str, title: &str, label: &str, of: fn(&Epoch) -> Option<f64>| {
        let epochs = |entry: &Entry| entry.folder.history.clone().unwrap_or_default();
        let last = with_epochs.iter().flat_map(|entry| epochs(entry)).map(|of| of.epoch).max().unwrap_or(1);
        let points = |entry: &Entry| -> Vec<[f64; 2]> {
            epochs(entry).iter().filter_map(|epoch| Some([epoch.epoch as f64, of(epoch)?])).collect()
        };
        let marks = with_epochs.iter().enumerate().map(|(colour, entry)| Mark::Line { points: points(entry), colour });
        let ends = with_epochs.iter().map(|entry| {
            let last = points(entry).last().map(|point| point[1]);
            format!("{} ends at {}", entry.run, score(last))
        });
        let plot = Plot {
            id: &format!("{id}-{part}"),
            title,
            description: format!("{}.", ends.collect::<Vec<_>>().join("; ")),
            x: Axis::of_numbers("Epoch", last),
            y: Axis::around(label, with_epochs.iter().flat_map(|entry| points(entry)).map(|point| point[1])),
            marks: marks.collect(),
            height: 260.0,
        };
        let names: Vec<String> = with_epochs.iter().map(|entry| entry.run.clone()).collect();
        let rows = (1..=last).map(|number| {
            let value = |entry: &Entry| epochs(entry).iter().find(|epoch| epoch.epoch == number).and_then(of);
            let cells = with_epochs.iter().map(|entry| value(entry).map_or("–".to_owned(), |v| format!("{v:.4}")));
            std::iter::once(number.to_string()).chain(cells).collect()
        });
        let head = [Head::Number("Epoch")].into_iter().chain(names.iter().map(|name| Head::Number(name)));
        let table = Table { caption: title, head: head.collect(), rows: rows.collect() };
        let chart = html! { (plot.svg()) (legend(&names, Key::Line(last))) };
        Figure { title, caption: html! { "After each epoch." (note_on_runs(entries)) }, chart, table }.markup()
    };
    html! {
        div.figures {
            (figure("loss", "Loss on the validation films", "Loss per film", |of| Some(of.val_loss)))
            (match with_epochs[0].folder.head() {
                Activation::Sigmoid => figure("ap", "Macro AP on the validation films", "Macro AP", |of| of.val_macro_ap),
                Activation::Softmax => figure("top1", "Top-1 hit on the validation films", "Share", |of| Some(of.val_top1_hit)),
            })
        }
    }
}

/// The average precision of each genre in each run, where they were measured on the same genres.
fn genres(id: &str, entries: &[Entry]) -> Markup {
    let measured: Vec<&Entry> = shown(entries).into_iter().filter(|entry| entry.folder.metrics.is_some()).collect();
    let Some(first) = measured.first() else { return html! {} };
    if measured.iter().any(|entry| entry.folder.genres != first.folder.genres) {
        return absent("The runs know different genres, so these are not compared.");
    }
    let ap = |entry: &Entry, genre: usize| entry.folder.metrics.as_ref().and_then(|of| of.per_genre[genre].ap);
    let order = first.folder.shown_genres(|genre| ap(first, genre));
    let names: Vec<String> = measured.iter().map(|entry| entry.run.clone()).collect();
    let best = |genre: usize| measured.iter().filter_map(|entry| ap(entry, genre)).max_by(f64::total_cmp);
    let rows = order.iter().map(|&genre| Row {
        name: first.folder.genres[genre].clone(),
        values: measured.iter().map(|entry| ap(entry, genre)).collect(),
        end: score(best(genre)),
    });
    let title = "Average precision of each genre";
    let chart = Rows {
        id: &format!("{id}-genres"),
        title,
        description: format!("{} genres, in {}.", order.len(), names.join(", ")),
        rows: rows.collect(),
    };
    let head = [Head::Text("Genre")].into_iter().chain(names.iter().map(|name| Head::Number(name)));
    let cells = |&genre: &usize| {
        let name = first.folder.genres[genre].clone();
        std::iter::once(name).chain(measured.iter().map(|entry| score(ap(entry, genre)))).collect()
    };
    let table = Table { caption: title, head: head.collect(), rows: order.iter().map(cells).collect() };
    let caption = html! {
        "On the test films. The number at the end is the best one." (first.folder.note_on_genres()) (note_on_runs(entries))
    };
    Figure { title, caption, chart: html! { (chart.marks()) (legend(&names, Key::Shape)) }, table }.markup()
}
