use super::*;
use onesheet_kernels::image::u8_to_f32;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_byte_is_scaled(len in prop_oneof![0..70usize, 20_000..30_000usize], offset: u8) {
        let x: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(7).wrapping_add(offset)).collect();
        let scale = 1.0 / 255.0;
        let expected: Vec<f32> = x.iter().map(|&x| f32::from(x) * scale).collect();
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let mut y = poisoned(len);
                u8_to_f32(isa, &x, scale, &mut y);
                vec![y]
            });
            assert_same_bits(&outputs[0], &expected);
        });
    }
}
