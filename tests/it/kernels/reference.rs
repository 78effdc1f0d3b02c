//! Every backward of the reference against central differences of its forward, in f64.

use super::{Data, assert_close_f64, wide};
use onesheet_kernels::conv2d::{Conv2dShape, Padding};
use onesheet_kernels::reference::{conv2d, dense};
use proptest::prelude::*;

/// `d f(at) / d at`, each component by central differences.
///
/// With values and derivatives of order 1, truncation costs about `STEP^2 = 1e-8`, cancellation `1e-16 / STEP = 1e-12`.
fn numeric_gradient(at: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-4;
    let mut at = at.to_vec();
    (0..at.len())
        .map(|i| {
            let middle = at[i];
            at[i] = middle + STEP;
            let above = f(&at);
            at[i] = middle - STEP;
            let below = f(&at);
            at[i] = middle;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

const TOLERANCE: f64 = 1e-6;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Convolutions small enough for the naive reference, of any kernel, stride and padding.
pub fn conv2d_shapes() -> impl Strategy<Value = Conv2dShape> {
    let sizes = (1..3usize, 1..8usize, 1..8usize, 1..4usize, 1..4usize);
    let window = (1..5usize, 1..5usize, 1..4usize, any::<bool>());
    (sizes, window).prop_map(|((n, h, w, ic, oc), (kh, kw, stride, same))| {
        let padding = if same { Padding::Same } else { Padding::Valid };
        Conv2dShape { n, h: h.max(kh), w: w.max(kw), ic, oc, kh, kw, stride, padding }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn conv2d_gradients(shape in conv2d_shapes(), seed: u64) {
        let mut data = Data::new(seed);
        let mut random = |len| wide(&data.vec(len));
        let (x, w) = (random(shape.x_len()), random(shape.w_len()));
        let (b, dy) = (random(shape.oc), random(shape.y_len()));
        let (dw, db) = conv2d::backward_w(&shape, &x, &dy);
        let loss = |x: &[f64], w: &[f64], b: &[f64]| dot(&conv2d::forward(&shape, x, w, b), &dy);
        let dx = conv2d::backward_x(&shape, &dy, &w);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| loss(x, &w, &b)), TOLERANCE);
        assert_close_f64(&dw, &numeric_gradient(&w, |w| loss(&x, w, &b)), TOLERANCE);
        assert_close_f64(&db, &numeric_gradient(&b, |b| loss(&x, &w, b)), TOLERANCE);
    }

    #[test]
    fn dense_gradients(n in 1..5usize, inputs in 1..7usize, outputs in 1..7usize, seed: u64) {
        let mut data = Data::new(seed);
        let mut random = |len| wide(&data.vec(len));
        let (x, w) = (random(n * inputs), random(inputs * outputs));
        let (b, dy) = (random(outputs), random(n * outputs));
        let (dw, db) = dense::backward_w(n, &x, &dy);
        let loss = |x: &[f64], w: &[f64], b: &[f64]| dot(&dense::forward(n, x, w, b), &dy);
        let dx = dense::backward_x(n, &dy, &w);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| loss(x, &w, &b)), TOLERANCE);
        assert_close_f64(&dw, &numeric_gradient(&w, |w| loss(&x, w, &b)), TOLERANCE);
        assert_close_f64(&db, &numeric_gradient(&b, |b| loss(&x, &w, b)), TOLERANCE);
    }
}

/// A forward that is wrong together with its backward passes a gradient check; these values were worked out by hand.
#[test]
fn conv2d_by_hand() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let w = [1.0, 10.0, 100.0, 1000.0];
    let shape = |stride, padding| Conv2dShape { n: 1, h: 3, w: 3, ic: 1, oc: 1, kh: 2, kw: 2, stride, padding };
    let y = conv2d::forward(&shape(1, Padding::Valid), &x, &w, &[0.5]);
    assert_eq!(y, [5421.5, 6532.5, 8754.5, 9865.5]);
    // One row and one column of zeros, at the bottom and at the right.
    let y = conv2d::forward(&shape(2, Padding::Same), &x, &w, &[0.0]);
    assert_eq!(y, [5421.0, 603.0, 87.0, 9.0]);
    // An even kernel's padding of one goes behind the image as well.
    let y = conv2d::forward(&shape(1, Padding::Same), &x, &w, &[0.0]);
    assert_eq!(y, [5421.0, 6532.0, 603.0, 8754.0, 9865.0, 906.0, 87.0, 98.0, 9.0]);
}

#[test]
fn dense_by_hand() {
    let y = dense::forward(2, &[1.0, 2.0, 3.0, 4.0], &[1.0, 10.0, 100.0, 2.0, 20.0, 200.0], &[0.1, 0.2, 0.3]);
    assert_eq!(y, [5.1, 50.2, 500.3, 11.1, 110.2, 1100.3]);
}
