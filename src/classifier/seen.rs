//! The films that a classifier has seen: those that it was trained on, and those that chose its
//! epoch and thresholds. Measured on them, any classifier looks better than it is. And the films
//! that were kept for its test.

use crate::data::films::Films;
use crate::data::frame_files::{WITHOUT_GENRES, read_rows};
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::files;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The films that runs trained, validated and tested with: the one that made a model, and those whose
/// models it started or learned from.
#[derive(Debug)]
pub struct Seen {
    runs: Vec<BTreeMap<u64, Known>>,
    is_whole: bool,
}

/// A film of a run.
#[derive(Debug)]
struct Known {
    side: Split,
    /// The names of its genres; none where the run knew of none.
    genres: BTreeSet<String>,
}

impl Seen {
    /// What the frames of the run tell that made the model in the file `model`; `None` if there are
    /// no frames beside it. The frames of all experiments count, since a later one may have started
    /// from the weights of an earlier one.
    ///
    /// # Errors
    /// If a frame cannot be read.
    pub fn by(model: &Path) -> Result<Option<Self>> {
        let parent = |path: &Path| path.parent().map(Path::to_owned);
        let run = std::path::absolute(model).ok().and_then(|model| parent(&parent(&model)?));
        let Some(frames) = run.map(|run| run.join("frames")).filter(|frames| frames.is_dir()) else {
            return Ok(None);
        };
        let mut films = BTreeMap::new();
        let entries = files::entries(&frames).map_err(Error::io(&frames, "list the frames"))?;
        for entry in entries {
            let folder = entry.map_err(Error::io(&frames, "list the frames"))?.path();
            for side in Split::ALL {
                read(&mut films, &folder.join(format!("{side}.csv")), side)?;
            }
            read(&mut films, &folder.join(WITHOUT_GENRES), Split::Train)?;
        }
        Ok((!films.is_empty()).then_some(Self { runs: vec![films], is_whole: true }))
    }

    /// These, and those that `before` knows, which is `None` where that is not known.
    pub fn and(mut self, before: Option<Self>) -> Self {
        match before {
            Some(before) => {
                self.runs.extend(before.runs);
                self.is_whole &= before.is_whole;
            }
            None => self.is_whole = false,
        }
        self
    }

    /// Whether the films of all these runs are known.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether one of the runs trained on a film with that id, or chose by it.
    pub fn has_learned_from(&self, id: u64) -> bool {
        self.runs.iter().filter_map(|run| run.get(&id)).any(|known| known.side != Split::Test)
    }

    /// The sides of those among `films` that are known: the film was seen unless it is on the side
    /// of the test.
    ///
    /// Other collections have films of the same ids that are other films. If most of the films with
    /// the ids of those that a run knew have other genres, it is another collection, and none is known.
    /// Films whose genres the run did not know say nothing of that.
    pub fn sides(&self, films: &Films) -> BTreeMap<u64, Split> {
        let mut sides = BTreeMap::new();
        for (id, side) in self.runs.iter().flat_map(|run| sides_in(run, films)) {
            sides.entry(id).and_modify(|known: &mut Split| *known = side.min(*known)).or_insert(side);
        }
        sides
    }
}

/// Reads the films of a frame's file, if there is one.
fn read(all: &mut BTreeMap<u64, Known>, path: &Path, side: Split) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    read_rows(path, |_, id, genres| {
        let known = all.entry(id).or_insert_with(|| Known { side, genres: BTreeSet::new() });
        known.genres.extend(genres.split('|').filter(|name| !name.is_empty()).map(str::to_owned));
        // Whatever one experiment was trained with, the next may have started from.
        known.side = known.side.min(side);
        Ok(())
    })
}

/// The sides of those among `films` that a run knew.
fn sides_in(run: &BTreeMap<u64, Known>, films: &Films) -> BTreeMap<u64, Split> {
    let (mut sides, mut same, mut compared) = (BTreeMap::new(), 0, 0);
    for film in &films.films {
        if let Some(Known { side, genres }) = run.get(&film.id) {
            sides.insert(film.id, *side);
            let has = |&genre: &usize| genres.contains(&films.genres[genre]);
            compared += usize::from(!genres.is_empty());
            same += usize::from(!genres.is_empty() && film.genres.iter().all(has));
        }
    }
    if compared == 0 || 2 * same > compared { sides } else { BTreeMap::new() }
}
