//! Models on disk: what was saved comes back, and nothing that is damaged does.

use onesheet::Error;
use onesheet::classifier::{Classifier, Meta};
use onesheet::data::transform::Views;
use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Padding, Pass, Role, Rule, Sequential};
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

/// Tensors with their names, shapes and values.
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Writes a safetensors file as onesheet does, with whatever description and tensors.
pub fn write_tensors(path: &Path, description: &Value, tensors: Tensors) {
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

/// A file whose checksum has another name, and is none.
pub fn without_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let at = file.windows(8).position(|window| window == b"checksum").expect("it has a checksum");
    file[at] = b'C';
    file
}

/// Writes a model file whose description and tensors are changed on the way.
fn write_changed(path: &Path, change: impl FnOnce(&mut Value, &mut Tensors)) {
    let mut description = json!({ "model": spec() });
    let model = model(7);
    let parameters = model.parameters().into_iter();
    let mut tensors = parameters.map(|p| (p.name(), p.shape.clone(), p.value.to_vec())).collect();
    change(&mut description, &mut tensors);
    write_tensors(path, &description, tensors);
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

/// A bit of the checksum's name may flip: the file then has none, as files of others have.
#[test]
fn a_bit_that_flips_is_noticed() {
    let (folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    let flipped = folder.path().join("flipped.safetensors");
    let values = |model: &Sequential| model.parameters().iter().map(|of| of.value.to_vec()).collect::<Vec<_>>();
    let (expected, mut unnoticed) = (values(&model(7)), 0);
    for bit in (0..8 * whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&flipped, bytes).unwrap();
        if let Ok(model) = Sequential::load(&flipped, Isa::available()[0]) {
            assert!(model.spec() == &spec() && values(&model) == expected, "bit {bit}");
            unnoticed += 1;
        }
    }
    assert!(unnoticed <= 10, "{unnoticed} bits");
    fs::write(&flipped, [&whole[..whole.len() - 1], &[whole[whole.len() - 1] ^ 1]].concat()).unwrap();
    assert!(refusal(&flipped).contains("it is not what was written: it is damaged"));
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
fn a_file_that_holds_more_or_less_than_its_header_says_is_refused_unread() {
    let (_folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    // Nearly nothing on the disk.
    file.set_len(1 << 42).unwrap();
    assert!(refusal(&path).contains(&format!("in a file of {}", 1_u64 << 42)), "{}", refusal(&path));
    for len in [65 << 20, 1 << 41, u64::MAX] {
        fs::write(&path, [&len.to_le_bytes(), &whole[8..]].concat()).unwrap();
        assert!(refusal(&path).contains(&format!("a header of {len} bytes")), "{}", refusal(&path));
    }
    fs::write(&path, [&whole[..], &[0; 4]].concat()).unwrap();
    assert!(refusal(&path).contains("not a whole safetensors file"), "{}", refusal(&path));
}

/// To open a FIFO waits for a writer, and a device may never end.
#[cfg(target_os = "linux")]
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let (folder, path) = saved();
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let socket = folder.path().join("socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [&fifo, &socket, folder.path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
        assert!(refusal(path).contains("not a regular file"), "{}", refusal(path));
    }
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    Sequential::load(&link, Isa::available()[0]).unwrap();
}

/// A training that has run away must not end with a file that nothing can open.
#[test]
fn what_would_not_be_loaded_is_not_saved() {
    let (_folder, path) = saved();
    let before = fs::read(&path).unwrap();
    let wrong = [
        (Role::Kernel, f32::NAN),
        (Role::Bias, f32::INFINITY),
        (Role::Gamma, f32::NEG_INFINITY),
        (Role::MovingMean, f32::NAN),
        (Role::MovingVariance, -1.0),
    ];
    for (role, value) in wrong {
        let mut model = model(7);
        let mut name = String::new();
        model.each_parameter_mut(|parameter| {
            if parameter.role == role && name.is_empty() {
                parameter.value[1] = value;
                name = parameter.name();
            }
        });
        let error = model.save(&path).unwrap_err();
        assert!(matches!(error, Error::Data { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&path.display().to_string()), "{text}");
        assert!(text.contains(&format!("the weights {name} hold {value}")), "{text}");
        assert!(text.contains("lower learning rate") && !text.contains('\n'), "{text}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A classifier's own conditions, beside those of its network.
#[test]
fn a_classifier_whose_head_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let spec = ModelSpec::input(&[8, 8, 3]).conv2d(2, 8, Padding::Valid);
    let classifier = |spec: &ModelSpec, experiment: &str, head, genres: &[&str]| Classifier {
        meta: Meta {
            experiment: experiment.to_owned(),
            head,
            genres: genres.iter().map(|&genre| genre.to_owned()).collect(),
            max_genres: 3,
            epoch: None,
            best: None,
            thresholds: None,
            views: Views::One,
        },
        network: Sequential::build(spec.clone(), Isa::available()[0], 1).unwrap(),
        others: Vec::new(),
    };
    let vector = spec.clone().flatten();
    let cases = [
        (&vector, "multi-label", Head::Sigmoid, &["a", "b"][..], None),
        (&vector, "somebody's own", Head::Softmax, &["a", "b"], None),
        (&spec, "multi-label", Head::Sigmoid, &["a", "b"], Some("its output is [1, 1, 2] for 2 genres")),
        (&vector, "multi-label", Head::Sigmoid, &["a"], Some("its output is [2] for 1 genres")),
        (&vector, "top-6", Head::Sigmoid, &["a", "b"], Some("a sigmoid head does not answer top-6")),
        (&vector, "multi-label", Head::Softmax, &["a", "b"], Some("a softmax head does not answer multi-label")),
    ];
    for (spec, experiment, head, genres, part) in cases {
        classifier(spec, experiment, head, genres).save(&path).unwrap();
        match (Classifier::open(&path, Isa::available()[0]), part) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (opened, _) => panic!("{experiment} {genres:?}: opened {}", opened.is_ok()),
        }
    }
    let mut run_away = classifier(&vector, "multi-label", Head::Sigmoid, &["a", "b"]);
    run_away.network.each_parameter_mut(|parameter| parameter.value.fill(f32::NAN));
    let error = run_away.save(&path).unwrap_err();
    assert!(matches!(error, Error::Data { .. }) && error.to_string().contains("lower learning rate"), "{error}");
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
