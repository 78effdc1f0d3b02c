//! How long a training is: in epochs, in steps, in hours.

use crate::run::{TINY, posters, train};
use onesheet::run::course::Course;
use onesheet::run::recipe::Recipe;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

#[test]
fn steps_make_epochs_of_which_the_last_may_be_a_part() {
    let course = Course::of_steps(100, 32, 11);
    assert_eq!((course.steps(), course.epochs(), course.all_films()), (11, 3, 2 * 100 + 96));
    assert_eq!([1, 2, 3, 4].map(|epoch| course.films(epoch)), [100, 100, 96, 0]);
    // The last batch of an epoch is short.
    assert_eq!(Course::of_steps(100, 32, 4), Course::of_epochs(100, 32, 1));
    assert_eq!(Course::of_steps(100, 32, 3).films(1), 96);
    assert_eq!(Course::of_steps(100, 32, 1).epochs(), 1);
}

proptest! {
    #[test]
    fn all_films_are_those_of_the_epochs(train in 1usize..500, batch in 1usize..70, steps in 1usize..400) {
        let course = Course::of_steps(train, batch, steps);
        let films: Vec<usize> = (1..=course.epochs()).map(|epoch| course.films(epoch)).collect();
        prop_assert!(films.iter().all(|&films| films > 0));
        prop_assert_eq!(films.iter().sum::<usize>(), course.all_films());
        prop_assert_eq!(films.iter().map(|films| films.div_ceil(batch)).sum::<usize>(), steps);
        let whole = Course::of_epochs(train, batch, course.epochs());
        prop_assert!(whole.steps() >= steps && whole.epochs() == course.epochs());
    }
}

#[test]
fn after_a_transfer_the_course_is_a_share_of_the_first() {
    let recipe = Recipe { steps: Some(101), transfer: 0.25, ..Recipe::best() };
    assert_eq!([0, 1, 2].map(|turn| recipe.of_turn(turn).course(1_000).steps()), [101, 26, 26]);
    let recipe = Recipe { steps: None, ..recipe };
    assert_eq!([0, 1].map(|turn| recipe.of_turn(turn).course(1_000).epochs()), [24, 6]);
}

fn model(run: &Path) -> Vec<u8> {
    fs::read(run.join("multi-label/model.safetensors")).unwrap()
}

/// A column of a run's `history.csv`.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(run.join("multi-label/history.csv")).unwrap();
    let at = text.lines().next().unwrap().split(',').position(|head| head == name).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
}

/// The option of that name in a run's `config.toml`.
fn option(run: &Path, name: &str) -> Option<toml::Value> {
    let config: toml::Table = toml::from_str(&fs::read_to_string(run.join("config.toml")).unwrap()).unwrap();
    config["options"].get(name).cloned()
}

#[test]
fn a_training_of_steps_ends_with_the_last_of_them() {
    let folder = posters();
    let folder = folder.path();
    let done = |line: &str| {
        let (code, out, err) = train(folder, &format!("{TINY} --schedule cosine {line}"));
        assert_eq!(code, 0, "{line}: {out}{err}");
        out
    };
    done("--epochs 2 --out epochs");
    let out = done("--epochs 2 --dry-run --out none");
    let row: Vec<&str> = out.lines().find(|line| line.starts_with("multi-label")).unwrap().split_whitespace().collect();
    let steps: usize = row[6].parse().unwrap();
    // As many steps as two epochs have are two epochs.
    done(&format!("--steps {steps} --out steps"));
    assert!(model(&folder.join("epochs")) == model(&folder.join("steps")));

    let fewer = steps - 2;
    done(&format!("--steps {fewer} --threads 1 --out fewer"));
    done(&format!("--steps {fewer} --threads 3 --out other"));
    let run = folder.join("fewer");
    assert!(model(&run) == model(&folder.join("other")) && model(&run) != model(&folder.join("steps")));
    let rates = column(&run, "learning_rate");
    // Half a step from the end of the cosine, the rate is the square of the angle, in radians, over 4.
    let last = (std::f64::consts::FRAC_PI_2 / fewer as f64).powi(2) / 4.0;
    assert!(rates.len() == 2 && (rates[1] / 0.001 / last - 1.0).abs() < 0.05, "{rates:?} {last}");

    // The file says it, and the command line wins.
    assert_eq!(option(&run, "steps"), Some((fewer as i64).into()));
    let (code, _, err) = train(folder, "run --config fewer/config.toml --out again");
    assert!(code == 0 && model(&folder.join("again")) == model(&run), "{err}");
    let (code, _, err) = train(folder, "run --config fewer/config.toml --epochs 2 --out won");
    assert!(code == 0 && model(&folder.join("won")) == model(&folder.join("epochs")), "{err}");
    let (code, _, err) = train(folder, &format!("{TINY} --steps 3 --epochs 2"));
    assert!(code == 2 && err.contains("--epochs"), "{err}");
}

/// Trains for hours that are few, but enough for some steps: an emulated processor needs more than 1.8 seconds.
fn train_for_hours(folder: &Path, line: &str) -> (f64, String) {
    for hours in [0.0005, 0.005] {
        let (code, out, err) = train(folder, &format!("{line} --hours {hours}"));
        if code == 0 {
            return (hours, out);
        }
        assert!(err.contains("over before the first step"), "{out}{err}");
    }
    panic!("no step in 18 seconds");
}

#[test]
fn hours_become_steps_that_a_later_run_takes_as_they_are() {
    let folder = posters();
    let folder = folder.path();
    let (hours, out) = train_for_hours(folder, &format!("{TINY} --out run"));
    let line = format!("{TINY} --hours {hours} --out run");
    assert!(out.contains(&format!("--hours {hours}: ")) && out.contains("images/s"), "{out}");
    let run = folder.join("run");
    let steps = option(&run, "steps").unwrap().as_integer().unwrap();
    assert!(out.contains(&format!(" {steps} steps")), "{out}");
    assert_eq!(option(&run, "hours"), Some(hours.into()));
    let (code, out, err) = train(folder, &format!("{line} --resume"));
    assert!(code == 0 && out.contains("this run is finished"), "{out}{err}");
    let (code, _, err) = train(folder, "run --config run/config.toml --threads 1 --out again");
    assert_eq!(code, 0, "{err}");
    assert!(model(&folder.join("again")) == model(&run), "the same steps, the same bytes");
    assert_eq!(option(&folder.join("again"), "steps"), Some(steps.into()));

    let (code, _, err) = train(folder, &format!("{TINY} --hours 1e-7 --out none"));
    assert!(code == 2 && err.contains("over before the first step") && err.contains("--steps"), "{err}");
    assert!(!folder.join("none").exists());
    let (code, _, err) = train(folder, &format!("{TINY} --hours 1 --steps 3"));
    assert!(code == 2 && err.contains("--steps"), "{err}");
    let (code, _, err) = train(folder, &line);
    assert!(code == 2 && err.contains("already holds a run"), "{err}");
}

#[test]
fn the_hours_of_a_cross_fitting_are_those_of_all_folds() {
    let folder = posters();
    let folder = folder.path();
    let (hours, out) = train_for_hours(folder, &format!("{TINY} --folds 2 --out run"));
    assert_eq!(out.matches(&format!("--hours {hours}: ")).count(), 1, "{out}");
    let steps = ["run", "run/fold-1", "run/fold-2"].map(|run| option(&folder.join(run), "steps").unwrap());
    assert!(steps.iter().all(|of| *of == steps[0]), "{steps:?}");
}
