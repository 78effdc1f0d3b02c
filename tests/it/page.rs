//! The reports: whole, well-formed, readable by all, safe whatever the names are, and asking nobody
//! for anything.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::data::jpeg;
use onesheet::classifier::{Classifier, Meta};
use onesheet::data::transform::Views;
use onesheet::nn::{Head, Isa, ModelSpec, Padding, Precision, Sequential};
use onesheet::page;
use onesheet::report::{Epoch, Evaluation, Metrics, Record, Stage, write_history, write_metrics, write_predictions};
use scraper::{ElementRef, Html, Selector};
use tempfile::TempDir;

/// The most bytes of a report.
const MOST_BYTES: u64 = 5 << 20;

fn isa() -> Isa {
    Isa::available()[0]
}

/// A run of one experiment, as `train run` leaves it.
struct Made {
    folder: TempDir,
    experiment: PathBuf,
}

/// What differs between the runs of the tests.
struct Case<'a> {
    experiment: &'a str,
    head: Head,
    genres: Vec<String>,
    films: usize,
    epochs: usize,
    posters: bool,
}

impl Default for Case<'_> {
    fn default() -> Self {
        let genres = ["Action", "Comedy", "Drama", "Western"].map(str::to_owned).to_vec();
        Self { experiment: "multi-label", head: Head::Sigmoid, genres, films: 24, epochs: 3, posters: true }
    }
}

impl Case<'_> {
    fn make(&self) -> Made {
        let &Self { experiment: name, head, ref genres, films, epochs, posters } = self;
        let folder = tempfile::tempdir().unwrap();
        let (run, data) = (folder.path().join("run"), folder.path().join("data"));
        let experiment = run.join(name);
        fs::create_dir_all(&experiment).unwrap();
        fs::create_dir_all(data.join("posters")).unwrap();
        let ids: Vec<u64> = (0..films as u64).map(|film| 100 + film).collect();
        for id in ids.iter().filter(|_| posters) {
            fs::write(data.join(format!("posters/{id}.jpg")), jpeg(*id, 40, 60)).unwrap();
        }

        let classes = genres.len();
        let input = ModelSpec::input(&[16, 16, 3]);
        let input = if head == Head::Softmax { input.space_to_depth(2) } else { input };
        let spec = input.conv2d(4, 3, Padding::Same).relu().global_average_pool2d().dense(classes);
        let thresholds = (head == Head::Sigmoid).then(|| vec![0.4; classes]);
        let meta = Meta {
            experiment: name.into(),
            head,
            genres: genres.clone(),
            max_genres: 3,
            epoch: Some(epochs),
            best: Some("lowest loss on val".into()),
            thresholds: thresholds.clone(),
            views: Views::Flip,
        };
        let classifier = Classifier { meta, network: Sequential::build(spec, isa(), 1).unwrap(), others: Vec::new() };
        let sha256 = classifier.save(&experiment.join("model.safetensors")).unwrap();

        // The last genre has no films, where there are several.
        let with_films = classes.saturating_sub(1).max(1);
        let label = |film: usize, genre: usize| {
            let second = head == Head::Sigmoid && film.is_multiple_of(3) && genre == (film + 1) % with_films;
            f32::from(u8::from(genre == film % with_films || second))
        };
        let pairs = || (0..films).flat_map(|film| (0..classes).map(move |genre| (film, genre)));
        let labels: Vec<f32> = pairs().map(|(film, genre)| label(film, genre)).collect();
        let raw = |film: usize, genre: usize| ((film * 31 + genre * 17) % 23) as f32 / 40.0 + 0.3 * label(film, genre);
        let sum = |film: usize| (0..classes).map(|genre| raw(film, genre)).sum::<f32>().max(1e-3);
        let probabilities: Vec<f32> = pairs()
            .map(|(film, genre)| if head == Head::Softmax { raw(film, genre) / sum(film) } else { raw(film, genre) })
            .collect();
        let evaluation = Evaluation {
            experiment: name,
            split: "test",
            head,
            genres,
            probabilities: &probabilities,
            labels: &labels,
            loss: 0.5,
            thresholds: thresholds.as_deref(),
        };
        let metrics = Metrics::with_intervals(&evaluation).unwrap();
        write_metrics(&experiment.join("metrics.json"), &metrics).unwrap();
        write_predictions(&experiment.join("predictions.csv"), &ids, &evaluation).unwrap();
        let history: Vec<Epoch> =
            (1..=epochs).map(|epoch| Epoch::new(epoch, 1.0 / epoch as f64, &metrics, 1e-3, 100, 2.0, 0.1)).collect();
        write_history(&experiment.join("history.csv"), &history).unwrap();
        let stages = ["training", "test films"].map(|name| Stage { name: name.into(), seconds: 1.5 }).to_vec();
        Record::new(isa(), Precision::F32, 2, SystemTime::UNIX_EPOCH, sha256, stages)
            .write(&experiment.join("run.json"))
            .unwrap();
        let mut options = toml::Table::new();
        options.insert("data".into(), data.display().to_string().into());
        options.insert("learning_rate".into(), 0.002.into());
        let mut config = toml::Table::new();
        config.insert("onesheet".into(), "0.1.0".into());
        config.insert("experiment".into(), name.into());
        config.insert("options".into(), options.into());
        fs::write(experiment.join("config.toml"), config.to_string()).unwrap();
        let ledger = serde_json::json!({
            "cleaning": [{ "reason": "films without a poster", "count": 2, "names": ["7", "<b>8</b>"] }],
            "experiments": [{ "experiment": name, "ledger": [] }],
        });
        fs::write(run.join("ledger.json"), ledger.to_string()).unwrap();
        Made { folder, experiment }
    }
}

impl Made {
    fn run(&self) -> &Path {
        self.experiment.parent().unwrap()
    }

    fn report(&self) -> String {
        fs::read_to_string(page::write_experiment(&self.experiment, isa()).unwrap()).unwrap()
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.experiment.join(name)).unwrap();
    }
}

fn all<'a>(html: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

fn text_of(html: &Html, selector: &str) -> String {
    all(html, selector).iter().flat_map(|element| element.text()).collect()
}

/// Parses a report and asserts what holds of every one.
fn check(text: &str) -> Html {
    assert!(text.starts_with("<!DOCTYPE html>\n"), "{}", &text[..80]);
    assert!((text.len() as u64) < MOST_BYTES, "{} bytes", text.len());
    let html = Html::parse_document(text);
    assert_eq!(html.errors, Vec::<std::borrow::Cow<str>>::new());

    // Nothing is loaded and nothing runs.
    assert!(!text.contains("http:") && !text.contains("https:") && !text.contains("url("), "an address");
    assert!(!text.contains("@import"));
    assert!(
        all(&html, "script, iframe, object, embed, link, base, form, video, audio, use, image, foreignObject")
            .is_empty()
    );
    let policy = all(&html, "meta[http-equiv=Content-Security-Policy]");
    assert!(policy[0].attr("content").unwrap().starts_with("default-src 'none';"));
    for element in all(&html, "*") {
        for (name, value) in element.value().attrs() {
            assert!(!name.starts_with("on"), "{name}={value}");
            match name {
                "src" => assert!(value.starts_with("data:image/jpeg;base64,"), "{value}"),
                "href" => assert!(value.starts_with('#') || value.ends_with("/report.html"), "{value}"),
                "srcset" | "action" | "xlink:href" | "background" => panic!("{name}={value}"),
                _ => {}
            }
        }
    }

    // It can be read by all.
    let ids: Vec<&str> = all(&html, "[id]").iter().map(|element| element.attr("id").unwrap()).collect();
    let unique: HashSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an id is there twice");
    for reference in
        all(&html, "[aria-labelledby]").iter().flat_map(|of| of.attr("aria-labelledby").unwrap().split(' '))
    {
        assert!(ids.contains(&reference), "nothing has the id {reference}");
    }
    for link in all(&html, "a[href^='#']") {
        assert!(ids.contains(&&link.attr("href").unwrap()[1..]));
    }
    for chart in all(&html, "svg[role=img]") {
        for part in ["title", "desc"] {
            let part = chart.select(&Selector::parse(part).unwrap()).next().expect("a title and a description");
            assert!(!part.text().collect::<String>().trim().is_empty());
        }
    }
    for figure in all(&html, "figure:has(svg[role=img])") {
        assert!(figure.select(&Selector::parse("table caption").unwrap()).next().is_some(), "{}", figure.html());
    }
    assert!(all(&html, "svg:not([role=img])").iter().all(|svg| {
        svg.ancestors().filter_map(ElementRef::wrap).any(|above| above.attr("aria-hidden") == Some("true"))
    }));
    assert!(all(&html, "img").iter().all(|image| image.attr("alt").is_some_and(|alt| alt.len() > 10)));
    assert!(all(&html, "table").iter().all(|table| {
        let heads = table.select(&Selector::parse("thead th[scope=col]").unwrap()).count();
        let rows = Selector::parse("tbody tr").unwrap();
        table.select(&rows).all(|row| row.children().filter(|child| child.value().is_element()).count() == heads)
    }));
    assert_eq!(all(&html, "html[lang=en]").len() + all(&html, "h1").len() + all(&html, "main").len(), 3);
    html
}

/// The names of the sections whose place is taken by a sentence.
fn absent(html: &Html) -> BTreeSet<String> {
    let sections = all(html, "section:has(> .absent)").into_iter();
    sections.map(|section| section.attr("id").unwrap().to_owned()).collect()
}

#[test]
fn a_report_shows_an_experiment_and_asks_nobody() {
    for (experiment, head, matrix) in
        [("multi-label", Head::Sigmoid, "True and predicted genres"), ("single-genre", Head::Softmax, "Confusion")]
    {
        let made = Case { experiment, head, ..Case::default() }.make();
        let html = check(&made.report());
        assert_eq!(text_of(&html, "h1"), experiment);
        assert!(absent(&html).is_empty(), "{:?}", absent(&html));
        assert!(text_of(&html, "h2").contains(matrix));
        // Six best, typical and worst posters each; six beside their heat maps.
        assert_eq!(all(&html, "#posters img").len(), 18);
        assert_eq!(all(&html, "#looked-at img").len(), 12);
        assert_eq!(all(&html, "#network .filters svg").len(), 4);
        // Behind a stem of 2, a filter of 3 by 3 looks at 6 by 6 pixels.
        let pixels = if head == Head::Softmax { 36 } else { 9 };
        assert_eq!(all(&html, "#network .filters svg rect").len(), 4 * pixels);
        assert_eq!(all(&html, "#curves .multiple").len(), 4);
        assert!(text_of(&html, "#genres").contains("no films"), "Western has none");
        assert!(text_of(&html, "#origin").contains("learning_rate"));
        let metrics = onesheet::report::read_metrics(&made.experiment.join("metrics.json")).unwrap();
        let top1 = format!("{:.1}%", 100.0 * metrics.top1_hit);
        assert!(text_of(&html, "#results .value").starts_with(&top1), "{}", text_of(&html, "#results .value"));
        let ece = text_of(&html, "#calibration b");
        assert!((0.0..1.0).contains(&ece.parse::<f64>().unwrap()));
    }
}

#[test]
fn the_parser_tells_what_is_not_well_formed() {
    for broken in ["<p><b>x</p>", "<div></span></div>", "<p title=a title=b>", "<table><p>x</p></table>"] {
        let document = format!("<!DOCTYPE html><html><head><title>x</title></head><body>{broken}</body></html>");
        assert!(!Html::parse_document(&document).errors.is_empty(), "{broken}");
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let made = Case::default().make();
    let first = made.report();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    assert!(pool(3).install(|| made.report()) == first);
    let run = || fs::read(page::write_run(made.run()).unwrap()).unwrap();
    assert_eq!(run(), run());
}

#[test]
fn hostile_names_are_text() {
    let names = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "&lt;b&gt; &amp; 'quoted'",
        "turned \u{202e}around\u{1b}[2J",
        &"long ".repeat(200),
        "</title></style></svg>",
    ];
    let genres: Vec<String> = names.map(str::to_owned).to_vec();
    for (head, experiment) in [(Head::Sigmoid, "multi-label"), (Head::Softmax, "single-genre")] {
        let made = Case { genres: genres.clone(), head, experiment, ..Case::default() }.make();
        let config = made.experiment.join("config.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace("[options]", "[options]\n\"<i>\" = \"</table><script>\"")).unwrap();
        let text = made.report();
        let html = check(&text);
        assert!(all(&html, "i").is_empty() && all(&html, "body img[src=x]").is_empty());
        assert!(text_of(&html, "#genres tbody").contains("<script>alert(1)</script>"));
        assert!(text_of(&html, "#genres tbody").contains("&lt;b&gt; &amp; 'quoted'"));
        assert!(text_of(&html, "#origin").contains("</table><script>"));
        assert!(text_of(&html, "#left-out").contains("<b>8</b>"));
        assert!(!text.contains(['\u{202e}', '\u{1b}']));
        check(&fs::read_to_string(page::write_run(made.run()).unwrap()).unwrap());
        let comparison = made.folder.path().join("comparison.html");
        page::write_comparison(&[made.run().to_owned()], &comparison).unwrap();
        check(&fs::read_to_string(comparison).unwrap());
    }
}

#[test]
fn what_is_missing_is_said() {
    let made = Case::default().make();
    fs::remove_dir_all(made.folder.path().join("data")).unwrap();
    let html = check(&made.report());
    assert_eq!(absent(&html), BTreeSet::from(["looked-at".to_owned(), "posters".to_owned()]));
    assert!(text_of(&html, "#posters .absent").contains("not there any more"));
    assert_eq!(all(&html, "#posters .poster").len(), 18, "the answers are still shown");

    made.remove("predictions.csv");
    made.remove("run.json");
    let gone = ["calibration", "confusion", "curves", "looked-at", "posters", "time"];
    assert_eq!(absent(&check(&made.report())), gone.map(str::to_owned).into());
    made.remove("metrics.json");
    made.remove("model.safetensors");
    made.remove("history.csv");
    fs::remove_file(made.run().join("ledger.json")).unwrap();
    let html = check(&made.report());
    assert_eq!(absent(&html).len(), all(&html, "section").len() - 1, "only the options are left");
    assert!(text_of(&html, "#origin").contains("learning_rate"));
    check(&fs::read_to_string(page::write_run(made.run()).unwrap()).unwrap());
}

#[test]
fn one_of_everything_is_enough_and_sixty_genres_are_not_too_many() {
    let one = Case { genres: vec!["Drama".into()], films: 1, epochs: 1, ..Case::default() };
    let html = check(&one.make().report());
    assert_eq!(all(&html, "#posters img").len(), 3, "one film is the best, the worst and a typical one");

    let many: Vec<String> = (0..70).map(|genre| format!("A genre with a long name, number {genre}")).collect();
    let made = Case { genres: many, films: 600, epochs: 120, ..Case::default() }.make();
    let html = check(&made.report());
    assert_eq!(all(&html, "#curves .multiple").len(), 60);
    assert!(text_of(&html, "#genres").contains("Of the 70 genres, the 60 with the most test films are shown."));
}

#[test]
fn a_model_that_is_not_the_run_s_is_named() {
    let made = Case::default().make();
    assert!(!made.report().contains("not the one that the run wrote"));
    let path = made.experiment.join("run.json");
    let record = Record { model_sha256: "00".repeat(32), ..Record::read(&path).unwrap() };
    record.write(&path).unwrap();
    assert!(text_of(&check(&made.report()), "#origin .absent").contains("not the one that the run wrote"));
}

#[test]
fn files_that_cannot_be_read_are_errors_with_their_place() {
    let refusal = |break_it: &dyn Fn(&Made)| {
        let made = Case::default().make();
        break_it(&made);
        let error = page::write_experiment(&made.experiment, isa()).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(made.experiment.join("report.html").exists() == error.to_string().contains("did not"), "{error}");
        error.to_string()
    };
    let edit = |made: &Made, name: &str, from: &str, to: &str| {
        let path = made.experiment.join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    for (error, parts) in [
        (
            refusal(&|made| edit(made, "predictions.csv", "p_Western", "p_War")),
            ["predictions.csv", "its genres are not those of"],
        ),
        (
            refusal(&|made| edit(made, "predictions.csv", "\n101,", "\nx,")),
            ["predictions.csv, row 3", "`x` is no film's number"],
        ),
        (
            refusal(&|made| edit(made, "metrics.json", "24", "25")),
            ["predictions.csv", "24 films, where metrics.json has 25"],
        ),
        (refusal(&|made| edit(made, "history.csv", "1,1.0,", "1,one,")), ["history.csv, row 2", ""]),
        (refusal(&|made| edit(made, "config.toml", "[options]", "[options")), ["config.toml, row ", ""]),
        (
            refusal(&|made| made.remove("config.toml")),
            ["config.toml: there is no such file", "name the folder of an experiment"],
        ),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    let made = Case::default().make();
    fs::write(made.experiment.join("report.html"), "<html>mine</html>").unwrap();
    let error = page::write_experiment(&made.experiment, isa()).unwrap_err().to_string();
    assert!(error.contains("is not a file that onesheet made"), "{error}");
    assert_eq!(fs::read_to_string(made.experiment.join("report.html")).unwrap(), "<html>mine</html>");
    let empty = tempfile::tempdir().unwrap();
    assert!(page::write_run(empty.path()).unwrap_err().to_string().contains("it holds no experiment"));
}

#[test]
fn the_report_of_a_run_leads_to_those_of_its_experiments() {
    let made = Case::default().make();
    made.report();
    let html = check(&fs::read_to_string(page::write_run(made.run()).unwrap()).unwrap());
    let links = all(&html, "main a[href]");
    assert_eq!(links.len(), 1);
    assert!(made.run().join(links[0].attr("href").unwrap()).is_file());
}

#[test]
fn a_comparison_names_what_differs_and_the_best() {
    let first = Case::default().make();
    let second = Case { films: 30, epochs: 5, ..Case::default() }.make();
    let config = second.experiment.join("config.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("0.002", "0.004")).unwrap();
    let to = first.folder.path().join("comparison.html");
    page::write_comparison(&[first.run().to_owned(), second.experiment.clone()], &to).unwrap();
    let html = check(&fs::read_to_string(&to).unwrap());
    assert_eq!(text_of(&html, "h1"), "2 runs compared");
    let text = text_of(&html, "#first");
    assert!(text.contains("learning_rate") && text.contains("0.004"), "{text}");
    assert!(text.contains("measured on different test films"), "{text}");
    assert!(text.contains('★'));

    page::write_comparison(&[first.run().to_owned(), first.run().to_owned()], &to).unwrap();
    let text = text_of(&check(&fs::read_to_string(&to).unwrap()), "#first");
    assert!(text.contains("The runs have the same options.") && !text.contains("different test films"), "{text}");

    let error = page::write_comparison(&[first.folder.path().to_owned()], &to).unwrap_err().to_string();
    assert!(error.contains("it holds no experiment"), "{error}");
}

#[test]
fn the_report_of_a_sweep_compares_its_trials_best_first() {
    let sweep = tempfile::tempdir().unwrap();
    for trial in ["lr=1 seed=2", "lr=1 seed=1"] {
        let made = Case::default().make();
        made.remove("metrics.json");
        made.remove("predictions.csv");
        fs::rename(made.run(), sweep.path().join(trial)).unwrap();
    }
    let rows = "trial,experiment\nlr=1 seed=2,multi-label\nlr=1 seed=1,multi-label\n";
    fs::write(sweep.path().join("sweep.csv"), rows).unwrap();
    assert!(page::is_sweep(sweep.path()));
    let html = check(&fs::read_to_string(page::write_sweep(sweep.path()).unwrap()).unwrap());
    let heads: Vec<String> =
        all(&html, "#first table:first-of-type tbody th").iter().map(|th| th.text().collect()).collect();
    assert_eq!(heads[..2], ["lr=1 seed=2", "lr=1 seed=1"]);
    assert!(text_of(&html, "#first").contains("were not measured on test films"));
    fs::write(sweep.path().join("sweep.csv"), "a,b\n1,2\n").unwrap();
    let error = page::write_sweep(sweep.path()).unwrap_err().to_string();
    assert!(error.contains("sweep.csv, row 1: there is no column trial"), "{error}");
}

#[test]
fn the_command_writes_reports_again_and_compares() {
    let made = Case::default().make();
    let run = made.run().to_str().unwrap();
    let outcome = crate::cli::train(&["report", run]);
    assert_eq!((outcome.code, &*outcome.stderr), (0, ""));
    let expected = [made.experiment.join("report.html"), made.run().join("report.html")];
    assert_eq!(outcome.stdout, expected.clone().map(|path| format!("{}\n", path.display())).concat());
    check(&fs::read_to_string(&expected[0]).unwrap());

    let to = made.folder.path().join("compared.html");
    let outcome = crate::cli::train(&["report", run, run, "--out", to.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    check(&fs::read_to_string(&to).unwrap());
    let outcome = crate::cli::train(&["report", made.folder.path().to_str().unwrap()]);
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("it holds no experiment; name the folder of a run"), "{}", outcome.stderr);
}
