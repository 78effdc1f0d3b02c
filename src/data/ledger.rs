//! A record of what was dropped on the way from the folder to the frames, how much of it, and why:
//! nothing disappears unseen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::excerpt;

/// Rows of `genres.csv` that cannot be read.
pub const MALFORMED_ROWS: &str = "malformed rows";
/// Rows that say of a film that it has no genre, such as `7,nan`.
pub const ROWS_WITHOUT_GENRE: &str = "rows without a genre";
/// Films of which some row is malformed: nobody knows all their genres.
pub const WITH_MALFORMED_ROW: &str = "films with a row that cannot be read";
/// Films of which no row names a genre.
pub const WITHOUT_GENRE: &str = "films without a genre";
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
/// Posters that show the same picture as that of another film, though not in the same bytes.
pub const TWINS: &str = "posters that show the picture of another";
/// Films that are on another side of the split than their id says, since their poster shows the
/// picture of another.
pub const MOVED: &str = "films moved to the side of that other";

/// The number of names per reason in the table that is shown.
const SHOWN: usize = 4;

/// The reasons for which things were dropped, in the order in which they were applied, each with
/// the names of all that was dropped.
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
    /// The names of all of them, such as "row 12: the id is not a number" or "123.jpg".
    pub names: Vec<String>,
}

impl Ledger {
    /// Adds `reason` with a count of zero, so that the reader sees that the step was taken. Does
    /// nothing if the reason is there already.
    pub fn declare(&mut self, reason: &str) {
        self.entry(reason);
    }

    /// Counts one more for `reason`.
    pub fn add(&mut self, reason: &str, name: impl Into<String>) {
        let entry = self.entry(reason);
        entry.count += 1;
        entry.names.push(name.into());
    }

    /// The number dropped for `reason`; zero if it never came up.
    pub fn count(&self, reason: &str) -> u64 {
        self.entries.iter().find(|e| e.reason == reason).map_or(0, |e| e.count)
    }

    /// All reasons, in the order in which they were applied.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds what `later` names; reasons that are new come after those that are here already.
    pub fn extend(&mut self, later: Self) {
        for theirs in later.entries {
            let ours = self.entry(&theirs.reason);
            ours.count += theirs.count;
            ours.names.extend(theirs.names);
        }
    }

    fn entry(&mut self, reason: &str) -> &mut Entry {
        let at = self.entries.iter().position(|e| e.reason == reason).unwrap_or_else(|| {
            self.entries.push(Entry { reason: reason.to_owned(), count: 0, names: Vec::new() });
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }
}

/// A table with a count, a reason and up to four names per line.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for Entry { reason, count, names } in &self.entries {
            write!(f, "{count:>9}  {reason}")?;
            if !names.is_empty() {
                let shown: Vec<String> = names.iter().take(SHOWN).map(|name| excerpt(name)).collect();
                let dots = if names.len() > SHOWN { ", ..." } else { "" };
                write!(f, ": {}{dots}", shown.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
