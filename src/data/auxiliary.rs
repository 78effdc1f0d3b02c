//! Auxiliary heads: what a network is taught beside the genres, so that it learns features that a few
//! thousand genres alone would not teach it.
//!
//! Posters show what they are of: an era, a country, a theme. A network that has to tell these as well
//! learns from more labels per poster, and posters whose films have no genre teach, too. Only the
//! genres are asked for in the end: nothing of the rest is in a saved model.
//!
//! Caruana 1997, Multitask Learning, <https://doi.org/10.1023/A:1007379606734>.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::data::duplicates::duplicates;
use crate::data::films::{Film, Films};
use crate::data::frames::Frame;
use crate::data::labels::beside::{Topic, Topics, Values};
use crate::data::ledger::{DUPLICATE_POSTERS, Ledger};
use crate::data::split::{Fold, Split, rank};
use crate::data::twins::Twins;
use crate::error::{Error, Result};

/// The fewest training films that make a value a class: an epoch of fewer steps its output hardly at
/// all, and what it finds in so few posters is the posters.
pub const FEWEST_FILMS: usize = 20;
/// The most classes of a head. What comes after the hundred most frequent values is rare even among
/// hundreds of thousands of films, and there are more studios than there are features to tell them by.
pub const MOST_CLASSES: usize = 100;

/// What the files beside `genres.csv` say of the films that have a poster.
#[derive(Debug)]
pub struct Auxiliary {
    /// What each file says.
    pub values: Vec<Values>,
}

/// The heads beside that of the genres.
#[derive(Debug)]
pub struct Heads {
    /// Each of them, in the order of their outputs.
    pub all: Vec<Head>,
}

/// A head: the classes that it tells apart, and the films that teach it.
///
/// A film may have several themes, countries, languages and studios, so these are classes each of
/// which holds or not. A decade is one of several, and is told in the same way: what the head says is
/// used nowhere, so that one loss does for all.
#[derive(Debug)]
pub struct Head {
    /// What it tells.
    pub topic: Topic,
    /// The names of its classes, sorted.
    pub classes: Vec<String>,
    /// The classes of each training film that has labels here, as indexes into `classes`, sorted; none
    /// where all its values are too rare.
    pub films: HashMap<u64, Vec<usize>>,
}

/// What an experiment with auxiliary heads is trained on.
#[derive(Debug)]
pub struct Taught {
    /// The heads.
    pub heads: Arc<Heads>,
    /// The films to train on, ordered by id: those of the frame, and those without genres, whose list
    /// of genres is empty.
    pub train: Vec<Film>,
}

impl Auxiliary {
    /// Reads the files of the topics; `None` where there are no topics.
    ///
    /// # Errors
    /// Those of [`Values::read_csv`].
    pub fn read(data: &Path, topics: &Topics, films: &Films) -> Result<Option<Self>> {
        let read = |&topic: &Topic| Values::read_csv(data, topic, films.posters.ids());
        let values: Vec<Values> = topics.all().iter().map(read).collect::<Result<_>>()?;
        Ok((!values.is_empty()).then_some(Self { values }))
    }

    /// The posters that may be trained on although `genres.csv` does not name their films: some file
    /// has labels for them, their ids are those of training films and of none that is held out, and
    /// no film has a poster of the same bytes. The ledger counts the others.
    ///
    /// # Errors
    /// Those of [`duplicates`].
    pub fn posters_without_genres(&self, films: &Films, fold: Option<Fold>, ledger: &mut Ledger) -> Result<Vec<u64>> {
        const WITHOUT_LABELS: &str = "posters without any label";
        const OTHER_SIDE: &str = "posters whose ids are not those of training films";
        [WITHOUT_LABELS, OTHER_SIDE, DUPLICATE_POSTERS].iter().for_each(|reason| ledger.declare(reason));
        let mut kept = BTreeSet::new();
        for &id in &films.unnamed {
            if !self.values.iter().any(|of| of.films.contains_key(&id)) {
                ledger.add(WITHOUT_LABELS, films.posters.name(id));
            } else if Split::of(id) != Split::Train || fold.is_some_and(|fold| fold.has(id)) {
                ledger.add(OTHER_SIDE, films.posters.name(id));
            } else {
                kept.insert(id);
            }
        }
        let named: BTreeSet<u64> = films.films.iter().map(|film| film.id).collect();
        let all: Vec<u64> = named.union(&kept).copied().collect();
        let mut same = BTreeMap::<u64, Vec<u64>>::new();
        for (id, first) in duplicates(&films.posters, &all)? {
            same.entry(first).or_insert_with(|| vec![first]).push(id);
        }
        for group in same.values() {
            // One of several without genres stays, the first, if it stands for itself.
            let stays = group[0];
            let has_film = group.iter().any(|id| named.contains(id));
            for id in group.iter().filter(|&&id| has_film || id != stays) {
                if kept.remove(id) {
                    ledger.add(DUPLICATE_POSTERS, films.posters.name(*id));
                }
            }
        }
        Ok(kept.into_iter().collect())
    }

    /// What is trained on: the films of a frame, those without genres, and the heads for them all.
    ///
    /// # Errors
    /// [`Error::Data`] if no value of a file is frequent enough to become a class.
    pub fn taught(&self, data: &Path, train: &[Film], without_genres: &[u64]) -> Result<Taught> {
        let others = without_genres.iter().map(|&id| Film { id, genres: Vec::new() });
        let mut train: Vec<Film> = train.iter().cloned().chain(others).collect();
        train.sort_unstable_by_key(|film| film.id);
        let all = self.values.iter().map(|of| Head::of(of, data, &train)).collect::<Result<_>>()?;
        Ok(Taught { heads: Arc::new(Heads { all }), train })
    }
}

impl Taught {
    /// The films to train on: all that are taught, or those of the frame where genres are all that is.
    pub fn films<'a>(taught: Option<&'a Self>, frame: &'a Frame) -> &'a [Film] {
        taught.map_or(&frame.train, |taught| &taught.train)
    }
}

/// Leaves out those posters without genres whose picture is also that of a film that is not trained
/// on: `twins` are those among all posters, `is_elsewhere` says of a film with genres whether it is on
/// another side than that of training. The ledger counts them.
pub fn drop_twins_of_others(
    without_genres: &mut Vec<u64>,
    twins: &Twins,
    is_elsewhere: impl Fn(u64) -> bool,
    films: &Films,
    ledger: &mut Ledger,
) {
    const ELSEWHERE: &str = "posters that show the picture of a film that is not trained on";
    ledger.declare(ELSEWHERE);
    let own: BTreeSet<u64> = without_genres.iter().copied().collect();
    let is_out = |id: &u64| !own.contains(id) && is_elsewhere(*id);
    let out: BTreeSet<u64> =
        twins.groups().iter().filter(|group| group.iter().any(is_out)).flatten().copied().collect();
    without_genres.retain(|id| {
        let stays = !out.contains(id);
        if !stays {
            ledger.add(ELSEWHERE, films.posters.name(*id));
        }
        stays
    });
}

/// Leaves as many posters without genres as a limit on the training films has room for, by the order
/// in which films survive a limit. The ledger counts the others.
pub fn limit_to(without_genres: &mut Vec<u64>, room: Option<usize>, films: &Films, ledger: &mut Ledger) {
    let Some(room) = room else { return };
    const BEYOND: &str = "posters beyond the limit of training films";
    ledger.declare(BEYOND);
    without_genres.sort_by_cached_key(|&id| rank(id));
    without_genres.drain(room.min(without_genres.len())..).for_each(|id| ledger.add(BEYOND, films.posters.name(id)));
    without_genres.sort_unstable();
}

impl Taught {
    /// How many of its films have no genre.
    pub fn without_genres(&self) -> usize {
        self.train.iter().filter(|film| film.genres.is_empty()).count()
    }

    /// A checksum of the films, the classes and the labels.
    pub fn digest(&self) -> u32 {
        let mut digest = crc32fast::Hasher::new();
        for head in &self.heads.all {
            digest.update(format!("{} {:?}\n", head.topic, head.classes).as_bytes());
        }
        for Film { id, genres } in &self.train {
            let labels: Vec<_> = self.heads.all.iter().map(|head| head.films.get(id)).collect();
            digest.update(format!("{id} {genres:?} {labels:?}\n").as_bytes());
        }
        digest.finalize()
    }
}

/// The classes of each head, and how many films have no genre, in words.
impl fmt::Display for Taught {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let head = |head: &Head| format!("{} ({} classes, {} films)", head.topic, head.classes.len(), head.films.len());
        let heads: Vec<String> = self.heads.all.iter().map(head).collect();
        write!(f, "{}; {} of the films to train on have no genre", heads.join(", "), self.without_genres())
    }
}

impl Heads {
    /// The number of the classes of all heads.
    pub fn classes(&self) -> usize {
        self.all.iter().map(|head| head.classes.len()).sum()
    }

    /// Writes a film's labels: 1 for each class that it has, 0 for the others, and NaN for all classes
    /// of a head that has no labels of the film.
    ///
    /// # Shapes
    /// `labels`: [`classes`](Self::classes), overwritten
    pub fn label(&self, id: u64, mut labels: &mut [f32]) {
        for head in &self.all {
            let (own, rest) = labels.split_at_mut(head.classes.len());
            match head.films.get(&id) {
                Some(classes) => {
                    own.fill(0.0);
                    classes.iter().for_each(|&class| own[class] = 1.0);
                }
                None => own.fill(f32::NAN),
            }
            labels = rest;
        }
    }
}

impl Head {
    /// The head for training films: its classes are the most frequent values among them.
    fn of(values: &Values, data: &Path, train: &[Film]) -> Result<Self> {
        let labelled = || train.iter().filter_map(|film| Some((film.id, values.films.get(&film.id)?)));
        let mut support = vec![0usize; values.names.len()];
        labelled().flat_map(|(_, values)| values).for_each(|&value| support[value] += 1);
        let mut classes: Vec<usize> = (0..support.len()).filter(|&value| support[value] >= FEWEST_FILMS).collect();
        // Values are numbered by name: the stable sort leaves equally frequent ones in that order.
        classes.sort_by_key(|&value| Reverse(support[value]));
        classes.truncate(MOST_CLASSES);
        classes.sort_unstable();
        let topic = values.topic;
        if classes.is_empty() {
            let what =
                format!("no value has {FEWEST_FILMS} films to train on, of {} that have any", labelled().count());
            let remedy = format!("leave {topic} out of --auxiliary, or add posters of films that it names");
            return Err(Error::data(&data.join(topic.file()), what, remedy));
        }
        let number: HashMap<usize, usize> = classes.iter().copied().zip(0..).collect();
        let films = labelled()
            .map(|(id, values)| (id, values.iter().filter_map(|value| number.get(value).copied()).collect()))
            .collect();
        Ok(Self { topic, classes: classes.into_iter().map(|value| values.names[value].clone()).collect(), films })
    }
}
