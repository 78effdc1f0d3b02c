//! The precision of products, and what either is worth on this machine.

use crate::matrix::{DEPTH, Product, SIDE, Sizes, Step, Unit};
use crate::simd::{Isa, Kernel, MAX_LANES, Simd, pair, to_bf16};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// In what precision products are computed. Sums are f32 either way, and so is all that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
pub enum Precision {
    /// Of f32.
    #[default]
    F32,
    /// Of operands rounded to bf16: see [`Simd::dot_pairs`].
    Bf16,
}

impl Precision {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// The name: `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How fast one thread multiplies and adds on registers alone, in floating-point operations per
/// second (a multiply-add is two).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// By [`Simd::mul_add`].
    pub f32: f64,
    /// In [blocks](crate::matrix), where there is a matrix unit, else by [`Simd::dot_pairs`].
    pub bf16: f64,
}

impl Rates {
    /// Measures both in turn, in some milliseconds.
    pub fn measure(isa: Isa) -> Self {
        const ROUNDS: usize = 8;
        let mut best = Self { f32: 0.0, bf16: 0.0 };
        // What disturbs a burst makes it slower, never faster.
        for _ in 0..ROUNDS {
            best.f32 = best.f32.max(burst(|rounds, values| isa.run(MultiplyAdds { rounds, values })));
            best.bf16 = best.bf16.max(match isa.has_matrix_unit() {
                true => burst(|rounds, values| multiply_blocks(isa.matrix_unit(), rounds, values)),
                false => burst(|rounds, values| isa.run(DotPairs { rounds, values })),
            });
        }
        best
    }

    /// How many times faster bf16 is.
    pub fn gain(&self) -> f64 {
        self.bf16 / self.f32
    }
}

/// The rate of one burst of work, which is given a number of rounds and unknown values, and returns
/// its operations.
fn burst(work: impl Fn(usize, &[f32; VALUES]) -> usize) -> f64 {
    const BURST: Duration = Duration::from_micros(200);
    let values = std::array::from_fn(|i| 0.25 + i as f32 / 128.0);
    let (begin, mut operations) = (Instant::now(), 0);
    loop {
        operations += work(64, black_box(&values));
        let time = begin.elapsed();
        if time >= BURST {
            return operations as f64 / time.as_secs_f64();
        }
    }
}

/// Two operands and the starting values of the chains.
const VALUES: usize = 2 + 24;

/// The number of sums that wait for nothing but themselves: enough to keep the units busy, and so few
/// that all stay in registers beside the two operands.
const fn chains(registers: usize) -> usize {
    match registers {
        32.. => 24,
        16.. => 12,
        _ => 6,
    }
}

/// `sum = sum * factor + summand` over and over: a product of the two constants alone could be moved
/// out of the loop where a multiply-add is two instructions.
struct MultiplyAdds<'a> {
    rounds: usize,
    values: &'a [f32; VALUES],
}

impl Kernel for MultiplyAdds<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let [factor, summand] = [s.splat(self.values[0]), s.splat(self.values[1])];
        each_chain(
            s,
            self.rounds,
            self.values,
            #[inline(always)]
            |sum| s.mul_add(sum, factor, summand),
        ) * 2
    }
}

/// `sum += a * b` of pairs over and over.
struct DotPairs<'a> {
    rounds: usize,
    values: &'a [f32; VALUES],
}

impl Kernel for DotPairs<'_> {
    type Output = usize;
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let [a, b] = [s.splat(self.values[0]), s.splat(self.values[1])];
        let [a, b] = [s.pairs(a, b), s.pairs(b, a)];
        each_chain(
            s,
            self.rounds,
            self.values,
            #[inline(always)]
            |sum| s.dot_pairs(a, b, sum),
        ) * 4
    }
}

/// Products of blocks, as they come from the L1 cache: of registers alone there are none.
fn multiply_blocks(unit: Unit, rounds: usize, values: &[f32; VALUES]) -> usize {
    const STEPS: usize = 8;
    let value = to_bf16(values[0]);
    let (a, b) = ([value; 2 * SIDE * DEPTH], [pair(value, value); SIDE * DEPTH]);
    let mut c = [0.0; 4 * SIDE * SIDE];
    let mut multiplier = unit.with_sizes(Sizes { rows: SIDE, depth: DEPTH });
    for _ in 0..rounds {
        multiplier.multiply(Product {
            a: &a,
            a_at: [0, SIDE * DEPTH],
            a_row: DEPTH,
            b: &b,
            b_at: [0, SIDE],
            b_row: 2 * SIDE,
            steps: &[Step { a: 0, b: 0 }; STEPS],
            c: &mut c,
            c_at: [0, 2 * SIDE * SIDE],
            c_row: 2 * SIDE,
            accumulate: false,
        });
    }
    black_box(c);
    rounds * STEPS * 4 * SIDE * SIDE * DEPTH * 2
}

/// Calls `step` on each of the chains, round by round, and returns the number of lanes that it saw.
#[inline(always)]
fn each_chain<S: Simd>(s: S, rounds: usize, values: &[f32; VALUES], step: impl Fn(S::F32) -> S::F32) -> usize {
    let mut sums: [S::F32; VALUES - 2] = std::array::from_fn(|i| s.splat(values[2 + i]));
    let sums = &mut sums[..chains(S::REGISTERS)];
    for _ in 0..rounds {
        for sum in &mut *sums {
            *sum = step(*sum);
        }
    }
    let mut lanes = [0.0; MAX_LANES];
    s.store(&mut lanes, sums.iter().fold(s.zero(), |total, &sum| s.add(total, sum)));
    black_box(lanes);
    rounds * sums.len() * S::LANES
}
