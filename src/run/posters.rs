//! The source of a run's posters, and which of them the run has to do without.

use crate::data::batches::Source;
use crate::data::cache::{Building, Built, Cache};
use crate::data::decode::ImageSpec;
use crate::data::films::Films;
use crate::data::layout::PosterFolder;
use crate::data::ledger::{Ledger, WITHOUT_POSTER};
use crate::data::refusal::{OnBadImage, Refusal};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::run::options::Options;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The posters of a run, and those that do not decode.
pub(crate) struct Posters {
    /// The folder of the posters.
    pub folder: PosterFolder,
    /// Where the images of the films come from.
    pub source: Source,
    /// The posters that are known not to decode before anything is trained: those of a cache.
    pub refused: BTreeMap<u64, Refusal>,
    /// The posters that turn out not to decode once the run is under way: without a cache they come
    /// to light one by one.
    pub late: BTreeMap<u64, Refusal>,
    /// How many films the run has in all its frames.
    films: usize,
    /// The share of films that have no poster.
    without: f64,
}

impl Posters {
    /// The posters of the films `ids`, from their files or from a cache, which is made if it does
    /// not exist.
    ///
    /// # Errors
    /// If more posters are missing or do not decode than the options allow, or the cache cannot be
    /// opened or made.
    pub fn open(options: &Options, films: &Films, ids: &BTreeSet<u64>, progress: &dyn Progress) -> Result<Self> {
        let without = films.ledger.count(WITHOUT_POSTER) as f64;
        let without = without / (without + films.films.len() as f64);
        let on_bad_image = options.on_bad_image;
        let files = Source::Files { posters: films.posters.clone(), spec: ImageSpec::POSTER, on_bad_image };
        let (refused, late) = Default::default();
        let folder = films.posters.clone();
        let mut posters = Self { folder, source: files, refused, late, films: ids.len(), without };
        posters.check_missing(options)?;
        let Some(cache) = &options.cache else { return Ok(posters) };

        let cache = cache_of(cache, &films.posters, ids, on_bad_image, progress)?;
        // The cache may hold the posters of other runs, too.
        posters.refused = cache.refused().iter().filter(|(id, _)| ids.contains(id)).cloned().collect();
        posters.check_missing(options)?;
        posters.source = Source::Cache(Arc::new(cache));
        Ok(posters)
    }

    /// Notes posters that turned out not to decode, and ends the run where there are more of them
    /// than the options allow.
    pub fn refuse(&mut self, late: &[(u64, Refusal)], options: &Options) -> Result<()> {
        self.late.extend(late.iter().cloned());
        self.check_missing(options)
    }

    fn check_missing(&self, options: &Options) -> Result<()> {
        let share =
            self.without + (1.0 - self.without) * (self.refused.len() + self.late.len()) as f64 / self.films as f64;
        if share <= options.max_missing {
            return Ok(());
        }
        let (share, most) = (100.0 * share, 100.0 * options.max_missing);
        let what =
            format!("{share:.1} % of the films lack a poster that decodes, and --max-missing allows {most:.1} %");
        Err(Error::data(&options.data, what, "`train doctor` names them; add the posters, or raise --max-missing"))
    }
}

/// Counts refused posters by reason.
pub(crate) fn refusals(posters: &PosterFolder, refused: &BTreeMap<u64, Refusal>) -> Ledger {
    Refusal::ledger(refused.iter().map(|(id, refusal)| (posters.name(*id), refusal)))
}

/// A cache of these posters, which is made if it does not exist. Notes how many posters were
/// decoded.
fn cache_of(
    folder: &Path,
    posters: &PosterFolder,
    ids: &BTreeSet<u64>,
    on_bad_image: OnBadImage,
    progress: &dyn Progress,
) -> Result<Cache> {
    let ids: Vec<u64> = ids.iter().copied().collect();
    let cache = open_cache(folder, posters, &ids, on_bad_image, progress)?;
    let folder = folder.display();
    match cache.built() {
        Some(Built { why, decoded, refused, time }) => {
            let seconds = time.as_secs_f64();
            let did = format!("{decoded} posters decoded into {folder}, {refused} refused, in {seconds:.1} s");
            progress.note(&format!("{did}: {why}"));
        }
        None => progress.detail(&format!("the cache in {folder} has all {} posters as they are", ids.len())),
    }
    Ok(cache)
}

/// Opens or builds a [`Cache`] of posters at [`ImageSpec::POSTER`], and shows a progress bar
/// meanwhile.
///
/// # Errors
/// Those of [`Cache::open_or_build`]; [`Error::Stopped`] if `progress` asks for it.
pub fn open_cache(
    folder: &Path,
    posters: &PosterFolder,
    ids: &[u64],
    on_bad_image: OnBadImage,
    progress: &dyn Progress,
) -> Result<Cache> {
    let bar = progress.bar("decoding", ids.len());
    let tell = |building| {
        match building {
            Building::Waits { by } => progress.note(&format!("{}: waiting for {by}", folder.display())),
            Building::Unlocked => progress.note(&format!(
                "{}: this file system has no locks; see to it that no other process makes the cache at the same time",
                folder.display()
            )),
            // The count includes posters that the cache keeps for other runs.
            Building::Posters { done, of } => bar.at(done * ids.len() / of, None),
        }
        match progress.stops() {
            true => Err(Error::stopped("while posters were decoded", "the same command goes on with them")),
            false => Ok(()),
        }
    };
    Cache::open_or_build(folder, posters, ids, ImageSpec::POSTER, on_bad_image, &tell)
}
