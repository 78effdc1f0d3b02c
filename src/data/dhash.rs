//! A perceptual hash of an image: two that show the same picture have nearly the same hash, however
//! they were compressed or scaled.
//!
//! It is a difference hash (dHash) of 512 bits. The image is reduced to 16 by 16 cells, and each
//! cell is compared with the one to its right and the one below it; the last of a row or column
//! with the first. The arithmetic is that of integers: the same pixels give the same hash on every
//! machine.

use crate::data::decode::ImageSpec;
use serde::{Deserialize, Serialize};

/// The number of cells in a row, and in a column.
const CELLS: usize = 16;
/// By how much the next cell must be brighter for its bit to be set, in 1/256 levels: 2 levels.
/// Without such a margin, noise would decide about the bits of areas of one colour.
const MARGIN: u32 = 2 * 256;
/// What red, green and blue count for brightness, in 256ths.
const LUMA: [u32; 3] = [77, 150, 29];
/// The fewest bits of a hash that says enough to be compared. A picture without contours, such as a
/// dark one with a line of text, has fewer, and is near to others that it has nothing to do with.
const FEWEST: u32 = 128;

/// A perceptual hash of 512 bits.
///
/// Caches hold it: another definition needs another version of their layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DHash(pub [u64; 8]);

impl DHash {
    /// The number of bits.
    pub const BITS: usize = 2 * CELLS * CELLS;
    /// The number of bytes.
    pub const BYTES: usize = Self::BITS / 8;

    /// The hash of an image.
    ///
    /// # Shapes
    /// `rgb`: `[spec.height, spec.width, 3]` u8, RGB.
    /// # Panics
    /// If the length of `rgb` is not that of its shape, or a side is zero.
    pub fn of(rgb: &[u8], spec: ImageSpec) -> Self {
        assert!(spec.bytes() > 0, "an image without pixels");
        assert_eq!(rgb.len(), spec.bytes(), "rgb is not [spec.height, spec.width, 3]");
        let means = cells(rgb, spec);
        let mut hash = Self::default();
        for y in 0..CELLS {
            for x in 0..CELLS {
                let brighter = |of: u32| of > means[y][x] + MARGIN;
                hash.set(y * CELLS + x, brighter(means[y][(x + 1) % CELLS]));
                hash.set((CELLS + y) * CELLS + x, brighter(means[(y + 1) % CELLS][x]));
            }
        }
        hash
    }

    fn set(&mut self, bit: usize, is_set: bool) {
        self.0[bit / 64] |= u64::from(is_set) << (bit % 64);
    }

    /// Whether a bit is set; they are numbered from 0.
    pub(super) fn bit(&self, bit: usize) -> bool {
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// Whether the picture has contours enough to be told from others by its hash.
    pub fn is_telling(&self) -> bool {
        self.is_telling_but_for(0)
    }

    /// Whether it would have, were so many more bits set.
    pub(super) fn is_telling_but_for(&self, bits: u32) -> bool {
        self.0.iter().map(|word| word.count_ones()).sum::<u32>() + bits >= FEWEST
    }

    /// Whether at most `most` bits of the two differ.
    pub fn is_within(&self, other: &Self, most: u32) -> bool {
        let mut distance = 0;
        // Hashes of different pictures are told apart by their first words.
        self.0.iter().zip(other.0).all(|(a, b)| {
            distance += (a ^ b).count_ones();
            distance <= most
        })
    }

    /// The hash as bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0).for_each(|(to, word)| *to = word.to_le_bytes());
        bytes
    }

    /// The hash whose bytes these are.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut words = [0; 8];
        words.iter_mut().zip(bytes.as_chunks::<8>().0).for_each(|(word, from)| *word = u64::from_le_bytes(*from));
        Self(words)
    }
}

/// The mean brightness of each cell, in 1/256 levels. A side of fewer than 16 pixels has some of
/// them in several cells.
fn cells(rgb: &[u8], spec: ImageSpec) -> [[u32; CELLS]; CELLS] {
    let range = |cell: usize, side: usize| {
        let start = cell * side / CELLS;
        start..((cell + 1) * side / CELLS).max(start + 1)
    };
    let rows: Vec<&[[u8; 3]]> = rgb.as_chunks::<3>().0.chunks_exact(spec.width).collect();
    std::array::from_fn(|y| {
        let rows = &rows[range(y, spec.height)];
        std::array::from_fn(|x| {
            let columns = range(x, spec.width);
            let sum: u64 = rows.iter().map(|row| brightness(&row[columns.clone()])).sum();
            // At most 255 * 256.
            (sum / (rows.len() * columns.len()) as u64) as u32
        })
    })
}

/// The brightness of pixels, all together, in 1/256 levels.
fn brightness(pixels: &[[u8; 3]]) -> u64 {
    let luma = |pixel: &[u8; 3]| u64::from((0..3).map(|c| LUMA[c] * u32::from(pixel[c])).sum::<u32>());
    pixels.iter().map(luma).sum()
}
