//! Cross-fitting: every film but the test films is predicted by a model that has not seen it.

use crate::run::{TINY, command, kill, names, posters, train, wait_for};
use onesheet::data::split::Split;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// The ids in the first column of a CSV file.
fn ids(file: &Path) -> BTreeSet<u64> {
    let text = fs::read_to_string(file).unwrap();
    let ids: Vec<u64> =
        text.lines().skip(1).map(|row| row.split([',', '.']).next().unwrap().parse().unwrap()).collect();
    let all: BTreeSet<u64> = ids.iter().copied().collect();
    assert_eq!(all.len(), ids.len(), "no film is there twice");
    all
}

#[test]
fn each_film_is_predicted_once_by_a_model_that_has_not_seen_it() {
    let folder = posters();
    let folder = folder.path();
    let (code, out, err) = train(folder, &format!("{TINY} --epochs 1 --folds 3 --out run"));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Out of fold, on the training and validation films") && out.contains("macro AUC"), "{out}");
    let predicted = ids(&folder.join("run/multi-label/predictions.csv"));
    let mut by_folds = BTreeSet::new();
    for fold in ["fold-1", "fold-2", "fold-3"] {
        let frames = folder.join("run").join(fold).join("frames/multi-label");
        let [train, val, held_out] = ["train", "val", "test"].map(|side| ids(&frames.join(format!("{side}.csv"))));
        assert!(train.iter().all(|id| Split::of(*id) == Split::Train && !held_out.contains(id)));
        assert!(val.iter().all(|id| Split::of(*id) == Split::Val && !held_out.contains(id)));
        assert_eq!(held_out, ids(&folder.join("run").join(fold).join("multi-label/predictions.csv")));
        let all: BTreeSet<u64> = [&train, &val, &held_out].into_iter().flatten().copied().collect();
        assert_eq!(all, predicted, "what is not learned from is predicted");
        by_folds.extend(held_out);
    }
    assert_eq!(by_folds, predicted);
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --no-test --out plain"));
    assert_eq!(code, 0, "{err}");
    let side = |side: &str| ids(&folder.join(format!("plain/frames/multi-label/{side}.csv")));
    assert_eq!(side("train").union(&side("val")).copied().collect::<BTreeSet<_>>(), predicted);
    assert!(side("test").is_disjoint(&predicted), "the test films are left alone");

    let metrics = fs::read_to_string(folder.join("run/multi-label/metrics.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(
        (metrics["films"].as_u64(), metrics["split"].as_str()),
        (Some(predicted.len() as u64), Some("out-of-fold"))
    );
    let (code, _, err) = train(folder, "report run");
    assert!(code == 3 && err.contains("it holds no experiment"), "{err}");
    let (code, out, err) = train(folder, "compare run run/multi-label");
    assert!(code == 0 && out.contains(&format!("on {} films", predicted.len())), "{out}{err}");

    // A fold alone, as on another machine, is the same fold.
    let (code, out, err) = train(folder, &format!("{TINY} --epochs 1 --folds 3 --fold 2 --out alone"));
    assert!(code == 0 && out.contains("On the films of fold 2 of 3"), "{out}{err}");
    let answers = |run: &str| fs::read(folder.join(run).join("multi-label/predictions.csv")).unwrap();
    assert!(answers("alone") == answers("run/fold-2"));
    // A model of a fold is measured on what it has not seen, its own fold included.
    let (code, _, err) = train(folder, "evaluate run/fold-1/multi-label --data data --split test");
    assert!(code == 0 && !err.contains("trained or chosen with"), "{err}");
}

#[test]
fn a_cross_fitting_that_is_killed_goes_on_where_it_was() {
    let folder = posters();
    let folder = folder.path();
    let line = |out: &str| format!("{TINY} --epochs 40 --checkpoint-every 0 --folds 2 --out {out}");
    let (code, _, err) = train(folder, &line("whole"));
    assert_eq!(code, 0, "{err}");
    let child = command(folder, &line("run")).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the second fold has not begun", || folder.join("run/fold-2/multi-label/history.csv").exists());
    kill(child);
    assert!(!folder.join("run/multi-label").exists());
    let first = || fs::metadata(folder.join("run/fold-1/multi-label/model.safetensors")).unwrap().modified().unwrap();
    let before = first();
    let (code, out, err) = train(folder, &(line("run") + " --resume --overwrite"));
    assert!(code == 0 && out.contains("this run is finished") && out.contains("taken up in epoch"), "{out}{err}");
    assert_eq!(first(), before, "the first fold is not run again");
    for file in ["predictions.csv", "metrics.json"] {
        let bytes = |out: &str| fs::read(folder.join(out).join("multi-label").join(file)).unwrap();
        assert!(bytes("run") == bytes("whole"), "{file}");
    }
    assert_eq!(names(&folder.join("run")), names(&folder.join("whole")));
    let (code, _, err) = train(folder, &(line("run") + " --resume --seed 2"));
    assert!(code == 2 && err.contains("other options or data: seed (1, and now 2)"), "{err}");
    let (code, out, err) = train(folder, "run --config whole/config.toml --resume");
    assert!(code == 0 && out.matches("this run is finished").count() == 2, "{out}{err}");
}

#[test]
fn weights_that_are_handed_down_are_those_of_the_same_fold() {
    let folder = posters();
    let folder = folder.path();
    let all = TINY.replace("--experiment multi-label", "--epochs 1 --transfer 0.5");
    let (code, _, err) = train(folder, &format!("{all} --folds 2 --out run"));
    assert_eq!(code, 0, "{err}");
    for fold in ["fold-1", "fold-2"] {
        let config = fs::read_to_string(folder.join("run").join(fold).join("top-6/config.toml")).unwrap();
        assert!(config.contains(&format!("init_from = \"run/{fold}/multi-label\"")), "{config}");
    }
    for experiment in ["multi-label", "single-genre", "top-6"] {
        assert!(folder.join("run").join(experiment).join("predictions.csv").exists(), "{experiment}");
    }
    let refused = |more: &str, code: i32, what: &str| {
        let (got, _, err) = train(folder, &format!("{TINY} --epochs 1 {more}"));
        assert!(got == code && err.contains(what), "{more}: {err}");
    };
    refused("--folds 2 --out other --init-from run/fold-1/multi-label", 2, "may have seen the films that the folds");
    refused("--folds 2 --fold 3 --out other", 2, "--fold 3 of --folds 2; name one from 1 to 2");
    refused("--fold 1 --out other", 2, "--folds");
    refused("--folds 1 --out other", 2, "--folds 1: it is from 2 to 100");
    assert!(!folder.join("other").exists());
    assert_eq!(train(folder, &format!("{TINY} --epochs 1 --out plain")).0, 0);
    refused("--folds 2 --out plain --overwrite", 2, "plain already holds a run that is not cross-fitted (multi-label)");
    let (code, out, err) = train(folder, &format!("{TINY} --folds 2 --out planned --dry-run"));
    assert!(code == 0 && out.contains("fold 1 of 2:") && !folder.join("planned").exists(), "{out}{err}");
}

#[test]
fn folds_start_from_a_model_that_knows_none_of_their_films() {
    let folder = posters();
    let folder = folder.path();
    let ran = |line: &str| {
        let (code, out, err) = train(folder, line);
        assert_eq!(code, 0, "{line}: {out}{err}");
    };
    ran("demo --out patterns --patterns 4 --films 200");
    let folds = format!("{TINY} --epochs 1 --folds 2");
    let shapes = TINY.replace("--data data", "--data patterns").replace("multi-label", "single-genre") + " --epochs 1";
    let shapes = shapes.replace("--cache cache", "--cache of-patterns");
    ran(&format!("{shapes} --out shapes"));
    ran(&format!("{folds} --out run --init-from shapes/single-genre"));
    for fold in ["fold-1", "fold-2"] {
        let config = fs::read_to_string(folder.join("run").join(fold).join("multi-label/config.toml")).unwrap();
        assert!(config.contains("init_from = \"shapes/single-genre\""), "{config}");
    }
    // It has seen none of the films, but what it started from has.
    ran(&format!("{shapes} --init-from run/fold-1/multi-label --out back"));
    let (code, _, err) = train(folder, &format!("{folds} --out other --init-from back/single-genre"));
    assert!(code == 2 && err.contains("may have seen the films that the folds predict"), "{err}");
    // Nobody knows what it has seen.
    fs::rename(folder.join("shapes/single-genre/model.safetensors"), folder.join("model.safetensors")).unwrap();
    let (code, _, err) = train(folder, &format!("{folds} --out other --init-from model.safetensors --dry-run"));
    assert!(code == 2 && err.contains("start from a model of other films"), "{err}");
}

#[test]
fn a_sweep_chooses_by_the_answers_out_of_fold() {
    let folder = posters();
    let folder = folder.path();
    let rest = TINY.replace("run --data data", "").replace("--threads 1", "");
    let sweep = |more: &str| format!("sweep --data data --out sweep --threads 1 {more} -- {rest} --epochs 1 --folds 2");
    let (code, out, err) = train(folder, &sweep("--vary seed=1 --vary lr=1e-3"));
    assert!(code == 0 && out.contains("out of fold on the training and validation films"), "{out}{err}");
    let rows = fs::read_to_string(folder.join("sweep/sweep.csv")).unwrap();
    let row: Vec<&str> = rows.lines().nth(1).unwrap().split(',').collect();
    let trial = folder.join("sweep/seed=1 lr=1e-3");
    let metrics = fs::read_to_string(trial.join("multi-label/metrics.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!((row[0], row[2]), ("seed=1 lr=1e-3", ""), "each fold has an epoch of its own");
    assert_eq!(row[4].parse::<f64>().ok(), metrics["macro_ap"].as_f64());
    let (code, out, err) = train(folder, &sweep("--vary seed=1 --vary lr=1e-3"));
    assert!(code == 0 && out.contains("finished before"), "{out}{err}");
    let (code, _, err) = train(folder, &sweep("--vary folds=2"));
    assert!(code == 2 && err.contains("on the same films"), "{err}");
}
