//! The cells of the genre column: each different one is read once.

use std::collections::HashMap;

use crate::data::labels::list;
use crate::text::excerpt;

/// The most bytes of a cell.
const MAX_BYTES: usize = 1000;

/// Characters without width, which nobody sees or means: zero width space, word joiner, and the
/// byte order mark where files were joined.
const INVISIBLE: [char; 3] = ['\u{200B}', '\u{2060}', '\u{FEFF}'];

/// What is wrong with a row, and the remedy.
pub type Fault = (String, &'static str);

/// The different cells of a file, in the order in which they first come.
#[derive(Default)]
pub struct Cells {
    by_bytes: HashMap<Box<[u8]>, usize>,
    all: Vec<Cell>,
}

/// A cell that names genres.
pub struct Cell {
    /// Its text, without the white space around it.
    pub text: String,
    pub form: Form,
    /// The names that it holds, at least one: as they are spelled, without white space around them.
    pub names: Vec<String>,
    /// The number of rows that have this cell.
    pub rows: u64,
}

/// How a cell names its genres.
#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    /// By text that is one name, unless the other cells show that it is several.
    Text,
    /// By a list such as `['Drama', 'Comedy']`.
    List,
    /// By names with `|` between them.
    Bars,
}

impl Cells {
    /// The number of different cells.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All cells; their positions are what [`Cells::add`] returned.
    pub fn into_all(self) -> Vec<Cell> {
        self.all
    }

    /// Counts one more row with this cell and returns the cell's position, or `None` if the cell
    /// says that there is no genre.
    pub fn add(&mut self, field: &[u8]) -> Result<Option<usize>, Fault> {
        if let Some(&at) = self.by_bytes.get(field) {
            self.all[at].rows += 1;
            return Ok(Some(at));
        }
        let Some(cell) = read(field)? else { return Ok(None) };
        self.all.push(cell);
        self.by_bytes.insert(field.into(), self.all.len() - 1);
        Ok(Some(self.all.len() - 1))
    }
}

fn read(field: &[u8]) -> Result<Option<Cell>, Fault> {
    let lossy = || excerpt(&String::from_utf8_lossy(&field[..field.len().min(MAX_BYTES)]));
    if field.len() > MAX_BYTES {
        return Err((format!("the genre `{}` has more than {MAX_BYTES} bytes", lossy()), "write the names alone"));
    }
    let Ok(text) = std::str::from_utf8(field) else {
        return Err((format!("`{}` is not UTF-8", lossy()), "save the file as UTF-8"));
    };
    let text = text.replace(INVISIBLE, "");
    let text = text.trim();
    if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        return Err((format!("the genre `{}` holds a control character", lossy()), "write the names alone"));
    }
    let (form, items) = match list::items(text) {
        Some(Some(items)) => (Form::List, items),
        Some(None) => {
            let what = format!("the genre `{}` begins as a list and cannot be read as one", lossy());
            return Err((what, "write the names alone, as in `['Drama', 'Comedy']`, or one row for each genre"));
        }
        None if text.contains('|') => (Form::Bars, vec![text.to_owned()]),
        None => (Form::Text, vec![text.to_owned()]),
    };
    let names = items.iter().flat_map(|item| item.split('|')).map(str::trim).filter(|name| !is_nothing(name));
    let names: Vec<String> = names.map(str::to_owned).collect();
    Ok((!names.is_empty()).then(|| Cell { text: text.to_owned(), form, names, rows: 1 }))
}

/// Whether this is how programs write that there is no genre: pandas, Python, R, Excel, SQL and
/// MovieLens.
pub fn is_nothing(name: &str) -> bool {
    const NOTHING: [&str; 11] =
        ["", "nan", "none", "null", "nil", "na", "n/a", "<na>", "#n/a", "\\n", "(no genres listed)"];
    NOTHING.iter().any(|nothing| name.eq_ignore_ascii_case(nothing))
}
