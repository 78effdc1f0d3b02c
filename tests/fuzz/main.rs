//! Bytes that nobody meant well, for all that reads bytes of others: the [targets]. Each is given whole
//! files, and what a mutator makes of them, for two seconds or for `ONESHEET_FUZZ_SECONDS`.
//!
//! `tools/fuzz` gives the same targets to libFuzzer, which sees what code an input reaches, and begins
//! with the files that `ONESHEET_FUZZ_SEEDS=FOLDER` has this test write. What it finds goes into
//! `tests/fuzz/findings/TARGET/` and is tried here first, for ever.

mod mutate;
mod seeds;
mod targets;

use mutate::Mutator;
use seeds::Seeds;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static SEEDS: LazyLock<Seeds> = LazyLock::new(Seeds::make);

/// Tries an input, and keeps it where it fails.
fn holds(target: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| targets::run(target, input))).is_ok() {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings").join(target);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{:08x}", crc32fast::hash(input)));
    fs::write(&file, input).unwrap();
    panic!("the target {target} fails for {}", file.display());
}

fn try_out(name: &str) {
    let seeds = SEEDS.of(name);
    assert!(!seeds.is_empty(), "{name} has whole inputs to begin with");
    let findings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/findings").join(name);
    for finding in fs::read_dir(findings).into_iter().flatten() {
        holds(name, &fs::read(finding.unwrap().path()).unwrap());
    }
    for seed in &seeds {
        holds(name, seed);
    }
    let seconds = std::env::var("ONESHEET_FUZZ_SECONDS").map_or(2.0, |text| text.parse().expect("a number"));
    let (until, mut mutator, mut tried) =
        (Instant::now() + Duration::from_secs_f64(seconds), Mutator::new(&seeds, 1), 0);
    while Instant::now() < until {
        holds(name, &mutator.next());
        tried += 1;
    }
    println!("{name}: {} whole inputs, {tried} others", seeds.len());
    assert!(tried > 0);
}

#[test]
fn genre_lists_are_read_or_refused() {
    try_out("labels");
}

#[test]
fn caches_are_opened_or_refused() {
    try_out("cache");
}

#[test]
fn models_are_opened_or_refused() {
    try_out("model");
}

#[test]
fn checkpoints_are_taken_up_or_refused() {
    try_out("checkpoint");
}

#[test]
fn posters_are_decoded_or_refused() {
    try_out("poster");
}

#[test]
fn results_are_shown_or_refused() {
    try_out("results");
}

#[test]
fn kernels_compute_or_panic_before_they_touch_memory() {
    try_out("kernels");
}

#[test]
fn every_target_is_tried() {
    let source = include_str!("main.rs");
    for target in targets::ALL {
        assert!(source.contains(&format!("try_out(\"{}\")", target.name)), "{}", target.name);
    }
    if let Ok(folder) = std::env::var("ONESHEET_FUZZ_SEEDS") {
        SEEDS.write(&PathBuf::from(folder));
    }
}
