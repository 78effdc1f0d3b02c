//! 2-D convolution as its definition reads.

use crate::conv2d::{Conv2dShape, Conv2dSizes};

/// `y[n,oy,ox,o] = b[o] + sum over u,v,i of x[n, oy*s + u - pad_top, ox*s + v - pad_left, i] *
/// w[u,v,i,o]` with the stride `s`, where `x` is 0 outside the image.
///
/// # Shapes
/// `x`: `[n, h, w, ic]`; `w`: `[kh, kw, ic, oc]`; `b`: `[oc]`; returns `[n, oh, ow, oc]`
pub fn forward(shape: &Conv2dShape, x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let mut y = b.repeat(shape.y_len() / shape.oc);
    each_product(shape, |x_at, w_at, y_at| y[y_at] += x[x_at] * w[w_at]);
    y
}

/// `dx = d(sum of y * dy)/dx`: every product of the forward, with `x` and `y` in exchanged roles.
///
/// # Shapes
/// `dy`: `[n, oh, ow, oc]`; `w`: `[kh, kw, ic, oc]`; returns `[n, h, w, ic]`
pub fn backward_x(shape: &Conv2dShape, dy: &[f64], w: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.x_len()];
    each_product(shape, |x_at, w_at, y_at| dx[x_at] += dy[y_at] * w[w_at]);
    dx
}

/// `(dw, db) = d(sum of y * dy)/d(w, b)`.
///
/// # Shapes
/// `x`: `[n, h, w, ic]`; `dy`: `[n, oh, ow, oc]`; returns `[kh, kw, ic, oc]` and `[oc]`
pub fn backward_w(shape: &Conv2dShape, x: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut dw = vec![0.0; shape.w_len()];
    each_product(shape, |x_at, w_at, y_at| dw[w_at] += x[x_at] * dy[y_at]);
    let mut db = vec![0.0; shape.oc];
    for (i, dy) in dy.iter().enumerate() {
        db[i % shape.oc] += dy;
    }
    (dw, db)
}

/// Calls `product` with the positions in `x`, `w` and `y` of every product that the forward sums.
fn each_product(shape: &Conv2dShape, mut product: impl FnMut(usize, usize, usize)) {
    let Conv2dSizes { n, h, w, ic, oc, kh, kw, stride, .. } = **shape;
    let (oh, ow) = (shape.oh(), shape.ow());
    for image in 0..n {
        for (oy, ox) in grid(oh, ow) {
            for (u, v) in grid(kh, kw) {
                // Positions in the padded image; those in its border hold zeros and add nothing.
                let (py, px) = (oy * stride + u, ox * stride + v);
                let (Some(iy), Some(ix)) = (py.checked_sub(shape.pad_top()), px.checked_sub(shape.pad_left())) else {
                    continue;
                };
                if iy >= h || ix >= w {
                    continue;
                }
                for (i, o) in grid(ic, oc) {
                    let x_at = ((image * h + iy) * w + ix) * ic + i;
                    let w_at = ((u * kw + v) * ic + i) * oc + o;
                    let y_at = ((image * oh + oy) * ow + ox) * oc + o;
                    product(x_at, w_at, y_at);
                }
            }
        }
    }
}

/// All `(row, column)`, row by row.
fn grid(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}
