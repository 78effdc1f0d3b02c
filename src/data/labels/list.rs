//! Lists in a cell, as programs write them: `['Drama', "Comedy"]` (Python, JSON), `['Drama'
//! 'Comedy']` (NumPy), `[Drama, Comedy]`, `{Drama,"Science Fiction"}` (PostgreSQL), `('Drama',)`.

use std::iter::Peekable;
use std::str::Chars;

/// The items of a list. `None` if the text is no list: it does not begin with `[` or `{`, nor with
/// `(` and a quote, since a word in parentheses is a name. `Some(None)` if it begins as a list and
/// does not read as one to its end, or holds other things than names.
pub fn items(text: &str) -> Option<Option<Vec<String>>> {
    let mut start = text.chars();
    let close = match start.next()? {
        '[' => ']',
        '{' => '}',
        '(' if start.as_str().trim_start().starts_with(['\'', '"']) => ')',
        _ => return None,
    };
    Some(start.as_str().strip_suffix(close).and_then(names))
}

/// The names of a list without its brackets.
fn names(inside: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = inside.chars().peekable();
    while let Some(&c) = rest.peek() {
        match c {
            '\'' | '"' => {
                rest.next();
                names.push(quoted(&mut rest, c)?);
            }
            ',' => drop(rest.next()),
            c if c.is_whitespace() => drop(rest.next()),
            _ => names.push(bare(&mut rest)?),
        }
    }
    Some(names)
}

/// A name up to its closing quote. `None` if the quote is missing or an escape is unknown.
fn quoted(rest: &mut Peekable<Chars>, quote: char) -> Option<String> {
    let mut name = String::new();
    loop {
        match rest.next()? {
            '\\' => match rest.next()? {
                'u' => name.push(coded(rest, 4)?),
                'x' => name.push(coded(rest, 2)?),
                'n' | 't' | 'r' => name.push(' '),
                c @ ('\\' | '/' | '\'' | '"') => name.push(c),
                _ => return None,
            },
            c if c == quote => return Some(name),
            c => name.push(c),
        }
    }
}

/// The character with the code of that many hexadecimal digits.
fn coded(rest: &mut Peekable<Chars>, digits: usize) -> Option<char> {
    let code = rest.by_ref().take(digits).try_fold(0, |code, c| Some(code * 16 + c.to_digit(16)?))?;
    char::from_u32(code)
}

/// A name without quotes, up to the next comma. `None` if it holds what belongs to quoted names,
/// lists or objects.
fn bare(rest: &mut Peekable<Chars>) -> Option<String> {
    let mut name = String::new();
    while let Some(c) = rest.next_if(|&c| c != ',') {
        if "'\"[]{}:".contains(c) {
            return None;
        }
        name.push(c);
    }
    Some(name)
}
