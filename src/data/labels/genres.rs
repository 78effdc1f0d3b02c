//! From the cells of the genre column to genres: which cells hold several names, and which names
//! are spellings of one genre. Both can be told only from all cells together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::data::labels::cells::{Cell, Form, SEPARATORS, is_nothing};
use crate::text::excerpt;

/// The number of genres whose spellings are noted, and of the spellings of each.
const NOTED: usize = 5;

/// The genres of a file.
pub struct Genres {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// The genres of each cell, as indexes into `names`.
    pub of_cell: Vec<Vec<usize>>,
    /// What the user should know of how the cells were read.
    pub notes: Vec<String>,
}

impl Genres {
    /// The genres that the cells name.
    ///
    /// Lists and names with `|` between them are always several names. At another separator a cell
    /// is split if each part is a name of its own in some other cell, or part of at least two
    /// different cells; where that holds for nine in ten of the different cells with this
    /// separator, the others are split, too. So `Sci-Fi/Fantasy` stays one name in a file that has
    /// neither half elsewhere.
    ///
    /// Names that differ in nothing but case, Unicode form and white space are one genre, under
    /// its most frequent spelling.
    pub fn of(mut cells: Vec<Cell>) -> Self {
        let mut notes = Vec::new();
        for (form, how) in [(Form::List, "they were read as lists"), (Form::Bars, "they were split at `|`")] {
            let several = |cell: &&Cell| cell.form == form && cell.names.len() > 1;
            notes.extend(note_of_several(cells.iter().filter(several), how));
        }
        for separator in SEPARATORS {
            notes.extend(split(&mut cells, separator));
        }
        notes.extend(note_of_whole(&cells));

        let mut numbers = HashMap::<String, usize>::new();
        let mut spellings = Vec::<BTreeMap<&str, u64>>::new();
        let mut number_of = |name| {
            *numbers.entry(key(name)).or_insert_with(|| {
                spellings.push(BTreeMap::new());
                spellings.len() - 1
            })
        };
        let mut of_cell: Vec<Vec<usize>> =
            cells.iter().map(|cell| cell.names.iter().map(|name| number_of(name)).collect()).collect();
        for (cell, genres) in cells.iter().zip(&of_cell) {
            for (name, &genre) in cell.names.iter().zip(genres) {
                *spellings[genre].entry(name).or_default() += cell.rows;
            }
        }

        let mut named: Vec<(String, usize)> =
            spellings.iter().enumerate().map(|(genre, spelled)| (most_frequent(spelled), genre)).collect();
        named.sort_unstable();
        let mut position = vec![0; named.len()];
        for (at, &(_, genre)) in named.iter().enumerate() {
            position[genre] = at;
        }
        of_cell.iter_mut().flatten().for_each(|genre| *genre = position[*genre]);
        notes.extend(notes_of_spellings(&named, &spellings));
        Self { names: named.into_iter().map(|(name, _)| name).collect(), of_cell, notes }
    }
}

/// Splits the cells at a separator where that is clearly what it is; a note of it, if there were
/// any.
fn split(cells: &mut [Cell], separator: char) -> Option<String> {
    let is_joined = |cell: &Cell, name: &str| {
        cell.form == Form::Text && name.contains(separator) && parts(name, separator).next().is_some()
    };
    // The different names that hold the separator, with their parts.
    let mut joined = HashMap::<String, BTreeSet<String>>::new();
    let mut alone = HashSet::<String>::new();
    for cell in &*cells {
        for name in &cell.names {
            if is_joined(cell, name) {
                joined.entry(key(name)).or_insert_with(|| parts(name, separator).map(key).collect());
            } else {
                alone.insert(key(name));
            }
        }
    }
    let mut uses = HashMap::<&str, usize>::new();
    joined.values().flatten().for_each(|part| *uses.entry(part).or_default() += 1);
    let is_clear = |parts: &BTreeSet<String>| parts.iter().all(|part| alone.contains(part) || uses[part.as_str()] > 1);
    let nearly_all = 10 * joined.values().filter(|parts| is_clear(parts)).count() >= 9 * joined.len();

    let mut several = Vec::new();
    for (at, cell) in cells.iter_mut().enumerate() {
        let before = cell.names.len();
        let mut names = Vec::with_capacity(before);
        for name in std::mem::take(&mut cell.names) {
            if is_joined(cell, &name) && (nearly_all || is_clear(&joined[&key(&name)])) {
                names.extend(parts(&name, separator).map(str::to_owned));
            } else {
                names.push(name);
            }
        }
        if names.len() > before {
            several.push(at);
        }
        cell.names = names;
    }
    let separator = if separator == '\n' { "line breaks".to_owned() } else { format!("`{separator}`") };
    note_of_several(several.iter().map(|&at| &cells[at]), &format!("they were split at {separator}"))
}

/// The names between separators.
fn parts(name: &str, separator: char) -> impl Iterator<Item = &str> {
    name.split(separator).map(str::trim).filter(|part| !is_nothing(part))
}

fn note_of_several<'a>(cells: impl Iterator<Item = &'a Cell>, how: &str) -> Option<String> {
    let mut cells = cells.peekable();
    let example = excerpt(&cells.peek()?.text);
    let rows: u64 = cells.map(|cell| cell.rows).sum();
    Some(format!("{rows} cells of genres.csv hold several genres, such as `{example}`; {how}"))
}

/// A note of the names that hold a separator and were not split.
fn note_of_whole(cells: &[Cell]) -> Option<String> {
    let texts = cells.iter().filter(|cell| cell.form == Form::Text);
    let mut whole = texts.flat_map(|cell| &cell.names).filter(|name| name.contains(SEPARATORS)).peekable();
    let example = excerpt(whole.peek()?);
    let different: HashSet<String> = whole.map(|name| key(name)).collect();
    Some(format!(
        "{} names of genres hold `,`, `;`, `/` or a line break, such as `{example}`: each is taken for one genre, \
         since its parts do not come by themselves; if they are several, write one row for each",
        different.len()
    ))
}

/// What all spellings of a genre have in common: the text in lower case and in the form NFC, its
/// words with one space between them.
fn key(name: &str) -> String {
    let lower: String = tidy(name).chars().flat_map(char::to_lowercase).collect();
    lower.nfc().collect()
}

/// The text in the form NFC, its words with one space between them.
fn tidy(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").nfc().collect()
}

/// The most frequent of the spellings, given how many rows have each; of equally frequent ones the
/// first in order. White space and Unicode form make no difference here.
fn most_frequent(spellings: &BTreeMap<&str, u64>) -> String {
    let mut tidied = BTreeMap::<String, u64>::new();
    for (spelling, rows) in spellings {
        *tidied.entry(tidy(spelling)).or_default() += rows;
    }
    // Of equal ones the last is the greatest.
    let most = tidied.into_iter().rev().max_by_key(|&(_, rows)| rows);
    most.expect("a genre has a spelling").0
}

/// A note for each of the first genres with several spellings, and how many more there are.
fn notes_of_spellings(named: &[(String, usize)], spellings: &[BTreeMap<&str, u64>]) -> Vec<String> {
    let mut several = named.iter().filter(|(_, genre)| spellings[*genre].len() > 1);
    let note = |(name, genre): &(String, usize)| {
        let others: Vec<&str> = spellings[*genre].keys().copied().filter(|spelling| spelling != name).collect();
        let mut shown: Vec<String> = others.iter().take(NOTED).map(|name| format!("`{}`", revealed(name))).collect();
        if others.len() > NOTED {
            shown.push(format!("{} others", others.len() - NOTED));
        }
        format!("`{}` is also written {} in genres.csv; they are one genre", revealed(name), shown.join(", "))
    };
    let mut notes: Vec<String> = several.by_ref().take(NOTED).map(note).collect();
    let more = several.count();
    if more > 0 {
        notes.push(format!("{more} more genres of genres.csv are written in several ways; each is one genre"));
    }
    notes
}

/// An excerpt in which characters that cannot be seen, or not be told from others, are written as
/// escapes: white space other than the space, and combining marks.
fn revealed(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars() {
        if (c.is_whitespace() && c != ' ') || is_combining_mark(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    excerpt(&shown)
}
