//! The films of a folder in the Letterboxd layout (`genres.csv`, `posters/<id>.jpg`) after
//! cleaning.

use std::collections::HashMap;
use std::path::Path;

use crate::data::duplicates::duplicates;
use crate::data::labels::Labels;
use crate::data::layout::{LAYOUT, PosterFolder, parts};
use crate::data::ledger::{
    DUPLICATE_POSTERS, DUPLICATE_ROWS, Ledger, OTHER_FILES, SECOND_FILES, WITHOUT_FILM, WITHOUT_POSTER,
};
use crate::error::{Error, Result};

/// A film with a poster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// The film's id: the number in its poster's file name.
    pub id: u64,
    /// The film's genres, as indexes into the genre names of whatever holds the film: at least one,
    /// sorted, none twice.
    pub genres: Vec<usize>,
}

/// The cleaned films: all whose labels are known, that have a poster and not too many genres. They
/// are the films of the multi-label experiment, and those that the other experiments choose from.
#[derive(Debug)]
pub struct Films {
    /// The posters.
    pub posters: PosterFolder,
    /// The names of all genres that these films have, sorted: the classes of the model.
    pub genres: Vec<String>,
    /// The films, ordered by id.
    pub films: Vec<Film>,
    /// The ids of the posters whose films `genres.csv` does not name, sorted.
    pub unnamed: Vec<u64>,
    /// What was dropped, in the order in which it was dropped.
    pub ledger: Ledger,
    /// What the user should look at in `genres.csv`; see [`Labels::warnings`].
    pub warnings: Vec<String>,
}

impl Films {
    /// Reads `data/genres.csv`, lists `data/posters`, and drops, in this order: malformed rows and
    /// rows without a genre, films with a malformed row, films without a genre, films without a
    /// poster, posters without a film, files with other names, duplicate rows, films with more than
    /// `max_genres` genres (where there is such a bound), and posters with the same bytes as the
    /// poster of a film with a smaller id.
    ///
    /// # Errors
    /// If a file or folder is missing or cannot be read (see [`Labels::read_csv`]), or no film is
    /// left.
    pub fn open(data: &Path, max_genres: Option<usize>) -> Result<Self> {
        let (csv, posters) = parts(data)?;
        Self::clean(&Labels::read_csv(&csv)?, &posters, max_genres)
    }

    /// The posters in `data`, and the sorted ids of those whose film has a genre: all that any run
    /// can ask for.
    ///
    /// # Errors
    /// If a file or folder is missing or cannot be read (see [`Labels::read_csv`]), or no film has
    /// a poster.
    pub fn posters(data: &Path) -> Result<(PosterFolder, Vec<u64>)> {
        let (csv, posters) = parts(data)?;
        let labels = Labels::read_csv(&csv)?;
        let posters = PosterFolder::list(&posters, &mut Ledger::default())?;
        let ids: Vec<u64> = labels.films.into_keys().filter(|id| posters.ids().contains(id)).collect();
        if ids.is_empty() {
            return Err(Error::data(data, "no film of genres.csv has a poster", LAYOUT));
        }
        Ok((posters, ids))
    }

    /// A checksum of the films and their genres.
    pub fn digest(&self) -> u32 {
        let mut digest = crc32fast::Hasher::new();
        self.genres.iter().for_each(|genre| digest.update(format!("{genre}\n").as_bytes()));
        self.films.iter().for_each(|film| digest.update(format!("{} {:?}\n", film.id, film.genres).as_bytes()));
        digest.finalize()
    }

    /// The number of films of each genre.
    pub fn support(&self) -> Vec<usize> {
        let mut support = vec![0; self.genres.len()];
        self.films.iter().flat_map(|film| &film.genres).for_each(|&genre| support[genre] += 1);
        support
    }

    /// What [`Films::open`] does after reading: drops what cannot be used, given the folder of the
    /// posters.
    ///
    /// # Errors
    /// If the folder cannot be listed, or no film is left.
    pub fn clean(labels: &Labels, posters: &Path, max_genres: Option<usize>) -> Result<Self> {
        let mut ledger = labels.ledger.clone();
        let too_many = max_genres.map(|max| format!("films with more than {max} genres"));
        let reasons = [WITHOUT_POSTER, WITHOUT_FILM, OTHER_FILES, SECOND_FILES, DUPLICATE_ROWS];
        for reason in reasons.into_iter().chain(too_many.as_deref()).chain([DUPLICATE_POSTERS]) {
            ledger.declare(reason);
        }
        let posters = PosterFolder::list(posters, &mut ledger)?;
        let found = posters.ids();
        let is_named = |id: &u64| labels.films.contains_key(id) || labels.unlabelled.contains(id);
        let unnamed: Vec<u64> = found.iter().copied().filter(|id| !is_named(id)).collect();
        unnamed.iter().for_each(|&id| ledger.add(WITHOUT_FILM, posters.name(id)));
        for (id, row) in labels.repeats.iter().filter(|(id, _)| found.contains(id)) {
            ledger.add(DUPLICATE_ROWS, format!("row {row} (film {id})"));
        }
        let mut films = Vec::new();
        for (&id, genres) in &labels.films {
            if !found.contains(&id) {
                ledger.add(WITHOUT_POSTER, id.to_string());
                continue;
            }
            match &too_many {
                Some(reason) if max_genres.is_some_and(|max| genres.len() > max) => ledger.add(reason, id.to_string()),
                _ => films.push(Film { id, genres: genres.clone() }),
            }
        }
        let ids: Vec<u64> = films.iter().map(|film| film.id).collect();
        let same: HashMap<u64, u64> = duplicates(&posters, &ids)?.into_iter().collect();
        films.retain(|film| match same.get(&film.id) {
            Some(&first) => {
                ledger.add(DUPLICATE_POSTERS, format!("{} ({})", posters.name(film.id), posters.name(first)));
                false
            }
            None => true,
        });
        if films.is_empty() {
            let counts: Vec<_> = ledger.entries().iter().map(|e| format!("{} {}", e.count, e.reason)).collect();
            let what = format!("no film is left after cleaning ({})", counts.join(", "));
            return Err(Error::data(
                &labels.path,
                what,
                "each film needs a row `id,genre` and a file `posters/<id>.jpg`",
            ));
        }

        // Genres that only dropped films had do not become classes.
        let mut is_used = vec![false; labels.genres.len()];
        films.iter().flat_map(|film| &film.genres).for_each(|&genre| is_used[genre] = true);
        let used: Vec<usize> = (0..is_used.len()).filter(|&genre| is_used[genre]).collect();
        let mut renumbered = vec![usize::MAX; is_used.len()];
        for (new, &old) in used.iter().enumerate() {
            renumbered[old] = new;
        }
        for genre in films.iter_mut().flat_map(|film| film.genres.iter_mut()) {
            *genre = renumbered[*genre];
        }
        let genres = used.iter().map(|&old| labels.genres[old].clone()).collect();
        Ok(Self { posters, genres, films, unnamed, ledger, warnings: labels.warnings.clone() })
    }
}
