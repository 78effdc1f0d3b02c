//! The shell of a report: one HTML file that asks nobody for anything, its sections, tables and
//! figures.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use crate::error::Result;
use crate::files;
use crate::version::VERSION;

/// How every report begins, by which it is known as one that may be replaced.
const MARK: &str = "<!DOCTYPE html>\n<!-- A report of onesheet, which may replace it. -->\n";
/// What a browser may load for the page: nothing but what is in it. Scripts are not among it.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
const STYLE: &str = include_str!("style.css");

/// A report.
pub(super) struct Document {
    /// The heading, which is also the title of the window.
    pub title: String,
    /// What stands above the heading: what kind of report it is, or the way to the one above.
    pub above: Markup,
    /// What stands under the heading, before the first section.
    pub lead: Markup,
    pub sections: Vec<Section>,
}

/// A part of a report that the list of contents leads to.
pub(super) struct Section {
    /// The name of the part in addresses.
    pub id: &'static str,
    pub title: &'static str,
    pub body: Markup,
}

impl Document {
    /// Writes the report, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if there is a file that is no report;
    /// [`Error::Io`](crate::Error::Io) if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::check_own(path, &[MARK.as_bytes()])?;
        let text = self.text();
        files::write_atomically(path, |file| file.write_all(text.as_bytes()))
    }

    fn text(&self) -> String {
        let Self { title, above, lead, sections } = self;
        let body = html! {
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · onesheet" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#main" { "To the content" }
                    nav aria-label="Contents" {
                        p.brand { "onesheet" }
                        ul { @for Section { id, title, .. } in sections { li { a href={ "#" (id) } { (title) } } } }
                    }
                    main #main {
                        header {
                            p.above { (above) }
                            h1 { (title) }
                            (lead)
                        }
                        @for Section { id, title, body } in sections {
                            section #(id) aria-labelledby={ (id) "-heading" } {
                                h2 id={ (id) "-heading" } { (title) }
                                (body)
                            }
                        }
                        footer { p { "Written by onesheet " (VERSION) ". This file holds all that it shows." } }
                    }
                }
            }
        };
        format!("{MARK}{}\n", body.into_string())
    }
}

/// A table: its caption, the heads of its columns, and its rows, whose first cell is their head.
pub(super) struct Table<'a> {
    pub caption: &'a str,
    pub head: Vec<Head<'a>>,
    pub rows: Vec<Vec<String>>,
}

/// The head of a column.
#[derive(Clone, Copy)]
pub(super) enum Head<'a> {
    /// Of words, which begin at the left.
    Text(&'a str),
    /// Of numbers, which end at the right.
    Number(&'a str),
}

impl Head<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    fn class(&self) -> Option<&'static str> {
        matches!(self, Self::Number(_)).then_some("number")
    }
}

impl Table<'_> {
    /// The table in a box that it can be moved in where it is wider than the screen.
    pub fn markup(&self) -> Markup {
        let Self { caption, head, rows } = self;
        html! {
            div.scroll role="region" tabindex="0" aria-label=(caption) {
                table {
                    caption { (caption) }
                    thead { tr { @for column in head { th scope="col" class=[column.class()] { (column.name()) } } } }
                    tbody {
                        @for row in rows {
                            tr {
                                @for (i, (cell, column)) in row.iter().zip(head).enumerate() {
                                    @if i == 0 {
                                        th scope="row" class=[column.class()] { (cell) }
                                    } @else {
                                        td class=[column.class()] { (cell) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A figure: its title, what it shows, and the same as a table for those who cannot see it or want
/// the numbers.
pub(super) struct Figure<'a> {
    pub title: &'a str,
    /// A sentence or two under the title.
    pub caption: Markup,
    pub chart: Markup,
    pub table: Table<'a>,
}

impl Figure<'_> {
    pub fn markup(&self) -> Markup {
        let Self { title, caption, chart, table } = self;
        html! {
            figure {
                figcaption { h3 { (title) } p { (caption) } }
                div.drawing { (chart) }
                details { summary { "The numbers" } (table.markup()) }
            }
        }
    }
}

/// A sentence in the place of what is not there.
pub(super) fn absent(why: &str) -> Markup {
    html! { p.absent { (why) } }
}

/// The names of things as a list in a sentence: `a`, `a and b`, `a, b and c`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
