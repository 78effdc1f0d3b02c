use std::fs::{self, File};

use onesheet::nn::Head;
use onesheet::report::{
    Comparison, Epoch, Evaluation, Metrics, Monitor, Predictions, Record, Stage, Table, columns, read_history,
    read_metrics, short, write_history, write_metrics, write_predictions,
};
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

fn genres(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Three films over four genres, of which Western has none.
fn evaluation(genres: &[String]) -> Evaluation<'_> {
    Evaluation {
        experiment: "multi-label",
        split: "test",
        head: Head::Sigmoid,
        genres,
        probabilities: &[0.75, 0.25, 0.5, 0.1, 0.2, 0.2, 0.2, 0.2, 0.1, 0.3, 0.9, 0.0],
        labels: &[1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        loss: 0.4375,
        thresholds: None,
    }
}

#[test]
fn metrics_json_has_the_documented_keys_in_order_and_reads_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.json");
    let genres = genres(&["Action", "Comedy", "Drama", "Western"]);
    let metrics = Metrics::of(&evaluation(&genres)).unwrap();
    write_metrics(&path, &metrics).unwrap();
    let text = fs::read_to_string(&path).unwrap();

    let keys_at = |indent: &str| -> Vec<String> {
        let keys = text.lines().filter_map(|line| line.strip_prefix(indent)?.strip_prefix('"')?.split_once("\": "));
        keys.map(|(key, _)| key.to_string()).collect()
    };
    let top = "experiment split films genres loss thresholds top1_hit top3_hit macro_ap weighted_ap macro_auc weighted_auc \
               micro_f1 macro_f1 hamming_accuracy subset_accuracy categorical_accuracy balanced_accuracy intervals baselines per_genre";
    assert_eq!(keys_at("  ").join(" "), top);
    let baselines = "constant_top1_hit constant_top3_hit all_zeros_hamming_accuracy chance_macro_ap chance_weighted_ap";
    assert_eq!(keys_at("    ").join(" "), baselines);
    assert_eq!(keys_at("      ").join(" "), ["genre support ap auc precision recall f1"; 4].join(" "));

    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["films"], 3);
    assert_eq!(json["genres"], serde_json::json!(["Action", "Comedy", "Drama", "Western"]));
    assert_eq!(json["categorical_accuracy"], serde_json::Value::Null);
    assert_eq!(json["per_genre"][3]["ap"], serde_json::Value::Null);
    assert_eq!(json["macro_ap"].as_f64(), metrics.macro_ap);
    assert_eq!(json["loss"].as_f64(), Some(0.4375));
}

#[test]
fn history_has_a_row_an_epoch_and_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.csv");
    let genres = genres(&["Action", "Comedy", "Drama", "Western"]);
    let val = Metrics::of(&evaluation(&genres)).unwrap();
    let without_auc = Metrics { macro_auc: None, ..val.clone() };
    let epochs =
        [Epoch::new(1, 0.625, &val, 2e-3, 400, 8.0, 0.5), Epoch::new(2, 0.5, &without_auc, 1e-4, 400, 4.0, 0.0)];

    let rows = [
        "epoch,train_loss,val_loss,val_top1_hit,val_top3_hit,val_macro_ap,val_macro_auc,learning_rate,seconds,images_per_second,waiting\n",
        &format!(
            "1,0.625,0.4375,{:?},1.0,{:?},{:?},0.002,8.0,50.0,0.0625\n",
            1.0 / 3.0,
            val.macro_ap.unwrap(),
            2.0 / 3.0
        ),
        &format!("2,0.5,0.4375,{:?},1.0,{:?},,0.0001,4.0,100.0,0.0\n", 1.0 / 3.0, val.macro_ap.unwrap()),
    ];
    for so_far in 1..=2 {
        write_history(&path, &epochs[..so_far]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), rows[..=so_far].concat());
    }
}

#[test]
fn predictions_list_the_truth_the_three_most_probable_genres_and_all_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    let genres = genres(&["Action", "Comedy", "Drama", "Western"]);
    write_predictions(&path, &[1000001, 7, 42], &evaluation(&genres)).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "id,true_genres,genre_1,probability_1,genre_2,probability_2,genre_3,probability_3,\
         p_Action,p_Comedy,p_Drama,p_Western\n\
         1000001,Action|Drama,Action,0.75,Drama,0.5,Comedy,0.25,0.75,0.25,0.5,0.1\n\
         7,Drama,Action,0.2,Comedy,0.2,Drama,0.2,0.2,0.2,0.2,0.2\n\
         42,Comedy,Drama,0.9,Comedy,0.3,Action,0.1,0.1,0.3,0.9,0\n"
    );
}

#[test]
fn two_genres_give_two_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    let genres = genres(&["Comedy", "Drama"]);
    let evaluation = Evaluation {
        experiment: "top-6",
        split: "test",
        head: Head::Softmax,
        genres: &genres,
        probabilities: &[0.25, 0.75],
        labels: &[1.0, 0.0],
        loss: 1.5,
        thresholds: None,
    };
    write_predictions(&path, &[5], &evaluation).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let head = "id,true_genres,genre_1,probability_1,genre_2,probability_2,p_Comedy,p_Drama";
    assert_eq!(text, format!("{head}\n5,Comedy,Drama,0.75,Comedy,0.25,0.25,0.75\n"));
}

#[test]
fn the_table_sets_each_result_above_its_trivial_answer() {
    let genres = genres(&["Action", "Comedy", "Drama", "Western"]);
    let multi_label = Metrics::of(&evaluation(&genres)).unwrap();
    let top_6 = Metrics { experiment: "top-6".into(), films: 12345, macro_auc: None, ..multi_label.clone() };
    let table = Table(&[multi_label, top_6]).to_string();
    assert_eq!(
        table,
        "              multi-label  top-6
films         3            12345
top-1 hit     33.3%        33.3%
  constant    66.7%        66.7%
top-3 hit     100.0%       100.0%
  constant    100.0%       100.0%
macro AP      0.861        0.861
  chance      0.444        0.444
weighted AP   0.792        0.792
  chance      0.500        0.500
macro AUC     0.667        n/a
  chance      0.500        n/a
weighted AUC  0.500        0.500
  chance      0.500        0.500
loss          0.438        0.438
weighted: the mean over the genres, each counting by its films; macro: all alike
rough, on fewer than 100 films: multi-label
"
    );
}

#[test]
fn intervals_stand_beside_the_results_and_three_experiments_fit_80_columns() {
    let genres = genres(&["Action", "Comedy", "Drama", "Western"]);
    let multi_label = Metrics::with_intervals(&evaluation(&genres)).unwrap();
    let intervals = multi_label.intervals.clone().unwrap();
    let single_genre = Metrics { experiment: "single-genre".into(), ..multi_label.clone() };
    let top_6 = Metrics { experiment: "top-6".into(), ..multi_label.clone() };
    let table = Table(&[multi_label, single_genre, top_6]).to_string();
    let [low, high] = intervals.macro_ap.unwrap();
    assert!(table.contains(&format!("0.861 [{low:.3}, {high:.3}]")), "{table}");
    let [low, high] = intervals.top1_hit;
    assert!(table.contains(&format!("33.3% [{:.1}, {:.1}]", 100.0 * low, 100.0 * high)), "{table}");
    assert!(table.contains("95 % intervals"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn tables_cut_long_names_and_escape_what_a_terminal_would_obey() {
    let mut metrics = Metrics::of(&evaluation(&genres(&["Action", "Comedy", "Drama", "Western"]))).unwrap();
    metrics.experiment = "\u{1b}]52;c;AAAA\u{7}".repeat(100_000);
    let table = Table(&[metrics]).to_string();
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(!table.contains('\u{1b}') && !table.contains('\u{7}'), "{table}");
    assert_eq!(short("Science Fiction", 40), "Science Fiction");
    assert_eq!(short("Science Fiction", 10), "Science...");
    let wide = columns(vec!["a".into(), "b".into()], vec![vec!["1".into(), "x y ".repeat(60)]], &[1]);
    assert!(wide.lines().all(|line| line.chars().count() <= 80) && wide.lines().count() > 3, "{wide}");
}

#[test]
fn an_epoch_s_line_fits_80_columns_and_marks_the_best() {
    let val = Metrics::of(&evaluation(&genres(&["Action", "Comedy", "Drama", "Western"]))).unwrap();
    let epoch = Epoch::new(12, 0.625, &val, 2e-3, 400, 12.3, 0.5);
    let line = epoch.line(true);
    assert_eq!(line, "epoch 12  loss 0.6250  val 0.4375  AP 0.861  top-1 33.3%  lr 2.0e-3  12 s  best");
    assert!(line.len() <= 80);
    assert!(!epoch.line(false).contains("best"));
    let slow = Epoch::new(12, 0.625, &val, 2e-3, 400, 12.0, 6.0);
    assert!(slow.line(false).ends_with("12 s  50% waiting for posters"), "{}", slow.line(false));
}

#[test]
fn a_genre_that_a_spreadsheet_would_calculate_is_text_in_the_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    let genres = genres(&["=1+1", "@SUM(A1)", "Drama", "-Western"]);
    write_predictions(&path, &[1000001, 7, 42], &evaluation(&genres)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("1000001,'=1+1|Drama,'=1+1,0.75,Drama,0.5,'@SUM(A1),0.25,0.75,0.25,0.5,0.1\n"), "{text}");
}

/// Names of genres that CSV, spreadsheets and readers of columns stumble over.
const ODD_NAMES: [&str; 9] =
    ["=1+1", "'=1+1", "'60s", "p_Drama", "probability_1", "a, \"b\"", "-Western", " Drama", "id"];

/// Probabilities and labels of some films over some genres.
fn answers() -> impl Strategy<Value = (usize, Vec<f32>, Vec<bool>)> {
    (1..=ODD_NAMES.len(), 1..20_usize).prop_flat_map(|(classes, films)| {
        let count = classes * films;
        (Just(classes), prop::collection::vec(0.0..=1.0f32, count), prop::collection::vec(any::<bool>(), count))
    })
}

proptest! {
    #![proptest_config(crate::common::cases(40))]

    #[test]
    fn what_was_written_reads_back_as_the_same_numbers((classes, probabilities, labels) in answers()) {
        let folder = tempfile::tempdir().unwrap();
        let (csv, json) = (folder.path().join("predictions.csv"), folder.path().join("metrics.json"));
        let genres = genres(&ODD_NAMES[..classes]);
        let labels: Vec<f32> = labels.into_iter().map(f32::from).collect();
        let ids: Vec<u64> = (0..(labels.len() / classes) as u64).map(|film| film * 7 + 1).collect();
        let evaluation = Evaluation {
            experiment: "multi-label",
            split: "test",
            head: Head::Sigmoid,
            genres: &genres,
            probabilities: &probabilities,
            labels: &labels,
            loss: f64::from(probabilities[0]) / 3.0,
            thresholds: None,
        };
        write_predictions(&csv, &ids, &evaluation).unwrap();
        let read = Predictions::read(&csv).unwrap();
        prop_assert_eq!(&read, &Predictions { genres: genres.clone(), ids, probabilities: probabilities.clone(), labels: labels.clone() });
        let metrics = Metrics::with_intervals(&evaluation).unwrap();
        write_metrics(&json, &metrics).unwrap();
        prop_assert_eq!(read_metrics(&json).unwrap(), metrics);
    }
}

#[test]
fn predictions_that_are_none_are_refused_with_their_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    let head = "id,true_genres,genre_1,probability_1,genre_2,probability_2,p_Comedy,p_Drama\n";
    let good = "5,Comedy,Drama,0.75,Comedy,0.25,0.25,0.75\n";
    let refusal = |rows: &str| {
        fs::write(&path, format!("{head}{rows}")).unwrap();
        Predictions::read(&path).unwrap_err().to_string()
    };
    fs::write(&path, format!("{head}{good}")).unwrap();
    assert_eq!(Predictions::read(&path).unwrap().labels, [1.0, 0.0]);
    for (rows, what) in [
        ("x,Comedy,Drama,0.75,Comedy,0.25,0.25,0.75\n", "row 3: `x` is no film's number"),
        ("6,Comedy|War,Drama,0.75,Comedy,0.25,0.25,0.75\n", "row 3: `War` is no genre of this file"),
        ("6,Comedy,Drama,0.75,Comedy,0.25,1.25,0.75\n", "row 3: `1.25` is no probability"),
        ("6,Comedy,Drama,0.75,Comedy,0.25,NaN,0.75\n", "row 3: `NaN` is no probability"),
        ("6,Comedy\n", "row 3: 2 fields instead of 8"),
        (good, "film 5 is there twice"),
    ] {
        let error = refusal(&format!("{good}{rows}"));
        assert!(error.contains(what), "{error}");
    }
    assert!(refusal("").contains("it has no films"));
    fs::write(&path, "id,true_genres,genre_1,probability_1\n5,Comedy,Comedy,0.5\n").unwrap();
    let error = Predictions::read(&path).unwrap_err().to_string();
    assert!(error.contains("row 1: the columns are not those of predictions with the probability of every"), "{error}");
    File::create(&path).unwrap().set_len((4 << 30) + 1).unwrap();
    assert!(Predictions::read(&path).unwrap_err().to_string().contains("it has more than 4 GiB"));
}

#[test]
fn predictions_of_another_program_are_read_by_the_names_of_their_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    fs::write(&path, "p_Drama,true_genres,note,p_Comedy,id\n0.75,Comedy|Drama,x,0.250001,7\n1e-3,,y,1,5\n").unwrap();
    let read = Predictions::read(&path).unwrap();
    let expected = Predictions {
        genres: genres(&["Drama", "Comedy"]),
        ids: vec![7, 5],
        probabilities: vec![0.75, 0.250001, 1e-3, 1.0],
        labels: vec![1.0, 1.0, 0.0, 0.0],
    };
    assert_eq!(read, expected);
    fs::write(&path, "id,true_genres,p_Drama,p_Drama\n5,Drama,0.5,0.5\n").unwrap();
    let error = Predictions::read(&path).unwrap_err().to_string();
    assert!(error.contains("row 1: the column `p_Drama` is there twice"), "{error}");
}

/// Answers on films over three genres, a film of each in turn; every `wrong`th answer is of the next
/// genre.
fn predictions(ids: std::ops::Range<u64>, wrong: u64) -> Predictions {
    let genre = |id: u64| (id % 3) as usize;
    let named = |id: u64| if id.is_multiple_of(wrong) { (genre(id) + 1) % 3 } else { genre(id) };
    let rows = |of: &dyn Fn(u64, usize) -> f32| ids.clone().flat_map(|id| [of(id, 0), of(id, 1), of(id, 2)]).collect();
    Predictions {
        genres: genres(&["Action", "Comedy", "Drama"]),
        probabilities: rows(&|id, at| {
            if at == named(id) { 0.5 + (id % 7) as f32 / 16.0 } else { (id % 5) as f32 / 16.0 }
        }),
        labels: rows(&|id, at| f32::from(at == genre(id))),
        ids: ids.collect(),
    }
}

fn compared(a: &Predictions, b: &Predictions) -> onesheet::Result<Comparison> {
    Comparison::of(("a.csv".as_ref(), a), ("b.csv".as_ref(), b))
}

#[test]
fn a_comparison_tells_a_better_model_from_one_that_is_as_good() {
    let (worse, better) = (predictions(1..400, 4), predictions(1..400, 8));
    let comparison = compared(&worse, &better).unwrap();
    assert_eq!((comparison.films, comparison.films_left_out), (399, [0, 0]));
    let names: Vec<&str> = comparison.differences.iter().map(|of| of.metric).collect();
    let expected = "top1_hit top3_hit macro_ap weighted_ap macro_auc weighted_auc balanced_accuracy";
    assert_eq!(names.join(" "), expected);
    for of in comparison.differences.iter().filter(|of| of.metric != "top3_hit") {
        assert!(of.difference == of.b - of.a && of.difference > 0.05, "{of:?}");
        assert!(0.0 < of.interval[0] && of.interval[0] < of.difference && of.difference < of.interval[1], "{of:?}");
        assert!(of.b_is_better > 0.99, "{of:?}");
    }
    // Hits in three of three genres are certain.
    assert_eq!((comparison.differences[1].interval, comparison.differences[1].b_is_better), ([0.0; 2], 0.5));
    // Of the films, 49 are answered better: a share of n films has the variance p (1 - p) / n.
    let [low, high] = comparison.differences[0].interval;
    let width = 2.0 * 1.96 * (49.0 / 399.0 * (350.0 / 399.0) / 399.0_f64).sqrt();
    assert!((high - low - width).abs() < 0.1 * width, "{low} {high}, expected {width}");
    assert_eq!(compared(&worse, &better).unwrap(), comparison, "the same draws each time");

    let turned = compared(&better, &worse).unwrap();
    for (of, turned) in comparison.differences.iter().zip(&turned.differences) {
        assert!(turned.difference == -of.difference && (turned.b_is_better + of.b_is_better - 1.0).abs() < 1e-12);
    }
    // As many answers of each are wrong, of other films.
    let mut other = worse.clone();
    let film = |id: usize| 3 * (id - 1)..3 * id;
    for id in (4..399).step_by(4) {
        let (wrong, right) = (film(id), film(id - 3));
        for (to, from) in [(wrong.clone(), 0.0), (right, 1.0)] {
            let shift = usize::from(from == 1.0);
            let own = (0..3).find(|at| worse.labels[to.start + at] == 1.0).unwrap();
            let named = (own + shift) % 3;
            to.clone().enumerate().for_each(|(at, i)| other.probabilities[i] = if at == named { 0.75 } else { 0.125 });
        }
    }
    let equal = compared(&worse, &other).unwrap().differences[0];
    assert!(equal.difference.abs() < 0.01 && equal.interval[0] < 0.0 && equal.interval[1] > 0.0, "{equal:?}");
    assert!((0.2..0.8).contains(&equal.b_is_better), "{equal:?}");
}

#[test]
fn models_are_compared_on_what_both_know() {
    let a = predictions(1..60, 4);
    let mut b = predictions(20..90, 8);
    b.genres = genres(&["Horror", "Comedy", "Drama"]);
    b.ids.reverse();
    let turned = |values: &[f32]| values.chunks(3).rev().flatten().copied().collect();
    (b.probabilities, b.labels) = (turned(&b.probabilities), turned(&b.labels));
    let comparison = compared(&a, &b).unwrap();
    assert_eq!((comparison.films, comparison.films_left_out), (40, [19, 30]));
    assert_eq!(comparison.genres, ["Comedy", "Drama"]);
    assert_eq!(comparison.genres_left_out, [vec!["Action".to_owned()], vec!["Horror".to_owned()]]);
    let text = comparison.to_string();
    for line in [
        "on 40 films and 2 genres, 10000 paired resamples of the films\n",
        "left out: 19 films that only A has\n",
        "left out: 30 films that only B has\n",
        "left out: genres that only B knows: Horror\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let error = |b: &Predictions| compared(&a, b).unwrap_err().to_string();
    assert!(error(&predictions(100..120, 4)).contains("b.csv: it has no film in common with a.csv; compare"));
    let other = Predictions { genres: genres(&["x", "y", "z"]), ..a.clone() };
    assert!(error(&other).contains("b.csv: it has no genre in common with a.csv"));
    let mut other = a.clone();
    other.labels.swap(4, 5);
    assert!(error(&other).contains("b.csv: film 2 has other genres than in a.csv"), "{}", error(&other));
}

#[test]
fn a_history_reads_back_and_a_broken_one_is_refused_with_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.csv");
    let genres = genres(&["Action", "Comedy", "Drama", "Western"]);
    let val = Metrics { macro_auc: None, ..Metrics::of(&evaluation(&genres)).unwrap() };
    let epochs = [1, 2].map(|epoch| Epoch::new(epoch, 1.0 / 3.0, &val, 1e-3, 7, 0.1, 0.02));
    write_history(&path, &epochs).unwrap();
    assert_eq!(read_history(&path).unwrap(), epochs);

    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\n2,", "\ntwo,")).unwrap();
    let error = read_history(&path).unwrap_err().to_string();
    assert!(error.contains("history.csv, row 3: field 0: invalid digit"), "{error}");
    fs::write(&path, text.replace("\n2,", "\n3,")).unwrap();
    let error = read_history(&path).unwrap_err().to_string();
    assert!(error.contains("history.csv, row 3: epoch 3 where 2 comes next"), "{error}");
    fs::write(&path, text.lines().next().unwrap()).unwrap();
    assert!(read_history(&path).unwrap_err().to_string().contains("it has no epoch"));
    fs::write(folder.path().join("metrics.json"), "{\n\"films\": tree}").unwrap();
    let error = read_metrics(&folder.path().join("metrics.json")).unwrap_err().to_string();
    assert!(error.contains("metrics.json, row 2: "), "{error}");
    let json = folder.path().join("metrics.json");
    write_metrics(&json, &Metrics { thresholds: Some(vec![0.5]), ..val.clone() }).unwrap();
    assert!(read_metrics(&json).unwrap_err().to_string().contains("it has 4 genres, and figures of 1"));
    write_metrics(&json, &Metrics { per_genre: Vec::new(), ..val }).unwrap();
    assert!(read_metrics(&json).unwrap_err().to_string().contains("it has 4 genres, and figures of 0"));
}

#[test]
fn a_record_names_the_machine_and_the_time_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let begun = SystemTime::UNIX_EPOCH + Duration::from_millis(1_792_422_769_900);
    let stages = vec![Stage { name: "training".into(), seconds: 1.0 / 3.0 }];
    let record = Record::new(
        onesheet::nn::Isa::available()[0],
        onesheet::nn::Precision::Bf16,
        3,
        begun,
        "ab".repeat(32),
        stages,
    );
    assert_eq!((&*record.started, record.threads), ("2026-10-19T15:12:49Z", 3));
    assert!(!record.processor.is_empty() && record.cores > 0);
    record.write(&path).unwrap();
    assert_eq!(Record::read(&path).unwrap(), record);

    // Those of versions before have no precision: they multiplied in f32.
    let text = fs::read_to_string(&path).unwrap();
    let before = text.lines().filter(|line| !line.contains("precision")).collect::<Vec<_>>().join("\n");
    assert!(before.len() < text.trim_end().len());
    fs::write(&path, before).unwrap();
    assert_eq!(Record::read(&path).unwrap().precision, onesheet::nn::Precision::F32);
}

#[test]
fn epochs_are_compared_by_the_metric_that_is_asked_for() {
    let val = Metrics::of(&evaluation(&genres(&["Action", "Comedy", "Drama", "Western"]))).unwrap();
    let epoch = Epoch::new(1, 0.625, &val, 2e-3, 400, 8.0, 0.5);
    let (ap, auc) = (val.macro_ap.unwrap(), val.macro_auc.unwrap());
    for (monitor, score, best) in [
        (Monitor::Loss, -0.4375, "lowest loss on val"),
        (Monitor::Ap, ap, "highest macro AP on val"),
        (Monitor::Auc, auc, "highest macro AUC on val"),
        (Monitor::Top1, 1.0 / 3.0, "highest top-1 hit rate on val"),
        (Monitor::Top3, 1.0, "highest top-3 hit rate on val"),
    ] {
        for head in [Head::Sigmoid, Head::Softmax] {
            assert_eq!((epoch.score(monitor, head), monitor.best(head)), (score, best), "{monitor:?}");
        }
    }
    let auto = |head| (epoch.score(Monitor::Auto, head), Monitor::Auto.best(head));
    assert_eq!(auto(Head::Sigmoid), (ap, Monitor::Ap.best(Head::Sigmoid)));
    assert_eq!(auto(Head::Softmax), (-0.4375, Monitor::Loss.best(Head::Softmax)));
}
