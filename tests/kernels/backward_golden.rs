//! The backward passes, and the outputs before them, against `tests/golden/backward.safetensors`, which
//! `tools/golden_torch.py` made with PyTorch and describes.

use super::*;
use crate::common::golden::{Golden, assert_close, read};
use onesheet_kernels::activation;
use onesheet_kernels::batch_norm::{self, Normalization};
use onesheet_kernels::conv_block::{self, Affine, ConvBlockShape, Source, affine_scale, normalise, pooled_sums};
use onesheet_kernels::conv2d::{self, Algorithm, Conv2dShape, Conv2dSizes, Padding, Pass};
use onesheet_kernels::dense::{self, DenseShape, DenseSizes};
use onesheet_kernels::global_average_pool2d::{self, GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::join::{scale_channels, scale_channels_backward};
use onesheet_kernels::loss::{self, CrossEntropy};
use onesheet_kernels::max_pool2d::{self, MaxPool2dShape, MaxPool2dSizes};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The share of a tensor's norm that a result may be away from the golden.
const TOLERANCE: f64 = 1e-6;

/// The operation of a case with its sizes, as the script names them.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Operation {
    Conv2d { n: usize, h: usize, w: usize, ic: usize, oc: usize, kh: usize, kw: usize, stride: usize, padding: Padding },
    Block { n: usize, h: usize, w: usize, ic: usize, oc: usize, padding: Padding, epsilon: f32 },
    BatchNorm { c: usize, epsilon: f32 },
    MaxPool { n: usize, h: usize, w: usize, c: usize, size: usize },
    Dense { n: usize, inputs: usize, outputs: usize },
    GlobalAveragePool { n: usize, h: usize, w: usize, c: usize },
    ScaleChannels { n: usize, h: usize, w: usize, c: usize },
    Relu {},
    Sigmoid {},
    SigmoidCrossEntropy(Loss),
    SoftmaxCrossEntropy(Loss),
}

#[derive(Debug, Deserialize)]
struct Loss {
    classes: usize,
    smoothing: f32,
    focus: f32,
}

/// The tensors of a case.
struct Case<'a> {
    name: &'a str,
    tensors: &'a BTreeMap<String, Golden>,
}

impl Case<'_> {
    fn find(&self, name: &str) -> Option<&Golden> {
        self.tensors.get(&format!("{}/{name}", self.name))
    }

    fn golden(&self, name: &str) -> &Golden {
        self.find(name).unwrap_or_else(|| panic!("{}: no {name}", self.name))
    }

    /// An operand.
    fn given(&self, name: &str) -> Vec<f32> {
        self.golden(name).to_f32()
    }

    /// Compares results by their names.
    fn check(&self, by: &str, results: &[(&str, &[f32])]) {
        for (name, result) in results {
            assert_close(&format!("{} by {by}: {name}", self.name), result, &self.golden(name).values, TOLERANCE);
        }
    }
}

fn conv2d(case: &Case, isa: Isa, shape: &Conv2dShape, chosen: &mut Vec<(String, Algorithm)>) {
    let [x, w, bias, dy] = ["x", "w", "bias", "dy"].map(|name| case.given(name));
    let workspace = &mut conv2d::Workspace::default();
    for pass in [Pass::Forward, Pass::BackwardX, Pass::BackwardW] {
        chosen.push((isa.name().to_owned(), Algorithm::choose(isa, shape, pass)));
        for algorithm in Algorithm::available(isa, shape, pass) {
            let by = algorithm.to_string();
            match pass {
                Pass::Forward => {
                    let mut y = poisoned(shape.y_len());
                    conv2d::Forward { shape, x: &x, w: &w, bias: &bias, relu: false, y: &mut y, workspace }
                        .run_with(isa, algorithm);
                    case.check(&by, &[("y", &y)]);
                }
                Pass::BackwardX => {
                    let mut dx = poisoned(shape.x_len());
                    conv2d::BackwardX { shape, dy: &dy, w: &w, dx: &mut dx, workspace }.run_with(isa, algorithm);
                    case.check(&by, &[("dx", &dx)]);
                }
                Pass::BackwardW => {
                    let (mut dw, mut db) = (vec![0.0; shape.w_len()], vec![0.0; shape.oc]);
                    conv2d::BackwardW { shape, x: &x, dy: &dy, dw: &mut dw, db: &mut db, workspace }
                        .run_with(isa, algorithm);
                    case.check(&by, &[("dw", &dw), ("db", &db)]);
                }
            }
        }
    }
}

fn block(case: &Case, isa: Isa, shape: &ConvBlockShape, epsilon: f32) {
    let conv = shape.conv();
    let [x, w, bias] = ["x", "w", "bias"].map(|name| case.given(name));
    let [gamma, beta, dp] = ["gamma", "beta", "dy"].map(|name| case.given(name));
    // With the full-size image kept, and, where that can be, computed once more.
    for keeps_a in [true, false] {
        if !keeps_a && !shape.can_recompute_a(isa) {
            continue;
        }
        let workspace = &mut conv_block::Workspace::default();
        let (mut a, mut p) = (poisoned(conv.y_len()), poisoned(shape.p_len()));
        let (mut mean, mut variance) = (poisoned(conv.oc), poisoned(conv.oc));
        conv_block::Forward {
            shape,
            x: Source::F32(&x),
            w: &w,
            bias: &bias,
            gamma: &gamma,
            a: keeps_a.then_some(&mut a[..]),
            p: &mut p,
            others: None,
            mean: &mut mean,
            variance: &mut variance,
            workspace,
        }
        .run(isa);
        let norm = Normalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon };
        let (mut scale, mut y) = (poisoned(conv.oc), poisoned(shape.p_len()));
        affine_scale(&norm, &mut scale);
        normalise(isa, Affine { mean: &mean, scale: &scale, beta: &beta }, &p, &mut y);
        let mut dp_sums = vec![f64::NAN; 2 * conv.oc];
        pooled_sums(isa, shape, &mean, &p, &dp, workspace, &mut dp_sums);
        let (mut dw, mut dx) = (vec![0.0; conv.w_len()], poisoned(conv.x_len()));
        let [mut db, mut dgamma, mut dbeta] = [(); 3].map(|()| vec![0.0; conv.oc]);
        conv_block::Backward {
            shape,
            x: Source::F32(&x),
            w: &w,
            bias: &bias,
            a: keeps_a.then_some(&a),
            p: &p,
            norm,
            dp: &dp,
            dp_sums: &dp_sums,
            others: None,
            dw: &mut dw,
            db: &mut db,
            dgamma: &mut dgamma,
            dbeta: &mut dbeta,
            dx: Some(&mut dx),
            dx_sums: &mut [],
            workspace,
        }
        .run(isa);
        let results = [("y", &y), ("dx", &dx), ("dw", &dw), ("db", &db), ("dgamma", &dgamma), ("dbeta", &dbeta)];
        case.check(if keeps_a { "a that is kept" } else { "a that is not kept" }, &results.map(|(n, r)| (n, &r[..])));
    }
}

fn batch_norm(case: &Case, isa: Isa, c: usize, epsilon: f32) {
    let [x, gamma, beta, dy] = ["x", "gamma", "beta", "dy"].map(|name| case.given(name));
    let workspace = &mut batch_norm::Workspace::default();
    let (mut mean, mut variance) = (poisoned(c), poisoned(c));
    batch_norm::statistics(isa, &x, None, &mut mean, &mut variance, workspace);
    let by = Normalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon };
    let (mut y, mut dx) = (poisoned(x.len()), poisoned(x.len()));
    batch_norm::forward(isa, &by, &x, &mut y, workspace);
    let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
    let to = batch_norm::Gradients { dx: Some(&mut dx), dgamma: &mut dgamma, dbeta: &mut dbeta };
    batch_norm::backward(isa, &by, &x, &dy, None, to, workspace);
    case.check(isa.name(), &[("y", &y), ("dx", &dx), ("dgamma", &dgamma), ("dbeta", &dbeta)]);
}

fn max_pool(case: &Case, isa: Isa, shape: &MaxPool2dShape) {
    let (x, dy) = (case.given("x"), case.given("dy"));
    let (mut y, mut argmax, mut dx) = (poisoned(shape.y_len()), vec![0xff; shape.y_len()], poisoned(shape.x_len()));
    max_pool2d::forward(isa, shape, &x, &mut y, &mut argmax);
    max_pool2d::backward(isa, shape, &argmax, &dy, &mut dx);
    case.check(isa.name(), &[("y", &y), ("dx", &dx)]);
}

fn dense(case: &Case, isa: Isa, shape: &DenseShape) {
    let [x, w, bias, dy] = ["x", "w", "bias", "dy"].map(|name| case.given(name));
    let workspace = &mut dense::Workspace::default();
    let (mut y, mut dx) = (poisoned(shape.y_len()), poisoned(shape.x_len()));
    let (mut dw, mut db) = (vec![0.0; shape.w_len()], vec![0.0; shape.outputs]);
    dense::Forward { shape, x: &x, w: &w, bias: &bias, relu: false, y: &mut y, workspace }.run(isa);
    dense::BackwardX { shape, dy: &dy, w: &w, dx: &mut dx, workspace }.run(isa);
    dense::BackwardW { shape, x: &x, dy: &dy, dw: &mut dw, db: &mut db }.run(isa);
    case.check(isa.name(), &[("y", &y), ("dx", &dx), ("dw", &dw), ("db", &db)]);
}

fn global_average_pool(case: &Case, isa: Isa, shape: &GlobalAveragePool2dShape) {
    let (mut y, mut dx) = (poisoned(shape.y_len()), poisoned(shape.x_len()));
    global_average_pool2d::forward(isa, shape, &case.given("x"), &mut y);
    global_average_pool2d::backward(isa, shape, &case.given("dy"), &mut dx);
    case.check(isa.name(), &[("y", &y), ("dx", &dx)]);
}

fn scale(case: &Case, isa: Isa, shape: &GlobalAveragePool2dShape) {
    let [x, factors, dy] = ["x", "factors", "dy"].map(|name| case.given(name));
    let (mut y, mut dx, mut dfactors) = (poisoned(x.len()), poisoned(x.len()), poisoned(factors.len()));
    scale_channels(isa, shape, &x, &factors, &mut y);
    scale_channels_backward(isa, shape, [&x, &factors, &dy], [&mut dx, &mut dfactors]);
    case.check(isa.name(), &[("y", &y), ("dx", &dx), ("dfactors", &dfactors)]);
}

fn relu(case: &Case, isa: Isa) {
    let (mut y, mut dx) = (case.given("x"), case.given("dy"));
    activation::relu(isa, &mut y);
    activation::relu_backward(isa, &y, &mut dx);
    case.check(isa.name(), &[("y", &y), ("dx", &dx)]);
}

fn sigmoid(case: &Case, isa: Isa) {
    let (x, dy) = (case.given("x"), case.given("dy"));
    let (mut y, mut dx) = (poisoned(x.len()), poisoned(x.len()));
    loss::sigmoid(&x, &mut y);
    activation::sigmoid_backward(isa, &y, &dy, &mut dx);
    case.check(isa.name(), &[("y", &y), ("dx", &dx)]);
}

fn cross_entropy(case: &Case, of: &Loss, loss: fn(&CrossEntropy, &mut [f32], &mut [f32]) -> f64) {
    let (logits, labels) = (case.given("logits"), case.given("labels"));
    let class_weights = case.find("class_weights").map(Golden::to_f32);
    let plain = CrossEntropy::plain(of.classes, &logits, &labels);
    let of =
        CrossEntropy { class_weights: class_weights.as_deref(), focus: of.focus, smoothing: of.smoothing, ..plain };
    let (mut probabilities, mut dlogits) = (poisoned(logits.len()), poisoned(logits.len()));
    let value = loss(&of, &mut probabilities, &mut dlogits);
    case.check("plain arithmetic", &[("loss", &[value as f32]), ("dlogits", &dlogits)]);
}

#[test]
fn gradients_follow_pytorch() {
    let (metadata, tensors) = read("backward");
    let cases: BTreeMap<String, Operation> = serde_json::from_str(&metadata["cases"]).expect("the cases");
    let results = |name: &str| ["dx", "dlogits"].iter().any(|dx| tensors.contains_key(&format!("{name}/{dx}")));
    assert!(cases.len() == 37 && cases.keys().all(|name| results(name)), "{} cases", cases.len());
    let mut chosen = Vec::new();
    for (name, operation) in &cases {
        let case = &Case { name, tensors: &tensors };
        for_each_isa(|isa| match *operation {
            Operation::Conv2d { n, h, w, ic, oc, kh, kw, stride, padding } => {
                let shape = Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh, kw, stride, padding });
                conv2d(case, isa, &shape, &mut chosen);
            }
            Operation::Block { n, h, w, ic, oc, padding, epsilon } => {
                let sizes = Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding };
                block(case, isa, &ConvBlockShape::new(Conv2dShape::new(sizes)), epsilon);
            }
            Operation::BatchNorm { c, epsilon } => batch_norm(case, isa, c, epsilon),
            Operation::MaxPool { n, h, w, c, size } => {
                max_pool(case, isa, &MaxPool2dShape::new(MaxPool2dSizes { n, h, w, c, size }));
            }
            Operation::Dense { n, inputs, outputs } => {
                dense(case, isa, &DenseShape::new(DenseSizes { n, inputs, outputs }));
            }
            Operation::GlobalAveragePool { n, h, w, c } => {
                let sizes = GlobalAveragePool2dSizes { n, pixels: h * w, c };
                global_average_pool(case, isa, &GlobalAveragePool2dShape::new(sizes));
            }
            Operation::ScaleChannels { n, h, w, c } => {
                let sizes = GlobalAveragePool2dSizes { n, pixels: h * w, c };
                scale(case, isa, &GlobalAveragePool2dShape::new(sizes));
            }
            Operation::Relu {} => relu(case, isa),
            Operation::Sigmoid {} => sigmoid(case, isa),
            Operation::SigmoidCrossEntropy(ref of) => cross_entropy(case, of, loss::sigmoid_cross_entropy),
            Operation::SoftmaxCrossEntropy(ref of) => cross_entropy(case, of, loss::softmax_cross_entropy),
        });
    }
    // The cases are such that each algorithm is a shape's own choice, where there are registers for tiles.
    for_each_isa(|isa| {
        use Algorithm::{Im2col, Taps, View, Winograd2x2, Winograd4x4};
        let wanted: &[_] =
            if isa.registers() < 16 { &[View, Im2col] } else { &[View, Im2col, Taps, Winograd2x2, Winograd4x4] };
        assert!(wanted.iter().all(|&algorithm| chosen.contains(&(isa.name().to_owned(), algorithm))), "{chosen:?}");
    });
}
