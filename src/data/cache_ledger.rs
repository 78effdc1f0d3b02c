//! The ledger beside a cache: which posters were refused, and why, for a reader.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::data::layout::PosterFolder;
use crate::data::refusal::Refusal;
use crate::error::{Error, Result};
use crate::files;

/// The path of the ledger beside a cache.
pub(super) fn path_of(cache: &Path) -> PathBuf {
    cache.with_extension("ledger.json")
}

/// Refuses a file that is not the ledger of a cache where one is to be written.
pub(super) fn check(path: &Path) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Any {
        #[serde(rename = "posters")]
        _posters: u64,
        #[serde(rename = "accepted")]
        _accepted: u64,
        #[serde(rename = "refused")]
        _refused: Vec<IgnoredAny>,
    }
    match files::open_regular(path) {
        Ok(file) => match serde_json::from_reader::<_, Any>(BufReader::new(file)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::data(path, "is not the ledger of a cache", files::REMEDY)),
        },
        Err(error) if files::is_absent(&error) => Ok(()),
        Err(error) => Err(Error::io(path, "read the ledger")(error)),
    }
}

/// The content of a cache's ledger.
#[derive(Serialize)]
pub(super) struct CacheLedger<'a> {
    posters: usize,
    accepted: usize,
    refused: Vec<RefusedPoster<'a>>,
}

#[derive(Serialize)]
struct RefusedPoster<'a> {
    poster: String,
    #[serde(flatten)]
    refusal: &'a Refusal,
}

impl<'a> CacheLedger<'a> {
    pub(super) fn new(posters: usize, folder: &PosterFolder, refused: &'a [(u64, Refusal)]) -> Self {
        let accepted = posters - refused.len();
        let refused = refused.iter().map(|(id, refusal)| RefusedPoster { poster: folder.name(*id), refusal }).collect();
        Self { posters, accepted, refused }
    }
}
