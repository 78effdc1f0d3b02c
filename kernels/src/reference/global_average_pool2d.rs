//! Global average pooling as its definition reads.

use crate::global_average_pool2d::{GlobalAveragePool2dShape, GlobalAveragePool2dSizes};

/// `y[n,c] = sum over pixels of x[n,pixel,c] / pixels`.
///
/// # Shapes
/// `x`: `[n, h, w, c]`; returns `[n, c]`
pub fn forward(shape: &GlobalAveragePool2dShape, x: &[f64]) -> Vec<f64> {
    let GlobalAveragePool2dSizes { n, pixels, c } = **shape;
    let mut y = vec![0.0; n * c];
    for image in 0..n {
        for pixel in 0..pixels {
            for channel in 0..c {
                y[image * c + channel] += x[(image * pixels + pixel) * c + channel] / pixels as f64;
            }
        }
    }
    y
}

/// `dx[n,pixel,c] = dy[n,c] / pixels`.
///
/// # Shapes
/// `dy`: `[n, c]`; returns `[n, h, w, c]`
pub fn backward(shape: &GlobalAveragePool2dShape, dy: &[f64]) -> Vec<f64> {
    let GlobalAveragePool2dSizes { n, pixels, c } = **shape;
    let mut dx = vec![0.0; n * pixels * c];
    for image in 0..n {
        for pixel in 0..pixels {
            for channel in 0..c {
                dx[(image * pixels + pixel) * c + channel] = dy[image * c + channel] / pixels as f64;
            }
        }
    }
    dx
}
