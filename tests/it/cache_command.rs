//! The commands `train cache` and `train doctor` and the options about posters that do not decode,
//! run as processes: what a kill leaves behind, and what two processes at once do.

use onesheet::data::demo;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// A folder with 60 drawn posters, 59 of which have a film; one breaks off as drawn, two are no
/// longer images.
fn posters() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    demo::draw(&folder.path().join("data"), 60, 1).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path().join("data/posters")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    fs::write(&names[3], "<html></html>").unwrap();
    fs::write(&names[20], &fs::read(&names[20]).unwrap()[..3000]).unwrap();
    folder
}

fn train(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.current_dir(folder).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn build(folder: &Path, cache: &str) -> Child {
    train(folder, &["cache", "build", "--data", "data", "--cache", cache]).spawn().unwrap()
}

fn done(output: Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

/// All files of a folder with their content, except the lock, which a killed process leaves.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let entries = entries.filter(|entry| entry.path().extension().is_none_or(|extension| extension != "lock"));
    let mut files: Vec<_> =
        entries.map(|e| (e.file_name().to_string_lossy().into_owned(), fs::read(e.path()).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_build_that_is_killed_fifty_times_ends_as_one_that_is_not() {
    let folder = posters();
    // Once they are older than the grain of any clock, the same posters make the same bytes.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let begin = Instant::now();
    let told = done(build(folder.path(), "whole").wait_with_output().unwrap());
    let took = begin.elapsed();
    assert!(
        told.contains("56 of 59 posters decoded, 3 refused, in ")
            && told.contains("56 of them as 256x256 RGB, 3 refused"),
        "{told}"
    );
    let whole = content(&folder.path().join("whole"));
    let names: Vec<&str> = whole.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["posters-256x256.cache", "posters-256x256.ledger.json"]);

    let (mut finished, mut resumed) = (0, 0);
    for k in 0..50u32 {
        let mut child = build(folder.path(), "killed");
        // The kills are spread over the whole build, in no order.
        std::thread::sleep(took * ((k * 37) % 50) / 45);
        child.kill().unwrap();
        child.wait().unwrap();
        let cache = folder.path().join("killed/posters-256x256.cache");
        if cache.exists() {
            finished += 1;
            assert_eq!(content(&folder.path().join("killed")), whole);
            fs::remove_dir_all(folder.path().join("killed")).unwrap();
        } else if folder.path().join("killed/posters-256x256.building").exists() && k % 10 == 9 {
            let told = done(build(folder.path(), "killed").wait_with_output().unwrap());
            assert_eq!(content(&folder.path().join("killed")), whole, "{told}");
            let decoded: usize = told.split(' ').next().unwrap().parse().unwrap();
            resumed += usize::from(decoded < 56);
            fs::remove_dir_all(folder.path().join("killed")).unwrap();
        }
    }
    done(build(folder.path(), "killed").wait_with_output().unwrap());
    assert_eq!(content(&folder.path().join("killed")), whole);
    assert!(finished + resumed > 0, "no kill met a build that had begun to decode; it takes {took:?}");
}

#[test]
fn two_builders_at_once_both_succeed_with_one_cache() {
    let folder = posters();
    let builders = [build(folder.path(), "cache"), build(folder.path(), "cache")];
    let told = builders.map(|builder| done(builder.wait_with_output().unwrap()));
    let decoded = told.iter().filter(|told| told.contains("56 of 59 posters decoded")).count();
    let waited = told.iter().filter(|told| told.contains("all posters are there already")).count();
    assert_eq!((decoded, waited), (1, 1), "{told:?}");
    let verified = done(train(folder.path(), &["cache", "verify", "--cache", "cache"]).output().unwrap());
    assert!(verified.contains("all 59 records are as they were written"), "{verified}");
}

#[test]
fn damage_is_found_and_described() {
    let folder = posters();
    done(build(folder.path(), "cache").wait_with_output().unwrap());
    let info = done(train(folder.path(), &["cache", "info", "--cache", "cache"]).output().unwrap());
    assert!(info.contains("59 posters, 56 of them as 256x256 RGB, 3 refused") && info.contains("HTML page"), "{info}");
    let path = folder.path().join("cache/posters-256x256.cache");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 12 * 196_608 + 5] ^= 64;
    fs::write(&path, bytes).unwrap();
    let output = train(folder.path(), &["cache", "verify", "--cache", "cache"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(error.contains("1 of 59 records are damaged") && error.contains("remove the cache"), "{error}");
    let output = train(folder.path(), &["cache", "info", "--cache", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn without_a_cache_a_run_ends_the_same() {
    let folder = posters();
    let run = |out: &str, more: &[&str]| {
        let mut args = vec!["run", "--data", "data", "--out", out, "--experiment", "multi-label", "--epochs", "1"];
        args.extend(["--batch", "8", "--filters", "2", "--dense", "4", "--limit", "16"]);
        args.extend(more);
        train(folder.path(), &args).output().unwrap()
    };
    let told = |output: Output| {
        let told = done(output);
        told.lines().find(|line| line.contains("sha256")).unwrap().to_owned()
    };
    let failed = run("failed", &["--on-bad-image", "fail", "--limit", "60"]);
    let error = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(3), "{error}");
    assert!(error.contains(".jpg: HTML page, not JPEG; ") || error.contains(".jpg: truncated"), "{error}");
    for road in [&["--no-cache"][..], &[]] {
        let failed = run("failed", &[&["--max-missing", "0.03", "--limit", "60", "--overwrite"][..], road].concat());
        let error = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(3), "{error}");
        assert!(error.contains("% of the films lack a poster that decodes, and --max-missing allows 3.0 %"), "{error}");
    }
    assert_eq!(told(run("cached", &[])), told(run("streamed", &["--no-cache"])));
    assert!(!folder.path().join("streamed/cache").exists());
}

#[test]
fn doctor_counts_every_poster_and_writes_nothing() {
    let folder = posters();
    fs::copy(folder.path().join("data/posters/1000030.jpg"), folder.path().join("data/posters/999999.jpg")).unwrap();
    let before = content(&folder.path().join("data/posters"));
    let output = done(train(folder.path(), &["doctor", "--data", "data", "--json"]).output().unwrap());
    let report: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["posters"], 61);
    assert_eq!(report["accepted"].as_u64().unwrap() as usize + report["refused"].as_array().unwrap().len(), 61);
    assert_eq!(report["refused"].as_array().unwrap().len(), 3);
    assert_eq!(report["duplicates"].as_array().unwrap().len(), 1);
    let epochs: Vec<u64> =
        report["experiments"].as_array().unwrap().iter().map(|of| of["epochs"].as_u64().unwrap()).collect();
    assert!(
        epochs.len() == 3 && epochs[1..] == [epochs[0] / 4; 2],
        "later experiments are trained for a quarter: {epochs:?}"
    );
    assert!(report["plan"]["bf16_gain"].as_f64().unwrap() > 0.0);
    assert!(report["plan"]["cache_bytes"].as_u64().unwrap() > 59 * 196_608);
    for key in ["rows", "films", "genres", "genres_per_film", "sizes"] {
        assert!(!report[key].is_null(), "{key}");
    }
    assert_eq!(content(&folder.path().join("data/posters")), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside the data");
    let text = done(train(folder.path(), &["doctor", "--data", "data"]).output().unwrap());
    assert!(text.contains("61 posters: 58 accepted, 3 refused") && text.contains("HTML page"), "{text}");
    assert!(text.contains("bf16 (--precision): multiplied "), "{text}");
}

#[test]
fn out_of_file_handles_the_build_ends_and_loses_nothing() {
    let folder = posters();
    // Standard input, output and error, the lock and the cache: none is left for a poster.
    let short = "ulimit -n 5; exec \"$0\" cache build --data data --cache cache";
    let mut short_of_files = Command::new("sh");
    short_of_files.current_dir(folder.path()).args(["-c", short, env!("CARGO_BIN_EXE_train")]);
    let output = short_of_files.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.contains("cannot read the poster: ") && error.contains("; raise the limit of open files"), "{error}");
    let told = done(build(folder.path(), "cache").wait_with_output().unwrap());
    assert!(told.contains("56 of 59 posters decoded, 3 refused, in "), "{told}");
}

#[test]
fn a_build_that_must_not_skip_ends_at_the_first_bad_poster() {
    let folder = posters();
    let args = ["cache", "build", "--data", "data", "--cache", "cache", "--on-bad-image", "fail", "--threads", "1"];
    let output = train(folder.path(), &args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains(", or let bad posters be skipped"), "{error}");
    assert!(!folder.path().join("cache/posters-256x256.cache").exists());
    let told = done(build(folder.path(), "cache").wait_with_output().unwrap());
    let decoded: usize = told.split(' ').next().unwrap().parse().unwrap();
    assert!((40..=56).contains(&decoded), "the build ended late: {told}");
}

#[test]
fn doctor_says_how_genres_csv_was_read() {
    let folder = posters();
    let csv = folder.path().join("data/genres.csv");
    let text = fs::read_to_string(&csv).unwrap().replacen(",Drama\n", ",drama\n", 1);
    fs::write(&csv, format!("{text}1000003,Drama|Comedy\n1000004,Com\u{0}edy\n")).unwrap();
    let text = done(train(folder.path(), &["doctor", "--data", "data"]).output().unwrap());
    for told in [
        ": the genre `Com\\u{0}edy` holds a control character; ",
        "warning: 1 cells of genres.csv hold several genres, such as `Drama|Comedy`; they were split at `|`",
        "warning: `Drama` is also written `drama` in genres.csv; they are one genre",
        "1  films with a row that cannot be read: 1000004",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
}
