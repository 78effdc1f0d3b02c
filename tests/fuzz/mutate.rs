//! What becomes of whole files in transit and in hostile hands.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bytes that formats give a meaning, and those that bounds are tried with.
const TELLING: [u8; 20] = *b"\x00\xff\x01\x7f\x80\xd8\xd9\xda\xc2\xc0\xdd\xc4,\"\n;-9{[";
/// Most inputs are short; what is longer than this grows no further.
const LONGEST: usize = 1 << 16;

/// An endless series of changed inputs.
pub struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    random: ChaCha8Rng,
}

impl<'a> Mutator<'a> {
    pub fn new(seeds: &'a [Vec<u8>], seed: u64) -> Self {
        Self { seeds, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// One of the seeds with one to eight changes.
    pub fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.any_seed().clone();
        for _ in 0..self.random.random_range(1..9) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn any_seed(&mut self) -> &'a Vec<u8> {
        &self.seeds[self.random.random_range(0..self.seeds.len())]
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let random = &mut self.random;
        if bytes.is_empty() {
            bytes.push(random.random());
        }
        // Headers are where most of the meaning is.
        let near = if random.random_range(0..3) > 0 { bytes.len().min(700) } else { bytes.len() };
        let at = random.random_range(0..near);
        let end = |len: usize, random: &mut ChaCha8Rng, most: usize| (at + random.random_range(1..most)).min(len);
        match random.random_range(0..9) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes[at] = TELLING[random.random_range(0..TELLING.len())],
            3 => drop(bytes.drain(at..end(bytes.len(), random, 20))),
            4 if bytes.len() < LONGEST => {
                let more: Vec<u8> = (0..random.random_range(1..20)).map(|_| random.random()).collect();
                drop(bytes.splice(at..at, more));
            }
            5 if bytes.len() < LONGEST => {
                let again = bytes[at..end(bytes.len(), random, 100)].to_vec();
                drop(bytes.splice(at..at, again));
            }
            6 => bytes.truncate(at),
            7 if bytes.len() < LONGEST => {
                let other = self.any_seed();
                if !other.is_empty() {
                    let from = self.random.random_range(0..other.len());
                    let to = (from + self.random.random_range(1..300)).min(other.len());
                    drop(bytes.splice(at..at, other[from..to].iter().copied()));
                }
            }
            // A number of two to eight bytes, at a bound.
            _ => {
                let to = end(bytes.len(), random, 9);
                let value = [0, 1, u64::MAX, u64::MAX >> 1, 1 << 32, 1 << 63][random.random_range(0..6)];
                bytes[at..to].copy_from_slice(&value.to_le_bytes()[..to - at]);
            }
        }
    }
}
