//! The goldens of training in `tests/golden`, made with Keras by `tools/golden.py`, which says what is in them.
//!
//! Data flows: file -> [`Case`] (a net's description, its tensors by name) -> comparison with [`assert_close`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

/// All cases: poster model, 'same' padding on odd sizes, strides, even kernels; three optimizers, weighted losses.
pub const CASES: [&str; 5] =
    ["adam_sigmoid", "nesterov_softmax", "sgd_strided", "momentum_softmax_weighted", "adam_sigmoid_weighted"];

/// Optimizer steps a case; step `i` trains on batch `i % batches`.
pub const STEPS: usize = 20;

/// How a case is set up, in Keras' terms.
#[derive(Debug, Deserialize)]
pub struct Spec {
    /// `[h, w, c]` of an image.
    pub input: [usize; 3],
    /// First to last; the last one makes the logits.
    pub layers: Vec<Layer>,
    /// Of the logits.
    pub loss: Loss,
    /// With all its hyperparameters.
    pub optimizer: Optimizer,
}

/// One layer.
#[derive(Debug, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Layer {
    /// Weights `[kernel[0], kernel[1], ic, filters]`, and a bias.
    Conv2d {
        filters: usize,
        kernel: [usize; 2],
        stride: usize,
        padding: Padding,
    },
    Relu,
    /// `moving = moving * momentum + batch * (1 - momentum)`.
    BatchNorm {
        momentum: f32,
        epsilon: f32,
    },
    /// Square windows side by side; rows and columns that fill no window are dropped.
    MaxPool2d {
        size: usize,
    },
    Flatten,
    /// Weights `[in, units]`, and a bias.
    Dense {
        units: usize,
    },
}

/// Of a convolution, as TensorFlow pads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    Valid,
    Same,
}

/// Mean over the batch, for sigmoid over the classes too, of the weighted terms.
#[derive(Debug, Deserialize)]
#[serde(tag = "loss", rename_all = "snake_case")]
pub enum Loss {
    /// Each class' column of terms has its weight.
    SigmoidCrossEntropy { class_weights: Option<Vec<f32>> },
    /// Each image has the weight of its true class; the sum is divided by the number of images.
    SoftmaxCrossEntropy { class_weights: Option<Vec<f32>> },
}

/// Keras' optimizers under Keras' names.
#[derive(Debug, Deserialize)]
#[serde(tag = "optimizer", rename_all = "snake_case")]
pub enum Optimizer {
    Adam { learning_rate: f32, beta_1: f32, beta_2: f32, epsilon: f32 },
    Sgd { learning_rate: f32, momentum: f32, nesterov: bool },
}

/// A tensor of a golden file; all number types are read as f64, which holds each of them exactly.
#[derive(Debug)]
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Golden {
    /// As f32, as which all of them but `losses` were stored or are exact.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }

    /// Slice `i` of the first axis.
    pub fn row(&self, i: usize) -> &[f64] {
        let len = self.values.len() / self.shape[0];
        &self.values[i * len..(i + 1) * len]
    }
}

/// A golden file.
pub struct Case {
    pub name: &'static str,
    pub spec: Spec,
    tensors: BTreeMap<String, Golden>,
}

impl Case {
    /// Reads `tests/golden/<name>.safetensors`.
    pub fn read(name: &'static str) -> Self {
        let (metadata, tensors) = read(name);
        let spec = serde_json::from_str(&metadata["case"]).expect("the case's description");
        Self { name, spec, tensors }
    }

    /// A tensor by its full name, such as `init/conv2d/kernel` or `losses`.
    pub fn tensor(&self, name: &str) -> &Golden {
        self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.name))
    }

    /// The tensors under `init`, `grad` or `final`, by Keras' names.
    pub fn group(&self, group: &str) -> impl Iterator<Item = (&str, &Golden)> {
        self.tensors.iter().filter_map(move |(name, t)| Some((name.strip_prefix(group)?.strip_prefix('/')?, t)))
    }

    /// Batch `step % batches` as the net sees it: images `[n, h, w, c]` from 0 to 1, labels `[n, classes]`.
    pub fn batch(&self, step: usize) -> (Vec<f32>, Vec<f32>) {
        let (x, y) = (self.tensor("x"), self.tensor("y"));
        let i = step % x.shape[0];
        (x.row(i).iter().map(|&v| v as f32 / 255.0).collect(), y.row(i).iter().map(|&v| v as f32).collect())
    }
}

/// The metadata and the tensors of `tests/golden/<name>.safetensors`.
pub fn read(name: &str) -> (BTreeMap<String, String>, BTreeMap<String, Golden>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.safetensors"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
    let metadata = header.metadata().clone().expect("metadata").into_iter().collect();
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tensors = file.iter().map(|(name, view)| {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::U8 => data.iter().map(|&v| f64::from(v)).collect(),
            Dtype::F32 => data.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            other => panic!("{name}: type {other:?}"),
        };
        (name.to_string(), Golden { shape: view.shape().to_vec(), values })
    });
    (metadata, tensors.collect())
}

/// `|ours - golden| <= tolerance * |golden|`, both Euclidean norms of the whole tensor (of one number: its size).
///
/// # Panics
/// If it does not hold, naming `what`, or if the lengths differ or a number of ours is not finite.
pub fn assert_close(what: &str, ours: &[f32], golden: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), golden.len(), "{what}: length");
    assert!(ours.iter().all(|v| v.is_finite()), "{what}: a number that is not finite");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut ours.iter().zip(golden).map(|(&a, &b)| f64::from(a) - b));
    let size = norm(&mut golden.iter().copied());
    assert!(
        difference <= tolerance * size,
        "{what}: {:.2e} of its norm away, {tolerance:.0e} allowed",
        difference / size
    );
}

/// The shapes that the description implies, by Keras' names; moving statistics included.
fn shapes(spec: &Spec) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let [mut h, mut w, mut c] = spec.input;
    for layer in &spec.layers {
        let (kind, weights) = match *layer {
            Layer::Conv2d { filters, kernel: [kh, kw], stride, padding } => {
                let out = |size: usize, k: usize| match padding {
                    Padding::Valid => (size - k) / stride + 1,
                    Padding::Same => size.div_ceil(stride),
                };
                let kernel = vec![kh, kw, c, filters];
                (h, w, c) = (out(h, kh), out(w, kw), filters);
                ("conv2d", vec![("kernel", kernel), ("bias", vec![filters])])
            }
            Layer::BatchNorm { .. } => {
                let names = ["gamma", "beta", "moving_mean", "moving_variance"];
                ("batch_normalization", names.map(|name| (name, vec![c])).to_vec())
            }
            Layer::Dense { units } => {
                let kernel = vec![h * w * c, units];
                (h, w, c) = (1, 1, units);
                ("dense", vec![("kernel", kernel), ("bias", vec![units])])
            }
            Layer::MaxPool2d { size } => {
                (h, w) = (h / size, w / size);
                continue;
            }
            Layer::Relu | Layer::Flatten => continue,
        };
        let count = seen.entry(kind).or_default();
        let layer = if *count == 0 { kind.to_string() } else { format!("{kind}_{count}") };
        *count += 1;
        shapes.extend(weights.into_iter().map(|(name, shape)| (format!("{layer}/{name}"), shape)));
    }
    shapes
}

#[test]
fn every_case_is_whole() {
    for name in CASES {
        let case = Case::read(name);
        let expected = shapes(&case.spec);
        for group in ["init", "final"] {
            let found: BTreeMap<_, _> = case.group(group).map(|(k, t)| (k.to_string(), t.shape.clone())).collect();
            assert_eq!(found, expected, "{name}: {group}");
        }
        let trainable: BTreeMap<_, _> = expected.into_iter().filter(|(k, _)| !k.contains("/moving_")).collect();
        let found: BTreeMap<_, _> = case.group("grad").map(|(k, t)| (k.to_string(), t.shape.clone())).collect();
        assert_eq!(found, trainable, "{name}: grad");

        let Some(Layer::Dense { units }) = case.spec.layers.last() else { panic!("{name}: no dense layer at the end") };
        let Golden { shape, .. } = case.tensor("x");
        assert_eq!(shape[2..], case.spec.input, "{name}: x");
        assert_eq!(case.tensor("y").shape, [shape[0], shape[1], *units], "{name}: y");
        assert_eq!(case.tensor("eval/logits").shape, [shape[1], *units], "{name}: eval/logits");
        let (x, y) = case.batch(STEPS - 1);
        assert!(x.iter().chain(&y).all(|v| (0.0..=1.0).contains(v)), "{name}: images and labels are from 0 to 1");
        if let Loss::SoftmaxCrossEntropy { .. } = case.spec.loss {
            assert!(y.chunks(*units).all(|row| row.iter().sum::<f32>() == 1.0), "{name}: y is one-hot");
        }
        match case.spec.optimizer {
            Optimizer::Adam { learning_rate, beta_1, beta_2, epsilon } => {
                assert!(learning_rate > 0.0 && beta_1 < beta_2 && beta_2 < 1.0 && epsilon > 0.0, "{name}: optimizer");
            }
            Optimizer::Sgd { learning_rate, momentum, nesterov } => {
                assert!(learning_rate > 0.0 && momentum < 1.0, "{name}: optimizer");
                assert!(!nesterov || momentum > 0.0, "{name}: Nesterov without momentum is plain");
            }
        }
        for layer in &case.spec.layers {
            if let Layer::BatchNorm { momentum, epsilon } = *layer {
                assert!(0.0 < momentum && momentum < 1.0 && epsilon > 0.0, "{name}: {layer:?}");
            }
        }
        let (Loss::SigmoidCrossEntropy { class_weights } | Loss::SoftmaxCrossEntropy { class_weights }) =
            &case.spec.loss;
        assert!(class_weights.as_ref().is_none_or(|w| w.len() == *units), "{name}: a weight a class");
    }
}

/// A trajectory that went nowhere would agree with an optimizer that does nothing.
#[test]
fn every_case_learns() {
    for name in CASES {
        let case = Case::read(name);
        let losses = &case.tensor("losses").values;
        assert_eq!(losses.len(), STEPS, "{name}");
        let round = |from: usize| losses[from..from + 4].iter().sum::<f64>();
        assert!(round(STEPS - 4) < 0.97 * round(0), "{name}: {losses:?}");
        for (weight, before) in case.group("init") {
            let after = case.tensor(&format!("final/{weight}"));
            let moved =
                std::panic::catch_unwind(|| assert_close(weight, &before.to_f32(), &after.values, 2e-4)).is_err();
            assert!(moved, "{name}: {weight} stayed where it was");
        }
    }
}

#[test]
fn closeness_is_relative_to_the_norm() {
    assert_close("equal", &[3.0, 4.0], &[3.0, 4.0], 0.0);
    assert_close("within", &[3.0, 4.0], &[3.0, 4.0004], 1e-4);
    let fails = |ours: &'static [f32], golden: &'static [f64]| {
        std::panic::catch_unwind(|| assert_close("planted", ours, golden, 1e-4)).is_err()
    };
    assert!(fails(&[3.0, 4.0], &[3.0, 4.0006]));
    assert!(fails(&[3.0, f32::NAN], &[3.0, 4.0]));
    assert!(fails(&[3.0], &[3.0, 4.0]));
    assert!(fails(&[1e-6], &[0.0]));
}
