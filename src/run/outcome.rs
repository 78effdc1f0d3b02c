//! What becomes of an experiment.

use crate::classifier::{Classifier, MODEL_FILE};
use crate::error::Result;
use crate::report::{self, METRICS_FILE, Metrics};
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
    /// The outcome that an experiment's folder holds, without its examples.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Data`] where its files cannot be read.
    ///
    /// [`Error::Io`]: crate::Error::Io
    /// [`Error::Data`]: crate::Error::Data
    pub fn read(folder: &Path) -> Result<Self> {
        let metrics = report::read_metrics(&folder.join(METRICS_FILE))?;
        let model_sha256 = Classifier::sha256_of(&folder.join(MODEL_FILE))?;
        let experiment = metrics.experiment.clone();
        Ok(Self { experiment, metrics: Some(metrics), model_sha256, examples: Vec::new() })
    }
}
