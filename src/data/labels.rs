//! `genres.csv`, and files beside it: which film has which genres, themes, countries.
//!
//! Such a file comes from anywhere, and labels that are wrong in silence are worse than none. So what
//! can be read in one way only is read, and noted; a film of which some row cannot be read is left
//! out whole; and a file that is not what it should be is refused by name.

pub mod beside;
mod cells;
mod format;
mod genres;
mod kind;
mod list;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use crate::data::ledger::{Ledger, MALFORMED_ROWS, ROWS_WITHOUT_GENRE, WITH_MALFORMED_ROW, WITHOUT_GENRE};
use crate::error::{Error, Result};
use crate::text::excerpt;
use cells::{Cells, Fault, is_digits, is_zeros};
use format::Columns;
use genres::Genres;
use kind::{Kind, Reading};
use records::Records;

/// The number of malformed rows that are described one by one; all are counted.
const WARNINGS: usize = 10;

/// The most rows of a file.
const MAX_ROWS: u64 = 30_000_000;
/// The most malformed rows, whose descriptions are all kept.
const MAX_MALFORMED: u64 = 1_000_000;
/// The most names in all different cells.
const MAX_NAMES: usize = 1 << 22;
/// The most genres.
const MAX_GENRES: usize = 1 << 16;

/// `genres.csv`.
const GENRES: Kind = Kind {
    noun: "genre",
    plural: "genres",
    columns: &["genre", "genres"],
    example: "123,Drama",
    empty_rows: ROWS_WITHOUT_GENRE,
    empty_films: WITHOUT_GENRE,
    reading: Reading::Names,
    max_cells: 1 << 18,
};

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
    /// column, four million names in them, 65,536 genres.
    pub fn read_csv(path: &Path) -> Result<Self> {
        Table::read_csv(path, GENRES, None)?.into_labels(path)
    }
}

/// What the rows of a file say, before it is known which cells hold several genres.
struct Table<'a> {
    kind: Kind,
    /// The films that rows may be about; `None` is any.
    of: Option<&'a BTreeSet<u64>>,
    rows: u64,
    /// The rows about other films.
    others: u64,
    cells: Cells,
    said: Vec<Said>,
    /// Films with a malformed row.
    malformed: BTreeSet<u64>,
    /// Films with a row that names nothing.
    silent: BTreeSet<u64>,
    warnings: Vec<String>,
    ledger: Ledger,
}

/// A row that names something of a film.
struct Said {
    id: u64,
    row: u64,
    cell: usize,
}

impl<'a> Table<'a> {
    /// Reads a CSV file of that kind. Of its rows those about the films `of` are kept, the others
    /// counted; `None` keeps all.
    fn read_csv(path: &Path, kind: Kind, of: Option<&'a BTreeSet<u64>>) -> Result<Self> {
        let mut records = Records::open(path)?;
        let mut record = ByteRecord::new();
        if records.read(&mut record)?.is_none() {
            let needs = format!("it needs a header `id,{0}` and one row per film and {0}", kind.columns[0]);
            return Err(Error::data(path, "the file is empty", needs));
        }
        let columns = Columns::of(path, &record, kind)?;
        let mut table = Self {
            kind,
            of,
            rows: 0,
            others: 0,
            cells: Cells::of(kind),
            said: Vec::new(),
            malformed: BTreeSet::new(),
            silent: BTreeSet::new(),
            warnings: Vec::new(),
            ledger: Ledger::default(),
        };
        while let Some(row) = records.read(&mut record)? {
            table.read_row(path, columns, row, &record)?;
        }
        Ok(table)
    }

    fn read_row(&mut self, path: &Path, columns: Columns, row: u64, record: &ByteRecord) -> Result<()> {
        let Kind { noun, plural, max_cells, empty_rows, .. } = self.kind;
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
        let label = &record[columns.label];
        if holds_rows(label) {
            let what = format!("the quotes around the {noun} hold other rows");
            return Err(Error::row(path, row, what, "close the quote that opens in this row"));
        }
        let id = match id(&record[columns.id]) {
            Ok(id) => id,
            Err(fault) => return self.add_malformed(path, row, fault, []),
        };
        // Before its cell is kept: a file may name millions of films, and few have posters here.
        if self.of.is_some_and(|films| !films.contains(&id)) {
            self.others += 1;
            return Ok(());
        }
        match self.cells.add(label) {
            Ok(Some(cell)) => self.said.push(Said { id, row, cell }),
            Ok(None) => {
                self.ledger.add(empty_rows, format!("row {row} (film {id})"));
                self.silent.insert(id);
            }
            Err(fault) => return self.add_malformed(path, row, fault, [id]),
        }
        if self.cells.len() > max_cells {
            let what = format!(
                "the {noun} column holds more than {max_cells} different cells, such as `{}`",
                excerpt(&String::from_utf8_lossy(label))
            );
            return Err(Error::row(path, row, what, self.to_name_the_column(plural)));
        }
        if self.cells.parts() > MAX_NAMES {
            let what = format!("the different cells of the {noun} column hold more than {MAX_NAMES} names");
            return Err(Error::row(path, row, what, self.to_name_the_column(plural)));
        }
        Ok(())
    }

    /// The remedy where the column seems to hold something else.
    fn to_name_the_column(&self, plural: &str) -> String {
        format!("name the column that holds the {plural} `{}`", self.kind.columns[0])
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
        let Kind { plural, empty_rows, empty_films, example, noun, reading, .. } = self.kind;
        let cells = std::mem::replace(&mut self.cells, Cells::of(self.kind));
        let Genres { names: genres, of_cell, notes } = Genres::of(cells.into_all());
        if reading == Reading::Names && genres.len() > MAX_GENRES {
            let what = format!("there are more than {MAX_GENRES} genres, such as `{}`", excerpt(&genres[0]));
            return Err(Error::data(path, what, self.to_name_the_column(plural)));
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
        [MALFORMED_ROWS, empty_rows].iter().for_each(|reason| ledger.declare(reason));
        ledger.extend(self.ledger);
        self.silent.retain(|id| !self.malformed.contains(id));
        for (reason, films) in [(WITH_MALFORMED_ROW, &self.malformed), (empty_films, &self.silent)] {
            ledger.declare(reason);
            films.iter().for_each(|id| ledger.add(reason, id.to_string()));
        }
        if films.is_empty() {
            let malformed = ledger.count(MALFORMED_ROWS);
            let first = self.warnings.first().map(|first| format!("; the first: {first}")).unwrap_or_default();
            let what = match self.rows {
                0 => "there are no rows below the header".to_owned(),
                rows if malformed == rows => format!("none of the {rows} rows can be read{first}"),
                rows if self.others == rows => format!("none of the {rows} rows is about a film with a poster"),
                rows => format!("no film is left of {rows} rows, of which {malformed} cannot be read{first}"),
            };
            let remedy = format!("each row must be a film's id and a {noun}, as in `{example}`");
            return Err(Error::data(path, what, remedy));
        }
        Ok(Labels {
            path: path.to_owned(),
            rows: self.rows,
            genres,
            films,
            unlabelled: self.malformed.into_iter().chain(self.silent).collect(),
            repeats,
            // Where a name is whole in any case, its spellings say nothing of the file.
            warnings: self
                .warnings
                .into_iter()
                .chain(notes.into_iter().filter(|_| reading == Reading::Names))
                .collect(),
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
    let digits = whole.split_once('.').filter(|(_, decimals)| is_zeros(decimals)).map_or(whole, |(digits, _)| digits);
    if is_digits(digits) {
        return digits.parse().map_err(|_| {
            let what = format!("the id `{}` is too large", excerpt(whole));
            (what, "write the digits of the poster's file name, at most 19 of them")
        });
    }
    let what = format!("the id `{}` is not a number", excerpt(whole));
    match whole.strip_prefix("tt") {
        Some(digits) if is_digits(digits) => {
            Err((what, "write the digits alone, here and in the poster's file name, such as 7.jpg for tt0000007"))
        }
        _ => Err((what, "write the digits of the poster's file name")),
    }
}

/// Whether a line in a label begins as a row does: then a quote was not closed, and these rows
/// would disappear.
fn holds_rows(label: &[u8]) -> bool {
    label.split(|&byte| byte == b'\n').skip(1).any(|line| {
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && line.get(digits) == Some(&b',')
    })
}
