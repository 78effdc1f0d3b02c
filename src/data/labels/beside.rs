//! The files beside `genres.csv` in the Letterboxd set, each of which says one more thing of films:
//! `themes.csv` (id,theme), `countries.csv` (id,country), `languages.csv` (id,type,language),
//! `studios.csv` (id,studio), and `movies.csv`, whose column `date` holds the year.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::data::labels::kind::{Kind, Reading};
use crate::data::labels::{GENRES, Labels, Table};
use crate::data::ledger::Ledger;
use crate::error::{Error, Result};

/// What such a file says of films.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// What they are about.
    Themes,
    /// The countries that they were made in.
    Countries,
    /// The languages that are spoken in them, and their original ones.
    Languages,
    /// The decade that they are of.
    Decade,
    /// The studios that made them.
    Studios,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Themes, Self::Countries, Self::Languages, Self::Decade, Self::Studios];

    /// The name, as options have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Themes => "themes",
            Self::Countries => "countries",
            Self::Languages => "languages",
            Self::Decade => "decade",
            Self::Studios => "studios",
        }
    }

    /// The name of the file in the folder of the data.
    pub fn file(self) -> &'static str {
        match self {
            Self::Themes => "themes.csv",
            Self::Countries => "countries.csv",
            Self::Languages => "languages.csv",
            Self::Decade => "movies.csv",
            Self::Studios => "studios.csv",
        }
    }

    fn kind(self) -> Kind {
        // Studios are the most: the whole set names some hundred thousand.
        let base = Kind { reading: Reading::Name, max_cells: 1 << 20, ..GENRES };
        match self {
            Self::Themes => Kind {
                noun: "theme",
                plural: "themes",
                columns: &["theme", "themes"],
                example: "123,Crude humor and satire",
                empty_rows: "rows without a theme",
                empty_films: "films without a theme",
                ..base
            },
            Self::Countries => Kind {
                noun: "country",
                plural: "countries",
                columns: &["country", "countries"],
                example: "123,Japan",
                empty_rows: "rows without a country",
                empty_films: "films without a country",
                ..base
            },
            Self::Languages => Kind {
                noun: "language",
                plural: "languages",
                columns: &["language", "languages"],
                example: "123,Japanese",
                empty_rows: "rows without a language",
                empty_films: "films without a language",
                ..base
            },
            Self::Decade => Kind {
                noun: "year",
                plural: "years",
                columns: &["date", "year"],
                example: "123,1994",
                empty_rows: "rows without a year",
                empty_films: "films without a year",
                reading: Reading::Decade,
                ..base
            },
            Self::Studios => Kind {
                noun: "studio",
                plural: "studios",
                columns: &["studio", "studios"],
                example: "123,Toho",
                empty_rows: "rows without a studio",
                empty_films: "films without a studio",
                ..base
            },
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Some topics, each once; `none`, or their names with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics(Vec<Topic>);

impl Topics {
    /// The topics, in the order of [`Topic::ALL`].
    pub fn all(&self) -> &[Topic] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<T: IntoIterator<Item = Topic>>(topics: T) -> Self {
        Self(topics.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
    }
}

impl FromStr for Topics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |name: &str| Topic::ALL.into_iter().find(|of| of.name().eq_ignore_ascii_case(name.trim()));
        let all: Option<Self> = match text {
            "none" => Some(Self::default()),
            list => list.split(',').map(named).collect::<Option<Vec<_>>>().map(Self::from_iter),
        };
        all.ok_or_else(|| {
            format!("it is none, or some of {}, with commas between them", Topic::ALL.map(Topic::name).join(","))
        })
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|topic| topic.name()).collect();
        match names.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&names.join(",")),
        }
    }
}

impl Serialize for Topics {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What a file beside `genres.csv` says of some films, and what could not be read of it.
#[derive(Debug)]
pub struct Values {
    /// What it is about.
    pub topic: Topic,
    /// The number of rows below the header.
    pub rows: u64,
    /// The rows that are about other films.
    pub others: u64,
    /// The names of the values, sorted.
    pub names: Vec<String>,
    /// The values of each film that the file names, as indexes into `names`: at least one per film,
    /// sorted, none twice. Films with a malformed row are not among them.
    pub films: BTreeMap<u64, Vec<usize>>,
    /// What is wrong with the first ten malformed rows, each with its row and a remedy.
    pub warnings: Vec<String>,
    /// What was left out: malformed rows, rows without a value, and the films for which that matters.
    pub ledger: Ledger,
}

impl Values {
    /// Reads the file of a topic in the folder `data`, with the care of [`Labels::read_csv`]; what it
    /// says of others than the films `of` is counted alone, so that the memory for a file of millions
    /// of films is bounded by theirs. A cell is one name, whatever characters it holds; names that
    /// differ in case, Unicode form and white space alone are one.
    ///
    /// # Errors
    /// Those of [`Labels::read_csv`], where a column may hold a million different cells; also if there
    /// is no such file, or no row is about one of the films.
    pub fn read_csv(data: &Path, topic: Topic, of: &BTreeSet<u64>) -> Result<Self> {
        let path = data.join(topic.file());
        if !path.exists() {
            let remedy = format!("put it there, or leave {topic} out of --auxiliary");
            return Err(Error::data(&path, "there is no such file", remedy));
        }
        let table = Table::read_csv(&path, topic.kind(), Some(of))?;
        let others = table.others;
        let Labels { rows, genres: names, films, warnings, ledger, .. } = table.into_labels(&path)?;
        Ok(Self { topic, rows, others, names, films, warnings, ledger })
    }
}
