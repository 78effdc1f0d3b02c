//! The processes among which a training, and other long work, is shared out.
//!
//! A rank is one of them, numbered from 0, as in MPI. All ranks do the same, each on its share, and meet
//! where something is summed or gathered: every rank has to call the same of these methods in the same
//! order. What comes of them is the same on each, to the bit, and the same whenever it is done again by as
//! many ranks. A process that is alone is a rank, too, for which each of them does nothing.

#[cfg(feature = "mpi")]
pub mod mpi;

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// How many processes a launcher of MPI says that it has started with this one, where one has.
pub fn launched() -> Option<usize> {
    const COUNTS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];
    COUNTS.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}

/// The processes that work together, seen from one of them.
///
/// A method does not return where another rank has gone: the whole job ends then, as it does in MPI.
pub trait Ranks: Send + Sync {
    /// How many there are; at least 1.
    fn count(&self) -> usize;

    /// Which of them this one is, from 0.
    fn rank(&self) -> usize;

    /// What messages call a rank.
    fn name(&self, rank: usize) -> String {
        format!("rank {rank}")
    }

    /// How many of them are on the host of this one.
    fn on_this_host(&self) -> usize {
        1
    }

    /// Replaces each value by its sum over all ranks, added in their order.
    ///
    /// # Panics
    /// If the ranks do not have equally many values.
    fn sum(&self, values: &mut [f64]);

    /// Begins to sum values as [`sum`](Self::sum) does, while this rank goes on. Several may be under way;
    /// all ranks begin them in the same order.
    fn begin_sum(&self, values: Vec<f32>) -> Summing;

    /// The bytes of each rank, in the order of the ranks.
    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;
}

/// A sum that is under way.
#[derive(Debug)]
pub enum Summing {
    /// It is done.
    Done(Vec<f32>),
    /// Another thread will give it.
    UnderWay(Receiver<Vec<f32>>),
}

impl Summing {
    /// Waits for the sums.
    ///
    /// # Panics
    /// If the thread that makes them has panicked.
    pub fn wait(self) -> Vec<f32> {
        match self {
            Self::Done(values) => values,
            Self::UnderWay(values) => values.recv().expect("the thread that sums gives what it was given"),
        }
    }
}

/// A process that works alone: each sum is what it was, and nothing is copied or waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn count(&self) -> usize {
        1
    }

    fn rank(&self) -> usize {
        0
    }

    fn sum(&self, _values: &mut [f64]) {}

    fn begin_sum(&self, values: Vec<f32>) -> Summing {
        Summing::Done(values)
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![bytes.to_vec()]
    }
}

/// The place of a rank among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of them it is, from 0.
    pub rank: usize,
    /// How many there are.
    pub count: usize,
}

impl Place {
    /// The place of a process that works alone.
    pub const ALONE: Self = Self { rank: 0, count: 1 };

    /// This rank's share of `len` items that all ranks share out: whole, in order, and as equal as can be.
    pub fn share(self, len: usize) -> Range<usize> {
        let at = |rank: usize| (rank as u128 * len as u128 / self.count as u128) as usize;
        at(self.rank)..at(self.rank + 1)
    }

    /// This rank's share of a batch: of one with fewer items than there are ranks, all of it. Such a
    /// batch is computed by each of them, and means over it are what they were.
    pub fn share_of_batch(self, len: usize) -> Range<usize> {
        if self.times(len) > 1 { 0..len } else { self.share(len) }
    }

    /// How often each item of a batch is computed.
    pub fn times(self, len: usize) -> usize {
        if len < self.count { self.count } else { 1 }
    }
}

/// A handle on the ranks, which is passed to all that is shared out among them.
#[derive(Clone)]
pub struct Team(Arc<dyn Ranks>);

impl Default for Team {
    /// A process that works alone.
    fn default() -> Self {
        Self::new(Alone)
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.count())
    }
}

impl std::ops::Deref for Team {
    type Target = dyn Ranks;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Team {
    /// The team of these ranks.
    pub fn new(ranks: impl Ranks + 'static) -> Self {
        Self(Arc::new(ranks))
    }

    /// Whether this process works alone.
    pub fn is_alone(&self) -> bool {
        self.count() == 1
    }

    /// Whether this is rank 0, which prints and writes for all.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// The place of this rank among all.
    pub fn place(&self) -> Place {
        Place { rank: self.rank(), count: self.count() }
    }

    /// Returns when all ranks have come so far.
    pub fn meet(&self) {
        if !self.is_alone() {
            self.gather(&[]);
        }
    }

    /// Whether any rank says yes.
    pub fn any(&self, own: bool) -> bool {
        if self.is_alone() {
            return own;
        }
        let mut sum = [f64::from(u8::from(own))];
        self.sum(&mut sum);
        sum[0] > 0.0
    }

    /// What rank 0 has: the others' own is not looked at.
    pub fn of_first(&self, own: Vec<u8>) -> Vec<u8> {
        if self.is_alone() {
            return own;
        }
        self.gather(if self.is_first() { &own } else { &[] }).swap_remove(0)
    }

    /// The value of each rank, in their order.
    ///
    /// # Panics
    /// If the value is none that JSON can hold.
    pub fn gather_values<T: Serialize + DeserializeOwned>(&self, own: &T) -> Vec<T> {
        self.gather(&sent(own)).iter().map(|bytes| received(bytes)).collect()
    }

    /// The value that rank 0 has: the others' own is not looked at.
    ///
    /// # Panics
    /// If the value is none that JSON can hold.
    pub fn value_of_first<T: Serialize + DeserializeOwned>(&self, own: T) -> T {
        if self.is_alone() { own } else { received(&self.of_first(sent(&own))) }
    }
}

fn sent(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}

fn received<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).expect("all ranks are the same program")
}
