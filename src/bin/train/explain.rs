//! The part of `train predict` that says what the model looked at.

use crate::args::PredictArgs;
use onesheet::classifier::Classifier;
use onesheet::classifier::explain::Method;
use onesheet::classifier::predict::Prediction;
use onesheet::text::excerpt;
use onesheet::{Error, Result};
use serde::Serialize;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The most genres that an error names.
const NAMED: usize = 20;

/// A prediction and, where it is asked for, its explanation.
#[derive(Serialize)]
pub struct Answer {
    #[serde(flatten)]
    pub prediction: Prediction,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// A picture of what speaks for a genre.
#[derive(Serialize)]
pub struct Explanation {
    /// The picture's file.
    pub file: String,
    pub genre: String,
    pub method: Method,
}

impl From<Prediction> for Answer {
    fn from(prediction: Prediction) -> Self {
        Self { prediction, explanation: None }
    }
}

/// What is to be explained, and where the pictures go.
pub struct Explainer {
    folder: PathBuf,
    /// `None` is the most probable one of each poster.
    genre: Option<usize>,
    method: Method,
}

impl Explainer {
    /// What the options ask for, if they do; makes the folder.
    ///
    /// # Errors
    /// If the model has no such genre or does not allow the method, or the pictures cannot go there.
    pub fn new(args: &PredictArgs, classifier: &Classifier) -> Result<Option<Self>> {
        let Some(folder) = args.explain.clone() else { return Ok(None) };
        let genre = args.explain_genre.as_deref().map(|name| genre_named(name, &classifier.meta.genres)).transpose()?;
        let method = args.explain_by.unwrap_or_else(|| classifier.best_method());
        classifier.check_method(method)?;
        if folder.is_file() {
            let what = format!("--explain {} names a file", folder.display());
            return Err(Error::usage(what, "name a folder for the pictures, and the posters after it"));
        }
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "make the folder"))?;
        let is_folder = |poster: &&PathBuf| same_folder(poster, &folder);
        if let Some(posters) = args.posters.iter().find(is_folder) {
            let what = format!("--explain names the folder of the posters, {}", posters.display());
            return Err(Error::usage(what, "name another: the pictures would be taken for posters the next time"));
        }
        Ok(Some(Self { folder, genre, method }))
    }

    /// Like [`Classifier::predict_all`], with a picture for each poster.
    ///
    /// # Errors
    /// Those of [`Classifier::predict_all`], and [`Error::Io`] where a picture cannot be written.
    pub fn predict_all(
        &self,
        classifier: &mut Classifier,
        posters: impl Iterator<Item = Result<PathBuf>>,
        top: usize,
        mut each: impl FnMut(Result<Answer>) -> ControlFlow<()>,
    ) -> Result<()> {
        for poster in posters {
            let answer = match self.answer(classifier, &poster?, top) {
                // It is about this poster; others end the work.
                Err(error) if !matches!(error, Error::Data { .. }) => return Err(error),
                answer => answer,
            };
            if each(answer).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, classifier: &mut Classifier, poster: &Path, top: usize) -> Result<Answer> {
        let explained = classifier.predict_and_explain(poster, top, self.genre, self.method)?;
        let genre = classifier.meta.genres[explained.map.genre].clone();
        let file = explained.picture.write(&self.folder, poster, &genre)?;
        let explanation = Explanation { file: file.to_string_lossy().into_owned(), genre, method: self.method };
        Ok(Answer { prediction: explained.prediction, explanation: Some(explanation) })
    }
}

/// The genre of that name; where none is written like this, the one that differs in case alone.
fn genre_named(name: &str, genres: &[String]) -> Result<usize> {
    let exact = genres.iter().position(|genre| genre == name);
    let alike = || genres.iter().position(|genre| genre.to_lowercase() == name.to_lowercase());
    exact.or_else(alike).ok_or_else(|| {
        let mut known: Vec<String> = genres.iter().take(NAMED).map(|genre| excerpt(genre)).collect();
        known.extend((genres.len() > NAMED).then(|| "...".to_owned()));
        Error::usage(format!("the model has no genre {}", excerpt(name)), format!("name one of {}", known.join(", ")))
    })
}

/// Whether both are the same folder, by whatever name.
fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
