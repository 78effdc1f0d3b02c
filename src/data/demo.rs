//! Synthetic film posters in the Letterboxd layout, to train on when the real posters are not at
//! hand.
//!
//! What a poster shows depends on the genres of its film. Each of ten genres has a motif of shapes
//! and textures, drawn under a random light, with a title, grain and, at times, a small piece of
//! another genre as a distraction. A genre favours some palettes, but only a little, so that the
//! mean colour of a poster is a poor guide (a test makes sure of it) and a network has something to
//! learn. The set also has the flaws of the real one: see [`draw`].

mod canvas;
mod genres;
mod patterns;
mod poster;

use std::fmt::{self, Write};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::OnceLock;

use jpeg_encoder::EncodingError;
use rayon::prelude::*;

use self::canvas::Dice;
use self::genres::GENRES;
use self::patterns::System;
use crate::files::{self, Claim, Lock};
use crate::rng::{Purpose, stream};
use crate::{Error, Result};

/// The id of the poster that has no film; the ids of the films follow it without a gap.
const STRAY: u64 = 1_000_000;
/// The id of the film that has no poster.
const UNSEEN: u64 = STRAY + 3;
/// The id of the film with four genres.
const CROWDED: u64 = STRAY + 5;
/// The id of the film whose poster breaks off in the middle of the file.
const BROKEN: u64 = STRAY + 8;
/// The numbers of films that a set can have: from the fewest that show all the flaws to as many as
/// the real set has, and more.
const FILMS: RangeInclusive<usize> = 10..=1_000_000;

/// The numbers of kinds of patterns that a set can have: as many as there may be genres.
const KINDS: RangeInclusive<usize> = 2..=65_536;

/// The name of the file that says what the folder is.
const NOTE: &str = "README.txt";

/// The file that is locked while a set is drawn.
const LOCK: &str = ".onesheet.lock";

/// The numbers of films, rows and posters in a demo set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The number of films in `genres.csv`.
    pub films: usize,
    /// The number of these films that have exactly one genre.
    pub single_genre: usize,
    /// The number of rows in `genres.csv`, not counting the header.
    pub rows: usize,
    /// The number of files in `posters/`.
    pub posters: usize,
    /// Whether this call drew the set; a set that was there already is left as it is.
    pub drawn: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let how = if self.drawn { "drawn" } else { "already there" };
        write!(f, "{} synthetic films, {} with one genre, {how}", self.films, self.single_genre)
    }
}

/// Draws a demo set of `films` films into the folder `out`: `posters/<id>.jpg` (182x268 to
/// 230x345), `genres.csv` (`id,genre`, one row per film and genre) and a `README.txt` that calls it
/// synthetic.
///
/// About three films in five have one genre, the others two or three. Every set has one film
/// without a poster, one poster without a film, one film with four genres and one poster that
/// breaks off halfway.
///
/// A film is determined by `seed` and its id: the same arguments give the same bytes on every
/// platform, and a larger set begins with the smaller one. Posters are drawn in rayon's current
/// pool. A set that an earlier call left unfinished is drawn again; a finished one with the same
/// films and seed is left as it is.
///
/// # Errors
/// A usage error if `films` is less than 10 or more than a million, if another process draws into
/// `out`, or if it holds anything other than a demo set with these films and this seed. An I/O error if the system refuses to read
/// or write `out`.
pub fn draw(out: &Path, films: usize, seed: u64) -> Result<Summary> {
    if !FILMS.contains(&films) {
        return Err(Error::usage(
            format!("a demo set cannot have {films} films"),
            format!("ask for {} to {}", FILMS.start(), FILMS.end()),
        ));
    }
    let ids: Vec<u64> = (STRAY + 1..).take(films).collect();
    let genres: Vec<Vec<usize>> = ids.iter().map(|&id| pick_genres(id, &mut dice(seed, id))).collect();
    let summary = Summary {
        films,
        single_genre: genres.iter().filter(|genres| genres.len() == 1).count(),
        rows: genres.iter().map(Vec::len).sum(),
        posters: films, // one film has none, one poster has no film
        drawn: true,
    };
    let drawn = fill(
        out,
        &Set {
            films,
            seed,
            note: &|state| note(films, seed, state),
            ids: STRAY..=STRAY + films as u64,
            poster: &|id| {
                let mut dice = dice(seed, id);
                let genres = pick_genres(id, &mut dice);
                let mut jpeg = poster::draw(&genres, dice)?;
                if id == BROKEN {
                    jpeg.truncate(jpeg.len() / 2);
                }
                Ok((id != UNSEEN).then_some(jpeg))
            },
            rows: &|| {
                let films = ids.iter().zip(&genres);
                films
                    .flat_map(|(id, genres)| genres.iter().map(move |&genre| (*id, GENRES[genre].name.into())))
                    .collect()
            },
        },
    )?;
    Ok(Summary { drawn, ..summary })
}

/// Draws a set of `films` patterns of so many `kinds` into the folder `out`, laid out as [`draw`] does, but
/// without its flaws: each is a fractal, its kind is its only genre, and each kind has as many patterns as
/// any other, give or take one. A network that has learned to tell them apart knows something of shapes
/// (Kataoka et al. 2021, <https://arxiv.org/abs/2101.08515>). Returns whether this call drew the set, as
/// [`Summary::drawn`] does.
///
/// # Errors
/// Those of [`draw`], and a usage error if `kinds` is not from 2 to 65,536 or there are fewer films.
pub fn draw_patterns(out: &Path, films: usize, kinds: usize, seed: u64) -> Result<bool> {
    if !FILMS.contains(&films) || !KINDS.contains(&kinds) || films < kinds {
        return Err(Error::usage(
            format!("a set cannot have {films} patterns of {kinds} kinds"),
            format!("ask for {} to {} kinds, and for more patterns than that", KINDS.start(), KINDS.end()),
        ));
    }
    let systems: OnceLock<Vec<System>> = OnceLock::new();
    // The streams of the kinds end where those of all numbers do.
    let system = |kind: usize| System::new(&mut dice(seed, u64::MAX - kind as u64));
    // By one thread: one that waited here for others could be given a poster to draw, and wait for itself.
    let systems = || systems.get_or_init(|| (0..kinds).map(system).collect());
    let first = STRAY + 1;
    fill(
        out,
        &Set {
            films,
            seed,
            note: &|state| note_of_patterns(films, kinds, seed, state),
            ids: first..=STRAY + films as u64,
            poster: &|id| Ok(Some(systems()[(id - first) as usize % kinds].draw(dice(seed, id))?)),
            rows: &|| (0..films).map(|i| (first + i as u64, format!("pattern {}", i % kinds + 1))).collect(),
        },
    )
}

/// A set to draw.
struct Set<'a> {
    films: usize,
    seed: u64,
    /// The text of the note of a set, finished or not.
    note: &'a dyn Fn(State) -> String,
    ids: RangeInclusive<u64>,
    /// The JPEG of a poster; none where there is to be none.
    poster: &'a (dyn Fn(u64) -> Result<Option<Vec<u8>>, EncodingError> + Sync),
    /// The films with their genres, one row for each.
    rows: &'a dyn Fn() -> Vec<(u64, String)>,
}

/// Draws a set into a folder. Returns whether this call drew it: one that is there already stays.
fn fill(out: &Path, set: &Set) -> Result<bool> {
    let Set { films, seed, .. } = *set;
    let (finished, unfinished) = ((set.note)(State::Finished), (set.note)(State::Unfinished));
    if matches!(read_note(out)?, Folder::Noted(note) if note == finished) {
        return Ok(false);
    }
    fs::create_dir_all(out).map_err(Error::io(out, "create the folder"))?;
    let claim = Lock::try_claim(&out.join(LOCK), &format!("draws {films} films"))?;
    if let Claim::Taken { by } = &claim {
        return Err(Error::usage(format!("{} is in use: {by}", out.display()), "wait for it, or name another folder"));
    }
    // Another process may have drawn it meanwhile.
    match read_note(out)? {
        Folder::Empty => {}
        Folder::Noted(note) if note == finished => return Ok(false),
        Folder::Noted(note) if note == unfinished => {}
        Folder::Noted(_) | Folder::Other => {
            return Err(Error::usage(
                format!("{} is not empty, and not the demo set of {films} films with seed {seed}", out.display()),
                "name another folder, or remove this one",
            ));
        }
    }

    // From here on, the folder says that it is an unfinished demo set.
    put(&out.join(NOTE), &unfinished)?;
    let posters = out.join("posters");
    fs::create_dir_all(&posters).map_err(Error::io(&posters, "create the folder"))?;
    set.ids.clone().into_par_iter().try_for_each(|id| {
        let path = posters.join(format!("{id}.jpg"));
        let jpeg =
            (set.poster)(id).map_err(|error| Error::io(&path, "encode the poster")(std::io::Error::other(error)))?;
        jpeg.map_or(Ok(()), |jpeg| fs::write(&path, jpeg).map_err(Error::io(&path, "write the poster")))
    })?;
    let mut rows = String::from("id,genre\n");
    for (id, genre) in (set.rows)() {
        writeln!(rows, "{id},{genre}").expect("a string takes any text");
    }
    put(&out.join("genres.csv"), &rows)?;
    put(&out.join(NOTE), &finished)?;
    Ok(true)
}

/// The random stream of a film: first its genres are drawn from it, then its poster.
fn dice(seed: u64, id: u64) -> Dice {
    Dice(stream(seed, Purpose::Demo, id))
}

/// Draws one to three genres (four for the crowded film) without repetition, each according to its
/// share.
fn pick_genres(id: u64, dice: &mut Dice) -> Vec<usize> {
    let roll = dice.int(1, 100);
    let count = match roll {
        _ if id == CROWDED => 4,
        1..=60 => 1,
        61..=88 => 2,
        _ => 3,
    };
    let mut left: Vec<usize> = (0..GENRES.len()).collect();
    (0..count)
        .map(|_| {
            let total: usize = left.iter().map(|&genre| GENRES[genre].share).sum();
            let mut ticket = dice.int(0, total - 1);
            let winner = left.iter().position(|&genre| match ticket.checked_sub(GENRES[genre].share) {
                Some(rest) => {
                    ticket = rest;
                    false
                }
                None => true,
            });
            left.remove(winner.expect("the ticket is below the sum of all shares"))
        })
        .collect()
}

/// What a folder holds, as far as its own note tells.
enum Folder {
    /// No files but that of the lock, or the folder does not exist.
    Empty,
    /// A note with this text.
    Noted(String),
    /// Files, but no note that can be read.
    Other,
}

fn read_note(out: &Path) -> Result<Folder> {
    use std::io::ErrorKind::{InvalidData, NotFound};
    let mut entries = match files::entries(out) {
        Err(error) if error.kind() == NotFound => return Ok(Folder::Empty),
        entries => entries.map_err(Error::io(out, "read the folder"))?,
    };
    let path = out.join(NOTE);
    match files::read_small(&path) {
        Ok(note) => Ok(Folder::Noted(note)),
        Err(error) if error.kind() == NotFound && entries.all(|of| of.is_ok_and(|of| of.file_name() == LOCK)) => {
            Ok(Folder::Empty)
        }
        Err(error) if matches!(error.kind(), NotFound | InvalidData) => Ok(Folder::Other),
        Err(error) => Err(Error::io(&path, "read the file")(error)),
    }
}

/// Whether a set is whole.
#[derive(Clone, Copy)]
enum State {
    Finished,
    Unfinished,
}

impl State {
    fn line(self) -> &'static str {
        match self {
            Self::Finished => "",
            Self::Unfinished => "UNFINISHED: drawing was interrupted, or still goes on.\n",
        }
    }
}

/// The text of the note; it states the number of films and the seed, so that the folder can be
/// recognised by it.
fn note(films: usize, seed: u64, state: State) -> String {
    let state = state.line();
    format!(
        "Synthetic film posters: drawn by a program, of films that do not exist.\n{state}\n\
         films {films}\nseed {seed}\n\n\
         posters/<id>.jpg and genres.csv (id,genre: one row a film and genre) are laid out as in the Letterboxd data\n\
         set. On purpose film {UNSEEN} has no poster, poster {STRAY} has no film, film {CROWDED} has four genres, and\n\
         poster {BROKEN} breaks off halfway.\n"
    )
}

/// Likewise, of a set of patterns.
fn note_of_patterns(films: usize, kinds: usize, seed: u64, state: State) -> String {
    let state = state.line();
    format!(
        "Patterns: fractals drawn by a program, for a network to learn shapes from.\n{state}\n\
         patterns {films}\nkinds {kinds}\nseed {seed}\n\n\
         posters/<id>.jpg and genres.csv (id,genre) are laid out as in the Letterboxd data set; a pattern's kind is its\n\
         genre.\n"
    )
}

fn put(path: &Path, text: &str) -> Result<()> {
    files::write_atomically(path, |file| file.write_all(text.as_bytes()))
}
