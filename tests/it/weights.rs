//! Models on disk: what was saved comes back, and nothing that is damaged does.

use onesheet::Error;
use onesheet::nn::{Input, Isa, ModelSpec, Optimizer, Padding, Pass, Rule, Sequential};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn spec() -> ModelSpec {
    let spec = ModelSpec::input(&[6, 5, 2]).conv2d(3, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    spec.flatten().dense(4).relu().dropout(0.2).dense(3)
}

fn model(seed: u64) -> Sequential {
    Sequential::build(spec(), Isa::available()[0], seed).unwrap()
}

fn saved() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model(7).save(&path).unwrap();
    (folder, path)
}

/// What loading a file says, in one line that names it.
fn refusal(path: &Path) -> String {
    let Err(error) = Sequential::load(path, Isa::available()[0]) else { panic!("loaded {}", path.display()) };
    assert!(matches!(error, Error::Data { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&path.display().to_string()) && !text.contains('\n'), "{text}");
    text
}

/// Writes a model file whose description and tensors are changed on the way.
fn write_changed(path: &Path, change: impl FnOnce(&mut Value, &mut Vec<(String, Vec<usize>, Vec<f32>)>)) {
    let mut description = json!({ "model": spec() });
    let model = model(7);
    let parameters = model.parameters().into_iter();
    let mut tensors = parameters.map(|p| (p.name(), p.shape.clone(), p.value.to_vec())).collect();
    change(&mut description, &mut tensors);
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, values)| (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("values fit their shape"))
    });
    let metadata = HashMap::from([("onesheet".to_owned(), description.to_string())]);
    fs::write(path, serialize(views, Some(metadata)).unwrap()).unwrap();
}

#[test]
fn a_saved_model_comes_back_whole() {
    let (_folder, path) = saved();
    let input: Vec<f32> = (0..2 * 60).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut original = model(7);
    let mut loaded = Sequential::load(&path, Isa::available()[0]).unwrap();
    assert_eq!(loaded.spec(), original.spec());
    let expected = original.forward(Input::F32(&input), Pass::Inference).values().to_vec();
    assert_eq!(loaded.forward(Input::F32(&input), Pass::Inference).values(), expected);
    for (own, from) in loaded.parameters().into_iter().zip(original.parameters()) {
        assert_eq!((own.name(), &own.shape, &*own.value), (from.name(), &from.shape, &*from.value));
    }
}

#[test]
fn the_same_model_gives_the_same_bytes_whatever_optimizer_it_had() {
    let (folder, path) = saved();
    let other = folder.path().join("other.safetensors");
    let mut model = model(7);
    Optimizer::new(Rule::adam(1e-3), &mut model);
    model.save(&other).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&other).unwrap());
}

#[test]
fn fields_that_others_add_to_the_description_are_passed_over() {
    let (_folder, path) = saved();
    write_changed(&path, |description, _| {
        description["classes"] = json!(["a", "b", "c"]);
        description["made_by"] = json!({ "name": "somebody", "numbers": [1, 2] });
    });
    Sequential::load(&path, Isa::available()[0]).unwrap();
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let (folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    let cut = folder.path().join("cut.safetensors");
    for len in (0..whole.len()).step_by(whole.len() / 60) {
        fs::write(&cut, &whole[..len]).unwrap();
        refusal(&cut);
    }
}

#[test]
fn weights_that_do_not_fit_the_description_are_refused_by_name() {
    type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;
    let (_folder, path) = saved();
    let refused = |change: &dyn Fn(&mut Tensors), part: &str| {
        write_changed(&path, |_, tensors| change(tensors));
        let text = refusal(&path);
        assert!(text.contains(part), "{part}: {text}");
    };
    let at = |tensors: &Tensors, name: &str| tensors.iter().position(|tensor| tensor.0 == name).unwrap();
    let variance = "batch_normalization/moving_variance";
    refused(&|tensors| drop(tensors.pop()), "9 weights instead of 10");
    refused(&|tensors| tensors[0].0 = "conv2d/weights".into(), "the weights conv2d/kernel are missing");
    refused(&|tensors| tensors[1].1 = vec![3, 1], "the weights conv2d/bias are (F32, [3, 1]) instead of F32 [3]");
    refused(&|tensors| tensors[8].2[5] = f32::NAN, "the weights dense_1/kernel hold NaN");
    refused(
        &|tensors| {
            let at = at(tensors, variance);
            tensors[at].2[1] = -1.0;
        },
        "the weights batch_normalization/moving_variance hold -1",
    );
    // A mean may be negative.
    write_changed(&path, |_, tensors| {
        let at = at(tensors, "batch_normalization/moving_mean");
        tensors[at].2[1] = -1.0;
    });
    Sequential::load(&path, Isa::available()[0]).unwrap();
}

#[test]
fn a_small_file_cannot_ask_for_a_large_model() {
    let (_folder, path) = saved();
    let refused = |layers: Value, part: &str| {
        write_changed(&path, |description, _| {
            description["model"]["input"] = json!([256, 256, 3]);
            description["model"]["layers"] = layers;
        });
        assert!(refusal(&path).contains(part), "{}", refusal(&path));
    };
    let relus = |count| vec![json!({ "layer": "relu" }); count];
    refused(json!(relus(50_000)), "50000 layers");
    let conv = json!({ "layer": "conv2d", "filters": 1000, "kernel": [1, 1], "stride": 1, "padding": "valid" });
    refused(json!([vec![conv], relus(31)].concat()), "more than 2^26 values for one item");
}

#[test]
fn a_description_that_asks_for_more_memory_than_there_is_is_refused_before_any_is_taken() {
    let (_folder, path) = saved();
    let huge = |description: &mut Value| description["model"]["layers"][5]["units"] = json!(1_u64 << 50);
    write_changed(&path, |description, _| huge(description));
    assert!(refusal(&path).contains("at most 2^24 units"), "{}", refusal(&path));
    // Sizes whose products no number holds.
    let sizes = [
        ("filters", 1_u64 << 63, "at most 2^24"),
        ("stride", u64::MAX, "at most 2^24"),
        ("filters", 1 << 24, "more than 2^26 values"),
    ];
    for (field, size, part) in sizes {
        write_changed(&path, |description, _| {
            description["model"]["layers"][0][field] = json!(size);
        });
        assert!(refusal(&path).contains(part), "{}", refusal(&path));
    }
    write_changed(&path, |description, _| description["model"]["input"] = json!([1 << 24, 1 << 24, 1 << 20]));
    assert!(refusal(&path).contains("more values than memory can hold"), "{}", refusal(&path));
    write_changed(&path, |description, _| description["model"]["layers"][0]["kernel"] = json!([9, 0]));
    assert!(refusal(&path).contains("at least 1"), "{}", refusal(&path));
    write_changed(&path, |description, _| drop(description.as_object_mut().unwrap().remove("model")));
    assert!(refusal(&path).contains("its description is broken"), "{}", refusal(&path));
}
