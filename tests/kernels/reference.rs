//! Every backward of the reference against central differences of its forward, in f64.

use super::{Data, assert_close_f64, wide};
use onesheet_kernels::conv2d::{Conv2dShape, Conv2dSizes, Padding};
use onesheet_kernels::global_average_pool2d::{GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::max_pool2d::{MaxPool2dShape, MaxPool2dSizes};
use onesheet_kernels::reference::batch_norm::Normalization;
use onesheet_kernels::reference::{
    activation, batch_norm, conv2d, dense, dropout, global_average_pool2d, join, loss, max_pool2d, optim,
};
use proptest::prelude::*;

/// `d f(at) / d at`, each component by central differences.
///
/// With values and derivatives of order 1, truncation costs about `STEP^2 = 1e-8`, cancellation
/// `1e-16 / STEP = 1e-12`.
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
        Conv2dShape::new(Conv2dSizes { n, h: h.max(kh), w: w.max(kw), ic, oc, kh, kw, stride, padding })
    })
}

/// None, and both sides of 1, where a power of the error has an infinite slope at 0.
pub fn focuses() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(2.0), 0.3..4.0]
}

proptest! {
    #![proptest_config(crate::common::cases(32))]

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

    #[test]
    fn relu_gradient(len in 1..20usize, seed: u64) {
        let mut data = Data::new(seed);
        // No value so near 0 that a step crosses it.
        let x: Vec<f64> = wide(&data.vec(len)).iter().map(|x| x + 0.01 * x.signum()).collect();
        let dy = wide(&data.vec(len));
        let dx = activation::relu_backward(&activation::relu(&x), &dy);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| dot(&activation::relu(x), &dy)), TOLERANCE);
    }

    #[test]
    fn batch_norm_gradients(m in 1..9usize, c in 1..4usize, seed: u64) {
        let mut data = Data::new(seed);
        let x = wide(&data.between(-1.0, 2.0, m * c));
        let (gamma, beta, dy) = (wide(&data.vec(c)), wide(&data.vec(c)), wide(&data.vec(m * c)));
        // Large, so that third derivatives stay small where the variance is.
        let epsilon = 0.5;
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
            let (mean, variance) = batch_norm::statistics(c, x);
            dot(&batch_norm::forward(&Normalization { gamma, beta, mean: &mean, variance: &variance, epsilon }, x), &dy)
        };
        let (mean, variance) = batch_norm::statistics(c, &x);
        let by = Normalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon };
        let (dx, dgamma, dbeta) = batch_norm::backward(&by, &x, &dy);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| loss(x, &gamma, &beta)), TOLERANCE);
        assert_close_f64(&dgamma, &numeric_gradient(&gamma, |gamma| loss(&x, gamma, &beta)), TOLERANCE);
        assert_close_f64(&dbeta, &numeric_gradient(&beta, |beta| loss(&x, &gamma, beta)), TOLERANCE);
    }

    #[test]
    fn max_pool2d_gradient(
        (n, h, w, c, size) in (1..3usize, 1..7usize, 1..7usize, 1..4usize, 1..4usize),
        seed: u64,
    ) {
        let shape = MaxPool2dShape::new(MaxPool2dSizes { n, h: h.max(size), w: w.max(size), c, size });
        let mut data = Data::new(seed);
        let (x, dy) = (wide(&data.distinct(shape.x_len())), wide(&data.vec(shape.y_len())));
        let dx = max_pool2d::backward(&shape, &max_pool2d::forward(&shape, &x).1, &dy);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| dot(&max_pool2d::forward(&shape, x).0, &dy)), TOLERANCE);
    }

    #[test]
    fn scaled_channels_gradients((n, pixels, c) in (1..3usize, 1..7usize, 1..4usize), seed: u64) {
        let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n, pixels, c });
        let mut data = Data::new(seed);
        let [x, dy] = [0; 2].map(|_| wide(&data.vec(shape.x_len())));
        let factors = wide(&data.vec(shape.y_len()));
        let loss = |x: &[f64], factors: &[f64]| dot(&join::scale_channels(&shape, x, factors), &dy);
        let (dx, dfactors) = join::scale_channels_backward(&shape, &x, &factors, &dy);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| loss(x, &factors)), TOLERANCE);
        assert_close_f64(&dfactors, &numeric_gradient(&factors, |factors| loss(&x, factors)), TOLERANCE);
    }

    #[test]
    fn sigmoid_gradient(len in 1..20usize, seed: u64) {
        let mut data = Data::new(seed);
        let (x, dy) = (wide(&data.between(-4.0, 4.0, len)), wide(&data.vec(len)));
        let dx = activation::sigmoid_backward(&loss::sigmoid(&x), &dy);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| dot(&loss::sigmoid(x), &dy)), TOLERANCE);
    }

    #[test]
    fn global_average_pool2d_gradient((n, pixels, c) in (1..3usize, 1..7usize, 1..4usize), seed: u64) {
        let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n, pixels, c });
        let mut data = Data::new(seed);
        let (x, dy) = (wide(&data.vec(n * pixels * c)), wide(&data.vec(n * c)));
        let dx = global_average_pool2d::backward(&shape, &dy);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| dot(&global_average_pool2d::forward(&shape, x), &dy)), TOLERANCE);
    }

    #[test]
    fn dropout_gradient(len in 1..20usize, seed: u64) {
        let mut data = Data::new(seed);
        let (x, dy) = (wide(&data.vec(len)), wide(&data.vec(len)));
        let kept: Vec<bool> = data.vec(len).iter().map(|&v| v > 0.0).collect();
        let dx = dropout::apply(0.3, &kept, &dy);
        assert_close_f64(&dx, &numeric_gradient(&x, |x| dot(&dropout::apply(0.3, &kept, x), &dy)), TOLERANCE);
    }

    #[test]
    fn cross_entropy_gradients(n in 1..5usize, classes in 1..5usize, [soft, smooth] in any::<[bool; 2]>(), focus in focuses(), seed: u64) {
        let mut data = Data::new(seed);
        let logits = wide(&data.between(-3.0, 3.0, n * classes));
        let weights = wide(&data.between(0.1, 3.0, classes));
        let labels = wide(&if soft { data.between(0.0, 1.0, n * classes) } else { data.whole(2, n * classes) });
        let smoothing = if smooth { 0.3 } else { 0.0 };
        let of = loss::CrossEntropy { class_weights: &weights, focus, labels: &labels, smoothing };
        let numeric = numeric_gradient(&logits, |logits| loss::sigmoid_cross_entropy(&of, logits));
        assert_close_f64(&loss::sigmoid_cross_entropy_backward(&of, &logits), &numeric, TOLERANCE);
        let labels = wide(&data.distributions(n, classes, soft));
        let of = loss::CrossEntropy { labels: &labels, ..of };
        let numeric = numeric_gradient(&logits, |logits| loss::softmax_cross_entropy(&of, logits));
        assert_close_f64(&loss::softmax_cross_entropy_backward(&of, &logits), &numeric, TOLERANCE);
    }
}

/// A forward that is wrong together with its backward passes a gradient check; these values were
/// worked out by hand.
#[test]
fn conv2d_by_hand() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let w = [1.0, 10.0, 100.0, 1000.0];
    let shape = |stride, padding| {
        Conv2dShape::new(Conv2dSizes { n: 1, h: 3, w: 3, ic: 1, oc: 1, kh: 2, kw: 2, stride, padding })
    };
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

#[test]
fn batch_norm_by_hand() {
    // Channel 0: 1, 3 with mean 2 and variance 1; channel 1: 5, 5.
    let x = [1.0, 5.0, 3.0, 5.0];
    let (mean, variance) = batch_norm::statistics(2, &x);
    assert_eq!((&mean[..], &variance[..]), (&[2.0, 5.0][..], &[1.0, 0.0][..]));
    let by = Normalization { gamma: &[2.0, 3.0], beta: &[0.5, -1.0], mean: &mean, variance: &variance, epsilon: 3.0 };
    assert_eq!(batch_norm::forward(&by, &x), [-0.5, -1.0, 1.5, -1.0]);
}

#[test]
fn max_pool2d_by_hand() {
    let shape = MaxPool2dShape::new(MaxPool2dSizes { n: 1, h: 3, w: 5, c: 1, size: 2 });
    let x = [1.0, 2.0, 7.0, 7.0, 9.0, 3.0, 0.0, 7.0, 5.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    let (y, argmax) = max_pool2d::forward(&shape, &x);
    assert_eq!((&y[..], &argmax[..]), (&[3.0, 7.0][..], &[2, 0][..]));
    let dx = max_pool2d::backward(&shape, &argmax, &[10.0, 20.0]);
    assert_eq!(dx, [0.0, 0.0, 20.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn global_average_pool2d_by_hand() {
    let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n: 1, pixels: 2, c: 3 });
    assert_eq!(global_average_pool2d::forward(&shape, &[1.0, 2.0, 3.0, 3.0, 2.0, -3.0]), [2.0, 2.0, 0.0]);
    assert_eq!(global_average_pool2d::backward(&shape, &[2.0, 4.0, 6.0]), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
}

#[test]
fn losses_by_hand() {
    // Logits ln 3 and 0: sigmoids 3/4 and 1/2, softmax 3/4 and 1/4.
    let logits = [3f64.ln(), 0.0];
    let of = loss::CrossEntropy { class_weights: &[1.0, 10.0], focus: 0.0, labels: &[0.0, 1.0], smoothing: 0.0 };
    let sigmoid = loss::sigmoid_cross_entropy(&of, &logits);
    assert_close_f64(&[sigmoid], &[(4f64.ln() + 10.0 * 2f64.ln()) / 2.0], 1e-12);
    let softmax = loss::softmax_cross_entropy(&of, &logits);
    assert_close_f64(&[softmax], &[10.0 * 4f64.ln()], 1e-12);
    // Focused: the errors 3/4 and 1/2, and 3/4, squared.
    let of = loss::CrossEntropy { focus: 2.0, ..of };
    let sigmoid = loss::sigmoid_cross_entropy(&of, &logits);
    assert_close_f64(&[sigmoid], &[(4f64.ln() * 9.0 / 16.0 + 10.0 * 2f64.ln() / 4.0) / 2.0], 1e-12);
    let softmax = loss::softmax_cross_entropy(&of, &logits);
    assert_close_f64(&[softmax], &[10.0 * 4f64.ln() * 9.0 / 16.0], 1e-12);
    // Half of each class.
    let of = loss::CrossEntropy { class_weights: &[1.0, 3.0], focus: 0.0, labels: &[0.5, 0.5], smoothing: 0.0 };
    let softmax = loss::softmax_cross_entropy(&of, &logits);
    assert_close_f64(&[softmax], &[2.0 * (4f64.ln() - 3f64.ln() / 2.0)], 1e-12);
    // A fifth spread evenly: 0.1 and 0.9. The row weighs what the second class does.
    let of = loss::CrossEntropy { class_weights: &[1.0, 10.0], focus: 0.0, labels: &[0.0, 1.0], smoothing: 0.2 };
    let sigmoid = loss::sigmoid_cross_entropy(&of, &logits);
    assert_close_f64(&[sigmoid], &[(4f64.ln() - 0.1 * 3f64.ln() + 10.0 * 2f64.ln()) / 2.0], 1e-12);
    let softmax = loss::softmax_cross_entropy(&of, &logits);
    assert_close_f64(&[softmax], &[10.0 * (4f64.ln() - 0.1 * 3f64.ln())], 1e-12);
}

#[test]
fn optimizers_by_hand() {
    let adam = optim::Adam { learning_rate: 0.1, beta_1: 0.75, beta_2: 0.9375, epsilon: 0.5, weight_decay: 0.0 };
    let (mut m, mut v, mut w) = (0.0, 0.0, 1.0);
    // m = 4 / 4, v = 16 / 16, alpha = 0.1 * (1/4) / (1/4).
    adam.step(1, 4.0, &mut m, &mut v, &mut w);
    assert_close_f64(&[m, v, w], &[1.0, 1.0, 1.0 - 0.1 / 1.5], 1e-12);
    // m = 1 + (0 - 1) / 4, v = 1 - 1 / 16, alpha = 0.1 * sqrt(1 - (15/16)^2) / (1 - (3/4)^2).
    let alpha = 0.1 * (31f64 / 256.0).sqrt() / (7.0 / 16.0);
    adam.step(2, 0.0, &mut m, &mut v, &mut w);
    let expected = 1.0 - 0.1 / 1.5 - alpha * 0.75 / (0.9375f64.sqrt() + 0.5);
    assert_close_f64(&[m, v, w], &[0.75, 0.9375, expected], 1e-12);

    // The decay takes 0.1 * 0.5 of the weight, whatever the gradient.
    let (mut m, mut v, mut w) = (0.0, 0.0, 1.0);
    optim::Adam { weight_decay: 0.5, ..adam }.step(1, 4.0, &mut m, &mut v, &mut w);
    assert_close_f64(&[w], &[0.95 - 0.1 / 1.5], 1e-12);

    for (nesterov, expected) in [(false, [0.8, 0.5]), (true, [0.7, 0.35])] {
        let sgd = optim::Sgd { learning_rate: 0.1, momentum: 0.5, nesterov, weight_decay: 0.0 };
        let (mut velocity, mut w) = (0.0, 1.0);
        let mut after = [0.0; 2];
        for after in &mut after {
            sgd.step(2.0, &mut velocity, &mut w);
            *after = w;
        }
        assert_close_f64(&after, &expected, 1e-12);
        assert_close_f64(&[velocity], &[-0.3], 1e-12);
        let mut w = 1.0;
        optim::Sgd { weight_decay: 0.5, ..sgd }.step(0.0, &mut 0.0, &mut w);
        assert_close_f64(&[w], &[0.95], 1e-12);
    }
}
