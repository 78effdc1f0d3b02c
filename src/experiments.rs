//! The three experiments, as values of one type, and the options of a run.

use crate::data::frames::FilmRule;
use crate::data::refusal::OnBadImage;
use crate::loss::Head;
use crate::recipe::{Balance, Recipe};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What one experiment asks of the posters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Name of its folder and on the command line.
    pub name: &'static str,
    /// Last activation and loss.
    pub head: Head,
    films: Films,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Films {
    All,
    OneGenre,
    TopGenres(usize),
}

impl Experiment {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 3] = [
        Self { name: "multi-label", head: Head::Sigmoid, films: Films::All },
        Self { name: "single-genre", head: Head::Softmax, films: Films::OneGenre },
        Self { name: "top-6", head: Head::Softmax, films: Films::TopGenres(6) },
    ];

    /// The experiment of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|experiment| experiment.name == name)
    }

    /// What is done here about rare genres, where a recipe asks for that.
    pub fn balance(&self, asked: Balance) -> Balance {
        match (asked, self.films) {
            (Balance::Auto, Films::TopGenres(_)) => Balance::Sampler,
            (Balance::Auto, _) => Balance::None,
            (asked, _) => asked,
        }
    }

    /// Which films it takes, under the options of a run.
    pub fn film_rule(&self, per_genre: usize, balance: bool) -> FilmRule {
        match self.films {
            Films::All => FilmRule::MultiLabel,
            Films::OneGenre => FilmRule::SingleGenre,
            Films::TopGenres(count) => FilmRule::TopGenres { count, per_genre, balance },
        }
    }
}

/// All effective options of a run; written to `config.toml`.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// Folder in the Letterboxd layout.
    #[serde(serialize_with = "lossy")]
    pub data: PathBuf,
    /// Folder of the results.
    #[serde(serialize_with = "lossy")]
    pub out: PathBuf,
    /// Folder of the decoded posters; none where they are decoded again whenever they are needed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_or_none")]
    pub cache: Option<PathBuf>,
    /// What becomes of posters that do not decode.
    pub on_bad_image: OnBadImage,
    /// The share of films that may lack a poster that decodes.
    pub max_missing: f64,
    /// At most so many training films.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// At most so many validation films.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_val: Option<usize>,
    /// Films with more genres are dropped.
    pub max_genres: usize,
    /// top-6: at most so many training and validation films a genre.
    pub per_genre: usize,
    /// The name of the recipe that the options started from.
    pub recipe_name: &'static str,
    /// The model and its training.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// The folder of a trained experiment whose weights this one starts from.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_or_none")]
    pub init_from: Option<PathBuf>,
    /// Of everything random.
    pub seed: u64,
    /// Worker threads.
    pub threads: usize,
    /// Whether the results of an earlier run may be replaced.
    #[serde(skip)]
    pub overwrite: bool,
}

/// A path that is not UTF-8 is shown as well as it can be.
fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

fn lossy_or_none<S: serde::Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(to)
}

impl Options {
    /// What `max_genres` is unless asked for otherwise: the report's.
    pub const MAX_GENRES: usize = 3;
    /// What `per_genre` is unless asked for otherwise: the report's.
    pub const PER_GENRE: usize = 25_000;

    /// What they are for the experiment whose turn in the run it is, counted from 0; the first one's results are in `first`.
    pub fn of_turn(&self, turn: usize, first: &Path) -> Self {
        if turn == 0 || self.recipe.transfer == 0.0 || self.init_from.is_some() {
            return self.clone();
        }
        Self { recipe: self.recipe.clone().transferred(), init_from: Some(first.to_path_buf()), ..self.clone() }
    }
}
