//! What becomes of whole files in transit and in hostile hands.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// Bytes that formats give a meaning, and those that bounds are tried with.
const TELLING: [u8; 20] = *b"\x00\xff\x01\x7f\x80\xd8\xd9\xda\xc2\xc0\xdd\xc4,\"\n;-9{[";
/// What takes the place of a value in JSON, TOML or CSV: what is read, and then is beyond what anybody means.
const VALUES: [&str; 26] = [
    "0",
    "1",
    "-1",
    "-0.0",
    "0.5",
    "1e30",
    "-1e30",
    "1e308",
    "1e-320",
    "1e999",
    "inf",
    "-inf",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "",
    "\"\"",
    "\"x\"",
    "255",
    "65536",
    "16777217",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
];
/// What values stand between.
const BOUNDS: &[u8] = b",:;=[]{}\n\r";

/// Most inputs are short; what is longer than this grows no further.
const LONGEST: usize = 1 << 16;

/// The bytes of a safetensors file that hold the length of its header.
const HEADER_LEN: usize = 8;

/// The part of an input that is text: the header of a safetensors file, or else all of it.
fn text_of(bytes: &[u8]) -> Option<Range<usize>> {
    if let Some((len, rest)) = bytes.split_first_chunk::<HEADER_LEN>()
        && let Ok(len @ 1..) = usize::try_from(u64::from_le_bytes(*len))
        && rest.get(..len).is_some_and(|header| header[0] == b'{')
    {
        return Some(HEADER_LEN..HEADER_LEN + len);
    }
    str::from_utf8(bytes).is_ok().then_some(0..bytes.len())
}

/// An endless series of changed inputs.
pub struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    random: ChaCha8Rng,
}

impl<'a> Mutator<'a> {
    pub fn new(seeds: &'a [Vec<u8>], seed: u64) -> Self {
        Self { seeds, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// One of the seeds: where it has text, as often as not with one to three other values, else with one
    /// to eight changes of any bytes.
    pub fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.any_seed().clone();
        if text_of(&bytes).is_some() && self.random.random() {
            for _ in 0..self.random.random_range(1..4) {
                self.change_value(&mut bytes);
            }
            return bytes;
        }
        for _ in 0..self.random.random_range(1..9) {
            self.change(&mut bytes);
        }
        bytes
    }

    /// Changes a value or a whole list in a file that stays well formed.
    fn change_value(&mut self, bytes: &mut Vec<u8>) {
        let text = text_of(bytes).filter(|text| !text.is_empty() && bytes.len() < LONGEST);
        let Some(text) = text else { return };
        let random = &mut self.random;
        let at = random.random_range(text.clone());
        let is_list = random.random_range(0..4) == 0;
        let [before, after]: [&[u8]; 2] = if is_list { [b"[", b"]"] } else { [BOUNDS; 2] };
        let from = (text.start..at).rev().find(|&at| before.contains(&bytes[at])).map_or(text.start, |at| at + 1);
        let to = (at..text.end).find(|&at| after.contains(&bytes[at])).unwrap_or(text.end).max(from);
        let instead = match random.random_range(0..4) {
            0 => [&bytes[from..to], b",", &bytes[from..to]].concat(),
            1 if is_list => Vec::new(),
            _ => VALUES.choose(random).expect("there are some").as_bytes().to_vec(),
        };
        if text.start == HEADER_LEN {
            // A safetensors file says how long its header is.
            let len = (text.len() - (to - from) + instead.len()) as u64;
            bytes[..HEADER_LEN].copy_from_slice(&len.to_le_bytes());
        }
        bytes.splice(from..to, instead);
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
