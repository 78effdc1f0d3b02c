//! What the experiment did without, and why.

use crate::data::ledger::Entry;
use crate::page::document::{Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::report::short;
use crate::text::thousands;
use maud::{Markup, html};

/// The names of each reason that are shown.
const NAMES: usize = 3;
/// The most characters of such a name.
const NAME: usize = 40;

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match &folder.ledger {
        Some([cleaning, twins, own]) => html! {
            p { "Nothing is left out silently: every row, film and poster that the run did without, by reason. All names are in ledger.json." }
            (table("Before all experiments", cleaning))
            @if !twins.is_empty() { (table("Kept on one side of the split", twins)) }
            @if !own.is_empty() { (table("For this experiment", own)) }
        },
        None => absent("There is no ledger.json beside the experiment."),
    };
    Section { id: "left-out", title: "What was left out", body }
}

/// The reasons of a ledger, with some names of each.
pub(in crate::page) fn table(caption: &str, entries: &[Entry]) -> Markup {
    let row = |entry: &Entry| {
        let mut names: Vec<String> = entry.names.iter().take(NAMES).map(|name| short(name, NAME)).collect();
        if entry.names.len() > NAMES {
            names.push("...".to_owned());
        }
        vec![short(&entry.reason, 80), thousands(entry.count as usize), names.join(", ")]
    };
    let head = vec![Head::Text("What"), Head::Number("How many"), Head::Text("Such as")];
    Table { caption, head, rows: entries.iter().map(row).collect() }.markup()
}
