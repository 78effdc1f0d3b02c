//! Lines, steps and bars over two axes.

use super::{DASHES, DOTTED, number, picture, shape};
use maud::{Markup, html};

const WIDTH: f64 = 400.0;
const LEFT: f64 = 54.0;
const RIGHT: f64 = 17.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;
/// Points nearer to the last one than this are not drawn.
const NEAR: f64 = 1.2;

/// An axis of a plot.
#[derive(Clone)]
pub(in crate::page) struct Axis {
    pub label: String,
    range: [f64; 2],
    ticks: Vec<f64>,
}

impl Axis {
    /// The axis of shares, from 0 to 1.
    pub fn of_shares(label: &str) -> Self {
        Self { label: label.to_owned(), range: [0.0, 1.0], ticks: (0..=4).map(|i| f64::from(i) / 4.0).collect() }
    }

    /// An axis from 0 or below to `values`' largest or above, with some five round ticks.
    pub fn from_zero(label: &str, values: impl Iterator<Item = f64>) -> Self {
        Self::around(label, values.chain([0.0]))
    }

    /// An axis that `values` fit into, with some five round ticks, the outer ones at its ends.
    pub fn around(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let [low, high] = finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
        let [low, high] = if low <= high { [low, high] } else { [0.0, 1.0] };
        let span = if high > low { high - low } else { low.abs().max(1.0) * 0.1 };
        let magnitude = 10f64.powf((span / 5.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|of| of * magnitude).into_iter().find(|step| span / step <= 5.5);
        let step = step.unwrap_or(span);
        let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
        let last = last.max(first + 1);
        let ticks: Vec<f64> = (first..=last).map(|i| i as f64 * step).collect();
        Self { label: label.to_owned(), range: [ticks[0], ticks[ticks.len() - 1]], ticks }
    }

    /// An axis of whole numbers from 1 to `last`, with some eight ticks.
    pub fn of_numbers(label: &str, last: usize) -> Self {
        let step = [1, 2, 5, 10, 20, 50, 100, 200, 500].into_iter().find(|step| last / step <= 8).unwrap_or(last / 8);
        let ticks = (1..=last).filter(|i| i.is_multiple_of(step) || *i == 1).map(|i| i as f64);
        // A single number stands in the middle.
        let around = if last == 1 { 1.0 } else { 0.0 };
        Self { label: label.to_owned(), range: [1.0 - around, last as f64 + around], ticks: ticks.collect() }
    }

    /// The place of a value between the ends of the axis, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let [from, to] = self.range;
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }
}

/// What a plot shows, in the units of its axes.
pub(in crate::page) enum Mark {
    /// A line through points.
    Line { points: Vec<[f64; 2]>, colour: usize },
    /// A flight of steps: each point's height holds from the point before it.
    Steps { points: Vec<[f64; 2]>, colour: usize },
    /// A bar from the horizontal axis up to a height, over a range.
    Bar { range: [f64; 2], height: f64, colour: usize },
    /// A thin straight line to compare with.
    Reference([[f64; 2]; 2]),
}

impl Mark {
    /// A reference line over the whole height at `x`.
    pub fn upright(x: f64) -> Self {
        Self::Reference([[x, f64::NEG_INFINITY], [x, f64::INFINITY]])
    }
}

/// A plot over two axes.
pub(in crate::page) struct Plot<'a> {
    /// Its own in the document.
    pub id: &'a str,
    pub title: &'a str,
    pub description: String,
    pub x: Axis,
    pub y: Axis,
    pub marks: Vec<Mark>,
    /// Height in units of which the width has 400.
    pub height: f64,
}

impl Plot<'_> {
    pub fn svg(&self) -> Markup {
        let Self { id, title, description, x, y, marks, height } = self;
        let (bottom, middle) = (height - BOTTOM, (TOP + height - BOTTOM) / 2.0);
        let at = |[px, py]: [f64; 2]| self.at([px, py]);
        let content = html! {
            g.axis {
                @for &tick in &y.ticks {
                    @let [_, ty] = at([x.range[0], tick]);
                    line.grid x1=(number(LEFT)) x2=(number(WIDTH - RIGHT)) y1=(number(ty)) y2=(number(ty)) {}
                    text x=(number(LEFT - 6.0)) y=(number(ty + 4.0)) text-anchor="end" { (tick_text(tick, &y.ticks)) }
                }
                @for &tick in &x.ticks {
                    @let [tx, _] = at([tick, y.range[0]]);
                    text x=(number(tx)) y=(number(bottom + 16.0)) text-anchor="middle" { (tick_text(tick, &x.ticks)) }
                }
                line.base x1=(number(LEFT)) x2=(number(WIDTH - RIGHT)) y1=(number(bottom)) y2=(number(bottom)) {}
                text.label x=(number((LEFT + WIDTH - RIGHT) / 2.0)) y=(number(height - 6.0)) text-anchor="middle" {
                    (x.label)
                }
                text.label transform={ "translate(11 " (number(middle)) ") rotate(-90)" } text-anchor="middle" {
                    (y.label)
                }
            }
            @for mark in marks { (self.mark(mark)) }
        };
        picture(id, title, description, [WIDTH, *height], &content)
    }

    fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let bottom = self.height - BOTTOM;
        [LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT), bottom - self.y.place(y) * (bottom - TOP)]
    }

    fn mark(&self, mark: &Mark) -> Markup {
        match mark {
            Mark::Line { points, colour } => {
                let points = || points.iter().map(|&point| self.at(point));
                html! {
                    (line(&path(points(), false), *colour))
                    @if points().len() <= DOTTED { @for [x, y] in points() { (shape(*colour, x, y)) } }
                }
            }
            Mark::Steps { points, colour } => line(&path(points.iter().map(|&point| self.at(point)), true), *colour),
            Mark::Bar { range, height, colour } => {
                let ([left, top], [right, bottom]) = (self.at([range[0], *height]), self.at([range[1], 0.0]));
                html! {
                    rect class={ "fill s" (colour) } x=(number(left + 1.0)) y=(number(top))
                        width=(number(right - left - 2.0)) height=(number(bottom - top)) {}
                }
            }
            Mark::Reference([from, to]) => {
                let ([x1, y1], [x2, y2]) = (self.at(*from), self.at(*to));
                html! {
                    line.reference x1=(number(x1)) y1=(number(y1)) x2=(number(x2)) y2=(number(y2)) {}
                }
            }
        }
    }
}

fn line(path: &str, colour: usize) -> Markup {
    html! { path class={ "line s" (colour) } d=(path) stroke-dasharray=(DASHES[colour]) {} }
}

/// The points without those that lie on the one before for the eye; the last one stays.
fn apart(points: impl Iterator<Item = [f64; 2]>) -> Vec<[f64; 2]> {
    let mut kept: Vec<[f64; 2]> = Vec::new();
    let mut points = points.peekable();
    while let Some(point) = points.next() {
        let near = kept.last().is_some_and(|&[x, y]| (point[0] - x).hypot(point[1] - y) < NEAR);
        if !near || points.peek().is_none() {
            kept.push(point);
        }
    }
    kept
}

/// The path of a line through points of the picture, or of a flight of steps, each of which has the
/// height of the point at its end; without the points that the eye cannot tell apart.
pub(in crate::page) fn path(points: impl Iterator<Item = [f64; 2]>, steps: bool) -> String {
    let mut path = String::new();
    for (i, [x, y]) in apart(points).into_iter().map(|point| point.map(number)).enumerate() {
        path += &match (i, steps) {
            (0, _) => format!("M{x} {y}"),
            (_, true) => format!("V{y}H{x}"),
            (_, false) => format!("L{x} {y}"),
        };
    }
    path
}

/// A tick in as many decimals as the closest ticks need.
fn tick_text(tick: f64, ticks: &[f64]) -> String {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let is_whole = |places: usize| {
        let scaled = step * 10f64.powi(places as i32);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
    };
    let places = (0..6).find(|&places| is_whole(places)).unwrap_or(6);
    if step.is_finite() { format!("{tick:.places$}") } else { format!("{tick}") }
}
