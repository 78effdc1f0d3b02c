//! Runs that were broken off and taken up: they end with the bits of an undisturbed run.

use crate::run::{TINY, command, done, kill, names, posters, train, wait_for};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A checkpoint after every step, so that there is something to go on from at any instant.
const OFTEN: &str = "--checkpoint-every 0";
const CHECKPOINT: &str = "checkpoint.safetensors";

/// What a run of all experiments leaves that depends on nothing but its options.
fn results(out: &Path) -> Vec<(String, Vec<u8>)> {
    let experiments = ["multi-label", "single-genre", "top-6"];
    let files = ["model.safetensors", "metrics.json", "predictions.csv"];
    let paths = experiments.iter().flat_map(|of| files.map(|file| format!("{of}/{file}")));
    paths.filter_map(|path| Some((path.clone(), fs::read(out.join(path)).ok()?))).collect()
}

fn spawned(folder: &Path, line: &str) -> Child {
    command(folder, line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Options that have all that a checkpoint must keep: an average, a best epoch, variations, weights
/// that are handed down.
fn all_experiments(out: &str) -> String {
    TINY.replace("--experiment multi-label", "")
        + &format!(
            " --recipe best --pooling average --dropout 0.3 --progressive 8,12x10 --steps 41 --transfer 0.5 --ema 0.9 --mixup 0.2 {OFTEN} --out {out}"
        )
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bits() {
    let folder = posters();
    let folder = folder.path();
    let (code, _, err) = train(folder, &all_experiments("whole"));
    assert_eq!(code, 0, "{err}");
    let whole = results(&folder.join("whole"));
    assert_eq!(whole.len(), 9);
    let line = all_experiments("run") + " --resume";
    let (mut kills, mut taken_up) = (0, 0);
    loop {
        let threads = format!("{line} --threads {}", 1 + kills % 3);
        let mut child = spawned(folder, &threads);
        // Each time a little later than the last time.
        std::thread::sleep(Duration::from_millis(60 + 23 * kills));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        kill(child);
        (kills, taken_up) = (kills + 1, taken_up + u64::from(folder.join("run").join(CHECKPOINT).exists()));
    }
    let (code, out, err) = train(folder, &line);
    assert!(code == 0 && out.contains("this run is finished"), "{err}");
    assert!(taken_up > 1, "{kills} kills, of which {taken_up} left a checkpoint");
    assert!(results(&folder.join("run")) == whole, "the results differ after {kills} kills");
    assert_eq!(names(&folder.join("run")), names(&folder.join("whole")), "nothing else is left");

    // What was handed down by the first experiment is in the options of the last.
    let (code, _, err) = train(folder, "run --config run/top-6/config.toml --out alone");
    assert_eq!(code, 0, "{err}");
    let model = |out: &str| fs::read(folder.join(out).join("top-6/model.safetensors")).unwrap();
    assert!(model("alone") == model("run"));
}

#[test]
fn what_a_run_killed_at_its_very_end_left_is_tidied_up() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{TINY} --epochs 1 --out run");
    assert_eq!(train(folder, &line).0, 0);
    let (run, whole) = (folder.join("run"), names(&folder.join("run")));
    fs::write(run.join(".onesheet.lock"), "onesheet, process 1, since 2020-01-01 00:00:00 UTC: trains\n").unwrap();
    let (code, out, err) = train(folder, &format!("{line} --resume"));
    assert!(code == 0 && out.contains("this run is finished"), "{out}{err}");
    assert_eq!(names(&run), whole);
}

#[test]
fn a_run_that_replaces_another_is_taken_up_too() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{TINY} --epochs 3 {OFTEN}");
    assert_eq!(train(folder, &format!("{line} --out whole")).0, 0);
    assert_eq!(train(folder, &format!("{line} --seed 2 --out run")).0, 0);
    let earlier = results(&folder.join("run"));
    let child = spawned(folder, &format!("{line} --out run --overwrite"));
    let checkpoint = folder.join("run/unfinished").join(CHECKPOINT);
    wait_for("no checkpoint has been written", || checkpoint.exists());
    kill(child);
    if checkpoint.exists() {
        assert!(results(&folder.join("run")) == earlier, "the earlier results are there until the end");
    }
    let (code, _, err) = train(folder, &format!("{line} --out run --resume"));
    assert_eq!(code, 0, "{err}");
    assert!(results(&folder.join("run")) == results(&folder.join("whole")));
    assert_eq!(names(&folder.join("run")), names(&folder.join("whole")));
}

#[test]
fn results_that_are_partly_in_their_place_are_taken_there() {
    let folder = posters();
    let folder = folder.path();
    let line = all_experiments("run");
    assert_eq!(train(folder, &all_experiments("whole")).0, 0);
    assert_eq!(train(folder, &format!("{line} --seed 2")).0, 0);
    // In the way of the second folder's mark.
    let mark = folder.join("run/single-genre/.replaced");
    fs::create_dir(&mark).unwrap();
    let (code, out, err) = train(folder, &format!("{line} --overwrite"));
    assert!(code == 4 && err.contains("single-genre: cannot replace the earlier results"), "{err}");
    assert!(out.contains("to go on from the last checkpoint: train run --config run/unfinished/config.toml"), "{out}");
    fs::remove_dir(mark).unwrap();
    let (code, _, err) = train(folder, "run --config run/unfinished/config.toml --resume");
    assert_eq!(code, 0, "{err}");
    assert!(results(&folder.join("run")) == results(&folder.join("whole")));
    assert_eq!(names(&folder.join("run")), names(&folder.join("whole")));
}

/// Waits until an epoch of a run that goes on for long is complete, and sends signals.
#[cfg(unix)]
fn stopped(folder: &Path, out: &str, signals: &[&str]) -> (Option<i32>, String) {
    let line = format!("{TINY} --epochs 100000 {OFTEN} --out {out}");
    let child = command(folder, &line).stdout(Stdio::null()).spawn().unwrap();
    wait_for("no epoch is complete", || folder.join(out).join("multi-label/history.csv").exists());
    for signal in signals {
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id[..]]).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[cfg(unix)]
#[test]
fn a_run_that_is_asked_to_stop_says_how_to_go_on() {
    let folder = posters();
    let folder = folder.path();
    for (out, signal, code) in [("a", "-INT", 130), ("b", "-TERM", 143)] {
        let (got, err) = stopped(folder, out, &[signal]);
        assert_eq!(got, Some(code), "{err}");
        let command = &format!("go on with: train run --config {out}/config.toml --resume");
        assert!(err.contains("error: stopped in epoch ") && err.contains(command), "{err}");
    }
    // The second one does not wait.
    let (got, err) = stopped(folder, "c", &["-INT", "-INT"]);
    assert!(got.is_none() || got == Some(130), "{err}");
    let checkpoint = fs::read(folder.join("c").join(CHECKPOINT)).unwrap();
    assert!(!checkpoint.is_empty());
}

#[test]
fn a_run_goes_on_with_the_options_that_it_began_with() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{TINY} --epochs 100000 {OFTEN} --out run");
    let child = spawned(folder, &line);
    wait_for("no checkpoint has been written", || folder.join("run").join(CHECKPOINT).exists());
    kill(child);
    let checkpoint = fs::read(folder.join("run").join(CHECKPOINT)).unwrap();
    let refused = |more: &str, what: &str| {
        let (code, _, err) = train(folder, &format!("{line} {more}"));
        assert!(code == 2 && err.contains(what), "{more}: {err}");
    };
    refused("", "run already holds a run that did not finish (multi-label); go on with it by --resume, name another");
    refused("--resume --lr 0.01", "written with other options: learning_rate (0.001, and now 0.01");
    refused("--resume --seed 7 --epochs 9", "epochs (100000, and now 9), seed (1, and now 7); give the same ones");
    refused("--resume --precision bf16", "precision (\"f32\", and now \"bf16\")");
    refused("--resume --experiment top-6", "experiments ([\"multi-label\"], and now [\"top-6\"])");
    let genres = folder.join("data/genres.csv");
    let labels = fs::read_to_string(&genres).unwrap();
    fs::write(&genres, labels.clone() + "99,Drama\n").unwrap();
    refused("--resume", "labels (");
    fs::write(&genres, labels).unwrap();
    assert_eq!(fs::read(folder.join("run").join(CHECKPOINT)).unwrap(), checkpoint, "it is left as it was");
    // What nobody can have come to, in a file that has no checksum, is no bug.
    let header = 8 + u64::from_le_bytes(checkpoint[..8].try_into().unwrap()) as usize;
    let lie = String::from_utf8_lossy(&checkpoint[8..header]);
    let lie = lie.replace(r#"\"epoch\":1,"#, r#"\"epoch\":7,"#).replace("checksum", "checksun");
    fs::write(folder.join("run").join(CHECKPOINT), [&checkpoint[..8], lie.as_bytes(), &checkpoint[header..]].concat())
        .unwrap();
    let (code, _, err) = train(folder, &format!("{line} --resume"));
    assert!(code == 3 && err.contains("no training of this run comes to such a place"), "{err}");
    // A damaged one is named.
    fs::write(folder.join("run").join(CHECKPOINT), &checkpoint[..checkpoint.len() / 2]).unwrap();
    let (code, _, err) = train(folder, &format!("{line} --resume"));
    assert!(code == 3 && err.contains("checkpoint.safetensors: not a whole safetensors file"), "{err}");
}

#[test]
fn without_anything_to_go_on_from_a_run_begins_and_a_finished_one_says_so() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{TINY} --epochs 1 --out run --resume");
    let (code, first, err) = train(folder, &line);
    assert!(code == 0 && !first.contains("taken up"), "{err}");
    let model = fs::metadata(folder.join("run/multi-label/model.safetensors")).unwrap().modified().unwrap();
    let (code, again, err) = train(folder, &line);
    assert!(code == 0 && again.contains("this run is finished"), "{err}");
    let table = |text: &str| text.split_once("On the test films").unwrap().1.to_owned();
    assert_eq!(table(&first), table(&again));
    assert_eq!(fs::metadata(folder.join("run/multi-label/model.safetensors")).unwrap().modified().unwrap(), model);
    let (code, _, err) = train(folder, &format!("{line} --epochs 2"));
    assert!(code == 2 && err.contains("a finished run of other options or data: epochs (1, and now 2)"), "{err}");
}

#[test]
fn a_configuration_runs_again_and_the_command_line_wins() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{TINY} --epochs 2 --lr 0.003 --optimizer sgd --momentum 0.5 --nesterov --flip true --out run");
    assert_eq!(train(folder, &line).0, 0);
    let model = |out: &str| fs::read(folder.join(out).join("multi-label/model.safetensors")).unwrap();
    for config in ["run/config.toml", "run/multi-label/config.toml"] {
        let (code, _, err) = train(folder, &format!("run --config {config} --out again --overwrite"));
        assert_eq!(code, 0, "{err}");
        assert_eq!(model("again"), model("run"));
    }
    let (code, _, err) = train(folder, "run --config run/config.toml --out other --optimizer adam --no-cache");
    assert_eq!(code, 0, "{err}");
    let config = fs::read_to_string(folder.join("other/config.toml")).unwrap();
    assert!(config.contains("optimizer = \"adam\"") && config.contains("epochs = 2"), "{config}");
    assert!(!config.contains("\ncache =") && !config.contains("\nmomentum"), "{config}");

    let refused = |line: &str, code: i32, what: &str| {
        let (got, _, err) = train(folder, line);
        assert!(got == code && err.contains(what), "{line}: {err}");
    };
    refused("run --config run/config.toml", 2, "run already holds a run (multi-label); name another --out");
    refused("run --config run/none.toml", 4, "run/none.toml: cannot read the options");
    refused("run --config run/ledger.json", 3, "ledger.json: it has not the options of a run");
    refused("run --config run/config.toml --recipe best", 2, "--config");
    fs::write(folder.join("new.toml"), config.replace("epochs = 2", "epochs = 2\nwarp = 9")).unwrap();
    refused("run --config new.toml --out new", 3, "new.toml: there is no option warp");
    fs::write(folder.join("wrong.toml"), config.replace("epochs = 2", "epochs = -2")).unwrap();
    refused("run --config wrong.toml --out new", 2, "--epochs");
}

#[test]
fn a_training_that_runs_away_leaves_its_last_good_checkpoint() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{TINY} --epochs 2 --lr 1e30 {OFTEN} --out run");
    let (code, out, err) = train(folder, &line);
    assert!(code == 5 && err.contains("error: the loss became ") && err.contains("films "), "{err}");
    assert!(out.contains("the last good checkpoint is run/checkpoint.safetensors"), "{out}");
    // It can be read, and leads to the same end.
    let (code, out, err) = train(folder, &format!("{line} --resume"));
    assert!(code == 5 && out.contains("taken up in epoch 1 of 2, after "), "{out}{err}");
}

/// The shell's limit of a file's size stands for a disk that has room for a model and none for a
/// checkpoint.
#[cfg(unix)]
#[test]
fn a_disk_without_room_for_a_checkpoint_does_not_end_a_run() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{} --epochs 2 {OFTEN} --out run", TINY.replace("--filters 4", "--filters 64"));
    let program = command(folder, "").get_program().to_str().unwrap().to_owned();
    let limited = format!("trap '' XFSZ; ulimit -f 500; exec '{program}' {line}");
    let shell = std::process::Command::new("sh").arg("-c").arg(limited).current_dir(folder).output().unwrap();
    let (code, out, err) = done(shell);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("warning: no checkpoint was written, and training goes on"), "{out}");
}

#[test]
fn a_run_that_leaves_the_test_films_alone_is_finished_without_them() {
    let folder = posters();
    let folder = folder.path();
    let line = format!("{TINY} --epochs 1 --out run --no-test");
    let (code, out, err) = train(folder, &line);
    assert!(code == 0 && out.contains("The test films were not looked at."), "{out}{err}");
    assert!(!out.contains("On the test films") && !out.contains("five test posters"), "{out}");
    let left = ["README.md", "config.toml", "history.csv", "model.safetensors", "report.html", "run.json"];
    assert_eq!(names(&folder.join("run/multi-label")), left);
    let model = || fs::metadata(folder.join("run/multi-label/model.safetensors")).unwrap().modified().unwrap();
    let before = model();
    let (code, out, err) = train(folder, &format!("{line} --resume"));
    assert!(code == 0 && out.contains("this run is finished") && model() == before, "{out}{err}");
    let (code, _, err) = train(folder, &line);
    assert!(code == 2 && err.contains("run already holds a run (multi-label)"), "{err}");
    let (code, _, err) = train(folder, &format!("{} --resume", line.replace(" --no-test", "")));
    assert!(code == 2 && err.contains("other options or data: no_test (true, and now none)"), "{err}");

    let (code, out, err) = train(folder, "run --config run/config.toml --out again");
    assert!(code == 0 && out.contains("The test films were not looked at."), "{out}{err}");
    // The same model is measured on them when all is decided.
    let (code, out, err) = train(folder, "evaluate run/multi-label --data data --split test");
    assert!(code == 0 && out.contains("macro AP") && !err.contains("trained or chosen with"), "{out}{err}");
}
