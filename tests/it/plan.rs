//! The plan before the work, and runs that stop there.

use crate::cli::{assert_one_line, posters, tiny_run, train};
use onesheet::data::cache::Cache;
use onesheet::data::decode::ImageSpec;
use onesheet::run::speed::FirstSteps;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All files and folders below a folder, with their sizes.
fn contents(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.push((path.clone(), path.metadata().unwrap().len()));
        if path.is_dir() {
            all.extend(contents(&path));
        }
    }
    all.sort();
    all
}

/// The row of an experiment in a plan: its name and its numbers.
fn row(text: &str, experiment: &str) -> Vec<usize> {
    let line = text.lines().find(|line| line.starts_with(experiment)).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect()
}

#[test]
fn a_dry_run_prints_the_plan_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = posters().to_str().unwrap();
    for cache in ["", "--no-cache", "--cache there"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.current_dir(folder.path()).args([
            "run",
            "--data",
            data,
            "--dry-run",
            "-q",
            "--recipe",
            "report",
            "--input",
            "64",
        ]);
        let output = command.args(["--epochs", "3", "--batch", "16"]).args(cache.split_whitespace()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(contents(folder.path()), [], "{text}");
        let [classes, train, val, test, epochs, steps, ..] = row(&text, "multi-label")[..] else { panic!("{text}") };
        assert!(classes > 5 && train > 100 && val > 10 && test > 10, "{text}");
        assert_eq!((epochs, steps), (3, 3 * train.div_ceil(16)), "{text}");
        for part in ["per epoch", "memory  ", "results ", "time    ", " are free", "nothing was written"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.contains("posters to decode"), cache != "--no-cache", "{text}");
    }
}

#[test]
fn a_dry_run_takes_a_cache_as_it_is_and_changes_none() {
    let folder = tempfile::tempdir().unwrap();
    let (data, cache) = (posters().to_str().unwrap(), folder.path().join("cache"));
    let run = |more: &[&str]| {
        let options = ["run", "--data", data, "--cache", cache.to_str().unwrap(), "--dry-run", "--recipe", "report"];
        train(&[&options[..], &["--batch", "16", "--input", "64"], more].concat())
    };
    let built = train(&["cache", "build", "--data", data, "--cache", cache.to_str().unwrap()]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let before = contents(folder.path());
    let out = folder.path().join("out");
    let outcome = run(&["--out", out.to_str().unwrap(), "--experiment", "top-6"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("to decode"), "{}", outcome.stdout);
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_dry_run_ends_with_the_errors_of_the_run() {
    let data = posters().to_str().unwrap();
    let dry = |more: &[&str]| train(&[&["run", "--dry-run", "--out", "/nowhere/out"], more].concat());
    assert_one_line(&dry(&["--data", "/nowhere"]), 3, &["/nowhere"]);
    assert_one_line(&dry(&["--data", data, "--batch", "2000"]), 3, &["too few films", "lower --batch"]);
    assert_one_line(&dry(&["--data", data, "--init-from", "/nowhere"]), 3, &["/nowhere"]);
}

#[test]
fn a_run_says_what_it_takes_before_it_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (out, cache) = (folder.path().join("run"), folder.path().join("cache"));
    let outcome = tiny_run(&out, &["--cache", cache.to_str().unwrap(), "--epochs", "1", "--experiment", "top-6"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let (plan, rest) = outcome.stdout.split_once("posters decoded into").expect("a cache was made");
    assert!(plan.contains("memory  ") && !plan.contains("per epoch") && rest.contains("films to train"), "{plan}");
    let megabytes: f64 = plan.split("cache   ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let bytes = fs::metadata(Cache::path_in(&cache, ImageSpec::POSTER)).unwrap().len() as f64;
    // Refused posters have no image, but a line.
    assert!((megabytes * 1e6 - bytes).abs() < 5e5, "{megabytes} MB planned, {bytes} bytes made");
}

#[test]
fn the_first_steps_tell_once_how_long_an_epoch_takes() {
    let mut first = FirstSteps::of(64_000, 10);
    let step = |n: usize| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        32 * n
    };
    let notes: Vec<Option<String>> = (1..=30).map(|n| first.step(step(n))).collect();
    let said: Vec<usize> = (0..30).filter(|&at| notes[at].is_some()).collect();
    assert_eq!(said, [11]);
    let note = notes[11].as_ref().unwrap();
    // 2,000 steps of 20 ms and a little more, on a machine that may be busy.
    let seconds: u64 = note.strip_prefix("an epoch takes about ").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((40..90).contains(&seconds) && note.contains("all 10 take "), "{note}");
}
