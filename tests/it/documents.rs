//! What `docs/files.md` says of the files that a run leaves, held against the files.

use crate::cli::run_folder;
use onesheet::nn::{Rule, Sgd};
use onesheet::run::options::{Options, Teaching};
use onesheet::run::recipe::Recipe;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The names in the first column of the tables under a heading of `docs/files.md`, in their order.
pub fn documented(heading: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/files.md");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.lines().next() == Some(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap());
    cells.flat_map(|cell| cell.split(['`', ',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned)).collect()
}

/// The fields of a value, each with the names of those that it lies in: `a.b`, `list[].c`.
fn fields(of: &Value, path: &str, to: &mut BTreeSet<String>) {
    match of {
        Value::Object(all) => {
            let dot = if path.is_empty() { "" } else { "." };
            all.iter().for_each(|(name, value)| fields(value, &format!("{path}{dot}{name}"), to));
        }
        Value::Array(all) if all.iter().any(Value::is_object) => {
            all.iter().for_each(|element| fields(element, &format!("{path}[]"), to));
        }
        _ => {
            to.insert(path.to_owned());
        }
    }
}

pub fn fields_of(values: &[Value]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    values.iter().for_each(|value| fields(value, "", &mut all));
    all
}

fn header(file: &str) -> Vec<String> {
    let text = fs::read_to_string(run_folder().join("multi-label").join(file)).unwrap();
    text.lines().next().unwrap().split(',').map(str::to_owned).collect()
}

fn json(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(run_folder().join(file)).unwrap()).unwrap()
}

#[test]
fn the_columns_of_history_csv_are_those_in_the_documents() {
    assert_eq!(header("history.csv"), documented("history.csv"));
}

#[test]
fn the_columns_of_predictions_csv_are_those_in_the_documents() {
    let mut written = header("predictions.csv");
    // Those behind the others are called after genres.
    let named = written.iter_mut().filter(|name| name.starts_with("p_"));
    named.for_each(|name| *name = "p_<genre>".to_owned());
    written.dedup();
    assert_eq!(written, documented("predictions.csv"));
}

#[test]
fn the_fields_of_metrics_json_are_those_in_the_documents() {
    let written = fields_of(&["multi-label/metrics.json", "top-6/metrics.json"].map(json));
    assert_eq!(written, documented("metrics.json").into_iter().collect());
}

#[test]
fn the_fields_of_ledger_json_are_those_in_the_documents() {
    // A test of auxiliary heads has the others.
    let all = documented("ledger.json").into_iter().filter(|field| !field.starts_with("auxiliary"));
    assert_eq!(fields_of(&[json("ledger.json")]), all.collect());
}

#[test]
fn the_fields_of_config_toml_are_those_in_the_documents() {
    let read = |file: &str| -> Value { toml::from_str(&fs::read_to_string(run_folder().join(file)).unwrap()).unwrap() };
    let (written, mut of_run) = (read("multi-label/config.toml"), read("config.toml"));
    // By the names of files.
    let checksums = of_run["inputs"].as_object_mut().unwrap();
    assert_eq!(checksums.keys().collect::<Vec<_>>(), ["labels"]);
    of_run["inputs"] = Value::Null;
    // What a run has only where it is asked for: a start, limits, another optimiser.
    let options = |rule: Rule| {
        let recipe = Recipe { rule, steps: Some(1), ..Recipe::best() };
        let (limit, init_from, cache) = (Some(1), Some("run".into()), Some("cache".into()));
        let options = Options {
            limit,
            limit_val: limit,
            hours: Some(1.0),
            init_from,
            cache,
            no_test: true,
            scale_lr: true,
            local_bn: true,
            teaching: Some(Teaching { run: "run".into(), weight: 0.5, sha256: vec![], bytes: 0 }),
            members: 2,
            folds: limit,
            fold: limit,
            ..Options::new("data".as_ref(), "out".as_ref(), recipe)
        };
        serde_json::json!({ "options": serde_json::to_value(options).unwrap() })
    };
    let written = fields_of(&[written, of_run, options(Rule::adam(1e-3)), options(Rule::Sgd(Sgd::new(0.01)))]);
    assert_eq!(written, documented("config.toml").into_iter().collect());
}

/// Every dependency has a reason, and none has lost it.
#[test]
fn the_dependencies_are_those_in_the_documents() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Dependencies")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.flat_map(|row| row.split(" | ").next().unwrap().split(['`', ',', ' ']));
    let documented: BTreeSet<&str> = cells.filter(|name| !name.is_empty()).collect();
    let manifests = ["Cargo.toml", "kernels/Cargo.toml"].map(|file| fs::read_to_string(root.join(file)).unwrap());
    let manifests = manifests.each_ref().map(|text| text.parse::<toml::Table>().unwrap());
    let tables = manifests.iter().flat_map(|manifest| {
        let of_targets = manifest.get("target").and_then(|of| of.as_table()).into_iter().flat_map(|of| of.values());
        std::iter::once(manifest.get("dependencies")).chain(of_targets.map(|target| target.get("dependencies")))
    });
    let used: BTreeSet<&str> =
        tables.flatten().flat_map(|of| of.as_table().unwrap().keys()).map(String::as_str).collect();
    assert_eq!(documented, used);
}

/// The list of the kernels' unsafe code names each file with the number of its blocks, and the package
/// has none elsewhere than in the module that it says.
#[test]
fn the_unsafe_code_is_that_in_the_documents() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("kernels/README.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(".rs` | "));
    let documented: BTreeMap<String, usize> =
        rows.map(|(file, rest)| (format!("{file}.rs"), rest.split(' ').next().unwrap().parse().unwrap())).collect();
    let blocks_of = |path: &Path| -> usize {
        let code = fs::read_to_string(path).unwrap();
        let code = code.lines().map(|line| line.split("//").next().unwrap());
        code.map(|line| {
            ["unsafe {", "unsafe impl", "proven!("].map(|block| line.matches(block).count()).iter().sum::<usize>()
        })
        .sum()
    };
    let counts = |folder: &Path| -> BTreeMap<String, usize> {
        let files = files_below(folder)
            .into_iter()
            .map(|file| (file.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/"), blocks_of(&file)));
        files.filter(|(_, blocks)| *blocks > 0).collect()
    };
    assert_eq!(documented, counts(&root.join("kernels/src")));
    assert_eq!(counts(&root.join("src")).into_keys().collect::<Vec<_>>(), ["data/mmap.rs"]);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
