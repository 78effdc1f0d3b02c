//! Text of others made safe to show: names of genres, films and files come from whoever made them.
//!
//! A terminal obeys control characters: an escape sequence in a file name can clear the screen or
//! fill the clipboard. Bidi characters turn the text around them, so that it reads as something
//! else. Everything that is shown goes through [`printable`], and what is quoted from a file goes
//! through [`excerpt`], too.

use std::borrow::Cow;
use std::fmt::Write;

/// The most characters that a message quotes from a file.
pub const EXCERPT: usize = 80;

/// The text in one line, with control characters, line breaks and characters that change the
/// direction of text written as `\n`, `\t`, `\u{1b}` and the like.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            write!(shown, "{}", c.escape_default()).expect("a String takes all");
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// What a message quotes from a file: at most [`EXCERPT`] characters, [`printable`]; `...` stands
/// for what is left out.
pub fn excerpt(text: &str) -> String {
    let shown = printable(match text.char_indices().nth(EXCERPT) {
        // What is cut off need not be looked at, however long it is.
        Some((end, _)) => &text[..end],
        None => text,
    });
    let is_whole = shown.chars().nth(EXCERPT).is_none() && text.chars().nth(EXCERPT).is_none();
    if is_whole { shown.into_owned() } else { shown.chars().take(EXCERPT - 3).chain("...".chars()).collect() }
}

/// A cell of a CSV file that a spreadsheet takes for text: what begins as a formula does, it would
/// calculate. A quotation mark in front is what spreadsheets mark text with; text that has one itself
/// gets another, so that no two texts become one cell.
///
/// OWASP, CSV Injection.
pub fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(MARKED) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// The text of a [`cell`].
pub fn of_cell(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| text.starts_with(MARKED)).unwrap_or(cell)
}

/// What texts begin with that are marked in a [`cell`].
const MARKED: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// A number with commas between its thousands: 3711731 as `3,711,731`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Control characters, line and paragraph separators, and what Unicode's bidirectional algorithm
/// (UAX 9) or a reader's eye would be led astray by.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// A path as a shell takes it for one word.
#[cfg(feature = "posters")]
pub fn shell_word(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
