//! Posters with the same bytes under several ids, such as a studio's placeholder: a model that met
//! one of them in training would recognise another in the test.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::io::{self, Read, Seek, SeekFrom};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::layout::PosterFolder;
use crate::data::poster::MAX_BYTES;
use crate::error::{Error, Result};
use crate::files::{self, system::is_shortage};

/// The number of bytes at the end of a file that are compared before the whole file is: nearly all
/// JPEG files of equal length differ there.
const TAIL: u64 = 4096;

/// The posters among `ids` whose file has the same bytes as that of a smaller id, each with the
/// smallest such id; sorted.
///
/// Only files that begin as a JPEG file does count: an error page that was saved under many names
/// is refused under each of them, for what it is. A file that cannot be read, or is larger than 64 MiB,
/// has no duplicates. Of files of equal length the ends are hashed, and of those with equal ends all
/// bytes (SHA-256).
///
/// # Errors
/// [`Error::Io`] if this process is out of file handles or memory.
pub fn duplicates(posters: &PosterFolder, ids: &[u64]) -> Result<Vec<(u64, u64)>> {
    let open = |id: u64| File::open(posters.file(id));
    let length = |id: u64| {
        // Checked before the file is opened: opening a pipe would wait for ever. Files beyond the limit
        // are refused before they are read.
        let metadata = std::fs::metadata(posters.file(id))?;
        Ok((metadata.is_file() && metadata.len() <= MAX_BYTES).then_some(metadata.len()))
    };
    let same_length = grouped(posters, ids.to_vec(), length)?.concat();
    let same_end = grouped(posters, same_length, |id| end(&open(id)?))?.concat();
    let mut found = Vec::new();
    for group in grouped(posters, same_end, |id| files::hash(open(id)?).map(Some))? {
        found.extend(group[1..].iter().map(|&id| (id, group[0])));
    }
    found.sort_unstable();
    Ok(found)
}

/// The groups of at least two ids with the same key, each group sorted; an id without a key is in
/// none.
fn grouped<K: Hash + Eq + Send>(
    posters: &PosterFolder,
    ids: Vec<u64>,
    key: impl Fn(u64) -> io::Result<Option<K>> + Sync,
) -> Result<Vec<Vec<u64>>> {
    let key = |&id: &u64| match key(id) {
        Err(error) if is_shortage(&error) => Err(Error::io(&posters.file(id), "read the poster")(error)),
        key => Ok(key.ok().flatten()),
    };
    let keys: Vec<Option<K>> = ids.par_iter().map(key).collect::<Result<_>>()?;
    let mut groups = HashMap::<K, Vec<u64>>::new();
    for (id, key) in ids.into_iter().zip(keys) {
        if let Some(key) = key {
            groups.entry(key).or_default().push(id);
        }
    }
    let mut groups: Vec<Vec<u64>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    Ok(groups)
}

/// The length of a JPEG file and the hash of its last bytes; `None` for other files.
fn end(mut file: &File) -> io::Result<Option<(u64, [u8; 32])>> {
    let mut start = [0; 3];
    file.read_exact(&mut start)?;
    if start != *b"\xFF\xD8\xFF" {
        return Ok(None);
    }
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::with_capacity(TAIL as usize);
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(Some((length, Sha256::digest(&tail).into())))
}
