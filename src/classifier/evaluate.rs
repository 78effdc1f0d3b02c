//! What a classifier's answers on a folder of posters are worth. The posters are decoded as they
//! come, without a cache.

use crate::classifier::Classifier;
use crate::classifier::answers::{Answers, BATCH, Question};
use crate::classifier::experiment::Experiment;
use crate::classifier::seen::Seen;
use crate::data::batches::Source;
use crate::data::decode::ImageSpec;
use crate::data::films::{Film, Films};
use crate::data::frames::Side;
use crate::data::ledger::Ledger;
use crate::data::refusal::{OnBadImage, Refusal};
use crate::data::split::Split;
use crate::data::transform::Views;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::ranks::Team;
use crate::report::{Evaluation, Metrics};
use std::collections::BTreeMap;
use std::path::Path;

/// Which films a classifier is measured on, and how.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    /// A folder in the Letterboxd layout.
    pub data: &'a Path,
    /// Which of its films are measured.
    pub films: Which,
    /// The films that the classifier has seen; `None` where that is not known.
    pub seen: Option<&'a Seen>,
    /// The views that the answers are averaged over; `None` takes the classifier's own.
    pub views: Option<Views>,
}

/// Which films of a folder a classifier is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that it has not seen.
    Unseen,
    /// All, seen or not.
    All,
    /// Those on one side of the split, seen or not.
    Side(Split),
}

impl Classifier {
    /// Measures the classifier on the films that its experiment's rule admits, unbalanced. What is
    /// left out is noted by reason.
    ///
    /// # Errors
    /// If the folder cannot be used, or no film is left.
    pub fn evaluate(&mut self, on: Examination, progress: &dyn Progress) -> Result<Metrics> {
        self.evaluate_among(&Team::default(), on, progress)
    }

    /// Like [`evaluate`](Self::evaluate), with the films shared out among ranks that all ask for the same.
    ///
    /// # Errors
    /// Those of [`evaluate`](Self::evaluate).
    pub fn evaluate_among(&mut self, team: &Team, on: Examination, progress: &dyn Progress) -> Result<Metrics> {
        let experiment = Experiment::named(&self.meta.experiment).ok_or_else(|| {
            let what = format!("the model is of an unknown experiment, {}", self.meta.experiment);
            Error::usage(what, "use a newer version of this program")
        })?;
        let films = Films::open(on.data, Some(self.meta.max_genres))?;
        films.warnings.iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
        let rule = experiment.film_rule(usize::MAX, false);
        let known = on.seen.map(|seen| seen.sides(&films)).unwrap_or_default();
        let side = if let Which::Side(split) = on.films { Some(Side { split, known: &known }) } else { None };
        let (mut chosen, left_out) = rule.select(&films, &self.meta.genres, side);
        let mut ledger = films.ledger.clone();
        ledger.extend(left_out);
        let split = leave_seen(on, &known, &mut chosen, &mut ledger, progress);
        let source =
            &Source::Files { posters: films.posters.clone(), spec: ImageSpec::POSTER, on_bad_image: OnBadImage::Skip };
        let views = on.views.unwrap_or(self.meta.views);
        let question = Question { films: &chosen, source, views, batch: BATCH, name: &split, team };
        let answers = self.answers(question, progress)?;
        ledger.extend(Refusal::ledger(answers.refused.iter().map(|(id, refusal)| (films.posters.name(*id), refusal))));
        progress.note(&format!("left out:\n{ledger}"));
        if answers.ids.is_empty() {
            let what = format!("no film is left to measure {} on", experiment.name);
            let remedy = match ledger.count(SEEN) {
                0 => "see above what was left out, or choose another side of the split",
                _ => "`--split all` measures it on the films that it was trained with, too",
            };
            return Err(Error::data(on.data, what, remedy));
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

/// The reason for which films are left out that would flatter the classifier.
const SEEN: &str = "films that the model was trained or chosen with";

/// Says how many of the films the classifier has seen, leaves them out where only others are to be
/// measured, and returns the name of the set that is left.
fn leave_seen(
    on: Examination,
    sides: &BTreeMap<u64, Split>,
    chosen: &mut Vec<Film>,
    ledger: &mut Ledger,
    progress: &dyn Progress,
) -> String {
    let name = match on.films {
        Which::Side(side) => side.to_string(),
        Which::Unseen | Which::All => "all".to_owned(),
    };
    if on.seen.is_none() {
        progress.note("there are no frames beside the model: which films it was trained with is not known");
        return name;
    }
    if on.seen.is_some_and(|seen| !seen.is_whole()) {
        progress.note("which films the models were trained with that it started or learned from is not known");
    }
    let is_seen = |film: &Film| sides.get(&film.id).is_some_and(|&side| side != Split::Test);
    let (known, all) = (chosen.iter().filter(|film| is_seen(film)).count(), chosen.len());
    if known == 0 {
        return name;
    }
    let share = format!("the model was trained or chosen with {known} of these {all} films");
    if on.films != Which::Unseen {
        progress.note(&format!("warning: {share}, and answers them better than others"));
        return name;
    }
    progress.note(&format!("{share}: the others are measured"));
    chosen.retain(|film| {
        let is_seen = is_seen(film);
        if is_seen {
            ledger.add(SEEN, film.id.to_string());
        }
        !is_seen
    });
    "unseen".to_owned()
}
