//! What becomes of an experiment.

use crate::classifier::experiment::Experiment;
use crate::classifier::{Classifier, MODEL_FILE};
use crate::error::Result;
use crate::report::{self, METRICS_FILE, Metrics, RECORD_FILE};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The results of an experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The name of the experiment.
    pub experiment: String,
    /// The metrics on the test films; `None` where they were not looked at.
    pub metrics: Option<Metrics>,
    /// The SHA-256 of the model file.
    pub model_sha256: String,
    /// The first few test films; none where they were not looked at.
    pub examples: Vec<Example>,
}

/// A test film, and what the classifier says of its poster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Example {
    /// The file name of the poster.
    pub poster: String,
    /// The film's genres.
    pub genres: Vec<String>,
    /// The three most probable genres with their probabilities.
    pub predicted: Vec<(String, f32)>,
}

impl Outcome {
    /// Whether an experiment's folder holds an outcome. Its record is written last.
    pub(crate) fn is_in(folder: &Path) -> bool {
        [RECORD_FILE, METRICS_FILE].iter().any(|name| folder.join(name).exists())
    }

    /// The outcome that the folder of a run holds of an experiment, without its examples.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Data`] where its files cannot be read.
    ///
    /// [`Error::Io`]: crate::Error::Io
    /// [`Error::Data`]: crate::Error::Data
    pub fn read(run: &Path, experiment: &Experiment) -> Result<Self> {
        let folder = run.join(experiment.name);
        let metrics = folder.join(METRICS_FILE);
        let metrics = if metrics.exists() { Some(report::read_metrics(&metrics)?) } else { None };
        let model_sha256 = Classifier::sha256_of(&folder.join(MODEL_FILE))?;
        Ok(Self { experiment: experiment.name.to_owned(), metrics, model_sha256, examples: Vec::new() })
    }
}
