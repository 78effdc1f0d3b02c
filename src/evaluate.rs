//! A trained model on posters that are decoded as they come, without a cache.

use crate::checkpoint::{self, ModelMeta};
use crate::data::batches::{Batches, Batching, Order, Source};
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::films::{Films, poster_name};
use crate::data::refusal::{OnBadImage, Refusal};
use crate::data::split::Split;
use crate::data::transform::{Look, Transform, Transformer};
use crate::error::{Error, Result};
use crate::experiments::Experiment;
use crate::metrics::{Evaluation, Intervals, Metrics, top_k};
use crate::nn::{Input, Pass, Sequential};
use crate::progress::Progress;
use crate::train::{self, Answers};
use onesheet_kernels::simd::Isa;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Films a batch: enough to keep every core busy, little memory.
const BATCH: usize = 32;

/// The model of a run's experiment folder, or the file itself.
pub(crate) fn model_file(run: &Path) -> PathBuf {
    if run.is_dir() { run.join("model.safetensors") } else { run.to_path_buf() }
}

/// The model of a run's experiment folder.
///
/// # Errors
/// If there is none, or it is damaged; a folder that holds experiments is answered with their names.
pub fn open_run(run: &Path, isa: Isa) -> Result<(ModelMeta, Sequential)> {
    let path = model_file(run);
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
    match meta.model.input[..] {
        [height, width, 3] if height == width && height <= ImageSpec::POSTER.height => Ok((meta, model)),
        _ => {
            let what = format!("its input is {:?}, which posters cannot be brought to", meta.model.input);
            Err(Error::data(&path, what, "name a model that `train run` made"))
        }
    }
}

/// The size of a model's input.
fn input_size(meta: &ModelMeta) -> ImageSpec {
    ImageSpec { height: meta.model.input[0], width: meta.model.input[1] }
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
        let views = meta.views.all();
        progress.start(&split, chosen.len() * views.len());
        let source =
            Source::Files { posters: films.posters.clone(), spec: ImageSpec::POSTER, on_bad_image: OnBadImage::Skip };
        let (mut all, mut refused) = (Vec::new(), Vec::new());
        for (i, view) in views.into_iter().enumerate() {
            let transform = Transform { size: input_size(meta), look: Look::View(view) };
            let batching = Batching { classes: meta.genres.len(), order: Order::Sequential, size: BATCH, transform };
            let mut batches = Batches::new(source.clone(), &chosen, batching);
            all.push(train::logits(model, &mut batches, |done| progress.at(i * chosen.len() + done, None))?);
            refused = batches.refused().to_vec();
        }
        let answers = Answers::of(meta.head, all);
        progress.finish();
        ledger.extend(Refusal::ledger(refused.iter().map(|(id, refusal)| (poster_name(*id), refusal))));
        progress.note(&format!("left out:\n{ledger}"));
        if answers.ids.is_empty() {
            let what = format!("no film is left to measure {} on", meta.experiment);
            return Err(Error::data(self.data, what, "see above what was left out, or choose another --split"));
        }
        let evaluation = Evaluation {
            experiment: &meta.experiment,
            split: &split,
            head: meta.head,
            genres: &meta.genres,
            probabilities: &answers.probabilities,
            labels: &answers.labels,
            loss: answers.loss,
            thresholds: meta.thresholds.as_deref(),
        };
        Ok(Metrics { intervals: Some(Intervals::of(&evaluation)?), ..Metrics::of(&evaluation)? })
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
    /// Whether it is above the genre's threshold; `None` where the model has no thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<bool>,
}

/// Names the genres of posters, one at a time.
pub struct Predictor {
    meta: ModelMeta,
    model: Sequential,
    decoder: Decoder,
    poster: Vec<u8>,
    image: Vec<u8>,
}

impl Predictor {
    /// For the model of a run.
    ///
    /// # Errors
    /// As [`open_run`].
    pub fn open(run: &Path, isa: Isa) -> Result<Self> {
        let (meta, model) = open_run(run, isa)?;
        let [poster, image] = [ImageSpec::POSTER, input_size(&meta)].map(|size| vec![0; size.bytes()]);
        Ok(Self { meta, model, decoder: Decoder::new(), poster, image })
    }

    /// The `top` most probable genres of a poster.
    ///
    /// # Errors
    /// [`Error::Data`], naming the file and the reason, if it does not decode.
    pub fn predict(&mut self, poster: &Path, top: usize) -> Result<Prediction> {
        let decoded = self.decoder.decode_poster(poster, ImageSpec::POSTER, &mut self.poster);
        decoded.map_err(|why| Error::data(poster, why.to_string(), "name a whole JPEG file"))?;
        let (classes, views) = (self.meta.genres.len(), self.meta.views.all());
        let (mut logits, mut probabilities) = (vec![0.0; classes], vec![0.0; classes]);
        for &view in &views {
            let transform = Transform { size: input_size(&self.meta), look: Look::View(view) };
            Transformer::new(transform).apply(&self.poster, ImageSpec::POSTER, 0, &mut self.image);
            let of_view = self.model.forward(Input::U8(&self.image), Pass::Inference).values();
            logits.iter_mut().zip(of_view).for_each(|(sum, logit)| *sum += logit / views.len() as f32);
        }
        self.meta.head.probabilities(classes, &logits, &mut probabilities);
        let named = |genre: usize| GenreProbability {
            genre: self.meta.genres[genre].clone(),
            probability: probabilities[genre],
            predicted: self.meta.thresholds.as_ref().map(|thresholds| probabilities[genre] > thresholds[genre]),
        };
        let predictions = top_k(&probabilities, top).into_iter().map(named).collect();
        Ok(Prediction { poster: poster.display().to_string(), predictions })
    }
}
