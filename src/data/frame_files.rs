//! The files of a frame: its films as CSV, for a reader and for a later run.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};

use crate::data::films::{Film, Films};
use crate::data::frames::{FilmRule, Frame};
use crate::data::layout::{PosterFolder, poster_id};
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::files;
use crate::text::{cell, excerpt, of_cell};

/// The file beside the frames that records the options they were made with.
const OPTIONS: &str = "options.toml";
/// The file of the films without genres that are trained on, too.
pub(crate) const WITHOUT_GENRES: &str = "without_genres.csv";

impl Frame {
    /// The names of the files of a frame.
    pub const FILES: [&str; 5] = ["train.csv", "val.csv", "test.csv", OPTIONS, WITHOUT_GENRES];

    /// Writes `train.csv`, `val.csv` and `test.csv` into `folder`, which is made if it does not
    /// exist. The files have the columns `filename` and `genres` (joined by `|`, as a
    /// [`cell`] that is no formula) and one row per film, in the order of the ids. Each file is
    /// whole or absent. `options.toml`, written last, records what the frames were made with, for
    /// [`Frame::read_back`]. Films without genres, of which there may be none, follow by
    /// `write_without_genres`.
    ///
    /// # Errors
    /// If the folder cannot be made or written.
    pub fn write_csv(&self, folder: &Path, posters: &PosterFolder, options: &str) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
        let note = folder.join(OPTIONS);
        for old in [&note, &folder.join(WITHOUT_GENRES)].into_iter().filter(|old| old.exists()) {
            std::fs::remove_file(old).map_err(Error::io(old, "replace the frames"))?;
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
        if files::read_regular(&folder.join(OPTIONS)).ok().as_deref() != Some(options.as_bytes()) {
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

fn csv_path(folder: &Path, split: Split) -> PathBuf {
    folder.join(format!("{split}.csv"))
}

/// Writes the films `ids`, which have no genres and are trained on, as a further file of a frame, for
/// [`Seen`](crate::classifier::seen::Seen): of the columns of the others, `genres` is empty.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_without_genres(folder: &Path, posters: &PosterFolder, ids: &[u64]) -> Result<()> {
    files::write_csv(&folder.join(WITHOUT_GENRES), |csv| {
        csv.write_record(["filename", "genres"])?;
        ids.iter().try_for_each(|&id| csv.write_record([&*posters.name(id), ""]))
    })
}

/// The films of one file, ordered by id; `seen` holds the ids from all files read so far.
fn read_side(path: &Path, genres: &[String], seen: &mut HashSet<u64>) -> Result<Vec<Film>> {
    let classes: HashMap<&str, usize> = genres.iter().map(String::as_str).zip(0..).collect();
    let mut films = Vec::new();
    read_rows(path, |poster, id, names| {
        if !seen.insert(id) {
            return Err(format!("{} is there twice", excerpt(poster)));
        }
        let mut indexes = Vec::new();
        for name in names.split('|') {
            let class = classes.get(name).copied();
            indexes.push(class.ok_or_else(|| format!("`{}` is not a genre of this run", excerpt(name)))?);
        }
        indexes.sort_unstable();
        if indexes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("`{}` names a genre twice", excerpt(names)));
        }
        films.push(Film { id, genres: indexes });
        Ok(())
    })?;
    films.sort_by_key(|film| film.id);
    Ok(films)
}

/// Calls `each` with the poster, the film and the genres (joined by `|`) of each row of a file that
/// [`Frame::write_csv`] wrote; what it says is wrong becomes an error with the row.
///
/// # Errors
/// If the file cannot be read, or is not such a file.
pub(crate) fn read_rows(path: &Path, mut each: impl FnMut(&str, u64, &str) -> Result<(), String>) -> Result<()> {
    let remedy = "repair the row, or remove the folder to have the frames made again";
    // As a whole, since a CSV reader gives up where a signal interrupts it.
    let content = files::read_regular(path).map_err(Error::io(path, "read the frame"))?;
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(&content[..]);
    if reader.headers().map_err(|e| from_csv(path, e))? != ["filename", "genres"].as_slice() {
        return Err(Error::row(path, 1, "the header is not `filename,genres`", remedy));
    }
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| from_csv(path, e))? {
        let bad = |what: String| Error::row(path, record.position().map_or(0, csv::Position::line), what, remedy);
        let (Some(name), Some(names), 2) = (record.get(0), record.get(1), record.len()) else {
            return Err(bad(format!("{} fields instead of 2", record.len())));
        };
        let id =
            poster_id(name).ok_or_else(|| bad(format!("`{}` is no poster's name such as 123.jpg", excerpt(name))))?;
        each(name, id, of_cell(names)).map_err(bad)?;
    }
    Ok(())
}

/// The error for a failure of the CSV reader itself.
fn from_csv(path: &Path, error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io(path, "read the frame")(source),
        _ => Error::data(path, "not a CSV file in UTF-8", "remove the folder to have the frames made again"),
    }
}
