//! Runs with auxiliary heads, on a synthetic set in which few films have genres and all have themes.

use crate::common::Data;
use crate::documents::{documented, fields_of};
use crate::run::{command, kill, names, train, wait_for};
use jpeg_encoder::{ColorType, Encoder};
use onesheet::data::split::Split;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// The pixels of a poster's sides.
const SIDES: [usize; 2] = [64, 96];
/// The genres: which way the lines of a poster run.
const WAYS: [(&str, [f32; 2]); 4] =
    [("Across", [0.0, 1.0]), ("Down", [1.0, 0.0]), ("Rise", [0.7, 0.7]), ("Fall", [0.7, -0.7])];

/// The films whose posters are drawn, and how many of those to train on have genres.
const FILMS: u64 = 400;
const LABELLED: usize = 16;

/// A poster of lines, in any two colours.
fn poster(way: [f32; 2], id: u64) -> Vec<u8> {
    let mut data = Data::new(id);
    let &[step, phase, ..] = &data.between(0.0, 1.0, 2)[..] else { unreachable!() };
    let (step, phase) = (0.35 + 0.35 * step, phase * 6.3);
    let colours = data.between(0.0, 255.0, 6);
    let noise = data.between(-30.0, 30.0, SIDES[0] * SIDES[1] * 3);
    let value = |(at, noise): (usize, &f32)| {
        let [x, y] = [at / 3 % SIDES[0], at / 3 / SIDES[0]].map(|place| place as f32);
        let share = 0.5 + 0.5 * (step * (way[0] * x + way[1] * y) + phase).sin();
        let [one, other] = [colours[at % 3], colours[3 + at % 3]];
        (share * one + (1.0 - share) * other + noise) as u8
    };
    let pixels: Vec<u8> = noise.iter().enumerate().map(value).collect();
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, 90).encode(&pixels, SIDES[0] as u16, SIDES[1] as u16, ColorType::Rgb).unwrap();
    jpeg
}

/// A folder with posters in `data`: of the films to train on, a few have genres. All have themes, which
/// say the same by other names, and every other one has a year.
fn few_with_genres() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("posters")).unwrap();
    let (mut genres, mut themes) = ("id,genre\n".to_owned(), "id,theme\n".to_owned());
    let mut years = "id,name,date\n".to_owned();
    let mut labelled = 0;
    for id in 1..=FILMS {
        let (name, way) = WAYS[id as usize % WAYS.len()];
        fs::write(data.join(format!("posters/{id}.jpg")), poster(way, id)).unwrap();
        let trains = Split::of(id) == Split::Train;
        if !trains || labelled < LABELLED {
            writeln!(genres, "{id},{name}").unwrap();
            labelled += usize::from(trains);
        }
        writeln!(themes, "{id},\"Lines, {name}\"").unwrap();
        if id.is_multiple_of(2) {
            writeln!(years, "{id},\"A, B\",{}.0", 1950 + 10 * (id % 3)).unwrap();
        }
    }
    for (name, text) in [("genres.csv", genres), ("themes.csv", themes), ("movies.csv", years)] {
        fs::write(data.join(name), text).unwrap();
    }
    folder
}

const LINE: &str = "run --data data --cache cache --experiment multi-label --recipe report --input 32 --filters 8,16 \
                    --dense 0 --pooling average --dropout 0 --bn-momentum 0.8 --padding same --batch 16 --lr 0.01";

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn succeeds(folder: &Path, line: &str) -> String {
    let (code, out, err) = train(folder, line);
    assert_eq!(code, 0, "{line}: {err}");
    out + &err
}

fn model(folder: &Path, run: &str) -> Vec<u8> {
    fs::read(folder.join(run).join("multi-label/model.safetensors")).unwrap()
}

/// Genres of 16 posters alone are learned by heart, from their colours; themes of all make the network
/// see the lines.
#[test]
fn posters_without_genres_teach_what_they_show() {
    let folder = few_with_genres();
    let folder = folder.path();
    let ap = |more: &str, out: &str| {
        succeeds(folder, &format!("{LINE} {more} --out {out}"));
        json(&folder.join(out).join("multi-label/metrics.json"))["macro_ap"].as_f64().unwrap()
    };
    let without = ap("--epochs 60", "without");
    let with = ap("--epochs 12 --auxiliary themes --auxiliary-weight 1", "with");
    assert!(with > without + 0.2, "{with} {without}");
}

#[test]
fn a_run_with_auxiliary_heads_ends_with_the_same_bits_however_it_went() {
    let folder = few_with_genres();
    let folder = folder.path();
    let line = format!(
        "{LINE} --epochs 3 --mixup 0.3 --ema 0.9 --dropout 0.2 --tune-thresholds true --checkpoint-every 0 \
         --auxiliary themes,decade"
    );
    let told = succeeds(folder, &format!("{line} --threads 1 --out whole"));
    let all = (1..=FILMS).filter(|&id| Split::of(id) == Split::Train).count() - LABELLED;
    let ledger = json(&folder.join("whole/ledger.json"));
    let of = &ledger["auxiliary"];
    let left_out = of["posters_left_out"].as_array().unwrap();
    let twins =
        left_out.iter().find(|of| of["reason"].as_str().unwrap().contains("show the picture of a film")).unwrap();
    // Some lines look alike.
    let others = all - twins["count"].as_u64().unwrap() as usize;
    assert!(others > 4 * all / 5 && of["posters_without_genres"] == others, "{of}");
    assert!(told.contains(&format!("{others} of the films to train on have no genre")), "{told}");

    let epoch = folder.join("run/multi-label/history.csv");
    let run = command(folder, &format!("{line} --threads 3 --out run")).spawn().unwrap();
    wait_for("no epoch is complete", || epoch.exists());
    kill(run);
    let told = succeeds(folder, &format!("{line} --threads 2 --out run --resume"));
    assert!(told.contains("taken up in epoch") || told.contains("taken up after epoch"), "{told}");
    assert!(model(folder, "run") == model(folder, "whole"));
    assert_eq!(names(&folder.join("run/multi-label")), names(&folder.join("whole/multi-label")));
    let again = succeeds(folder, "run --config whole/multi-label/config.toml --no-cache --threads 1 --out again");
    assert!(model(folder, "again") == model(folder, "whole"), "{again}");

    // The model knows nothing but genres.
    let metrics = json(&folder.join("whole/multi-label/metrics.json"));
    assert_eq!(metrics["genres"], serde_json::json!(["Across", "Down", "Fall", "Rise"]));
    succeeds(folder, "evaluate whole/multi-label --data data --split test");
    succeeds(folder, "export whole/multi-label --onnx genres.onnx");
    // Others start from it, also where they have heads of their own.
    succeeds(folder, &format!("{line} --epochs 1 --init-from whole/multi-label --out further"));

    // What is written down.
    assert_eq!(of["heads"][0]["classes"][0], "Lines, Across");
    assert_eq!(of["heads"][1]["classes"], serde_json::json!(["1950s", "1960s", "1970s"]));
    assert_eq!(of["heads"][0]["films"], others + LABELLED);
    let all = documented("ledger.json");
    assert_eq!(fields_of(&[ledger]), all.into_iter().collect::<BTreeSet<_>>());
    let card = fs::read_to_string(folder.join("whole/multi-label/README.md")).unwrap();
    assert!(card.contains("auxiliary = \"themes,decade\"") && card.contains("themes (4 classes"), "{card}");

    // Without them all is as it was, the films included.
    let plain = line.replace("--auxiliary themes,decade", "");
    succeeds(folder, &format!("{plain} --out plain"));
    succeeds(folder, &format!("{line} --auxiliary none --out none"));
    assert!(model(folder, "plain") == model(folder, "none"));
    for side in ["train", "val", "test"] {
        let frame = |run: &str| fs::read(folder.join(run).join(format!("frames/multi-label/{side}.csv"))).unwrap();
        assert!(frame("plain") == frame("whole"), "{side}");
    }
    let listed = |run: &str| folder.join(run).join("frames/multi-label/without_genres.csv");
    assert_eq!(fs::read_to_string(listed("whole")).unwrap().lines().count(), others + 1);
    assert!(!listed("plain").exists());

    // The films without genres were seen, and are not measured on once they have some.
    let csv = folder.join("data/genres.csv");
    let rows: String = (1..=FILMS).map(|id| format!("{id},{}\n", WAYS[id as usize % WAYS.len()].0)).collect();
    fs::write(csv, format!("id,genre\n{rows}")).unwrap();
    let films = |run: &str| {
        let (code, out, err) = train(folder, &format!("evaluate {run}/multi-label --data data --json"));
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).unwrap()["films"].as_u64().unwrap() as usize
    };
    assert_eq!(films("plain"), films("whole") + others);
}

/// Steps are those on all films, also where members and a teacher take part, and posters grow.
#[test]
fn auxiliary_heads_are_trained_for_steps_in_members_and_beside_a_teacher() {
    let folder = few_with_genres();
    let folder = folder.path();
    let line = format!("{LINE} --auxiliary themes --cutmix 0.5 --checkpoint-every 0");
    let epochs = |run: &str| {
        let history = fs::read_to_string(folder.join(run).join("multi-label/history.csv")).unwrap();
        history.lines().count() - 1
    };
    let of_members = format!("{line} --steps 25 --progressive 16 --members 2");
    let plan = succeeds(folder, &format!("{of_members} --out run --dry-run"));
    assert!(plan.contains("also    "), "{plan}");
    succeeds(folder, &format!("{of_members} --out run --threads 1"));
    // With genres alone, 16 films, these were 25 epochs.
    assert_eq!([epochs("run/member-1"), epochs("run/member-2")], [2, 2]);
    let [one, other] = ["run/member-1", "run/member-2"].map(|run| model(folder, run));
    assert!(one != other && one.len() == other.len());
    let card = fs::read_to_string(folder.join("run/multi-label/README.md")).unwrap();
    assert!(card.contains("themes (4 classes"), "{card}");

    let taught = format!("{line} --steps 22 --teacher run");
    succeeds(folder, &format!("{taught} --threads 1 --out whole"));
    assert_eq!(epochs("whole"), 2);
    let epoch = folder.join("student/multi-label/history.csv");
    let run = command(folder, &format!("{taught} --threads 3 --out student")).spawn().unwrap();
    wait_for("no epoch is complete", || epoch.exists());
    kill(run);
    succeeds(folder, &format!("{taught} --threads 2 --out student --resume"));
    assert!(model(folder, "student") == model(folder, "whole"));
    succeeds(folder, &format!("{taught} --out untaught --teacher-weight 0"));
    assert!(model(folder, "untaught") != model(folder, "whole"));

    // A time is that of steps with the heads, on all films.
    let told = succeeds(folder, &format!("{line} --hours 0.003 --out timed"));
    assert!(told.contains("--hours 0.003: ") && told.contains("of the films to train on have no genre"), "{told}");
    let words: Vec<&str> = told.split("--hours 0.003: ").nth(1).unwrap().split(' ').collect();
    let [steps, passes]: [f64; 2] = [words[0], words[2]].map(|word| word.parse().unwrap());
    assert!((10.0..24.0).contains(&(steps / passes)), "an epoch of all films has about 20 steps: {told}");
}

/// The last part of an epoch may have films without genres alone, which have no loss of genres.
#[test]
fn a_part_of_an_epoch_may_have_no_film_with_genres() {
    let folder = few_with_genres();
    let folder = folder.path();
    let line = format!("{LINE} --auxiliary themes --limit 120 --batch 4");
    succeeds(folder, &format!("{line} --epochs 1 --out run"));
    let others = fs::read_to_string(folder.join("run/frames/multi-label/without_genres.csv")).unwrap();
    let steps = (LABELLED + others.lines().count() - 1).div_ceil(4) + 1;
    let losses = |seed: u64| -> Vec<String> {
        succeeds(folder, &format!("{line} --steps {steps} --overwrite --out run --seed {seed}"));
        let history = fs::read_to_string(folder.join("run/multi-label/history.csv")).unwrap();
        history.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned()).collect()
    };
    let seeds = 1..=20;
    let has_none = |seed: u64| {
        let losses = losses(seed);
        assert!(losses.len() == 2 && losses.iter().all(|loss| loss.parse::<f64>().unwrap() > 0.0), "{losses:?}");
        losses[0] == losses[1]
    };
    assert!(seeds.clone().any(has_none));
    // With nothing before it there is nothing to go by.
    let refused = |seed: u64| {
        let (code, _, err) = train(folder, &format!("{line} --steps 1 --overwrite --out one --seed {seed}"));
        let says = err.contains("no film with genres comes up in so few steps; name more --steps or --hours");
        assert!(code == 0 || code == 3 && says, "{code} {err}");
        code == 3
    };
    assert!(seeds.into_iter().any(refused));
}

#[test]
fn options_that_teach_nothing_are_refused_with_what_does() {
    let folder = few_with_genres();
    let folder = folder.path();
    let refused = |more: &str, code: i32, words: &[&str]| {
        let (found, _, err) = train(folder, &format!("{LINE} --epochs 1 --dry-run --out run {more}"));
        assert!(found == code && words.iter().all(|word| err.contains(word)), "{more}: {found} {err}");
    };
    refused("--auxiliary genres", 2, &["themes,countries,languages,decade,studios"]);
    refused("--auxiliary-weight 0.5", 2, &["--auxiliary-weight is of --auxiliary"]);
    refused("--auxiliary themes --auxiliary-weight 0", 2, &["it is above 0"]);
    refused("--auxiliary studios", 3, &["studios.csv", "there is no such file", "leave studios out"]);
    fs::write(folder.join("data/countries.csv"), "id,country\n1,Japan\n").unwrap();
    refused("--auxiliary countries", 3, &["countries.csv", "leave countries out of --auxiliary"]);
    let (code, _, err) = train(folder, &LINE.replace("multi-label", "top-6 --auxiliary themes"));
    assert!(code == 2 && err.contains("--auxiliary is of the experiment multi-label"), "{err}");
    // A limit is one on all of them: there is room for some without genres.
    let room = 120;
    let limited = format!("{LINE} --epochs 1 --dry-run --out run --limit {room} --auxiliary themes");
    let plan = succeeds(folder, &limited);
    assert!(plan.contains(&format!("{} of the films to train on have no genre", room - LABELLED)), "{plan}");
    assert!(!folder.join("run").exists());
}
