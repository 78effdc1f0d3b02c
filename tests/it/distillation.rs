//! Distillation: a student that learns what a trained classifier says of the same images.

use crate::run::{TINY, command, kill, posters, train, wait_for};
use onesheet::classifier::teacher::{Student, Teacher};
use onesheet::classifier::{Classifier, Meta};
use onesheet::data::decode::ImageSpec;
use onesheet::data::transform::Views;
use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Padding, Pass, Rule, Sequential, Trainer};
use std::fs;
use std::path::Path;
use std::process::Stdio;

const SIDE: usize = 16;
const SIZE: ImageSpec = ImageSpec { height: SIDE, width: SIDE };
const IMAGES: usize = 6;

fn spec() -> ModelSpec {
    let spec = ModelSpec::input(&[SIDE, SIDE, 3]).conv2d(8, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    spec.flatten().dense(4)
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|&name| name.to_owned()).collect()
}

fn network(seed: u64) -> Sequential {
    Sequential::build(spec(), Isa::choose().unwrap(), seed).unwrap()
}

fn classifier(head: Head, seed: u64) -> Classifier {
    let (experiment, genres) = ("somebody's".to_owned(), names(&["a", "b", "c", "d"]));
    let meta =
        Meta { experiment, head, genres, max_genres: 3, epoch: None, best: None, thresholds: None, views: Views::Flip };
    Classifier { meta, network: network(seed), others: Vec::new() }
}

fn images() -> Vec<u8> {
    (0..IMAGES * SIDE * SIDE * 3).map(|at| ((at as u32).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// What a network says of the images: one view, as they are.
fn said(head: Head, network: &mut Sequential) -> Vec<f32> {
    head.probabilities(network.forward(Input::U8(&images()), Pass::Inference))
}

fn teacher(classifier: Classifier, head: Head, genres: &[&str], weight: f32) -> Result<Teacher, (String, String)> {
    Teacher::new(classifier, Student { head, genres: &names(genres), input: SIZE }, weight)
}

fn assert_near(got: &[f32], expected: &[f32], within: f32) {
    assert_eq!(got.len(), expected.len());
    let far = got.iter().zip(expected).find(|(got, expected)| (*got - *expected).abs() > within);
    assert!(far.is_none(), "{far:?}");
}

#[test]
fn targets_are_the_labels_and_what_the_teacher_says_of_the_same_images() {
    let labels: Vec<f32> = (0..IMAGES * 3).map(|at| [1.0, 0.0, 0.3][at % 3]).collect();
    for head in [Head::Sigmoid, Head::Softmax] {
        let all = said(head, &mut network(1));
        // In the student's order, and without what it does not know.
        let chosen = |p: &[f32]| -> Vec<f32> { p.chunks(4).flat_map(|p| [p[3], p[0], p[1]]).collect() };
        let mut expected = chosen(&all);
        if head == Head::Softmax {
            for item in expected.chunks_mut(3) {
                let sum: f32 = item.iter().sum();
                item.iter_mut().for_each(|p| *p /= sum);
            }
        }
        let targets = |weight| {
            let mut teacher = teacher(classifier(head, 1), head, &["d", "a", "b"], weight).unwrap();
            teacher.targets(&images(), &labels).to_vec()
        };
        assert_near(&targets(1.0), &expected, 1e-6);
        assert_eq!(targets(0.0), labels, "to the bit");
        let mixed: Vec<f32> = labels.iter().zip(&expected).map(|(label, p)| 0.25 * label + 0.75 * p).collect();
        assert_near(&targets(0.75), &mixed, 1e-6);

        let joined = Classifier::join(vec![classifier(head, 1), classifier(head, 2)]).unwrap();
        let other = said(head, &mut network(2));
        let mean: Vec<f32> = all.iter().zip(&other).map(|(a, b)| (a + b) / 2.0).collect();
        let mut ensemble = teacher(joined, head, &["a", "b", "c", "d"], 1.0).unwrap();
        assert_near(ensemble.targets(&images(), &vec![0.0; all.len()]), &mean, 1e-6);
    }
}

#[test]
fn a_teacher_says_nothing_of_auxiliary_heads_and_of_films_without_genres() {
    let head = Head::Sigmoid;
    // Three genres and two outputs of another head; of the second film no genre is known.
    let mut labels: Vec<f32> = (0..IMAGES * 5).map(|at| [1.0, 0.0, 0.0, 1.0, 0.5][at % 5]).collect();
    labels[5..8].fill(f32::NAN);
    labels[13..15].fill(f32::NAN);
    let mut teacher = teacher(classifier(head, 1), head, &["d", "a", "b"], 0.75).unwrap();
    let targets = teacher.targets(&images(), &labels).to_vec();
    let genres = |of: &[f32]| -> Vec<f32> { of.chunks(5).flat_map(|of| [of[0], of[1], of[2]]).collect() };
    let bits = |of: &[f32]| -> Vec<u32> { of.chunks(5).flat_map(|of| [of[3].to_bits(), of[4].to_bits()]).collect() };
    assert_eq!(bits(&targets), bits(&labels), "to the bit");
    let expected = teacher.targets(&images(), &genres(&labels)).to_vec();
    assert!(expected[3..6].iter().all(|target| target.is_nan()), "{expected:?}");
    assert!(expected.iter().filter(|target| target.is_nan()).count() == 3);
    let all_bits = |of: &[f32]| -> Vec<u32> { of.iter().map(|of| of.to_bits()).collect() };
    assert_eq!(all_bits(&genres(&targets)), all_bits(&expected));
}

#[test]
fn a_student_that_is_taught_alone_comes_to_say_what_its_teacher_says() {
    for head in [Head::Sigmoid, Head::Softmax] {
        let mut teacher = teacher(classifier(head, 1), head, &["a", "b", "c", "d"], 1.0).unwrap();
        let expected = said(head, &mut network(1));
        let mut student = network(2);
        let optimizer = Optimizer::new(Rule::adam(0.01), &mut student);
        let mut trainer = Trainer::new(head, optimizer, 1);
        let distance = |student: &mut Sequential| {
            let far = said(head, student).iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f32>();
            far / expected.len() as f32
        };
        let before = distance(&mut student);
        // Labels that say the contrary, which do not count.
        let labels: Vec<f32> = expected.iter().map(|p| 1.0 - p).collect();
        for _ in 0..200 {
            trainer.step(&mut student, Input::U8(&images()), teacher.targets(&images(), &labels));
        }
        let after = distance(&mut student);
        assert!(before > 0.05 && after < 0.02, "{head:?}: {before} before, {after} after");
    }
}

#[test]
fn a_teacher_that_does_not_fit_is_refused() {
    let refused = |result: Result<Teacher, (String, String)>, part: &str| match result {
        Err((what, _)) => assert!(what.contains(part), "{what}"),
        Ok(_) => panic!("{part}"),
    };
    let own = || classifier(Head::Sigmoid, 1);
    refused(teacher(own(), Head::Softmax, &["a"], 0.5), "a sigmoid head does not teach a softmax one");
    refused(teacher(own(), Head::Sigmoid, &["a", "x"], 0.5), "it does not know the genre x");
    let input = ImageSpec { height: 24, width: 24 };
    let student = Student { head: Head::Sigmoid, genres: &names(&["a"]), input };
    refused(Teacher::new(own(), student, 0.5), "it sees images of 16x16, and the student of 24x24");
}

fn model(folder: &Path, run: &str) -> Vec<u8> {
    let file = folder.join(run).join("multi-label/model.safetensors");
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn a_taught_run_goes_on_with_its_teacher_and_no_other() {
    let folder = posters();
    let folder = folder.path();
    let run = |more: &str| {
        let (code, out, err) = train(folder, &format!("{TINY} {more}"));
        assert_eq!(code, 0, "{more}: {err}");
        out
    };
    let refused = |more: &str, code: i32, part: &str| {
        let (got, _, err) = train(folder, &format!("{TINY} {more}"));
        assert!(got == code && err.contains(part) && err.trim_end().lines().count() == 1, "{more}: {err}");
    };
    run("--epochs 2 --members 2 --out teacher");
    run("--epochs 1 --out plain");
    run("--epochs 1 --out zero --teacher teacher --teacher-weight 0");
    assert!(model(folder, "zero") == model(folder, "plain"), "a teacher without weight changes nothing");

    // Whatever the student is shown, in any order, on any number of threads, and taken up again.
    let taught = "--epochs 10 --mixup 0.2 --flip true --crop 0.6 --teacher teacher/multi-label";
    run(&format!("{taught} --out whole --threads 2"));
    let line = format!("{TINY} {taught} --out run");
    let child = command(folder, &line).stdout(Stdio::null()).spawn().unwrap();
    wait_for("no epoch has ended", || folder.join("run/multi-label/history.csv").exists());
    kill(child);
    let (code, out, err) = train(folder, &format!("{line} --resume"));
    assert!(code == 0 && out.contains("taken up in epoch"), "{out}{err}");
    assert!(model(folder, "run") == model(folder, "whole"));
    run(&format!("{} --out untaught", taught.replace(" --teacher teacher/multi-label", "")));
    assert!(model(folder, "untaught") != model(folder, "whole"));

    let config = fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert!(
        config.contains("teacher_weight = 0.7\n") && config.contains("teacher = \"teacher/multi-label\""),
        "{config}"
    );
    let sha256 = Classifier::sha256_of(&folder.join("teacher/multi-label")).unwrap();
    let card = fs::read_to_string(folder.join("run/multi-label/README.md")).unwrap();
    assert!(config.contains(&sha256) && card.contains(&sha256), "{card}");
    let (code, out, err) = train(folder, "run --config run/multi-label/config.toml --out again");
    assert!(code == 0 && model(folder, "again") == model(folder, "run"), "{out}{err}");

    // Another model in the teacher's place.
    let child = command(folder, &format!("{TINY} {taught} --out other")).stdout(Stdio::null()).spawn().unwrap();
    wait_for("no checkpoint has been written", || folder.join("other/checkpoint.safetensors").exists());
    kill(child);
    fs::rename(folder.join("teacher"), folder.join("kept")).unwrap();
    run("--epochs 1 --seed 9 --out teacher");
    refused(&format!("{taught} --out run --resume"), 2, "other options or data: teacher_sha256");
    refused(&format!("{taught} --out other --resume"), 2, "other options: teacher_sha256");
    // The same one in another place.
    let kept = taught.replace("teacher/multi-label", "kept");
    let (code, _, err) = train(folder, &format!("{TINY} {kept} --out other --resume"));
    assert!(code == 0 && model(folder, "other") == model(folder, "run"), "{err}");

    refused("--epochs 1 --out none --teacher nowhere", 3, "nowhere: there is no model.safetensors");
    refused("--epochs 1 --out none --teacher kept --input 32", 3, "it sees images of 16x16, and the student of 32x32");
    refused(
        "--epochs 1 --out none --experiment single-genre --teacher kept/multi-label",
        3,
        "cannot teach single-genre",
    );
    refused("--epochs 1 --out none --teacher-weight 0.5", 2, "--teacher");
    refused("--epochs 1 --out none --teacher kept --teacher-weight 1.5", 2, "--teacher-weight 1.5");
    refused("--epochs 1 --out none --teacher kept --folds 2", 2, "may have seen the films that the folds predict");
    assert!(!folder.join("none").exists());
    let (code, out, err) = train(folder, &format!("{TINY} --epochs 1 --out none --teacher kept --dry-run"));
    assert!(code == 0 && out.contains("time    "), "{out}{err}");
}

#[test]
fn a_fold_is_taught_by_the_same_fold_and_an_experiment_by_the_same_experiment() {
    let folder = posters();
    let folder = folder.path();
    let all = TINY.replace("--experiment multi-label", "--epochs 1 --transfer 0");
    let ok = |line: &str| {
        let (code, out, err) = train(folder, line);
        assert_eq!(code, 0, "{line}: {out}{err}");
        out
    };
    ok(&format!("{all} --out teacher"));
    ok(&format!("{all} --out student --teacher teacher --members 2"));
    for experiment in ["multi-label", "single-genre", "top-6"] {
        let sha256 = Classifier::sha256_of(&folder.join("teacher").join(experiment)).unwrap();
        let config = fs::read_to_string(folder.join("student/member-2").join(experiment).join("config.toml")).unwrap();
        assert!(config.contains(&format!("teacher_sha256 = [\"{sha256}\"]")), "{config}");
    }
    let one = format!("{TINY} --epochs 1");
    ok(&format!("{one} --folds 2 --out folds"));
    ok(&format!("{one} --folds 2 --out taught --teacher folds"));
    for fold in ["fold-1", "fold-2"] {
        let sha256 = Classifier::sha256_of(&folder.join("folds").join(fold).join("multi-label")).unwrap();
        let config = fs::read_to_string(folder.join("taught").join(fold).join("multi-label/config.toml")).unwrap();
        assert!(config.contains(&sha256), "{config}");
    }
    ok(&format!("{one} --folds 2 --fold 2 --out alone --teacher folds"));
    assert!(model(folder, "alone") == model(folder, "taught/fold-2"));
    ok(&format!("{one} --folds 2 --out taught --teacher folds --resume"));
    let (code, _, err) = train(folder, &format!("{one} --folds 3 --out other --teacher folds"));
    assert!(code == 2 && err.contains("name a run with --folds 3 as the teacher"), "{err}");
    // As if the teacher's second fold had been another, by a twin that this run does not have.
    let frames = folder.join("folds/fold-2/frames/multi-label");
    let [held_out, learned] =
        ["test", "train"].map(|side| fs::read_to_string(frames.join(format!("{side}.csv"))).unwrap());
    fs::write(frames.join("train.csv"), learned + held_out.lines().nth(1).unwrap() + "\n").unwrap();
    let (code, _, err) = train(folder, &format!("{one} --folds 2 --fold 2 --out drawn --teacher folds"));
    assert!(code == 2 && err.contains("has learned from film ") && err.contains("on the same films"), "{err}");
}
