//! What the system may do to a process at any moment: refuse a call, fill a disk, end it, flip a bit,
//! run another beside it. Whatever it is, there is no panic and no half-written file; what a command
//! says is a success has the bytes of one; and once the trouble is over the same command succeeds.
//!
//! These tests take minutes, so they wait to be asked: `cargo test --test faults -- --ignored --nocapture`.
//! Calls are made to fail by strace, one after the other, each in a process of its own (Linux only).
//! `ONESHEET_FAULTS_STEP=N` takes every Nth call; 1, the default, takes them all.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TRAIN: &str = env!("CARGO_BIN_EXE_train");
const TINY: &str = "run --data data --cache cache --experiment multi-label --recipe report --input 16 --filters 4 \
                    --dense 0 --padding same --batch 16 --threads 1 --epochs 2";

/// A command, and what it leaves.
struct Job {
    name: &'static str,
    line: String,
    /// What is removed before it begins.
    removes: &'static [&'static str],
    /// The folder that is put in the place of the first of these.
    copies: Option<&'static str>,
    /// The files that it makes, with the same bytes each time; none where its answer is what it prints.
    makes: &'static [&'static str],
    /// The files that it makes with times in them.
    makes_with_times: &'static [&'static str],
}

const OF_RUN: [&str; 5] = [
    "out/config.toml",
    "out/ledger.json",
    "out/multi-label/metrics.json",
    "out/multi-label/model.safetensors",
    "out/multi-label/predictions.csv",
];

fn jobs() -> Vec<Job> {
    let job = |name, line: &str, removes, makes| Job {
        name,
        line: line.to_owned(),
        removes,
        copies: None,
        makes,
        makes_with_times: &[],
    };
    let run = |out: &str, more: &str| format!("{TINY} --out {out} {more}");
    vec![
        job(
            "cache build",
            "cache build --data data --cache made --threads 1",
            &["made"],
            &["made/posters-256x256.cache"],
        ),
        Job {
            makes_with_times: &["out/report.html", "out/multi-label/history.csv", "out/multi-label/report.html"],
            ..job("run", &run("out", "--resume"), &["out"], &OF_RUN)
        },
        Job {
            copies: Some("other"),
            makes_with_times: &["out/report.html", "out/multi-label/history.csv", "out/multi-label/report.html"],
            ..job("run over another run", &run("out", "--resume --overwrite"), &["out"], &OF_RUN)
        },
        job("evaluate", "evaluate run/multi-label --data data --threads 1", &[], &[]),
        job("report", "report run --threads 1", &[], &["run/report.html", "run/multi-label/report.html"]),
        job("predict", "predict run/multi-label data/posters --csv --threads 1", &[], &[]),
    ]
}

/// A folder with a few posters, their cache, and a run.
fn world() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [run, other] = ["run", "other --seed 2"].map(|out| format!("{TINY} --out {out}"));
    for line in ["demo --films 30 --out data", "cache build --data data --cache cache", &run, &other] {
        let output = train(folder.path(), line).output().unwrap();
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        // The one that the demo cuts off: nothing is to be wrong before something goes wrong.
        let _ = fs::remove_file(folder.path().join("data/posters/1000008.jpg"));
    }
    // The same posters make the same cache once they are older than the grain of the clock.
    std::thread::sleep(Duration::from_millis(2100));
    folder
}

fn train(folder: &Path, line: &str) -> Command {
    with(Command::new(TRAIN), folder, line)
}

fn with(mut command: Command, folder: &Path, line: &str) -> Command {
    command.current_dir(folder).args(line.split_whitespace()).env("RUST_BACKTRACE", "0");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a job has left: its files, or what it printed. Of a cache, the images: the index before them has
/// what the system said of each poster, times among it.
fn result(job: &Job, folder: &Path, output: &Output) -> BTreeMap<String, Vec<u8>> {
    const INDEX: usize = 4096;
    if job.makes.is_empty() {
        return [("stdout".to_owned(), output.stdout.clone())].into();
    }
    let read = |name: &&str| {
        let mut bytes = fs::read(folder.join(name)).ok()?;
        if name.ends_with(".cache") {
            bytes.drain(..INDEX);
        }
        Some(((*name).to_owned(), bytes))
    };
    job.makes.iter().filter_map(read).collect()
}

/// Counts of what became of the processes, by kind.
type Tally = BTreeMap<&'static str, usize>;

/// A job in a folder, and what it leaves when nothing goes wrong.
struct Trial<'a> {
    job: &'a Job,
    folder: &'a Path,
    expected: BTreeMap<String, Vec<u8>>,
}

impl<'a> Trial<'a> {
    fn new(job: &'a Job, folder: &'a Path) -> Self {
        let mut trial = Self { job, folder, expected: BTreeMap::new() };
        trial.clear();
        let output = train(folder, &job.line).output().unwrap();
        assert!(output.status.success(), "{}: {}", job.name, text(&output.stderr));
        trial.expected = result(job, folder, &output);
        trial
    }

    fn clear(&self) {
        for name in self.job.removes {
            let _ = fs::remove_dir_all(self.folder.join(name));
        }
        if let Some(from) = self.job.copies {
            let (from, to) = (self.folder.join(from), self.folder.join(self.job.removes[0]));
            assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
        }
    }

    /// Judges a process that trouble befell, and what comes after it; `is_heard` is whether what it says
    /// has come through.
    fn judge(&self, output: &Output, trouble: &str, is_heard: bool, tally: &mut Tally) {
        let (job, err) = (self.job, text(&output.stderr));
        let what = format!("{} with {trouble}: {}\n{err}", job.name, output.status);
        assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{what}");
        let left = result(job, self.folder, output);
        let is_killed = output.status.signal() == Some(9);
        match output.status.code() {
            // Before there is a program, its loader speaks.
            Some(127) if err.contains("error while loading shared libraries") => {
                *tally.entry("not begun").or_default() += 1
            }
            Some(0) if left == self.expected => *tally.entry("no harm").or_default() += 1,
            // A poster that the system does not let be read is left out, and said to be.
            Some(0) => {
                let said = text(&output.stdout) + &err + &left.values().map(|bytes| text(bytes)).collect::<String>();
                let words = ["cannot be read", "warning", "no poster"];
                assert!(words.iter().any(|word| said.contains(word)), "{what}{}", text(&output.stdout));
                *tally.entry("less, and said so").or_default() += 1;
            }
            Some(code @ 1..=5) => {
                assert!(err.contains("error") || !is_heard, "{what}: code {code} without a message");
                *tally.entry("refused").or_default() += 1;
            }
            _ => {
                assert!(is_killed, "{what}");
                *tally.entry("killed").or_default() += 1;
            }
        }
        if output.status.code() != Some(0) && !job.makes.is_empty() {
            for (name, bytes) in &left {
                // The files of a run that goes on differ; those that are there are whole.
                let is_whole = bytes == &self.expected[name] || job.name.starts_with("run") && is_whole(name, bytes);
                assert!(is_whole, "{what}: {name} is torn");
            }
            for name in job.makes_with_times {
                let bytes = fs::read(self.folder.join(name)).ok();
                assert!(bytes.is_none_or(|bytes| is_whole(name, &bytes)), "{what}: {name} is torn");
            }
        }
        let again = &job.line;
        let output = train(self.folder, again).output().unwrap();
        assert!(output.status.success(), "{what}\nand after it {again}: {}", text(&output.stderr));
        if result(job, self.folder, &output) != self.expected {
            let now = result(job, self.folder, &output);
            let other: Vec<_> =
                self.expected.keys().filter(|name| now.get(*name) != self.expected.get(*name)).collect();
            panic!("{what}\nand after it {again} leaves other bytes in {other:?}");
        }
    }
}

/// Whether a file that onesheet wrote is complete, whatever it says.
fn is_whole(name: &str, bytes: &[u8]) -> bool {
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_slice::<serde_json::Value>(bytes).is_ok(),
        Some("html") => bytes.trim_ascii_end().ends_with(b"</html>"),
        Some("safetensors") => safetensors::SafeTensors::deserialize(bytes).is_ok(),
        _ => bytes.ends_with(b"\n"),
    }
}

fn step() -> usize {
    std::env::var("ONESHEET_FAULTS_STEP").map_or(1, |text| text.parse().expect("a number"))
}

/// Makes calls fail, the first of a kind in one process, the second in the next, until a process makes no
/// more of them.
fn fail_in_turn(calls: &str, error: &str) -> Tally {
    let strace = Command::new("strace").arg("-V").output();
    if !strace.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no strace");
        return Tally::new();
    }
    let folder = world();
    let folder = folder.path();
    let mut all = Tally::new();
    for job in jobs() {
        let trial = Trial::new(&job, folder);
        let mut tally = Tally::new();
        // strace counts each kind by itself: of several that fail at once, the first ends the process.
        for call in calls.split(',') {
            for number in (1..).step_by(step()) {
                trial.clear();
                let trace = folder.join("trace");
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "-o"]).arg(&trace).args(["-e", &format!("trace={call}")]);
                strace.args(["-e", &format!("inject={call}:error={error}:when={number}"), TRAIN]);
                let output = with(strace, folder, &job.line).output().unwrap();
                let trace = fs::read_to_string(&trace).unwrap();
                let injected: Vec<&str> = trace.lines().filter(|line| line.contains("(INJECTED)")).collect();
                if injected.is_empty() {
                    break;
                }
                let is_heard = !injected.iter().any(|call| call.contains("write(1,") || call.contains("write(2,"));
                trial.judge(&output, &format!("{error} at {}", injected.join(" and ")), is_heard, &mut tally);
            }
        }
        println!("{error} of {calls}, {}: {tally:?}", job.name);
        tally.into_iter().for_each(|(kind, count)| *all.entry(kind).or_default() += count);
    }
    assert!(!all.is_empty());
    all
}

#[test]
#[ignore = "takes minutes"]
fn every_read_may_fail() {
    fail_in_turn("read,pread64", "EIO");
}

#[test]
#[ignore = "takes minutes"]
fn every_question_about_a_file_may_fail() {
    fail_in_turn("openat", "EIO");
    fail_in_turn("statx,getdents64,lseek,flock,statfs", "EIO");
}

#[test]
#[ignore = "takes minutes"]
fn handles_may_run_out() {
    fail_in_turn("openat", "EMFILE");
}

#[test]
#[ignore = "takes minutes"]
fn every_call_may_be_interrupted() {
    let all = fail_in_turn("read,pread64,write,pwrite64,openat", "EINTR");
    // It is no failure: the call is made again.
    assert!(!all.contains_key("refused"), "{all:?}");
}

#[test]
#[ignore = "takes minutes"]
fn the_disk_may_be_full_at_every_write() {
    fail_in_turn("write,pwrite64,ftruncate,fallocate", "ENOSPC");
}

#[test]
#[ignore = "takes minutes"]
fn every_change_of_a_folder_may_fail() {
    fail_in_turn("renameat,rename,renameat2,mkdir,unlink,unlinkat,rmdir,fsync,fdatasync", "EIO");
}

#[test]
#[ignore = "takes minutes"]
fn a_process_may_be_killed_at_any_moment() {
    let folder = world();
    let folder = folder.path();
    for job in jobs() {
        let trial = Trial::new(&job, folder);
        trial.clear();
        let begin = Instant::now();
        assert!(train(folder, &job.line).output().unwrap().status.success());
        let (took, mut tally) = (begin.elapsed(), Tally::new());
        const KILLS: u32 = 100;
        for kill in (0..KILLS).step_by(step()) {
            trial.clear();
            let mut child = train(folder, &job.line).spawn().unwrap();
            // Spread over the whole job, in no order.
            std::thread::sleep(took * (kill * 37 % KILLS) / KILLS);
            let _ = child.kill();
            trial.judge(&child.wait_with_output().unwrap(), &format!("kill {kill}"), true, &mut tally);
        }
        println!("SIGKILL, {}: {tally:?}", job.name);
    }
}

/// Two processes at once on the same files. Each succeeds or says that the other is at work. The report of
/// a run that is replaced meanwhile has other times in it.
#[test]
#[ignore = "takes minutes"]
fn any_two_commands_may_run_at_once() {
    let folder = world();
    let folder = folder.path();
    let mut jobs = jobs();
    for job in jobs.iter_mut().filter(|job| job.name == "report") {
        job.makes_with_times = std::mem::take(&mut job.makes);
        job.makes = &["run/multi-label/model.safetensors"];
    }
    // On the files that the others read.
    jobs.push(Job {
        name: "run over the same run",
        line: format!("{TINY} --out run --overwrite"),
        removes: &[],
        copies: None,
        makes: &["run/multi-label/model.safetensors", "run/multi-label/metrics.json"],
        makes_with_times: &[],
    });
    jobs.push(Job {
        name: "cache build of the same cache",
        line: "cache build --data data --cache cache --threads 1".to_owned(),
        removes: &[],
        copies: None,
        makes: &["cache/posters-256x256.cache"],
        makes_with_times: &[],
    });
    for a in &jobs {
        for b in &jobs {
            let trials = [a, b].map(|job| Trial::new(job, folder));
            let mut tally = Tally::new();
            for round in (0..10u32).step_by(step()) {
                trials.iter().for_each(Trial::clear);
                let begin = |job: &Job| -> Child { train(folder, &job.line).spawn().unwrap() };
                let first = begin(a);
                std::thread::sleep(Duration::from_millis(u64::from(round) * 7));
                let second = begin(b);
                let outputs = [first, second].map(|child| child.wait_with_output().unwrap());
                // Both have ended before either is judged: judging runs a job again.
                for (trial, output) in trials.iter().zip(&outputs) {
                    trial.judge(output, &format!("{} and {} at once", a.name, b.name), true, &mut tally);
                }
            }
            println!("{} and {}: {tally:?}", a.name, b.name);
        }
    }
}

/// One bit of one file that a command reads is another. It is refused, or does no harm, or, where
/// nothing can tell (a pixel of a poster, a number in a report), the answer is another; it is never a
/// panic, and the command succeeds once the bit is what it was.
#[test]
#[ignore = "takes minutes"]
fn any_bit_may_flip() {
    let folder = world();
    let folder = folder.path();
    let posters = fs::read_dir(folder.join("data/posters")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = posters.take(3).collect();
    for name in [
        "data/genres.csv",
        "cache/posters-256x256.cache",
        "run/config.toml",
        "run/multi-label/config.toml",
        "run/multi-label/history.csv",
        "run/multi-label/metrics.json",
        "run/multi-label/model.safetensors",
        "run/multi-label/predictions.csv",
        "run/multi-label/run.json",
    ] {
        files.push(folder.join(name));
    }
    let jobs = jobs();
    let trials: Vec<_> = jobs.iter().map(|job| Trial::new(job, folder)).collect();
    let mut random = 1u64;
    for file in files {
        let (whole, mut tally) = (fs::read(&file).unwrap(), Tally::new());
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        for _ in (0..60).step_by(step()) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bit = (random >> 20) as usize % (8 * whole.len());
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let put = |bytes: &[u8]| {
                fs::write(&file, bytes).unwrap();
                fs::File::options().append(true).open(&file).unwrap().set_modified(modified).unwrap();
            };
            for trial in &trials {
                trial.clear();
                put(&flipped);
                let output = train(folder, &trial.job.line).output().unwrap();
                let (err, code) = (text(&output.stderr), output.status.code());
                let what =
                    format!("{} with bit {bit} of {}: {:?}\n{err}", trial.job.name, file.display(), output.status);
                assert!(!err.contains("panicked") && matches!(code, Some(0..=5)), "{what}");
                let is_same = result(trial.job, folder, &output) == trial.expected;
                let kind = match code {
                    Some(0) if is_same => "no harm",
                    Some(0) => "another answer",
                    _ => "refused",
                };
                // The page shows the file's hash.
                let has_checksum = file.extension().is_some_and(|of| of == "safetensors" || of == "cache");
                assert!(kind != "another answer" || !has_checksum || trial.job.name == "report", "{what}");
                *tally.entry(kind).or_default() += 1;
                put(&whole);
                trial.clear();
                let output = train(folder, &trial.job.line).output().unwrap();
                assert!(output.status.success(), "{what}\nand after it: {}", text(&output.stderr));
                assert!(result(trial.job, folder, &output) == trial.expected, "{what}\nleaves other results");
            }
        }
        println!("a bit of {}: {tally:?}", file.strip_prefix(folder).unwrap().display());
    }
}
