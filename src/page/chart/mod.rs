//! Charts as inline SVG, drawn without scripts: the colours are those of the style sheet, light or
//! dark, and every chart has a title and a description for those who cannot see it.
//!
//! Crates that draw charts write colours into the picture, or need scripts; these follow the
//! reader's scheme and width.

mod matrix;
mod plot;
mod rows;

pub(super) use matrix::Matrix;
pub(super) use plot::{Axis, Mark, Plot, path};
pub(super) use rows::{Row, Rows};

use maud::{Markup, html};

/// The number of colours that series are told apart by; each has a dash and a shape of its own, too.
pub(super) const COLOURS: usize = 6;
/// Lines of at most this many points show each of them.
const DOTTED: usize = 30;
/// How the line of a colour is broken.
const DASHES: [&str; COLOURS] = ["none", "6 3", "2 3", "8 3 2 3", "12 3", "4 2"];

/// A picture with its title and description for screen readers; `id` is its own in the document.
pub(super) fn picture(id: &str, title: &str, description: &str, size: [f64; 2], content: &Markup) -> Markup {
    let [width, height] = size;
    html! {
        svg.chart viewBox={ "0 0 " (number(width)) " " (number(height)) } role="img"
            aria-labelledby={ (id) "-title " (id) "-desc" } style={ "--width:" (number(width)) } {
            title id={ (id) "-title" } { (title) }
            desc id={ (id) "-desc" } { (description) }
            (content)
        }
    }
}

/// What a series is told by.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Key {
    /// A line over that many points, which are shown where they are few.
    Line(usize),
    /// A shape.
    Shape,
}

/// Which line or shape is which: the names of the series in the order of their colours.
pub(super) fn legend(names: &[String], key: Key) -> Markup {
    let shapes = !matches!(key, Key::Line(points) if points > DOTTED);
    html! {
        ul.legend aria-hidden="true" {
            @for (colour, name) in names.iter().enumerate() {
                li {
                    svg viewBox="0 0 26 12" width="26" height="12" {
                        @if key != Key::Shape {
                            line x1="1" y1="6" x2="25" y2="6" class={ "line s" (colour) }
                                stroke-dasharray=(DASHES[colour]) {}
                        }
                        @if shapes { (shape(colour, 13.0, 6.0)) }
                    }
                    (name)
                }
            }
        }
    }
}

/// The mark of a series: a dot, a bar, a diamond, a square, a triangle, a ring.
fn shape(colour: usize, x: f64, y: f64) -> Markup {
    let at = |dx: f64, dy: f64| format!("{},{}", number(x + dx), number(y + dy));
    let polygon = |points: &[[f64; 2]]| points.iter().map(|&[dx, dy]| at(dx, dy)).collect::<Vec<_>>().join(" ");
    let class = format!("fill s{colour}");
    match colour {
        0 => html! { circle class=(class) cx=(number(x)) cy=(number(y)) r="4.5" {} },
        1 => html! { rect class=(class) x=(number(x - 1.5)) y=(number(y - 6.0)) width="3" height="12" {} },
        2 => html! { polygon class=(class) points=(polygon(&[[0.0, -5.5], [5.5, 0.0], [0.0, 5.5], [-5.5, 0.0]])) {} },
        3 => html! { rect class=(class) x=(number(x - 4.0)) y=(number(y - 4.0)) width="8" height="8" {} },
        4 => html! { polygon class=(class) points=(polygon(&[[0.0, -5.0], [5.0, 4.0], [-5.0, 4.0]])) {} },
        _ => html! { circle class={ "line s" (colour) } cx=(number(x)) cy=(number(y)) r="4" {} },
    }
}

/// A coordinate in as few digits as the eye can tell apart.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
