//! `--precision`: what is chosen and said, and where it is kept.

use crate::run::{TINY, command, done, posters, train};
use onesheet::nn::{Input, Isa, ModelSpec, Padding, Pass, Precision, Rates, Sequential};
use onesheet::report::Record;
use onesheet::run::precision::{in_words, settle};
use onesheet::run::recipe::{PrecisionOption, Recipe};
use std::fs;
use std::path::Path;

/// A command on an instruction set that knows no bf16.
fn portable(folder: &Path, line: &str) -> String {
    let (code, out, err) = done(command(folder, line).env("ONESHEET_ISA", "portable").output().unwrap());
    assert_eq!(code, 0, "{line}: {out}{err}");
    out
}

#[test]
fn auto_takes_what_is_faster_and_an_explicit_precision_stays() {
    for isa in Isa::available() {
        assert_eq!(settle(PrecisionOption::F32, isa), (PrecisionOption::F32, None), "nothing is to be measured");
        let (precision, note) = settle(PrecisionOption::Bf16, isa);
        assert_eq!(precision, PrecisionOption::Bf16);
        let note = note.unwrap();
        let is_faster = !note.starts_with("warning: precision bf16 as asked for, but ");
        assert!(note.contains("GFLOP/s per thread") && (isa.has_bf16() || !is_faster), "{note}");
        let (precision, note) = settle(PrecisionOption::Auto, isa);
        let name = if is_faster { "bf16" } else { "f32" };
        assert_eq!(precision, if is_faster { PrecisionOption::Bf16 } else { PrecisionOption::F32 });
        assert!(note.unwrap().starts_with(&format!("precision {name}: ")));
    }
    assert_eq!([Recipe::best(), Recipe::report()].map(|of| of.precision), [PrecisionOption::F32; 2]);
}

#[test]
fn what_was_measured_is_said_in_a_clause() {
    let portable = Isa::available().pop().unwrap();
    let words = in_words(Rates { f32: 20e9, bf16: 0.5e9 }, portable);
    assert_eq!(
        words,
        "portable has no instructions for bf16, which is 40 times slower than f32 (0.5 to 20.0 GFLOP/s per thread)"
    );
}

#[test]
fn a_run_keeps_what_auto_came_to() {
    let folder = posters();
    let folder = folder.path();
    let run = |out: &str, more: &str| {
        let said = portable(folder, &format!("{TINY} --epochs 1 --out {out} {more}"));
        let config = fs::read_to_string(folder.join(out).join("config.toml")).unwrap();
        let line = config.lines().find(|line| line.starts_with("precision")).unwrap().to_owned();
        let of = folder.join(out).join("multi-label");
        (said, line, Record::read(&of.join("run.json")).unwrap(), fs::read(of.join("model.safetensors")).unwrap())
    };
    let (said, config, record, plain) = run("plain", "");
    assert!(!said.contains("precision") && config == "precision = \"f32\"", "{said}{config}");
    assert_eq!(record.precision, Precision::F32);
    let (said, config, _, auto) = run("auto", "--precision auto");
    assert!(said.contains("precision f32: portable has no instructions for bf16"), "{said}");
    assert!(config == "precision = \"f32\"" && auto == plain, "{config}");

    let (said, config, record, _) = run("bf16", "--precision bf16");
    assert!(said.contains("warning: precision bf16 as asked for, but portable has no instructions"), "{said}");
    assert!(said.contains("training multiplies in bf16") && config == "precision = \"bf16\"", "{said}{config}");
    assert_eq!(record.precision, Precision::Bf16);
    let card = fs::read_to_string(folder.join("bf16/multi-label/README.md")).unwrap();
    assert!(card.contains("\nprecision = \"bf16\"\n"), "{card}");

    // Finished runs know it as well as those that were broken off.
    let (code, _, err) = train(folder, &format!("{TINY} --epochs 1 --out bf16 --resume"));
    assert!(code == 2 && err.contains("precision (\"bf16\", and now \"f32\")"), "{err}");
    let said = portable(folder, "run --config bf16/config.toml --resume");
    assert!(said.contains("this run is finished"), "{said}");

    let said = portable(folder, &format!("{TINY} --epochs 1 --out dry --precision auto --dry-run"));
    assert!(said.contains("precision f32: ") && said.contains("nothing was written"), "{said}");

    portable(folder, &format!("sweep --data data --out sweep --vary precision=auto -- {}", of_trials()));
    let trial = fs::read_to_string(folder.join("sweep/precision=auto/trial.toml")).unwrap();
    assert!(trial.contains("precision = \"f32\""), "{trial}");
}

/// The options of [`TINY`] that a sweep does not give itself.
fn of_trials() -> String {
    TINY.replace("run --data data", "") + " --epochs 1"
}

#[test]
fn another_precision_is_answered_with_those_there_are() {
    let folder = posters();
    let (code, _, err) = train(folder.path(), "run --data data --precision fp16");
    assert!(code == 2 && ["f32", "bf16", "auto"].iter().all(|name| err.contains(name)), "{err}");
}

#[test]
fn a_model_trains_in_f32_until_it_is_told_otherwise() {
    let spec = ModelSpec::input(&[8, 8, 3]).conv2d(4, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    let mut model = Sequential::build(spec.flatten().dense(2), Isa::available()[0], 1).unwrap();
    assert_eq!(model.precision(), Precision::F32);
    assert!(!model.summary().contains("training multiplies"));
    model.train_in(Precision::Bf16);
    assert_eq!(model.precision(), Precision::Bf16);
    assert!(model.summary().contains("training multiplies in bf16\n"), "{}", model.summary());
}

#[test]
fn predictions_take_a_precision_too() {
    let folder = posters();
    let folder = folder.path();
    portable(folder, &format!("{TINY} --epochs 1 --out runs"));
    let answer = |line: &str| {
        let output = command(folder, line).env("ONESHEET_ISA", "portable").output().unwrap();
        let (code, out, err) = done(output);
        // One of the posters is truncated.
        assert!([0, 3].contains(&code), "{line}: {out}{err}");
        (out, err)
    };
    for line in ["predict runs/multi-label data/posters --csv", "evaluate runs/multi-label --data data --json"] {
        let (plain, said) = answer(line);
        assert!(!said.contains("precision"), "{said}");
        let (auto, said) = answer(&format!("{line} --precision auto"));
        assert!(auto == plain && said.contains("precision f32: portable has no instructions for bf16"), "{said}");
        let (_, said) = answer(&format!("{line} --precision bf16"));
        assert!(said.contains("warning: precision bf16 as asked for"), "{said}");
    }
}

#[test]
fn a_model_answers_in_the_precision_that_it_is_built_for() {
    let spec = || {
        let block =
            |spec: ModelSpec, filters| spec.conv2d(filters, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
        block(block(ModelSpec::input(&[16, 16, 3]), 16), 32).flatten().dense(4)
    };
    let images: Vec<u8> = (0..5 * 16 * 16 * 3).map(|i| (i * 131 % 251) as u8).collect();
    let answer = |isa: Isa| {
        let mut model = Sequential::build(spec(), isa, 1).unwrap();
        model.train_in(Precision::Bf16);
        model.forward(Input::U8(&images), Pass::Inference).values().to_vec()
    };
    for isa in Isa::available().into_iter().filter(|isa| isa.registers() >= 16) {
        let (f32, bf16) = (answer(isa), answer(isa.with_precision(Precision::Bf16)));
        let largest =
            |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |most: f32, value| most.max(value.abs()));
        let difference = largest(&mut f32.iter().zip(&bf16).map(|(f32, bf16)| f32 - bf16));
        let scale = largest(&mut f32.iter().copied());
        assert!(difference > 0.0 && difference < 0.02 * scale, "{difference} of {scale} on {}", isa.name());
    }
}
