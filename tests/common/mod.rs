//! What tests of all kinds share: random numbers, comparisons, and all instruction sets in turn.

// Each test binary has a copy of its own, and uses a part of it.
#![allow(dead_code)]

pub mod golden;

use onesheet_kernels::matrix::Unit;
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
use proptest::prelude::ProptestConfig;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random numbers of one test case: proptest picks the seed, so that a failure shrinks to small
/// sizes quickly.
pub struct Data(ChaCha8Rng);

impl Data {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// `len` values between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.0.random_range(low..high)).collect()
    }

    /// `len` values between -1 and 1.
    pub fn vec(&mut self, len: usize) -> Vec<f32> {
        self.between(-1.0, 1.0, len)
    }

    /// The numbers from 0 to 1 in `len` equal steps, shuffled: no two nearer than a step.
    pub fn distinct(&mut self, len: usize) -> Vec<f32> {
        let mut values: Vec<f32> = (0..len).map(|i| i as f32 / len as f32).collect();
        values.shuffle(&mut self.0);
        values
    }

    /// `n` rows of `classes` zeros with a one in each.
    pub fn one_hot(&mut self, n: usize, classes: usize) -> Vec<f32> {
        let mut labels = vec![0.0; n * classes];
        for row in labels.chunks_exact_mut(classes) {
            row[self.0.random_range(0..classes)] = 1.0;
        }
        labels
    }

    /// `n` rows of `classes` shares of 1: those of [`one_hot`](Self::one_hot), or, where `soft`,
    /// mixtures.
    pub fn distributions(&mut self, n: usize, classes: usize, soft: bool) -> Vec<f32> {
        if !soft {
            return self.one_hot(n, classes);
        }
        let mut labels = self.between(0.0, 1.0, n * classes);
        for row in labels.chunks_exact_mut(classes) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|share| *share /= sum);
        }
        labels
    }

    /// `len` whole numbers from `0..bound`, as f32: many of them equal.
    pub fn whole(&mut self, bound: u32, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.0.random_range(0..bound) as f32).collect()
    }
}

/// `n` cases of a property, where PROPTEST_CASES says nothing; else as many more or fewer as it says
/// for properties that name no number: 32 is an eighth.
pub fn cases(n: u32) -> ProptestConfig {
    ProptestConfig::with_cases((n * ProptestConfig::default().cases / 256).max(1))
}

/// Shapes that take seconds each: all of them or, where PROPTEST_CASES asks for fewer cases than usual, as
/// on emulated processors, the first.
pub fn slow<T, const N: usize>(shapes: [T; N]) -> impl Iterator<Item = T> {
    shapes.into_iter().take(if ProptestConfig::default().cases < 256 { 1 } else { N })
}

/// An output to be overwritten: a kernel that leaves a value, or reads one, is found out.
pub fn poisoned(len: usize) -> Vec<f32> {
    vec![f32::NAN; len]
}

/// The same values in f64, for the reference.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Runs `test` on every instruction set that the machine has; a failure's backtrace is preceded by
/// the name.
pub fn for_each_isa(mut test: impl FnMut(Isa)) {
    for isa in Isa::available() {
        let name = NameOnPanic(isa);
        test(isa);
        drop(name);
    }
}

/// The instruction sets that multiply and add in one rounding, whose results have the same bits, and no
/// matrix unit, which sums bf16 in an order of its own.
pub fn fused() -> Vec<Isa> {
    // The portable one has 8 registers.
    Isa::available().into_iter().filter(|isa| isa.registers() >= 16 && !isa.has_matrix_unit()).collect()
}

struct NameOnPanic(Isa);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("on {}", self.0.name());
        }
    }
}

/// Every value within `tolerance` times the scale of `expected`: its largest magnitude, or 1 if
/// that is smaller.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_close_f64(&wide(actual), expected, tolerance);
}

/// [`assert_close`] for f64 on both sides.
#[track_caller]
pub fn assert_close_f64(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "lengths differ");
    let scale = expected.iter().fold(1.0, |scale: f64, v| scale.max(v.abs()));
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        // Written so that NaN fails.
        let close = (a - e).abs() <= tolerance * scale;
        assert!(close, "at {i} of {}: {a} instead of {e} (scale {scale})", actual.len());
    }
}

/// The same bits, so that NaN equals itself and 0 differs from -0.
#[track_caller]
pub fn assert_same_bits(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "lengths differ");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(a.to_bits() == b.to_bits(), "at {i}: {a} and {b} differ");
    }
}

/// Runs `work` in a rayon pool of `threads` threads.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start").install(work)
}

/// The result of `work`, which must have the same bits on 1, 2 and 3 threads.
#[track_caller]
pub fn on_1_2_3_threads(work: impl Fn() -> Vec<Vec<f32>> + Sync) -> Vec<Vec<f32>> {
    let one = with_threads(1, &work);
    for threads in [2, 3] {
        let more = with_threads(threads, &work);
        assert_eq!(one.len(), more.len());
        for (one, more) in one.iter().zip(&more) {
            assert_same_bits(one, more);
        }
    }
    one
}

/// Instruction sets in bf16 with a matrix unit, the machine's own where it has one, or with plain
/// arithmetic in its place.
pub fn with_matrix_units() -> Vec<Isa> {
    let units = Isa::available().into_iter().map(|isa| match isa.has_matrix_unit() {
        true => isa,
        false => isa.with_matrix_unit(Unit::Plain),
    });
    units.map(|isa| isa.with_precision(Precision::Bf16)).collect()
}

pub fn say_which_units_are_compared() {
    if Unit::detect().is_none() {
        eprintln!("skipped: this machine has no matrix unit; plain arithmetic is compared with itself");
    }
}
