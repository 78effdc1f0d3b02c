//! The command `train predict`.

use crate::args::PredictArgs;
use crate::explain::{Answer, Explainer, Explanation};
use crate::output::{is_over, safe_json, say, tell, tell_error, write_out};
use crate::progress::Terminal;
use crate::{shared_predict, threads};
use onesheet::classifier::predict::Prediction;
use onesheet::classifier::{Classifier, MODEL_FILE};
use onesheet::nn::Isa;
use onesheet::progress::Progress;
use onesheet::ranks::Team;
use onesheet::report::short;
use onesheet::run::precision;
use onesheet::text::{cell, printable};
use onesheet::{Error, Result};
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The exit code where some posters have no answer.
const UNANSWERED: u8 = 3;
/// The most characters of a genre's name in an answer in words.
const NAME: usize = 40;

/// Prints the most probable genres of each poster, as they come. Posters that do not decode do not
/// stop the others: they are named on stderr, and decide the exit code.
pub fn predict(args: PredictArgs, threads: usize, isa: Isa, team: &Team) -> Result<u8> {
    check_order(&args)?;
    // The ranks beside the first are told what to look at.
    let (posters, total) = if team.is_first() { posters(&args)? } else { (Vec::new().into_iter().flatten(), 0) };
    let isa = precision::in_precision(args.precision, isa, &Terminal::on_stderr());
    let mut classifier = Classifier::open(&args.run, isa)?;
    let explainer = Explainer::new(&args, &classifier)?;
    if explainer.is_some() && !team.is_alone() {
        return Err(Error::usage("--explain is for one process", "start it without mpirun"));
    }
    let mut printer = Printer::new(&args, &classifier);
    let terminal = Terminal::on_stderr();
    let progress: &dyn Progress = &terminal;
    let (mut answered, mut failed) = (0, 0);
    let result = threads::compute(threads, || {
        let bar = progress.bar("predicting", total);
        printer.begin();
        let mut each = |answer: Result<Answer>| {
            match answer {
                Ok(answer) => {
                    answered += 1;
                    terminal.aside(|| printer.print(&answer));
                }
                Err(error) => {
                    failed += 1;
                    terminal.aside(|| tell_error(&error));
                }
            }
            bar.at(answered + failed, None);
            // Where nobody reads the answers, there is no reason to go on.
            if is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let result = match &explainer {
            None if !team.is_alone() => {
                let each = |prediction: Result<Prediction>| each(prediction.map(Answer::from));
                shared_predict::predict_all(&mut classifier, team, posters, args.top, each)
            }
            None => classifier.predict_all(posters, args.top, |prediction| each(prediction.map(Answer::from))),
            Some(explainer) => explainer.predict_all(&mut classifier, posters, args.top, each),
        };
        printer.end();
        result
    });
    result?;
    match (answered, failed) {
        (0, 0) if !team.is_first() => Ok(0),
        (0, 0) => {
            let remedy = "name posters, or write one file name per line";
            Err(Error::data(Path::new("standard input"), "it names no poster", remedy))
        }
        (_, 0) => Ok(0),
        (_, failed) => {
            if answered + failed > 1 {
                tell(&format!("{failed} of {} posters have no answer", answered + failed));
            }
            Ok(UNANSWERED)
        }
    }
}

/// Refuses a line on which a poster stands where the model belongs, or a model among the posters.
fn check_order(args: &PredictArgs) -> Result<()> {
    const ORDER: &str = "the model comes first, then posters: train predict RUN POSTER";
    if args.run.is_file() && is_poster_name(&args.run) {
        return Err(Error::data(&args.run, "it is a poster, not a model", ORDER));
    }
    let is_model = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "safetensors");
    if let Some(model) = args.posters.iter().find(is_model) {
        return Err(Error::data(model, "it is a model, not a poster", ORDER));
    }
    if args.posters.is_empty() {
        let remedy = "name posters, a folder of posters, or - for a list on standard input";
        return Err(Error::usage("no poster is named", remedy));
    }
    let from_stdin = args.posters.iter().filter(|poster| is_stdin(poster)).count();
    match (from_stdin, args.null) {
        (0, true) => Err(Error::usage("--null is of the list on standard input", "add - to the posters")),
        (2.., _) => Err(Error::usage("standard input is named twice", "name - once")),
        _ => Ok(()),
    }
}

fn is_stdin(poster: &Path) -> bool {
    poster.as_os_str() == "-"
}

/// Files of posters, and how many there are; 0 where that is unknown.
type Posters = (std::iter::Flatten<std::vec::IntoIter<Box<dyn Iterator<Item = Result<PathBuf>> + Send>>>, usize);

/// The files that the arguments name, in their order, and how many there are; 0 where that is
/// unknown.
fn posters(args: &PredictArgs) -> Result<Posters> {
    let (mut named, mut total): (Vec<Box<dyn Iterator<Item = Result<PathBuf>> + Send>>, _) = (Vec::new(), Some(0));
    for poster in &args.posters {
        let posters = if is_stdin(poster) {
            total = None;
            named.push(Box::new(list_on_stdin(args.null)));
            continue;
        } else if poster.is_dir() {
            posters_in(poster)?
        } else {
            vec![poster.clone()]
        };
        total = total.map(|total| total + posters.len());
        named.push(Box::new(posters.into_iter().map(Ok)));
    }
    Ok((named.into_iter().flatten(), total.unwrap_or(0)))
}

/// The posters in a folder, in the order of their names; folders in it are not looked into.
fn posters_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = onesheet::files::entries(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(Error::io(folder, "list the folder"))?;
    let mut posters: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    posters.retain(|path| is_poster_name(path) && !path.is_dir());
    posters.sort();
    if !posters.is_empty() {
        return Ok(posters);
    }
    let inside = folder.join("posters");
    let remedy = if folder.join(MODEL_FILE).exists() {
        "it holds a model: the model comes first, then posters".to_owned()
    } else if inside.is_dir() {
        format!("name the folder in it: {}", inside.display())
    } else {
        "name a folder of JPEG files, or the files themselves".to_owned()
    };
    Err(Error::data(folder, "no file in it is named *.jpg or *.jpeg", remedy))
}

fn is_poster_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["jpg", "jpeg"].iter().any(|name| extension.eq_ignore_ascii_case(name))
}

/// The files that standard input lists, one per line or with NUL between them.
fn list_on_stdin(null: bool) -> impl Iterator<Item = Result<PathBuf>> + Send {
    // The handle, unlike its lock, can go to the thread that reads.
    let names = BufReader::new(std::io::stdin()).split(if null { 0 } else { b'\n' });
    let name = move |name: std::io::Result<Vec<u8>>| {
        let mut name = match name {
            Ok(name) => name,
            Err(error) => return Some(Err(Error::io(Path::new("standard input"), "read the list of posters")(error))),
        };
        if !null && name.last() == Some(&b'\r') {
            name.pop();
        }
        (!name.is_empty()).then(|| path_of(name))
    };
    names.filter_map(name)
}

#[cfg(unix)]
pub fn path_of(name: Vec<u8>) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(name).into())
}

#[cfg(not(unix))]
pub fn path_of(name: Vec<u8>) -> Result<PathBuf> {
    let name = String::from_utf8(name);
    name.map(PathBuf::from).map_err(|_| Error::data(Path::new("standard input"), "a name is not UTF-8", "rename it"))
}

/// How answers are printed.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Words,
    Json,
    JsonLines,
    Csv,
}

/// Prints answers one by one.
struct Printer {
    form: Form,
    /// The number of genres in each answer.
    genres: usize,
    has_thresholds: bool,
    explains: bool,
    is_first: bool,
}

impl Printer {
    fn new(args: &PredictArgs, classifier: &Classifier) -> Self {
        let form = match args {
            PredictArgs { json: true, .. } => Form::Json,
            PredictArgs { jsonl: true, .. } => Form::JsonLines,
            PredictArgs { csv: true, .. } => Form::Csv,
            _ => Form::Words,
        };
        let meta = &classifier.meta;
        let (genres, has_thresholds) = (args.top.min(meta.genres.len()), meta.thresholds.is_some());
        Self { form, genres, has_thresholds, explains: args.explain.is_some(), is_first: true }
    }

    fn begin(&self) {
        match self.form {
            Form::Words | Form::JsonLines => {}
            Form::Json => write_out("["),
            Form::Csv => {
                let mut header = vec!["poster".to_owned()];
                header.extend(self.has_thresholds.then(|| "predicted".to_owned()));
                (1..=self.genres)
                    .for_each(|rank| header.extend([format!("genre_{rank}"), format!("probability_{rank}")]));
                header.extend(self.explains.then(|| "explanation".to_owned()));
                write_out(&record(header));
            }
        }
    }

    fn print(&mut self, answer: &Answer) {
        match self.form {
            Form::Words => say(&in_words(answer)),
            Form::Json => {
                let json = serde_json::to_string_pretty(answer).expect("plain data").replace('\n', "\n  ");
                let comma = if self.is_first { "" } else { "," };
                write_out(&format!("{comma}\n  {}", safe_json(&json)));
            }
            Form::JsonLines => {
                let json = serde_json::to_string(answer).expect("plain data");
                write_out(&(safe_json(&json) + "\n"));
            }
            Form::Csv => write_out(&record(self.cells(answer))),
        }
        self.is_first = false;
    }

    /// Ends what [`begin`](Self::begin) began, also where the work failed.
    fn end(&self) {
        if self.form == Form::Json {
            write_out(if self.is_first { "]\n" } else { "\n]\n" });
        }
    }

    fn cells(&self, Answer { prediction, explanation }: &Answer) -> Vec<String> {
        let Prediction { poster, predicted, predictions } = prediction;
        let mut cells = vec![cell(poster).into_owned()];
        cells.extend(predicted.as_ref().map(|predicted| cell(&predicted.join("|")).into_owned()));
        for of in predictions {
            cells.extend([cell(&of.genre).into_owned(), of.probability.to_string()]);
        }
        cells.extend(explanation.as_ref().map(|of| cell(&of.file).into_owned()));
        cells
    }
}

/// A record of CSV with its line break, safe to show: a name with a control character in it is not
/// the file's name any more, which JSON can write.
fn record(cells: Vec<String>) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(cells.iter().map(|cell| printable(cell).into_owned())).expect("it is in memory");
    String::from_utf8(csv.into_inner().expect("it is in memory")).expect("it was text")
}

/// A line such as `7.jpg: Drama 63.1%*, Comedy 20.4%; predicted: Drama`. A star marks a genre above
/// its threshold.
fn in_words(Answer { prediction, explanation }: &Answer) -> String {
    let Prediction { poster, predicted, predictions } = prediction;
    let mark = |predicted| if predicted == Some(true) { "*" } else { "" };
    let genre = |name: &str| short(name, NAME);
    let named = predictions
        .iter()
        .map(|of| format!("{} {:.1}%{}", genre(&of.genre), 100.0 * of.probability, mark(of.predicted)));
    let named = named.collect::<Vec<_>>().join(", ");
    let answer = predicted.as_ref().map_or(String::new(), |predicted| match &predicted[..] {
        [] => "; predicted: none".to_owned(),
        genres => format!("; predicted: {}", genres.iter().map(|name| genre(name)).collect::<Vec<_>>().join(", ")),
    });
    let why = |of: &Explanation| format!("; why {}: {}", genre(&of.genre), printable(&of.file));
    format!("{}: {named}{answer}{}", printable(poster), explanation.as_ref().map_or(String::new(), why))
}
