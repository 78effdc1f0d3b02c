//! What an ONNX model does before its network: from posters to all that is looked at of them.

use super::graph::{Graph, int, ints};
use super::proto::data_type;
use super::resample::Axis;
use crate::data::decode::ImageSpec;
use crate::data::transform::{View, Views};
use crate::nn::BYTE_SCALE;

/// What an ONNX model is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Input {
    /// Posters: u8 `[n, 256, 256, 3]`; all that follows is in the model.
    Poster,
    /// Posters in the size of the network: u8 `[n, height, width, 3]`
    Pixels,
    /// The same as floats from 0 to 1, channels first: f32 `[n, 3, height, width]`
    Scaled,
}

impl Input {
    /// The name of the model's input.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poster => "poster",
            Self::Pixels => "pixels",
            Self::Scaled => "scaled",
        }
    }
}

/// Adds the way from the model's input to the network's, `[views * n, 3, height, width]` from 0 to
/// 1.
pub fn front(graph: &mut Graph, size: ImageSpec, input: Input, views: Views) -> String {
    let ImageSpec { height, width } = size;
    let name = input.name();
    let x = match input {
        Input::Scaled => {
            graph.input(name, data_type::FLOAT, &[3, height, width], "Posters in RGB, from 0 to 1");
            name.to_owned()
        }
        Input::Poster | Input::Pixels => {
            let ImageSpec { height, width } = if input == Input::Poster { ImageSpec::POSTER } else { size };
            graph.input(name, data_type::UINT8, &[height, width, 3], "Posters in RGB");
            let floats = graph.node("floats", "Cast", &[name], vec![int("to", i64::from(data_type::FLOAT))]);
            graph.node("channels_first", "Transpose", &[&floats], vec![ints("perm", &[0, 3, 1, 2])])
        }
    };
    let mut seen: Vec<String> = Vec::new();
    for (i, view) in views.all().into_iter().enumerate() {
        // A mirror image is that of the view before it.
        let shown = match (view.mirrored, seen.last()) {
            (true, Some(before)) => {
                let reversed: Vec<i64> = (0..width as i64).rev().collect();
                let reversed = graph.whole_numbers(&format!("view_{i}/columns"), &reversed);
                graph.node(&format!("view_{i}/mirrored"), "Gather", &[before, &reversed], vec![int("axis", 3)])
            }
            _ if input == Input::Poster => resized(graph, &format!("view_{i}"), &x, view, size),
            _ => x.clone(),
        };
        seen.push(shown);
    }
    let mut x = seen[0].clone();
    if seen.len() > 1 {
        let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
        x = graph.node("views", "Concat", &seen, vec![int("axis", 0)]);
    }
    if input == Input::Scaled {
        return x;
    }
    let scale = graph.floats("scale", &[], [BYTE_SCALE]);
    graph.node("unit", "Mul", &[&x, &scale], Vec::new())
}

/// Adds the resizing of posters, `[n, 3, 256, 256]`, to the size of the network: first the height,
/// then the width.
fn resized(graph: &mut Graph, name: &str, x: &str, view: View, size: ImageSpec) -> String {
    let ImageSpec { height, width } = ImageSpec::POSTER;
    let rows = Axis::of(view, |[_, bottom]| bottom, height, size.height);
    let columns = Axis::of(view, |[right, _]| right, width, size.width);
    let mut x = x.to_owned();
    if let Some(axis) = rows {
        x = along(graph, &format!("{name}/rows"), &x, &axis, [size.height, height], false);
    }
    if let Some(axis) = columns {
        x = along(graph, &format!("{name}/columns"), &x, &axis, [size.width, width], true);
    }
    x
}

/// Adds the resizing of an axis, that of the columns or that of the rows.
///
/// The sums of products are whole numbers, and those below 2^24 are exact as floats, whatever their
/// order. Weights with more than 16 bits behind the point are split, so that they stay below.
fn along(graph: &mut Graph, name: &str, x: &str, axis: &Axis, shape: [usize; 2], of_columns: bool) -> String {
    const LOW: u32 = 8;
    let Axis { weights, precision } = axis;
    let [outputs, inputs] = shape;
    let mut product = |part: &str, weight: &dyn Fn(i16) -> i16| {
        let name = format!("{name}/{part}");
        if of_columns {
            // x is multiplied from the right: `[inputs, outputs]`.
            let turned = (0..inputs * outputs).map(|at| weights[at % outputs * inputs + at / outputs]);
            let matrix =
                graph.floats(&format!("{name}/weights"), &[inputs, outputs], turned.map(|of| f32::from(weight(of))));
            graph.node(&name, "MatMul", &[x, &matrix], Vec::new())
        } else {
            let values = weights.iter().map(|&of| f32::from(weight(of)));
            let matrix = graph.floats(&format!("{name}/weights"), &[outputs, inputs], values);
            graph.node(&name, "MatMul", &[&matrix, x], Vec::new())
        }
    };
    let (sum, precision) = match *precision {
        0 => return product("chosen", &|weight| weight),
        1..=16 => (product("sum", &|weight| weight), *precision),
        _ => {
            let (high, low) =
                (product("high", &|weight| weight >> LOW), product("low", &|weight| weight & ((1 << LOW) - 1)));
            let carried = divided(graph, &format!("{name}/carried"), &low, LOW);
            (graph.node(&format!("{name}/sum"), "Add", &[&high, &carried], Vec::new()), precision - LOW)
        }
    };
    // A half is added before the fraction is cut off.
    let half = graph.floats(&format!("{name}/half"), &[], [f32::from(1u16 << (precision - 1))]);
    let rounded = graph.node(&format!("{name}/rounded"), "Add", &[&sum, &half], Vec::new());
    divided(graph, name, &rounded, precision)
}

/// Adds the division of whole numbers by a power of two, rounded down.
fn divided(graph: &mut Graph, name: &str, x: &str, bits: u32) -> String {
    let by = graph.floats(&format!("{name}/unit"), &[], [1.0 / (1u32 << bits) as f32]);
    let quotient = graph.node(&format!("{name}/quotient"), "Mul", &[x, &by], Vec::new());
    graph.node(name, "Floor", &[&quotient], Vec::new())
}
