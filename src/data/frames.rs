//! The frames of an experiment: which of the cleaned films it trains on, watches during training,
//! and is measured on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::Serialize;

use crate::data::films::{Film, Films};
use crate::data::ledger::Ledger;
use crate::data::split::{Fold, Sides, Split, rank};
use crate::text::excerpt;

/// The fewest training films from which something can be learnt about a genre.
const FEWEST: usize = 10;

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

/// A side of the split, of which it is known that some films are on other sides than their ids say.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The side.
    pub split: Split,
    /// The sides of the films that are known; those of others are what their ids say.
    pub known: &'a BTreeMap<u64, Split>,
}

impl Side<'_> {
    /// Whether the film `id` is on this side.
    fn has(self, id: u64) -> bool {
        self.split == self.known.get(&id).copied().unwrap_or_else(|| Split::of(id))
    }
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
    /// `side`, only the films on that side are taken. The films' genres are indexes into `genres`.
    pub fn select(&self, films: &Films, genres: &[String], side: Option<Side>) -> (Vec<Film>, Ledger) {
        const MORE_THAN_ONE: &str = "films with more than one genre";
        const OTHER_GENRE: &str = "films with a genre that is not one of the model's";
        let mut ledger = Ledger::default();
        if *self != Self::MultiLabel {
            ledger.declare(MORE_THAN_ONE);
        }
        ledger.declare(OTHER_GENRE);
        let other_side = side.map(|side| format!("films that are not in {}", side.split));
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
                    Some(reason) if side.is_some_and(|side| !side.has(film.id)) => {
                        ledger.add(reason, film.id.to_string())
                    }
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
        frame.arrange(rule, limits, &mut ledger);
        (frame, ledger)
    }

    /// Moves those films of a frame that are in `sides` to the sides that stand there, or out of it where
    /// none does, then cuts and limits it again under the rule and limits that it was made with. The
    /// ledger counts what was left out.
    pub fn move_films(&mut self, sides: &Sides, rule: &FilmRule, limits: Limits, ledger: &mut Ledger) {
        let mut moved = Vec::new();
        for split in Split::ALL {
            let leaves = |film: &mut Film| sides.get(&film.id).is_some_and(|&to| to != Some(split));
            moved.extend(self.side_mut(split).extract_if(.., leaves));
        }
        if moved.is_empty() {
            return;
        }
        for film in moved {
            match sides[&film.id] {
                Some(split) => self.side_mut(split).push(film),
                None => ledger.add("films whose picture is that of a test film", film.id.to_string()),
            }
        }
        self.arrange(rule, limits, ledger);
    }

    /// Cuts the films of each side as the rule and the limits say, and orders what is left.
    fn arrange(&mut self, rule: &FilmRule, limits: Limits, ledger: &mut Ledger) {
        let balanced = self.cut(rule, ledger);
        self.limit(limits, balanced, ledger);
    }

    /// Takes the films of a fold out of train and val and keeps them for the end, in the place of the
    /// test films, which leave the frame and are returned. The ledger counts these.
    pub fn hold_out(&mut self, fold: Fold, ledger: &mut Ledger) -> Vec<u64> {
        const TEST: &str = "test films, which cross-fitting leaves alone";
        ledger.declare(TEST);
        let left_alone: Vec<u64> = self.test.drain(..).map(|film| film.id).collect();
        left_alone.iter().for_each(|id| ledger.add(TEST, id.to_string()));
        for side in [&mut self.train, &mut self.val] {
            self.test.extend(side.extract_if(.., |film| fold.has(film.id)));
        }
        self.test.sort_unstable_by_key(|film| film.id);
        left_alone
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
        let val: BTreeSet<u64> = self.val.iter().map(|film| film.id).collect();
        let mut both: Vec<Film> = self.train.drain(..).chain(self.val.drain(..)).collect();
        both.sort_by_cached_key(|film| rank(film.id));
        if per_genre < usize::MAX {
            cap(&mut both, per_genre, ledger, &format!("films beyond {per_genre} of their genre"));
        }
        (self.val, self.train) = both.into_iter().partition(|film| val.contains(&film.id));
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

    /// A checksum of the classes and of all films with their genres and sides.
    pub fn digest(&self) -> u32 {
        let mut digest = crc32fast::Hasher::new();
        self.genres.iter().for_each(|genre| digest.update(format!("{genre}\n").as_bytes()));
        for split in Split::ALL {
            digest.update(format!("{split}\n").as_bytes());
            let films = self.side(split).iter();
            films.for_each(|film| digest.update(format!("{} {:?}\n", film.id, film.genres).as_bytes()));
        }
        digest.finalize()
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
