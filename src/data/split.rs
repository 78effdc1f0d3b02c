//! The split of the films into those that are trained on, those that steer the training, and those
//! that are kept for the end: a function of the film's id.
//!
//! A film is on the same side in every experiment and under every seed, and stays there as the data
//! grows. The one exception are films whose posters show the same picture: they are all on the side
//! of the one with the smallest id (see [`twins`](super::twins)).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The side of the split that a film is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The training films, 80 % of all: the weights are fitted to them.
    Train,
    /// The validation films, 10 % of all: they are watched during training.
    Val,
    /// The test films, 10 % of all: they are looked at once, at the end.
    Test,
}

impl Split {
    /// All three sides, in their usual order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The side that the film `id` is on, if its poster has no twin; it never changes.
    pub fn of(id: u64) -> Self {
        match hash("split", id) % 10 {
            0..8 => Self::Train,
            8 => Self::Val,
            _ => Self::Test,
        }
    }
}

/// Where films belong: on a side of the split, or on none.
pub type Sides = BTreeMap<u64, Option<Split>>;

/// A part of the films: those that are predicted by what was learned from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Which one, counted from 1.
    pub number: usize,
    /// How many there are; each film is in one of them.
    pub of: usize,
}

impl Fold {
    /// Whether the film `id` is in the fold. That follows from the hash that its side follows from,
    /// never changes, and has nothing to do with the side.
    pub fn has(self, id: u64) -> bool {
        (hash("split", id) / 10 % self.of as u64) as usize + 1 == self.number
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "fold {} of {}", self.number, self.of)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|s| s.to_string() == name).ok_or_else(|| format!("`{name}` is no split"))
    }
}

/// The film's place in the order in which films survive a cut or a limit. It does not depend on a
/// seed, so that the films within a smaller limit are among those within a larger one.
pub fn rank(id: u64) -> (u64, u64) {
    // The id itself decides between equal hashes.
    (hash("rank", id), id)
}

/// The first eight bytes, little-endian, of the SHA-256 of `"onesheet/" + purpose + "/" + id` (in
/// decimal).
fn hash(purpose: &str, id: u64) -> u64 {
    let digest = Sha256::digest(format!("onesheet/{purpose}/{id}"));
    u64::from_le_bytes(digest[..8].try_into().expect("a SHA-256 has 32 bytes"))
}
