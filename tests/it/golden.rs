//! The golden files of training in `tests/golden`, made with Keras by `tools/golden.py`, which says
//! what is in them.
//!
//! Data flows from a file to a [`Case`] (the description of a net, and its tensors by name) and on
//! to a comparison with [`assert_close`].

use std::collections::BTreeMap;

use crate::common::golden::{Golden, assert_close, read};
use onesheet::nn::{Head, Input, Isa, ModelSpec, Objective, Optimizer, Pass, Rule, Sequential};
use serde::Deserialize;

/// All cases: the poster model, 'same' padding on odd sizes, strides and even kernels; three
/// optimizers; weighted losses; clipped gradients.
pub const CASES: [&str; 6] = [
    "adam_sigmoid",
    "nesterov_softmax",
    "sgd_strided",
    "momentum_softmax_weighted",
    "adam_sigmoid_weighted",
    "momentum_softmax_clipped",
];

/// Optimizer steps per case; step `i` trains on batch `i % batches`.
pub const STEPS: usize = 20;

/// The model, loss and optimizer of a case.
#[derive(Debug, Deserialize)]
pub struct Spec {
    #[serde(flatten)]
    pub model: ModelSpec,
    pub loss: Loss,
    pub optimizer: Rule,
    /// The norm that gradients are clipped to, where they are.
    #[serde(default)]
    pub clip_norm: Option<f32>,
}

/// The cross-entropy of the logits: the mean of the weighted terms over the batch and, for sigmoid,
/// also over the classes.
#[derive(Debug, Deserialize)]
pub struct Loss {
    pub head: Head,
    pub class_weights: Option<Vec<f32>>,
}

/// The content of a golden file.
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

    /// The tensors under `init`, `grad` or `final`, by their names in Keras.
    pub fn group(&self, group: &str) -> impl Iterator<Item = (&str, &Golden)> {
        self.tensors.iter().filter_map(move |(name, t)| Some((name.strip_prefix(group)?.strip_prefix('/')?, t)))
    }

    /// Batch `step % batches` as the net sees it: images `[n, h, w, c]` from 0 to 1, labels
    /// `[n, classes]`.
    pub fn batch(&self, step: usize) -> (Vec<f32>, Vec<f32>) {
        let (x, y) = (self.tensor("x"), self.tensor("y"));
        let i = step % x.shape[0];
        (x.row(i).iter().map(|&v| v as f32 / 255.0).collect(), y.row(i).iter().map(|&v| v as f32).collect())
    }
}

/// Repeats the training that a golden file records with our own model, and compares.
fn train(case: &Case, isa: Isa) {
    let Spec { model: spec, loss: Loss { head, class_weights }, optimizer, clip_norm } = &case.spec;
    let mut model = Sequential::build(spec.clone(), isa, 0).unwrap();
    model.each_parameter_mut(|parameter| {
        let init = case.tensor(&format!("init/{}", parameter.name()));
        assert_eq!(init.shape, parameter.shape, "{}: {}", case.name, parameter.name());
        parameter.value.copy_from_slice(&init.to_f32());
    });
    let parameters = model.parameters().len();
    assert_eq!(case.group("init").count(), parameters, "{}: weights that our model does not have", case.name);

    let objective = Objective { class_weights: class_weights.clone(), ..Objective::from(*head) };
    let mut optimizer = Optimizer::new(*optimizer, &mut model);
    optimizer.clip_norm = *clip_norm;
    let classes = model.outputs();
    let losses = &case.tensor("losses").values;
    for (step, &expected) in losses.iter().enumerate() {
        let (x, y) = case.batch(step);
        let (mut probabilities, mut dlogits) = (vec![0.0; y.len()], vec![0.0; y.len()]);
        let logits = model.forward(Input::F32(&x), Pass::Training { seed: 0, step: step as u64, first: 0 }).values();
        let loss = objective.cross_entropy(classes, logits, &y, &mut probabilities, &mut dlogits);
        assert_close(&format!("{}: loss of step {step}", case.name), &[loss as f32], &[expected], 1e-4);
        if step == 0 {
            model.backward(&dlogits);
            for parameter in model.parameters().into_iter().filter(|parameter| parameter.is_trained()) {
                let name = parameter.name();
                let golden = case.tensor(&format!("grad/{name}"));
                assert_close(&format!("{}: gradient of {name}", case.name), &parameter.gradient, &golden.values, 1e-4);
            }
            model.each_parameter_mut(|parameter| parameter.gradient.fill(0.0));
        }
        optimizer.step(&mut model, &dlogits);
    }
    for parameter in model.parameters() {
        let name = parameter.name();
        let golden = case.tensor(&format!("final/{name}"));
        assert_close(&format!("{}: {name} in the end", case.name), &parameter.value, &golden.values, 1e-4);
    }
    let (x, _) = case.batch(0);
    let logits = model.forward(Input::F32(&x), Pass::Inference).values();
    assert_close(&format!("{}: inference", case.name), logits, &case.tensor("eval/logits").values, 1e-4);
}

#[test]
fn training_follows_keras() {
    for name in CASES {
        let case = Case::read(name);
        Isa::available().into_iter().for_each(|isa| train(&case, isa));
    }
}

/// Checks that training moves the weights: a trajectory that went nowhere would also agree with an
/// optimizer that does nothing.
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
