//! `tools/learning_curve`, without the frozen network: what it measures, fits and writes. It runs where
//! there is a Python with NumPy.

use crate::cli::{posters, train};
use crate::export::python;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tool(python: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/learning_curve"));
    command.args(["--no-frozen", "--train", env!("CARGO_BIN_EXE_train"), "--draws", "100", "--threads", "1"]);
    command.arg("--data").arg(posters()).arg("--out").arg(out).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).join("")
}

fn ids(folder: &Path, side: &str) -> Vec<String> {
    let frame = fs::read_to_string(folder.join(format!("frames/multi-label/{side}.csv"))).unwrap();
    frame.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
}

#[test]
fn a_learning_curve_has_the_figures_of_its_runs_and_trains_them_once() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("curve");
    let recipe = ["--", "--input", "32", "--filters", "4", "--batch", "16", "--epochs", "2", "--quiet"];
    let options = [&["--parts", "24,48,96", "--seeds", "1,2", "--at", "1000,100000"][..], &recipe].concat();
    let first = tool(&python, &out, &options);
    assert!(first.status.success(), "{}", said(&first));

    let json = fs::read_to_string(out.join("curve.json")).unwrap();
    let curve: Value = serde_json::from_str(&json).unwrap();
    let parts = curve["parts"].as_array().unwrap();
    let run = |part: u64, seed: u64| -> PathBuf { out.join(format!("{part}/seed-{seed}")) };
    for (part, films) in parts.iter().zip([24, 48, 96]) {
        assert_eq!(part["limit"], films);
        // The demo has a poster that does not decode.
        assert_eq!(part["films"].as_u64(), Some(ids(&run(films, 1), "train").len() as u64));
        for of_seed in part["seeds"].as_array().unwrap() {
            let model = run(films, of_seed["seed"].as_u64().unwrap()).join("multi-label");
            assert!(!model.join("metrics.json").exists(), "the test films were looked at");
            let [model, data] = [&model, posters()].map(|path| path.to_str().unwrap());
            let evaluated = train(&["evaluate", model, "--data", data, "--split", "val", "--json"]);
            let evaluated: Value = serde_json::from_str(&evaluated.stdout).unwrap();
            assert_eq!(curve["films"], evaluated["films"]);
            for figure in ["macro_auc", "macro_ap", "top1_hit", "top3_hit", "loss"] {
                let [ours, theirs] = [of_seed, &evaluated].map(|of| of[figure].as_f64().unwrap());
                assert!((ours - theirs).abs() < 1e-6, "{figure} of {model}: {ours}, and by `evaluate` {theirs}");
            }
        }
        let mean =
            part["seeds"].as_array().unwrap().iter().map(|of| of["macro_auc"].as_f64().unwrap()).sum::<f64>() / 2.0;
        let of = &part["models"]["onesheet"]["macro_auc"];
        assert!((of["value"].as_f64().unwrap() - mean).abs() < 1e-12);
        assert!(of["interval"][0].as_f64().unwrap() < mean && mean < of["interval"][1].as_f64().unwrap(), "{of}");
    }
    let [small, large] = [24, 96].map(|part| ids(&run(part, 1), "train"));
    assert!(small.iter().all(|id| large.contains(id)), "the parts are nested");
    // Two epochs of each number of films.
    assert_eq!(curve["extrapolated"][1]["images"], 200_000);
    let [hours, speed] = [&curve["extrapolated"][1]["hours"]["here"], &curve["speed"]["images_per_second"]];
    assert!((hours.as_f64().unwrap() * speed.as_f64().unwrap() * 3600.0 - 2e5).abs() < 1.0, "{hours} at {speed}");
    let table = fs::read_to_string(out.join("curve.md")).unwrap();
    assert_eq!(table, String::from_utf8(first.stdout).unwrap());
    assert!(table.contains("| 100,000 | onesheet | power |") && !table.contains("nan"), "{table}");
    let picture = fs::read_to_string(out.join("curve.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n") && !picture.contains("nan"), "{picture}");

    // One run is lost: it alone is trained again, and the results are the same but for the time it took.
    let trained = |part| fs::metadata(run(part, 1).join("multi-label/model.safetensors")).unwrap().modified().unwrap();
    let before = [24, 48].map(trained);
    fs::remove_dir_all(run(48, 1)).unwrap();
    let again = tool(&python, &out, &options);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!([24, 48].map(trained)[0], before[0]);
    assert_ne!([24, 48].map(trained)[1], before[1]);
    assert_eq!(fs::read_to_string(out.join("curve.json")).unwrap(), json);

    // Runs of other options are not taken for these.
    let mut others = options.clone();
    let epochs = others.len() - 2;
    others[epochs] = "3";
    let refused = tool(&python, &out, &others);
    assert!(!refused.status.success() && said(&refused).contains("other options"), "{}", said(&refused));
    assert_eq!(fs::read_to_string(out.join("curve.json")).unwrap(), json);
}

#[test]
fn options_that_a_learning_curve_cannot_have_are_refused() {
    let Some(python) = python() else { return };
    let out = tempfile::tempdir().unwrap();
    for (more, why) in [
        (&["--parts", "24,48"][..], "three parts"),
        (&["--parts", "24,48,48"], "different"),
        (&["--", "--limit=3"], "--limit is the tool's own"),
        (&["--", "--limit-val", "3"], "--limit-val is the tool's own"),
    ] {
        let refused = tool(&python, out.path(), more);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
}

/// Figures that follow a form to the last digit, and figures that would end below nothing.
const FORMS: &str = r#"
import numpy
from curve import Curve, extrapolate
films, targets = numpy.array([366, 733, 1466, 2933, 5866.]), [30_000, 439_000]
power = lambda n: 0.8 - 2.0 * numpy.asarray(n, float) ** -0.4
line = lambda n: 0.3 + 0.05 * numpy.log(n)
for form, y in ("power", power), ("log-linear", line):
    of = extrapolate("macro_auc", films, numpy.stack([y(films)] * 3), targets)[form]
    at = [at["value"] for at in of["at"]]
    assert numpy.allclose(at, y(targets), atol=2e-3), (form, at, y(targets))
    assert of["rms_error"] < 2e-4, of
    assert abs(of["largest_from_others"] - y(5866)) < 2e-3, of
# A loss that falls in a straight line would be below 0 at 10^9 films; neither form says so.
loss = numpy.stack([1.0 - 0.06 * numpy.log(films)] * 3)
for form in "power", "log-linear":
    curve = Curve(form, films, loss)
    assert curve.at([1e9])[0, 0] >= 0 and (form == "log-linear" or curve.a[0] >= 0), form
# A figure that more films made worse is level to the power law, since it is of what can be learned.
worse = numpy.stack([numpy.linspace(0.6, 0.5, 5)] * 3)
assert numpy.allclose(Curve("power", films, 1 - worse).at(targets), 0.45)
"#;

#[test]
fn both_forms_of_a_learning_curve_find_what_they_were_made_of() {
    let Some(python) = python() else { return };
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/peers");
    let output = Command::new(python).args(["-B", "-c", FORMS]).env("PYTHONPATH", modules).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
