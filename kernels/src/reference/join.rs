//! Sums and scaled channels as their definitions read.

use crate::global_average_pool2d::{GlobalAveragePool2dShape, GlobalAveragePool2dSizes};

/// `y[i] = x[i] + earlier[i]`.
///
/// # Shapes
/// `x`, `earlier`: equally long; returns as many
pub fn add(x: &[f64], earlier: &[f64]) -> Vec<f64> {
    (0..x.len()).map(|i| x[i] + earlier[i]).collect()
}

/// `y[n,pixel,c] = x[n,pixel,c] * factors[n,c]`.
///
/// # Shapes
/// `x`: `[n, h, w, c]`; `factors`: `[n, c]`; returns `[n, h, w, c]`
pub fn scale_channels(shape: &GlobalAveragePool2dShape, x: &[f64], factors: &[f64]) -> Vec<f64> {
    let GlobalAveragePool2dSizes { pixels, c, .. } = **shape;
    (0..x.len()).map(|i| x[i] * factors[i / (pixels * c) * c + i % c]).collect()
}

/// `dx[n,pixel,c] = dy[n,pixel,c] * factors[n,c]`;
/// `dfactors[n,c] = sum over pixels of dy[n,pixel,c] * x[n,pixel,c]`.
///
/// # Shapes
/// `x`, `dy`: `[n, h, w, c]`; `factors`: `[n, c]`; returns `dx`, `dfactors`
pub fn scale_channels_backward(
    shape: &GlobalAveragePool2dShape,
    x: &[f64],
    factors: &[f64],
    dy: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let GlobalAveragePool2dSizes { n, pixels, c } = **shape;
    let mut dfactors = vec![0.0; n * c];
    for image in 0..n {
        for pixel in 0..pixels {
            for channel in 0..c {
                let at = (image * pixels + pixel) * c + channel;
                dfactors[image * c + channel] += dy[at] * x[at];
            }
        }
    }
    (scale_channels(shape, dy, factors), dfactors)
}
