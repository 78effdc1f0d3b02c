//! Runs among ranks that mpirun starts: they train the model of one process, and whatever becomes of a
//! rank, the job ends, and can be taken up.
//!
//! `ONESHEET_MPIRUN` is the launcher with its options where it is not Open MPI's.

use onesheet::classifier::Classifier;
use onesheet::data::demo;
use onesheet::nn::Isa;
use onesheet::ranks::mpi::{Job, abort};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const TRAIN: &str = env!("CARGO_BIN_EXE_train");
/// What a rank waits before it gives up the others, in seconds, where a test says nothing else.
const PATIENCE: &str = "60";
/// The job has to end as long after a rank has gone.
const SOON: Duration = Duration::from_secs(10);

/// A folder of synthetic posters, and room for what tests make, each under a name of its own.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    demo::draw(&folder.path().join("posters"), 500, 1).unwrap();
    folder
});

fn place(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

/// The launcher, for so many processes of the program that follows.
fn launcher(count: usize) -> Command {
    let line = std::env::var("ONESHEET_MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe".to_owned());
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    // Open MPI wants to be asked twice before it lets root start anything, as root does in a container.
    command.args(words).env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("RUST_BACKTRACE", "0").args(["-n", &count.to_string()]);
    command.current_dir(FOLDER.path()).stdin(Stdio::null());
    command
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ').filter(|word| !word.is_empty())
}

/// A small run, in steps that are alike enough on other numbers of ranks to be compared.
fn run(out: &str, more: &str) -> String {
    format!(
        "run --data posters --cache {out}-cache --out {out} --experiment multi-label --input 32 --filters 8,16 \
         --batch 16 --precision f32 --threads 1 --rank-timeout {PATIENCE} {more}"
    )
}

fn ranks(count: usize, line: &str) -> Output {
    launcher(count).arg(TRAIN).args(words(line)).output().unwrap()
}

/// The program without a launcher.
fn alone(line: &str) -> Output {
    Command::new(TRAIN).args(words(line)).current_dir(FOLDER.path()).output().unwrap()
}

fn done(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn model(out: &str) -> Vec<u8> {
    fs::read(place(out).join("multi-label/model.safetensors")).unwrap()
}

/// The training losses of the epochs.
fn losses(out: &str) -> Vec<f64> {
    let history = fs::read_to_string(place(out).join("multi-label/history.csv")).unwrap();
    history.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

#[test]
fn any_number_of_ranks_trains_the_model_of_one_process() {
    // Small steps: what rounds differently is not to be blown up by what follows.
    let options = "--optimizer sgd --lr 0.001 --steps 50 --mixup 0.2 --dropout 0.2 --no-test";
    done(alone(&run("alone", options)));
    let values = |out: &str| -> Vec<f32> {
        let classifier = Classifier::open(&place(out).join("multi-label"), Isa::available()[0]).unwrap();
        classifier.network.parameters().into_iter().flat_map(|of| of.value.to_vec()).collect()
    };
    let (of_alone, values_alone) = (losses("alone"), values("alone"));
    assert!(of_alone.len() > 1);
    for count in 1..=3 {
        let out = format!("of-{count}");
        done(ranks(count, &run(&out, options)));
        for (a, b) in of_alone.iter().zip(losses(&out)) {
            assert!((a - b).abs() < 1e-4 * a, "{count}: {a} {b}");
        }
        for (a, b) in values_alone.iter().zip(values(&out)) {
            assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{count}: {a} {b}");
        }
        if count == 1 {
            assert!(model(&out) == model("alone"), "a rank alone is a process alone, to the bit");
        }
    }
    done(ranks(2, &run("again", options)));
    assert!(model("again") == model("of-2"), "the same ranks give the same bits");
    done(ranks(2, &run("waiting", &format!("{options} --no-overlap"))));
    assert!(model("waiting") == model("of-2"), "when a gradient is summed changes nothing");
    done(ranks(2, &run("local", &format!("{options} --local-bn"))));
    assert!(model("local") != model("of-2"));
}

#[test]
fn all_experiments_and_ensembles_are_shared_too() {
    let line = |out: &str| run(out, "--epochs 1 --members 2").replace("--experiment multi-label", "--experiment all");
    let out = done(ranks(2, &line("all")));
    assert!(out.matches("multi-label").count() > 0 && !out.contains("rank"), "{out}");
    for of in ["multi-label", "single-genre", "top-6"] {
        assert!(place("all").join(of).join("metrics.json").exists(), "{of}");
    }
    done(ranks(2, &line("all-again")));
    assert!(model("all") == model("all-again"));
    let finished = done(ranks(2, &format!("{} --resume", line("all"))));
    assert!(finished.contains("this run is finished"), "{finished}");
}

#[test]
fn what_ranks_look_at_together_is_what_one_process_sees() {
    done(ranks(2, &run("seen", "--epochs 1 --no-test")));
    let told = |output: Output| (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned());
    let alone = |line: &str| told(alone(line));
    for line in [
        "evaluate seen/multi-label --data posters --split all --json --threads 1",
        // One of the posters is damaged.
        "predict seen/multi-label posters/posters --threads 1",
        "predict seen/multi-label posters/posters/1000001.jpg --json --threads 1",
    ] {
        let expected = alone(line);
        assert!(expected.1.len() > 100, "{line}");
        for count in [2, 3] {
            assert_eq!(told(ranks(count, line)), expected, "{line}");
        }
    }
    let cache = |name: &str| {
        let files = fs::read_dir(place(name)).unwrap().map(|file| file.unwrap().path());
        fs::read(files.max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap()).unwrap()
    };
    alone("cache build --data posters --cache cache-alone --threads 1");
    done(ranks(3, "cache build --data posters --cache cache-of-3 --threads 1"));
    assert!(cache("cache-alone") == cache("cache-of-3"));
    let examined = |(code, report): (Option<i32>, String)| {
        assert_eq!(code, Some(0));
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        ["posters", "accepted", "refused", "sizes", "twins"].map(|field| report[field].clone())
    };
    let line = "doctor --data posters --json --threads 1";
    assert_eq!(examined(told(ranks(2, line))), examined(alone(line)));
}

#[test]
fn ranks_that_would_not_do_the_same_are_refused() {
    let line = run("refused", "--epochs 1");
    copy_posters("other");
    let genres = fs::read_to_string(place("posters/genres.csv")).unwrap();
    let fewer: Vec<&str> = genres.lines().enumerate().filter(|(i, _)| *i != 7).map(|(_, line)| line).collect();
    fs::write(place("other/genres.csv"), fewer.join("\n")).unwrap();
    // Another program: the same, with a byte more behind its end.
    let other = place("train-other");
    fs::write(&other, [fs::read(TRAIN).unwrap(), vec![0]].concat()).unwrap();
    fs::set_permissions(&other, fs::metadata(TRAIN).unwrap().permissions()).unwrap();
    let data = line.replace("--data posters", "--data other");
    let options = format!("{line} --seed 9");
    let program = Path::new(TRAIN);
    let cases = [
        (program, &options, "", "seed is 9, not 1"),
        (program, &data, "", "labels is "),
        (&other, &line, "", "program is "),
        (program, &line, "portable", "isa is \"portable\", not "),
    ];
    for (program, second, isa, what) in cases {
        let mut command = launcher(1);
        command.arg(TRAIN).args(words(&line)).args([":", "-n", "1"]);
        if !isa.is_empty() {
            command.args(["env", &format!("ONESHEET_ISA={isa}")]);
        }
        let output = command.arg(program).args(words(second)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(what) && text.contains("rank 1 on"), "{what}: {text}");
        assert!(!place("refused").join("multi-label").exists(), "{what}: something was begun");
    }
}

fn copy_posters(to: &str) {
    fs::create_dir_all(place(to).join("posters")).unwrap();
    for poster in fs::read_dir(place("posters/posters")).unwrap() {
        let poster = poster.unwrap();
        fs::copy(poster.path(), place(to).join("posters").join(poster.file_name())).unwrap();
    }
    fs::copy(place("posters/genres.csv"), place(to).join("genres.csv")).unwrap();
}

#[test]
fn ranks_need_not_share_a_file_system() {
    copy_posters("elsewhere/posters");
    let line = run("apart", "--epochs 2 --members 2 --checkpoint-every 0");
    let apart = |line: &str| {
        let mut command = launcher(1);
        command.arg(TRAIN).args(words(line)).args([":", "-n", "1", "sh", "-c"]);
        command.arg(format!("cd elsewhere && exec {TRAIN} {line}")).output().unwrap()
    };
    done(apart(&line));
    done(ranks(2, &run("together", "--epochs 2 --members 2")));
    assert!(model("apart") == model("together"));
    assert!(place("elsewhere/apart-cache").exists(), "a rank that sees no cache makes one");
    assert!(!place("elsewhere/apart").exists(), "rank 0 alone has results");
    assert!(done(apart(&format!("{line} --resume"))).contains("this run is finished"));
}

fn signal(process: u32, name: &str) {
    // That of the shell: not every system has the program.
    assert!(Command::new("sh").args(["-c", &format!("kill {name} {process}")]).status().unwrap().success());
}

/// The ranks that a launcher has started, itself or by others in between.
fn processes(launcher: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{launcher}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children.flat_map(|of| of.split(' ').flat_map(str::parse).collect::<Vec<_>>()).collect();
    let is_rank = |process: u32| fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|of| of == "train\n");
    children.into_iter().flat_map(|child| if is_rank(child) { vec![child] } else { processes(child) }).collect()
}

/// Sends a signal to one of several ranks at moments all over a run, from the cache to the test: the job
/// ends soon, and when it is taken up, with the bits of a run that nothing has disturbed.
fn disturbed(count: usize, name: &str, seconds: u64, moments: u32) {
    let whole = format!("whole{name}{count}");
    // The last one stands: clap takes one value.
    let line = |out: &str| run(out, "--epochs 3 --checkpoint-every 0").replace(PATIENCE, &seconds.to_string());
    let begin = Instant::now();
    done(ranks(count, &line(&whole)));
    let takes = begin.elapsed();
    let mut struck = 0;
    for moment in 0..moments {
        let out = format!("disturbed{name}{count}-{moment}");
        let mut command = launcher(count);
        command.arg(TRAIN).args(words(&line(&out))).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut job = command.spawn().unwrap();
        std::thread::sleep(takes * (moment + 1) / (moments + 2));
        let ranks_of_job = processes(job.id());
        let Some(&victim) = ranks_of_job.get(moment as usize % count) else {
            // It has ended already, or not yet begun.
            assert!(job.wait_with_output().unwrap().status.success());
            continue;
        };
        let begin = Instant::now();
        signal(victim, name);
        while job.try_wait().unwrap().is_none() {
            // One that is stopped on its way out is missed by nobody: the others have left, and all is written.
            let is_late = begin.elapsed() > Duration::from_secs(seconds) + SOON / 2;
            if is_late && place(&out).join("report.html").exists() && processes(job.id()) == [victim] {
                signal(victim, "-CONT");
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = job.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(begin.elapsed() < SOON + Duration::from_secs(seconds), "{:?}: {text}", begin.elapsed());
        if !output.status.success() {
            struck += 1;
            assert!(output.stderr.len() + output.stdout.len() > 0, "nothing was said");
            assert!(name != "-STOP" || text.contains("has waited"), "{text}");
        }
        done(ranks(count, &format!("{} --resume", line(&out))));
        assert!(model(&out) == model(&whole), "moment {moment} of {moments}");
    }
    assert!(struck > 1, "{struck} of {moments} moments were in time");
}

#[test]
fn a_killed_rank_ends_the_job_which_goes_on_to_the_same_bits() {
    disturbed(2, "-KILL", 60, 6);
    disturbed(3, "-KILL", 60, 3);
}

#[test]
fn a_rank_that_stands_still_ends_the_job_which_goes_on_to_the_same_bits() {
    disturbed(2, "-STOP", 2, 5);
}

#[test]
fn ranks_that_are_told_to_stop_write_a_checkpoint_and_go_on_from_it() {
    let line = |out: &str| run(out, "--epochs 3");
    done(ranks(2, &line("whole-stopped")));
    let mut command = launcher(2);
    command.arg(TRAIN).args(words(&line("stopped"))).stdout(Stdio::piped()).stderr(Stdio::piped());
    let job = command.spawn().unwrap();
    let history = place("stopped/multi-label/history.csv");
    while !history.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // As a batch system tells all of them.
    processes(job.id()).into_iter().for_each(|rank| signal(rank, "-TERM"));
    let begin = Instant::now();
    let output = job.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && begin.elapsed() < SOON, "{text}");
    assert!(text.contains("stopped in epoch") || text.contains("stopped while"), "{text}");
    assert!(place("stopped/checkpoint.safetensors").exists());
    done(ranks(2, &format!("{} --resume", line("stopped"))));
    assert!(model("stopped") == model("whole-stopped"));
}

/// Not a test: what a rank does that another test starts.
#[test]
fn a_rank_of_another_test() {
    let Ok(how) = std::env::var("ONESHEET_TEST_RANK") else { return };
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        abort(70);
    }));
    let job = Job::begin(Duration::from_secs(60), true).unwrap();
    let team = job.team();
    if team.rank() == 1 {
        match &how[..] {
            "panics" => panic!("this rank panics"),
            "exits" => std::process::exit(7),
            "aborts" => std::process::abort(),
            _ => {}
        }
    }
    let mut sums = vec![1.0 + team.rank() as f64; 20_000];
    team.sum(&mut sums);
    team.sum(&mut sums[..3]);
    assert!(sums[..3].iter().all(|&sum| sum == 2.0 * 3.0) && sums[3..].iter().all(|&sum| sum == 3.0));
    let gradients = team.begin_sum(vec![0.5; 1001]).wait();
    assert_eq!(gradients, vec![1.0; 1001]);
    let all = team.gather(format!("{}", team.rank()).repeat(team.rank()).as_bytes());
    assert_eq!(all, [b"".to_vec(), b"1".to_vec()]);
    job.end();
}

#[test]
fn a_rank_that_panics_or_exits_ends_the_job() {
    for how in ["works", "panics", "exits", "aborts"] {
        let mut command = launcher(2);
        command.arg(std::env::current_exe().unwrap()).args(["--exact", "a_rank_of_another_test", "--nocapture"]);
        let begin = Instant::now();
        let output = command.env("ONESHEET_TEST_RANK", how).output().unwrap();
        assert_eq!(output.status.success(), how == "works", "{how}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(begin.elapsed() < SOON, "{how}: {:?}", begin.elapsed());
        // Launchers tell of it on either stream.
        assert!(output.stderr.len() + output.stdout.len() > 0, "{how}: nothing was said");
    }
}
