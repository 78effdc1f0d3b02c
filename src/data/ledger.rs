//! A record of what was dropped on the way from the folder to the frames, how much of it, and why:
//! nothing disappears unseen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Rows of `genres.csv` that cannot be read.
pub const MALFORMED_ROWS: &str = "malformed rows";
/// Films that have no poster file.
pub const WITHOUT_POSTER: &str = "films without a poster";
/// Poster files of films that are not in `genres.csv`.
pub const WITHOUT_FILM: &str = "posters without a film";
/// Files in `posters/` whose names are not those of posters.
pub const OTHER_FILES: &str = "files not named <id>.jpg";
/// Posters of films that have another poster already, such as `7.jpeg` beside `7.jpg`.
pub const SECOND_FILES: &str = "posters beside another of the same film";
/// Rows that repeat the id and genre of an earlier row.
pub const DUPLICATE_ROWS: &str = "duplicate rows";
/// Posters whose file has the same bytes as the poster of another film.
pub const DUPLICATE_POSTERS: &str = "posters with the bytes of another";

/// The number of examples that are kept by name for each reason.
const EXAMPLES: usize = 10;

/// The reasons for which things were dropped, in the order in which they were applied, each with
/// its count and its first few examples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    entries: Vec<Entry>,
}

/// A reason for which things were dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was dropped, as a plural: "films without a poster".
    pub reason: String,
    /// How many were dropped.
    pub count: u64,
    /// The names of the first ten, such as "row 12: the id is not a number" or "123.jpg".
    pub examples: Vec<String>,
}

impl Ledger {
    /// Adds `reason` with a count of zero, so that the reader sees that the step was taken. Does
    /// nothing if the reason is there already.
    pub fn declare(&mut self, reason: &str) {
        self.entry(reason);
    }

    /// Counts one more for `reason`; `example` is called only while examples are still kept.
    pub fn add(&mut self, reason: &str, example: impl FnOnce() -> String) {
        let entry = self.entry(reason);
        entry.count += 1;
        if entry.examples.len() < EXAMPLES {
            entry.examples.push(example());
        }
    }

    /// The number dropped for `reason`; zero if it never came up.
    pub fn count(&self, reason: &str) -> u64 {
        self.entries.iter().find(|e| e.reason == reason).map_or(0, |e| e.count)
    }

    /// All reasons, in the order in which they were applied.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds the counts of `later`; reasons that are new come after those that are here already.
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

/// A table with a count, a reason and up to four examples per line.
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
