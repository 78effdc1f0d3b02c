//! What of a cache still holds: which posters are as they were when it was made.

use std::io::ErrorKind;

use rayon::prelude::*;

use crate::data::cache::{Cache, Entry, Verdict};
use crate::data::layout::PosterFolder;
use crate::data::poster::{self, Look};
use crate::error::{Error, Result};
use crate::files::system::is_shortage;

/// A poster that a cache is to know.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) id: u64,
    pub(super) look: Look,
    /// Whether what the cache before knows about the poster still holds.
    pub(super) holds: bool,
}

/// The posters that are asked for, and what a cache lacks of them.
pub(super) struct Survey {
    pub(super) wanted: Vec<Wanted>,
    absent: usize,
    changed: usize,
    readable: usize,
}

impl Survey {
    /// Compares the posters of the films `ids` with what `cache` knows about them.
    ///
    /// # Errors
    /// [`Error::Io`] if this process is out of file handles or memory.
    pub(super) fn new(posters: &PosterFolder, ids: &[u64], cache: Option<&Cache>) -> Result<Self> {
        let entry = |id| cache.and_then(|cache| cache.entry(id));
        let state = |buffer: &mut Vec<u8>, &id: &u64| Ok((id, state(posters, id, entry(id), buffer)?));
        let states: Vec<(u64, State)> = ids.par_iter().map_init(Vec::new, state).collect::<Result<_>>()?;
        let mut survey = Self { wanted: Vec::with_capacity(ids.len()), absent: 0, changed: 0, readable: 0 };
        for (id, state) in states {
            let (look, holds) = match state {
                State::Holds(look) => (look, true),
                State::Absent(look) => {
                    survey.absent += 1;
                    (look, false)
                }
                State::Changed(look) => {
                    survey.changed += 1;
                    (look, false)
                }
                State::Readable(look) => {
                    survey.readable += 1;
                    (look, false)
                }
            };
            survey.wanted.push(Wanted { id, look, holds });
        }
        Ok(survey)
    }

    /// Why the cache does not suffice for these posters; `None` if it does.
    pub(super) fn why(&self) -> Option<String> {
        let &Self { absent, changed, readable, .. } = self;
        match (absent, changed, readable) {
            (0, 0, 0) => None,
            (_, 0, 0) => Some(format!("it had not {absent} of the {} posters", self.wanted.len())),
            (0, 0, _) => Some(format!("{readable} of its posters that could not be read can be now")),
            (_, _, 0) => Some(format!("{changed} of its posters have changed and {absent} are missing")),
            _ => Some(format!(
                "{changed} of its posters have changed, {absent} are missing, and {readable} can be read now"
            )),
        }
    }
}

/// The posters of a cache that a new one takes over for other runs: those that are as they were, or
/// may be.
///
/// # Errors
/// [`Error::Io`] if this process is out of file handles or memory.
pub(super) fn kept(posters: &PosterFolder, cache: &Cache) -> Result<Vec<Wanted>> {
    let one = |buffer: &mut Vec<u8>, entry: &Entry| {
        if Look::at(&posters.file(entry.id)).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        Ok(match state(posters, entry.id, Some(entry), buffer)? {
            State::Holds(look) => Some(Wanted { id: entry.id, look, holds: true }),
            State::Readable(look) => Some(Wanted { id: entry.id, look, holds: false }),
            State::Absent(_) | State::Changed(_) => None,
        })
    };
    let kept: Vec<Option<Wanted>> = cache.entries().par_iter().map_init(Vec::new, one).collect::<Result<_>>()?;
    Ok(kept.into_iter().flatten().collect())
}

/// A poster compared with its entry in a cache.
enum State {
    /// There is no entry.
    Absent(Look),
    /// The entry holds.
    Holds(Look),
    /// The poster is another now.
    Changed(Look),
    /// The system did not let it be read then, and does now.
    Readable(Look),
}

/// Compares a poster with its entry. What cannot be looked at now, for whatever reason, is taken to
/// be as it was: the system's refusal is no change.
fn state(posters: &PosterFolder, id: u64, entry: Option<&Entry>, buffer: &mut Vec<u8>) -> Result<State> {
    let path = posters.file(id);
    let mut content = || poster::content(&path, buffer).map_err(Error::io(&path, "read the poster"));
    let look = match Look::at(&path) {
        Err(error) if is_shortage(&error) => return Err(Error::io(&path, "read the poster")(error)),
        look => look.ok(),
    };
    let Some(entry) = entry else { return Ok(State::Absent(look.unwrap_or_default())) };
    if entry.verdict == Verdict::Unread {
        return Ok(match content()? {
            None => State::Holds(entry.look),
            Some(_) => State::Readable(look.unwrap_or_default()),
        });
    }
    let Some(look) = look else { return Ok(State::Holds(entry.look)) };
    let (was, is) = (entry.look.stamp, look.stamp);
    if (was.bytes, was.modified) != (is.bytes, is.modified) {
        return Ok(State::Changed(look));
    }
    if was == is && !entry.look.racy {
        return Ok(State::Holds(look));
    }
    Ok(match content()? {
        None => State::Holds(entry.look),
        Some(content) if content == entry.content => State::Holds(look),
        Some(_) => State::Changed(look),
    })
}
