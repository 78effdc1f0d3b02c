//! What the peers share: the options, the clock and the line that `tools/compare` reads.

use std::time::Instant;

/// Side of the square input image.
pub const SIDE: usize = 256;
/// Channels of the input image.
pub const CHANNELS: usize = 3;
/// Filters of the three convolutions.
pub const FILTERS: [usize; 3] = [16, 32, 64];
/// Units of the hidden dense layer.
pub const HIDDEN: usize = 64;
/// Genres to tell apart.
pub const CLASSES: usize = 19;
/// What is added to the variance in batch norm.
pub const BN_EPSILON: f64 = 1e-3;
/// The new batch's share in batch norm's moving statistics: what Keras calls momentum 0.99.
pub const BN_SHARE: f64 = 0.01;
/// Adam's learning rate.
pub const LEARNING_RATE: f64 = 1e-3;
/// Adam's epsilon.
pub const ADAM_EPSILON: f64 = 1e-7;

/// Side of the image after the three blocks: a valid 3x3 convolution takes 2 pixels, the pool
/// halves.
pub const fn pooled_side() -> usize {
    let (mut side, mut block) = (SIDE, 0);
    while block < FILTERS.len() {
        side = (side - 2) / 2;
        block += 1;
    }
    side
}

/// A framework with the model and one batch in it.
pub trait Peer {
    /// One training step: u8 images to floats, forward, loss, backward, Adam.
    fn train(&mut self);
    /// The genres' probabilities of the batch.
    fn predict(&mut self);
}

/// What the command line says.
pub struct Options {
    /// Images in a batch.
    pub batch: usize,
    /// Timed steps.
    pub steps: usize,
}

impl Options {
    /// Reads `--batch B --steps N`; ends the process with a message on anything else.
    pub fn from_args() -> Self {
        let mut options = Options { batch: 32, steps: 3 };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().and_then(|v| v.parse().ok()).filter(|&v| v > 0);
            match (name.as_str(), value) {
                ("--batch", Some(value)) => options.batch = value,
                ("--steps", Some(value)) => options.steps = value,
                _ => {
                    eprintln!("usage: [--batch 32] [--steps 3]; the threads: RAYON_NUM_THREADS");
                    std::process::exit(2);
                }
            }
        }
        options
    }
}

/// Measures the peer and prints the line of the contract that `tools/compare --help` describes.
pub fn report(options: &Options, version: &str, peer: &mut impl Peer) {
    let train = images_per_second(options, || peer.train());
    let predict = images_per_second(options, || peer.predict());
    let peak = peak_rss_mb();
    println!(
        "{{\"train_images_per_second\": {train:.3}, \"predict_images_per_second\": {predict:.3}, \
         \"peak_rss_mb\": {peak:.1}, \"version\": \"{version}\"}}"
    );
}

/// The median over the timed steps, after one step that does not count.
fn images_per_second(options: &Options, mut step: impl FnMut()) -> f64 {
    step();
    let mut rates: Vec<f64> = (0..options.steps)
        .map(|_| {
            let start = Instant::now();
            step();
            options.batch as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0
}

/// The most memory that the process has held, in MiB.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|kib| kib.trim().trim_end_matches("kB").trim().parse().ok()).map_or(f64::NAN, |kib: f64| kib / 1024.0)
}

/// Bytes that look random, the same in every run (xorshift).
pub fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 56) as u8
        })
        .collect()
}
