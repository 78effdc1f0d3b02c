//! Posters that show the same picture although their files differ: another edition's, or one that
//! was compressed anew. Their films are kept on one side of the split, since a model that met one
//! of them in training would recognise the other in the test.
//!
//! Posters whose hashes differ in at most [`Twins::WITHIN`] of 512 bits are twins, and so are the
//! twins of twins. The bound lies between what compressing and scaling change and what different
//! posters have in common. Of 1,412 real posters, compressed anew at quality 30 or scaled to three
//! fifths, none differs in more than 38 bits. Among 26 million pairs of real posters two differ in 15
//! and 30, both of them twins to the eye, and the next, which show the same frame around different
//! pictures, in 91.
//!
//! # How they are found
//! Not by comparing all pairs, of which 500,000 posters have 125 billion. 504 bits are divided into
//! 42 bands of 12. Where at most 41 bits differ, at least one band is untouched: every pair of
//! twins has the same 12 bits in some band, and only posters that share a band are compared. This
//! finds exactly what comparing all pairs would. Neighbouring bits, which are often equal, are
//! spread over the bands; of real posters, 1.5 % of all pairs meet in a band. Among 508,000
//! hashes, those of real posters shifted in all directions, the search takes 12 s on one core.
//!
//! Posters without contours are near to each other although they show nothing in common: they are
//! not compared with each other, since they would become one group with all that it draws in. Of real
//! posters these are 1 %. Posters of one and the same hash are compared with others once, and a poster
//! with none of those that are in its group already, so that a crowd of twins is gone through once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::data::dhash::DHash;
use crate::data::split::{Fold, Sides, Split};

/// One more than the bits in which twins may differ: see the head of this file.
const BANDS: usize = Twins::WITHIN as usize + 1;
/// The bits of a band.
const BAND_BITS: usize = DHash::BITS / BANDS;

/// Groups of films whose posters show the same picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    groups: Vec<Vec<u64>>,
}

impl Twins {
    /// The most bits in which the hashes of two posters may differ that show the same picture.
    pub const WITHIN: u32 = 41;

    /// The twins among films, given the hashes of their posters, on rayon's current pool. The order
    /// of the films does not matter.
    pub fn among(hashes: impl IntoIterator<Item = (u64, DHash)>) -> Self {
        let mut films: Vec<(DHash, u64)> = hashes
            .into_iter()
            .filter(|(_, hash)| hash.is_telling_but_for(Self::WITHIN))
            .map(|(id, hash)| (hash, id))
            .collect();
        films.sort_unstable();
        let same: Vec<&[(DHash, u64)]> = films.chunk_by(|a, b| a.0 == b.0).collect();
        let hashes: Vec<DHash> = same.iter().map(|films| films[0].0).collect();
        let forest = Mutex::new(Forest::new(hashes.len()));
        // The bands come in any order, and make the same groups.
        (0..BANDS).into_par_iter().for_each(|band| {
            let found = close(&hashes, band);
            let mut forest = forest.lock().expect("nobody panics with it");
            found.into_iter().for_each(|(a, b)| forest.join(a, b));
        });
        let mut forest = forest.into_inner().expect("nobody panics with it");
        let mut groups = BTreeMap::<usize, (bool, Vec<u64>)>::new();
        for (at, films) in same.into_iter().enumerate() {
            let (has_telling, group) = groups.entry(forest.root(at)).or_default();
            *has_telling |= hashes[at].is_telling();
            group.extend(films.iter().map(|&(_, id)| id));
        }
        let groups = groups.into_values().filter(|(has_telling, group)| *has_telling && group.len() > 1);
        let mut groups: Vec<Vec<u64>> = groups.map(|(_, group)| group).collect();
        groups.iter_mut().for_each(|group| group.sort_unstable());
        groups.sort_unstable();
        Self { groups }
    }

    /// The groups of at least two films, each sorted by id; sorted by their first films.
    pub fn groups(&self) -> &[Vec<u64>] {
        &self.groups
    }

    /// The films that are on another side of the split than their id alone says, each with that
    /// side: the one of the smallest id of its group.
    pub fn moved(&self) -> BTreeMap<u64, Split> {
        let moved =
            |(id, side): (u64, Option<Split>)| side.filter(|&side| side != Split::of(id)).map(|side| (id, side));
        self.sides(None).into_iter().filter_map(moved).collect()
    }

    /// The side of every film that has a twin: the one of the smallest id of its group. With a fold,
    /// those of a group are in it, and so kept for the end, as the smallest id is; those of a test film
    /// have no side.
    pub fn sides(&self, fold: Option<Fold>) -> Sides {
        let of = |group: &Vec<u64>| {
            let side = match (Split::of(group[0]), fold) {
                (Split::Test, Some(_)) => None,
                (_, Some(fold)) if fold.has(group[0]) => Some(Split::Test),
                (side, _) => Some(side),
            };
            group.clone().into_iter().map(move |id| (id, side))
        };
        self.groups.iter().flat_map(of).collect()
    }
}

/// Pairs of hashes that agree in a band and are those of twins, as indexes: as many as it takes to
/// connect all of these, at most one fewer than there are hashes.
fn close(hashes: &[DHash], band: usize) -> Vec<(usize, usize)> {
    let key = |hash: &DHash| (0..BAND_BITS).fold(0, |key, bit| key << 1 | u32::from(hash.bit(bit * BANDS + band)));
    let mut keyed: Vec<(u32, usize)> = hashes.iter().map(key).zip(0..).collect();
    keyed.sort_unstable();
    let (mut found, mut reached, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for bucket in keyed.chunk_by(|a, b| a.0 == b.0) {
        // Side by side in memory: a bucket may have thousands.
        left.extend(bucket.iter().map(|&(_, at)| (hashes[at], at)));
        while let Some((hash, at)) = reached.pop().or_else(|| left.pop()) {
            left.retain(|&(other, other_at)| {
                let is_twin = hash.is_within(&other, Twins::WITHIN) && (hash.is_telling() || other.is_telling());
                if is_twin {
                    found.push((at, other_at));
                    reached.push((other, other_at));
                }
                !is_twin
            });
        }
    }
    found
}

/// Which of some things belong together (union-find): each refers to another of its group, up to
/// the group's root.
struct Forest(Vec<usize>);

impl Forest {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            // Halves the way for the next time.
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// Makes one group of two.
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
