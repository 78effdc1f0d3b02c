use onesheet::text::{EXCERPT, cell, excerpt, of_cell, printable};
use onesheet::{Error, Result};
use std::path::Path;

#[test]
fn what_a_terminal_would_obey_is_shown_as_an_escape() {
    assert_eq!(printable("Drama, \u{e9}t\u{e9} \u{2603} \u{1f600}"), "Drama, \u{e9}t\u{e9} \u{2603} \u{1f600}");
    assert_eq!(printable("a\u{1b}[2Jb\r\n\tc\u{7}"), "a\\u{1b}[2Jb\\r\\n\\tc\\u{7}");
    assert_eq!(printable("\u{9b}2J"), "\\u{9b}2J", "C1 controls, too");
    assert_eq!(printable("gpj.\u{202e}exe\u{2066}\u{2028}"), "gpj.\\u{202e}exe\\u{2066}\\u{2028}");
}

#[test]
fn an_excerpt_is_short_however_long_the_text_is() {
    assert_eq!(excerpt("short"), "short");
    assert_eq!(excerpt(&"x".repeat(EXCERPT)), "x".repeat(EXCERPT));
    for long in ["x".repeat(EXCERPT + 1), "\u{e9}".repeat(1 << 20), "\u{1b}".repeat(EXCERPT)] {
        let shown = excerpt(&long);
        assert_eq!(shown.chars().count(), EXCERPT, "{shown}");
        assert!(shown.ends_with("..."), "{shown}");
    }
}

#[test]
fn no_cell_is_a_formula() {
    for (text, shown) in [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("'=1", "''=1"),
        ("Sci-Fi", "Sci-Fi"),
        ("", ""),
    ] {
        assert_eq!(cell(text), shown);
        assert_eq!(of_cell(shown), text);
    }
}

#[test]
fn an_error_is_one_line_whatever_it_quotes() {
    let path = Path::new("a\u{1b}]52;c;x\u{7}/b\nc");
    let errors: [Result<()>; 4] = [
        Err(Error::data(path, "x\ny", "z\u{202e}")),
        Err(Error::row(path, 3, "x\r", "z")),
        Err(Error::usage("a\nb", "c\nd")),
        Err(Error::io(path, "read the file")(std::io::Error::other("two\nlines"))),
    ];
    for error in errors {
        let text = error.unwrap_err().to_string();
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
}
