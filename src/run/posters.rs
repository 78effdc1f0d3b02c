//! The source of a run's posters, and which of them the run has to do without.

use crate::data::batches::Source;
use crate::data::cache::{Building, Built, Cache};
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::dhash::DHash;
use crate::data::films::Films;
use crate::data::layout::PosterFolder;
use crate::data::ledger::{Ledger, MOVED, TWINS, WITHOUT_POSTER};
use crate::data::refusal::{OnBadImage, Refusal};
use crate::data::split::Split;
use crate::data::twins::Twins;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::ranks::Team;
use crate::run::options::Options;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The posters of a run, and those that do not decode.
pub(crate) struct Posters {
    /// The folder of the posters.
    pub folder: PosterFolder,
    /// Where the images of the films come from.
    pub source: Source,
    /// The posters that do not decode, known before anything is trained.
    pub refused: BTreeMap<u64, Refusal>,
    /// The posters that turn out not to decode once the run is under way: without a cache, files
    /// that were replaced or removed meanwhile.
    pub late: BTreeMap<u64, Refusal>,
    /// The posters of films with genres that show the same picture as others.
    pub twins: Twins,
    /// All posters that show the same picture as others; none where all films have genres.
    pub twins_of_all: Twins,
    /// How many films the run has in all its frames.
    films: usize,
    /// The share of films that have no poster.
    without: f64,
}

impl Posters {
    /// The posters of the films `ids`, and of those `without_genres`, from their files or from a cache,
    /// which is made if it does not exist. Either way all are decoded before the run goes on, if they
    /// have not been.
    ///
    /// # Errors
    /// If more posters are missing or do not decode than the options allow, or the cache cannot be
    /// opened or made.
    pub fn open(
        options: &Options,
        films: &Films,
        ids: &BTreeSet<u64>,
        without_genres: &[u64],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let all: &BTreeSet<u64> = &ids.iter().chain(without_genres).copied().collect();
        let without = films.ledger.count(WITHOUT_POSTER) as f64;
        let without = without / (without + films.films.len() as f64);
        let (folder, on_bad_image) = (films.posters.clone(), options.on_bad_image);
        let source = Source::Files { posters: folder.clone(), spec: ImageSpec::POSTER, on_bad_image };
        let (refused, late, twins, twins_of_all) = Default::default();
        let mut posters = Self { folder, source, refused, late, twins, twins_of_all, films: all.len(), without };
        posters.check_missing(options)?;
        let hashes = match &options.cache {
            Some(cache) => posters.open_cache(cache, all, on_bad_image, &options.team, progress)?,
            None => posters.look_through(all, on_bad_image, &options.team, progress)?,
        };
        posters.check_missing(options)?;
        if !without_genres.is_empty() {
            posters.twins_of_all = Twins::among(hashes.iter().copied());
        }
        // Those without genres move no film to another side: the frames are those of a run without them.
        posters.twins = Twins::among(hashes.into_iter().filter(|(id, _)| ids.contains(id)));
        Ok(posters)
    }

    /// Takes the posters from a cache, which is made if it does not exist; returns the hashes of
    /// those that decode.
    fn open_cache(
        &mut self,
        folder: &Path,
        ids: &BTreeSet<u64>,
        on_bad_image: OnBadImage,
        team: &Team,
        progress: &dyn Progress,
    ) -> Result<Vec<(u64, DHash)>> {
        let cache = cache_of(folder, &self.folder, ids, on_bad_image, team, progress)?;
        // The cache may hold the posters of other runs, too.
        self.refused = cache.refused().iter().filter(|(id, _)| ids.contains(id)).cloned().collect();
        let hashes = ids.iter().filter_map(|&id| Some((id, cache.hash(id)?))).collect();
        self.source = Source::Cache(Arc::new(cache));
        Ok(hashes)
    }

    /// Decodes the posters once before they are decoded again and again; returns the hashes of
    /// those that decode.
    fn look_through(
        &mut self,
        ids: &BTreeSet<u64>,
        on_bad_image: OnBadImage,
        team: &Team,
        progress: &dyn Progress,
    ) -> Result<Vec<(u64, DHash)>> {
        let ids: Vec<u64> = ids.iter().copied().collect();
        let mut hashes = Vec::new();
        for (&id, decoded) in ids.iter().zip(decode_each(&self.folder, &ids, team, progress)?) {
            match decoded {
                Ok(Decoded { hash, .. }) => hashes.push((id, hash)),
                Err(refusal) if on_bad_image == OnBadImage::Fail => {
                    return Err(refusal.into_error(&self.folder.file(id)));
                }
                Err(refusal) => drop(self.refused.insert(id, refusal)),
            }
        }
        Ok(hashes)
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

/// What is kept of a poster that decodes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Decoded {
    /// The width and height, upright.
    pub size: (usize, usize),
    /// The hash at [`ImageSpec::POSTER`].
    pub hash: DHash,
}

/// Decodes posters on the current rayon pools of all ranks: what is kept of each, or why it does not decode, in
/// the order of `ids`.
///
/// # Errors
/// [`Error::Io`] if this process is out of file handles or memory; [`Error::Stopped`] if `progress`
/// asks for it.
pub(crate) fn decode_each(
    posters: &PosterFolder,
    ids: &[u64],
    team: &Team,
    progress: &dyn Progress,
) -> Result<Vec<std::result::Result<Decoded, Refusal>>> {
    const SPEC: ImageSpec = ImageSpec::POSTER;
    let ids = &ids[team.place().share(ids.len())];
    let bar = progress.bar("reading", ids.len());
    let done = AtomicUsize::new(0);
    let one = |(decoder, image): &mut (Decoder, Vec<u8>), &id: &u64| {
        if progress.stops() {
            return Err(Error::stopped("while posters were read", "the same command reads them again"));
        }
        let result = decoder.decode_poster(&posters.file(id), SPEC, image)?;
        bar.at(done.fetch_add(1, Ordering::Relaxed) + 1, None);
        Ok(result.map(|()| Decoded { size: decoder.size(), hash: DHash::of(image, SPEC) }))
    };
    let start = || (Decoder::new(), vec![0; SPEC.bytes()]);
    let own: Result<Vec<std::result::Result<Decoded, Refusal>>> = ids.par_iter().map_init(start, one).collect();
    // Ranks that were told to stop stop together.
    if team.any(matches!(own, Err(Error::Stopped { .. }))) && own.is_ok() {
        return Err(Error::stopped("while posters were read", "the same command reads them again"));
    }
    let own = own?;
    if team.is_alone() {
        return Ok(own);
    }
    Ok(team.gather_values(&own).into_iter().flatten().collect())
}

/// Counts refused posters by reason.
pub(crate) fn refusals(posters: &PosterFolder, refused: &BTreeMap<u64, Refusal>) -> Ledger {
    Refusal::ledger(refused.iter().map(|(id, refusal)| (posters.name(*id), refusal)))
}

/// Counts the posters that show the same picture as that of a film with a smaller id, and the films
/// that are moved to its side of the split.
pub(crate) fn twins_ledger(posters: &PosterFolder, twins: &Twins) -> Ledger {
    let mut ledger = Ledger::default();
    [TWINS, MOVED].iter().for_each(|reason| ledger.declare(reason));
    for group in twins.groups() {
        for &id in &group[1..] {
            ledger.add(TWINS, format!("{} ({})", posters.name(id), posters.name(group[0])));
        }
    }
    for (id, side) in twins.moved() {
        ledger.add(MOVED, format!("{} ({} to {side})", posters.name(id), Split::of(id)));
    }
    ledger
}

/// A cache of these posters, which is made if it does not exist. Notes how many posters were
/// decoded.
fn cache_of(
    folder: &Path,
    posters: &PosterFolder,
    ids: &BTreeSet<u64>,
    on_bad_image: OnBadImage,
    team: &Team,
    progress: &dyn Progress,
) -> Result<Cache> {
    let ids: Vec<u64> = ids.iter().copied().collect();
    let cache = open_cache(folder, posters, &ids, on_bad_image, team, progress)?;
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
/// meanwhile. Ranks that share the folder share the work; each of the others has a cache of its own.
///
/// # Errors
/// Those of [`Cache::open_or_build`]; [`Error::Stopped`] if `progress` asks for it.
pub fn open_cache(
    folder: &Path,
    posters: &PosterFolder,
    ids: &[u64],
    on_bad_image: OnBadImage,
    team: &Team,
    progress: &dyn Progress,
) -> Result<Cache> {
    let bar = progress.bar("decoding", ids.len());
    let tell = |building| {
        match building {
            Building::Waits { by } => progress.note(&format!("{}: waiting for {by}", folder.display())),
            Building::Waiting => {}
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
    Cache::open_or_build_among(team, folder, posters, ids, ImageSpec::POSTER, on_bad_image, &tell)
}
