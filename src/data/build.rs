//! Builds the cache of decoded posters, unless a usable one exists already.

use std::fs::{self, File};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use fs4::FileExt as _;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::data::cache::{
    Building, Built, Cache, ENTRY_BYTES, Entry, FIXED_BYTES, Stamp, read_entry, records_at, rules, write_entry,
    write_header,
};
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::layout::PosterFolder;
use crate::data::refusal::Refusal;
use crate::error::{Error, Result};
use crate::files;
use crate::files::system::{read_exact_at, write_all_at};

impl Cache {
    /// Opens the cache in the folder `dir` if it holds the posters of all `ids` as they are now in
    /// `posters`; otherwise builds it, on all threads of the current rayon pool.
    ///
    /// A new cache also holds what a usable one before it held, so that runs with different limits
    /// can share it. A process that comes second while the cache is being built waits, and then
    /// uses it.
    ///
    /// # Errors
    /// If the folder cannot be created or written to, or has too little space. A poster that does
    /// not decode is no error: see [`Cache::refused`].
    pub fn open_or_build(
        dir: &Path,
        posters: &PosterFolder,
        ids: &[u64],
        spec: ImageSpec,
        progress: &(dyn Fn(Building) + Sync),
    ) -> Result<Self> {
        let path = Self::path_in(dir, spec);
        let needed: Vec<(u64, Stamp)> = ids.par_iter().map(|&id| (id, stamp(posters, id))).collect();
        // The existing cache, and why it does not suffice.
        let look = || match Self::open(&path, spec) {
            Ok(cache) => {
                let why = missing(&cache, &needed);
                (Some(cache), why)
            }
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                (None, Some("there was none".to_owned()))
            }
            Err(error) => (None, Some(error.to_string())),
        };
        if let (Some(cache), None) = look() {
            return Ok(cache);
        }

        fs::create_dir_all(dir).map_err(Error::io(dir, "make the folder"))?;
        let lock_path = path.with_extension("lock");
        let lock = File::create(&lock_path).map_err(Error::io(&lock_path, "make the lock"))?;
        if lock.try_lock().is_err() {
            progress(Building::Waits);
            lock.lock().map_err(Error::io(&lock_path, "wait for the lock"))?;
        }
        // Another process may have built it while this one waited.
        let (old, why) = match look() {
            (Some(cache), None) => return Ok(cache),
            (old, why) => (old, why.unwrap_or_default()),
        };
        let begin = Instant::now();
        let decoded = build(&path, posters, &needed, old.as_ref(), spec, progress)?;
        let mut cache = Self::open(&path, spec)?;
        cache.built = Some(Built { why, decoded, time: begin.elapsed() });
        Ok(cache)
    }
}

/// Why `cache` does not suffice for the posters `needed`; `None` if it does.
fn missing(cache: &Cache, needed: &[(u64, Stamp)]) -> Option<String> {
    let entry = |id| cache.position(id).map(|at| cache.entries()[at]);
    let absent = needed.iter().filter(|&&(id, _)| entry(id).is_none()).count();
    let changed = needed.iter().filter(|&&(id, now)| entry(id).is_some_and(|entry| entry.stamp != now)).count();
    match (absent, changed) {
        (0, 0) => None,
        (_, 0) => Some(format!("it had not {absent} of the {} posters", needed.len())),
        (_, _) => Some(format!("{changed} of its posters have changed and {absent} are missing")),
    }
}

/// The length and modification time of a poster's file; zeros if they cannot be read, since the
/// file cannot be decoded then either.
fn stamp(posters: &PosterFolder, id: u64) -> Stamp {
    let Ok(metadata) = fs::metadata(posters.file(id)) else { return Stamp::default() };
    let since_1970 = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Stamp { bytes: metadata.len(), nanoseconds: since_1970.map_or(0, |time| time.as_nanos() as i64) }
}

/// Writes the cache of the posters `needed` and of those of `old` that have not changed, and
/// returns how many it had to decode. The caller must hold the lock.
fn build(
    path: &Path,
    posters: &PosterFolder,
    needed: &[(u64, Stamp)],
    old: Option<&Cache>,
    spec: ImageSpec,
    progress: &(dyn Fn(Building) + Sync),
) -> Result<usize> {
    let mut all = needed.to_vec();
    if let Some(old) = old {
        let kept = old.entries().par_iter().filter(|entry| stamp(posters, entry.id) == entry.stamp);
        all.extend(kept.map(|entry| (entry.id, entry.stamp)).collect::<Vec<_>>());
    }
    all.sort_unstable_by_key(|&(id, _)| id);
    all.dedup_by_key(|&mut (id, _)| id);

    let (building, ledger) = (path.with_extension("building"), ledger_in(path));
    files::remove_temporaries_of(&ledger).map_err(Error::io(&ledger, "remove what a killed build left"))?;
    if finished(&building, &all, spec) {
        let rename = || files::rename_whole(&File::open(&building)?, &building, path);
        rename().map_err(Error::io(path, "write the cache"))?;
        return Ok(0);
    }
    let file = begin(&building, &all, spec)?;
    let filled = fill(&file, posters, &all, old, spec, progress).map_err(Error::io(&building, "write the cache"))?;

    let decoded = filled.iter().filter(|filled| filled.decoded).count();
    let entries: Vec<Entry> = filled.iter().map(|filled| filled.entry).collect();
    let refused: Vec<(u64, Refusal)> =
        filled.into_iter().filter_map(|filled| Some((filled.entry.id, filled.refusal?))).collect();
    let refusals = serde_json::to_vec(&refused).map_err(|e| Error::io(path, "write the refusals")(e.into()))?;
    let mut head = vec![0; records_at(all.len())];
    write_header(&mut head, spec, &entries, &refusals);
    let write = |bytes: &[u8], at| {
        write_all_at(&file, bytes, at).and_then(|()| file.sync_all()).map_err(Error::io(&building, "write the cache"))
    };
    write(&refusals, Cache::bytes_for(all.len(), spec))?;
    files::write_json(&ledger, &CacheLedger::new(all.len(), posters, &refused))?;
    // The header comes last, when everything that it vouches for is on the disk.
    write(&head, 0)?;
    files::rename_whole(&file, &building, path).map_err(Error::io(path, "write the cache"))?;
    Ok(decoded)
}

/// A record that is in the file, with its entry in the index.
struct Filled {
    entry: Entry,
    refusal: Option<Refusal>,
    decoded: bool,
}

/// Writes every record and its entry in the index to the file, except those that an earlier build
/// has already written.
fn fill(
    file: &File,
    posters: &PosterFolder,
    all: &[(u64, Stamp)],
    old: Option<&Cache>,
    spec: ImageSpec,
    progress: &(dyn Fn(Building) + Sync),
) -> io::Result<Vec<Filled>> {
    let mut index = vec![0; all.len() * ENTRY_BYTES];
    read_exact_at(file, &mut index, FIXED_BYTES as u64)?;
    let before = index.as_chunks::<ENTRY_BYTES>().0;
    let done = AtomicUsize::new(0);
    let one = |(decoder, record): &mut (Decoder, Vec<u8>), (at, &(id, now)): (usize, &(u64, Stamp))| {
        let record_at = (records_at(all.len()) + at * spec.bytes()) as u64;
        let before = read_entry(&before[at]);
        let mut filled = Filled { entry: before, refusal: None, decoded: false };
        let is_there = !before.refused && (before.id, before.stamp) == (id, now) && {
            read_exact_at(file, record, record_at)?;
            crc32fast::hash(record) == before.crc
        };
        if !is_there {
            filled.refusal = old.and_then(|old| reuse(old, id, now, record)).unwrap_or_else(|| {
                filled.decoded = true;
                decoder.decode_poster(&posters.file(id), spec, record).err()
            });
            if filled.refusal.is_some() {
                record.fill(0);
            }
            filled.entry = Entry { id, stamp: now, crc: crc32fast::hash(record), refused: filled.refusal.is_some() };
            let mut line = [0; ENTRY_BYTES];
            write_entry(&mut line, &filled.entry);
            write_all_at(file, record, record_at)?;
            write_all_at(file, &line, (FIXED_BYTES + at * ENTRY_BYTES) as u64)?;
        }
        progress(Building::Posters { done: done.fetch_add(1, Ordering::Relaxed) + 1, of: all.len() });
        Ok(filled)
    };
    // The disk is written to while posters are decoded, so that there is little left to wait for at
    // the end.
    thread::scope(|scope| {
        let (filling, is_done) = channel::<()>();
        let syncing = scope.spawn(move || {
            while is_done.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
                file.sync_data()?;
            }
            Ok(())
        });
        let start = || (Decoder::new(), vec![0; spec.bytes()]);
        let filled: io::Result<Vec<Filled>> = all.par_iter().enumerate().map_init(start, one).collect();
        drop(filling);
        // The system reports a write error only once, to whoever syncs first.
        let synced: io::Result<()> = syncing.join().unwrap_or_else(|panic| resume_unwind(panic));
        synced.and(filled)
    })
}

/// How long written records may pile up in memory before they are sent to the disk.
const SYNC_EVERY: Duration = Duration::from_millis(100);

/// The bytes that a file under construction starts with, instead of [`MAGIC`](super::cache::MAGIC).
const BUILDING: &[u8; 8] = b"BUILDING";

/// Opens the file of an interrupted build of the same plan, or starts a new one with its space
/// reserved and its final length, except for the refusals.
fn begin(path: &Path, all: &[(u64, Stamp)], spec: ImageSpec) -> Result<File> {
    let plan = plan(all, spec);
    let bytes = Cache::bytes_for(all.len(), spec);
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = open.map_err(Error::io(path, "make a file for the cache"))?;
    if resumes(&file, &plan, bytes).unwrap_or(false) {
        return Ok(file);
    }
    start(&file, &plan, bytes).map_err(|error| {
        // The part that could be reserved would only be in the way of whoever makes room.
        let _ = fs::remove_file(path);
        Error::io(path, "reserve the space for the cache")(error)
    })?;
    Ok(file)
}

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
    file.set_len(0)?;
    reserve(file, bytes)?;
    let mut head = [0; 48];
    head[..8].copy_from_slice(BUILDING);
    head[16..].copy_from_slice(plan);
    write_all_at(file, &head, 0)
}

/// Whether the file is a finished cache of this plan that only remains to be renamed.
fn finished(path: &Path, all: &[(u64, Stamp)], spec: ImageSpec) -> bool {
    Cache::open(path, spec)
        .is_ok_and(|cache| cache.entries().iter().map(|entry| (entry.id, entry.stamp)).eq(all.iter().copied()))
}

/// The SHA-256 of everything that decides what a finished cache holds.
fn plan(all: &[(u64, Stamp)], spec: ImageSpec) -> [u8; 32] {
    let mut plan = Sha256::new_with_prefix(rules(spec));
    for (id, stamp) in all {
        plan.update(id.to_le_bytes());
        plan.update(stamp.bytes.to_le_bytes());
        plan.update(stamp.nanoseconds.to_le_bytes());
    }
    plan.finalize().into()
}

/// The path of the ledger beside a cache.
fn ledger_in(cache: &Path) -> PathBuf {
    cache.with_file_name("ledger.json")
}

/// The content of a cache's `ledger.json`.
#[derive(Serialize)]
struct CacheLedger<'a> {
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
    fn new(posters: usize, folder: &PosterFolder, refused: &'a [(u64, Refusal)]) -> Self {
        let accepted = posters - refused.len();
        let refused = refused.iter().map(|(id, refusal)| RefusedPoster { poster: folder.name(*id), refusal }).collect();
        Self { posters, accepted, refused }
    }
}

/// Takes over what `old` knows about a poster that has not changed: its image, which is copied into
/// `record`, or the refusal, which is returned. `None` if the poster has to be decoded.
fn reuse(old: &Cache, id: u64, now: Stamp, record: &mut [u8]) -> Option<Option<Refusal>> {
    let entry = old.entries()[old.position(id)?];
    if entry.stamp != now {
        return None;
    }
    if entry.refused {
        let at = old.refused().binary_search_by_key(&id, |&(id, _)| id).ok()?;
        return Some(Some(old.refused()[at].1.clone()));
    }
    // A damaged record is decoded again.
    record.copy_from_slice(old.image(id).ok()?);
    Some(None)
}

/// Sets the length of a file and reserves its space: a full disk is an error now and not a SIGBUS
/// later.
fn reserve(mut file: &File, bytes: u64) -> io::Result<()> {
    match file.allocate(bytes) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file).map(drop)
        }
        done => done,
    }
}
