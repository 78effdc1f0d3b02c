//! `tools/keras_model.py` against Keras itself. It runs where `ONESHEET_KERAS_PYTHON` names a python
//! that has Keras, NumPy and safetensors, and nowhere else.

use onesheet::data::demo;
use safetensors::SafeTensors;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The python that has Keras, where there is one.
fn python() -> Option<OsString> {
    let python = std::env::var_os("ONESHEET_KERAS_PYTHON");
    if python.is_none() {
        eprintln!("ONESHEET_KERAS_PYTHON names no python with Keras: nothing is tested");
    }
    python
}

/// Runs a command in a folder; what it prints.
fn done(folder: &Path, command: &mut Command) -> String {
    let output = command.current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

/// A model as somebody would write it in Keras, trained for a few steps on noise and saved as
/// `theirs.keras`.
const THEIRS: &str = r#"
import keras, numpy
from keras import layers
keras.utils.set_random_seed(1)
model = keras.Sequential([
    keras.Input((32, 32, 3)), layers.Rescaling(1 / 255),
    layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(momentum=0.8), layers.MaxPooling2D(),
    layers.Conv2D(6, (2, 3), strides=2, padding="same", use_bias=False), layers.BatchNormalization(scale=False),
    layers.ReLU(), layers.Flatten(), layers.Dense(8, activation="relu"), layers.Dropout(0.3),
    layers.Dense(5, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
random = numpy.random.default_rng(1)
model.fit(random.uniform(0, 255, (64, 32, 32, 3)), random.integers(0, 5, 64), epochs=10, verbose=0)
model.save("theirs.keras")
"#;

#[test]
fn models_go_to_keras_and_back() {
    let Some(python) = python() else { return };
    let (root, program) = (Path::new(env!("CARGO_MANIFEST_DIR")), env!("CARGO_BIN_EXE_train"));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    demo::draw(&folder.join("data"), 240, 1).unwrap();
    let train = |line: &str| done(folder, Command::new(program).args(line.split_whitespace()));
    let keras = |line: &str| {
        let tool = root.join("tools/keras_model.py");
        done(folder, Command::new(&python).arg(tool).args(line.split_whitespace()))
    };
    let compare = |line: &str| {
        keras(&format!("compare {line} --data data --cache cache --posters 40 --train {program}"));
    };

    let run = "run --data data --cache cache --epochs 2 --batch 8 --bn-momentum 0.8";
    train(&format!("{run} --out best --experiment multi-label --recipe best --input 48 --filters 4,8 --views crops"));
    train(&format!("{run} --out report --experiment top-6 --recipe report --input 32 --filters 4,8 --dense 6"));
    for run in ["best/multi-label", "report/top-6"] {
        compare(run);
        keras(&format!("to-keras {run} ours.keras"));
        keras(&format!("from-keras ours.keras back.safetensors --like {run}"));
        let [ours, back] = [folder.join(run).join("model.safetensors"), folder.join("back.safetensors")]
            .map(|path| fs::read(path).unwrap());
        let [ours, back] = [&ours, &back].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
        assert_eq!(ours.names().len(), back.names().len());
        for (name, tensor) in ours.tensors() {
            let there = back.tensor(&name).unwrap();
            assert!(there.shape() == tensor.shape() && there.data() == tensor.data(), "{name} of {run}");
        }
    }

    done(folder, Command::new(&python).args(["-c", THEIRS]));
    keras("from-keras theirs.keras theirs.safetensors --genres A,B,C,D,E");
    compare("theirs.safetensors --keras theirs.keras");
    let same = "--recipe report --input 32 --filters 4 --dense 0 --epochs 1 --init-from theirs.safetensors";
    let out = train(&format!("run --data data --cache cache --out from --experiment top-6 {same}"));
    assert!(out.contains(&format!("{} of the weights start as those of", 4 * 27 + 4 + 4 * 4)), "{out}");
}

#[test]
fn what_onesheet_has_no_layer_for_is_refused_by_name() {
    let Some(python) = python() else { return };
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools");
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
import keras, keras_model
from keras import layers
def refused(*chain, side=8, last="softmax"):
    end = layers.Flatten(), layers.Dense(2, activation=last, name="end")
    try:
        keras_model.save(keras.Sequential([keras.Input((side, side, 3)), *chain, *end]), "none.safetensors")
    except keras_model.Misfit as error:
        return str(error)
assert "se: onesheet has no SeparableConv2D" in refused(layers.SeparableConv2D(2, 3, name="se"))
assert "c: the activation gelu" in refused(layers.Conv2D(2, 3, activation="gelu", name="c"))
assert "c: dilation_rate" in refused(layers.Conv2D(2, 3, dilation_rate=2, name="c"))
assert "p: strides" in refused(layers.MaxPooling2D(3, 2, name="p"))
assert "r: pixels" in refused(layers.Rescaling(1 / 127.5, -1, name="r"))
assert "b: axis" in refused(layers.BatchNormalization(axis=1, name="b"))
assert "end: it ends in neither" in refused(last=None)
assert "input" in refused(side=300)
assert refused() is None
i = keras.Input((8, 8, 3))
sum = layers.Add(name="sum")([i, layers.Conv2D(3, 3, padding="same")(i)])
try:
    keras_model.save(keras.Model(i, layers.Dense(2, activation="softmax")(layers.Flatten()(sum))), "none.safetensors")
    assert False
except keras_model.Misfit as error:
    assert "sum: it does not follow" in str(error), error
"#;
    let mut command = Command::new(&python);
    done(folder.path(), command.args(["-c", script]).env("PYTHONPATH", tools));
}
