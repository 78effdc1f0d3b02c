//! `train compare` as a user meets it.

use crate::cli::{assert_one_line, run_folder, tiny_run, train};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn compare(a: &Path, b: &Path, more: &[&str]) -> crate::cli::Outcome {
    train(&[&["compare", a.to_str().unwrap(), b.to_str().unwrap()], more].concat())
}

#[test]
fn runs_are_compared_by_experiment_and_files_by_their_films() {
    let folder = tempfile::tempdir().unwrap();
    let (run, other) = (run_folder(), folder.path().join("other"));
    assert_eq!(tiny_run(&other, &["--experiment", "top-6", "--seed", "2"]).code, 0);
    let outcome = compare(&run, &other, &["--json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let all: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 1, "top-6 alone is in both");
    let metrics: [Value; 2] = [&run, &other]
        .map(|run| serde_json::from_str(&fs::read_to_string(run.join("top-6/metrics.json")).unwrap()).unwrap());
    assert_eq!(all[0]["films"], metrics[0]["films"]);
    for of in all[0]["differences"].as_array().unwrap() {
        for (side, metrics) in [("a", &metrics[0]), ("b", &metrics[1])] {
            assert_eq!(of[side], metrics[of["metric"].as_str().unwrap()], "as in metrics.json: {of}");
        }
    }
    assert_eq!(all[0]["differences"].as_array().unwrap().len(), 7);

    // The answers to another question, as another program would write them: about two genres, on some
    // of the films.
    let table = fs::read_to_string(run.join("top-6/predictions.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split(',').collect()).collect();
    let named = [rows[0].len() - 2, rows[0].len() - 1];
    let genres = named.map(|at| rows[0][at].strip_prefix("p_").unwrap());
    let kept = rows[1..].iter().filter(|row| genres.contains(&row[1]));
    let of = |row: &Vec<&str>| format!("{},{},{},{}\n", row[0], row[1], row[named[0]], row[named[1]]);
    let text = of(&rows[0]) + &kept.clone().map(of).collect::<String>();
    let file = folder.path().join("mine.csv");
    fs::write(&file, text).unwrap();
    let outcome = compare(&run.join("top-6"), &file, &[]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let (films, left) = (kept.clone().count(), rows.len() - 1 - kept.count());
    for part in [
        format!("on {films} films and 2 genres"),
        format!("left out: {left} films that only A has"),
        "left out: genres that only A knows: ".to_owned(),
    ] {
        assert!(outcome.stdout.contains(&part), "{part}: {}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("top-1 hit") && outcome.stdout.contains("B better in"), "{}", outcome.stdout);
}

#[test]
fn what_cannot_be_compared_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_folder();
    assert_one_line(&compare(&run, folder.path(), &[]), 3, &["there is no predictions.csv in it", "name a run"]);
    assert_one_line(&compare(&folder.path().join("none"), &run, &[]), 4, &["none: cannot read"]);
    let one = run.join("top-6");
    assert_one_line(&compare(&one, &run, &[]), 3, &["no experiment in common", "name an experiment of each"]);
    let config = run.join("config.toml");
    assert_one_line(&compare(&config, &one, &[]), 3, &["config.toml, row 1: the columns are not those of predictions"]);
}
