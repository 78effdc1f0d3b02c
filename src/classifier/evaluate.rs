//! What a classifier's answers on a folder of posters are worth. The posters are decoded as they
//! come, without a cache.

use crate::classifier::Classifier;
use crate::classifier::answers::{Answers, Question};
use crate::classifier::experiment::Experiment;
use crate::data::batches::Source;
use crate::data::decode::ImageSpec;
use crate::data::films::Films;
use crate::data::refusal::{OnBadImage, Refusal};
use crate::data::split::Split;
use crate::data::transform::Views;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::{Evaluation, Metrics};
use std::path::Path;

/// Films per batch: enough to keep every core busy, little memory.
const BATCH: usize = 32;

/// Which films a classifier is measured on, and how.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    /// A folder in the Letterboxd layout.
    pub data: &'a Path,
    /// The side of the split that the films are on; `None` takes all.
    pub split: Option<Split>,
    /// The views that the answers are averaged over; `None` takes the classifier's own.
    pub views: Option<Views>,
}

impl Classifier {
    /// Measures the classifier on the films that its experiment's rule admits, unbalanced. What is
    /// left out is noted by reason.
    ///
    /// # Errors
    /// If the folder cannot be used, or no film is left.
    pub fn evaluate(&mut self, on: Examination, progress: &dyn Progress) -> Result<Metrics> {
        let experiment = Experiment::named(&self.meta.experiment).ok_or_else(|| {
            let what = format!("the model is of an unknown experiment, {}", self.meta.experiment);
            Error::usage(what, "use a newer version of this program")
        })?;
        let films = Films::open(on.data, self.meta.max_genres)?;
        films.warnings.iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
        let rule = experiment.film_rule(usize::MAX, false);
        let (chosen, left_out) = rule.select(&films, &self.meta.genres, on.split);
        let mut ledger = films.ledger.clone();
        ledger.extend(left_out);

        let split = on.split.map_or("all".to_string(), |split| split.to_string());
        let source =
            &Source::Files { posters: films.posters.clone(), spec: ImageSpec::POSTER, on_bad_image: OnBadImage::Skip };
        let views = on.views.unwrap_or(self.meta.views);
        let question = Question { films: &chosen, source, views, batch: BATCH, name: &split };
        let answers = self.answers(question, progress)?;
        ledger.extend(Refusal::ledger(answers.refused.iter().map(|(id, refusal)| (films.posters.name(*id), refusal))));
        progress.note(&format!("left out:\n{ledger}"));
        if answers.ids.is_empty() {
            let what = format!("no film is left to measure {} on", experiment.name);
            return Err(Error::data(on.data, what, "see above what was left out, or choose another side of the split"));
        }
        Metrics::with_intervals(&self.evaluation(&split, &answers))
    }

    /// The answers beside the truth, to be measured.
    pub fn evaluation<'a>(&'a self, split: &'a str, answers: &'a Answers) -> Evaluation<'a> {
        Evaluation {
            experiment: &self.meta.experiment,
            split,
            head: self.meta.head,
            genres: &self.meta.genres,
            probabilities: &answers.probabilities,
            labels: &answers.labels,
            loss: answers.loss,
            thresholds: self.meta.thresholds.as_deref(),
        }
    }
}
