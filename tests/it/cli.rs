//! The binary as a user meets it: its results, whether they agree with each other, and every kind
//! of bad input.

use assert_cmd::Command;
use onesheet::data::demo;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A small demo set, drawn once for all tests.
pub fn posters() -> &'static Path {
    static SET: OnceLock<TempDir> = OnceLock::new();
    SET.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        demo::draw(folder.path(), 240, 1).unwrap();
        folder
    })
    .path()
}

pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub fn train(args: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_train")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Trains a tiny model on the small set; the options in `more` follow the usual ones.
pub fn tiny_run(out: &Path, more: &[&str]) -> Outcome {
    let (data, out) = (posters().to_str().unwrap(), out.to_str().unwrap());
    let cache = posters().join("cache");
    let tiny = ["run", "--data", data, "--out", out, "--cache", cache.to_str().unwrap()];
    let model = [
        "--recipe",
        "report",
        "--epochs",
        "2",
        "--batch",
        "16",
        "--filters",
        "4,4",
        "--dense",
        "8",
        "--bn-momentum",
        "0.9",
    ];
    train(&[&tiny[..], &model[..], more].concat())
}

/// A finished run of all experiments, shared by the tests that read it.
fn finished() -> &'static (TempDir, Outcome) {
    static RUN: OnceLock<(TempDir, Outcome)> = OnceLock::new();
    RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let outcome = tiny_run(&folder.path().join("run"), &[]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        (folder, outcome)
    })
}

pub fn run_folder() -> PathBuf {
    finished().0.path().join("run")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_run_leaves_everything_it_promises() {
    let run = run_folder();
    for experiment in ["multi-label", "single-genre", "top-6"] {
        for side in ["train", "val", "test"] {
            let frame = fs::read_to_string(run.join(format!("frames/{experiment}/{side}.csv"))).unwrap();
            assert!(frame.starts_with("filename,genres\n") && frame.lines().count() > 5, "{frame}");
        }
        let folder = run.join(experiment);
        let history = fs::read_to_string(folder.join("history.csv")).unwrap();
        assert_eq!(history.lines().count(), 3, "a header and two epochs: {history}");
        let config = fs::read_to_string(folder.join("config.toml")).unwrap();
        for key in
            ["onesheet", "isa", "experiment", "batch = 16", "filters = [4, 4]", "optimizer = \"adam\"", "seed = 1"]
        {
            assert!(config.contains(key), "{key} in {config}");
        }
        let predictions = fs::read_to_string(folder.join("predictions.csv")).unwrap();
        let films = json(&folder.join("metrics.json"))["films"].as_u64().unwrap();
        assert_eq!(predictions.lines().count() as u64, films + 1);
    }
    let stdout = &finished().1.stdout;
    assert_eq!(stdout.matches("five test posters").count(), 3, "{stdout}");
    assert!(stdout.contains("constant") && stdout.contains("sha256"), "{stdout}");
    // The last lines name the files with their folder, and what can be done with them.
    let end = stdout.split("Results in ").nth(1).unwrap();
    let model = run.join("multi-label");
    for part in [
        &format!("{}:", run.display()),
        &format!("{}/model.safetensors", model.display()),
        &format!("train evaluate {} --data {}", model.display(), posters().display()),
        &format!("train predict {} POSTER", model.display()),
    ] {
        assert!(end.contains(part.as_str()), "{part} in {end}");
    }
    assert!(!stdout.split("films to train").next().unwrap().contains("esults in"), "said before it is so: {stdout}");
    let ledger = fs::read_to_string(run.join("ledger.json")).unwrap();
    for reason in
        ["films without a poster", "posters without a film", "films with more than 3 genres", "posters refused"]
    {
        assert!(ledger.contains(reason), "{reason} in {ledger}");
    }
}

#[test]
fn no_film_is_on_two_sides_in_any_pair_of_experiments() {
    let mut side_of = std::collections::HashMap::new();
    for experiment in ["multi-label", "single-genre", "top-6"] {
        for side in ["train", "val", "test"] {
            let frame = fs::read_to_string(run_folder().join(format!("frames/{experiment}/{side}.csv"))).unwrap();
            for row in frame.lines().skip(1) {
                let film = row.split(',').next().unwrap().to_string();
                assert_eq!(*side_of.entry(film.clone()).or_insert(side), side, "{film}");
            }
        }
    }
}

#[test]
fn evaluate_on_the_test_side_repeats_the_run_s_own_metrics() {
    for experiment in ["multi-label", "single-genre", "top-6"] {
        let run = run_folder().join(experiment);
        let data = posters().to_str().unwrap();
        let outcome = train(&["evaluate", run.to_str().unwrap(), "--data", data, "--split", "test", "--json"]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let evaluated: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(evaluated, json(&run.join("metrics.json")));
        assert!(outcome.stderr.contains("films without a poster"), "{}", outcome.stderr);
    }
}

#[test]
fn evaluate_and_predict_agree_and_speak_json() {
    let run = run_folder().join("multi-label");
    let data = posters().to_str().unwrap();
    let outcome = train(&["evaluate", run.to_str().unwrap(), "--data", data, "--split", "all", "--json"]);
    let all: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(all["split"], "all");
    assert!(all["films"].as_u64().unwrap() > json(&run.join("metrics.json"))["films"].as_u64().unwrap());

    let predictions = fs::read_to_string(run.join("predictions.csv")).unwrap();
    let row: Vec<&str> = predictions.lines().nth(1).unwrap().split(',').collect();
    let poster = posters().join(format!("posters/{}.jpg", row[0]));
    let outcome = train(&["predict", run.to_str().unwrap(), poster.to_str().unwrap(), "--top", "2", "--json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let predicted: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(predicted[0]["poster"], poster.to_str().unwrap());
    assert_eq!(predicted[0]["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(predicted[0]["predictions"][0]["genre"], row[2]);
    let probability: f64 = row[3].parse().unwrap();
    assert!((predicted[0]["predictions"][0]["probability"].as_f64().unwrap() - probability).abs() < 1e-6);
}

#[test]
fn the_same_seed_gives_the_same_model_file_on_1_2_and_3_threads() {
    let folder = tempfile::tempdir().unwrap();
    let model = |threads: &str, seed: &str| {
        let out = folder.path().join(format!("{threads}-{seed}"));
        let outcome =
            tiny_run(&out, &["--experiment", "multi-label", "--threads", threads, "--seed", seed, "--epochs", "1"]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let hash = outcome.stdout.split("sha256 ").nth(1).unwrap().lines().next().unwrap().to_string();
        (fs::read(out.join("multi-label/model.safetensors")).unwrap(), hash)
    };
    let one = model("1", "1");
    assert!(one == model("2", "1") && one == model("3", "1"), "threads change the weights");
    assert!(one != model("1", "2"), "the seed changes nothing");
}

#[test]
fn a_folder_with_a_run_is_refused_unless_it_may_be_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--experiment", "top-6", "--epochs", "1"];
    assert_eq!(tiny_run(folder.path(), &options).code, 0);
    let again = tiny_run(folder.path(), &options);
    assert_one_line(&again, 2, &["already holds a run", "--overwrite"]);
    assert_one_line(&tiny_run(folder.path(), &["--experiment", "multi-label"]), 2, &["already holds a run"]);

    // A run with the same options reuses the frames; one with others does not.
    let again = tiny_run(folder.path(), &[&options[..], &["--overwrite"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("are used again"), "{}", again.stdout);
    let fewer = tiny_run(folder.path(), &[&options[..], &["--overwrite", "--limit", "20"]].concat());
    assert!(!fewer.stdout.contains("are used again") && fewer.stdout.contains("20 films to train"), "{}", fewer.stdout);
}

/// Asserts that stderr is one clear line with all of `parts`, and that the exit code is the
/// documented one.
#[track_caller]
pub fn assert_one_line(outcome: &Outcome, code: i32, parts: &[&str]) {
    assert_eq!(outcome.code, code, "{}{}", outcome.stdout, outcome.stderr);
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", outcome.stderr);
    for part in parts {
        assert!(errors[0].contains(part), "{part:?} in {}", errors[0]);
    }
    assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("backtrace"), "{}", outcome.stderr);
}

/// The posters of the small set that decode.
pub fn whole_posters() -> Vec<PathBuf> {
    let mut all =
        fs::read_dir(posters().join("posters")).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    all.sort();
    all.retain(|path| fs::read(path).unwrap().ends_with(&[0xff, 0xd9]));
    all
}

/// A folder in the Letterboxd layout with `genres` as its `genres.csv`, and posters 1 to 9.
fn folder_with(genres: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("posters")).unwrap();
    for (id, poster) in (1..10).zip(whole_posters()) {
        fs::copy(poster, folder.path().join(format!("posters/{id}.jpg"))).unwrap();
    }
    fs::write(folder.path().join("genres.csv"), genres).unwrap();
    folder
}

fn run_on(folder: &Path, more: &[&str]) -> Outcome {
    let out = folder.join("out");
    train(
        &[&["run", "--data", folder.to_str().unwrap(), "--out", out.to_str().unwrap(), "--epochs", "1"], more].concat(),
    )
}

#[test]
fn bad_folders_are_named() {
    assert_one_line(&run_on(Path::new("/nowhere/at/all"), &[]), 3, &["/nowhere/at/all", "genres.csv"]);
    let folder = folder_with("film,kind\n1,Drama\n");
    assert_one_line(&run_on(folder.path(), &[]), 3, &["genres.csv, row 1", "id", "genre"]);
    let folder = folder_with("id,genre\n");
    assert_one_line(&run_on(folder.path(), &[]), 3, &["genres.csv"]);
    let folder = folder_with("id,genre\n1,Drama\n2,Comedy\n");
    assert_one_line(&run_on(folder.path(), &[]), 3, &["to train", "to validate", "the batch is 32"]);
    let folder = folder_with("id,genre\n1,Drama\nseven,Comedy\n");
    let outcome = run_on(folder.path(), &[]);
    assert!(outcome.stdout.contains("genres.csv, row 3") && outcome.stdout.contains("seven"), "{}", outcome.stdout);
    let folder = folder_with("id,genre\nx,Drama\nseven,Comedy\n");
    assert_one_line(&run_on(folder.path(), &[]), 3, &["genres.csv"]);
}

#[test]
fn bad_posters_are_named() {
    let run = run_folder().join("top-6");
    let run = run.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    let whole = fs::read(&whole_posters()[0]).unwrap();
    let truncated = write("cut.jpg", &whole[..whole.len() / 2]);
    let png = write("png.jpg", b"\x89PNG\r\n\x1a\n and so on");
    let empty = write("empty.jpg", b"");
    let whole = write("whole.jpg", &whole);
    assert_one_line(&train(&["predict", run, &truncated]), 3, &["cut.jpg"]);
    assert_one_line(&train(&["predict", run, &png]), 3, &["png.jpg", "PNG"]);
    assert_one_line(&train(&["predict", run, &empty]), 3, &["empty.jpg", "empty"]);
    assert_one_line(&train(&["predict", run, "/nowhere.jpg"]), 3, &["/nowhere.jpg"]);
    let mixed = train(&["predict", run, &truncated, &whole]);
    assert_one_line(&mixed, 3, &["cut.jpg"]);
    assert!(mixed.stdout.contains("whole.jpg: "), "the good poster is not lost: {}", mixed.stdout);
}

#[test]
fn bad_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let whole = fs::read(run_folder().join("top-6/model.safetensors")).unwrap();
    let poster = &whole_posters()[0];
    let predict = |run: &Path| train(&["predict", run.to_str().unwrap(), poster.to_str().unwrap()]);
    let with = |bytes: &[u8], parts: &[&str]| {
        fs::write(&model, bytes).unwrap();
        assert_one_line(&predict(folder.path()), 3, &[&["model.safetensors"], parts].concat());
    };
    with(b"", &["whole safetensors"]);
    with(b"not a model at all", &["whole safetensors"]);
    with(&whole[..whole.len() - 1], &["whole safetensors"]);
    with(b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", &["whole safetensors"]);
    with(b"\x02\0\0\0\0\0\0\0{}", &["not of onesheet"]);
    let mut infinite = whole.clone();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    with(&infinite, &["it is damaged"]);
    with(&crate::weights::without_checksum(infinite), &["inf"]);
    assert_one_line(&predict(&run_folder()), 3, &["multi-label", "single-genre", "top-6"]);
    assert_one_line(&predict(Path::new("/nowhere")), 3, &["/nowhere"]);
}

#[test]
fn bad_options_are_usage_errors() {
    for options in [
        &["run"][..],
        &["run", "--data", ".", "--lr", "-1"],
        &["run", "--data", ".", "--epochs", "0"],
        &["run", "--data", ".", "--dropout", "1"],
        &["run", "--data", ".", "--experiment", "top-7"],
        &["run", "--data", ".", "--nesterov"],
        &["nonsense"],
    ] {
        let outcome = train(options);
        assert_eq!(outcome.code, 2, "{options:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }
    let folder = folder_with("id,genre\n1,Drama\n");
    let outcome = tiny_run(&folder.path().join("out"), &["--filters", "4,4,4,4,4,4,4,4"]);
    assert_one_line(&outcome, 2, &["--filters names 8 blocks", "name fewer"]);
    let outcome =
        Command::new(env!("CARGO_BIN_EXE_train")).env("ONESHEET_ISA", "mmx").arg("demo").args(["--out", "x"]).output();
    assert_eq!(outcome.unwrap().status.code(), Some(2));
}

#[test]
fn help_names_commands_and_exit_codes() {
    let help = train(&["--help"]);
    assert_eq!(help.code, 0);
    for word in ["run", "evaluate", "predict", "demo", "Exit codes", "ONESHEET_ISA", "70"] {
        assert!(help.stdout.contains(word), "{word}");
    }
}

#[test]
fn help_fits_80_columns_and_has_the_words_that_people_look_for() {
    for args in [&["--help"][..], &["run", "--help"], &["run", "-h"], &["predict", "--help"], &["sweep", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_train")).args(args).env("COLUMNS", "80").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{args:?}: {help}");
        if args[0] == "run" {
            let words: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
            for word in [
                "Batch size",
                "Learning rate",
                "Optimizer",
                "Random seed",
                "best checkpoint",
                "Early stopping",
                "--learning-rate",
                "--batch-size",
                "adamw",
                "Data:",
                "Model:",
                "Training:",
                "Variations of the posters:",
                "Results:",
            ] {
                assert!(words.contains(word), "{word} in {help}");
            }
        }
    }
}

#[test]
fn options_have_the_names_of_other_programs_too() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["--learning-rate", "0.01", "--batch-size", "8", "--optimizer", "AdamW", "--weight-decay", "0.1"];
    let out = folder.path().join("run");
    let outcome = tiny_run(&out, &[&["--experiment", "top-6", "--epochs", "1"], &names[..]].concat());
    // The batch is named twice: once by the usual options of a tiny run.
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let config = fs::read_to_string(out.join("top-6/config.toml")).unwrap();
    for line in ["batch = 8", "learning_rate = 0.01", "weight_decay = 0.1", "optimizer = \"adam\""] {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert_one_line(&tiny_run(&out, &["--optimizer", "adamw"]), 2, &["adamw", "--weight-decay"]);
}

/// The poster model can fit anything that fits in a batch: without dropout, it learns 16 posters by
/// heart.
#[test]
fn sixteen_posters_are_learned_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let data = posters().to_str().unwrap();
    let learn = [
        "--recipe",
        "report",
        "--epochs",
        "40",
        "--batch",
        "16",
        "--limit",
        "16",
        "--dropout",
        "0",
        "--bn-momentum",
        "0.8",
    ];
    let run = ["run", "--data", data, "--out", out.to_str().unwrap(), "--experiment", "single-genre", "--lr", "0.0003"];
    let outcome = train(&[&run[..], &learn[..]].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);

    let learned = folder.path().join("learned");
    fs::create_dir_all(learned.join("posters")).unwrap();
    let frame = fs::read_to_string(out.join("frames/single-genre/train.csv")).unwrap();
    let mut genres = String::from("id,genre\n");
    for row in frame.lines().skip(1) {
        let (poster, genre) = row.split_once(',').unwrap();
        fs::copy(posters().join("posters").join(poster), learned.join("posters").join(poster)).unwrap();
        genres += &format!("{},{genre}\n", poster.trim_end_matches(".jpg"));
    }
    fs::write(learned.join("genres.csv"), genres).unwrap();
    let model = out.join("single-genre");
    let data = learned.to_str().unwrap();
    let outcome = train(&["evaluate", model.to_str().unwrap(), "--data", data, "--split", "all", "--json"]);
    let metrics: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((metrics["films"].as_u64(), metrics["top1_hit"].as_f64()), (Some(16), Some(1.0)), "{metrics}");
}
