//! Named rows, each with marks on one scale.

use super::{number, picture, shape};
use crate::report::short;
use maud::{Markup, html};

const WIDTH: f64 = 400.0;
const LEFT: f64 = 132.0;
const ROW: f64 = 21.0;
const HEAD: f64 = 20.0;
/// The most characters of a name beside a row.
const NAME: usize = 18;

/// A row of a chart.
pub(in crate::page) struct Row {
    pub name: String,
    /// A value of each series, where the row has one.
    pub values: Vec<Option<f64>>,
    /// What stands at the end of the row.
    pub end: String,
}

/// How the values of a row are drawn.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// A shape for each, and a line that joins them.
    Marks,
    /// A bar for the only one.
    Bars,
}

/// A chart of named rows.
pub(in crate::page) struct Rows<'a> {
    /// Its own in the document.
    pub id: &'a str,
    pub title: &'a str,
    pub description: String,
    pub rows: Vec<Row>,
}

impl Look {
    /// The room for what stands at the end of a row, behind the longest mark or at the edge.
    fn room(self) -> f64 {
        match self {
            Self::Marks => 48.0,
            Self::Bars => 96.0,
        }
    }
}

impl Rows<'_> {
    /// The rows with a mark for each value, the first in front.
    pub fn marks(&self) -> Markup {
        self.svg(Look::Marks)
    }

    /// The rows as bars of their first values.
    pub fn bars(&self) -> Markup {
        self.svg(Look::Bars)
    }

    fn svg(&self, look: Look) -> Markup {
        let Self { id, title, description, rows } = self;
        let values = rows.iter().flat_map(|row| row.values.iter().flatten());
        let largest = values.fold(0.0f64, |most, &value| most.max(value));
        let (most, ticks) = scale(largest);
        let top = if look == Look::Marks { HEAD } else { 0.0 };
        let height = top + ROW * rows.len() as f64 + 4.0;
        let at = |value: f64| LEFT + value / most * (WIDTH - LEFT - look.room());
        let content = html! {
            @if look == Look::Marks {
                g.axis {
                    @for tick in &ticks {
                        line.grid x1=(number(at(*tick))) x2=(number(at(*tick))) y1=(number(top - 4.0)) y2=(number(height)) {}
                        text x=(number(at(*tick))) y="11" text-anchor="middle" { (tick) }
                    }
                }
            }
            @for (i, row) in rows.iter().enumerate() {
                @let y = top + ROW * (i as f64 + 0.5);
                text.name x=(number(LEFT - 10.0)) y=(number(y + 4.0)) text-anchor="end" { (short(&row.name, NAME)) }
                @if look == Look::Bars {
                    @if let Some(Some(value)) = row.values.first() {
                        rect class="fill s0" x=(number(LEFT)) y=(number(y - 6.0)) height="12"
                            width=(number((at(*value) - LEFT).max(1.0))) {}
                        text.end x=(number(at(*value) + 6.0)) y=(number(y + 4.0)) { (row.end) }
                    }
                } @else {
                    @let present: Vec<f64> = row.values.iter().flatten().copied().collect();
                    @if present.len() > 1 {
                        @let [low, high] = [f64::min, f64::max].map(|of| present.iter().copied().reduce(of).unwrap_or(0.0));
                        line.join x1=(number(at(low))) x2=(number(at(high))) y1=(number(y)) y2=(number(y)) {}
                    }
                    @for (colour, value) in row.values.iter().enumerate().rev() {
                        @if let Some(value) = value { (shape(colour, at(*value), y)) }
                    }
                    text.end x=(number(WIDTH)) y=(number(y + 4.0)) text-anchor="end" { (row.end) }
                }
            }
        };
        picture(id, title, description, [WIDTH, height], &content)
    }
}

/// The end of a scale from 0 that holds `largest`, and its ticks.
fn scale(largest: f64) -> (f64, Vec<f64>) {
    let ends = [(0.05, 0.01), (0.1, 0.02), (0.2, 0.05), (0.3, 0.1), (0.4, 0.1), (0.6, 0.2), (0.8, 0.2), (1.0, 0.25)];
    let (end, step) = ends.into_iter().find(|(end, _)| largest <= *end).unwrap_or((largest, largest));
    let count = (end / step).round() as usize;
    (end, (0..=count).map(|i| (i as f64 * step * 1e4).round() / 1e4).collect())
}
