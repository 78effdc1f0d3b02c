//! Ensembles: several models as one, whose probabilities are averaged.

use crate::run::{TINY, command, kill, names, posters, train, wait_for};
use crate::weights::{Tensors, write_tensors};
use onesheet::Error;
use onesheet::classifier::explain::Method;
use onesheet::classifier::{Classifier, Meta};
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::transform::Views;
use onesheet::export::onnx::{self, Input, Options, Output};
use onesheet::nn::{Head, Isa, ModelSpec, Padding, Sequential};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Stdio;

const GENRES: [&str; 3] = ["a", "b", "c"];

fn best() -> Isa {
    Isa::choose().unwrap()
}

fn spec() -> ModelSpec {
    let spec = ModelSpec::input(&[16, 16, 3]).conv2d(4, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    spec.global_average_pool2d().dense(GENRES.len())
}

/// A classifier whose logits are times `scale` what is usual.
fn classifier(head: Head, seed: u64, scale: f32) -> Classifier {
    let mut network = Sequential::build(spec(), best(), seed).unwrap();
    network.each_parameter_mut(|of| of.value.iter_mut().for_each(|value| *value *= scale));
    let meta = Meta {
        experiment: if head == Head::Sigmoid { "multi-label" } else { "single-genre" }.to_owned(),
        head,
        genres: GENRES.map(str::to_owned).to_vec(),
        max_genres: 3,
        epoch: Some(seed as usize),
        best: None,
        thresholds: Some(vec![0.1; GENRES.len()]),
        views: Views::Flip,
    };
    Classifier { meta, network, others: Vec::new() }
}

fn joined(head: Head, seeds: &[u64], scale: f32) -> Classifier {
    Classifier::join(seeds.iter().map(|&seed| classifier(head, seed, scale)).collect()).unwrap()
}

/// Three posters of noise.
fn noise() -> Vec<u8> {
    (0..3 * 256 * 256 * 3u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn mean(of: &[Vec<f32>]) -> Vec<f32> {
    (0..of[0].len()).map(|at| of.iter().map(|all| all[at]).sum::<f32>() / of.len() as f32).collect()
}

fn assert_near(got: &[f32], expected: &[f32], within: f32) {
    assert_eq!(got.len(), expected.len());
    let far = got.iter().zip(expected).find(|(got, expected)| (*got - *expected).abs() > within);
    assert!(far.is_none(), "{far:?}");
}

#[test]
fn an_ensemble_answers_the_mean_of_its_members_probabilities() {
    for (head, scale) in [(Head::Sigmoid, 1.0), (Head::Softmax, 1.0), (Head::Sigmoid, 60.0), (Head::Softmax, 60.0)] {
        let seeds = [3, 4, 5];
        let each = seeds.map(|seed| classifier(head, seed, scale).answers_about(&noise()));
        assert!(each[0] != each[1], "{head:?}: {each:?}");
        let mut ensemble = joined(head, &seeds, scale);
        assert_near(&ensemble.answers_about(&noise()), &mean(&each), 1e-6);
        assert_eq!((ensemble.members(), ensemble.meta.epoch, ensemble.meta.thresholds.clone()), (3, None, None));
        // One alone answers as it did, to the bit.
        assert_eq!(joined(head, &seeds[..1], scale).answers_about(&noise()), each[0]);
        // What looks into the networks sees the mean of what it sees in each.
        let poster = &noise()[..ImageSpec::POSTER.bytes()];
        for method in [Method::Cam, Method::GradCam] {
            let maps = seeds.map(|seed| classifier(head, seed, scale).explain(poster, 1, method).unwrap().values);
            let (got, expected) = (ensemble.explain(poster, 1, method).unwrap().values, mean(&maps));
            let largest = expected.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
            assert_near(&got, &expected, 1e-5 * largest);
        }
        assert!(ensemble.explain(poster, 1, Method::Occlusion).unwrap().values.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn classifiers_of_other_kinds_do_not_become_one() {
    let refused = |other: Classifier| match Classifier::join(vec![classifier(Head::Sigmoid, 1, 1.0), other]) {
        Err(what) => assert!(what.contains("member 2 is of another model"), "{what}"),
        Ok(_) => panic!("joined"),
    };
    refused(classifier(Head::Softmax, 2, 1.0));
    let mut other = classifier(Head::Sigmoid, 2, 1.0);
    other.meta.genres.swap(0, 1);
    refused(other);
    let larger = ModelSpec::input(&[16, 16, 3]).global_average_pool2d().dense(3);
    refused(Classifier { network: Sequential::build(larger, best(), 1).unwrap(), ..classifier(Head::Sigmoid, 2, 1.0) });
}

#[test]
fn a_small_file_cannot_ask_for_the_memory_of_many_wide_members() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let of = |members: usize| {
        let wide = ModelSpec::input(&[256, 256, 3]).conv2d(200, 1, Padding::Same).relu();
        let wide = wide.global_average_pool2d().dense(GENRES.len());
        let network = || Sequential::build(wide.clone(), best(), 1).unwrap();
        let others = (1..members).map(|_| network()).collect();
        Classifier { network: network(), others, ..classifier(Head::Sigmoid, 1, 1.0) }.save(&path).unwrap();
        Classifier::open(&path, best())
    };
    assert!(of(2).is_ok());
    let Err(error) = of(100) else { panic!("opened") };
    assert!(error.to_string().contains("more than 4 GiB of memory for one poster"), "{error}");
}

#[test]
fn the_file_of_an_ensemble_holds_all_members_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut whole = joined(Head::Sigmoid, &[1, 2, 3], 1.0);
    whole.save(&path).unwrap();
    let mut read = Classifier::open(&path, best()).unwrap();
    assert_eq!(read.members(), 3);
    assert_eq!(read.answers_about(&noise()), whole.answers_about(&noise()));
    let Err(error) = Sequential::load(&path, best()) else { panic!("loaded as one") };
    assert!(error.to_string().contains("it holds 3 models, an ensemble"), "{error}");
    // One alone is written as ever.
    joined(Head::Sigmoid, &[1], 1.0).save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let plain = classifier(Head::Sigmoid, 1, 1.0);
    Classifier { meta: joined(Head::Sigmoid, &[1], 1.0).meta, ..plain }.save(&path).unwrap();
    assert!(fs::read(&path).unwrap() == bytes && !String::from_utf8_lossy(&bytes).contains("member"));

    let refused = |change: &dyn Fn(&mut Value, &mut Tensors), part: &str| {
        let mut description = json!({ "model": spec(), "members": 3 });
        for (name, value) in serde_json::to_value(&whole.meta).unwrap().as_object().unwrap() {
            description[name] = value.clone();
        }
        let of_member = |(i, network): (usize, &Sequential)| {
            let tensors = network.parameters().into_iter();
            tensors.map(|of| (format!("member-{}/{}", i + 1, of.name()), of.shape.clone(), of.value.to_vec())).collect()
        };
        let mut tensors: Tensors = whole.networks().enumerate().flat_map::<Tensors, _>(of_member).collect();
        change(&mut description, &mut tensors);
        write_tensors(&path, &description, tensors);
        match (Classifier::open(&path, best()), part) {
            (Ok(_), "") => {}
            (Err(error @ Error::Data { .. }), part) if !part.is_empty() => {
                assert!(error.to_string().contains(part), "{part}: {error}");
            }
            (Err(error), _) => panic!("{error}"),
            (Ok(_), part) => panic!("opened in spite of: {part}"),
        }
    };
    refused(&|_, _| {}, "");
    refused(&|_, tensors| drop(tensors.pop()), "23 weights instead of 24");
    refused(&|description, _| description["members"] = json!(2), "24 weights instead of 16");
    refused(&|description, _| description["members"] = json!(1), "24 weights instead of 8");
    refused(&|description, _| description["members"] = json!(0), "said to hold 0 models");
    refused(&|description, _| description["members"] = json!(u32::MAX), "said to hold 4294967295 models");
    refused(&|description, _| description["members"] = json!("three"), "its description is broken");
    // A member's weights under the name of another that is there already, of no member, of another model.
    refused(&|_, tensors| tensors[8].0 = "member-4/conv2d/kernel".into(), "member-2/conv2d/kernel are missing");
    refused(&|_, tensors| tensors[0].0 = "conv2d/kernel".into(), "member-1/conv2d/kernel are missing");
    refused(&|_, tensors| tensors[9].1 = vec![2, 2], "member-2/conv2d/bias are (F32, [2, 2])");
    refused(&|_, tensors| tensors[9].2[0] = f32::NAN, "member-2/conv2d/bias hold NaN");
}

#[test]
fn an_exported_ensemble_averages_in_the_graph() {
    let options = Options { input: Input::Scaled, output: Output::Probabilities, views: None, fold: true };
    let of = joined(Head::Sigmoid, &[1, 2], 1.0);
    let graph = onnx::model(&of, options, "").unwrap().graph.unwrap();
    let last = graph.node.last().unwrap();
    assert_eq!((&last.op_type[..], &last.name[..]), ("Mean", "probabilities"));
    assert_eq!(last.input, ["member-1/probabilities", "member-2/probabilities"]);
    let mut made: Vec<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
    made.extend(graph.initializer.iter().map(|tensor| &tensor.name));
    made.extend(graph.input.iter().map(|input| &input.name));
    let count = made.len();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), count, "no value is there twice");
    let is_made = |name: &String| made.binary_search(&name).is_ok();
    assert!(graph.node.iter().flat_map(|node| &node.input).all(is_made), "and each that is used is there");
    let refusal = onnx::model(&of, Options { output: Output::Logits, ..options }, "").unwrap_err();
    assert!(refusal.to_string().contains("has no logits of its own; name --output probabilities"), "{refusal}");
}

/// The answers of a classifier about all posters of the data that decode.
fn answers(folder: &Path, run: &str) -> Vec<f32> {
    let mut classifier = Classifier::open(&folder.join(run), best()).unwrap();
    let mut all = Vec::new();
    for name in names(&folder.join("data/posters")).iter().take(60) {
        let mut pixels = vec![0; ImageSpec::POSTER.bytes()];
        let poster = folder.join("data/posters").join(name);
        if Decoder::new().decode_poster(&poster, ImageSpec::POSTER, &mut pixels).unwrap().is_ok() {
            all.extend(classifier.answer(&pixels));
        }
    }
    all
}

fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn members_are_plain_runs_of_their_seeds_and_the_ensemble_is_used_like_a_plain_model() {
    let folder = posters();
    let folder = folder.path();
    let run = |more: &str| {
        let (code, out, err) = train(folder, &format!("{TINY} --epochs 2 {more}"));
        assert_eq!(code, 0, "{more}: {err}");
        out
    };
    for seed in [1, 2] {
        run(&format!("--seed {seed} --out plain-{seed}"));
    }
    run("--members 1 --out one");
    for file in ["model.safetensors", "metrics.json", "predictions.csv", "README.md"] {
        let [one, plain] = ["one", "plain-1"].map(|run| bytes(folder, &format!("{run}/multi-label/{file}")));
        assert!(one == plain, "{file}");
    }
    assert_eq!(names(&folder.join("one")), names(&folder.join("plain-1")));

    let out = run("--members 2 --out run --tune-thresholds true");
    assert!(out.contains("member 2 of 2, seed 2") && out.contains("an ensemble of 2 networks"), "{out}");
    for (member, plain) in [("member-1", "plain-1"), ("member-2", "plain-2")] {
        let [own, plain] =
            [answers(folder, &format!("run/{member}/multi-label")), answers(folder, &format!("{plain}/multi-label"))];
        assert!(own == plain, "{member}");
        assert!(!folder.join("run").join(member).join("multi-label/predictions.csv").exists(), "it is not measured");
    }
    let each = ["run/member-1/multi-label", "run/member-2/multi-label"].map(|run| answers(folder, run));
    assert_near(&answers(folder, "run/multi-label"), &mean(&each), 1e-6);
    let mut files = names(&folder.join("plain-1/multi-label"));
    files.retain(|file| file != "history.csv");
    assert_eq!(names(&folder.join("run/multi-label")), files, "all but the course of one training");

    let ok = |line: &str, part: &str| {
        let (code, out, err) = train(folder, line);
        assert!(code == 0 && out.contains(part), "{line}: {out}{err}");
    };
    ok("evaluate run/multi-label --data data --split test", "macro AUC");
    ok("compare plain-1 run", "paired resamples");
    ok("report plain-1 run --out both.html", "both.html");
    ok("report run", "report.html");
    ok("export run/multi-label --onnx run.onnx", "Mean");
    let name = names(&folder.join("data/posters")).swap_remove(20);
    ok(&format!("predict run/multi-label data/posters/{name} --explain maps"), "predicted:");
    ok("run --config run/config.toml --resume", "this run is finished");
    ok("run --config run/config.toml --out other --dry-run", "models");
    let page = String::from_utf8(bytes(folder, "run/multi-label/report.html")).unwrap();
    assert!(page.contains("../member-2/multi-label/report.html") && page.contains("2 networks of"));
    assert!(folder.join("run/member-2/multi-label/report.html").exists());
    let card = String::from_utf8(bytes(folder, "run/multi-label/README.md")).unwrap();
    assert!(card.contains("2 convolutional networks") && card.contains("with seeds from 1 to 2"), "{card}");

    let refused = |line: &str, part: &str| {
        let (code, _, err) = train(folder, line);
        assert!(code != 0 && err.contains(part) && err.trim_end().lines().count() == 1, "{line}: {err}");
    };
    let of = |more: &str| format!("{TINY} --epochs 2 {more}");
    refused(&of("--out other --init-from run/multi-label"), "such as run/member-1/multi-label");
    refused(&of("--out other --members 3 --init-from run/multi-label"), "member-3");
    refused(&of("--out run --members 3 --resume --tune-thresholds true"), "members (2, and now 3)");
    refused(&of("--out run --members 3"), "already holds a run (multi-label)");
    refused(&of("--out other --members 0"), "--members 0");
    refused(&of("--out other --members 2 --seed 9223372036854775806"), "name a smaller seed");
    assert!(!folder.join("other").exists());
    // As many can start from as many.
    let (code, _, err) = train(folder, &of("--out other --members 2 --init-from run/multi-label"));
    assert_eq!(code, 0, "{err}");
    let config = String::from_utf8(bytes(folder, "other/member-2/config.toml")).unwrap();
    assert!(config.contains("init_from = \"run/member-2/multi-label\""), "{config}");
}

/// What an ensemble of all experiments leaves that depends on nothing but its options.
fn results(folder: &Path, out: &str) -> Vec<Vec<u8>> {
    let experiments = ["multi-label", "single-genre", "top-6"];
    let files = ["model.safetensors", "metrics.json", "predictions.csv"];
    experiments.iter().flat_map(|of| files.map(|file| bytes(folder, &format!("{out}/{of}/{file}")))).collect()
}

#[test]
fn an_ensemble_that_is_killed_goes_on_where_it_was() {
    let folder = posters();
    let folder = folder.path();
    let all = TINY.replace("--experiment multi-label", "--epochs 30 --transfer 0.1 --checkpoint-every 0");
    let line = |out: &str| format!("{all} --members 2 --out {out}");
    let (code, _, err) = train(folder, &line("whole"));
    assert_eq!(code, 0, "{err}");
    let config = String::from_utf8(bytes(folder, "whole/member-2/top-6/config.toml")).unwrap();
    assert!(config.contains("init_from = \"whole/member-2/multi-label\""), "{config}");

    let child = command(folder, &line("run")).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the second member has not begun", || folder.join("run/member-2/multi-label/history.csv").exists());
    kill(child);
    assert!(!folder.join("run/multi-label").exists());
    let first = || fs::metadata(folder.join("run/member-1/top-6/model.safetensors")).unwrap().modified().unwrap();
    let before = first();
    let (code, _, err) = train(folder, &line("run"));
    assert!(code == 2 && err.contains("an ensemble that did not finish; go on with it by --resume"), "{err}");
    let (code, out, err) = train(folder, &(line("run") + " --resume --overwrite --threads 2"));
    assert!(code == 0 && out.contains("this run is finished") && out.contains("taken up in epoch"), "{out}{err}");
    assert_eq!(first(), before, "the first member is not run again");
    assert!(results(folder, "run") == results(folder, "whole"));
    assert_eq!(names(&folder.join("run")), names(&folder.join("whole")));

    // The options of an experiment are those of an ensemble, too, which starts from that of another.
    let (code, _, err) = train(folder, "run --config run/top-6/config.toml --out alone");
    assert_eq!(code, 0, "{err}");
    assert!(bytes(folder, "alone/top-6/model.safetensors") == bytes(folder, "run/top-6/model.safetensors"));

    // Other films than those of the members are not taken for theirs.
    let frame = folder.join("run/frames/multi-label/train.csv");
    let text = fs::read_to_string(&frame).unwrap();
    fs::write(
        &frame,
        text.lines().filter(|row| !row.is_empty()).take(60).map(|row| format!("{row}\n")).collect::<String>(),
    )
    .unwrap();
    fs::remove_dir_all(folder.join("run/multi-label")).unwrap();
    fs::remove_dir_all(folder.join("run/single-genre")).unwrap();
    fs::remove_dir_all(folder.join("run/top-6")).unwrap();
    let (code, _, err) = train(folder, &(line("run") + " --resume"));
    assert!(code == 3 && err.contains("its films are not those of") && err.contains("member-1"), "{err}");
}

#[test]
fn each_fold_has_an_ensemble_of_its_own() {
    let folder = posters();
    let folder = folder.path();
    let (code, out, err) = train(folder, &format!("{TINY} --epochs 1 --members 2 --folds 2 --out run"));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("fold 2 of 2") && out.contains("member 2 of 2"), "{out}");
    for fold in ["run/fold-1", "run/fold-2"] {
        let ensemble = Classifier::open(&folder.join(fold).join("multi-label"), best()).unwrap();
        assert_eq!(ensemble.members(), 2);
        let [own, member] = [fold.to_owned(), format!("{fold}/member-2")]
            .map(|run| bytes(folder, &format!("{run}/frames/multi-label/train.csv")));
        assert!(own == member, "the members do not see the fold either");
    }
    assert!(folder.join("run/multi-label/predictions.csv").exists());
    let rest = TINY.replace("run --data data", "").replace("--threads 1", "");
    let sweep = |more: &str| {
        format!("sweep --data data --out sweep --threads 1 --vary members=1 --vary seed=1 -- {rest} --epochs 1 {more}")
    };
    let (code, out, err) = train(folder, &sweep("").replace("members=1", "members=2"));
    assert!(code == 2 && err.contains("add --folds N behind the --"), "{out}{err}");
    let (code, out, err) = train(folder, &sweep("--folds 2").replace("members=1", "members=2"));
    assert!(code == 0 && out.contains("members=2 seed=1"), "{out}{err}");
}
