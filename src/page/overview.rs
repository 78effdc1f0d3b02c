//! The report of a run: its experiments side by side, and the way to the report of each.

use crate::classifier::experiment::Experiment;
use crate::error::{Error, Result};
use crate::page::FILE;
use crate::page::document::{Document, Head, Section, Table, absent};
use crate::page::experiment::question;
use crate::page::folder::Folder;
use crate::page::measures::Measure;
use crate::page::sections::headline::cards;
use crate::page::sections::left_out;
use crate::progress;
use crate::text::{printable, thousands};
use maud::{Markup, html};
use std::path::Path;

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
    let ledger = folders.iter().find_map(|folder| folder.ledger.as_ref());
    Ok(Document {
        title: if name.bytes().all(|byte| byte.is_ascii_digit()) { format!("Run {name}") } else { name },
        above: html! { "Run" },
        lead: html! {
            p.facts { @for folder in &folders { span { (folder.name) } " " } }
        },
        sections: vec![
            Section { id: "results", title: "Results", body: results(&folders) },
            Section {
                id: "left-out",
                title: "What was left out",
                body: match ledger {
                    Some([cleaning, twins, _]) => html! {
                        (left_out::table("Before all experiments", cleaning))
                        @if !twins.is_empty() { (left_out::table("Kept on one side of the split", twins)) }
                    },
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
    html! {
        @for folder in folders { (experiment(folder)) }
        @if folders.iter().any(|folder| folder.metrics.is_some()) {
            p.note {
                "The bar is the 95\u{a0}% interval over other test films; the dot is the result, the upright line the trivial
                 answer."
            }
            details { summary { "The numbers" } (table(folders).markup()) }
        }
    }
}

/// An experiment's headline metrics, and the way to its own report.
fn experiment(folder: &Folder) -> Markup {
    let trained = folder.history.as_ref().map(|epochs| {
        let seconds: f64 = epochs.iter().map(|of| of.seconds.max(0.0)).sum();
        let time = progress::seconds(seconds);
        format!("{} {} in {time}", epochs.len(), if epochs.len() == 1 { "epoch" } else { "epochs" })
    });
    let films = folder.metrics.as_ref().map(|metrics| format!("{} test films", thousands(metrics.films)));
    let hash = folder.record.as_ref().map(|record| format!("model {}", printable(&record.model_sha256)));
    html! {
        div.experiment {
            h3 { a href={ (folder.own_name()) "/" (FILE) } { (folder.name) } }
            @if let Some(question) = question(&folder.experiment) { p { (question) } }
            @match &folder.metrics {
                Some(metrics) => (cards(&folder.experiment, &Measure::all(metrics))),
                None => (absent("It was not measured on test films.")),
            }
            p.facts { @for fact in films.iter().chain(&trained).chain(&hash) { span { (fact) } " " } }
        }
    }
}

/// The headline metrics of all experiments, with their intervals and trivial answers.
fn table(folders: &[Folder]) -> Table<'_> {
    let measured: Vec<(&Folder, Vec<Measure>)> =
        folders.iter().filter_map(|folder| Some((folder, Measure::all(folder.metrics.as_ref()?)))).collect();
    let rows = measured.iter().flat_map(|(folder, measures)| {
        measures.iter().map(|measure| {
            vec![
                folder.name.clone(),
                measure.name.to_owned(),
                measure.shown(measure.value),
                measure.shown_interval().unwrap_or_default(),
                measure.shown(measure.baseline),
            ]
        })
    });
    let names = ["Result", "95\u{a0}% interval", "Trivial answer"].map(Head::Number);
    Table {
        caption: "Headline metrics on the test films",
        head: [Head::Text("Experiment"), Head::Text("Metric")].into_iter().chain(names).collect(),
        rows: rows.collect(),
    }
}
