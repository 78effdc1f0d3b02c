//! `genres.csv`: which film has which genres.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Trim};

use crate::data::ledger::{Ledger, MALFORMED_ROWS};
use crate::error::{Error, Result};

/// The number of malformed rows that are described one by one; all are counted.
const WARNINGS: usize = 10;

/// The content of `genres.csv`, and what could not be read of it.
#[derive(Debug)]
pub struct Labels {
    /// The file that was read.
    pub path: PathBuf,
    /// The names of the genres, sorted.
    pub genres: Vec<String>,
    /// The genres of each film by its id, as indexes into `genres`: at least one per film, sorted,
    /// none twice.
    pub films: BTreeMap<u64, Vec<usize>>,
    /// The rows that repeat the id and genre of an earlier row, as (id, row).
    pub repeats: Vec<(u64, u64)>,
    /// What is wrong with the first ten malformed rows, each with its row and a remedy. The run
    /// goes on without them.
    pub warnings: Vec<Error>,
    /// The count of malformed rows.
    pub ledger: Ledger,
}

impl Labels {
    /// Reads a CSV file with the columns `id` and `genre`, in any order, with one row per film and
    /// genre. Other columns are ignored. A row that cannot be read is counted and left out.
    ///
    /// # Errors
    /// If the file cannot be read, lacks one of these columns, has no rows, has no row that can be
    /// read, or has a quoted field that runs over the end of its line (it would swallow the rows
    /// after it).
    pub fn read_csv(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path, "read the genres"))?;
        // `flexible`, so that a row with the wrong number of fields is one malformed row and does
        // not end the reading.
        let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(file);
        let header = reader.byte_headers().map_err(|e| from_csv(path, e))?.clone();
        if header.is_empty() {
            return Err(Error::data(
                path,
                "the file is empty",
                "it needs a header `id,genre` and one row per film and genre",
            ));
        }
        let column = |name: &str| {
            header.iter().position(|field| field == name.as_bytes()).ok_or_else(|| {
                let found = header.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
                let what = format!("there is no column `{name}` in the header `{found}`");
                Error::row(path, 1, what, "the first line must name the columns `id` and `genre`")
            })
        };
        let (id_column, genre_column) = (column("id")?, column("genre")?);

        let mut labels = Self {
            path: path.to_owned(),
            genres: Vec::new(),
            films: BTreeMap::new(),
            repeats: Vec::new(),
            warnings: Vec::new(),
            ledger: Ledger::default(),
        };
        labels.ledger.declare(MALFORMED_ROWS);
        let mut seen = HashMap::<String, usize>::new();
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|e| from_csv(path, e))? {
            let row = record.position().map_or(0, csv::Position::line);
            if record.iter().any(|field| field.contains(&b'\n')) {
                return Err(Error::row(path, row, "a quoted field runs over the end of its line", "close the quote"));
            }
            match parse(&record, header.len(), id_column, genre_column) {
                Ok((id, genre)) => {
                    // The indexes follow the order of appearance until all names are known.
                    let genre = seen.get(genre).copied().unwrap_or_else(|| {
                        labels.genres.push(genre.to_owned());
                        seen.insert(genre.to_owned(), labels.genres.len() - 1);
                        labels.genres.len() - 1
                    });
                    let genres = labels.films.entry(id).or_default();
                    if genres.contains(&genre) {
                        labels.repeats.push((id, row));
                    } else {
                        genres.push(genre);
                    }
                }
                Err((what, remedy)) => {
                    labels.ledger.add(MALFORMED_ROWS, format!("row {row}: {what}"));
                    if labels.warnings.len() < WARNINGS {
                        labels.warnings.push(Error::row(path, row, what, remedy));
                    }
                }
            }
        }
        if labels.films.is_empty() {
            let malformed = labels.ledger.count(MALFORMED_ROWS);
            let first = labels.warnings.first().map(|w| format!("; the first: {w}")).unwrap_or_default();
            let what = match malformed {
                0 => "there are no rows below the header".to_owned(),
                n => format!("none of the {n} rows can be read{first}"),
            };
            return Err(Error::data(path, what, "each row must be a film's id and a genre, as in `123,Drama`"));
        }
        labels.sort_genres();
        Ok(labels)
    }

    /// Renumbers the genres in the order of their names.
    fn sort_genres(&mut self) {
        let mut by_name: Vec<usize> = (0..self.genres.len()).collect();
        by_name.sort_by(|&a, &b| self.genres[a].cmp(&self.genres[b]));
        let mut sorted = vec![0; by_name.len()];
        for (new, &old) in by_name.iter().enumerate() {
            sorted[old] = new;
        }
        self.genres.sort();
        for genres in self.films.values_mut() {
            for genre in genres.iter_mut() {
                *genre = sorted[*genre];
            }
            genres.sort_unstable();
        }
    }
}

/// A row's id and genre, or what is wrong with the row and the remedy.
fn parse(record: &ByteRecord, fields: usize, id: usize, genre: usize) -> Result<(u64, &str), (String, &'static str)> {
    if record.len() != fields {
        let what = format!("{} fields where the header has {fields}", record.len());
        return Err((what, "write as many fields as there are columns"));
    }
    let text = |field: usize| {
        std::str::from_utf8(&record[field]).map_err(|_| {
            let what = format!("`{}` is not UTF-8", String::from_utf8_lossy(&record[field]));
            (what, "save the file as UTF-8")
        })
    };
    let (id, genre) = (text(id)?, text(genre)?);
    if genre.is_empty() {
        return Err(("the genre is empty".to_owned(), "write a genre, or remove the row"));
    }
    if genre.contains('|') {
        return Err((format!("the genre `{genre}` contains `|`"), "write one row for each genre"));
    }
    match id.parse() {
        Ok(id) => Ok((id, genre)),
        Err(_) => Err((format!("the id `{id}` is not a number"), "write the digits of the poster's file name")),
    }
}

/// The error for a failure of the CSV reader itself: since it accepts rows of any length and
/// content, only errors of the system are left.
pub(super) fn from_csv(path: &Path, error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io(path, "read the file")(source),
        other => Error::data(path, format!("not a CSV file: {other:?}"), "check the file"),
    }
}
