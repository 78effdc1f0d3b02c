//! Random streams as pure functions of (seed, purpose, position).
//!
//! Nothing keeps a generator alive from one step to the next: whatever needs random numbers asks
//! for the stream of its own position, so that threads, resumption and the order of work cannot
//! change a number. ChaCha8 is a published algorithm whose stream is the same on every platform and
//! in every version of the crate.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream is for; streams of different purposes are independent. All purposes are listed
/// here, so that no two share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; the position is the index of the layer.
    Init = 1,
    /// Order of the training examples; the position is the epoch.
    Shuffle = 2,
    /// Dropout masks; the position is the number of steps since training started.
    Dropout = 3,
    /// Synthetic posters; the position is the id of the film.
    Demo = 4,
    /// Variations of images; the position is the epoch.
    Augment = 5,
    /// Bootstrap resamples; the position is the number of the resample.
    Bootstrap = 6,
    /// Points of a grid of options; the position is 0.
    Sweep = 7,
}

/// The stream of `purpose` at `position` under `seed`.
pub fn stream(seed: u64, purpose: Purpose, position: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&position.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}
