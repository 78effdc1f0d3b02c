//! The frames of an experiment: which of the cleaned films it trains on, watches during training,
//! and is measured on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};
use serde::Serialize;

use crate::data::films::{Film, Films};
use crate::data::layout::{PosterFolder, poster_id};
use crate::data::ledger::Ledger;
use crate::data::split::{Split, rank};
use crate::error::{Error, Result};
use crate::files;
use crate::text::{cell, excerpt};

/// The fewest training films from which something can be learnt about a genre.
const FEWEST: usize = 10;

/// The file beside the frames that records the options they were made with.
const OPTIONS: &str = "options.toml";

/// An experiment's rule for choosing films.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilmRule {
    /// Every cleaned film, with all its genres.
    MultiLabel,
    /// Films with exactly one genre.
    SingleGenre,
    /// Films with exactly one genre, if that is one of the most frequent genres.
    TopGenres {
        /// The number of genres.
        count: usize,
        /// The most films of each genre, train and val taken together; `usize::MAX` is no bound.
        per_genre: usize,
        /// Whether, in train and in val, every genre is cut to the number of films of the rarest.
        balance: bool,
    },
}

/// Upper bounds on the number of films; `None` is no bound. The test films are never cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most training films.
    pub train: Option<usize>,
    /// The most validation films.
    pub val: Option<usize>,
}

/// The films of an experiment, by side of the split; each list is ordered by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The names of the classes, sorted.
    pub genres: Vec<String>,
    /// The films that the weights are fitted to.
    pub train: Vec<Film>,
    /// The films that are watched during training.
    pub val: Vec<Film>,
    /// The films that are looked at once, at the end.
    pub test: Vec<Film>,
}

impl FilmRule {
    /// The classes of a model that is trained on `films` under this rule, sorted by name.
    pub fn genres(&self, films: &Films) -> Vec<String> {
        let Self::TopGenres { count, .. } = self else { return films.genres.clone() };
        let mut support = vec![0usize; films.genres.len()];
        for film in films.films.iter().filter(|film| film.genres.len() == 1) {
            support[film.genres[0]] += 1;
        }
        let mut top: Vec<usize> = (0..support.len()).filter(|&genre| support[genre] > 0).collect();
        // Genres are numbered by name: the stable sort leaves equally frequent ones in that order.
        top.sort_by_key(|&genre| std::cmp::Reverse(support[genre]));
        top.truncate(*count);
        top.sort_unstable();
        top.into_iter().map(|genre| films.genres[genre].clone()).collect()
    }

    /// The films that a model with the classes `genres` can be asked about, and a ledger of what
    /// was left out. The rule decides which films qualify, but nothing is cut or balanced; with
    /// `split`, only the films on that side are taken. The films' genres are indexes into `genres`.
    pub fn select(&self, films: &Films, genres: &[String], split: Option<Split>) -> (Vec<Film>, Ledger) {
        const MORE_THAN_ONE: &str = "films with more than one genre";
        const OTHER_GENRE: &str = "films with a genre that is not one of the model's";
        let mut ledger = Ledger::default();
        if *self != Self::MultiLabel {
            ledger.declare(MORE_THAN_ONE);
        }
        ledger.declare(OTHER_GENRE);
        let other_side = split.map(|split| format!("films that are not in {split}"));
        other_side.iter().for_each(|reason| ledger.declare(reason));

        let classes: HashMap<&String, usize> = genres.iter().zip(0..).collect();
        let class: Vec<Option<usize>> = films.genres.iter().map(|name| classes.get(name).copied()).collect();
        let mut chosen = Vec::new();
        for film in &films.films {
            let known: Option<Vec<usize>> = film.genres.iter().map(|&genre| class[genre]).collect();
            if *self != Self::MultiLabel && film.genres.len() > 1 {
                ledger.add(MORE_THAN_ONE, film.id.to_string());
            } else if let Some(genres) = known {
                match &other_side {
                    Some(reason) if split != Some(Split::of(film.id)) => ledger.add(reason, film.id.to_string()),
                    _ => chosen.push(Film { id: film.id, genres }),
                }
            } else {
                ledger.add(OTHER_GENRE, film.id.to_string());
            }
        }
        (chosen, ledger)
    }
}

impl Frame {
    /// The names of the files that [`Frame::write_csv`] writes.
    pub const FILES: [&str; 4] = ["train.csv", "val.csv", "test.csv", OPTIONS];

    /// Chooses the films of an experiment, then splits, cuts and limits them. The ledger counts
    /// what was left out.
    ///
    /// Which films survive a cut depends on nothing but the films: those within a smaller limit are
    /// among those within a larger one. A frame of balanced genres that is limited stays balanced
    /// to within one film.
    pub fn new(films: &Films, rule: &FilmRule, limits: Limits) -> (Self, Ledger) {
        let genres = rule.genres(films);
        let (chosen, mut ledger) = rule.select(films, &genres, None);
        let mut frame = Self { genres, train: Vec::new(), val: Vec::new(), test: Vec::new() };
        for film in chosen {
            frame.side_mut(Split::of(film.id)).push(film);
        }
        let balanced = frame.cut(rule, &mut ledger);
        frame.limit(limits, balanced, &mut ledger);
        (frame, ledger)
    }

    /// Cuts train and val to the limits; where they are `balanced`, the genres take turns.
    fn limit(&mut self, limits: Limits, balanced: bool, ledger: &mut Ledger) {
        for (split, limit) in [(Split::Train, limits.train), (Split::Val, limits.val)] {
            let Some(limit) = limit else { continue };
            let side = self.side_mut(split);
            side.sort_by_cached_key(|film| rank(film.id));
            if balanced {
                deal_by_genre(side);
            }
            let reason = format!("{split} films beyond the limit of {limit}");
            ledger.declare(&reason);
            for film in side.drain(limit.min(side.len())..) {
                ledger.add(&reason, film.id.to_string());
            }
        }
        for split in Split::ALL {
            self.side_mut(split).sort_unstable_by_key(|film| film.id);
        }
    }

    /// Caps the number of films of each genre in train and val. Returns whether these are balanced
    /// afterwards.
    fn cut(&mut self, rule: &FilmRule, ledger: &mut Ledger) -> bool {
        let &FilmRule::TopGenres { per_genre, balance, .. } = rule else { return false };
        let mut both: Vec<Film> = self.train.drain(..).chain(self.val.drain(..)).collect();
        both.sort_by_cached_key(|film| rank(film.id));
        if per_genre < usize::MAX {
            cap(&mut both, per_genre, ledger, &format!("films beyond {per_genre} of their genre"));
        }
        for film in both {
            self.side_mut(Split::of(film.id)).push(film);
        }
        if balance {
            for split in [Split::Train, Split::Val] {
                let mut support = vec![0; self.genres.len()];
                for film in self.side(split) {
                    support[film.genres[0]] += 1;
                }
                let smallest = support.into_iter().filter(|&films| films > 0).min().unwrap_or(0);
                let reason = format!("{split} films beyond {smallest} of their genre, for balance");
                cap(self.side_mut(split), smallest, ledger, &reason);
            }
        }
        balance
    }

    /// The films on one side of the split.
    pub fn side(&self, split: Split) -> &[Film] {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
            Split::Test => &self.test,
        }
    }

    fn side_mut(&mut self, split: Split) -> &mut Vec<Film> {
        match split {
            Split::Train => &mut self.train,
            Split::Val => &mut self.val,
            Split::Test => &mut self.test,
        }
    }

    /// The ids of all films of the frame, sorted.
    pub fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = Split::ALL.iter().flat_map(|&s| self.side(s)).map(|film| film.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Drops the films for whose ids `refused` holds: those whose posters do not decode.
    pub fn without(&mut self, refused: impl Fn(u64) -> bool) {
        for split in Split::ALL {
            self.side_mut(split).retain(|film| !refused(film.id));
        }
    }

    /// The genres about which little can be learnt or said: those without a film on some side of the
    /// split, or with fewer than ten training films; in the order of the names.
    pub fn rare(&self) -> Vec<RareGenre> {
        let mut support = vec![[0; 3]; self.genres.len()];
        for (at, &split) in Split::ALL.iter().enumerate() {
            self.side(split).iter().flat_map(|film| &film.genres).for_each(|&genre| support[genre][at] += 1);
        }
        let of =
            |(genre, &[train, val, test]): (&String, &[usize; 3])| RareGenre { genre: genre.clone(), train, val, test };
        let all = self.genres.iter().zip(&support).map(of);
        all.filter(|of| of.train < FEWEST || of.val == 0 || of.test == 0).collect()
    }

    /// Writes `train.csv`, `val.csv` and `test.csv` into `folder`, which is made if it does not
    /// exist. The files have the columns `filename` and `genres` (joined by `|`, as a
    /// [`cell`] that is no formula) and one row per film, in the order of the ids. Each file is
    /// whole or absent. `options.toml`, written last, records what the frames were made with, for
    /// [`Frame::read_back`].
    ///
    /// # Errors
    /// If the folder cannot be made or written.
    pub fn write_csv(&self, folder: &Path, posters: &PosterFolder, options: &str) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
        let note = folder.join(OPTIONS);
        if note.exists() {
            std::fs::remove_file(&note).map_err(Error::io(&note, "replace the frames"))?;
        }
        for split in Split::ALL {
            let path = csv_path(folder, split);
            files::write_csv(&path, |csv| {
                csv.write_record(["filename", "genres"])?;
                self.side(split).iter().try_for_each(|film| {
                    let names: Vec<&str> = film.genres.iter().map(|&genre| self.genres[genre].as_str()).collect();
                    csv.write_record([&*posters.name(film.id), &*cell(&names.join("|"))])
                })
            })?;
        }
        files::write_atomically(&note, |file| file.write_all(options.as_bytes()))
    }

    /// The frames in `folder`; `None` if there are none, or they were made with other `options`.
    ///
    /// # Errors
    /// Those of [`Frame::read_csv`]; also if a film has several genres where the rule allows one.
    pub fn read_back(folder: &Path, rule: &FilmRule, options: &str, films: &Films) -> Result<Option<Self>> {
        if std::fs::read_to_string(folder.join(OPTIONS)).ok().as_deref() != Some(options) {
            return Ok(None);
        }
        let frame = Self::read_csv(folder, rule.genres(films))?;
        let several = Split::ALL.iter().flat_map(|&split| frame.side(split)).find(|film| film.genres.len() > 1);
        match several {
            Some(film) if *rule != FilmRule::MultiLabel => {
                let what = format!("film {} has several genres, in an experiment of films with one", film.id);
                Err(Error::data(folder, what, "repair the row, or remove the folder to have the frames made again"))
            }
            _ => Ok(Some(frame)),
        }
    }

    /// Reads the files that [`Frame::write_csv`] wrote; `genres` are the names of the classes,
    /// sorted.
    ///
    /// # Errors
    /// If a file is missing, if a row is anything but a poster's name and genres that are all in
    /// `genres`, or if a film is there twice.
    pub fn read_csv(folder: &Path, genres: Vec<String>) -> Result<Self> {
        let mut seen = HashSet::new();
        let mut read = |split| read_side(&csv_path(folder, split), &genres, &mut seen);
        let (train, val, test) = (read(Split::Train)?, read(Split::Val)?, read(Split::Test)?);
        Ok(Self { genres, train, val, test })
    }
}

/// A genre with few films in a frame, and how many there are on each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RareGenre {
    /// The name of the genre.
    pub genre: String,
    /// The number of training films that have it.
    pub train: usize,
    /// The number of validation films that have it.
    pub val: usize,
    /// The number of test films that have it.
    pub test: usize,
}

impl RareGenre {
    /// A phrase that names the first few of them, such as "2 genres have few films (train/val/test):
    /// War 3/1/0, .."; `None` where there are none.
    pub fn phrase(all: &[Self]) -> Option<String> {
        const SHOWN: usize = 5;
        let named: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
        let dots = if all.len() > SHOWN { ", ..." } else { "" };
        let subject = if all.len() == 1 { "1 genre has" } else { &format!("{} genres have", all.len()) };
        (!all.is_empty()).then(|| format!("{subject} few films (train/val/test): {}{dots}", named.join(", ")))
    }
}

impl fmt::Display for RareGenre {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { genre, train, val, test } = self;
        write!(f, "{} {train}/{val}/{test}", excerpt(genre))
    }
}

fn csv_path(folder: &Path, split: Split) -> PathBuf {
    folder.join(format!("{split}.csv"))
}

/// The films of one file, ordered by id; `seen` holds the ids from all files read so far.
fn read_side(path: &Path, genres: &[String], seen: &mut HashSet<u64>) -> Result<Vec<Film>> {
    let remedy = "repair the row, or remove the folder to have the frames made again";
    let file = std::fs::File::open(path).map_err(Error::io(path, "read the frame"))?;
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
    if reader.headers().map_err(|e| from_csv(path, e))? != ["filename", "genres"].as_slice() {
        return Err(Error::row(path, 1, "the header is not `filename,genres`", remedy));
    }
    let mut classes: HashMap<_, usize> = genres.iter().map(|name| name.as_str().into()).zip(0..).collect();
    // The first name of a cell may be written so that the cell is no formula.
    for (name, class) in genres.iter().zip(0..) {
        classes.entry(cell(name)).or_insert(class);
    }
    let mut films = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| from_csv(path, e))? {
        let bad = |what: String| Error::row(path, record.position().map_or(0, csv::Position::line), what, remedy);
        let (Some(name), Some(names), 2) = (record.get(0), record.get(1), record.len()) else {
            return Err(bad(format!("{} fields instead of 2", record.len())));
        };
        let id =
            poster_id(name).ok_or_else(|| bad(format!("`{}` is no poster's name such as 123.jpg", excerpt(name))))?;
        if !seen.insert(id) {
            return Err(bad(format!("{} is there twice", excerpt(name))));
        }
        let mut indexes = Vec::new();
        for name in names.split('|') {
            let class = classes.get(name).copied();
            indexes.push(class.ok_or_else(|| bad(format!("`{}` is not a genre of this run", excerpt(name))))?);
        }
        indexes.sort_unstable();
        if indexes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(bad(format!("`{}` names a genre twice", excerpt(names))));
        }
        films.push(Film { id, genres: indexes });
    }
    films.sort_by_key(|film| film.id);
    Ok(films)
}

/// The error for a failure of the CSV reader itself.
fn from_csv(path: &Path, error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io(path, "read the frame")(source),
        _ => Error::data(path, "not a CSV file in UTF-8", "remove the folder to have the frames made again"),
    }
}

/// Keeps the first `limit` films of each genre. Each film has one genre, and the films are in the
/// order of their ranks.
fn cap(films: &mut Vec<Film>, limit: usize, ledger: &mut Ledger, reason: &str) {
    ledger.declare(reason);
    let mut turns = turns(films).into_iter();
    films.retain(|film| {
        let keep = turns.next().is_some_and(|turn| turn < limit);
        if !keep {
            ledger.add(reason, film.id.to_string());
        }
        keep
    });
}

/// Orders films with one genre each as cards are dealt: one of each genre, then the next of each.
fn deal_by_genre(films: &mut Vec<Film>) {
    let mut dealt: Vec<(usize, Film)> = turns(films).into_iter().zip(films.drain(..)).collect();
    dealt.sort_by_key(|&(turn, _)| turn);
    films.extend(dealt.into_iter().map(|(_, film)| film));
}

/// The number of films of the same genre that come before each film.
fn turns(films: &[Film]) -> Vec<usize> {
    let mut seen = BTreeMap::<usize, usize>::new();
    let turn = |film: &Film| {
        let seen = seen.entry(film.genres[0]).or_default();
        *seen += 1;
        *seen - 1
    };
    films.iter().map(turn).collect()
}
