//! The binary in scripts: streams that are closed, full or not read to the end, and the number of
//! its threads.

#![cfg(target_os = "linux")]

use crate::cli::{posters, run_folder, tiny_run, train, whole_posters};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TRAIN: &str = env!("CARGO_BIN_EXE_train");

/// Runs a shell command in which `$T` is the program.
fn shell(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).env("T", TRAIN).output().unwrap()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A line for every command that prints results, on the small set and its run.
fn commands(folder: &Path) -> Vec<String> {
    let (data, run, cache) = (posters(), run_folder().join("multi-label"), posters().join("cache"));
    let tiny = "--recipe report --epochs 1 --batch 16 --filters 4,4 --dense 8 --experiment multi-label";
    let lines = [
        format!("run --data DATA --out OUT --overwrite --cache {} {tiny}", cache.display()),
        format!("sweep --data DATA --out OUT/sweep --vary seed=1 -- --overwrite --cache {} {tiny}", cache.display()),
        format!("evaluate {} --data DATA --split test --json", run.display()),
        format!("predict {} {} --json", run.display(), whole_posters()[0].display()),
        "doctor --data DATA".to_owned(),
        format!("cache info --cache {}", cache.display()),
        format!("cache verify --cache {}", cache.display()),
        "demo --out OUT/demo --films 12".to_owned(),
        "--help".to_owned(),
        "--version".to_owned(),
        "completions zsh".to_owned(),
        "man".to_owned(),
    ];
    lines
        .map(|line| line.replace("DATA", &data.display().to_string()).replace("OUT", &folder.display().to_string()))
        .to_vec()
}

#[test]
fn results_that_cannot_be_written_end_in_exit_code_4_and_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for line in commands(folder.path()) {
        let output = Command::new(TRAIN).args(line.split(' ')).stdout(full()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{line}: {stderr}");
        assert!(stderr.contains("error: standard output: cannot write the results: No space left"), "{line}: {stderr}");
    }
    assert!(folder.path().join("multi-label/model.safetensors").exists(), "the run went on to its end");
}

#[test]
fn a_pipe_that_nobody_reads_is_no_error_and_loses_no_result() {
    let folder = tempfile::tempdir().unwrap();
    for line in commands(folder.path()) {
        let mut child =
            Command::new(TRAIN).args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}: {stderr}");
        assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{line}: {stderr}");
    }
    assert!(folder.path().join("multi-label/model.safetensors").exists());
}

#[test]
fn a_standard_error_that_is_full_or_closed_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for line in commands(folder.path()) {
        let output = Command::new(TRAIN).args(line.split(' ')).stderr(full()).output().unwrap();
        assert!(output.status.code() == Some(0) && !output.stdout.is_empty(), "{line}: {output:?}");
        let mut child =
            Command::new(TRAIN).args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0), "{line}");
    }
    let run = run_folder().join("multi-label");
    let evaluate = format!("evaluate {} --data {} --json", run.display(), posters().display());
    let output = Command::new(TRAIN).args(evaluate.split(' ')).stderr(full()).output().unwrap();
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok(), "the result is whole");
    let refused = Command::new(TRAIN).args(["predict", "nosuch", "x.jpg"]).stderr(full()).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "the code of the error stays");
}

#[test]
fn closed_streams_end_nothing_and_get_into_no_file() {
    let folder = tempfile::tempdir().unwrap();
    for closed in ["<&- >&- 2>&-", "<&-", ">&-", "2>&-"] {
        // All commands, and then the one that opens the most files.
        let all = if closed.len() > 4 { 12 } else { 1 };
        for line in commands(folder.path()).iter().take(all) {
            let output = shell(&format!("\"$T\" {line} {closed}"));
            assert_eq!(output.status.code(), Some(0), "{line} {closed}: {}", String::from_utf8_lossy(&output.stderr));
        }
        // Were a file opened under the number of a closed stream, notes would be written into it.
        for file in ["multi-label/config.toml", "multi-label/history.csv", "ledger.json"] {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(!text.contains("films to train") && !text.contains("Results in"), "{file} {closed}: {text}");
        }
        assert_eq!(shell(&format!("\"$T\" run --nonsense {closed}")).status.code(), Some(2), "{closed}");
    }
}

/// The most threads that a command has at once, on a machine that seems to have 12 cores.
fn most_threads(line: &str) -> usize {
    let mut command = Command::new(TRAIN);
    command.args(line.split(' ')).env("RAYON_NUM_THREADS", "12").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(threads(&child));
    }
    most
}

fn threads(child: &Child) -> usize {
    fs::read_dir(format!("/proc/{}/task", child.id())).map_or(0, Iterator::count)
}

/// The threads of a command that does not compute: the main thread, and where the processor is
/// emulated one of the emulator's own.
fn idle_threads() -> usize {
    // A pipe that is full, so that the command waits with its first line.
    let (reader, writer) = std::io::pipe().unwrap();
    let fill = Command::new("timeout").args(["1", "cat", "/dev/zero"]).stdout(writer.try_clone().unwrap()).status();
    assert_eq!(fill.unwrap().code(), Some(124));
    let mut child = Command::new(TRAIN).arg("--version").stdout(writer).spawn().unwrap();
    let began = Instant::now();
    let mut most = 0;
    while began.elapsed() < Duration::from_secs(2) {
        assert!(child.try_wait().unwrap().is_none(), "it waits");
        most = most.max(threads(&child));
    }
    drop(reader);
    child.wait().unwrap();
    most
}

#[test]
fn threads_bounds_every_pool_of_every_command_that_computes() {
    let folder = tempfile::tempdir().unwrap();
    let build = format!("cache build --data {} --cache {}/cache", posters().display(), folder.path().display());
    let mut lines = commands(folder.path());
    lines.push(build);
    // Some are over before their threads can be counted, and start none.
    let is_text = |line: &str| ["--", "cache info", "completions", "man"].iter().any(|text| line.starts_with(text));
    lines.retain(|line| !is_text(line));
    let idle = idle_threads();
    assert!((1..=2).contains(&idle), "{idle} threads before it computes");
    for line in lines {
        let line = line.replacen(' ', " --threads 1 ", 1).replace("cache --threads 1 build", "cache build --threads 1");
        let most = most_threads(&line.replace("cache --threads 1 verify", "cache verify --threads 1"));
        // Beside the main thread: one to compute, one to decode, and two that wait: for the disk, or
        // for batches to be wanted.
        assert!((idle..=idle + 4).contains(&most), "{line}: {most} threads, {idle} before it computes");
    }
}

#[test]
fn threads_that_do_not_start_are_an_error_with_the_remedy() {
    let run = run_folder().join("multi-label");
    // Each thread needs room for its stack: so much that, when a stack finds none, there is room for
    // everything else.
    let line = format!("predict {} {} --threads 1000", run.display(), whole_posters()[0].display());
    let output = shell(&format!("ulimit -v 500000; RUST_MIN_STACK=67108864 \"$T\" {line}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("--threads 1000") && stderr.contains("lower --threads") && stderr.contains("ulimit -u"));
}

#[test]
fn names_of_genres_and_files_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("posters")).unwrap();
    for poster in whole_posters() {
        fs::copy(&poster, data.join("posters").join(poster.file_name().unwrap())).unwrap();
    }
    fs::copy(&whole_posters()[0], data.join("posters/\u{1b}]52;c;AAAA\u{7}\r\u{202e}.jpg")).unwrap();
    fs::copy(&whole_posters()[1], data.join("posters/=1+1.jpg")).unwrap();
    let genres = fs::read_to_string(posters().join("genres.csv")).unwrap();
    let genres = genres.replace("Drama", "\"\u{1b}]52;c;AAAA\u{7}\u{202e}Drama\"");
    let long = "C".repeat(10_000);
    fs::write(data.join("genres.csv"), genres.replace("Comedy", &long)).unwrap();

    let (data, out) = (data.display().to_string(), folder.path().join("run"));
    let cache = folder.path().join("cache").display().to_string();
    let run = tiny_run(&out, &["--data", &data, "--cache", &cache]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let (model, posters) = (out.join("multi-label").display().to_string(), format!("{data}/posters"));
    let shown = [
        run,
        train(&["predict", &model, &posters]),
        train(&["predict", &model, &posters, "--csv"]),
        train(&["predict", &model, &posters, "--jsonl"]),
        train(&["doctor", "--data", &data]),
        train(&["doctor", "--data", &data, "--json"]),
        train(&["evaluate", &model, "--data", &data]),
        train(&["predict", &model, "\u{1b}[2J.jpg"]),
        train(&["run", "--data", "\u{1b}[2J"]),
        train(&["run", "--\u{1b}[2J"]),
    ];
    for (i, outcome) in shown.iter().enumerate() {
        for text in [&outcome.stdout, &outcome.stderr] {
            let unsafe_character = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(unsafe_character), "{i}: {text:?}");
        }
    }
    for words in [&shown[0], &shown[1], &shown[4], &shown[6]] {
        assert!(!words.stdout.contains(&long[..100]), "a long name is cut");
    }
    assert!(shown[1].stdout.contains(r"\u{1b}]52;c;AAAA\u{7}\r\u{202e}.jpg"), "{}", shown[1].stdout);
    let first: Vec<Value> = shown[3].stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let exact = format!("{posters}/\u{1b}]52;c;AAAA\u{7}\r\u{202e}.jpg");
    assert!(first.iter().any(|element| element["poster"] == exact.as_str()), "JSON has the file's own name");
}
