//! What was dropped on the way from the folder to the frames, how much of it, and why: nothing disappears unseen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Rows of `genres.csv` that cannot be read.
pub const MALFORMED_ROWS: &str = "malformed rows";
/// Films whose poster file is not there.
pub const WITHOUT_POSTER: &str = "films without a poster";
/// Poster files of films that `genres.csv` does not know.
pub const WITHOUT_FILM: &str = "posters without a film";
/// Files in `posters/` that are not named `<id>.jpg`.
pub const OTHER_FILES: &str = "files not named <id>.jpg";
/// Rows that repeat an earlier (id, genre).
pub const DUPLICATE_ROWS: &str = "duplicate rows";
/// Posters whose file has the same bytes as that of another film.
pub const DUPLICATE_POSTERS: &str = "posters with the bytes of another";

/// As many examples of each reason are kept by name.
const EXAMPLES: usize = 10;

/// Reasons in the order in which they were applied, each with its count and its first few examples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    entries: Vec<Entry>,
}

/// One reason for which things were dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was dropped, as a plural: "films without a poster".
    pub reason: String,
    /// How many.
    pub count: u64,
    /// The first ten by name: "row 12: the id is not a number", "123.jpg".
    pub examples: Vec<String>,
}

impl Ledger {
    /// Adds `reason` with a count of zero, so that the reader sees that the step was taken. No effect if it is there.
    pub fn declare(&mut self, reason: &str) {
        self.entry(reason);
    }

    /// Counts one more for `reason`; `example` is asked only while examples are still kept.
    pub fn add(&mut self, reason: &str, example: impl FnOnce() -> String) {
        let entry = self.entry(reason);
        entry.count += 1;
        if entry.examples.len() < EXAMPLES {
            entry.examples.push(example());
        }
    }

    /// How many were dropped for `reason`; zero if it never came up.
    pub fn count(&self, reason: &str) -> u64 {
        self.entries.iter().find(|e| e.reason == reason).map_or(0, |e| e.count)
    }

    /// All reasons, in the order in which they were applied.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Appends what `later` counted: its reasons come after those that are here already.
    pub fn extend(&mut self, later: Self) {
        for theirs in later.entries {
            let ours = self.entry(&theirs.reason);
            ours.count += theirs.count;
            let room = EXAMPLES - ours.examples.len();
            ours.examples.extend(theirs.examples.into_iter().take(room));
        }
    }

    fn entry(&mut self, reason: &str) -> &mut Entry {
        let at = self.entries.iter().position(|e| e.reason == reason).unwrap_or_else(|| {
            self.entries.push(Entry { reason: reason.to_owned(), count: 0, examples: Vec::new() });
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }
}

/// A table: count, reason and up to four examples a line.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let shown = 4;
        for Entry { reason, count, examples } in &self.entries {
            write!(f, "{count:>9}  {reason}")?;
            if !examples.is_empty() {
                let dots = if *count > shown as u64 { ", ..." } else { "" };
                write!(f, ": {}{dots}", examples[..examples.len().min(shown)].join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
