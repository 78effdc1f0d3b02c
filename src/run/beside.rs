//! What a run is taught beside the genres: what the files say, and the posters without genres.

use crate::data::auxiliary::{Auxiliary, Taught, drop_twins_of_others, limit_to};
use crate::data::films::Films;
use crate::data::frames::Frame;
use crate::data::ledger::Ledger;
use crate::error::Result;
use crate::progress::Progress;
use crate::run::options::Options;
use crate::run::posters::Posters;
use serde::Serialize;
use std::collections::BTreeSet;

/// The files beside `genres.csv` that a run asks for, and the posters of films without genres that it
/// trains on.
pub(crate) struct Beside {
    auxiliary: Auxiliary,
    /// The ids of these posters, sorted.
    pub without_genres: Vec<u64>,
    left_out: Ledger,
}

impl Beside {
    /// Reads the files, and chooses the posters for a frame; `None` where the options ask for nothing.
    ///
    /// # Errors
    /// If a file is missing or cannot be used, or a poster's file cannot be read.
    pub fn of(options: &Options, films: &Films, frame: &Frame, progress: &dyn Progress) -> Result<Option<Self>> {
        let Some(auxiliary) = Auxiliary::read(&options.data, &options.recipe.auxiliary, films)? else {
            return Ok(None);
        };
        let warnings = auxiliary.values.iter().flat_map(|of| &of.warnings);
        warnings.for_each(|warning| progress.note(&format!("warning: {warning}")));
        let mut left_out = Ledger::default();
        let without_genres = auxiliary.posters_without_genres(films, options.held_out(), &mut left_out)?;
        let mut beside = Self { auxiliary, without_genres, left_out };
        beside.limit(options, films, frame);
        Ok(Some(beside))
    }

    /// Once all posters were decoded: drops those that do not decode, and those that show the picture
    /// of a film that the frame does not train on.
    pub fn keep(&mut self, options: &Options, films: &Films, posters: &Posters, frame: &Frame) {
        self.without_genres.retain(|id| !posters.refused.contains_key(id));
        let train: BTreeSet<u64> = frame.train.iter().map(|film| film.id).collect();
        let is_elsewhere = |id| !train.contains(&id);
        let (twins, left_out) = (&posters.twins_of_all, &mut self.left_out);
        drop_twins_of_others(&mut self.without_genres, twins, is_elsewhere, films, left_out);
        self.limit(options, films, frame);
    }

    /// A limit on the training films holds for all of them, and those with genres come first.
    fn limit(&mut self, options: &Options, films: &Films, frame: &Frame) {
        let room = options.limit.map(|limit| limit.saturating_sub(frame.train.len()));
        limit_to(&mut self.without_genres, room, films, &mut self.left_out);
    }

    /// What the experiment with that frame is taught.
    ///
    /// # Errors
    /// If no value of a file is frequent enough to be learned.
    pub fn taught(&self, options: &Options, frame: &Frame) -> Result<Taught> {
        self.auxiliary.taught(&options.data, &frame.train, &self.without_genres)
    }

    /// What is written down of it.
    pub fn into_ledger(self, taught: &Taught) -> BesideLedger {
        let heads = taught.heads.all.iter().zip(self.auxiliary.values).map(|(head, values)| HeadLedger {
            head: head.topic.name(),
            file: head.topic.file(),
            rows: values.rows,
            rows_of_others: values.others,
            films: head.films.len(),
            classes: head.classes.clone(),
            left_out: values.ledger,
        });
        BesideLedger {
            heads: heads.collect(),
            posters_without_genres: self.without_genres.len(),
            posters_left_out: self.left_out,
        }
    }
}

/// What `ledger.json` says of auxiliary heads.
#[derive(Debug, Serialize)]
pub(crate) struct BesideLedger {
    heads: Vec<HeadLedger>,
    /// How many posters without genres are trained on.
    pub posters_without_genres: usize,
    /// Which of the others are not, and why.
    pub posters_left_out: Ledger,
}

#[derive(Debug, Serialize)]
struct HeadLedger {
    head: &'static str,
    file: &'static str,
    rows: u64,
    /// Rows about films that have no poster.
    rows_of_others: u64,
    /// How many training films have labels.
    films: usize,
    classes: Vec<String>,
    left_out: Ledger,
}
