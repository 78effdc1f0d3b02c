//! What an experiment's folder holds.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Table;

use crate::classifier::experiment::Experiment;
use crate::classifier::{Classifier, MODEL_FILE};
use crate::data::ledger::{Entry, Ledger};
use crate::error::{Error, Result};
use crate::files;
use crate::nn::{Head, Isa};
use crate::report::{Epoch, Evaluation, Metrics, Monitor, Predictions, Record, TRAINING};
use crate::report::{read, read_history, read_json, read_metrics};
use crate::text::{excerpt, printable};

/// The file that makes a folder that of an experiment.
pub(super) const CONFIG: &str = "config.toml";
/// The most genres that charts and tables show.
const MOST_GENRES: usize = 60;
const METRICS: &str = "metrics.json";
const PREDICTIONS: &str = "predictions.csv";
const LEDGER: &str = "ledger.json";
/// The folder of a cross-fitting's first fold.
const FIRST_FOLD: &str = "fold-1";

/// The results of an experiment. A file that is not there is `None`: trials are not measured, and a
/// training that diverged leaves no answers.
pub(super) struct Folder {
    pub path: PathBuf,
    /// The name of the experiment, safe to show.
    pub name: String,
    /// The name of the experiment as it is.
    pub experiment: String,
    pub config: Table,
    pub history: Option<Vec<Epoch>>,
    pub metrics: Option<Metrics>,
    pub predictions: Option<Predictions>,
    pub record: Option<Record>,
    /// What was left out before the experiment began, which films are kept on one side of the split,
    /// and what was left out of the experiment alone.
    pub ledger: Option<[Vec<Entry>; 3]>,
    pub classifier: Option<Classifier>,
    /// The names of the genres, safe to show, in the order of the model's outputs.
    pub genres: Vec<String>,
    /// The files of results that are there, in the order of the guide.
    pub files: Vec<ResultFile>,
}

/// A file of results.
pub(super) struct ResultFile {
    pub name: &'static str,
    pub bytes: u64,
    pub sha256: String,
}

/// The content of `ledger.json`.
#[derive(Deserialize)]
struct Ledgers {
    cleaning: Ledger,
    /// Runs of earlier versions did not look for them.
    #[serde(default)]
    twins: Ledger,
    experiments: Vec<OfExperiment>,
}

#[derive(Deserialize)]
struct OfExperiment {
    experiment: String,
    ledger: Ledger,
}

impl Folder {
    /// Whether a folder is one of an experiment; that of a run has a configuration, too, and the
    /// ledger, and that of a cross-fitting has folds.
    pub fn is_at(path: &Path) -> bool {
        path.join(CONFIG).is_file() && !path.join(LEDGER).is_file() && !path.join(FIRST_FOLD).is_dir()
    }

    /// What chose the epoch; [`Monitor::Auto`] where the configuration does not say.
    pub fn monitor(&self) -> Monitor {
        let named = self.config.get("options").and_then(|options| options.get("monitor"));
        named.and_then(|name| name.clone().try_into().ok()).unwrap_or(Monitor::Auto)
    }

    /// Reads all that is there.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Io`], naming the file and the row, if a file that is there cannot
    /// be read, or if the files are not of one experiment.
    pub fn read(path: &Path, isa: Isa) -> Result<Self> {
        let mut folder = Self::read_small(path)?;
        folder.predictions = if_there(&path.join(PREDICTIONS), Predictions::read)?;
        folder.classifier = if_there(&path.join(MODEL_FILE), |file| Classifier::open(file, isa))?;
        let all = ["config.toml", "history.csv", METRICS, PREDICTIONS, MODEL_FILE].into_iter();
        folder.files =
            all.filter(|name| path.join(name).is_file()).map(|name| hashed(path, name)).collect::<Result<_>>()?;
        folder.check()?;
        Ok(folder)
    }

    /// Reads all but the predictions and the model.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_small(path: &Path) -> Result<Self> {
        let config = read_config(&path.join(CONFIG))?;
        let own = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let experiment = config.get("experiment").and_then(toml::Value::as_str).map_or(own, str::to_owned);
        let metrics = if_there(&path.join(METRICS), read_metrics)?;
        let ledgers: Option<Ledgers> =
            path.parent().map(|run| if_there(&run.join(LEDGER), read_json)).transpose()?.flatten();
        let ledger = ledgers.map(|Ledgers { cleaning, twins, experiments }| {
            let own = experiments.into_iter().find(|of| of.experiment == experiment);
            let own = own.map(|of| of.ledger).unwrap_or_default();
            [cleaning, twins, own].map(|ledger| ledger.entries().to_vec())
        });
        Ok(Self {
            path: path.to_owned(),
            name: excerpt(&experiment),
            config,
            history: if_there(&path.join("history.csv"), read_history)?,
            predictions: None,
            record: if_there(&path.join("run.json"), Record::read)?,
            ledger,
            classifier: None,
            genres: metrics.iter().flat_map(|metrics| &metrics.genres).map(|genre| excerpt(genre)).collect(),
            metrics,
            experiment,
            files: Vec::new(),
        })
    }

    /// Refuses files that are not of one experiment, and takes the names of the genres.
    fn check(&mut self) -> Result<()> {
        let named = [
            (MODEL_FILE, self.classifier.as_ref().map(|classifier| &classifier.meta.genres)),
            (METRICS, self.metrics.as_ref().map(|metrics| &metrics.genres)),
            (PREDICTIONS, self.predictions.as_ref().map(|predictions| &predictions.genres)),
        ];
        let mut there = named.into_iter().filter_map(|(name, genres)| Some((name, genres?)));
        let Some((first, genres)) = there.next() else { return Ok(()) };
        if let Some((other, _)) = there.find(|(_, others)| *others != genres) {
            let what = format!("its genres are not those of {first}");
            return Err(Error::data(&self.path.join(other), what, REMEDY));
        }
        if let (Some(metrics), Some(predictions)) = (&self.metrics, &self.predictions)
            && metrics.films != predictions.ids.len()
        {
            let what = format!("it has {} films, where {METRICS} has {}", predictions.ids.len(), metrics.films);
            return Err(Error::data(&self.path.join(PREDICTIONS), what, REMEDY));
        }
        self.genres = genres.iter().map(|genre| excerpt(genre)).collect();
        Ok(())
    }

    /// The name of the folder itself, by which pages beside it link to its own.
    pub fn own_name(&self) -> String {
        let path = std::path::absolute(&self.path).unwrap_or_default();
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The seconds of all training steps, where they are known: those of all members of an ensemble.
    pub fn trained(&self) -> Option<f64> {
        let of_epochs = self.history.as_ref().map(|epochs| epochs.iter().map(|of| of.seconds.max(0.0)).sum());
        of_epochs.or_else(|| self.record.as_ref().map(|record| record.seconds_of(TRAINING)))
    }

    /// The last activation of the model.
    pub fn head(&self) -> Head {
        let known = Experiment::named(&self.experiment).map(|experiment| experiment.head);
        self.classifier.as_ref().map(|classifier| classifier.meta.head).or(known).unwrap_or(Head::Sigmoid)
    }

    /// The answers beside the truth, where there are any.
    pub fn evaluation(&self) -> Option<Evaluation<'_>> {
        let predictions = self.predictions.as_ref()?;
        Some(Evaluation {
            experiment: &self.experiment,
            split: "test",
            head: self.head(),
            genres: &predictions.genres,
            probabilities: &predictions.probabilities,
            labels: &predictions.labels,
            loss: self.metrics.as_ref().map_or(0.0, |metrics| metrics.loss),
            thresholds: self.thresholds(),
        })
    }

    /// The tuned threshold of each genre, where there are any.
    pub fn thresholds(&self) -> Option<&[f32]> {
        let of_metrics = self.metrics.as_ref().and_then(|metrics| metrics.thresholds.as_deref());
        of_metrics.or(self.classifier.as_ref().and_then(|classifier| classifier.meta.thresholds.as_deref()))
    }

    /// The genres that charts show, at most [`MOST_GENRES`] with the most test films, in falling
    /// order of `by`; those without it come last.
    pub fn shown_genres(&self, by: impl Fn(usize) -> Option<f64>) -> Vec<usize> {
        let films = |genre: &usize| self.metrics.as_ref().map_or(0, |metrics| metrics.per_genre[*genre].support);
        let mut order: Vec<usize> = (0..self.genres.len()).collect();
        order.sort_by_key(|genre| std::cmp::Reverse(films(genre)));
        order.truncate(MOST_GENRES);
        let key = |genre: &usize| by(*genre).unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|a, b| key(b).total_cmp(&key(a)));
        order
    }

    /// What to say where [`shown_genres`](Self::shown_genres) are not all.
    pub fn note_on_genres(&self) -> String {
        match self.genres.len() {
            0..=MOST_GENRES => String::new(),
            all => format!(" Of the {all} genres, the {MOST_GENRES} with the most test films are shown."),
        }
    }

    /// An option of the run, as text.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.config.get("options")?.get(name)?.as_str()
    }

    /// All options of the run by name, as text that is safe to show.
    pub fn options(&self) -> Vec<(String, String)> {
        let options = self.config.get("options").and_then(toml::Value::as_table).into_iter().flatten();
        options.map(|(name, value)| (printable(name).into_owned(), shown(value))).collect()
    }
}

const REMEDY: &str = "run the experiment again, or put its own files back";

/// A value of a configuration as text that is safe to show.
pub(super) fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => printable(text).into_owned(),
        toml::Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => printable(&other.to_string()).into_owned(),
    }
}

fn if_there<T>(path: &Path, read: impl FnOnce(&Path) -> Result<T>) -> Result<Option<T>> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

fn read_config(path: &Path) -> Result<Table> {
    let remedy = "name the folder of an experiment, such as runs/1/multi-label";
    if !path.exists() {
        return Err(Error::data(path, "there is no such file", remedy));
    }
    let text = String::from_utf8(read(path)?).map_err(|_| Error::data(path, "it is not UTF-8", remedy))?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start].lines().count().max(1) as u64);
        let what = error.message().to_owned();
        line.map_or_else(
            || Error::data(path, what.clone(), remedy),
            |line| Error::row(path, line, what.clone(), remedy),
        )
    })
}

fn hashed(folder: &Path, name: &'static str) -> Result<ResultFile> {
    let path = folder.join(name);
    let hashed = files::open_regular(&path).and_then(files::hash);
    let (bytes, hash) = hashed.map_err(Error::io(&path, "read the results"))?;
    Ok(ResultFile { name, bytes, sha256: files::hex(&hash) })
}
