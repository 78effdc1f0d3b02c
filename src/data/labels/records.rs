//! The records of a CSV file (RFC 4180), one after the other, in bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Bytes, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use crate::data::labels::format;
use crate::error::{Error, Result};
use crate::files::{again, open_if_regular};

/// The most bytes of a record, with its line breaks.
const MAX_BYTES: usize = 1 << 20;
/// The most fields of a record.
const MAX_FIELDS: usize = 1000;

/// A CSV file that is read record by record. Lines may end with LF, CR LF or CR.
pub struct Records {
    path: PathBuf,
    bytes: Bytes<BufReader<File>>,
    /// The line of the next byte, counted from 1.
    line: u64,
    /// Whether the last byte was a CR: an LF that follows belongs to the same end of line.
    after_cr: bool,
    field: Vec<u8>,
}

/// Where in a field the reader is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before the field's first character other than a space.
    Start,
    /// In a field without quotes.
    Plain,
    /// Between the quotes of a field.
    Quoted,
    /// After a quotation mark within quotes: it closes them, or another follows and both stand for
    /// one.
    Quote,
    /// In the spaces between closing quotes and the end of the field.
    Closed,
}

impl Records {
    /// Opens a file for its first record.
    ///
    /// # Errors
    /// If the file cannot be read, is no regular file (a pipe would keep its reader waiting for
    /// ever), or shows by its first bytes that it is not CSV in UTF-8.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = || Error::io(path, "read the labels");
        let file = open_if_regular(path).map_err(failed())?.ok_or_else(|| {
            let what = "it is not a regular file but a folder, pipe or device";
            Error::data(path, what, "put the CSV file itself there")
        })?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        again(|| reader.fill_buf().map(drop)).map_err(failed())?;
        let mark = format::check(path, reader.fill_buf().map_err(failed())?)?;
        reader.consume(mark);
        Ok(Self { path: path.to_owned(), bytes: reader.bytes(), line: 1, after_cr: false, field: Vec::new() })
    }

    /// Reads the next record into `record` and returns the line on which it begins; `None` at the
    /// end. Empty lines are passed over.
    ///
    /// Text after closing quotes is taken as it stands, as other readers do, if the quotes are on
    /// one line.
    ///
    /// # Errors
    /// If the system refuses, if a quote is not closed, or is closed lines later within text (then
    /// some line before has lost its closing quote, and rows would disappear), or if the record is
    /// longer than 1 MiB or has more than 1,000 fields.
    pub fn read(&mut self, record: &mut ByteRecord) -> Result<Option<u64>> {
        record.clear();
        self.field.clear();
        let (mut row, mut length, mut state) = (self.line, 0, State::Start);
        // The line on which the last quotes opened.
        let mut opened = row;
        loop {
            let Some(byte) = self.next()? else {
                if state == State::Quoted {
                    return Err(self.never_closed(opened, "is not closed before the end of the file"));
                }
                let is_blank = record.is_empty() && state == State::Start;
                self.end_field(record);
                return Ok((!is_blank).then_some(row));
            };
            length += 1;
            if length > MAX_BYTES {
                return Err(match state {
                    State::Quoted => self.never_closed(opened, "is not closed within 1 MiB"),
                    _ => Error::row(&self.path, row, "the row is longer than 1 MiB", "check that this is the file"),
                });
            }
            match (state, byte) {
                (State::Quoted, b'"') => state = State::Quote,
                (State::Quote, b'"') => {
                    self.field.push(b'"');
                    state = State::Quoted;
                }
                (State::Quoted, _) => self.field.push(byte),
                (_, b',') => {
                    if record.len() == MAX_FIELDS {
                        let what = format!("the row has more than {MAX_FIELDS} fields");
                        return Err(Error::row(&self.path, row, what, "check that this is the file"));
                    }
                    self.end_field(record);
                    state = State::Start;
                }
                (_, b'\n') => {
                    let is_blank = record.is_empty() && state == State::Start;
                    if !is_blank {
                        self.end_field(record);
                        return Ok(Some(row));
                    }
                    self.field.clear();
                    (row, length) = (self.line, 0);
                }
                (State::Quote | State::Closed, b' ') => state = State::Closed,
                (State::Quote | State::Closed, _) => {
                    if opened < self.line {
                        let what = format!("is closed only in row {}, with text after it", self.line);
                        return Err(self.never_closed(opened, &what));
                    }
                    self.field.extend([b'"', byte]);
                    state = State::Plain;
                }
                (State::Start, b'"') => {
                    self.field.clear();
                    (opened, state) = (self.line, State::Quoted);
                }
                (State::Start, b' ') => self.field.push(byte),
                (State::Start | State::Plain, _) => {
                    self.field.push(byte);
                    state = State::Plain;
                }
            }
        }
    }

    fn end_field(&mut self, record: &mut ByteRecord) {
        record.push_field(&self.field);
        self.field.clear();
    }

    /// The next byte, every end of line as one LF.
    fn next(&mut self) -> Result<Option<u8>> {
        loop {
            let Some(byte) = self.bytes.next().transpose().map_err(Error::io(&self.path, "read the labels"))? else {
                return Ok(None);
            };
            let is_second = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            if is_second {
                continue;
            }
            if byte == b'\n' || byte == b'\r' {
                self.line += 1;
                return Ok(Some(b'\n'));
            }
            return Ok(Some(byte));
        }
    }

    fn never_closed(&self, row: u64, what: &str) -> Error {
        let remedy = "close the quote, and write a quotation mark between quotes as `\"\"`";
        Error::row(&self.path, row, format!("a quote that opens here {what}"), remedy)
    }
}
