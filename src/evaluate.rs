//! A trained model on posters that are decoded as they come, without a cache.

use crate::checkpoint::{self, ModelMeta};
use crate::data::batches::{Batches, Order, Source};
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::films::{Films, poster_name};
use crate::data::refusal::{OnBadImage, Refusal};
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::experiments::Experiment;
use crate::metrics::{Evaluation, Metrics, top_k};
use crate::nn::{Input, Pass, Sequential};
use crate::run::Progress;
use crate::train;
use onesheet_kernels::simd::Isa;
use serde::Serialize;
use std::path::Path;

/// Films a batch: enough to keep every core busy, little memory.
const BATCH: usize = 32;

/// The model of a run's experiment folder.
///
/// # Errors
/// If there is none, or it is damaged; a folder that holds experiments is answered with their names.
pub fn open_run(run: &Path, isa: Isa) -> Result<(ModelMeta, Sequential)> {
    let path = if run.is_dir() { run.join("model.safetensors") } else { run.to_path_buf() };
    if !path.exists() {
        let inside =
            Experiment::ALL.map(|e| run.join(e.name)).into_iter().filter(|f| f.join("model.safetensors").exists());
        let inside: Vec<String> = inside.map(|folder| folder.display().to_string()).collect();
        let remedy = match inside.is_empty() {
            true => "name the folder of a trained experiment, such as runs/1/multi-label".to_string(),
            false => format!("name one of its experiments: {}", inside.join(", ")),
        };
        return Err(Error::data(run, "there is no model.safetensors", remedy));
    }
    let (meta, model) = checkpoint::load(&path, isa)?;
    let ImageSpec { height, width } = ImageSpec::POSTER;
    if meta.model.input != [height, width, 3] {
        let what = format!("its images are {:?}, not posters of {height}x{width}", meta.model.input);
        return Err(Error::data(&path, what, "name a model that `train run` made"));
    }
    Ok((meta, model))
}

/// Films of a folder in the Letterboxd layout.
pub struct Folder<'a> {
    /// The folder.
    pub data: &'a Path,
    /// Those of one side only.
    pub split: Option<Split>,
}

impl Folder<'_> {
    /// Measures a model on the films that its experiment's rule admits, unbalanced. What is left out is noted by reason.
    ///
    /// # Errors
    /// If the folder cannot be used, or no film is left.
    pub fn evaluate(&self, meta: &ModelMeta, model: &mut Sequential, progress: &dyn Progress) -> Result<Metrics> {
        let experiment = Experiment::named(&meta.experiment).ok_or_else(|| {
            let what = format!("the model is of an unknown experiment, {}", meta.experiment);
            Error::usage(what, "use a newer version of this program")
        })?;
        let films = Films::open(self.data, meta.max_genres)?;
        films.warnings.iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
        let rule = experiment.film_rule(usize::MAX, false);
        let (chosen, left_out) = rule.select(&films, &meta.genres, self.split);
        let mut ledger = films.ledger.clone();
        ledger.extend(left_out);

        let split = self.split.map_or("all".to_string(), |split| split.to_string());
        progress.start(&split, chosen.len());
        let source =
            Source::Files { posters: films.posters.clone(), spec: ImageSpec::POSTER, on_bad_image: OnBadImage::Skip };
        let mut batches = Batches::new(source, &chosen, meta.genres.len(), Order::Sequential, BATCH);
        let answers = train::evaluate(model, meta.head, &mut batches, |done| progress.at(done, None))?;
        progress.finish();
        let refused = batches.refused().iter().map(|(id, refusal)| (poster_name(*id), refusal));
        ledger.extend(Refusal::ledger(refused));
        progress.note(&format!("left out:\n{ledger}"));
        if answers.ids.is_empty() {
            let what = format!("no film is left to measure {} on", meta.experiment);
            return Err(Error::data(self.data, what, "see above what was left out, or choose another --split"));
        }
        Metrics::of(&Evaluation {
            experiment: &meta.experiment,
            split: &split,
            head: meta.head,
            genres: &meta.genres,
            probabilities: &answers.probabilities,
            labels: &answers.labels,
            loss: answers.loss,
        })
    }
}

/// A poster and its most probable genres.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The file.
    pub poster: String,
    /// Most probable first.
    pub predictions: Vec<GenreProbability>,
}

/// A genre and its probability.
#[derive(Clone, Debug, Serialize)]
pub struct GenreProbability {
    /// Name of the genre.
    pub genre: String,
    /// From 0 to 1.
    pub probability: f32,
}

/// Names the genres of posters, one at a time.
pub struct Predictor {
    meta: ModelMeta,
    model: Sequential,
    decoder: Decoder,
    image: Vec<u8>,
}

impl Predictor {
    /// For the model of a run.
    ///
    /// # Errors
    /// As [`open_run`].
    pub fn open(run: &Path, isa: Isa) -> Result<Self> {
        let (meta, model) = open_run(run, isa)?;
        Ok(Self { meta, model, decoder: Decoder::new(), image: vec![0; ImageSpec::POSTER.bytes()] })
    }

    /// The `top` most probable genres of a poster.
    ///
    /// # Errors
    /// [`Error::Data`], naming the file and the reason, if it does not decode.
    pub fn predict(&mut self, poster: &Path, top: usize) -> Result<Prediction> {
        let decoded = self.decoder.decode_poster(poster, ImageSpec::POSTER, &mut self.image);
        decoded.map_err(|why| Error::data(poster, why.to_string(), "name a whole JPEG file"))?;
        let mut probabilities = vec![0.0; self.meta.genres.len()];
        let logits = self.model.forward(Input::U8(&self.image), Pass::Inference).values();
        self.meta.head.probabilities(self.meta.genres.len(), logits, &mut probabilities);
        let named = |genre: usize| GenreProbability {
            genre: self.meta.genres[genre].clone(),
            probability: probabilities[genre],
        };
        let predictions = top_k(&probabilities, top).into_iter().map(named).collect();
        Ok(Prediction { poster: poster.display().to_string(), predictions })
    }
}
