//! The cache: decoded posters in one file, made once and then mapped into memory by every run that
//! needs them.
//!
//! The layout of the file, for `n` posters in the order of their ids; all numbers are
//! little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `ONESHEET` |
//! | 8..12 | version of this layout, u32 |
//! | 12..16 | CRC-32 of the bytes from 16 to the end of the index |
//! | 16..48 | SHA-256 of the rules by which the pixels were made (`rules`) |
//! | 48..52, 52..56 | height and width of an image, u32 |
//! | 56..64 | `n`, u64 |
//! | 64..72 | length of the refusals, u64 |
//! | 72..76 | CRC-32 of the refusals |
//! | 76..80 | zero |
//! | 80..80 + 120 n | the index, see below |
//! | up to a multiple of 4096 | zero |
//! | then `n` records | u8 `[height, width, 3]`, RGB; zero where the poster was refused |
//! | to the end | the refusals: a JSON list of `[id, {reason, detail}]`, in the order of the ids |
//!
//! The entry of a poster in the index:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | its id, u64 |
//! | 8..16 | the length of its file, u64 |
//! | 16..24, 24..32 | when the content of the file, and when anything of it was changed last (mtime and ctime), in nanoseconds since 1970, i64 |
//! | 32..40 | the number of the file in its file system (inode), u64 |
//! | 40..44 | CRC-32 of the record |
//! | 44..48 | CRC-32 of the poster's file; 0 if it was not read |
//! | 48..52 | 0 if the record is an image, 1 if the poster was refused, 2 if the system did not let it be read |
//! | 52..56 | 1 if the file was younger than the grain of the clock may be, else 0, u32 |
//! | 56..120 | the perceptual hash of the record ([`DHash`]), eight u64; zero where the poster was refused |
//!
//! A poster whose length or mtime is another than in its entry has changed. One whose file was
//! young, or whose ctime or inode is another, may have: the CRC of its bytes tells. What the system
//! did not let be read is tried again each time the cache is opened for it: that is no fact about a
//! poster.
//!
//! A file that has its final name is complete and never changes: a new one is made beside it and
//! then takes its place. While a file is being made, its name ends in `.building`, it starts with
//! `BUILDING`, bytes 16..48 hold the SHA-256 of the plan (the rules and the ids), and an entry of
//! the index is written once its record is. A build that was killed is resumed from there: a record
//! counts if its entry agrees with the poster as it is now and the CRC in the entry with the
//! record.
//!
//! Beside the cache lie a ledger (`.ledger.json`), which says what was refused and why, and while
//! it is being made a lock (`.lock`) that other builders wait for.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::decode::ImageSpec;
use crate::data::dhash::DHash;
use crate::data::mmap::Map;
use crate::data::poster::{Look, Stamp};
use crate::data::refusal::Refusal;
use crate::error::{Error, Result};
use crate::files;
use crate::files::system::read_exact_at;

pub(super) const MAGIC: &[u8; 8] = b"ONESHEET";
pub(super) const VERSION: u32 = 3;
pub(super) const FIXED_BYTES: usize = 80;
pub(super) const ENTRY_BYTES: usize = 120;
const PAGE: usize = 4096;
/// How far around an accessed byte Linux also maps pages, by default.
const FAULT_AROUND: usize = 64 << 10;

/// Everything besides a poster's bytes that determines its pixels: a cache that was made by other
/// rules is made again. The versions are those in Cargo.lock, which a test checks.
pub const PIXEL_RULES: &str = "RGB u8 NHWC; strict JPEG, colours as libjpeg-turbo's; EXIF orientation applied; \
    CMYK as Adobe's; bilinear, half-pixel centres, no antialiasing; zune-jpeg 0.5.15; fast_image_resize 6.1.0";

/// The entry of one poster in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: u64,
    /// The state of the poster's file when it was decoded.
    pub(super) look: Look,
    /// The CRC-32 of the record.
    pub(super) crc: u32,
    /// The CRC-32 of the poster's file.
    pub(super) content: u32,
    pub(super) verdict: Verdict,
    /// The perceptual hash of the image; zero where there is none.
    pub(super) hash: DHash,
}

/// What became of a poster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its image is in the record.
    Image = 0,
    /// It does not decode.
    Refused = 1,
    /// The system did not let it be read.
    Unread = 2,
}

/// What [`Cache::open_or_build`] had to do to get a usable cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Why no existing cache could be used as it was.
    pub why: String,
    /// The number of posters that were decoded; the others were taken from the previous cache or
    /// from an interrupted build.
    pub decoded: usize,
    /// The number of posters that were tried and refused.
    pub refused: usize,
    /// The time from the first poster to the renaming of the finished file.
    pub time: Duration,
}

/// The progress that [`Cache::open_or_build`] reports while it works, from any thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Building {
    /// Another process is making the cache; this one waits for it.
    Waits {
        /// What the other process says about itself.
        by: String,
    },
    /// It still does.
    Waiting,
    /// The file system has no locks: the cache is made although another process may be making it,
    /// too.
    Unlocked,
    /// Some of the posters are done.
    Posters {
        /// The number of posters that are in the file.
        done: usize,
        /// The number of posters that the finished cache will know, refused ones included.
        of: usize,
    },
}

/// Decoded posters in a file, which is mapped into memory where the file system can do that.
pub struct Cache {
    path: PathBuf,
    spec: ImageSpec,
    content: Content,
    /// The length of the file.
    length: u64,
    entries: Vec<Entry>,
    refused: Vec<(u64, Refusal)>,
    /// For each record, whether its CRC has been checked since the file was mapped.
    checked: Vec<AtomicBool>,
    pub(super) built: Option<Built>,
}

/// The bytes of a cache file.
enum Content {
    Mapped(Map),
    /// On file systems that map no files, such as some that lie on another machine, each record is
    /// read when it is needed.
    Read(File),
}

impl Content {
    /// The bytes at a place that the file had when it was opened.
    fn at(&self, offset: usize, len: usize) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Mapped(map) => Ok(Cow::Borrowed(&map[offset..][..len])),
            Self::Read(file) => {
                let mut bytes = vec![0; len];
                read_exact_at(file, &mut bytes, offset as u64)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

impl Cache {
    /// The path of the cache file in the folder `dir`.
    pub fn path_in(dir: &Path, spec: ImageSpec) -> PathBuf {
        dir.join(format!("posters-{}x{}.cache", spec.height, spec.width))
    }

    /// The size in bytes of a cache file of that many posters, its list of refusals not included.
    pub fn bytes_for(posters: usize, spec: ImageSpec) -> u64 {
        (records_at(posters) + posters * spec.bytes()) as u64
    }

    /// Opens a complete cache and checks its header, its length and its index; each record is
    /// checked when it is first read.
    ///
    /// # Errors
    /// If the file cannot be read, is not a cache, is damaged or truncated, or was made by other
    /// rules or by another version.
    pub fn open(path: &Path, spec: ImageSpec) -> Result<Self> {
        Self::open_with(path, spec, |file| Map::new(&file).map_or(Content::Read(file), Content::Mapped))
    }

    /// Opens a complete cache as [`Cache::open`] does, but reads each record when it is needed
    /// instead of mapping the file. `open` itself does so on file systems that map no files.
    ///
    /// # Errors
    /// Those of [`Cache::open`].
    pub fn open_unmapped(path: &Path, spec: ImageSpec) -> Result<Self> {
        Self::open_with(path, spec, Content::Read)
    }

    fn open_with(path: &Path, spec: ImageSpec, content: impl FnOnce(File) -> Content) -> Result<Self> {
        let file = files::open_regular(path).map_err(Error::io(path, "open the cache"))?;
        let bad = |what: &str| Error::data(path, what, "remove it to have it made again");
        let length = file.metadata().map_err(Error::io(path, "open the cache"))?.len();
        if length < FIXED_BYTES as u64 {
            return Err(bad("the file is too short for a cache"));
        }
        let content = content(file);
        let read = |offset, len| content.at(offset, len).map_err(Error::io(path, "read the cache"));
        let fixed = read(0, FIXED_BYTES)?;
        if &fixed[..8] != MAGIC {
            return Err(bad("not a cache of posters"));
        }
        if u32_at(&fixed, 8) != VERSION {
            return Err(bad(&format!("a cache of version {}, not {VERSION}", u32_at(&fixed, 8))));
        }
        // Lengths are compared in u128, which no header overflows, however wrong it is.
        let (count, refusals_bytes) = (u64_at(&fixed, 56), u64_at(&fixed, 64));
        let index_end = FIXED_BYTES as u128 + u128::from(count) * ENTRY_BYTES as u128;
        if index_end > u128::from(length) {
            return Err(bad("the cache is truncated"));
        }
        let (count, index_end) = (count as usize, index_end as usize);
        // A header cannot have more read than a small part of the file: the index, beside its records.
        let record = u128::from(u32_at(&fixed, 48)) * u128::from(u32_at(&fixed, 52)) * 3;
        let expected = records_at(count) as u128 + count as u128 * record + u128::from(refusals_bytes);
        if u128::from(length) != expected {
            return Err(bad(&format!("the cache has {length} bytes instead of {expected}: it is truncated")));
        }
        let index = read(0, index_end)?;
        if crc32fast::hash(&index[16..]) != u32_at(&fixed, 12) {
            return Err(bad("the header of the cache is damaged"));
        }
        if fixed[16..48] != rules(spec) || record != spec.bytes() as u128 {
            return Err(bad("a cache that was made by other rules"));
        }
        if read(index_end, records_at(count) - index_end)?.iter().any(|&byte| byte != 0) {
            return Err(bad("the header of the cache is damaged"));
        }
        let entries: Vec<Entry> = index[FIXED_BYTES..].as_chunks::<ENTRY_BYTES>().0.iter().map(read_entry).collect();
        let refusals = read((length - refusals_bytes) as usize, refusals_bytes as usize)?;
        if crc32fast::hash(&refusals) != u32_at(&fixed, 72) {
            return Err(bad("the list of refused posters is damaged"));
        }
        let refused: Vec<_> =
            serde_json::from_slice(&refusals).map_err(|e| bad(&format!("the refused posters: {e}")))?;
        if refused.len() != entries.iter().filter(|entry| entry.verdict != Verdict::Image).count() {
            return Err(bad("the list of refused posters is not that of the index"));
        }
        let checked = entries.iter().map(|_| AtomicBool::new(false)).collect();
        drop((fixed, index, refusals));
        Ok(Self { path: path.to_owned(), spec, content, length, entries, refused, checked, built: None })
    }

    /// The size of the images in the cache.
    pub fn spec(&self) -> ImageSpec {
        self.spec
    }

    /// The number of posters that the cache knows, refused ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the cache knows no poster.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the cache knows the poster of the film `id`, as an image or as one that was refused.
    pub fn knows(&self, id: u64) -> bool {
        self.position(id).is_some()
    }

    /// The posters that do not decode, in the order of their ids, each with the reason for its
    /// refusal.
    pub fn refused(&self) -> &[(u64, Refusal)] {
        &self.refused
    }

    /// What had to be done to open the cache; `None` if it could be used as it was.
    pub fn built(&self) -> Option<&Built> {
        self.built.as_ref()
    }

    /// The poster of the film `id`: u8 `[height, width, 3]`, RGB. It is borrowed from the map, or
    /// read where the file system maps no files.
    ///
    /// # Errors
    /// If the cache has no image of this film, if its record is damaged (the CRC is not the one
    /// that was written), or if it cannot be read.
    pub fn image(&self, id: u64) -> Result<Cow<'_, [u8]>> {
        let bad = |what| Error::data(&self.path, what, "remove it to have it made again");
        match self.position(id) {
            Some(at) if self.entries[at].verdict == Verdict::Image => {
                let record = self.record(at).map_err(Error::io(&self.path, "read the cache"))?;
                // What is read anew is checked anew. Two threads that meet here both check a mapped
                // record, with the same result.
                if matches!(record, Cow::Owned(_)) || !self.checked[at].load(Ordering::Relaxed) {
                    if crc32fast::hash(&record) != self.entries[at].crc {
                        return Err(bad(format!("the record of film {id} is damaged")));
                    }
                    self.checked[at].store(true, Ordering::Relaxed);
                }
                Ok(record)
            }
            _ => Err(bad(format!("the cache has no image of film {id}"))),
        }
    }

    /// The perceptual hash of the poster of the film `id`, as it was when it was decoded; `None` if
    /// the cache has no image of this film.
    pub fn hash(&self, id: u64) -> Option<DHash> {
        let entry = &self.entries[self.position(id)?];
        (entry.verdict == Verdict::Image).then_some(entry.hash)
    }

    /// Asks the system to read the images of these films soon, without waiting for them. Films that
    /// are not in the cache are skipped.
    pub fn will_need(&self, ids: impl IntoIterator<Item = u64>) {
        let Content::Mapped(map) = &self.content else { return };
        for at in ids.into_iter().filter_map(|id| self.position(id)) {
            map.will_need(self.offset(at), self.spec.bytes());
        }
    }

    /// A checksum of what it knows of these films: their images, or that there is none.
    pub fn digest(&self, ids: impl IntoIterator<Item = u64>) -> u32 {
        let mut digest = crc32fast::Hasher::new();
        for id in ids {
            let entry = self.entry(id);
            digest.update(&id.to_le_bytes());
            digest.update(&entry.map_or(0, |entry| entry.crc).to_le_bytes());
            digest.update(&[u8::from(entry.is_some_and(|entry| entry.verdict == Verdict::Image))]);
        }
        digest.finalize()
    }

    /// Gives the memory of these films' images back to the system, so that what has been read does
    /// not pile up in this process.
    pub fn drop_behind(&self, ids: impl IntoIterator<Item = u64>) {
        let Content::Mapped(map) = &self.content else { return };
        // A page fault also maps those of the surrounding pages that are in memory already. If a
        // neighbour is in use meanwhile, it is read again.
        for at in ids.into_iter().filter_map(|id| self.position(id)) {
            let from = self.offset(at).saturating_sub(FAULT_AROUND) / PAGE * PAGE;
            let to = (self.offset(at) + self.spec.bytes() + FAULT_AROUND).min(map.len());
            map.drop_behind(from, to - from);
        }
    }

    /// Checks the CRC of every record, and returns the films whose records are damaged or cannot be
    /// read, in the order of their ids. `progress` is called with the number of records checked so
    /// far and the number of all records.
    pub fn verify(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Vec<u64> {
        let done = AtomicUsize::new(0);
        let damaged = (0..self.entries.len()).into_par_iter().filter(|&at| {
            let damaged = self.record(at).map_or(true, |record| crc32fast::hash(&record) != self.entries[at].crc);
            self.drop_behind([self.entries[at].id]);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, self.entries.len());
            damaged
        });
        damaged.map(|at| self.entries[at].id).collect()
    }

    /// The path of the cache file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the cache file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.length
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn position(&self, id: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok()
    }

    fn offset(&self, at: usize) -> usize {
        records_at(self.entries.len()) + at * self.spec.bytes()
    }

    fn record(&self, at: usize) -> io::Result<Cow<'_, [u8]>> {
        self.content.at(self.offset(at), self.spec.bytes())
    }
}

/// The offset in bytes at which the records of a cache of `count` posters begin.
pub(super) fn records_at(count: usize) -> usize {
    (FIXED_BYTES + count * ENTRY_BYTES).next_multiple_of(PAGE)
}

/// Writes the header and the index into `head`, which ends where the records begin.
pub(super) fn write_header(head: &mut [u8], spec: ImageSpec, entries: &[Entry], refusals: &[u8]) {
    let index_end = FIXED_BYTES + entries.len() * ENTRY_BYTES;
    head.fill(0);
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[16..48].copy_from_slice(&rules(spec));
    head[48..52].copy_from_slice(&(spec.height as u32).to_le_bytes());
    head[52..56].copy_from_slice(&(spec.width as u32).to_le_bytes());
    head[56..64].copy_from_slice(&(entries.len() as u64).to_le_bytes());
    head[64..72].copy_from_slice(&(refusals.len() as u64).to_le_bytes());
    head[72..76].copy_from_slice(&crc32fast::hash(refusals).to_le_bytes());
    for (to, entry) in head[FIXED_BYTES..index_end].as_chunks_mut::<ENTRY_BYTES>().0.iter_mut().zip(entries) {
        write_entry(to, entry);
    }
    let crc = crc32fast::hash(&head[16..index_end]);
    head[12..16].copy_from_slice(&crc.to_le_bytes());
}

pub(super) fn write_entry(to: &mut [u8; ENTRY_BYTES], entry: &Entry) {
    let Look { stamp, racy } = entry.look;
    to[..8].copy_from_slice(&entry.id.to_le_bytes());
    to[8..16].copy_from_slice(&stamp.bytes.to_le_bytes());
    to[16..24].copy_from_slice(&stamp.modified.to_le_bytes());
    to[24..32].copy_from_slice(&stamp.changed.to_le_bytes());
    to[32..40].copy_from_slice(&stamp.inode.to_le_bytes());
    to[40..44].copy_from_slice(&entry.crc.to_le_bytes());
    to[44..48].copy_from_slice(&entry.content.to_le_bytes());
    to[48..52].copy_from_slice(&(entry.verdict as u32).to_le_bytes());
    to[52..56].copy_from_slice(&u32::from(racy).to_le_bytes());
    to[56..].copy_from_slice(&entry.hash.to_bytes());
}

pub(super) fn read_entry(from: &[u8; ENTRY_BYTES]) -> Entry {
    let stamp = Stamp {
        bytes: u64_at(from, 8),
        modified: u64_at(from, 16).cast_signed(),
        changed: u64_at(from, 24).cast_signed(),
        inode: u64_at(from, 32),
    };
    let verdict = match u32_at(from, 48) {
        0 => Verdict::Image,
        1 => Verdict::Refused,
        _ => Verdict::Unread,
    };
    let look = Look { stamp, racy: u32_at(from, 52) != 0 };
    let hash = DHash::from_bytes(from[56..].try_into().expect("as many as are left"));
    Entry { id: u64_at(from, 0), look, crc: u32_at(from, 40), content: u32_at(from, 44), verdict, hash }
}

pub(super) fn rules(spec: ImageSpec) -> [u8; 32] {
    Sha256::digest(format!("layout {VERSION}; {}x{}; {PIXEL_RULES}", spec.height, spec.width)).into()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
