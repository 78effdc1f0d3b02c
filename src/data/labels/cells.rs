//! The cells of a column of labels: each different one is read once.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::data::labels::kind::{Kind, Reading};
use crate::data::labels::list;
use crate::text::excerpt;

/// What may stand between names in one cell beside `|`, in the order in which cells are split: a part
/// may hold the separators that come later.
pub const SEPARATORS: [char; 4] = [';', '\n', ',', '/'];

/// The most bytes of a cell.
const MAX_BYTES: usize = 1000;

/// Characters without width, which nobody sees or means: zero width space, word joiner, and the
/// byte order mark where files were joined.
const INVISIBLE: [char; 3] = ['\u{200B}', '\u{2060}', '\u{FEFF}'];

/// The years that a film may be of.
const YEARS: RangeInclusive<u32> = 1800..=2199;

/// What is wrong with a row, and the remedy.
pub type Fault = (String, &'static str);

/// The different cells of a file, in the order in which they first come.
pub struct Cells {
    kind: Kind,
    by_bytes: HashMap<Box<[u8]>, usize>,
    all: Vec<Cell>,
    /// See [`Cells::parts`].
    parts: usize,
}

/// A cell that names something.
pub struct Cell {
    /// Its text, without the white space around it.
    pub text: String,
    pub form: Form,
    /// The names that it holds, at least one: as they are spelled, without white space around them.
    pub names: Vec<String>,
    /// The number of rows that have this cell.
    pub rows: u64,
}

/// How a cell holds its names.
#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    /// By text that is one name, unless the other cells show that it is several.
    Text,
    /// By a list such as `['Drama', 'Comedy']`.
    List,
    /// By names with `|` between them.
    Bars,
    /// By text that is one name in any case.
    Whole,
}

impl Cells {
    /// No cells yet, of a file of that kind.
    pub fn of(kind: Kind) -> Self {
        Self { kind, by_bytes: HashMap::new(), all: Vec::new(), parts: 0 }
    }

    /// The number of different cells.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The names that all different cells may hold together, at most.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// All cells; their positions are what [`Cells::add`] returned.
    pub fn into_all(self) -> Vec<Cell> {
        self.all
    }

    /// Counts one more row with this cell and returns the cell's position, or `None` if the cell
    /// says that there is none.
    pub fn add(&mut self, field: &[u8]) -> Result<Option<usize>, Fault> {
        if let Some(&at) = self.by_bytes.get(field) {
            self.all[at].rows += 1;
            return Ok(Some(at));
        }
        let Some(cell) = read(self.kind, field)? else { return Ok(None) };
        self.parts += 1 + cell.text.matches(SEPARATORS).count() + cell.text.matches('|').count();
        self.all.push(cell);
        self.by_bytes.insert(field.into(), self.all.len() - 1);
        Ok(Some(self.all.len() - 1))
    }
}

fn read(kind: Kind, field: &[u8]) -> Result<Option<Cell>, Fault> {
    let text = text(kind, field)?;
    let (form, items) = match kind.reading {
        Reading::Names => several(&text)?,
        Reading::Name => (Form::Whole, vec![text.clone()]),
        Reading::Decade if is_nothing(&text) => return Ok(None),
        Reading::Decade => (Form::Whole, vec![decade(&text)?]),
    };
    let is_one = form == Form::Whole;
    let names = items.iter().flat_map(|item| item.split(|c| c == '|' && !is_one));
    let names: Vec<String> = names.map(str::trim).filter(|name| !is_nothing(name)).map(str::to_owned).collect();
    Ok((!names.is_empty()).then_some(Cell { text, form, names, rows: 1 }))
}

/// The text of a cell without the white space around it.
fn text(Kind { noun, .. }: Kind, field: &[u8]) -> Result<String, Fault> {
    let lossy = || excerpt(&String::from_utf8_lossy(&field[..field.len().min(MAX_BYTES)]));
    if field.len() > MAX_BYTES {
        return Err((format!("the {noun} `{}` has more than {MAX_BYTES} bytes", lossy()), "write the names alone"));
    }
    let Ok(text) = std::str::from_utf8(field) else {
        return Err((format!("`{}` is not UTF-8", lossy()), "save the file as UTF-8"));
    };
    let text = text.replace(INVISIBLE, "");
    let text = text.trim();
    if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        return Err((format!("the {noun} `{}` holds a control character", lossy()), "write the names alone"));
    }
    Ok(text.to_owned())
}

/// The genres that a text holds, and in which form.
fn several(text: &str) -> Result<(Form, Vec<String>), Fault> {
    match list::items(text) {
        Some(Some(items)) => Ok((Form::List, items)),
        Some(None) => {
            let what = format!("the genre `{}` begins as a list and cannot be read as one", excerpt(text));
            Err((what, "write the names alone, as in `['Drama', 'Comedy']`, or one row for each genre"))
        }
        None if text.contains('|') => Ok((Form::Bars, vec![text.to_owned()])),
        None => Ok((Form::Text, vec![text.to_owned()])),
    }
}

/// The decade, such as `1990s`, of a year or a date that begins with one: `1994`, `1994.0` (what
/// pandas makes of the years in a column with gaps), `1994-05-01`.
fn decade(text: &str) -> Result<String, Fault> {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    let is_end = rest.is_empty() || rest.starts_with('-') || rest.strip_prefix('.').is_some_and(is_zeros);
    let year = digits.parse().ok().filter(|year| is_end && is_digits(digits) && YEARS.contains(year));
    let fault = || (format!("`{}` is no year of a film", excerpt(text)), "write the year in four digits, such as 1994");
    year.map(|year| format!("{}0s", year / 10)).ok_or_else(fault)
}

/// Whether a text is digits and nothing else.
pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is zeros and nothing else, as the decimals of a whole number are.
pub fn is_zeros(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b'0')
}

/// Whether this is how programs write that there is nothing: pandas, Python, R, Excel, SQL and
/// MovieLens.
pub fn is_nothing(name: &str) -> bool {
    const NOTHING: [&str; 11] =
        ["", "nan", "none", "null", "nil", "na", "n/a", "<na>", "#n/a", "\\n", "(no genres listed)"];
    NOTHING.iter().any(|nothing| name.eq_ignore_ascii_case(nothing))
}
