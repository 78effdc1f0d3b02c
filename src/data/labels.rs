//! `genres.csv`: which film has which genres.
//!
//! The file comes from anywhere, and labels that are wrong in silence are worse than none. So what
//! can be read in one way only is read, and noted; a film of which some row cannot be read is left
//! out whole; and a file that is not what it should be is refused by name.

mod cells;
mod format;
mod genres;
mod list;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use crate::data::ledger::{Ledger, MALFORMED_ROWS, ROWS_WITHOUT_GENRE, WITH_MALFORMED_ROW, WITHOUT_GENRE};
use crate::error::{Error, Result};
use crate::text::excerpt;
use cells::{Cells, Fault};
use format::Columns;
use genres::Genres;
use records::Records;

/// The number of malformed rows that are described one by one; all are counted.
const WARNINGS: usize = 10;

/// The most rows of a file.
const MAX_ROWS: u64 = 30_000_000;
/// The most malformed rows, whose descriptions are all kept.
const MAX_MALFORMED: u64 = 1_000_000;
/// The most different cells in the genre column, which are all kept.
const MAX_CELLS: usize = 1 << 18;
/// The most genres.
const MAX_GENRES: usize = 1 << 16;

/// The content of `genres.csv`, and what could not be read of it.
#[derive(Debug)]
pub struct Labels {
    /// The file that was read.
    pub path: PathBuf,
    /// The number of rows below the header.
    pub rows: u64,
    /// The names of the genres, sorted.
    pub genres: Vec<String>,
    /// The genres of each film by its id, as indexes into `genres`: at least one per film, sorted,
    /// none twice.
    pub films: BTreeMap<u64, Vec<usize>>,
    /// The films that the file names without telling all their genres: some row is malformed, or no
    /// row names a genre.
    pub unlabelled: BTreeSet<u64>,
    /// The rows that say nothing but what earlier rows have said, as (id, row).
    pub repeats: Vec<(u64, u64)>,
    /// What the user should look at, in a few lines: what is wrong with the first ten malformed
    /// rows, each with its row and a remedy, and where cells were split or spellings put together.
    /// The run goes on.
    pub warnings: Vec<String>,
    /// What was left out: malformed rows, rows without a genre, and the films for which that
    /// matters.
    pub ledger: Ledger,
}

impl Labels {
    /// Reads a CSV file with the columns `id` and `genre`, in any order, with one row per film and
    /// genre. Other columns are ignored. A row that cannot be read is counted, and its film left
    /// out. What a cell may hold besides one name, and which names are one genre, is told in
    /// `docs/using.md`.
    ///
    /// # Errors
    /// If the file cannot be read, is no regular file or no CSV file in UTF-8, lacks one of these
    /// columns, has no rows, leaves no film with a genre, has a quote that is not closed (the rows
    /// after it would disappear), or is larger than the bounds: 30 million rows of 1 MiB and 1,000
    /// fields, a million of them malformed, 262,144 different cells of 1,000 bytes in the genre
    /// column, 65,536 genres.
    pub fn read_csv(path: &Path) -> Result<Self> {
        let mut records = Records::open(path)?;
        let mut record = ByteRecord::new();
        if records.read(&mut record)?.is_none() {
            let needs = "it needs a header `id,genre` and one row per film and genre";
            return Err(Error::data(path, "the file is empty", needs));
        }
        let columns = Columns::of(path, &record)?;
        let mut table = Table::default();
        while let Some(row) = records.read(&mut record)? {
            table.read_row(path, columns, row, &record)?;
        }
        table.into_labels(path)
    }
}

/// What the rows of a file say, before it is known which cells hold several genres.
#[derive(Default)]
struct Table {
    rows: u64,
    cells: Cells,
    said: Vec<Said>,
    /// Films with a malformed row.
    malformed: BTreeSet<u64>,
    /// Films with a row that names no genre.
    silent: BTreeSet<u64>,
    warnings: Vec<String>,
    ledger: Ledger,
}

/// A row that names genres of a film.
struct Said {
    id: u64,
    row: u64,
    cell: usize,
}

impl Table {
    fn read_row(&mut self, path: &Path, columns: Columns, row: u64, record: &ByteRecord) -> Result<()> {
        self.rows += 1;
        if self.rows > MAX_ROWS {
            let what = format!("the file has more than {MAX_ROWS} rows");
            return Err(Error::data(path, what, "leave out the films that have no poster"));
        }
        if record.len() != columns.count {
            let what = format!("{} fields where the header has {}", record.len(), columns.count);
            let fault = (what, "write as many fields as there are columns, and quote those that hold commas");
            return self.add_malformed(path, row, fault, meant_by(record, columns));
        }
        let genre = &record[columns.genre];
        if holds_rows(genre) {
            let what = "the quotes around the genre hold other rows";
            return Err(Error::row(path, row, what, "close the quote that opens in this row"));
        }
        let id = match id(&record[columns.id]) {
            Ok(id) => id,
            Err(fault) => return self.add_malformed(path, row, fault, []),
        };
        match self.cells.add(genre) {
            Ok(Some(cell)) => self.said.push(Said { id, row, cell }),
            Ok(None) => {
                self.ledger.add(ROWS_WITHOUT_GENRE, format!("row {row} (film {id})"));
                self.silent.insert(id);
            }
            Err(fault) => return self.add_malformed(path, row, fault, [id]),
        }
        if self.cells.len() > MAX_CELLS {
            let what = format!(
                "the genre column holds more than {MAX_CELLS} different cells, such as `{}`",
                excerpt(&String::from_utf8_lossy(genre))
            );
            return Err(Error::row(path, row, what, "name the column that holds the genres `genre`"));
        }
        Ok(())
    }

    /// Counts a malformed row, and leaves out the films that it may be about.
    fn add_malformed(
        &mut self,
        path: &Path,
        row: u64,
        (what, remedy): Fault,
        films: impl IntoIterator<Item = u64>,
    ) -> Result<()> {
        self.malformed.extend(films);
        self.ledger.add(MALFORMED_ROWS, format!("row {row}: {what}"));
        if self.warnings.len() < WARNINGS {
            self.warnings.push(Error::row(path, row, what, remedy).to_string());
        }
        if self.ledger.count(MALFORMED_ROWS) > MAX_MALFORMED {
            let what = format!("more than {MAX_MALFORMED} rows cannot be read; the first: {}", self.warnings[0]);
            return Err(Error::data(path, what, "repair the rows"));
        }
        Ok(())
    }

    fn into_labels(mut self, path: &Path) -> Result<Labels> {
        let Genres { names: genres, of_cell, notes } = Genres::of(self.cells.into_all());
        if genres.len() > MAX_GENRES {
            let what = format!("there are more than {MAX_GENRES} genres, such as `{}`", excerpt(&genres[0]));
            return Err(Error::data(path, what, "name the column that holds the genres `genre`"));
        }

        self.said.sort_unstable_by_key(|said| (said.id, said.row));
        let mut repeats = Vec::new();
        let mut of_film = BTreeSet::new();
        let mut films = BTreeMap::new();
        for rows in self.said.chunk_by(|a, b| a.id == b.id) {
            let id = rows[0].id;
            self.silent.remove(&id);
            if self.malformed.contains(&id) {
                continue;
            }
            of_film.clear();
            for said in rows {
                let before = of_film.len();
                of_film.extend(&of_cell[said.cell]);
                if of_film.len() == before {
                    repeats.push((id, said.row));
                }
            }
            films.insert(id, of_film.iter().copied().collect());
        }
        repeats.sort_unstable_by_key(|&(_, row)| row);

        let mut ledger = Ledger::default();
        [MALFORMED_ROWS, ROWS_WITHOUT_GENRE].iter().for_each(|reason| ledger.declare(reason));
        ledger.extend(self.ledger);
        self.silent.retain(|id| !self.malformed.contains(id));
        for (reason, films) in [(WITH_MALFORMED_ROW, &self.malformed), (WITHOUT_GENRE, &self.silent)] {
            ledger.declare(reason);
            films.iter().for_each(|id| ledger.add(reason, id.to_string()));
        }
        if films.is_empty() {
            let malformed = ledger.count(MALFORMED_ROWS);
            let first = self.warnings.first().map(|first| format!("; the first: {first}")).unwrap_or_default();
            let what = match self.rows {
                0 => "there are no rows below the header".to_owned(),
                rows if malformed == rows => format!("none of the {rows} rows can be read{first}"),
                rows => format!("no film is left of {rows} rows, of which {malformed} cannot be read{first}"),
            };
            return Err(Error::data(path, what, "each row must be a film's id and a genre, as in `123,Drama`"));
        }
        Ok(Labels {
            path: path.to_owned(),
            rows: self.rows,
            genres,
            films,
            unlabelled: self.malformed.into_iter().chain(self.silent).collect(),
            repeats,
            warnings: self.warnings.into_iter().chain(notes).collect(),
            ledger,
        })
    }
}

/// The films that a row with too many or too few fields may be about. A field is missing or broken
/// somewhere, so that the id is where it should be, counted from the left or from the right.
fn meant_by(record: &ByteRecord, columns: Columns) -> impl Iterator<Item = u64> {
    let from_right = (record.len() + columns.id).checked_sub(columns.count);
    // The first column is where it should be.
    let from_right = from_right.filter(|_| columns.id > 0);
    [Some(columns.id), from_right].into_iter().flatten().filter_map(|at| id(record.get(at)?).ok())
}

/// The id in a field. `7.0`, which is what pandas makes of the ids in a column with gaps, is 7.
fn id(field: &[u8]) -> Result<u64, Fault> {
    let whole = String::from_utf8_lossy(field);
    let whole = whole.trim();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_zeros = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte == b'0');
    let digits = whole.split_once('.').filter(|(_, decimals)| is_zeros(decimals)).map_or(whole, |(digits, _)| digits);
    if is_number(digits) {
        return digits.parse().map_err(|_| {
            let what = format!("the id `{}` is too large", excerpt(whole));
            (what, "write the digits of the poster's file name, at most 19 of them")
        });
    }
    let what = format!("the id `{}` is not a number", excerpt(whole));
    match whole.strip_prefix("tt") {
        Some(digits) if is_number(digits) => {
            Err((what, "write the digits alone, here and in the poster's file name, such as 7.jpg for tt0000007"))
        }
        _ => Err((what, "write the digits of the poster's file name")),
    }
}

/// Whether a line in a genre begins as a row does: then a quote was not closed, and these rows
/// would disappear.
fn holds_rows(genre: &[u8]) -> bool {
    genre.split(|&byte| byte == b'\n').skip(1).any(|line| {
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && line.get(digits) == Some(&b',')
    })
}
