use super::*;
use onesheet_kernels::dropout::apply;
use onesheet_kernels::reference::dropout as reference;
use proptest::prelude::*;

/// The mask, read off ones.
fn kept(rate: f32, seed: u64, per_image: usize, len: usize) -> Vec<bool> {
    let mut y = poisoned(len);
    apply(rate, seed, 0, per_image, &vec![1.0; len], &mut y);
    y.iter().map(|y| *y != 0.0).collect()
}

proptest! {
    #![proptest_config(crate::common::cases(32))]

    #[test]
    fn follows_the_reference(n in 1..6usize, per_image in 1..100usize, rate in 0.0..0.99f32, seed: u64) {
        let x = Data::new(seed).between(0.5, 1.0, n * per_image);
        let outputs = on_1_2_3_threads(|| {
            let mut y = poisoned(x.len());
            apply(rate, seed, 0, per_image, &x, &mut y);
            vec![y]
        });
        let expected = reference::apply(f64::from(rate), &kept(rate, seed, per_image, x.len()), &wide(&x));
        assert_close(&outputs[0], &expected, 1e-6);
    }

    /// A part of a batch gets what it gets in the whole.
    #[test]
    fn images_are_counted_from_that_of_the_first(first in 0..5usize, per_image in 1..100usize, seed: u64) {
        let all = kept(0.5, seed, per_image, 6 * per_image);
        let mut y = poisoned((6 - first) * per_image);
        apply(0.5, seed, first, per_image, &vec![1.0; y.len()], &mut y);
        prop_assert!(y.iter().zip(&all[first * per_image..]).all(|(y, kept)| (*y != 0.0) == *kept));
    }

    /// A larger batch does not change what its first images get.
    #[test]
    fn a_mask_depends_on_seed_image_and_position_alone(n in 1..6usize, per_image in 1..100usize, seed: u64) {
        let all = kept(0.5, seed, per_image, 6 * per_image);
        assert_eq!(kept(0.5, seed, per_image, n * per_image), all[..n * per_image]);
    }
}

#[test]
fn masks_of_images_and_seeds_differ_and_drop_at_the_rate() {
    let per_image = 100_000;
    for rate in [0.1, 0.5, 0.9] {
        let masks = kept(rate, 7, per_image, 2 * per_image);
        let (first, second) = masks.split_at(per_image);
        let other_seed = kept(rate, 8, per_image, per_image);
        let p = 1.0 - f64::from(rate);
        // Counts of independent coins lie within 5 standard deviations of their means.
        let assert_share = |count: usize, p: f64| {
            let deviation = (count as f64 - per_image as f64 * p).abs();
            assert!(deviation < 5.0 * (per_image as f64 * p * (1.0 - p)).sqrt(), "{count} at {p}");
        };
        assert_share(first.iter().filter(|kept| **kept).count(), p);
        for other in [second, &other_seed] {
            assert_share(first.iter().zip(other).filter(|(a, b)| **a && **b).count(), p * p);
        }
    }
}

#[test]
fn rate_0_copies() {
    let x = Data::new(0).vec(10);
    let mut y = poisoned(10);
    apply(0.0, 0, 0, 5, &x, &mut y);
    assert_same_bits(&x, &y);
}

#[test]
#[should_panic(expected = "rate 1")]
fn rate_1_is_refused() {
    apply(1.0, 0, 0, 1, &[1.0], &mut [0.0]);
}
