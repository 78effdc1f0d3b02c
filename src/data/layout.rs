//! The Letterboxd layout of a folder: `genres.csv` and `posters/<id>.jpg`.

use crate::data::ledger::{Ledger, OTHER_FILES, SECOND_FILES};
use crate::error::{Error, Result};
use crate::files;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The remedy for a folder that does not have the layout.
pub(super) const LAYOUT: &str = "name a folder that holds `genres.csv` and `posters/<id>.jpg`";

/// The usual file name of a film's poster.
pub fn poster_name(id: u64) -> String {
    format!("{id}.jpg")
}

/// The film that a poster's file name belongs to: the number before `.jpg` or `.jpeg`, in either
/// case. Zeros before the number do not count, so that `0000007.JPG` is a poster of film 7. `None`
/// for any other name.
pub fn poster_id(name: &str) -> Option<u64> {
    let (id, extension) = name.rsplit_once('.')?;
    let is_jpeg = ["jpg", "jpeg"].iter().any(|of| extension.eq_ignore_ascii_case(of));
    // A parser of numbers would also take a sign.
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
    if is_jpeg && is_number { id.parse().ok() } else { None }
}

/// The paths of `genres.csv` and of `posters/` in a folder that has both.
///
/// # Errors
/// [`Error::Data`], naming what is missing.
pub(crate) fn parts(data: &Path) -> Result<(PathBuf, PathBuf)> {
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

/// A folder of posters: which films have one, and what its file is called. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct PosterFolder {
    path: PathBuf,
    ids: Arc<BTreeSet<u64>>,
    /// The names that are not [`poster_name`].
    other_names: Arc<BTreeMap<u64, String>>,
}

impl PosterFolder {
    /// Lists a folder once, rather than asking for each film's file. Files that are no posters by
    /// their names are counted in the ledger, and so are further files of a film: the one that is
    /// named as usual is taken, else the first by name.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be listed.
    pub fn list(path: &Path, ledger: &mut Ledger) -> Result<Self> {
        let mut names = BTreeSet::new();
        for entry in files::entries(path).map_err(Error::io(path, "list the posters"))? {
            names.insert(entry.map_err(Error::io(path, "list the posters"))?.file_name());
        }
        let (mut ids, mut other_names) = (BTreeSet::new(), BTreeMap::<u64, String>::new());
        // Sorted, since a folder is listed in no order and the ledger must not change from run to
        // run.
        for name in names {
            let poster = name.to_str().and_then(|name| Some((poster_id(name)?, name)));
            let Some((id, name)) = poster else {
                ledger.add(OTHER_FILES, name.to_string_lossy());
                continue;
            };
            let is_first = ids.insert(id);
            let second = if name == poster_name(id) {
                other_names.remove(&id)
            } else if is_first {
                other_names.insert(id, name.to_owned())
            } else {
                Some(name.to_owned())
            };
            if let Some(second) = second {
                ledger.add(SECOND_FILES, second);
            }
        }
        Ok(Self { path: path.to_owned(), ids: Arc::new(ids), other_names: Arc::new(other_names) })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ids of the films that have a poster.
    pub fn ids(&self) -> &BTreeSet<u64> {
        &self.ids
    }

    /// The name of a film's poster; the usual one where the film has none.
    pub fn name(&self, id: u64) -> String {
        self.other_names.get(&id).cloned().unwrap_or_else(|| poster_name(id))
    }

    /// The path of a film's poster.
    pub fn file(&self, id: u64) -> PathBuf {
        self.path.join(self.name(id))
    }
}
