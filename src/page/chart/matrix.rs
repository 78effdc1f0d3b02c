//! A square of shares, the darker the larger.

use super::{number, picture};
use crate::report::short;
use maud::{Markup, html};

const LEFT: f64 = 122.0;
const HEAD: f64 = 88.0;
/// The most characters of a name beside a row or above a column.
const NAME: usize = 18;

/// Rows and columns of shares from 0 to 1.
pub(in crate::page) struct Matrix<'a> {
    /// Its own in the document.
    pub id: &'a str,
    pub title: &'a str,
    pub description: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// `[rows, columns]`; `None` where there is nothing to take a share of.
    pub shares: Vec<Option<f64>>,
}

impl Matrix<'_> {
    /// The matrix in a box that it can be moved in where it is wider than the screen.
    pub fn svg(&self) -> Markup {
        let Self { id, title, description, rows, columns, shares } = self;
        let cell = if columns.len() > 9 { 25.0 } else { 36.0 };
        // The last name rises to the right of its column.
        let width = LEFT + cell * columns.len() as f64 + 52.0;
        let height = HEAD + cell * rows.len() as f64;
        let content = html! {
            @for (i, name) in columns.iter().enumerate() {
                @let x = LEFT + cell * (i as f64 + 0.5) + 3.0;
                text.name transform={ "translate(" (number(x)) " " (number(HEAD - 8.0)) ") rotate(-50)" } {
                    (short(name, NAME))
                }
            }
            @for (i, (name, row)) in rows.iter().zip(shares.chunks(columns.len())).enumerate() {
                @let y = HEAD + cell * i as f64;
                text.name x=(number(LEFT - 8.0)) y=(number(y + cell / 2.0 + 4.0)) text-anchor="end" {
                    (short(name, NAME))
                }
                @for (j, share) in row.iter().enumerate() {
                    @let x = LEFT + cell * j as f64;
                    rect.cell.none[share.is_none()] x=(number(x)) y=(number(y))
                        width=(number(cell - 1.0)) height=(number(cell - 1.0))
                        fill-opacity=[share.map(|share| format!("{:.2}", 0.04 + 0.96 * share))] {}
                    @if let Some(text) = share.and_then(percents) {
                        @let share = share.unwrap_or(0.0);
                        text.share.strong[share > 0.6].strongest[share > 0.85]
                            x=(number(x + cell / 2.0 - 0.5)) y=(number(y + cell / 2.0 + 3.5)) text-anchor="middle" {
                            (text)
                        }
                    }
                }
            }
        };
        html! {
            div.scroll.matrix role="region" tabindex="0" aria-label=(title) {
                (picture(id, title, description, [width, height], &content))
            }
        }
    }
}

/// A share in whole per cent without the sign; nothing for less than half of one.
fn percents(share: f64) -> Option<String> {
    let percents = (100.0 * share).round();
    (percents > 0.0).then(|| percents.to_string())
}
