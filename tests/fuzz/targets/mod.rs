//! What is tried: functions of any bytes. A target returns, whatever they are; it panics where
//! something is wrong, and is too slow where an input takes seconds.

mod kernels;

use onesheet::classifier::Classifier;
use onesheet::data::cache::Cache;
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::labels::Labels;
use onesheet::data::labels::beside::{Topic, Values};
use onesheet::data::refusal::Reason;
use onesheet::nn::{Average, Head, Input, Isa, ModelSpec, Optimizer, Pass, Rule, Sequential, Trainer};
use onesheet::page;
use onesheet::report::{Predictions, Record, read_history, read_metrics};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Bytes of others, and what reads them.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

pub const ALL: [Target; 7] = [
    Target { name: "labels", run: labels },
    Target { name: "cache", run: cache },
    Target { name: "model", run: model },
    Target { name: "checkpoint", run: checkpoint },
    Target { name: "poster", run: poster },
    Target { name: "results", run: results },
    Target { name: "kernels", run: kernels::kernels },
];

/// Gives a target its bytes.
pub fn run(name: &str, bytes: &[u8]) {
    let target = ALL.iter().find(|target| target.name == name).expect("a target of that name");
    (target.run)(bytes);
}

/// The folder of an experiment, whose files [`results`] replaces; `ONESHEET_FUZZ_RUN` where a test has
/// not set it.
pub static RUN: OnceLock<PathBuf> = OnceLock::new();

/// The files of it that are read again.
pub const RESULTS: [&str; 6] =
    ["metrics.json", "history.csv", "run.json", "predictions.csv", "model.safetensors", "config.toml"];

/// What the cache of the seeds has.
const SPEC: ImageSpec = ImageSpec::square(16);

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

/// Gives `read` a file with these bytes.
fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        read(&path);
    });
}

fn labels(bytes: &[u8]) {
    with_file("genres.csv", bytes, |path| {
        if let Ok(labels) = Labels::read_csv(path) {
            assert!(labels.films.values().all(|genres| genres.iter().all(|&genre| genre < labels.genres.len())));
        }
    });
    let of = BTreeSet::from_iter(0..1000);
    for topic in Topic::ALL {
        with_file(topic.file(), bytes, |path| drop(Values::read_csv(path.parent().unwrap(), topic, &of)));
    }
}

fn cache(bytes: &[u8]) {
    with_file("posters.cache", bytes, |path| {
        for open in [Cache::open, Cache::open_unmapped] {
            let Ok(cache) = open(path, SPEC) else { continue };
            let bad = cache.verify(&|_, _| ());
            for id in (0..2000).filter(|&id| cache.knows(id)) {
                let image = cache.image(id);
                assert!(image.as_ref().is_ok_and(|image| image.len() == SPEC.bytes()) || image.is_err());
                assert!(!bad.contains(&id) || image.is_err(), "{id} is bad, and shown all the same");
                cache.hash(id);
            }
            cache.digest(0..100);
        }
    });
}

fn model(bytes: &[u8]) {
    let isa = Isa::available()[0];
    with_file("model.safetensors", bytes, |path| {
        if let Ok(mut network) = Sequential::load(path, isa) {
            let len: usize = network.spec().input.iter().product();
            if len <= 1 << 12 && network.parameters().len() < 100 {
                let logits = network.forward(Input::U8(&vec![128; len]), Pass::Inference).values();
                assert!(!logits.is_empty());
            }
        }
        drop(Classifier::open(path, isa));
    });
}

/// The training of [`checkpoint`].
fn training() -> (Sequential, Trainer) {
    let spec = ModelSpec::input(&[6]).dense(5).relu().batch_norm(0.9).dense(3);
    let mut model = Sequential::build(spec, Isa::available()[0], 1).unwrap();
    let optimizer = Optimizer::new(Rule::adam(0.01), &mut model);
    let mut trainer = Trainer::new(Head::Softmax, optimizer, 1);
    trainer.average = Some(Average::new(0.9, &model));
    (model, trainer)
}

/// A whole checkpoint of it.
#[allow(dead_code, reason = "libFuzzer's targets have their seeds from files")]
pub fn checkpoint_bytes() -> Vec<u8> {
    let (mut model, mut trainer) = training();
    let (x, labels) = ([0.5; 12], [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    trainer.step(&mut model, Input::F32(&x), &labels);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    trainer.save(&model, &path).unwrap();
    fs::read(path).unwrap()
}

fn checkpoint(bytes: &[u8]) {
    with_file("checkpoint.safetensors", bytes, |path| {
        let (mut model, mut trainer) = training();
        if trainer.resume(&mut model, path).is_ok() {
            let loss = trainer.step(&mut model, Input::F32(&[0.5; 6]), &[1.0, 0.0, 0.0]);
            assert!(loss >= 0.0 || loss.is_nan());
        }
    });
}

fn poster(bytes: &[u8]) {
    const TO: ImageSpec = ImageSpec::square(32);
    let mut out = vec![0; TO.bytes()];
    DECODER.with_borrow_mut(|decoder| {
        if let Err(refusal) = decoder.decode_bytes(bytes, TO, &mut out) {
            assert!(refusal.reason != Reason::DecoderPanic, "the decoder panics: {}", refusal.detail);
        }
        let _ = decoder.decode_pixels(bytes).map(|pixels| pixels.len());
    });
}

fn results(bytes: &[u8]) {
    let run = RUN.get_or_init(|| std::env::var_os("ONESHEET_FUZZ_RUN").expect("ONESHEET_FUZZ_RUN is set").into());
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let changed = RESULTS[usize::from(which) % RESULTS.len()];
    FOLDER.with(|folder| {
        let folder = folder.path().join("run/multi-label");
        fs::create_dir_all(&folder).unwrap();
        for name in RESULTS {
            let content = if name == changed { bytes.to_vec() } else { fs::read(run.join(name)).unwrap() };
            fs::write(folder.join(name), content).unwrap();
        }
        let _ = read_metrics(&folder.join(RESULTS[0]));
        let _ = read_history(&folder.join(RESULTS[1]));
        let _ = Record::read(&folder.join(RESULTS[2]));
        let _ = Predictions::read(&folder.join(RESULTS[3]));
        let _ = page::write_experiment(&folder, Isa::available()[0]);
        let _ = page::write_run(folder.parent().unwrap());
    });
}
