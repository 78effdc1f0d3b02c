//! Products of blocks: the machine's unit against plain arithmetic, to the bit, and that against f64.

use super::*;
use onesheet_kernels::matrix::{DEPTH, Product, SIDE, Sizes, Step};
use onesheet_kernels::simd::{from_bf16, pair, to_bf16};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Operands of a product of two blocks of rows and two of columns.
struct Case {
    sizes: Sizes,
    a: Vec<u16>,
    a_row: usize,
    b: Vec<u32>,
    b_row: usize,
    c: Vec<f32>,
    c_row: usize,
    steps: Vec<Step>,
}

impl Case {
    /// `values` gives the bits of an operand.
    fn new(sizes: Sizes, steps: usize, gap: usize, seed: u64, mut values: impl FnMut(&mut ChaCha8Rng) -> u16) -> Self {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let Sizes { rows, depth } = sizes;
        let (a_row, b_row, c_row) = (depth + gap, 2 * SIDE + gap, 2 * SIDE + gap);
        let [a_block, b_block] = [rows * a_row, depth / 2 * b_row];
        Self {
            sizes,
            a: (0..(2 * steps + 1) * a_block).map(|_| values(random)).collect(),
            a_row,
            b: (0..steps * b_block).map(|_| pair(values(random), values(random))).collect(),
            b_row,
            c: (0..2 * rows * c_row).map(|_| from_bf16(values(random)) * 1.2345).collect(),
            c_row,
            steps: (0..steps).map(|k| Step { a: k * a_block, b: (steps - 1 - k) * b_block }).collect(),
        }
    }

    /// C afterwards.
    fn multiply<const N: usize>(&self, unit: Unit, accumulate: bool) -> Vec<f32> {
        let Self { sizes, a, a_row, b, b_row, steps, c_row, .. } = self;
        let mut c = self.c.clone();
        unit.with_sizes(*sizes).multiply(Product::<N> {
            a,
            a_at: [0, sizes.rows * a_row * steps.len()],
            a_row: *a_row,
            b,
            b_at: std::array::from_fn(|block| block * SIDE),
            b_row: *b_row,
            steps,
            c: &mut c,
            c_at: [0, sizes.rows * c_row],
            c_row: *c_row,
            accumulate,
        });
        c
    }

    /// The same in f64, and the sum of the terms' magnitudes.
    fn expected<const N: usize>(&self, accumulate: bool) -> Vec<[f64; 2]> {
        let Sizes { rows, depth } = self.sizes;
        let mut c: Vec<[f64; 2]> = self.c.iter().map(|&c| [f64::from(c), f64::from(c).abs()]).collect();
        for (row, column) in (0..2 * rows).flat_map(|row| (0..N * SIDE).map(move |column| (row, column))) {
            let c = &mut c[row * self.c_row + column];
            if !accumulate {
                *c = [0.0; 2];
            }
            for step in &self.steps {
                let block = row / rows * rows * self.a_row * self.steps.len();
                for k in 0..depth {
                    let a = from_bf16(self.a[block + step.a + row % rows * self.a_row + k]);
                    let b = from_bf16((self.b[step.b + k / 2 * self.b_row + column] >> (k % 2 * 16)) as u16);
                    let product = f64::from(a) * f64::from(b);
                    *c = [c[0] + product, c[1] + product.abs()];
                }
            }
        }
        c
    }

    fn check<const N: usize>(&self, accumulate: bool) {
        let plain = self.multiply::<N>(Unit::Plain, accumulate);
        for (&actual, [expected, magnitude]) in plain.iter().zip(self.expected::<N>(accumulate)) {
            assert!((f64::from(actual) - expected).abs() <= 1e-6 * magnitude, "{actual} instead of {expected}");
        }
        self.compare::<N>(accumulate);
    }

    fn compare<const N: usize>(&self, accumulate: bool) {
        let Some(unit) = Unit::detect() else { return };
        let (plain, machine) = (self.multiply::<N>(Unit::Plain, accumulate), self.multiply::<N>(unit, accumulate));
        for (i, (plain, machine)) in plain.iter().zip(&machine).enumerate() {
            let same = plain.to_bits() == machine.to_bits() || plain.is_nan() && machine.is_nan();
            assert!(same, "{machine:e} instead of {plain:e} at {i}, {:?}", self.sizes);
        }
    }
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (1..=SIDE, 1..=DEPTH / 2).prop_map(|(rows, pairs)| Sizes { rows, depth: 2 * pairs })
}

proptest! {
    #[test]
    fn agrees_with_f64(sizes in sizes(), steps in 1..5usize, gap in 0..9usize, accumulate: bool, seed: u64) {
        say_which_units_are_compared();
        let value = |random: &mut ChaCha8Rng| to_bf16(random.random_range(-1.0..1.0));
        let case = Case::new(sizes, steps, gap, seed, value);
        case.check::<1>(accumulate);
        case.check::<2>(accumulate);
    }

    /// Of all bits: operands and sums that are subnormal, infinite or no number.
    #[test]
    fn the_machines_unit_and_plain_arithmetic_agree_to_the_bit(
        sizes in sizes(),
        (low, count) in prop_oneof![Just((0u16, 256u16)), Just((56, 16)), Just((0, 70)), Just((180, 20))],
        accumulate: bool,
        seed: u64,
    ) {
        let value = |random: &mut ChaCha8Rng| {
            let bits = random.next_u32();
            (bits as u16 & 0x807f) | (low + (bits >> 16) as u16 % count) << 7
        };
        Case::new(sizes, 2, 3, seed, value).compare::<2>(accumulate);
    }
}

/// The order of a sum: even and odd products apart, from 0 on, and what there was last.
#[test]
fn even_and_odd_products_are_summed_apart() {
    let sum = |a: [f32; 4], b: [f32; 4], c: f32| {
        let sizes = Sizes { rows: 1, depth: 4 };
        let mut case = Case::new(sizes, 1, 0, 1, |_| 0);
        case.a = a.iter().chain(&a).chain(&a).map(|&a| to_bf16(a)).collect();
        case.b = [b[0..2].to_vec(), b[2..4].to_vec()]
            .iter()
            .flat_map(|b| vec![pair(to_bf16(b[0]), to_bf16(b[1])); 32])
            .collect();
        case.c.fill(c);
        let sums = [Some(Unit::Plain), Unit::detect()].map(|unit| unit.map(|unit| case.multiply::<1>(unit, true)[0]));
        assert!(sums[1].is_none_or(|sum| sum.to_bits() == sums[0].unwrap().to_bits()), "{sums:?}");
        sums[0].unwrap()
    };
    let tiny = 2f32.powi(-30);
    assert_eq!(sum([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], 0.5), 10.5);
    // The even ones cancel before the odd ones come; in the order of the pairs they would not.
    assert_eq!(sum([1.0, 1.0, 1.0, 1.0], [1.0, tiny, -1.0, tiny], 0.0), 2.0 * tiny);
    assert_eq!(sum([1.0, 1.0, 1.0, 1.0], [1.0, -1.0, tiny, 0.0], 0.0), 0.0);
    // What there was comes last, and loses what the sum is not large enough to move.
    assert_eq!(sum([1.0, 0.0, 1.0, 0.0], [tiny, 0.0, tiny, 0.0], 1.0), 1.0);
    // Subnormal numbers are nothing.
    assert_eq!(sum([f32::MIN_POSITIVE / 2.0, 0.0, 0.0, 0.0], [1.0; 4], 0.0), 0.0);
}

/// Two would share the registers that hold their sizes.
#[test]
fn a_thread_has_one_multiplier_at_a_time() {
    let sizes = |rows| Sizes { rows, depth: DEPTH };
    for unit in [Some(Unit::Plain), Unit::detect()].into_iter().flatten() {
        let first = unit.with_sizes(sizes(16));
        assert!(std::panic::catch_unwind(|| drop(unit.with_sizes(sizes(8)))).is_err());
        std::thread::scope(|scope| scope.spawn(|| drop(unit.with_sizes(sizes(8)))).join().unwrap());
        drop(first);
        drop(unit.with_sizes(sizes(8)));
    }
}

#[test]
fn a_block_beyond_its_slice_panics() {
    let sizes = Sizes { rows: SIDE, depth: DEPTH };
    let value = |_: &mut ChaCha8Rng| 0;
    for shorten in [
        (|case: &mut Case| _ = case.a.drain(..case.a.len() / 3 + 1)) as fn(&mut Case),
        |case| _ = case.b.pop(),
        |case| _ = case.c.pop(),
        |case| case.steps[1].a += 1 << 40,
        |case| case.steps[0].b += 1,
        // An end that wraps.
        |case| case.steps[1].a = usize::MAX - 8,
    ] {
        let mut case = Case::new(sizes, 2, 0, 1, value);
        case.multiply::<2>(Unit::Plain, false);
        shorten(&mut case);
        for unit in [Some(Unit::Plain), Unit::detect()].into_iter().flatten() {
            let result = std::panic::catch_unwind(|| case.multiply::<2>(unit, false));
            assert!(result.is_err());
        }
    }
    for sizes in [
        Sizes { rows: 17, depth: 2 },
        Sizes { rows: 0, depth: 2 },
        Sizes { rows: 1, depth: 3 },
        Sizes { rows: 1, depth: 34 },
    ] {
        assert!(std::panic::catch_unwind(|| drop(Unit::Plain.with_sizes(sizes))).is_err(), "{sizes:?}");
    }
}
