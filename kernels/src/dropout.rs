//! Inverted dropout: the values that are kept are scaled up, so that inference needs no dropout at
//! all.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// `y = x * kept / (1 - rate)`, where `kept` is 0 with probability `rate` and else 1, a pure
/// function of the seed, the image's index in the batch, counted from that of the `first`, and the
/// position in the image: the same call with `dy` for `x` is the backward pass.
///
/// # Shapes
/// `x`: `[n, per_image]`, f32; `y`: as `x`, overwritten
/// # Accuracy
/// One rounding; the same bits for any number of threads and on any machine. The probability is a
/// multiple of 2^-32.
/// # Panics
/// If the rate is not in `0 <= rate < 1`, if the lengths differ, or if they are not a multiple of
/// `per_image`.
/// # Source
/// Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting.
/// Random numbers: ChaCha8, keyed by `seed`, a stream for each image.
pub fn apply(rate: f32, seed: u64, first: usize, per_image: usize, x: &[f32], y: &mut [f32]) {
    assert!((0.0..1.0).contains(&rate), "rate {rate}");
    assert_eq!(x.len(), y.len(), "x and y");
    assert!(per_image > 0 && x.len().is_multiple_of(per_image), "{} values in images of {per_image}", x.len());
    if rate == 0.0 {
        y.copy_from_slice(x);
        return;
    }
    // A word is below this with probability `rate`. The largest f32 below 1 makes it 2^32 - 2^8, so
    // it fits.
    let dropped_below = (f64::from(rate) * 2f64.powi(32)) as u32;
    let scale = 1.0 / (1.0 - rate);
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    // The generator is most of the work and vectorised already: nothing is left for an `Isa` to do.
    x.par_chunks(per_image).zip(y.par_chunks_mut(per_image)).enumerate().for_each(|(image, (x, y))| {
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream((first + image) as u64);
        for (x, y) in x.iter().zip(y) {
            *y = if random.next_u32() < dropped_below { 0.0 } else { x * scale };
        }
    });
}
