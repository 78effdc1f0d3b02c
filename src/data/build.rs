//! Builds the cache of decoded posters, unless a usable one exists already.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use fs4::FileExt as _;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::cache::{
    Building, Built, Cache, ENTRY_BYTES, Entry, FIXED_BYTES, MAGIC, Verdict, read_entry, records_at, rules,
    write_entry, write_header,
};
use crate::data::cache_ledger::{self, CacheLedger};
use crate::data::changes::{Survey, Wanted, kept};
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::dhash::DHash;
use crate::data::layout::PosterFolder;
use crate::data::poster;
use crate::data::refusal::{OnBadImage, Reason, Refusal};
use crate::error::{Error, Result};
use crate::files::system::{read_exact_at, write_all_at};
use crate::files::{self, Claim, Lock};
use crate::ranks::Team;

impl Cache {
    /// Opens the cache in the folder `dir` if it holds the posters of all `ids` as they are now in
    /// `posters`; otherwise builds it, on all threads of the current rayon pool.
    ///
    /// A new cache also holds what a usable one before it held, so that runs with different limits
    /// can share it. A process that comes second while the cache is being built waits, and then
    /// uses it. A poster that the system did not let be read is refused for this time; it is tried
    /// again the next time.
    ///
    /// `progress` is told how far the work is; an error of its own ends the work, which the next
    /// build takes up.
    ///
    /// # Errors
    /// Those of `progress`. If the folder cannot be created or written to, or has too little space; if this process is
    /// out of file handles, memory or threads; if a file of another program has the name of one of
    /// the cache. A poster that does not decode is an error only with [`OnBadImage::Fail`], as soon
    /// as one is found; else see [`Cache::refused`].
    pub fn open_or_build(
        dir: &Path,
        posters: &PosterFolder,
        ids: &[u64],
        spec: ImageSpec,
        on_bad_image: OnBadImage,
        progress: &(dyn Fn(Building) -> Result<()> + Sync),
    ) -> Result<Self> {
        Self::open_or_build_among(&Team::default(), dir, posters, ids, spec, on_bad_image, progress)
    }

    /// Like [`open_or_build`](Self::open_or_build), for ranks that all ask for the same. Where they share
    /// the folder, each decodes its share of the posters into one file, which rank 0 begins and completes;
    /// where they do not, each builds a cache of its own.
    ///
    /// # Errors
    /// Those of [`open_or_build`](Self::open_or_build); [`Error::Data`] where the ranks see other posters.
    pub fn open_or_build_among(
        team: &Team,
        dir: &Path,
        posters: &PosterFolder,
        ids: &[u64],
        spec: ImageSpec,
        on_bad_image: OnBadImage,
        progress: &(dyn Fn(Building) -> Result<()> + Sync),
    ) -> Result<Self> {
        let path = Self::path_in(dir, spec);
        let alone = Team::default();
        let team = if team.is_alone() || !is_shared(dir, team)? { &alone } else { team };
        let build = Build { path: &path, posters, ids, spec, on_bad_image, progress, team };
        if !team.is_first() {
            build.help()?;
            return Self::open(&path, spec);
        }
        let ready = |cache| {
            team.of_first(READY.to_vec());
            Ok(cache)
        };
        if let Found { cache: Some(cache), why: None, .. } = build.look()? {
            return ready(cache);
        }
        fs::create_dir_all(dir).map_err(Error::io(dir, "make the folder"))?;
        let _lock = build.lock()?;
        // Another process may have built it while this one waited.
        let (old, why, survey) = match build.look()? {
            Found { cache: Some(cache), why: None, .. } => return ready(cache),
            Found { cache, why, survey } => (cache, why.unwrap_or_default(), survey),
        };
        let begin = Instant::now();
        let (decoded, refused) = build.make(survey.wanted, old.as_ref())?;
        let mut cache = Self::open(&path, spec)?;
        // A build that another process had finished, all but for its name, may hold some.
        build.check(&cache, ids.iter().copied())?;
        cache.built = Some(Built { why, decoded, refused, time: begin.elapsed() });
        Ok(cache)
    }

    pub(super) fn entry(&self, id: u64) -> Option<&Entry> {
        self.position(id).map(|at| &self.entries()[at])
    }

    fn refusal(&self, id: u64) -> Option<&Refusal> {
        let at = self.refused().binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(&self.refused()[at].1)
    }
}

/// What rank 0 tells the others where there is nothing to build; else it tells them the plan.
const READY: &[u8] = b"ready";

/// Whether all ranks see the same folder, which is made if it does not exist.
fn is_shared(dir: &Path, team: &Team) -> Result<bool> {
    fs::create_dir_all(dir).map_err(Error::io(dir, "make the folder"))?;
    let seen = |name: &[u8]| dir.join(String::from_utf8_lossy(name).into_owned()).exists();
    let token = match team.is_first() {
        true => {
            let made = tempfile::Builder::new().prefix(".ranks-").tempfile_in(dir);
            Some(made.map_err(Error::io(dir, "make a file"))?)
        }
        false => None,
    };
    let name = token.as_ref().and_then(|file| file.path().file_name()).unwrap_or_default();
    let name = team.of_first(name.as_encoded_bytes().to_vec());
    // It is there until all have looked.
    Ok(!team.any(!seen(&name)))
}

/// What is asked of a build.
struct Build<'a> {
    path: &'a Path,
    posters: &'a PosterFolder,
    ids: &'a [u64],
    spec: ImageSpec,
    on_bad_image: OnBadImage,
    progress: &'a (dyn Fn(Building) -> Result<()> + Sync),
    /// The ranks that share the work.
    team: &'a Team,
}

/// The existing cache, and why it does not suffice.
struct Found {
    cache: Option<Cache>,
    why: Option<String>,
    survey: Survey,
}

impl Build<'_> {
    fn look(&self) -> Result<Found> {
        files::check_own(self.path, &[MAGIC])?;
        let (cache, none) = match Cache::open(self.path, self.spec) {
            Ok(cache) => (Some(cache), None),
            Err(Error::Io { source, .. }) if files::is_absent(&source) => (None, Some("there was none".to_owned())),
            // Damaged, or made by other rules.
            Err(error @ Error::Data { .. }) => (None, Some(error.to_string())),
            Err(error) => return Err(error),
        };
        let survey = Survey::new(self.posters, self.ids, cache.as_ref())?;
        if let Some(cache) = &cache {
            self.check(cache, survey.wanted.iter().filter(|wanted| wanted.holds).map(|wanted| wanted.id))?;
        }
        let why = none.or_else(|| survey.why());
        Ok(Found { cache, why, survey })
    }

    /// Refuses what a cache knows about posters, if one of them was refused and none must be.
    fn check(&self, cache: &Cache, mut ids: impl Iterator<Item = u64>) -> Result<()> {
        if self.on_bad_image == OnBadImage::Skip {
            return Ok(());
        }
        match ids.find_map(|id| Some((id, cache.refusal(id)?))) {
            Some((id, refusal)) => Err(refusal.clone().into_error(&self.posters.file(id))),
            None => Ok(()),
        }
    }

    /// The lock on making this cache, once no other process has it; `None` on a file system that
    /// has no locks.
    fn lock(&self) -> Result<Option<Lock>> {
        const WHAT: &str = "makes the cache";
        let path = self.path.with_extension("lock");
        let mut claim = Lock::try_claim(&path, WHAT)?;
        if let Claim::Taken { by } = claim {
            (self.progress)(Building::Waits { by })?;
            claim = Lock::wait(&path, WHAT, || (self.progress)(Building::Waiting))?;
        }
        match claim {
            Claim::Held(lock) => Ok(Some(lock)),
            Claim::Taken { .. } | Claim::Unsupported => {
                (self.progress)(Building::Unlocked)?;
                Ok(None)
            }
        }
    }

    /// Writes the cache of the posters `wanted` and of those of `old` that have not changed, and
    /// returns how many it had to decode, and how many of those that it tried it had to refuse. The
    /// caller holds the lock.
    fn make(&self, wanted: Vec<Wanted>, old: Option<&Cache>) -> Result<(usize, usize)> {
        let wanted = self.with_kept(wanted, old)?;
        let (path, building, ledger) =
            (self.path, self.path.with_extension("building"), cache_ledger::path_of(self.path));
        cache_ledger::check(&ledger)?;
        files::remove_temporaries_of(&ledger).map_err(Error::io(&ledger, "remove what a killed build left"))?;
        let file = files::open_own(&building, &[BUILDING, MAGIC])?;
        if self.is_finished(&building, &wanted)? {
            files::rename_whole(&file, &building, path).map_err(Error::io(path, "write the cache"))?;
            self.team.of_first(READY.to_vec());
            return Ok((0, 0));
        }
        self.begin(&file, &building, &wanted)?;
        self.team.of_first(plan(&wanted, self.spec).to_vec());
        let filled = self.fill(&file, &building, &wanted, old)?;

        let tried = filled.iter().filter(|filled| filled.tried);
        let (refused, decoded): (Vec<_>, Vec<_>) = tried.partition(|filled| filled.refusal.is_some());
        let counts = (decoded.len(), refused.len());
        let entries: Vec<Entry> = filled.iter().map(|filled| filled.entry).collect();
        let refused: Vec<(u64, Refusal)> =
            filled.into_iter().filter_map(|filled| Some((filled.entry.id, filled.refusal?))).collect();
        let refusals = serde_json::to_vec(&refused).map_err(|e| Error::io(path, "write the refusals")(e.into()))?;
        let mut head = vec![0; records_at(entries.len())];
        write_header(&mut head, self.spec, &entries, &refusals);
        let write = |bytes: &[u8], at| {
            let written = write_all_at(&file, bytes, at).and_then(|()| file.sync_all());
            written.map_err(Error::io(&building, "write the cache"))
        };
        write(&refusals, Cache::bytes_for(entries.len(), self.spec))?;
        files::write_json(&ledger, &CacheLedger::new(entries.len(), self.posters, &refused))?;
        // The header comes last, when everything that it vouches for is on the disk.
        write(&head, 0)?;
        files::rename_whole(&file, &building, path).map_err(Error::io(path, "write the cache"))?;
        self.team.meet();
        Ok(counts)
    }

    /// Does this rank's share of what rank 0 makes, and returns when the cache is there.
    fn help(&self) -> Result<()> {
        let told = self.team.of_first(Vec::new());
        if told == READY {
            return Ok(());
        }
        let Found { cache: old, survey, .. } = self.look()?;
        let wanted = self.with_kept(survey.wanted, old.as_ref())?;
        if told != plan(&wanted, self.spec) {
            let what = "this rank sees other posters, or another cache before, than rank 0";
            return Err(Error::data(self.path, what, "see to it that all ranks see the same files"));
        }
        let building = self.path.with_extension("building");
        let file = files::open_own(&building, &[BUILDING, MAGIC])?;
        self.fill(&file, &building, &wanted, old.as_ref())?;
        self.team.meet();
        Ok(())
    }

    /// The posters that a new cache is to hold, in the order of their ids: those that are wanted, and those
    /// of the one before that have not changed.
    fn with_kept(&self, mut wanted: Vec<Wanted>, old: Option<&Cache>) -> Result<Vec<Wanted>> {
        if let Some(old) = old {
            wanted.extend(kept(self.posters, old)?);
        }
        // A stable sort: of two that are the same poster the one that is asked for comes first.
        wanted.sort_by_key(|of| of.id);
        wanted.dedup_by_key(|of| of.id);
        Ok(wanted)
    }

    /// Whether the file of a build is a finished cache of these posters that only remains to be
    /// renamed.
    fn is_finished(&self, building: &Path, wanted: &[Wanted]) -> Result<bool> {
        let Ok(cache) = Cache::open(building, self.spec) else { return Ok(false) };
        let ids: Vec<u64> = wanted.iter().map(|of| of.id).collect();
        let same = cache.entries().iter().map(|entry| entry.id).eq(ids.iter().copied());
        Ok(same && Survey::new(self.posters, &ids, Some(&cache))?.why().is_none())
    }

    /// Goes on with the file of an interrupted build of the same plan, or starts a new one with its
    /// space reserved and its final length, except for the refusals.
    fn begin(&self, file: &File, path: &Path, wanted: &[Wanted]) -> Result<()> {
        let (plan, bytes) = (plan(wanted, self.spec), Cache::bytes_for(wanted.len(), self.spec));
        if resumes(file, &plan, bytes).unwrap_or(false) {
            return Ok(());
        }
        start(file, &plan, bytes).map_err(|error| {
            // The part that could be reserved would only be in the way of whoever makes room.
            let _ = fs::remove_file(path);
            Error::io(path, "reserve the space for the cache")(error)
        })
    }

    /// Writes every record of this rank's share and its entry in the index to the file, except those that
    /// an earlier build has already written. Returns those of all ranks.
    fn fill(&self, file: &File, path: &Path, wanted: &[Wanted], old: Option<&Cache>) -> Result<Vec<Filled>> {
        let mut index = vec![0; wanted.len() * ENTRY_BYTES];
        read_exact_at(file, &mut index, FIXED_BYTES as u64).map_err(Error::io(path, "read the cache"))?;
        let before = index.as_chunks::<ENTRY_BYTES>().0;
        let asked: HashSet<u64> = self.ids.iter().copied().collect();
        let (done, share) = (AtomicUsize::new(0), self.team.place().share(wanted.len()));
        let start = || Worker { decoder: Decoder::new(), bytes: Vec::new(), record: vec![0; self.spec.bytes()] };
        let one = |worker: &mut Worker, (at, poster): (usize, &Wanted)| {
            let place = Place { file, path, at, of: wanted.len() };
            let before = read_entry(&before[at]);
            let filled = match self.is_there(worker, &place, &before, poster)? {
                true => {
                    let hash = DHash::of(&worker.record, self.spec);
                    Filled { entry: Entry { look: poster.look, hash, ..before }, refusal: None, tried: false }
                }
                false => {
                    let filled = self.record(worker, poster, old)?;
                    place.write(&worker.record, &filled.entry)?;
                    filled
                }
            };
            match filled.refusal {
                Some(refusal) if self.on_bad_image == OnBadImage::Fail && asked.contains(&poster.id) => {
                    return Err(refusal.into_error(&self.posters.file(poster.id)));
                }
                _ => {}
            }
            (self.progress)(Building::Posters { done: done.fetch_add(1, Ordering::Relaxed) + 1, of: share.len() })?;
            Ok(filled)
        };
        // The disk is written to while posters are decoded, so that there is little left to wait
        // for at the end.
        thread::scope(|scope| {
            let (filling, is_done) = channel::<()>();
            let sync = move || {
                while is_done.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
                    file.sync_data()?;
                }
                Ok(())
            };
            let syncing = thread::Builder::new().spawn_scoped(scope, sync).map_err(Error::thread(path))?;
            let own = share.clone().into_par_iter().zip(&wanted[share.clone()]);
            let filled: Result<Vec<Filled>> = own.map_init(start, one).collect();
            drop(filling);
            // The system reports a write error only once, to whoever syncs first.
            let synced: io::Result<()> = syncing.join().unwrap_or_else(|panic| resume_unwind(panic));
            synced.and_then(|()| self.sync_share(file)).map_err(Error::io(path, "write the cache")).and(filled)
        })
        .and_then(|own| self.of_all_ranks(own))
    }

    /// Brings what this rank has written to where the others see it.
    fn sync_share(&self, file: &File) -> io::Result<()> {
        if self.team.is_alone() { Ok(()) } else { file.sync_all() }
    }

    /// What all ranks have filled, given what this one has.
    fn of_all_ranks(&self, own: Vec<Filled>) -> Result<Vec<Filled>> {
        if self.team.is_alone() {
            return Ok(own);
        }
        let mut entries = vec![0; own.len() * ENTRY_BYTES];
        let lines = entries.as_chunks_mut::<ENTRY_BYTES>().0;
        lines.iter_mut().zip(&own).for_each(|(line, filled)| write_entry(line, &filled.entry));
        let rest: Vec<(bool, Option<Refusal>)> = own.into_iter().map(|of| (of.tried, of.refusal)).collect();
        let rest = self.team.gather_values(&rest).into_iter().flatten();
        let entries = self.team.gather(&entries);
        let entries = entries.iter().flat_map(|of| of.as_chunks::<ENTRY_BYTES>().0);
        let filled =
            |(entry, (tried, refusal)): (&[u8; ENTRY_BYTES], _)| Filled { entry: read_entry(entry), refusal, tried };
        Ok(entries.zip(rest).map(filled).collect())
    }

    /// Whether an interrupted build has already written the image of a poster.
    fn is_there(&self, worker: &mut Worker, place: &Place, before: &Entry, wanted: &Wanted) -> Result<bool> {
        if before.verdict != Verdict::Image || (before.id, before.look.stamp) != (wanted.id, wanted.look.stamp) {
            return Ok(false);
        }
        place.read(&mut worker.record)?;
        if crc32fast::hash(&worker.record) != before.crc {
            return Ok(false);
        }
        let path = self.posters.file(wanted.id);
        let mut content = || poster::content(&path, &mut worker.bytes).map_err(Error::io(&path, "read the poster"));
        Ok(!before.look.racy || content()? == Some(before.content))
    }

    /// Brings the image of a poster into the worker's record: from the cache before if it still
    /// holds, else from the poster's file.
    fn record(&self, worker: &mut Worker, wanted: &Wanted, old: Option<&Cache>) -> Result<Filled> {
        if let Some(filled) = old.filter(|_| wanted.holds).and_then(|old| reuse(old, wanted, &mut worker.record)) {
            return Ok(filled);
        }
        let path = self.posters.file(wanted.id);
        let Worker { decoder, bytes, record } = worker;
        let read = poster::read(&path, bytes).map_err(Error::io(&path, "read the poster"))?;
        let content = if read.is_ok() { crc32fast::hash(bytes) } else { 0 };
        let refusal = read.and_then(|()| decoder.decode_bytes(bytes, self.spec, record)).err();
        let verdict = match &refusal {
            None => Verdict::Image,
            Some(refusal) if refusal.reason == Reason::Unreadable => Verdict::Unread,
            Some(_) => Verdict::Refused,
        };
        let hash = match verdict {
            Verdict::Image => DHash::of(record, self.spec),
            _ => {
                record.fill(0);
                DHash::default()
            }
        };
        let entry = Entry { id: wanted.id, look: wanted.look, crc: crc32fast::hash(record), content, verdict, hash };
        Ok(Filled { entry, refusal, tried: true })
    }
}

/// What a thread works with.
struct Worker {
    decoder: Decoder,
    /// The bytes of a poster's file.
    bytes: Vec<u8>,
    /// The record of the poster.
    record: Vec<u8>,
}

/// A record that is in the file, with its entry in the index.
struct Filled {
    entry: Entry,
    refusal: Option<Refusal>,
    /// Whether the poster was read, and not taken over from before.
    tried: bool,
}

/// The place of a record in the file, and of its entry.
struct Place<'a> {
    file: &'a File,
    path: &'a Path,
    at: usize,
    of: usize,
}

impl Place<'_> {
    fn read(&self, record: &mut [u8]) -> Result<()> {
        let at = self.record_at(record.len());
        read_exact_at(self.file, record, at).map_err(Error::io(self.path, "read the cache"))
    }

    fn write(&self, record: &[u8], entry: &Entry) -> Result<()> {
        let mut line = [0; ENTRY_BYTES];
        write_entry(&mut line, entry);
        write_all_at(self.file, record, self.record_at(record.len()))
            .and_then(|()| write_all_at(self.file, &line, (FIXED_BYTES + self.at * ENTRY_BYTES) as u64))
            .map_err(Error::io(self.path, "write the cache"))
    }

    fn record_at(&self, bytes: usize) -> u64 {
        (records_at(self.of) + self.at * bytes) as u64
    }
}

/// How long written records may pile up in memory before they are sent to the disk.
const SYNC_EVERY: Duration = Duration::from_millis(100);

/// The bytes that a file under construction starts with, instead of [`MAGIC`](super::cache::MAGIC).
const BUILDING: &[u8; 8] = b"BUILDING";

/// Whether `file` is that of an interrupted build of this plan; if so, what was written after its
/// records is cut off.
fn resumes(file: &File, plan: &[u8; 32], bytes: u64) -> io::Result<bool> {
    let mut head = [0; 48];
    read_exact_at(file, &mut head, 0)?;
    let same = head[..8] == *BUILDING && head[16..] == *plan && file.metadata()?.len() >= bytes;
    if same {
        file.set_len(bytes)?;
    }
    Ok(same)
}

/// Turns `file` into an empty one of that plan, with its space reserved.
fn start(file: &File, plan: &[u8; 32], bytes: u64) -> io::Result<()> {
    let mut head = [0; 48];
    head[..8].copy_from_slice(BUILDING);
    head[16..].copy_from_slice(plan);
    file.set_len(0)?;
    // The mark comes first: a file without it would be taken for another program's.
    write_all_at(file, &head, 0)?;
    reserve(file, head.len() as u64, bytes)
}

/// The SHA-256 of everything that decides where a record lies in the file and how it is made.
fn plan(wanted: &[Wanted], spec: ImageSpec) -> [u8; 32] {
    let mut plan = Sha256::new_with_prefix(rules(spec));
    wanted.iter().for_each(|of| plan.update(of.id.to_le_bytes()));
    plan.finalize().into()
}

/// Takes over what `old` knows about a poster: its image, which is copied into `record`, or its
/// refusal. `None` if the record is damaged: then the poster is decoded again.
fn reuse(old: &Cache, wanted: &Wanted, record: &mut [u8]) -> Option<Filled> {
    let entry = Entry { look: wanted.look, ..*old.entry(wanted.id)? };
    let refusal = match entry.verdict {
        Verdict::Image => {
            record.copy_from_slice(&old.image(wanted.id).ok()?);
            None
        }
        Verdict::Refused | Verdict::Unread => {
            record.fill(0);
            Some(old.refusal(wanted.id)?.clone())
        }
    };
    Some(Filled { entry, refusal, tried: false })
}

/// Reserves the space of a file from `from`, where it ends now, to `to`: a full disk is an error
/// now and not a SIGBUS later.
fn reserve(mut file: &File, from: u64, to: u64) -> io::Result<()> {
    match files::again(|| file.allocate(to)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            file.seek(SeekFrom::Start(from))?;
            io::copy(&mut io::Read::take(io::repeat(0), to - from), &mut file).map(drop)
        }
        done => done,
    }
}
