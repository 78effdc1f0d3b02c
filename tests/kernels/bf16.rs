//! bf16: rounding and the dot product of pairs, to the bit.

use super::*;
use onesheet_kernels::precision::{Precision, Rates};
use onesheet_kernels::reference::bf16 as reference;
use onesheet_kernels::simd::{Kernel, MAX_LANES, Simd, from_bf16, pair, to_bf16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TINY: f32 = f32::MIN_POSITIVE;

/// What rounding has to decide, by sign and exponent and by what is cut off: everything that a bf16
/// can be, and what lies around its ties.
fn all_that_rounds() -> Vec<f32> {
    let upper = 0..=u32::from(u16::MAX);
    let cut_off = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
    upper.flat_map(|upper| cut_off.map(|lower| f32::from_bits(upper << 16 | lower))).collect()
}

/// `to_bf16` in two ways: of neighbours, and of pairs (`x[i]`, `x[len - 1 - i]`).
struct Round<'a> {
    x: &'a [f32],
}

impl Kernel for Round<'_> {
    type Output = (Vec<u16>, Vec<u32>);
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let reversed: Vec<f32> = self.x.iter().rev().copied().collect();
        let (mut neighbours, mut pairs) = (vec![0u16; self.x.len()], vec![0u32; self.x.len()]);
        for at in (0..self.x.len()).step_by(S::LANES) {
            let [even, odd] = [s.load(&self.x[at..]), s.load(&reversed[at..])];
            let (neighbours, pairs) = (&mut neighbours[at..][..S::LANES], &mut pairs[at..][..S::LANES]);
            // SAFETY: the slices hold LANES values.
            unsafe {
                s.store_bf16_ptr(neighbours.as_mut_ptr(), even);
                s.store_pairs_ptr(pairs.as_mut_ptr(), s.pairs(even, odd));
            }
        }
        (neighbours, pairs)
    }
}

/// `y = dot_pairs(a, b, acc)`. Where it does not say that it is of bf16, no instruction of the
/// processor's computes it.
struct Dot<'a, const SAYS_SO: bool> {
    a: &'a [u32],
    b: &'a [u32],
    acc: &'a [f32],
}

impl<const SAYS_SO: bool> Kernel for Dot<'_, SAYS_SO> {
    type Output = Vec<f32>;
    const PRECISION: Precision = if SAYS_SO { Precision::Bf16 } else { Precision::F32 };

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut y = poisoned(self.acc.len());
        for at in (0..y.len()).step_by(S::LANES) {
            let (a, b) = (&self.a[at..][..S::LANES], &self.b[at..][..S::LANES]);
            // SAFETY: the slices hold LANES pairs.
            let (a, b) = unsafe { (s.load_pairs_ptr(a.as_ptr()), s.load_pairs_ptr(b.as_ptr())) };
            s.store(&mut y[at..], s.dot_pairs(a, b, s.load(&self.acc[at..])));
        }
        y
    }
}

/// The same numbers, and NaN where there is one: which NaN, nobody promises.
#[track_caller]
fn assert_same(actual: &[f32], expected: &[f32], of: impl Fn(usize) -> String) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(a.to_bits() == e.to_bits() || a.is_nan() && e.is_nan(), "{a:e} instead of {e:e}: {}", of(i));
    }
}

fn say_what_is_skipped() {
    if !Isa::available().iter().any(|isa| isa.has_bf16()) {
        eprintln!("skipped: this machine has no instructions for bf16; plain arithmetic is compared with itself");
    }
}

#[test]
fn special_values_round_as_they_must() {
    let largest = from_bf16(0x7f7f);
    let cases = [
        (0.0, 0x0000),
        (-0.0, 0x8000),
        (1.0, 0x3f80),
        // Ties go to the even neighbour, and what is a little off a tie to the nearer one.
        (1.0 + 1.0 / 256.0, 0x3f80),
        (1.0 + 3.0 / 256.0, 0x3f82),
        (1.0 + 1.0 / 256.0 + f32::EPSILON, 0x3f81),
        (1.0 + 3.0 / 256.0 - f32::EPSILON, 0x3f81),
        (2.0 - f32::EPSILON, 0x4000),
        (largest, 0x7f7f),
        (f32::MAX, 0x7f80),
        (f32::INFINITY, 0x7f80),
        (f32::NEG_INFINITY, 0xff80),
        (TINY, 0x0080),
        (-TINY, 0x8080),
        // Subnormal numbers are 0, the largest too, whose nearest would be normal.
        (f32::from_bits(1), 0x0000),
        (-f32::from_bits(0x007f_ffff), 0x8000),
        // A NaN stays one, whose bits lie in the lower half too.
        (f32::from_bits(0x7f80_0001), 0x7fc0),
        (f32::from_bits(0xffa0_0000), 0xffe0),
    ];
    for (x, rounded) in cases {
        assert_eq!(to_bf16(x), rounded, "{x:e}: {:#06x} instead of {rounded:#06x}", to_bf16(x));
    }
}

#[test]
fn every_bf16_and_its_neighbourhood_rounds_by_the_reference() {
    for x in all_that_rounds() {
        let (actual, expected) = (from_bf16(to_bf16(x)), reference::round(f64::from(x)));
        assert!(
            f64::from(actual).to_bits() == expected.to_bits() || actual.is_nan() && x.is_nan(),
            "{x:e}: {actual:e}"
        );
    }
}

#[test]
fn vectors_round_as_numbers_do() {
    say_what_is_skipped();
    let x = all_that_rounds();
    let rounded: Vec<u16> = x.iter().copied().map(to_bf16).collect();
    let paired: Vec<u32> = rounded.iter().zip(rounded.iter().rev()).map(|(&even, &odd)| pair(even, odd)).collect();
    for_each_isa(|isa| {
        let (neighbours, pairs) = isa.run(Round { x: &x });
        assert!(neighbours == rounded);
        assert!(pairs == paired);
    });
}

/// Sums whose bits tell the order of the two products, where each is rounded, and what is tiny.
#[test]
fn the_odd_product_comes_first_and_what_is_subnormal_is_nothing() {
    let (e75, e76) = (2f32.powi(-75), 2f32.powi(-76));
    // ([a0, a1], [b0, b1], acc, the sum)
    let cases = [
        ([1.0, 2.0], [3.0, 4.0], 0.5, 11.5),
        // The odd product cancels before the even one would be lost beside it, and not the other way.
        ([1.0, 1.0], [2f32.powi(-30), -1.0], 1.0, 2f32.powi(-30)),
        ([1.0, 1.0], [-1.0, 2f32.powi(-30)], 1.0, 0.0),
        // A product of two bf16 is never rounded, nor infinite on its own.
        ([0.0, 2f32.powi(127)], [0.0, 2.0], -f32::MAX, 2f32.powi(104)),
        ([2f32.powi(127), 0.0], [2.0, 0.0], -f32::MAX, 2f32.powi(104)),
        // Half a unit goes to the even neighbour, after either product.
        ([0.0, 1.0], [0.0, 2f32.powi(-24)], 1.0, 1.0),
        ([2f32.powi(-24), 2f32.powi(-24)], [1.0, 1.0], 1.0, 1.0),
        ([0.0, 1.5], [0.0, 2f32.powi(-24)], 1.0, 1.0 + f32::EPSILON),
        // Subnormal summands count as 0, and so do subnormal sums.
        ([0.0, 0.0], [0.0, 0.0], f32::from_bits(0x007f_ffff), 0.0),
        ([0.0, 0.0], [0.0, 0.0], TINY, TINY),
        ([-0.0, 2.0], [0.0, -TINY], TINY + TINY / 2.0, -0.0),
        ([0.0, 2.0], [0.0, TINY], -TINY, TINY),
        // Tiny is what would be so if exponents had no lower bound: the smallest normal number is
        // reached by 1 - 2^-25 of it, not by 1 - 2^-24, where f32 would be even.
        ([0.0, e75], [0.0, -e75], TINY, 0.0),
        ([e75, 0.0], [-e75, 0.0], TINY, 0.0),
        ([0.0, e76], [0.0, -e75], TINY, TINY),
        ([0.0, 1.5 * e76], [0.0, -e75], TINY, 0.0),
        // Zeros have the signs that sums have.
        ([0.0, 0.0], [-0.0, -0.0], -0.0, -0.0),
        ([0.0, 0.0], [0.0, -0.0], -0.0, 0.0),
        ([0.0, f32::INFINITY], [0.0, 1.0], 0.0, f32::INFINITY),
        ([0.0, f32::INFINITY], [0.0, 0.0], 0.0, f32::NAN),
        ([f32::INFINITY, 1.0], [1.0, f32::NEG_INFINITY], 0.0, f32::NAN),
        ([f32::NAN, 0.0], [0.0, 0.0], 0.0, f32::NAN),
    ];
    say_what_is_skipped();
    for_each_isa(|isa| {
        for (a, b, acc, expected) in cases {
            let [pa, pb] = [a, b].map(|x: [f32; 2]| vec![pair(to_bf16(x[0]), to_bf16(x[1])); MAX_LANES]);
            let [acc, expected] = [acc, expected].map(|x: f32| vec![x; MAX_LANES]);
            let shown = |_| format!("{a:?} . {b:?} + {:e}", acc[0]);
            assert_same(&isa.run(Dot::<true> { a: &pa, b: &pb, acc: &acc }), &expected, shown);
            assert_same(&isa.run(Dot::<false> { a: &pa, b: &pb, acc: &acc }), &expected, shown);
        }
    });
}

/// Operands of all bits, and such as cancel, overflow or become subnormal.
#[test]
fn all_instruction_sets_give_the_same_bits() {
    say_what_is_skipped();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    // The exponents of the operands and of the summand: their lowest, and how many.
    for [of_operands, of_summand] in
        [[(0, 256), (0, 256)], [(124, 6), (124, 6)], [(60, 12), (0, 30)], [(186, 8), (240, 15)]]
    {
        let mut with_exponent = |(low, count): (u32, u32)| {
            let (bits, exponent) = (random.next_u32(), low + random.next_u32() % count);
            bits & 0x807f_ffff | exponent << 23
        };
        const COUNT: usize = 1 << 16;
        let mut pairs = || -> Vec<u32> {
            let mut half = || (with_exponent(of_operands) >> 16) as u16;
            (0..COUNT).map(|_| pair(half(), half())).collect()
        };
        let (a, b) = (pairs(), pairs());
        let acc: Vec<f32> = (0..COUNT).map(|_| f32::from_bits(with_exponent(of_summand))).collect();
        let expected = Isa::available().pop().expect("the portable one").run(Dot::<true> { a: &a, b: &b, acc: &acc });
        for_each_isa(|isa| {
            let shown = |i: usize| format!("{:#010x} . {:#010x} + {:e}", a[i], b[i], acc[i]);
            assert_same(&isa.run(Dot::<true> { a: &a, b: &b, acc: &acc }), &expected, shown);
            assert_same(&isa.run(Dot::<false> { a: &a, b: &b, acc: &acc }), &expected, shown);
        });
    }
}

/// A sum over `depth` pairs in each lane: `a` the same in all, as in a register tile.
struct Sums<'a> {
    a: &'a [u32],
    /// `[depth][16]`.
    b: &'a [u32],
}

impl Kernel for Sums<'_> {
    type Output = Vec<f32>;
    const PRECISION: Precision = Precision::Bf16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        assert_eq!(self.b.len(), self.a.len() * MAX_LANES);
        let mut y = poisoned(MAX_LANES);
        for first in (0..MAX_LANES).step_by(S::LANES) {
            let mut sum = s.zero();
            for (&a, b) in self.a.iter().zip(self.b.chunks_exact(MAX_LANES)) {
                // SAFETY: LANES divides 16, so the chunk holds LANES pairs from here on.
                let b = unsafe { s.load_pairs_ptr(b[first..].as_ptr()) };
                sum = s.dot_pairs(s.splat_pair(a), b, sum);
            }
            s.store(&mut y[first..], sum);
        }
        y
    }
}

#[test]
fn sums_agree_with_the_reference() {
    const DEPTH: usize = 64;
    let mut data = Data::new(7);
    let (a, b) = (data.vec(2 * DEPTH), data.vec(2 * DEPTH * MAX_LANES));
    let pairs_of = |x: &[f32]| -> Vec<u32> {
        x.as_chunks().0.iter().map(|&[even, odd]| pair(to_bf16(even), to_bf16(odd))).collect()
    };
    let at = |x: &[f32], i: usize| [f64::from(x[2 * i]), f64::from(x[2 * i + 1])];
    let expected: Vec<f64> = (0..MAX_LANES)
        .map(|lane| (0..DEPTH).fold(0.0, |acc, i| reference::dot(at(&a, i), at(&b, i * MAX_LANES + lane), acc)))
        .collect();
    for_each_isa(|isa| {
        let actual = isa.run(Sums { a: &pairs_of(&a), b: &pairs_of(&b) });
        assert_close(&actual, &expected, 1e-6);
    });
}

#[test]
fn what_a_machine_is_worth_is_measured_in_positive_numbers() {
    for_each_isa(|isa| {
        let rates = Rates::measure(isa);
        assert!(rates.f32.is_finite() && rates.f32 > 0.0 && rates.bf16.is_finite() && rates.bf16 > 0.0, "{rates:?}");
        assert_eq!(rates.gain(), rates.bf16 / rates.f32);
        // Lane by lane, and in plain arithmetic, bf16 is far from worth its while.
        assert!(isa.has_bf16() || rates.gain() < 0.5, "{rates:?}");
    });
    assert!(!Isa::available().pop().expect("the portable one").has_bf16());
}
