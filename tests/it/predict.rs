//! Answers about poster files: the library's, and those of `train predict`.

use crate::cli::{assert_one_line, posters, run_folder, train, whole_posters};
use crate::common::assert_same_bits;
use crate::data::{child, is_child, use_up_file_handles};
use assert_cmd::Command;
use onesheet::classifier::Classifier;
use onesheet::classifier::answers::Question;
use onesheet::data::batches::Source;
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::films::Film;
use onesheet::data::layout::PosterFolder;
use onesheet::data::ledger::Ledger;
use onesheet::data::refusal::OnBadImage;
use onesheet::data::transform::Views;
use onesheet::nn::Isa;
use onesheet::progress::Progress;
use onesheet::ranks::Team;
use onesheet::{Error, Result};
use serde_json::Value;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn model() -> String {
    run_folder().join("multi-label").display().to_string()
}

/// Runs `train predict` with the model, some arguments, and a text on standard input.
fn predict(args: &[&str], stdin: impl Into<Vec<u8>>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    let output = command.args(["predict", &model()]).args(args).write_stdin(stdin).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder with `count` posters, named a00.jpg and so on, and two that do not decode.
fn folder(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (i, poster) in whole_posters().iter().take(count).enumerate() {
        fs::copy(poster, folder.path().join(format!("a{i:02}.{}", ["jpg", "JPEG"][i % 2]))).unwrap();
    }
    fs::write(folder.path().join("a05-empty.jpg"), b"").unwrap();
    fs::write(folder.path().join("zz-text.jpg"), b"no poster").unwrap();
    fs::write(folder.path().join("readme.txt"), b"not asked about").unwrap();
    fs::create_dir(folder.path().join("folder.jpg")).unwrap();
    folder
}

#[test]
fn a_poster_has_the_same_bits_alone_and_in_a_batch_of_any_size() {
    for isa in Isa::available() {
        for experiment in ["multi-label", "top-6"] {
            let mut classifier = Classifier::open(&run_folder().join(experiment), isa).unwrap();
            let bytes = ImageSpec::POSTER.bytes();
            let mut pixels = vec![0; 40 * bytes];
            for (poster, pixels) in whole_posters().iter().zip(pixels.chunks_exact_mut(bytes)) {
                Decoder::new().decode_poster(poster, ImageSpec::POSTER, pixels).unwrap().unwrap();
            }
            let alone: Vec<f32> = pixels.chunks_exact(bytes).flat_map(|poster| classifier.answer(poster)).collect();
            for size in [1, 2, 7, 32, 40] {
                let batches = pixels.chunks(size * bytes).flat_map(|posters| classifier.answers_about(posters));
                let bits = |all: &[f32]| all.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&batches.collect::<Vec<_>>()), bits(&alone), "{experiment}, {size} at once");
            }
            assert!(classifier.answers_about(&[]).is_empty());
        }
    }
}

/// Removes the posters with the first batch that is answered.
struct Remover<'a> {
    posters: &'a Path,
    totals: Mutex<Vec<usize>>,
}

impl Progress for Remover<'_> {
    fn note(&self, _: &str) {}

    fn start(&self, _: &str, total: usize) {
        self.totals.lock().unwrap().push(total);
    }

    fn at(&self, _: usize, _: Option<f64>) {
        fs::remove_dir_all(self.posters).unwrap();
    }

    fn finish(&self) {}
}

#[test]
fn a_film_s_poster_is_decoded_once_for_all_of_its_views() {
    const COUNT: u64 = 20;
    const BAD: u64 = 5;
    let mut classifier = Classifier::open(Path::new(&model()), Isa::available()[0]).unwrap();
    let films: Vec<Film> = (1..=COUNT).map(|id| Film { id, genres: vec![id as usize % 2] }).collect();
    for views in [Views::One, Views::Flip, Views::Crops] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("posters");
        fs::create_dir(&path).unwrap();
        let mut pixels = vec![0; (COUNT as usize - 1) * ImageSpec::POSTER.bytes()];
        let mut each_pixels = pixels.chunks_exact_mut(ImageSpec::POSTER.bytes());
        for (id, poster) in (1..=COUNT).zip(whole_posters()) {
            let file = path.join(format!("{id}.jpg"));
            if id == BAD {
                fs::write(file, b"no poster").unwrap();
                continue;
            }
            let pixels = each_pixels.next().unwrap();
            Decoder::new().decode_poster(&poster, ImageSpec::POSTER, pixels).unwrap().unwrap();
            fs::copy(poster, file).unwrap();
        }
        let posters = PosterFolder::list(&path, &mut Ledger::default()).unwrap();
        let source = &Source::Files { posters, spec: ImageSpec::POSTER, on_bad_image: OnBadImage::Skip };
        let question = Question { films: &films, source, views, batch: 32, name: "all", team: &Team::default() };
        let remover = Remover { posters: &path, totals: Mutex::default() };
        let answers = classifier.answers(question, &remover).unwrap();
        assert_eq!(remover.totals.into_inner().unwrap(), [COUNT as usize]);
        assert!(!path.exists());
        assert_eq!(answers.ids, (1..=COUNT).filter(|&id| id != BAD).collect::<Vec<_>>());
        assert_eq!(answers.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [BAD]);
        classifier.meta.views = views;
        assert_same_bits(&answers.probabilities, &classifier.answers_about(&pixels));
    }
}

#[test]
fn out_of_file_handles_predicting_ends() {
    if !is_child() {
        let output = child("predict::out_of_file_handles_predicting_ends", &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let mut classifier = Classifier::open(Path::new(&model()), Isa::available()[0]).unwrap();
    let posters = whole_posters();
    // The threads of the pool start with handles of their own.
    classifier.predict_all(posters.iter().take(3).cloned().map(Ok), 1, |_| ControlFlow::Continue(())).unwrap();
    let _none_left = use_up_file_handles();
    let alone = classifier.predict(&posters[0], 1).unwrap_err();
    let mut told = 0;
    let many = classifier.predict_all(posters.into_iter().map(Ok), 1, |_| {
        told += 1;
        ControlFlow::Continue(())
    });
    for error in [alone, many.unwrap_err()] {
        assert!(error.exit_code() == 4 && error.to_string().contains("; raise the limit of open files"), "{error}");
    }
    assert_eq!(told, 0, "no poster is called unreadable");
}

#[test]
fn many_posters_are_answered_in_order_and_as_each_of_them_alone() {
    let folder = folder(70);
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut classifier = Classifier::open(Path::new(&model()), Isa::available()[0]).unwrap();
    let mut told = Vec::new();
    let posters = files.clone().into_iter().map(Ok);
    classifier
        .predict_all(posters, 3, |prediction| {
            told.push(prediction.map_err(|error| error.to_string()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(told.len(), files.len());
    for (file, told) in files.iter().zip(told) {
        match (classifier.predict(file, 3), told) {
            (Ok(alone), Ok(told)) => assert_eq!(format!("{alone:?}"), format!("{told:?}")),
            (Err(alone), Err(told)) => assert_eq!(alone.to_string(), told),
            (alone, told) => panic!("{}: {alone:?} {told:?}", file.display()),
        }
    }
}

#[test]
fn the_work_ends_early_where_nobody_wants_more_and_where_a_name_cannot_be_had() {
    let mut classifier = Classifier::open(Path::new(&model()), Isa::available()[0]).unwrap();
    let poster = whole_posters()[0].clone();
    let (asked, mut told) = (AtomicUsize::new(0), 0);
    let endless = std::iter::repeat_with(|| {
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(poster.clone())
    });
    classifier
        .predict_all(endless, 1, |_| {
            told += 1;
            if told < 40 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    let asked = asked.into_inner();
    // Those on their way when it ended are few, and so is the memory that they take.
    assert!(told == 40 && asked <= 5 * 32, "{told} of {asked}");

    let names: Vec<Result<PathBuf>> = vec![Ok(poster.clone()), Err(Error::usage("no name", "name it")), Ok(poster)];
    let mut told = 0;
    let result = classifier.predict_all(names.into_iter(), 1, |_| {
        told += 1;
        ControlFlow::Continue(())
    });
    assert!(told == 1 && result.unwrap_err().to_string().contains("no name"));
}

#[test]
fn a_folder_is_answered_whole_and_its_failures_are_named() {
    let folder = folder(40);
    let path = folder.path().to_str().unwrap();
    let (code, stdout, stderr) = predict(&[path], "");
    assert_eq!(code, 3, "{stderr}");
    let names: Vec<&str> = stdout.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert!(names.len() == 40 && names.is_sorted() && names[0].ends_with("a00.jpg"), "{names:?}");
    assert!(names[1].ends_with("a01.JPEG"), "{names:?}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 2, "{stderr}");
    assert!(stderr.contains("a05-empty.jpg: empty") && stderr.contains("2 of 42 posters have no answer"), "{stderr}");
}

#[test]
fn json_is_whole_whatever_fails() {
    let folder = folder(3);
    let path = folder.path().to_str().unwrap();
    let (code, stdout, _) = predict(&[path, "--json"], "");
    let array: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, array.as_array().unwrap().len()), (3, 3));
    let (_, lines, _) = predict(&[path, "--jsonl"], "");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(array.as_array().unwrap(), &lines);
    let bad = folder.path().join("a05-empty.jpg");
    let (code, stdout, _) = predict(&[bad.to_str().unwrap(), "--json"], "");
    assert_eq!((code, stdout.as_str()), (3, "[]\n"));
}

#[test]
fn csv_has_a_header_and_a_row_per_poster() {
    let folder = folder(3);
    let (_, stdout, _) = predict(&[folder.path().to_str().unwrap(), "--csv", "--top", "2"], "");
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["poster", "genre_1", "probability_1", "genre_2", "probability_2"]);
    assert!(rows.len() == 4 && rows.iter().all(|row| row.len() == 5), "{stdout}");
    fs::copy(&whole_posters()[0], folder.path().join("=1+1.jpg")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    let output = command.current_dir(&folder).args(["predict", &model(), "=1+1.jpg", "--csv"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("\n'=1+1.jpg,"), "{output:?}");
}

#[test]
fn a_list_on_standard_input_names_posters() {
    let posters = whole_posters();
    let [a, b] = [0, 1].map(|i| posters[i].to_str().unwrap());
    let names = |out: &str| out.lines().map(|line| line.split(": ").next().unwrap().to_owned()).collect::<Vec<_>>();
    let (code, stdout, stderr) = predict(&["-"], format!("{a}\n\n{b}\r\n{a}"));
    assert_eq!((code, names(&stdout)), (0, [a, b, a].map(str::to_owned).to_vec()), "{stderr}");
    let (code, stdout, stderr) = predict(&["-0", "-"], format!("{a}\0{b}\0"));
    assert_eq!((code, names(&stdout)), (0, [a, b].map(str::to_owned).to_vec()), "{stderr}");
    let (code, stdout, _) = predict(&[b, "-", b], format!("{a}\n"));
    assert_eq!((code, names(&stdout)), (0, [b, a, b].map(str::to_owned).to_vec()));
}

#[test]
fn an_answer_in_words_says_what_is_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = folder.path().join("model.safetensors");
    let mut classifier = Classifier::open(Path::new(&model()), Isa::available()[0]).unwrap();
    let genres = classifier.meta.genres.len();
    let mut answer = |thresholds: Vec<f32>, args: &[&str]| {
        classifier.meta.thresholds = Some(thresholds);
        classifier.save(&tuned).unwrap();
        let poster = whole_posters()[0].display().to_string();
        train(&[&["predict", tuned.to_str().unwrap(), &poster], args].concat()).stdout
    };
    let none = answer(vec![1.0; genres], &[]);
    assert!(none.trim_end().ends_with("; predicted: none") && !none.contains('*'), "{none}");
    // All genres are above their thresholds: all are predicted, three are shown with their numbers.
    let all = answer(vec![0.0; genres], &[]);
    let predicted: Vec<&str> = all.trim_end().split("; predicted: ").nth(1).unwrap().split(", ").collect();
    assert_eq!((predicted.len(), all.matches("%*").count()), (genres, 3), "{all}");
    let json: Value = serde_json::from_str(&answer(vec![0.0; genres], &["--json"])).unwrap();
    assert_eq!(json[0]["predicted"].as_array().unwrap().len(), genres);
    let csv = answer(vec![0.0; genres], &["--csv"]);
    assert!(csv.starts_with("poster,predicted,genre_1,") && csv.contains(&predicted.join("|")), "{csv}");
}

#[test]
fn what_is_no_poster_is_answered_with_what_to_do() {
    let (model, poster) = (model(), whole_posters()[0].display().to_string());
    let (data, empty) = (posters().display().to_string(), tempfile::tempdir().unwrap());
    let empty = empty.path().to_str().unwrap();
    let file = format!("{model}/model.safetensors");
    for (args, code, parts) in [
        (&[&model[..]][..], 2, &["no poster is named", "-", "folder"][..]),
        (&[&poster, &model], 3, &["it is a poster, not a model", "the model comes first"]),
        (&[&model, &file], 3, &["it is a model, not a poster", "the model comes first"]),
        (&[&model, &model], 3, &["it holds a model", "the model comes first"]),
        (&[&model, &data], 3, &["no file in it is named *.jpg", "posters"]),
        (&[&model, empty], 3, &["no file in it is named *.jpg", "a folder of JPEG files"]),
        (&[&model, "nowhere.jpg"], 3, &["nowhere.jpg", "check the path"]),
        (&[&model, "-"], 3, &["standard input", "no poster"]),
        (&[&model, "-", "-"], 2, &["named twice"]),
        (&[&model, "-0", &poster], 2, &["--null", "add -"]),
        (&[&model, &poster, "--json", "--csv"], 2, &["--json", "--csv", "leave one of them out"]),
    ] {
        assert_one_line(&train(&[&["predict"], args].concat()), code, parts);
    }
}
