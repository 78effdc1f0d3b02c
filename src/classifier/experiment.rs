//! The three experiments, as values of one type.

use crate::data::frames::FilmRule;
use crate::nn::Head;

/// An experiment: which films it takes, and what a model is trained to say of their posters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// The name on the command line and of the experiment's folder.
    pub name: &'static str,
    /// The last activation and the loss.
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
    /// All experiments, in the order in which they run.
    pub const ALL: [Self; 3] = [
        Self { name: "multi-label", head: Head::Sigmoid, films: Films::All },
        Self { name: "single-genre", head: Head::Softmax, films: Films::OneGenre },
        Self { name: "top-6", head: Head::Softmax, films: Films::TopGenres(6) },
    ];

    /// The experiment with that name; `None` if there is none.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|experiment| experiment.name == name)
    }

    /// Whether auxiliary heads are trained with it: where all films are. The other experiments have few,
    /// and start from the weights of this one.
    pub fn takes_auxiliary(&self) -> bool {
        self.films == Films::All
    }

    /// Whether the question is about the commonest genres alone, each as important as the others.
    pub fn is_of_top_genres(&self) -> bool {
        matches!(self.films, Films::TopGenres(_))
    }

    /// Which films the experiment takes, given the most films per genre and whether genres are to
    /// be cut to the same number; both concern top-6 alone.
    pub fn film_rule(&self, per_genre: usize, balance: bool) -> FilmRule {
        match self.films {
            Films::All => FilmRule::MultiLabel,
            Films::OneGenre => FilmRule::SingleGenre,
            Films::TopGenres(count) => FilmRule::TopGenres { count, per_genre, balance },
        }
    }
}
