//! What a file that should be CSV is instead, told from its first bytes and its header.

use std::path::Path;

use csv::ByteRecord;

use crate::data::labels::kind::Kind;
use crate::error::{Error, Result};
use crate::text::excerpt;

/// The byte order mark of UTF-8, which some programs write first.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

const UNPACK: &str = "unpack it";
const AS_CSV: &str = "export the table as CSV in UTF-8";
const AS_UTF8: &str = "save the file as UTF-8";

/// How other files begin, what they are, and the remedy. UTF-32 stands before UTF-16, whose mark it
/// begins with; without a mark, a Latin letter and its zeros tell.
const OTHERS: [(&[u8], &str, &str); 18] = [
    (b"\xFF\xFE\0\0", "UTF-32 text", AS_UTF8),
    (b"\0\0\xFE\xFF", "UTF-32 text", AS_UTF8),
    (b"\xFF\xFE", "UTF-16 text", AS_UTF8),
    (b"\xFE\xFF", "UTF-16 text", AS_UTF8),
    (b"\x1F\x8B", "a gzip file", UNPACK),
    (b"BZh", "a bzip2 file", UNPACK),
    (b"\xFD7zXZ\0", "an xz file", UNPACK),
    (b"\x28\xB5\x2F\xFD", "a Zstandard file", UNPACK),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive", UNPACK),
    (
        b"PK\x03\x04",
        "a ZIP archive, as Excel's workbooks (.xlsx) are",
        "unpack it, or export the table as CSV in UTF-8",
    ),
    (b"\xD0\xCF\x11\xE0", "a workbook of Excel", AS_CSV),
    (b"SQLite format 3\0", "an SQLite database", AS_CSV),
    (b"PAR1", "a Parquet file", AS_CSV),
    (b"ARROW1", "an Arrow file", AS_CSV),
    (b"<", "HTML or XML", AS_CSV),
    (b"{", "JSON", AS_CSV),
    (b"[", "JSON", AS_CSV),
    (b"%PDF", "a PDF document", AS_CSV),
];

/// The length of the byte order mark that a CSV file begins with, given its first bytes.
///
/// # Errors
/// If the file is of another kind, named with the remedy.
pub fn check(path: &Path, head: &[u8]) -> Result<usize> {
    let mark = if head.starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 };
    let text = head[mark..].trim_ascii_start();
    let known = OTHERS.iter().find(|(start, ..)| text.starts_with(start)).map(|&(_, kind, remedy)| (kind, remedy));
    let wide = match *head {
        [0, 0, 0, _, ..] | [_, 0, 0, 0, ..] => Some(("UTF-32 text", AS_UTF8)),
        [0, _, ..] | [_, 0, ..] => Some(("UTF-16 text", AS_UTF8)),
        _ => None,
    };
    match known.or(wide) {
        Some((kind, remedy)) => Err(Error::data(path, format!("this is {kind}, not CSV in UTF-8"), remedy)),
        None => Ok(mark),
    }
}

/// The columns of the ids and of the labels, and the number of all.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    pub id: usize,
    pub label: usize,
    pub count: usize,
}

impl Columns {
    /// Finds the columns by the names in the header, `id` and one of those of the file's kind, in
    /// either case.
    ///
    /// # Errors
    /// If one is missing or there twice, or the columns are separated by something else than
    /// commas.
    pub fn of(path: &Path, header: &ByteRecord, kind: Kind) -> Result<Self> {
        let Kind { noun, columns, .. } = kind;
        let names: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let line = names.join(",");
        let refused = |what: String, remedy: &str| Error::row(path, 1, what, remedy);
        if let Some(separator) = line.trim_start().strip_prefix("sep=") {
            let what = format!("`sep={}` is a line for Excel alone", excerpt(separator));
            return Err(refused(what, "remove this line, and separate the columns by commas"));
        }
        let find = |wanted: &[&str]| {
            let is_wanted = |name: &String| wanted.iter().any(|wanted| name.trim().eq_ignore_ascii_case(wanted));
            let found: Vec<usize> = (0..names.len()).filter(|&at| is_wanted(&names[at])).collect();
            let wanted = wanted[0];
            match found[..] {
                [column] => Ok(column),
                [] => Err(match other_separator(&line, columns) {
                    Some(separator) => refused(
                        format!("the columns are separated by {separator}, not by commas"),
                        "save the file with commas between the columns",
                    ),
                    None => refused(
                        format!("there is no column `{wanted}` in the header `{}`", excerpt(&line)),
                        &format!("the first line must name the columns `id` and `{}`", columns[0]),
                    ),
                }),
                [..] => Err(refused(
                    format!("several columns may be `{wanted}` in the header `{}`", excerpt(&line)),
                    &format!("leave one of them, with one row for each film and {noun}"),
                )),
            }
        };
        Ok(Self { id: find(&["id"])?, label: find(columns)?, count: names.len() })
    }
}

/// What separates the columns of a header that holds `id` and one of `columns`, other than commas.
fn other_separator(header: &str, columns: &[&str]) -> Option<&'static str> {
    let separators = [(';', "`;`"), ('\t', "tabs"), ('|', "`|`"), (':', "`:`")];
    let has = |separator: char, wanted: &[&str]| {
        header.split(separator).any(|name| {
            let name = name.trim_matches(|c: char| c == '"' || c.is_whitespace());
            wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted))
        })
    };
    let found = separators.iter().find(|(it, _)| has(*it, &["id"]) && has(*it, columns));
    found.map(|&(_, name)| name)
}
