//! Trainings on disk: one that is taken up again goes on to the bit, and nothing damaged is taken
//! up.

use crate::common::{Data, assert_same_bits, with_threads};
use crate::weights::write_tensors;
use onesheet::Error;
use onesheet::nn::{
    Average, Decay, Head, Input, Isa, ModelSpec, Optimizer, Padding, Rule, Schedule, Sequential, Sgd, Trainer,
};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const CLASSES: usize = 3;
const BATCH: usize = 4;
const IMAGE: [usize; 3] = [10, 9, 3];

fn spec(fused: bool) -> ModelSpec {
    let spec = ModelSpec::input(&IMAGE).conv2d(4, 3, Padding::Same).relu().batch_norm(0.9);
    let spec = if fused { spec.max_pool2d(2) } else { spec };
    spec.flatten().dense(6).relu().dropout(0.4).dense(CLASSES)
}

fn training(fused: bool, rule: Rule, has_average: bool) -> (Sequential, Trainer) {
    let mut model = Sequential::build(spec(fused), Isa::available()[0], 3).unwrap();
    let mut optimizer = Optimizer::new(rule, &mut model);
    optimizer.schedule = Schedule { warmup: 0.2, decay: Decay::Cosine, steps: 12 };
    let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 5);
    trainer.average = has_average.then(|| Average::new(0.9, &model));
    (model, trainer)
}

/// Takes the steps `from..to` of a training, each on its own batch.
fn train(model: &mut Sequential, trainer: &mut Trainer, from: u64, to: u64, threads: usize) {
    for step in from..to {
        let images = Data::new(step).vec(BATCH * IMAGE.iter().product::<usize>());
        let labels: Vec<f32> = (0..BATCH * CLASSES).map(|i| ((i as u64 + step) % 2) as f32).collect();
        with_threads(threads, || trainer.step(model, Input::F32(&images), &labels));
    }
}

/// Everything that the next steps depend on, and what the training is there for.
fn all_values(model: &mut Sequential, trainer: &mut Trainer) -> Vec<f32> {
    let mut all = Vec::new();
    model.each_parameter(|of| {
        all.extend_from_slice(&of.value);
        of.moments.iter().for_each(|moment| all.extend_from_slice(moment));
    });
    trainer.swap_average(model);
    model.each_parameter(|of| all.extend_from_slice(&of.value));
    trainer.swap_average(model);
    all
}

fn rules() -> [Rule; 3] {
    let sgd = |momentum| Rule::Sgd(Sgd { learning_rate: 0.05, momentum, nesterov: false, weight_decay: 0.01 });
    [Rule::adam(0.01), sgd(0.9), sgd(0.0)]
}

proptest! {
    #![proptest_config(crate::common::cases(24))]

    #[test]
    fn a_training_that_is_taken_up_goes_on_to_the_bit(
        fused: bool, rule in 0usize..3, has_average: bool, at in 0u64..12, threads in 1usize..4
    ) {
        let rule = rules()[rule];
        let (mut model, mut trainer) = training(fused, rule, has_average);
        train(&mut model, &mut trainer, 0, 12, 2);
        let expected = all_values(&mut model, &mut trainer);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        let (mut model, mut trainer) = training(fused, rule, has_average);
        train(&mut model, &mut trainer, 0, at, 2);
        trainer.save(&model, &path).unwrap();
        let (mut model, mut trainer) = training(fused, rule, has_average);
        trainer.resume(&mut model, &path).unwrap();
        prop_assert_eq!(trainer.optimizer.steps(), at);
        train(&mut model, &mut trainer, at, 12, threads);
        assert_same_bits(&all_values(&mut model, &mut trainer), &expected);
    }
}

/// A checkpoint after five steps with Adam and an average.
fn saved() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let (mut model, mut trainer) = training(true, Rule::adam(0.01), true);
    train(&mut model, &mut trainer, 0, 5, 1);
    trainer.save(&model, &path).unwrap();
    (folder, path)
}

/// What taking up a file says, in one line that names it.
fn refusal(path: &Path) -> String {
    let (mut model, mut trainer) = training(true, Rule::adam(0.01), true);
    let error = trainer.resume(&mut model, path).expect_err("it is refused");
    assert!(matches!(error, Error::Data { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&path.display().to_string()) && !text.contains('\n'), "{text}");
    text
}

#[test]
fn a_checkpoint_that_is_cut_anywhere_is_refused() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    for percent in 0..100 {
        fs::write(&path, &bytes[..bytes.len() * percent / 100]).unwrap();
        let text = refusal(&path);
        assert!(text.contains("not a whole safetensors file"), "{percent} %: {text}");
    }
    fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert!(refusal(&path).contains("not a whole safetensors file"));
}

#[test]
fn a_checkpoint_with_a_flipped_bit_is_refused() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in (header..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let text = refusal(&path);
        assert!(text.contains("it is damaged") || text.contains(" hold "), "byte {at}: {text}");
    }
}

#[test]
fn lying_lengths_are_refused_before_memory_is_claimed() {
    let (_folder, path) = saved();
    let bytes = fs::read(&path).unwrap();
    for len in [0, 1, u64::MAX, 1 << 40, (64 << 20) + 1, bytes.len() as u64] {
        let mut lying = bytes.clone();
        lying[..8].copy_from_slice(&len.to_le_bytes());
        fs::write(&path, lying).unwrap();
        assert!(refusal(&path).contains("not a whole safetensors file"), "{len}");
    }
    // A tensor that lies over another, or reaches beyond the end.
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    for offsets in [[0u64, 4], [0, 1 << 50], [u64::MAX - 4, u64::MAX]] {
        let mut lying = header.clone();
        lying["dense_1/bias"]["data_offsets"] = offsets.to_vec().into();
        let lying = serde_json::to_vec(&lying).unwrap();
        fs::write(&path, [&(lying.len() as u64).to_le_bytes()[..], &lying, &bytes[8 + header_len..]].concat()).unwrap();
        assert!(refusal(&path).contains("not a whole safetensors file"), "{offsets:?}");
    }
}

/// Tensors by name, with their shapes and values.
type Tensors = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes a checkpoint whose tensors are changed on the way, and that says no checksum.
fn changed(path: &Path, change: impl FnOnce(&mut Tensors, &mut Value)) {
    let (_folder, original) = saved();
    let bytes = fs::read(original).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut description: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["onesheet"]).unwrap();
    let checksum = description.as_object_mut().unwrap().remove("checksum");
    assert!(checksum.is_some_and(|checksum| checksum.is_u64()));
    let mut tensors: Tensors = HashMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
        let values = view.data().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    change(&mut tensors, &mut description);
    let tensors = tensors.into_iter().map(|(name, (shape, values))| (name, shape, values));
    write_tensors(path, &description, tensors.collect());
}

#[test]
fn what_does_not_fit_the_training_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let refused = |change: &dyn Fn(&mut Tensors, &mut Value), message: &str| {
        changed(&path, change);
        let text = refusal(&path);
        assert!(text.contains(message), "{text}");
    };
    let remove = |name: &'static str| move |of: &mut Tensors, _: &mut Value| drop(of.remove(name).unwrap());
    refused(&remove("moments/1/dense/kernel"), "the weights moments/1/dense/kernel are missing");
    refused(&remove("average/conv2d/bias"), "the weights average/conv2d/bias are missing");
    refused(&|of, _| drop(of.insert("other".into(), (vec![1], vec![0.0]))), "instead of");
    let reshape = |of: &mut Tensors, _: &mut Value| of.get_mut("moments/0/conv2d/bias").unwrap().0 = vec![2, 2];
    refused(&reshape, "the weights moments/0/conv2d/bias are (F32, [2, 2]) instead of F32 [4]");
    let set =
        |name: &'static str, value: f32| move |of: &mut Tensors, _: &mut Value| of.get_mut(name).unwrap().1[0] = value;
    refused(&set("dense/kernel", f32::NAN), "the weights dense/kernel hold NaN");
    refused(&set("moments/0/dense/kernel", f32::INFINITY), "the weights moments/0/dense/kernel hold inf");
    refused(&set("moments/1/dense/kernel", -1.0), "the weights moments/1/dense/kernel hold -1");
    refused(&set("average/batch_normalization/moving_variance", -1.0), "moving_variance hold -1");
    refused(&|_, of| of["checksum"] = 1.into(), "it is damaged");
    refused(&|_, of| of["training"]["average"] = Value::Null, "another moving average");
    refused(&|_, of| of["training"]["best"] = true.into(), "the weights best/conv2d/kernel are missing");
    refused(&|_, of| of["training"] = Value::Null, "its description is broken");
    changed(&path, |_, _| ());
    let (mut model, mut trainer) = training(true, Rule::adam(0.01), true);
    trainer.resume(&mut model, &path).unwrap();
    // Of another rule, and of another model.
    let (mut model, mut trainer) = training(true, rules()[2], true);
    assert!(trainer.resume(&mut model, &path).unwrap_err().to_string().contains("tensors instead of"));
    let (mut model, mut trainer) = training(false, Rule::adam(0.01), true);
    assert!(trainer.resume(&mut model, &path).unwrap_err().to_string().contains("dense/kernel are (F32, [80, 6])"));
}

#[test]
fn a_training_that_has_run_away_is_not_saved() {
    let (folder, path) = saved();
    let before = fs::read(&path).unwrap();
    for poison in [f32::NAN, f32::NEG_INFINITY] {
        let (mut model, trainer) = training(true, Rule::adam(0.01), true);
        model.each_parameter_mut(|of| of.value[0] = poison);
        let error = trainer.save(&model, &path).unwrap_err();
        assert!(matches!(error, Error::Data { .. }) && error.to_string().contains("it has run away"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
