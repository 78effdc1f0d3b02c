//! The films that a classifier has seen: those that it was trained on, and those that chose its
//! epoch and thresholds. Measured on them, any classifier looks better than it is.

use crate::data::films::Films;
use crate::data::frame_files::read_rows;
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::text::cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The films that a run trained and validated with, each with the names of its genres.
#[derive(Debug, Default)]
pub struct Seen {
    films: BTreeMap<u64, BTreeSet<String>>,
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
        let mut seen = Self::default();
        let entries = frames.read_dir().map_err(Error::io(&frames, "list the frames"))?;
        for entry in entries {
            let folder = entry.map_err(Error::io(&frames, "list the frames"))?.path();
            for split in [Split::Train, Split::Val] {
                seen.read(&folder.join(format!("{split}.csv")))?;
            }
        }
        Ok((!seen.films.is_empty()).then_some(seen))
    }

    /// Reads the films of a frame's file, if there is one.
    fn read(&mut self, path: &Path) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        read_rows(path, |_, id, genres| {
            self.films.entry(id).or_default().extend(genres.split('|').map(str::to_owned));
            Ok(())
        })
    }

    /// The ids of those among `films` that were seen.
    ///
    /// Other collections have films of the same ids that are other films. If most of the films with
    /// the ids of seen ones have other genres, it is another collection, and none was seen.
    pub fn among(&self, films: &Films) -> BTreeSet<u64> {
        let (mut ids, mut same) = (BTreeSet::new(), 0);
        for film in &films.films {
            if let Some(genres) = self.films.get(&film.id) {
                ids.insert(film.id);
                // The first name of a cell may be written so that the cell is no formula.
                let has = |name: &str| genres.contains(name) || genres.contains(&*cell(name));
                same += usize::from(film.genres.iter().all(|&genre| has(&films.genres[genre])));
            }
        }
        if 2 * same > ids.len() { ids } else { BTreeSet::new() }
    }
}
