//! Where the results come from: time, machine, versions, options, and the hashes of the files.

use crate::page::chart::{Row, Rows};
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::folder::{Folder, shown};
use crate::progress;
use crate::report::{Record, percent};
use crate::text::{excerpt, thousands};
use maud::{Markup, html};

/// The time by stage.
pub(in crate::page) fn time(folder: &Folder) -> Section {
    let body = match &folder.record {
        Some(record) if !record.stages.is_empty() => stages(record),
        _ => absent("There is no run.json that says how long the stages took."),
    };
    Section { id: "time", title: "Time", body }
}

fn stages(record: &Record) -> Markup {
    let all: f64 = record.stages.iter().map(|stage| stage.seconds.max(0.0)).sum();
    let share = |seconds: f64| if all > 0.0 { seconds.max(0.0) / all } else { 0.0 };
    let time = |seconds: f64| match seconds.max(0.0) {
        seconds @ ..10.0 => format!("{seconds:.1} s"),
        seconds => progress::seconds(seconds),
    };
    let rows = record.stages.iter().map(|stage| Row {
        name: excerpt(&stage.name),
        values: vec![Some(share(stage.seconds))],
        end: format!("{}, {:.0}\u{a0}%", time(stage.seconds), 100.0 * share(stage.seconds)),
    });
    let title = "Time by stage";
    let longest = record.stages.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let description = longest.map_or(String::new(), |stage| {
        format!(
            "{} in all; the longest stage is {}, {}.",
            time(all),
            excerpt(&stage.name),
            percent(share(stage.seconds))
        )
    });
    let chart = Rows { id: "stages", title, description, rows: rows.collect() }.bars();
    let rows = record
        .stages
        .iter()
        .map(|stage| vec![excerpt(&stage.name), format!("{:.2}", stage.seconds), percent(share(stage.seconds))]);
    let table = Table {
        caption: "Seconds of each stage",
        head: vec![Head::Text("Stage"), Head::Number("Seconds"), Head::Number("Share")],
        rows: rows.collect(),
    };
    Figure { title, caption: html! { (time(all)) " in all." }, chart, table }.markup()
}

/// The machine, the versions, the options and the files.
pub(in crate::page) fn origin(folder: &Folder) -> Section {
    let options = Table {
        caption: "Options",
        head: vec![Head::Text("Option"), Head::Text("Value")],
        rows: folder.options().into_iter().map(|(name, value)| vec![name, value]).collect(),
    };
    let files = Table {
        caption: "Files of the results and their SHA-256",
        head: vec![Head::Text("File"), Head::Number("Bytes"), Head::Text("SHA-256")],
        rows: folder
            .files
            .iter()
            .map(|file| vec![file.name.to_owned(), thousands(file.bytes as usize), file.sha256.clone()])
            .collect(),
    };
    let body = html! {
        div.tables {
            div { (machine(folder).markup()) (changed(folder)) div.hashes { (files.markup()) } }
            div { (options.markup()) }
        }
    };
    Section { id: "origin", title: "Where it comes from", body }
}

fn machine<'a>(folder: &Folder) -> Table<'a> {
    let of_config = ["onesheet", "isa", "pixels"].map(|name| folder.config.get(name).map(shown).unwrap_or_default());
    let [onesheet, isa, pixels] = of_config;
    let mut rows = vec![vec!["onesheet".to_owned(), onesheet]];
    if let Some(record) = &folder.record {
        let target = Some(record.target.clone());
        let named = [("commit", &record.commit), ("target", &target)];
        let known = named.into_iter().filter_map(|(name, value)| Some((name, excerpt(value.as_ref()?))));
        rows.extend(known.map(|(name, value)| vec![name.to_owned(), value]));
    }
    rows.push(vec!["instruction set".to_owned(), isa]);
    if let Some(record) = &folder.record {
        rows.extend([
            vec!["processor".to_owned(), excerpt(&record.processor)],
            vec!["cores".to_owned(), record.cores.to_string()],
            vec!["threads".to_owned(), record.threads.to_string()],
            vec!["begun".to_owned(), excerpt(&record.started)],
        ]);
    }
    rows.push(vec!["pixels".to_owned(), pixels]);
    Table { caption: "Program and machine", head: vec![Head::Text("What"), Head::Text("Which")], rows }
}

/// A sentence if the model file is not the one that the run wrote.
fn changed(folder: &Folder) -> Markup {
    let written = folder.record.as_ref().map(|record| &record.model_sha256);
    let found = folder.files.iter().find(|file| file.name == crate::classifier::MODEL_FILE).map(|file| &file.sha256);
    match (written, found) {
        (Some(written), Some(found)) if written != found => absent(
            "The model file is not the one that the run wrote, by its SHA-256 in run.json: the results may be another model's.",
        ),
        _ => html! {},
    }
}
