//! Where a run's posters come from, and which of them it has to do without.

use crate::data::batches::{Batches, Source};
use crate::data::cache::{Building, Cache};
use crate::data::decode::ImageSpec;
use crate::data::films::poster_name;
use crate::data::ledger::Ledger;
use crate::data::refusal::Refusal;
use crate::error::{Error, Result};
use crate::experiments::Options;
use crate::progress::Progress;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A cache of these posters, made where it is not there.
pub(crate) fn cache_of(folder: &Path, posters: &Path, ids: &BTreeSet<u64>, progress: &dyn Progress) -> Result<Cache> {
    let ids: Vec<u64> = ids.iter().copied().collect();
    let cache = open_cache(folder, posters, &ids, progress)?;
    if let Some(built) = cache.built() {
        let (decoded, seconds) = (built.decoded, built.time.as_secs_f64());
        progress.note(&format!("{decoded} posters decoded into {} in {seconds:.1} s: {}", folder.display(), built.why));
    }
    Ok(cache)
}

/// [`Cache::open_or_build`] of posters as the models see them, with a bar.
///
/// # Errors
/// As there.
pub fn open_cache(folder: &Path, posters: &Path, ids: &[u64], progress: &dyn Progress) -> Result<Cache> {
    progress.start("decoding", ids.len());
    let tell = |building| match building {
        Building::Waits => progress.note(&format!("another process works on {}: waiting for it", folder.display())),
        // Posters that the cache keeps for other runs are counted, too.
        Building::Posters { done, of } => progress.at(done * ids.len() / of, None),
    };
    let cache = Cache::open_or_build(folder, posters, ids, ImageSpec::POSTER, &tell)?;
    progress.finish();
    Ok(cache)
}

/// Ends a run in which more films lack a poster than the options allow.
pub(crate) fn check_missing(options: &Options, share: f64) -> Result<()> {
    if share <= options.max_missing {
        return Ok(());
    }
    let (share, most) = (100.0 * share, 100.0 * options.max_missing);
    let what = format!("{share:.1} % of the films lack a poster that decodes, and --max-missing allows {most:.1} %");
    Err(Error::data(&options.data, what, "`train doctor` names them; add the posters, or raise --max-missing"))
}

/// The posters of a run, and those that turned out not to decode on the way: without a cache they come to light one by one.
pub(crate) struct Posters {
    pub source: Source,
    pub refused: BTreeMap<u64, Refusal>,
    /// Of all frames.
    pub films: usize,
    /// The share of films that have no poster.
    pub without: f64,
}

impl Posters {
    /// Notes what a pass over films left out, and ends the run where that is more than the options allow.
    pub fn note(&mut self, batches: &Batches, options: &Options) -> Result<()> {
        self.refused.extend(batches.refused().iter().cloned());
        check_missing(options, self.without + (1.0 - self.without) * self.refused.len() as f64 / self.films as f64)
    }
}

/// Counts refused posters by reason.
pub(crate) fn refusals(refused: &BTreeMap<u64, Refusal>) -> Ledger {
    Refusal::ledger(refused.iter().map(|(id, refusal)| (poster_name(*id), refusal)))
}
