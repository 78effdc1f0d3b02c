//! Runs beside other runs, over earlier ones, and under conditions that do not allow them.

use assert_cmd::cargo::CommandCargoExt;
use jpeg_encoder::{ColorType, Encoder};
use onesheet::data::decode::Decoder;
use onesheet::data::demo;
use onesheet::data::split::Split;
use onesheet::files::{Claim, Lock};

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with 240 drawn posters in `data` and their cache in `cache`.
pub fn posters() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    demo::draw(&folder.path().join("data"), 240, 1).unwrap();
    let (code, _, err) = done(command(folder.path(), "cache build --data data --cache cache").output().unwrap());
    assert_eq!(code, 0, "{err}");
    folder
}

/// A command line of `train` in a folder; words are separated by blanks.
pub fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::cargo_bin("train").unwrap();
    command.current_dir(folder).args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn done(output: Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

pub fn train(folder: &Path, line: &str) -> (i32, String, String) {
    done(command(folder, line).output().unwrap())
}

/// A run of one experiment on a tiny model; more options follow.
pub const TINY: &str = "run --data data --cache cache --experiment multi-label --recipe report --input 16 --filters 4 \
                    --dense 0 --padding same --batch 16 --threads 1";
/// More epochs than any test waits for.
const FOR_LONG: &str = "--epochs 100000";

/// Waits until a condition holds; two minutes are enough for any of them on a busy machine.
pub fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run that has kept an epoch in `model`, and goes on for long.
fn begun(folder: &Path, line: &str, model: &str) -> Child {
    let child = command(folder, line).stdout(Stdio::null()).spawn().unwrap();
    wait_for("no epoch has been kept", || folder.join(model).exists());
    child
}

pub fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn poster(folder: &Path) -> PathBuf {
    let name = names(&folder.join("data/posters")).swap_remove(20);
    folder.join("data/posters").join(name)
}

fn predicts(folder: &Path, run: &str) {
    let (code, out, err) = train(folder, &format!("predict {run} {}", poster(folder).display()));
    assert!(code == 0 && !out.is_empty(), "{run}: {err}");
}

#[test]
fn a_killed_run_leaves_the_best_epoch_s_model() {
    let folder = posters();
    let folder = folder.path();
    kill(begun(folder, &format!("{TINY} {FOR_LONG} --out run"), "run/multi-label/model.safetensors"));
    predicts(folder, "run/multi-label");
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out run"));
    assert!(code == 2 && err.contains("already holds a run that did not finish (multi-label)"), "{err}");
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out run --overwrite"));
    assert!(code == 0, "{err}");
    assert!(!names(&folder.join("run")).contains(&"unfinished".to_owned()));
}

#[test]
fn a_finished_model_is_replaced_when_the_new_one_is_complete() {
    let folder = posters();
    let folder = folder.path();
    let first = format!("{TINY} --epochs 1 --out run");
    assert_eq!(train(folder, &first).0, 0);
    let model = folder.join("run/multi-label/model.safetensors");
    let before = names(&folder.join("run/multi-label"));
    let bytes = fs::read(&model).unwrap();
    let again = format!("{TINY} {FOR_LONG} --seed 2 --out run --overwrite");
    kill(begun(folder, &again, "run/unfinished/multi-label/model.safetensors"));
    assert_eq!(fs::read(&model).unwrap(), bytes, "the earlier model is as it was");
    assert_eq!(names(&folder.join("run/multi-label")), before, "with all its files");
    predicts(folder, "run/multi-label");
    predicts(folder, "run/unfinished/multi-label");

    let (code, _, err) = train(folder, &format!("{first} --seed 2 --overwrite"));
    assert_eq!(code, 0, "{err}");
    assert_ne!(fs::read(&model).unwrap(), bytes);
    assert_eq!(names(&folder.join("run/multi-label")), before);
    assert_eq!(
        names(&folder.join("run")),
        [".onesheet", "config.toml", "frames", "ledger.json", "multi-label", "report.html"]
    );
    // Frames of other experiments, which the new run does not make, stay.
    let other = format!("{} --out run --epochs 1 --overwrite", TINY.replace("multi-label", "single-genre"));
    assert_eq!(train(folder, &other).0, 0);
    assert_eq!(names(&folder.join("run/frames")), ["multi-label", "single-genre"]);
}

#[test]
fn two_runs_never_share_a_folder() {
    let folder = posters();
    let folder = folder.path();
    let first = begun(folder, &format!("{TINY} {FOR_LONG} --out run"), "run/multi-label/model.safetensors");
    for more in ["", "--overwrite"] {
        let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out run {more}"));
        let other = format!("process {}", first.id());
        assert!(code == 2 && err.contains("run is in use: ") && err.contains(&other), "{err}");
    }
    kill(first);
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out run --overwrite"));
    assert_eq!(code, 0, "the system releases the folder of a killed run: {err}");

    let numbered: Vec<Child> =
        (1..=4).map(|seed| command(folder, &format!("{TINY} --epochs 2 --seed {seed}")).spawn().unwrap()).collect();
    for child in numbered {
        let (code, _, err) = done(child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{err}");
    }
    assert_eq!(names(&folder.join("runs")), ["1", "2", "3", "4"]);
    let mut seeds: Vec<String> = (1..=4)
        .map(|run| {
            let config = fs::read_to_string(folder.join(format!("runs/{run}/multi-label/config.toml"))).unwrap();
            config.lines().find(|line| line.starts_with("seed")).unwrap().to_owned()
        })
        .collect();
    seeds.sort();
    assert_eq!(seeds, ["seed = 1", "seed = 2", "seed = 3", "seed = 4"]);
}

#[test]
fn two_sweeps_never_share_a_folder() {
    let folder = posters();
    let folder = folder.path();
    let rest = TINY.replace("run --data data", "").replace("--threads 1", "");
    let sweep = |more: &str| format!("sweep --data data --out sweep --vary seed=1 --threads 1 -- {rest} {more}");
    let first = begun(folder, &sweep(FOR_LONG), "sweep/seed=1/multi-label/model.safetensors");
    let other = format!("process {}", first.id());
    let single = format!("{TINY} --epochs 1 --out sweep/seed=1 --overwrite");
    for line in [sweep("--epochs 1"), sweep("--epochs 1 --overwrite"), single] {
        let (code, _, err) = train(folder, &line);
        assert!(code == 2 && err.contains(" is in use: ") && err.contains(&other), "{err}");
    }
    kill(first);
    let (code, _, err) = train(folder, &sweep("--epochs 1"));
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_run_that_fails_leaves_no_folder() {
    let folder = posters();
    let folder = folder.path();
    for line in [TINY.replace("--data data", "--data nowhere"), format!("{TINY} --limit 1")] {
        for out in ["", "--out run"] {
            let (code, _, err) = train(folder, &format!("{line} {out}"));
            assert_eq!(code, 3, "{err}");
            assert!(!folder.join("runs/1").exists() && !folder.join("run").exists(), "{line} {out}");
        }
    }
}

#[test]
fn files_of_others_are_not_replaced() {
    let folder = posters();
    let folder = folder.path();
    for name in ["ledger.json", "frames", "multi-label", "unfinished"] {
        let out = folder.join(format!("of others, {name}"));
        fs::create_dir(&out).unwrap();
        fs::write(out.join(name), "precious").unwrap();
        for more in ["", "--overwrite"] {
            let mut run = command(folder, &format!("{TINY} --epochs 1 {more}"));
            let (code, _, err) = done(run.arg("--out").arg(&out).output().unwrap());
            assert!(code == 3 && err.contains(&format!("{name}: is there already")), "{err}");
        }
        assert_eq!(names(&out), [name]);
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), "precious");
    }
    // Files under other names are in nobody's way.
    let out = folder.join("mine");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("notes.txt"), "precious").unwrap();
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out mine"));
    assert!(code == 0 && out.join("notes.txt").exists(), "{err}");
}

#[test]
fn what_a_killed_run_left_half_written_is_removed_by_the_next() {
    let folder = posters();
    let folder = folder.path();
    assert_eq!(train(folder, &format!("{TINY} --epochs 1 --out run")).0, 0);
    let left = [
        "run/..onesheet.onesheet-abc123",
        "run/.ledger.json.onesheet-abc123",
        "run/frames/multi-label/.val.csv.onesheet-abc123",
        "run/multi-label/.model.safetensors.onesheet-abc123",
    ];
    let others = ["run/.ledger.json.swp", "run/multi-label/.model.safetensors.onesheet-notes"];
    left.iter().chain(&others).for_each(|name| fs::write(folder.join(name), "").unwrap());
    // The folders of the earlier run are there until the new one has failed or is complete.
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out run --overwrite --limit 1"));
    assert_eq!(code, 3, "{err}");
    left.iter().for_each(|name| assert!(!folder.join(name).exists(), "{name}"));
    others.iter().for_each(|name| assert!(folder.join(name).exists(), "{name}"));
    assert!(!folder.join("run/unfinished").exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_told_before_anything_is_decoded() {
    let folder = posters();
    let folder = folder.path();
    fs::write(folder.join("file"), "").unwrap();
    let line = TINY.replace("--cache cache", "--cache new");
    let (code, out, err) = train(folder, &format!("{line} --epochs 1 --out file/run"));
    assert!(code == 4 && err.contains("file/run: cannot make the folder"), "{out}{err}");
    assert!(!folder.join("new").exists());
}

/// Rewrites `genres.csv`, whose lines below the header are `id,genre`.
fn relabel(folder: &Path, rows: impl Fn(&str) -> Vec<String>) {
    let path = folder.join("data/genres.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut ids: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    ids.dedup();
    let rows = ids.into_iter().flat_map(|id| rows(id).into_iter().map(move |genre| format!("{id},{genre}\n")));
    fs::write(path, "id,genre\n".to_owned() + &rows.collect::<String>()).unwrap();
}

#[test]
fn an_experiment_that_cannot_run_is_passed_over() {
    let folder = posters();
    let folder = folder.path();
    relabel(folder, |_| vec!["Drama".into(), "Comedy".into()]);
    let all = TINY.replace("--experiment multi-label", "--epochs 1");
    let (code, out, err) = train(folder, &format!("{all} --out run"));
    assert_eq!(code, 0, "{err}");
    for experiment in ["single-genre", "top-6"] {
        let line = format!("passed over: data: {experiment}: no film has exactly one genre; --experiment");
        assert!(out.contains(&line), "{out}");
        assert!(!folder.join("run").join(experiment).exists());
    }
    assert!(folder.join("run/multi-label/metrics.json").exists());
    let single = TINY.replace("multi-label", "single-genre");
    let (code, _, err) = train(folder, &format!("{single} --epochs 1 --out other"));
    assert!(
        code == 3 && err.contains("single-genre: no film has exactly one genre; --experiment multi-label"),
        "{err}"
    );

    relabel(folder, |_| vec!["Drama".into()]);
    let (code, out, err) = train(folder, &format!("{all} --out one"));
    assert!(
        code == 0 && out.contains("top-6: its films (") && out.contains(" are all of one genre, Drama"),
        "{out}{err}"
    );
    let (code, _, err) = train(folder, &format!("{all} --batch 4096 --out big"));
    assert!(code == 3 && err.contains("multi-label: too few films: ") && err.contains("lower --batch"), "{err}");
}

#[test]
fn refused_posters_are_the_reason_where_they_are() {
    let folder = posters();
    let folder = folder.path();
    for name in names(&folder.join("data/posters")) {
        fs::write(folder.join("data/posters").join(name), b"\x89PNG\r\n\x1A\n").unwrap();
    }
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out run"));
    let reason = "posters refused (PNG file, not JPEG)): 0 films to train";
    assert!(code == 3 && err.contains("multi-label: too few posters decode (") && err.contains(reason), "{err}");
}

/// The shell's limit of a file's size stands for a disk without room for a model.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_earlier_model() {
    let folder = posters();
    let folder = folder.path();
    let line = TINY.replace("--filters 4", "--filters 64");
    assert_eq!(train(folder, &format!("{line} --epochs 1 --out run")).0, 0);
    let model = folder.join("run/multi-label/model.safetensors");
    let bytes = fs::read(&model).unwrap();
    let program = Command::cargo_bin("train").unwrap();
    let program = program.get_program().to_str().unwrap().to_owned();
    let limited =
        format!("trap '' XFSZ; ulimit -f 100; exec '{program}' {line} --epochs 1 --seed 2 --out run --overwrite");
    let (code, _, err) = done(Command::new("sh").arg("-c").arg(limited).current_dir(folder).output().unwrap());
    assert!(code == 4 && err.contains("model.safetensors: cannot write the file"), "{err}");
    assert_eq!(fs::read(&model).unwrap(), bytes);
    predicts(folder, "run/multi-label");
    assert_eq!(
        names(&folder.join("run")),
        [".onesheet", "config.toml", "frames", "ledger.json", "multi-label", "report.html"],
        "nothing is left"
    );
}

/// A poster's file in another quality.
fn compressed_anew(file: &[u8], quality: u8) -> Vec<u8> {
    let mut decoder = Decoder::new();
    let pixels = decoder.decode_pixels(file).unwrap().to_vec();
    let (width, height) = decoder.size();
    let mut anew = Vec::new();
    Encoder::new(&mut anew, quality).encode(&pixels, width as u16, height as u16, ColorType::Rgb).unwrap();
    anew
}

#[test]
fn posters_of_one_picture_are_on_one_side_of_the_split() {
    let folder = posters();
    let folder = folder.path();
    let file = |id: u64| folder.join(format!("data/posters/{id}.jpg"));
    let csv = folder.join("data/genres.csv");
    let mut rows = fs::read_to_string(&csv).unwrap();
    // A test film, and others of the same picture and genre that are not in the test by their ids.
    let ids = rows.lines().skip(1).filter_map(|row| row.split(',').next()?.parse::<u64>().ok());
    let first = ids.filter(|&id| Split::of(id) == Split::Test && file(id).exists()).min().unwrap();
    let last = |split| (first + 1_000_000..).find(|&id| Split::of(id) == split).unwrap();
    let twins = [last(Split::Train), last(Split::Val)];
    for (id, quality) in twins.into_iter().zip([50, 70]) {
        fs::write(file(id), compressed_anew(&fs::read(file(first)).unwrap(), quality)).unwrap();
        rows += &format!("{id},Drama\n");
    }
    fs::write(csv, rows).unwrap();

    let (code, out, err) = train(folder, &format!("{TINY} --epochs 1 --out run"));
    assert_eq!(code, 0, "{err}");
    let counts = |reason: &str| (out.clone() + &err).contains(&format!("        2  {reason}: "));
    assert!(
        counts("posters that show the picture of another") && counts("films moved to the side of that other"),
        "{out}{err}"
    );
    let frame = |side: &str| fs::read_to_string(folder.join(format!("run/frames/multi-label/{side}.csv"))).unwrap();
    for id in [first, twins[0], twins[1]] {
        let name = format!("\n{id}.jpg,");
        assert_eq!(["train", "val", "test"].map(|side| frame(side).contains(&name)), [false, false, true], "{id}");
    }
    let ledger: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("run/ledger.json")).unwrap()).unwrap();
    let mut moved = vec![format!("{}.jpg (train to test)", twins[0]), format!("{}.jpg (val to test)", twins[1])];
    moved.sort();
    assert_eq!(ledger["twins"][1]["names"], serde_json::json!(moved));
    let report = fs::read_to_string(folder.join("run/multi-label/report.html")).unwrap();
    assert!(report.contains("Kept on one side of the split"));

    let (code, out, err) = train(folder, "evaluate run/multi-label --data data --split test --json");
    assert_eq!(code, 0, "{err}");
    assert_eq!(measured(&out).0, frame("test").lines().count() as u64 - 1, "the sides are those of the run");
    assert!(!err.contains("chosen with"), "{err}");

    let (code, out, err) = train(folder, "doctor --data data --json");
    assert_eq!(code, 0, "{err}");
    let doctor: serde_json::Value = serde_json::from_str(&out).unwrap();
    let mut group = [first, twins[0], twins[1]];
    group.sort_unstable();
    let group: Vec<String> = group.iter().map(|id| format!("{id}.jpg")).collect();
    assert_eq!(doctor["twins"], serde_json::json!([group]));
    let plan = &doctor["experiments"][0];
    let of_plan = ["train", "val", "test"].map(|side| plan[side].as_u64().unwrap());
    assert_eq!(of_plan, ["train", "val", "test"].map(|side| frame(side).lines().count() as u64 - 1));

    // Without a cache they are found, too.
    let line = TINY.replace("--cache cache", "--no-cache");
    assert_eq!(train(folder, &format!("{line} --epochs 1 --out streamed")).0, 0);
    let model = |run: &str| fs::read(folder.join(run).join("multi-label/model.safetensors")).unwrap();
    assert!(model("run") == model("streamed"));

    // Cross-fitting leaves the test film alone, and so it does its picture.
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --folds 2 --out folds"));
    assert_eq!(code, 0, "{err}");
    let of_folds = ["fold-1", "fold-2"]
        .iter()
        .flat_map(|fold| ["train", "val", "test"].map(|side| format!("{fold}/frames/multi-label/{side}.csv")));
    for file in of_folds.chain(["multi-label/predictions.csv".to_owned()]) {
        let text = fs::read_to_string(folder.join("folds").join(&file)).unwrap();
        assert!(![first, twins[0], twins[1]].iter().any(|id| text.contains(&format!("\n{id}"))), "{file}");
    }
}

#[test]
fn results_of_other_labels_are_not_those_of_the_run() {
    let folder = posters();
    let folder = folder.path();
    let csv = folder.join("data/genres.csv");
    let lines = ["", "--folds 2"].map(|more| format!("{TINY} --epochs 1 {more}")).into_iter().zip(["run", "folds"]);
    let lines: Vec<String> = lines.map(|(line, out)| format!("{line} --out {out} --resume")).collect();
    lines.iter().for_each(|line| assert_eq!(train(folder, line).0, 0));
    let before = fs::read(folder.join("folds/multi-label/predictions.csv")).unwrap();
    let text = fs::read_to_string(&csv).unwrap();
    fs::write(&csv, text.replacen(",Drama\n", ",Comedy\n", 30)).unwrap();
    for line in lines {
        let (code, _, err) = train(folder, &line);
        assert!(code == 2 && err.contains("a finished run of other options or data: labels ("), "{line}: {err}");
        let (code, out, err) = train(folder, &format!("{line} --overwrite"));
        assert!(code == 0 && !out.contains("this run is finished"), "{line}: {out}{err}");
        let (code, out, err) = train(folder, &line);
        assert!(code == 0 && out.contains("this run is finished"), "{line}: {out}{err}");
    }
    assert!(fs::read(folder.join("folds/multi-label/predictions.csv")).unwrap() != before);
    // What is not there any more is not other data.
    fs::remove_file(csv).unwrap();
    let (code, out, err) = train(folder, &format!("{TINY} --epochs 1 --out run --resume"));
    assert!(code == 0 && out.contains("this run is finished"), "{out}{err}");
}

#[test]
fn an_experiment_that_is_passed_over_leaves_no_earlier_results() {
    let folder = posters();
    let folder = folder.path();
    let line = TINY.replace("--experiment multi-label", "") + " --epochs 1 --out run";
    assert_eq!(train(folder, &line).0, 0);
    assert_eq!(names(&folder.join("run/frames")), ["multi-label", "single-genre", "top-6"]);
    // No film has one genre alone.
    let csv = folder.join("data/genres.csv");
    let mut text = fs::read_to_string(&csv).unwrap();
    let ids: Vec<String> = text.lines().skip(1).map(|row| row.split(',').next().unwrap().to_owned()).collect();
    ids.iter().for_each(|id| text += &format!("{id},Other\n"));
    fs::write(csv, text).unwrap();
    let (code, out, err) = train(folder, &format!("{line} --overwrite"));
    assert!(code == 0 && out.contains("passed over: "), "{out}{err}");
    assert_eq!(names(&folder.join("run/frames")), ["multi-label"]);
    assert_eq!(
        names(&folder.join("run")),
        [".onesheet", "config.toml", "frames", "ledger.json", "multi-label", "report.html"]
    );
}

#[cfg(unix)]
#[test]
fn a_run_that_waits_for_another_s_cache_can_be_stopped() {
    let folder = posters();
    fs::create_dir(folder.path().join("other")).unwrap();
    let lock = Lock::try_claim(&folder.path().join("other/posters-256x256.lock"), "tests").unwrap();
    assert!(matches!(lock, Claim::Held(_)));
    let line = TINY.replace("--cache cache", "--cache other") + " --epochs 1 --out run";
    let mut child = command(folder.path(), &line).spawn().unwrap();
    let waits = |line: io::Result<String>| line.unwrap().contains("waiting for onesheet, process");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(waits));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let (code, _, err) = done(child.wait_with_output().unwrap());
    assert!(code == 143 && err.contains("while posters were decoded"), "{err}");
}

/// The number of films in a table of `evaluate --json`, and the name of their set.
fn measured(out: &str) -> (u64, String) {
    let metrics: serde_json::Value = serde_json::from_str(out).unwrap();
    (metrics["films"].as_u64().unwrap(), metrics["split"].as_str().unwrap().to_owned())
}

#[test]
fn a_model_is_not_measured_on_the_films_that_it_learned_from() {
    let folder = posters();
    let folder = folder.path();
    assert_eq!(train(folder, &format!("{TINY} --epochs 1 --out run")).0, 0);
    let rows = |side: &str| {
        let frame = folder.join(format!("run/frames/multi-label/{side}.csv"));
        fs::read_to_string(frame).unwrap().lines().count() as u64 - 1
    };
    let evaluate = |run: &str, data: &str, more: &str| {
        let (code, out, err) = train(folder, &format!("evaluate {run} --data {data} --json {more}"));
        assert_eq!(code, 0, "{err}");
        (measured(&out), err)
    };
    let (seen, test) = (rows("train") + rows("val"), rows("test"));
    let ((films, split), err) = evaluate("run/multi-label", "data", "");
    assert_eq!((films, &split[..]), (test, "unseen"));
    // One poster breaks off, which is not known before it is decoded.
    let all = seen + test + 1;
    assert!(err.contains(&format!("trained or chosen with {seen} of these {all} films: the others")), "{err}");
    assert!(err.contains(&format!("{seen}  films that the model was trained or chosen with")), "{err}");
    let ((films, split), err) = evaluate("run/multi-label", "data", "--split all");
    assert_eq!((films, &split[..]), (seen + test, "all"));
    assert!(err.contains("warning: the model was trained or chosen with"), "{err}");
    let ((films, _), err) = evaluate("run/multi-label", "data", "--split test");
    assert!(films == test && !err.contains("chosen with"), "{err}");

    // What the model knows that it started from, it knows.
    let small = format!("{TINY} --epochs 1 --limit 40 --limit-val 8 --init-from run/multi-label --out small");
    assert_eq!(train(folder, &small).0, 0);
    let ((films, split), err) = evaluate("small/multi-label", "data", "");
    assert!(films == test && split == "unseen" && !err.contains("not known"), "{films} {err}");
    fs::rename(folder.join("run/frames"), folder.join("frames")).unwrap();
    let ((films, _), err) = evaluate("small/multi-label", "data", "");
    assert!(films > test && err.contains("that it started or learned from is not known"), "{films} {err}");
    fs::rename(folder.join("frames"), folder.join("run/frames")).unwrap();

    // Another collection with films of the same ids.
    demo::draw(&folder.join("other"), 240, 2).unwrap();
    let ((films, split), err) = evaluate("run/multi-label", "other", "");
    assert!(films > seen && split == "all" && !err.contains("chosen with"), "{films} {err}");
    // A model that was moved.
    fs::create_dir(folder.join("moved")).unwrap();
    fs::copy(folder.join("run/multi-label/model.safetensors"), folder.join("moved/model.safetensors")).unwrap();
    let ((films, _), err) = evaluate("moved/model.safetensors", "data", "");
    assert!(films == seen + test && err.contains("which films it was trained with is not known"), "{err}");

    // Posters that taught other things, and whose genres became known later.
    let frames = folder.join("later/frames/multi-label");
    fs::create_dir_all(&frames).unwrap();
    fs::create_dir(folder.join("later/multi-label")).unwrap();
    fs::copy(folder.join("moved/model.safetensors"), folder.join("later/multi-label/model.safetensors")).unwrap();
    let frame = fs::read_to_string(folder.join("run/frames/multi-label/train.csv")).unwrap();
    let columns = frame.lines().next().unwrap().matches(',').count();
    let without =
        frame.lines().skip(1).map(|row| row.split(',').next().unwrap().to_owned() + &",".repeat(columns) + "\n");
    let without = format!("{}\n{}", frame.lines().next().unwrap(), without.collect::<String>());
    fs::write(frames.join("without_genres.csv"), without).unwrap();
    let ((films, split), err) = evaluate("later/multi-label", "data", "");
    assert!(films == all - 1 - rows("train") && split == "unseen", "{films} {err}");

    // Nothing but films that it knows.
    let frame = fs::read_to_string(folder.join("run/frames/multi-label/train.csv")).unwrap();
    let known: Vec<&str> = frame.lines().skip(1).map(|row| row.split(['.', ',']).next().unwrap()).collect();
    let path = folder.join("data/genres.csv");
    let labels = fs::read_to_string(&path).unwrap();
    let kept = labels.lines().filter(|row| row.starts_with("id") || known.contains(&row.split(',').next().unwrap()));
    fs::write(&path, kept.map(|row| row.to_owned() + "\n").collect::<String>()).unwrap();
    let (code, _, err) = train(folder, "evaluate run/multi-label --data data");
    assert!(code == 3 && err.contains("`--split all` measures it on the films that it was trained with"), "{err}");
}

/// Linux alone tells how much address space a process may have.
#[cfg(target_os = "linux")]
#[test]
fn a_batch_that_does_not_fit_into_memory_is_refused_with_one_that_does() {
    let folder = posters();
    let folder = folder.path();
    let limited = |line: &str| {
        let train = Command::cargo_bin("train").unwrap();
        let line = format!("ulimit -v 2000000; exec '{}' {line}", train.get_program().to_str().unwrap());
        done(Command::new("sh").arg("-c").arg(line).current_dir(folder).output().unwrap())
    };
    let run = "run --data data --cache cache --experiment multi-label --recipe report --epochs 1 --threads 1";
    let (code, _, err) = limited(&format!("{run} --batch 1024 --out run"));
    assert!(code == 2 && err.contains("--batch 1024 takes "), "{err}");
    assert!(!folder.join("run").exists());
    let fits = err.split("; --batch ").nth(1).unwrap().split(' ').next().unwrap();
    // What fits by a hair could fail by the system's own needs: half of it is tried.
    let half = fits.parse::<usize>().unwrap() / 2;
    let (code, _, err) = limited(&format!("{run} --batch {half} --out run"));
    assert!(code == 0, "{half}: {err}");
}
