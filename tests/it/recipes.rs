//! Recipes and sweeps as a user meets them.

use assert_cmd::Command;
use onesheet::data::decode::ImageSpec;
use onesheet::data::demo;
use onesheet::run::recipe::Recipe;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with 240 drawn posters in `data`.
fn posters() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    demo::draw(&folder.path().join("data"), 240, 1).unwrap();
    folder
}

fn train(folder: &Path, line: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_train")).current_dir(folder).args(words(line)).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Splits a line at blanks into words; a part in quotes is one word.
fn words(line: &str) -> Vec<String> {
    let part = |(i, part): (usize, &str)| match i % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    };
    line.split('"').enumerate().flat_map(part).collect()
}

fn done(folder: &Path, line: &str) -> String {
    let (code, out, err) = train(folder, line);
    assert_eq!(code, 0, "{line}: {out}{err}");
    out
}

/// Options for everything that `--recipe best` is made of, on a model of a few filters.
const SMALL: &str = "--data data --cache cache --recipe best --input 32 --filters 4,8 --epochs 2 --batch 16";
/// Options for what the best recipe leaves out.
const REST: &str =
    "--ema 0.9 --mixup 0.2 --cutmix 0.5 --randaugment 2 --cutout 0.2 --focal 1.5 --label-smoothing 0.1 --views crops";

fn metrics(run: PathBuf) -> Value {
    serde_json::from_str(&fs::read_to_string(run.join("metrics.json")).unwrap()).unwrap()
}

/// The metadata of a model file, which begins with the length of its header.
fn metadata(run: &Path) -> Value {
    let bytes = fs::read(run.join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    serde_json::from_str(header["__metadata__"]["onesheet"].as_str().unwrap()).unwrap()
}

#[test]
fn a_recipe_s_model_is_measured_as_it_was_trained() {
    let folder = posters();
    let train = |line: &str| done(folder.path(), line);
    train(&format!("run --out run {SMALL} {REST}"));
    for experiment in ["multi-label", "single-genre", "top-6"] {
        let run = folder.path().join("run").join(experiment);
        let meta = metadata(&run);
        let (best, scores) = match experiment {
            "multi-label" => ("highest macro AP on val", column(&run, "val_macro_ap")),
            _ => ("lowest loss on val", column(&run, "val_loss").iter().map(|loss| -loss).collect()),
        };
        let epoch = meta["epoch"].as_u64().unwrap() as usize;
        assert!(scores.iter().all(|score| *score <= scores[epoch - 1]) && meta["best"] == best, "{meta} {scores:?}");
        assert_eq!((meta["views"].as_str(), &meta["model"]["input"]), (Some("crops"), &serde_json::json!([32, 32, 3])));
        let classes = meta["genres"].as_array().unwrap().len();
        let thresholds = meta["thresholds"].as_array().map(Vec::len);
        assert_eq!(thresholds, (experiment == "multi-label").then_some(classes));
        let own = metrics(run);
        let values = |of: &Value| {
            of["thresholds"].as_array().into_iter().flatten().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>()
        };
        let pairs = values(&own).into_iter().zip(values(&meta));
        assert!(pairs.clone().all(|(own, meta)| (own - meta).abs() < 1e-6) && pairs.count() == thresholds.unwrap_or(0));
        let [low, high] = [0, 1].map(|i| own["intervals"]["top3_hit"][i].as_f64().unwrap());
        let top3 = own["top3_hit"].as_f64().unwrap();
        assert!(low <= top3 && top3 <= high && low < high, "{low} {top3} {high}");
        let again = train(&format!("evaluate run/{experiment} --data data --split test --json"));
        assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), own);
        let one = train(&format!("evaluate run/{experiment} --data data --split test --views one --json"));
        assert_ne!(serde_json::from_str::<Value>(&one).unwrap()["loss"], own["loss"], "one view says something else");
    }
    let config = fs::read_to_string(folder.path().join("run/top-6/config.toml")).unwrap();
    for line in ["recipe_name = \"best\"", "schedule = \"cosine\"", "mixup = 0.2", "ema = 0.9", "views = \"crops\""] {
        assert!(config.contains(line), "{line}: {config}");
    }
    let predictions = fs::read_to_string(folder.path().join("run/multi-label/predictions.csv")).unwrap();
    let row: Vec<&str> = predictions.lines().nth(1).unwrap().split(',').collect();
    let out = train(&format!("predict run/multi-label data/posters/{}.jpg --json", row[0]));
    let first = &serde_json::from_str::<Value>(&out).unwrap()[0]["predictions"][0];
    assert!((first["probability"].as_f64().unwrap() - row[3].parse::<f64>().unwrap()).abs() < 1e-6);
    let threshold = metadata(&folder.path().join("run/multi-label"));
    let genres = threshold["genres"].as_array().unwrap();
    let at = genres.iter().position(|genre| *genre == first["genre"]).unwrap();
    let above = first["probability"].as_f64().unwrap() > threshold["thresholds"][at].as_f64().unwrap();
    assert_eq!(first["predicted"], above);
    let text = train(&format!("predict run/multi-label data/posters/{}.jpg", row[0]));
    assert_eq!(text.split(", ").next().unwrap().trim_end().ends_with('*'), above, "{text}");
}

#[test]
fn an_input_that_is_not_square_goes_all_the_way() {
    let folder = posters();
    let train = |line: &str| done(folder.path(), line);
    train(&format!("run --out run {SMALL} --input 48x32 --epochs 1 --experiment multi-label"));
    let run = folder.path().join("run/multi-label");
    let meta = metadata(&run);
    assert_eq!(meta["model"]["input"], serde_json::json!([48, 32, 3]));
    assert_eq!((&meta["pixels"]["input"]["height"], &meta["pixels"]["input"]["width"]), (&48.into(), &32.into()));
    let again = train("evaluate run/multi-label --data data --split test --json");
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), metrics(run.clone()));
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(config.contains("input = \"48x32\""), "{config}");
    train("run --config run/config.toml --out again");
    let model = |run: &str| fs::read(folder.path().join(run).join("multi-label/model.safetensors")).unwrap();
    assert!(model("run") == model("again"));
    let poster = fs::read_dir(folder.path().join("data/posters")).unwrap().next().unwrap().unwrap().path();
    train(&format!("predict run/multi-label {} --explain heat", poster.display()));
    assert_eq!(fs::read_dir(folder.path().join("heat")).unwrap().count(), 1);
    train("export run/multi-label --onnx genres.onnx");
    assert!(folder.path().join("genres.onnx").exists());
}

#[test]
fn a_training_of_growing_posters_ends_at_the_size_of_the_model() {
    let recipe = Recipe {
        input: ImageSpec::square(160),
        progressive: [96, 128].map(ImageSpec::square).to_vec(),
        ..Recipe::best()
    };
    let sides = |epochs: usize| (1..=epochs).map(|epoch| recipe.size_in(epoch, epochs).height).collect::<Vec<_>>();
    assert_eq!((sides(6), sides(4)), (vec![96, 96, 128, 128, 160, 160], vec![96, 128, 160, 160]));
    assert_eq!((sides(2), sides(1)), (vec![128, 160], vec![160]));
    assert!((recipe.share_of_pixels() - 2.0 / 3.0).abs() < 0.02);

    let folder = posters();
    let model = |line: &str| {
        let run = format!("run --overwrite --out run {SMALL} --experiment multi-label --dropout 0 {line}");
        done(folder.path(), &run);
        fs::read(folder.path().join("run/multi-label/model.safetensors")).unwrap()
    };
    let grown = model("--progressive 16,24x20 --epochs 3 --threads 1");
    assert_eq!(metadata(&folder.path().join("run/multi-label"))["model"]["input"], serde_json::json!([32, 32, 3]));
    let config = fs::read_to_string(folder.path().join("run/config.toml")).unwrap();
    assert!(config.contains("progressive = \"16,24x20\""), "{config}");
    done(folder.path(), "run --config run/config.toml --threads 3 --out again");
    assert!(fs::read(folder.path().join("again/multi-label/model.safetensors")).unwrap() == grown);
    assert!(model("--epochs 3") != grown);
    // An epoch alone is one at the size of the model.
    assert!(model("--progressive 16 --epochs 1") == model("--epochs 1"));
}

#[test]
fn help_lists_the_recipes_values() {
    let folder = tempfile::tempdir().unwrap();
    let help = done(folder.path(), "run --help");
    let values = |option: &str| {
        let line = help.lines().find(|line| line.split_whitespace().next() == Some(option) && !line.contains('<'));
        line.map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(values("Recipes:").unwrap(), ["best", "long", "patterns", "report"]);
    assert_eq!(values("--crop").unwrap(), ["0.6", "0.4", "0.5", "1"]);
    assert_eq!(values("--lr").unwrap(), ["0.002", "0.002", "0.0015", "0.001"]);
    let five = "32,64,128,256,256";
    assert_eq!(values("--filters").unwrap(), [five, five, five, "16,32,64"]);
    // Everything that a recipe holds is an option under that name.
    let listed = help.split("Recipes:").nth(1).unwrap().lines().skip(1).take_while(|line| !line.is_empty());
    let options: Vec<&str> = listed.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(options.len() > 20);
    for option in options {
        assert!(help.contains(&format!("      {option} <")), "{option}");
    }
}

#[test]
fn the_same_seed_gives_the_same_model_whatever_threads_and_source() {
    let folder = posters();
    let model = |more: &str| {
        let run = format!("run --overwrite --out run {SMALL} {REST} --experiment multi-label --epochs 1 {more}");
        done(folder.path(), &run).lines().find(|line| line.contains("sha256")).unwrap().to_owned()
    };
    let one = model("--threads 1");
    assert_eq!(one, model("--threads 3"));
    assert_ne!(one, model("--seed 2"));
    assert_ne!(one, model("--balance weights"));
    assert_ne!(one, model("--balance sampler"));
    let clipped = model("--clip-norm 0.01 --threads 1");
    assert_eq!(clipped, model("--clip-norm 0.01 --threads 3"));
    assert_ne!(one, clipped);
}

#[test]
fn training_starts_from_another_run_s_weights() {
    let folder = posters();
    done(folder.path(), &format!("run --out first {SMALL} --experiment multi-label --epochs 1"));
    // Numbers of weights: 3*3*3*4 + 4 and 3*3*4*8 + 8 of the convolutions, 4 per channel of the
    // batch norms; last, 8 * genres + genres of the dense layer.
    let below = 112 + 296 + 4 * 12;
    let genres = metadata(&folder.path().join("first/multi-label"))["genres"].as_array().unwrap().len();
    let started = |experiment: &str| {
        let line = format!(
            "run --out {experiment} {SMALL} --epochs 1 --experiment {experiment} --init-from first/multi-label"
        );
        let out = done(folder.path(), &line);
        let line = out.lines().find(|line| line.contains("of the weights start as those of")).unwrap().to_owned();
        line.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(started("single-genre"), below + 9 * genres);
    assert_eq!(started("top-6"), below, "its genres are others");
    let line = format!(
        "run --out other {SMALL} --filters 5,7 --dense 3 --experiment multi-label --init-from first/multi-label"
    );
    let (code, _, err) = train(folder.path(), &line);
    assert!(code == 3 && err.contains("first layer has another shape"), "{err}");
    assert!(!folder.path().join("other").exists(), "it is known before anything is done");

    // Layers are taken over up to the first that differs: those above it would see something else
    // than they have learned to.
    let started = |out: &str, filters: &str, from: &str| {
        let rest = format!("--experiment multi-label --epochs 1 --init-from {from}/multi-label");
        done(folder.path(), &format!("run --out {out} {SMALL} --filters {filters} {rest}"))
    };
    let out = started("deeper", "4,8,8", "first");
    assert!(out.contains("; afresh: conv2d_2, batch_normalization_2, dense\n"), "{out}");
    let out = started("narrower", "4,6,8", "deeper");
    let afresh = "conv2d_1, batch_normalization_1, conv2d_2, batch_normalization_2, dense";
    assert!(out.contains(&format!("; afresh: {afresh}\n")), "{out}");

    let line = format!("run --out first --overwrite {SMALL} --experiment multi-label --init-from first/multi-label");
    let (code, _, err) = train(folder.path(), &line);
    assert!(code == 2 && err.contains("is to be replaced, and --init-from needs its model"), "{err}");
    assert!(folder.path().join("first/multi-label/model.safetensors").exists(), "nothing is removed");
    let (code, _, err) = train(folder.path(), &format!("run --out none {SMALL} --init-from missing"));
    assert!(code == 3 && err.contains("no model.safetensors") && !folder.path().join("none").exists(), "{err}");
}

#[test]
fn the_later_experiments_of_a_run_start_from_the_first_one_s_weights() {
    let folder = posters();
    let models = |line: &str| -> Vec<String> {
        let out = done(folder.path(), &format!("run {SMALL} {line}"));
        out.lines().filter(|line| line.contains("sha256 ")).map(str::to_owned).collect()
    };
    let together = models("--out all");
    assert_eq!(together.len(), 3);
    assert_eq!(together[..1], models("--out first --experiment multi-label"));
    // The same step by step; top-6 is balanced unless asked otherwise.
    let from = "--epochs 1 --lr 5e-4 --init-from first/multi-label --experiment";
    assert_eq!(together[1..2], models(&format!("--out one {from} single-genre --balance none")));
    assert_eq!(together[2..], models(&format!("--out six {from} top-6 --balance sampler")));
    assert_ne!(together[2..], models(&format!("--out natural {from} top-6 --balance none")));
    let afresh = models("--out afresh --transfer 0");
    assert!(afresh[0] == together[0] && afresh[1] != together[1] && afresh[2] != together[2]);

    let (code, _, err) = train(folder.path(), &format!("run --out none {SMALL} --experiment top-6 --transfer 0.5"));
    assert!(code == 2 && err.contains("--init-from"), "{err}");
    // Where the first one starts elsewhere, the others still start from it.
    let started = models("--out started --init-from first/multi-label");
    assert_eq!(started[..1], models("--out second --experiment multi-label --init-from first/multi-label"));
    let from = "--epochs 1 --lr 5e-4 --init-from second/multi-label --experiment";
    assert_eq!(started[2..], models(&format!("--out sixth {from} top-6")));
}

#[test]
fn a_sweep_runs_each_trial_once_and_compares_them_on_val() {
    let folder = posters();
    let sweep = "sweep --data data --out sweep --vary \"lr=1e-3 1e-2\" --vary \"crop=0.5 1\"";
    let rest = "-- --recipe best --input 32 --filters 4 --epochs 1 --batch 16 --experiment top-6";
    let (code, _, err) = train(folder.path(), &format!("{sweep} --vary \"lrr=1\" {rest}"));
    assert!(code == 2 && err.contains("--lrr") && !folder.path().join("sweep").exists(), "{err}");

    let out = done(folder.path(), &format!("{sweep} --random 2 {rest}"));
    assert_eq!(out.matches("\ntrial ").count(), 2, "{out}");
    let rows = fs::read_to_string(folder.path().join("sweep/sweep.csv")).unwrap();
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let out = done(folder.path(), &format!("{sweep} {rest}"));
    assert_eq!((out.matches("\ntrial ").count(), out.matches("finished before").count()), (4, 2), "{out}");
    let rows = fs::read_to_string(folder.path().join("sweep/sweep.csv")).unwrap();
    let losses: Vec<f64> = rows.lines().skip(1).map(|row| row.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert!(losses.len() == 4 && losses.is_sorted() && rows.contains(",epoch,val_loss,"), "{rows}");
    let trial = folder.path().join("sweep/lr=1e-3 crop=1/top-6");
    assert!(trial.join("model.safetensors").exists());
    assert!(!trial.join("metrics.json").exists(), "the test films were not looked at");
    // A trial that only runs elsewhere is the same trial; one that runs something else is another,
    // and replaces the first only on request.
    let out = done(folder.path(), &format!("{} {rest} --threads 1", sweep.replace("--data data", "--data ./data/")));
    assert_eq!(out.matches("finished before").count(), 4, "{out}");
    let (code, _, err) = train(folder.path(), &format!("{sweep} {rest} --limit 1"));
    assert!(code == 2 && err.contains("a trial of other options has finished there"), "{err}");
    // A trial that is being replaced counts as unfinished from the moment that it begins.
    let (code, _, err) = train(folder.path(), &format!("{sweep} {rest} --limit 1 --overwrite"));
    assert!(code == 3 && !folder.path().join("sweep/lr=1e-3 crop=0.5/trial.toml").exists(), "{err}");
    assert!(folder.path().join("sweep/lr=1e-3 crop=1/trial.toml").exists());
    let out = done(folder.path(), &format!("{sweep} --minutes 0 {rest} --seed 2 --overwrite"));
    assert!(out.contains("4 trials were not begun"), "{out}");
}

#[test]
fn a_sweep_s_mistakes_end_it_before_it_begins() {
    let folder = posters();
    let rest = "-- --input 32 --filters 4 --epochs 1 --batch 16 --experiment top-6";
    let many = ["seed", "dropout", "lr"].map(|option| format!("--vary \"{option}={}\"", "1 ".repeat(128))).join(" ");
    for (line, part) in [
        (format!("--random 2 {many} {rest}"), "the grid has 2097152 points, and 1048576 are the most"),
        (format!("--vary \"optimizer=adam sgd\" --vary \"momentum=0 0.9\" {rest}"), "are of sgd"),
        (format!("--vary \"filters=4 4,4,4,4,4,4\" {rest}"), "filters=4,4,4,4,4,4: "),
        (format!("--vary \"seed=1 2 1\" {rest}"), "two trials are called seed=1"),
        (format!("--vary \"data=data other\" {rest}"), "a sweep for each"),
        (format!("--vary \"views=one flip\" {rest}"), "does not change"),
        (format!("--vary \"monitor=ap auc\" {rest}"), "all trials by one metric"),
        (format!("--vary \"lr=1e-3\" {rest} --out elsewhere"), "before the --"),
    ] {
        let (code, _, err) = train(folder.path(), &format!("sweep --data data --out sweep {line}"));
        assert!(code == 2 && err.contains(part) && !folder.path().join("sweep").exists(), "{code} {err}");
    }
}

#[test]
fn a_trial_that_diverged_has_finished() {
    let folder = posters();
    let sweep = "sweep --data data --out sweep --vary \"lr=1e-3 1e30\" -- --recipe best --input 32 --filters 4 --epochs 1 \
                 --batch 16 --experiment top-6 --optimizer sgd";
    for times in [0, 2] {
        let out = done(folder.path(), sweep);
        assert_eq!(out.matches("finished before").count(), times, "{out}");
        assert!(out.lines().any(|line| line.starts_with("lr=1e30: the loss became ")), "{out}");
        assert_eq!(fs::read_to_string(folder.path().join("sweep/sweep.csv")).unwrap().lines().count(), 2);
    }
}

#[test]
fn options_that_nothing_would_use_are_refused() {
    let folder = posters();
    for (options, part) in [
        ("--experiment multi-label --balance undersample", "top-6"),
        ("--experiment single-genre --tune-thresholds true", "multi-label"),
        ("--optimizer sgd --nesterov", "--momentum"),
        ("--seed 9223372036854775808", "--seed"),
        ("--nesterov", "of sgd"),
        ("--plateau-factor 0.5", "add --plateau N"),
        ("--plateau 3 --plateau-factor 1", "below 1"),
        ("--plateau 3 --patience 3", "more epochs for --patience"),
        ("--keep last --monitor auc", "--keep best, --patience or --plateau"),
        ("--clip-norm -1", "negative"),
    ] {
        let (code, _, err) = train(folder.path(), &format!("run --out none {SMALL} {options}"));
        assert!(code == 2 && err.contains(part) && !folder.path().join("none").exists(), "{options}: {err}");
    }
}

#[test]
fn posters_that_do_not_decode_are_told_by_every_run() {
    let folder = posters();
    let data = folder.path().join("data");
    let some = data.join("posters/1000001.jpg");
    let whole = fs::read(&some).unwrap();
    fs::write(&some, &whole[..whole.len() / 2]).unwrap();
    let run = |more: &str| {
        let line = format!("run --overwrite --out run {SMALL} --experiment multi-label --epochs 1 {more}");
        (train(folder.path(), &line), fs::read_to_string(folder.path().join("run/ledger.json")).unwrap_or_default())
    };
    let ((code, first, _), ledger) = run("");
    assert!(code == 0 && ledger.contains("1000001.jpg"), "{ledger}");
    let ((code, again, err), same) = run("");
    assert!(code == 0 && same == ledger && again.contains("are used again"), "{err}{again}{same}");
    let ((code, ..), _) = run("--on-bad-image fail");
    assert_eq!(code, 3);
    // A mended poster, and then other genres, each change the films of the run.
    fs::write(&some, &whole).unwrap();
    let ((code, mended, _), _) = run("");
    let films = |out: &str| out.lines().find(|line| line.contains("films to train")).unwrap().to_owned();
    assert!(code == 0 && films(&mended) != films(&first), "{mended}");
    let labels = fs::read_to_string(data.join("genres.csv")).unwrap();
    let fewer = labels.lines().take(200).collect::<Vec<_>>().join("\n");
    fs::write(data.join("genres.csv"), fewer).unwrap();
    let ((code, fewer, err), _) = run("");
    assert!(code == 0 && films(&fewer) != films(&mended), "{fewer}{err}");
}

#[test]
fn a_side_without_a_poster_that_decodes_is_an_error() {
    let folder = posters();
    let line = format!("run --out whole {SMALL} --experiment multi-label --epochs 1");
    done(folder.path(), &line);
    for side in ["val", "test"] {
        let frame = fs::read_to_string(folder.path().join(format!("whole/frames/multi-label/{side}.csv"))).unwrap();
        let posters: Vec<PathBuf> = frame
            .lines()
            .skip(1)
            .map(|row| folder.path().join("data/posters").join(row.split(',').next().unwrap()))
            .collect();
        let whole: Vec<Vec<u8>> = posters.iter().map(|poster| fs::read(poster).unwrap()).collect();
        posters.iter().for_each(|poster| fs::write(poster, "no poster").unwrap());
        let line = SMALL.replace("--cache cache", "--no-cache");
        let (code, out, err) =
            train(folder.path(), &format!("run --out {side} {line} --experiment multi-label --epochs 1"));
        let none = if side == "val" { "0 to validate" } else { "0 to test" };
        assert!(code == 3 && err.contains(none), "{out}{err}");
        posters.iter().zip(whole).for_each(|(poster, bytes)| fs::write(poster, bytes).unwrap());
    }
}

/// The numbers in a column of an experiment's `history.csv`.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let mut rows = csv::Reader::from_path(run.join("history.csv")).unwrap();
    let at = rows.headers().unwrap().iter().position(|column| column == name).unwrap();
    rows.records().map(|row| row.unwrap()[at].parse().unwrap()).collect()
}

#[test]
fn a_training_slows_down_and_ends_where_it_gets_no_better() {
    let folder = posters();
    // Steps so small that only the statistics of the batches move.
    let line = "--experiment multi-label --epochs 12 --lr 1e-7 --warmup 0 --schedule constant --bn-momentum 0.5 \
                --monitor loss --plateau 1 --plateau-factor 0.5 --patience 2 --clip-norm 1";
    let out = done(folder.path(), &format!("run --out run {SMALL} {line}"));
    let run = folder.path().join("run/multi-label");
    let (losses, rates) = (column(&run, "val_loss"), column(&run, "learning_rate"));
    let epochs = losses.len();
    let better: Vec<usize> = (0..epochs).filter(|&at| losses[..at].iter().all(|before| losses[at] < *before)).collect();
    assert!(epochs < 12 && epochs == better.last().unwrap() + 3, "two epochs after the best: {losses:?}");
    for at in 1..epochs {
        let expected = if better.contains(&(at - 1)) { rates[at - 1] } else { rates[at - 1] / 2.0 };
        assert!((rates[at] / expected - 1.0).abs() < 1e-6, "{rates:?} for {losses:?}");
    }
    let falls = (1..epochs).filter(|&at| rates[at] < rates[at - 1]).count();
    assert!(falls > 0 && rates[0] == 1e-7, "{rates:?}");
    let notes = "epochs without a better one (lowest loss on val): ";
    assert_eq!(out.matches(&format!("learning rate times 0.5; {notes}1")).count(), falls, "{out}");
    assert_eq!(out.matches(&format!("the training ends here; {notes}2")).count(), 1, "{out}");
    let meta = metadata(&run);
    let best = "lowest loss on val";
    assert_eq!((meta["epoch"].as_u64(), &meta["best"]), (Some(*better.last().unwrap() as u64 + 1), &best.into()));
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    for line in ["monitor = \"loss\"", "plateau = 1", "plateau_factor = 0.5", "patience = 2", "clip_norm = 1.0"] {
        assert!(config.contains(line), "{line}: {config}");
    }
}
