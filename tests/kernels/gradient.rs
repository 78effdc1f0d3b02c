use super::*;
use onesheet_kernels::gradient::{scale, sum_of_squares};
use onesheet_kernels::reference::gradient as reference;
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(24))]

    #[test]
    fn follows_the_reference(
        len in prop_oneof![0..70usize, 8_100..8_300usize, 20_000..60_000usize],
        factor in -2.0..2.0f32,
        seed: u64,
    ) {
        let g = Data::new(seed).vec(len);
        let squares = reference::sum_of_squares(&wide(&g));
        let scaled: Vec<f32> = g.iter().map(|g| g * factor).collect();
        let mut bits = Vec::new();
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let mut out = g.clone();
                scale(isa, factor, &mut out);
                let sum = sum_of_squares(isa, &g);
                // Both halves of an f64, so that no bit of it goes unseen.
                bits_of(sum).into_iter().chain([out]).collect()
            });
            let sum = sum_of_squares(isa, &g);
            assert!((sum - squares).abs() <= 1e-12 * squares, "{sum} instead of {squares}");
            assert_same_bits(outputs.last().unwrap(), &scaled);
            bits.push(sum.to_bits());
        });
        assert!(bits.iter().all(|&of_isa| of_isa == bits[0]), "the same on every instruction set: {bits:?}");
    }
}

/// An f64 as two f32 with its bits.
fn bits_of(value: f64) -> [Vec<f32>; 1] {
    let bits = value.to_bits();
    [vec![f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)]]
}

#[test]
fn large_gradients_have_a_norm_and_nan_is_not_hidden() {
    for_each_isa(|isa| {
        let squares = sum_of_squares(isa, &[f32::MAX; 40]);
        assert!((squares / (40.0 * f64::from(f32::MAX).powi(2)) - 1.0).abs() < 1e-12, "{squares}");
        let mut g = vec![0.0; 9_000];
        g[8_999] = f32::NAN;
        assert!(sum_of_squares(isa, &g).is_nan());
    });
}
