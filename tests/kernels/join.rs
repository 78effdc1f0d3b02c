use super::*;
use onesheet_kernels::global_average_pool2d::{GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::join::{accumulate, add, scale_channels, scale_channels_backward};
use onesheet_kernels::reference::join as reference;
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(48))]

    #[test]
    fn sums_follow_the_reference(len in prop_oneof![0..70usize, 20_000..30_000usize], seed: u64) {
        let mut data = Data::new(seed);
        let (x, earlier) = (data.vec(len), data.vec(len));
        let expected = reference::add(&wide(&x), &wide(&earlier));
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let (mut y, mut dx) = (poisoned(len), x.clone());
                add(isa, &x, &earlier, &mut y);
                accumulate(isa, &earlier, &mut dx);
                vec![y, dx]
            });
            assert_close(&outputs[0], &expected, 1e-7);
            assert_close(&outputs[1], &expected, 1e-7);
        });
    }

    #[test]
    fn scaled_channels_follow_the_reference(n in 1..5usize, pixels in 1..70usize, c in 1..70usize, seed: u64) {
        let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n, pixels, c });
        let mut data = Data::new(seed);
        let [x, dy] = [0; 2].map(|_| data.vec(shape.x_len()));
        let factors = data.vec(shape.y_len());
        let y = reference::scale_channels(&shape, &wide(&x), &wide(&factors));
        let (dx, dfactors) = reference::scale_channels_backward(&shape, &wide(&x), &wide(&factors), &wide(&dy));
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let (mut y, mut dx, mut dfactors) = (poisoned(x.len()), poisoned(x.len()), poisoned(factors.len()));
                scale_channels(isa, &shape, &x, &factors, &mut y);
                scale_channels_backward(isa, &shape, [&x, &factors, &dy], [&mut dx, &mut dfactors]);
                vec![y, dx, dfactors]
            });
            assert_close(&outputs[0], &y, 1e-7);
            assert_close(&outputs[1], &dx, 1e-7);
            assert_close(&outputs[2], &dfactors, 1e-5);
        });
    }
}
