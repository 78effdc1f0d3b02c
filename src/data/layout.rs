//! The Letterboxd layout of a folder: `genres.csv` and `posters/<id>.jpg`.

use crate::data::ledger::{Ledger, OTHER_FILES};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The remedy for a folder that does not have the layout.
pub(super) const LAYOUT: &str = "name a folder that holds `genres.csv` and `posters/<id>.jpg`";

/// The file name of a film's poster.
pub fn poster_name(id: u64) -> String {
    format!("{id}.jpg")
}

/// The film that a poster's file name belongs to; `None` for any other name, such as `007.jpg` or
/// `7.jpeg`.
pub fn poster_id(name: &str) -> Option<u64> {
    let id = name.strip_suffix(".jpg")?.parse().ok()?;
    (poster_name(id) == name).then_some(id)
}

/// The paths of `genres.csv` and of `posters/` in a folder that has both.
///
/// # Errors
/// [`Error::Data`], naming what is missing.
pub(super) fn parts(data: &Path) -> Result<(PathBuf, PathBuf)> {
    if !data.is_dir() {
        return Err(Error::data(data, "there is no such folder", LAYOUT));
    }
    let (csv, posters) = (data.join("genres.csv"), data.join("posters"));
    if !csv.exists() {
        return Err(Error::data(&csv, "there is no such file", LAYOUT));
    }
    if !posters.is_dir() {
        return Err(Error::data(&posters, "there is no such folder", LAYOUT));
    }
    Ok((csv, posters))
}

/// The ids of the posters in a folder, found by listing it once rather than asking for each film's
/// file. Other files are counted in the ledger.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub(crate) fn list(posters: &Path, ledger: &mut Ledger) -> Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    // Sorted, since a folder is listed in no order and the ledger must not change from run to run.
    let mut others = BTreeSet::new();
    for entry in posters.read_dir().map_err(Error::io(posters, "list the posters"))? {
        let name = entry.map_err(Error::io(posters, "list the posters"))?.file_name();
        match name.to_str().and_then(poster_id) {
            Some(id) => drop(found.insert(id)),
            None => drop(others.insert(name)),
        }
    }
    for name in others {
        ledger.add(OTHER_FILES, || name.to_string_lossy().into_owned());
    }
    Ok(found)
}
