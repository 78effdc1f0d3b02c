//! The report of a run: its experiments side by side, and the way to the report of each.

use crate::classifier::experiment::Experiment;
use crate::error::{Error, Result};
use crate::page::FILE;
use crate::page::document::{Document, Head, Section, Table, absent};
use crate::page::experiment::question;
use crate::page::folder::Folder;
use crate::page::measures::Measure;
use crate::page::sections::left_out;
use crate::progress::duration;
use crate::text::{printable, thousands};
use maud::{Markup, html};
use std::path::Path;
use std::time::Duration;

/// The report of the run in a folder.
///
/// # Errors
/// [`Error::Data`] if the folder has no experiment; else those of [`Folder::read_small`].
pub(super) fn report(run: &Path) -> Result<Document> {
    let folders =
        experiments(run).iter().map(|name| Folder::read_small(&run.join(name))).collect::<Result<Vec<_>>>()?;
    if folders.is_empty() {
        let remedy = "name the folder of a run or of an experiment, such as runs/1 or runs/1/multi-label";
        return Err(Error::data(run, "it holds no experiment", remedy));
    }
    let name = run.file_name().map_or("run".to_owned(), |name| printable(&name.to_string_lossy()).into_owned());
    let cleaning = folders.iter().find_map(|folder| folder.ledger.as_ref()).map(|[cleaning, _]| cleaning);
    Ok(Document {
        title: format!("Run {name}"),
        above: html! { "Run" },
        lead: html! {
            p.facts { @for folder in &folders { span { (folder.name) } " " } }
        },
        sections: vec![
            Section { id: "results", title: "Results", body: results(&folders) },
            Section { id: "experiments", title: "Experiments", body: links(&folders) },
            Section {
                id: "left-out",
                title: "What was left out",
                body: match cleaning {
                    Some(entries) => left_out::table("Before all experiments", entries),
                    None => absent("There is no ledger.json in the folder."),
                },
            },
        ],
    })
}

/// The names of the experiments that a run's folder holds, in the order in which they ran.
pub(super) fn experiments(run: &Path) -> Vec<&'static str> {
    let names = Experiment::ALL.iter().map(|experiment| experiment.name);
    names.filter(|name| Folder::is_at(&run.join(name))).collect()
}

fn results(folders: &[Folder]) -> Markup {
    let measured: Vec<(&Folder, Vec<Measure>)> =
        folders.iter().filter_map(|folder| Some((folder, Measure::all(folder.metrics.as_ref()?)))).collect();
    if measured.is_empty() {
        return absent("No experiment was measured on test films.");
    }
    let mut names: Vec<&str> = Vec::new();
    for measure in measured.iter().flat_map(|(_, measures)| measures) {
        if !names.contains(&measure.name) {
            names.push(measure.name);
        }
    }
    let films = measured.iter().map(|(folder, _)| folder.metrics.as_ref().map_or(0, |metrics| metrics.films));
    let mut rows = vec![std::iter::once("Test films".to_owned()).chain(films.map(thousands)).collect::<Vec<_>>()];
    for name in names {
        let of = |measures: &[Measure], show: &dyn Fn(&Measure) -> Option<String>| {
            measures.iter().find(|measure| measure.name == name).and_then(show).unwrap_or_else(|| "–".to_owned())
        };
        let mut add = |head: &str, show: &dyn Fn(&Measure) -> Option<String>| {
            let cells = measured.iter().map(|(_, measures)| of(measures, show));
            rows.push(std::iter::once(head.to_owned()).chain(cells).collect());
        };
        add(name, &|measure| Some(measure.shown(measure.value)));
        add("95 % interval", &|measure| measure.shown_interval());
        add("trivial answer", &|measure| Some(measure.shown(measure.baseline)));
    }
    let head = measured.iter().map(|(folder, _)| Head::Number(&folder.name));
    let caption = "Results on the test films; under each, its 95 % interval and what the trivial answer gets";
    Table { caption, head: [Head::Text("Metric")].into_iter().chain(head).collect(), rows }.markup()
}

fn links(folders: &[Folder]) -> Markup {
    html! {
        div.cards {
            @for folder in folders {
                div.card {
                    h3 { a href={ (folder.experiment) "/" (FILE) } { (folder.name) } }
                    @if let Some(question) = question(&folder.experiment) { p.meaning { (question) } }
                    @if let Some(epochs) = &folder.history {
                        @let seconds: f64 = epochs.iter().map(|of| of.seconds.max(0.0)).sum();
                        p { (epochs.len()) " epochs in " (duration(Duration::from_secs_f64(seconds))) }
                    }
                    @if let Some(record) = &folder.record {
                        dl { dt { "SHA-256 of the model" } dd.hash { (printable(&record.model_sha256)) } }
                    }
                }
            }
        }
    }
}
