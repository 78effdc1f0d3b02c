//! The resizing of posters as matrices.
//!
//! The resizer computes with 16-bit weights and 8-bit pixels: each output pixel is a sum of products
//! of whole numbers, to which a half is added before the fraction is cut off. The height is changed
//! first, then the width. Done with the same numbers, a product with a matrix gives the same bits.
//!
//! The weights follow `precompute_coefficients` and `Normalizer16` of `fast_image_resize` 6.1.0,
//! which follow Pillow's `ImagingResample`. A test compares the two on every size of input.

use crate::data::transform::View;

/// How one axis of an image is resized: `[outputs, inputs]` weights, in units of `2^-precision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Row by row.
    pub weights: Vec<i16>,
    /// The bits of the weights behind the point; at 0, pixels are only chosen, and nothing is
    /// rounded.
    pub precision: u32,
}

/// The most bits of a weight behind the point: beside them a sum has 8 bits of a pixel and 2 to
/// spare.
const MOST_PRECISION: u32 = 32 - 8 - 2;

impl Axis {
    /// How a view brings an axis of `inputs` pixels to `outputs`; `None` where it stays as it is.
    /// `far` says which end of the axis a corner is at.
    pub fn of(view: View, far: impl Fn([bool; 2]) -> bool, inputs: usize, outputs: usize) -> Option<Self> {
        let (start, len) = match view.corner {
            None => (0.0, inputs as f64),
            Some(corner) => View::part(far(corner), inputs as f64),
        };
        if len == outputs as f64 && start == start.round() {
            return (view.corner.is_some()).then(|| Self::choosing(start as usize, inputs, outputs));
        }
        let step = len / outputs as f64;
        let rows = (0..outputs).map(|out| triangle(start + (out as f64 + 0.5) * step, step.max(1.0), inputs));
        let rows: Vec<Vec<f64>> = rows.collect();
        let largest = rows.iter().flatten().copied().fold(0.0, f64::max);
        let fits = |bits: &u32| (largest * f64::from(1 << bits)).round() < f64::from(1 << 15);
        let precision = (1..MOST_PRECISION).take_while(fits).last().unwrap_or(0);
        let scale = f64::from(1 << precision);
        Some(Self { weights: rows.iter().flatten().map(|weight| (weight * scale).round() as i16).collect(), precision })
    }

    fn choosing(start: usize, inputs: usize, outputs: usize) -> Self {
        let row = |out| (0..inputs).map(move |input| i16::from(input == start + out));
        Self { weights: (0..outputs).flat_map(row).collect(), precision: 0 }
    }
}

/// The weights of all inputs for an output with a given centre: a triangle that falls to zero within
/// `radius`, cut off at the ends of the axis; their sum is 1.
fn triangle(centre: f64, radius: f64, inputs: usize) -> Vec<f64> {
    let middle = centre - 0.5;
    let reach = (centre - radius).floor().max(0.0) as usize..(centre + radius).ceil().min(inputs as f64) as usize;
    let weight = |at: usize| match reach.contains(&at) {
        true => (1.0 - ((at as f64 - middle) * (1.0 / radius)).abs()).max(0.0),
        false => 0.0,
    };
    let weights: Vec<f64> = (0..inputs).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}
