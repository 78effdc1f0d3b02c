use super::*;
use onesheet_kernels::image::{space_to_depth, u8_to_f32};
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(24))]

    #[test]
    fn a_square_of_pixels_becomes_one_row_by_row(
        (n, h, w, c, block) in (0..4usize, 1..9usize, 1..9usize, 1..5usize, 1..5usize),
    ) {
        let image = [h * block, w * block, c];
        // Places, which are exact as f32.
        let x: Vec<f32> = (0..n * h * w * c * block * block).map(|i| i as f32).collect();
        let outputs = on_1_2_3_threads(|| {
            let mut y = poisoned(x.len());
            space_to_depth(image, block, &x, &mut y, |x| x);
            vec![y]
        });
        let mut expected = Vec::new();
        for (item, row, column) in (0..n * h * w).map(|i| (i / w / h, i / w % h, i % w)) {
            for (dy, dx, channel) in (0..block * block * c).map(|i| (i / c / block, i / c % block, i % c)) {
                let (row, column) = (row * block + dy, column * block + dx);
                expected.push((((item * h * block + row) * w * block + column) * c + channel) as f32);
            }
        }
        assert_same_bits(&outputs[0], &expected);
        let bytes = |of: &[f32]| of.iter().map(|&i| i as u32 as u8).collect::<Vec<_>>();
        let mut y = vec![0; x.len()];
        space_to_depth(image, block, &x, &mut y, |i| i as u32 as u8);
        prop_assert_eq!(y, bytes(&expected));
    }

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
