//! Help at hand: which build it is, scripts for shells, manual pages, and how much is told.

use crate::cli::{assert_one_line, posters, run_folder, tiny_run, train};
use onesheet::nn::Isa;
use onesheet::version::{COMMIT, TARGET, VERSION};
use std::fs;
use std::process::Command;

const TRAIN: &str = env!("CARGO_BIN_EXE_train");

#[test]
fn the_version_names_commit_target_and_instruction_sets() {
    assert_eq!(train(&["-V"]).stdout, format!("train {VERSION}\n"));
    let all = train(&["--version"]).stdout;
    let isas = Isa::available();
    let commit = format!("commit: {}\n", COMMIT.unwrap_or("unknown"));
    for part in [&format!("train {VERSION}\n"), &commit, &format!("target: {TARGET}\n"), "instruction set: "] {
        assert!(all.contains(part), "{part:?} in {all}");
    }
    assert!(isas.iter().all(|isa| all.contains(isa.name())), "{all}");
    assert_eq!(all.contains(" with bf16"), Isa::choose().unwrap().has_bf16(), "{all}");
    let portable = Command::new(TRAIN).arg("--version").env("ONESHEET_ISA", "portable").output().unwrap();
    assert!(String::from_utf8_lossy(&portable.stdout).contains("instruction set: portable"));

    // In a checkout with git, the commit is the one that is checked out.
    let git = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    if let (Some(commit), Ok(git)) = (COMMIT, git)
        && git.status.success()
    {
        let head = String::from_utf8(git.stdout).unwrap();
        assert!(head.starts_with(commit.trim_end_matches("-dirty")), "{commit} of {head}");
    }
}

#[test]
fn the_version_is_in_no_file_that_keeps_its_bytes() {
    let folder = run_folder().join("multi-label");
    for file in ["model.safetensors", "metrics.json", "predictions.csv"] {
        let bytes = fs::read(folder.join(file)).unwrap();
        for text in [Some(TARGET), COMMIT].into_iter().flatten() {
            assert!(!bytes.windows(text.len()).any(|at| at == text.as_bytes()), "{text} in {file}");
        }
    }
}

#[test]
fn every_shell_gets_a_script_with_all_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = train(&["completions", shell]);
        assert_eq!(script.code, 0, "{}", script.stderr);
        for word in ["predict", "evaluate", "sweep", "cache", "max-missing", "label-smoothing"] {
            assert!(script.stdout.contains(word), "{word} for {shell}");
        }
    }
    assert_one_line(&train(&["completions", "csh"]), 2, &["csh", "bash", "fish"]);
}

/// What bash offers for the last of some words.
#[cfg(target_os = "linux")]
fn completed(words: &str) -> Vec<String> {
    // What bash does where <Tab> is pressed: the words, and the place of the cursor.
    let script = format!(
        "source <('{TRAIN}' completions bash); set -- {words}; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
         _train train \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(completed("train pre"), ["predict"]);
    assert_eq!(completed("train cache ver"), ["verify"]);
    assert_eq!(completed("train run --label-s"), ["--label-smoothing"]);
    assert_eq!(completed("train run --experiment ''"), ["multi-label", "single-genre", "top-6", "all"]);
    assert_eq!(completed("train run --optimizer ada"), ["adam", "adamw"]);
}

#[test]
fn every_command_has_a_manual_page_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    assert_eq!(train(&["man", "--dir", pages.to_str().unwrap()]).code, 0);
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("train-run.1").contains("\\-\\-label\\-smoothing") && page("train-run.1").contains("Recipes:"));
    assert!(page("train-cache-verify.1").contains("checksum"));
    assert_eq!(page("train.1"), train(&["man"]).stdout);
    // A page is about a version, not about the machine that it was made on.
    assert!(page("train.1").contains(VERSION) && !page("train.1").contains("instruction set:"), "{}", page("train.1"));
    let help = train(&["--help"]).stdout;
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let names =
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|n| !n.is_empty());
    for name in names.filter(|name| *name != "help") {
        assert!(pages.join(format!("train-{name}.1")).exists(), "{name}");
    }
    fs::write(folder.path().join("file"), "").unwrap();
    let file = folder.path().join("file/below");
    assert_one_line(&train(&["man", "--dir", file.to_str().unwrap()]), 4, &["cannot make the folder"]);
}

#[test]
fn quiet_leaves_results_and_warnings_and_verbose_tells_more() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &str| {
        tiny_run(&folder.path().join(name), &["--experiment", "multi-label", "--epochs", "1", more])
    };
    let (normal, quiet, verbose) = (run("n", "--overwrite"), run("q", "-q"), run("v", "--verbose"));
    for outcome in [&normal, &quiet, &verbose] {
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        for result in ["five test posters", "macro AP", "Results in", "sha256"] {
            assert!(outcome.stdout.contains(result), "{result}: {}", outcome.stdout);
        }
    }
    for note in ["films to train", "What was left out", "epoch  1", "Next:"] {
        assert!(normal.stdout.contains(note) && !quiet.stdout.contains(note), "{note}: {}", quiet.stdout);
    }
    assert!(quiet.stderr.lines().all(|line| line.starts_with("warning: ")), "{}", quiet.stderr);
    for detail in
        ["Options in force:", "label_smoothing = 0", TARGET, "as they are", "read and chosen in", "posters ready in"]
    {
        assert!(verbose.stdout.contains(detail) && !normal.stdout.contains(detail), "{detail}: {}", verbose.stdout);
    }

    let evaluate = ["evaluate", run_folder().join("top-6").to_str().unwrap(), "--data", posters().to_str().unwrap()]
        .map(str::to_owned);
    let evaluate: Vec<&str> = evaluate.iter().map(String::as_str).collect();
    let (normal, quiet) = (train(&evaluate), train(&[&["--quiet"], &evaluate[..]].concat()));
    assert!(normal.stderr.contains("left out") && quiet.stderr.is_empty(), "{}", quiet.stderr);
    assert_eq!(normal.stdout, quiet.stdout);
}

#[test]
fn a_warning_is_shown_also_where_notes_are_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--quiet", "--limit", "40", "--epochs", "1", "--experiment", "all", "--batch", "32"];
    let outcome = tiny_run(&folder.path().join("run"), &options);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("warning: "), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("warning: "), "{}", outcome.stdout);
}

/// util-linux's `script` runs a command on a terminal.
#[cfg(target_os = "linux")]
#[test]
fn help_has_colours_on_a_terminal_alone_and_not_with_no_color() {
    let colours = |environment: &[(&str, &str)]| {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("'{TRAIN}' --help"), "/dev/null"]).env("TERM", "xterm");
        // Each of these decides about colours, too.
        for name in ["NO_COLOR", "CI", "CLICOLOR", "CLICOLOR_FORCE"] {
            script.env_remove(name);
        }
        let output = script.envs(environment.iter().copied()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains('\u{1b}')
    };
    assert!(colours(&[]));
    assert!(!colours(&[("NO_COLOR", "1")]) && !colours(&[("TERM", "dumb")]));
    assert!(!train(&["--help"]).stdout.contains('\u{1b}'));
}
