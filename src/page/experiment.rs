//! The report of one experiment.

use crate::error::Result;
use crate::nn::Isa;
use crate::page::document::Document;
use crate::page::folder::Folder;
use crate::page::sections::{
    calibration, confusion, curves, filters, genres, headline, learning, left_out, looked_at, origin, posters,
};
use crate::text::{excerpt, thousands};
use maud::{Markup, html};
use std::path::Path;

/// The report of the experiment in a folder.
///
/// # Errors
/// Those of [`Folder::read`].
pub(super) fn report(path: &Path, isa: Isa) -> Result<Document> {
    let mut folder = Folder::read(path, isa)?;
    let looked_at = looked_at::section(&mut folder)?;
    Ok(Document {
        title: folder.name.clone(),
        above: html! { "Experiment" },
        lead: lead(&folder),
        sections: vec![
            headline::section(&folder),
            learning::section(&folder),
            genres::section(&folder),
            curves::section(&folder),
            confusion::section(&folder),
            calibration::section(&folder),
            posters::section(&folder),
            looked_at,
            filters::section(&folder),
            left_out::section(&folder),
            origin::time(&folder),
            origin::origin(&folder),
        ],
    })
}

/// What was asked, of how many films, and when.
fn lead(folder: &Folder) -> Markup {
    let question = question(&folder.experiment);
    let films = folder.metrics.as_ref().map(|metrics| format!("{} test films", thousands(metrics.films)));
    let genres = match folder.genres.len() {
        0 => None,
        1 => Some("1 genre".to_owned()),
        count => Some(format!("{} genres", thousands(count))),
    };
    let weights = folder.classifier.as_ref().map(|of| {
        let each = format!("{} parameters", thousands(of.network.parameter_counts().0));
        if of.members() == 1 { each } else { format!("{} networks of {each}", of.members()) }
    });
    let begun = folder.record.as_ref().map(|record| format!("begun {}", excerpt(&record.started)));
    let facts: Vec<String> = [films, genres, weights, begun].into_iter().flatten().collect();
    html! {
        @if let Some(question) = question { p.question { (question) } }
        p.facts { @for fact in &facts { span { (fact) } " " } }
    }
}

/// What the model of an experiment is asked.
pub(super) fn question(experiment: &str) -> Option<&'static str> {
    match experiment {
        "multi-label" => Some("Which genres does a film have, by its poster alone?"),
        "single-genre" => Some("Which genre does a film have that has only one, by its poster alone?"),
        "top-6" => Some("Which of the six commonest genres does a film have, by its poster alone?"),
        _ => None,
    }
}
