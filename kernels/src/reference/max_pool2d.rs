//! 2-D max-pooling as its definition reads.

use crate::max_pool2d::{MaxPool2dShape, MaxPool2dSizes};

/// `y[n,oy,ox,c] = max over u,v < size of x[n, oy*size + u, ox*size + v, c]`, and the position
/// `u * size + v` of the first value, row by row, that no other exceeds.
///
/// # Shapes
/// `x`: `[n, h, w, c]`; returns `[n, oh, ow, c]` twice
pub fn forward(shape: &MaxPool2dShape, x: &[f64]) -> (Vec<f64>, Vec<u8>) {
    let mut y = vec![f64::NEG_INFINITY; shape.y_len()];
    let mut argmax = vec![0; shape.y_len()];
    each_value(shape, |x_at, y_at, position| {
        if x[x_at] > y[y_at] {
            y[y_at] = x[x_at];
            argmax[y_at] = position;
        }
    });
    (y, argmax)
}

/// `dx` is `dy` at the position that won its window, and 0 elsewhere.
///
/// # Shapes
/// `argmax`, `dy`: `[n, oh, ow, c]`; returns `[n, h, w, c]`
pub fn backward(shape: &MaxPool2dShape, argmax: &[u8], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.x_len()];
    each_value(shape, |x_at, y_at, position| {
        if argmax[y_at] == position {
            dx[x_at] = dy[y_at];
        }
    });
    dx
}

/// Calls `value` with the position in `x`, in `y` and in the window of every value that some window
/// covers, each window row by row.
fn each_value(shape: &MaxPool2dShape, mut value: impl FnMut(usize, usize, u8)) {
    let MaxPool2dSizes { n, h, w, c, size } = **shape;
    for image in 0..n {
        for oy in 0..shape.oh() {
            for ox in 0..shape.ow() {
                for u in 0..size {
                    for v in 0..size {
                        for i in 0..c {
                            let x_at = ((image * h + oy * size + u) * w + ox * size + v) * c + i;
                            let y_at = ((image * shape.oh() + oy) * shape.ow() + ox) * c + i;
                            value(x_at, y_at, (u * size + v) as u8);
                        }
                    }
                }
            }
        }
    }
}
