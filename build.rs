//! Tells the crate which commit it is built from, and for which target.

use std::path::Path;
use std::process::Command;

/// What the program is compiled from: a change of anything else does not make a build another one.
const SOURCES: [&str; 5] = ["src", "kernels", "build.rs", "Cargo.toml", "Cargo.lock"];
/// Digits of a commit's name that are shown.
const DIGITS: usize = 10;

fn main() {
    println!("cargo::rustc-env=ONESHEET_TARGET={}", std::env::var("TARGET").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(commit) = packaged().or_else(checked_out) {
        println!("cargo::rustc-env=ONESHEET_COMMIT={commit}");
    }
}

/// The commit that a package of the registry was made from, of which cargo leaves a note in it.
fn packaged() -> Option<String> {
    let note = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, name) = note.split_once("\"sha1\"")?;
    let name = name.trim_start_matches([':', ' ', '"']).get(..DIGITS)?;
    let is_dirty = note.contains("\"dirty\": true");
    name.chars().all(|c| c.is_ascii_hexdigit()).then(|| marked(name, is_dirty))
}

/// The commit that is checked out here, if this folder is the top of a work tree: a package that
/// lies in somebody else's repository is not of it.
fn checked_out() -> Option<String> {
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let name = git(&["rev-parse", &format!("--short={DIGITS}"), "HEAD"])?;
    // HEAD's log grows with each commit and each change of branch. Where no log is kept, the files
    // of the branches change. A file that does not exist would make every build a new one.
    let head = ["logs/HEAD", "HEAD", "refs/heads", "packed-refs"];
    let head = head.into_iter().filter_map(|file| git(&["rev-parse", "--git-path", file]));
    let head: Vec<String> = head.filter(|file| Path::new(file).exists()).collect();
    let watched = if head.first().is_some_and(|file| file.ends_with("logs/HEAD")) { &head[..1] } else { &head[..] };
    for file in watched.iter().map(String::as_str).chain(SOURCES) {
        println!("cargo::rerun-if-changed={file}");
    }
    let changed = git(&[&["status", "--porcelain", "--"][..], &SOURCES].concat())?;
    Some(marked(&name, !changed.is_empty()))
}

fn marked(name: &str, is_dirty: bool) -> String {
    format!("{name}{}", if is_dirty { "-dirty" } else { "" })
}

/// What git says, without white space around it; `None` where there is no git, or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // A hook of another repository names that one here.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    let output = git.arg("--no-optional-locks").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
