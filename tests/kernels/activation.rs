use super::*;
use onesheet_kernels::activation::{relu, relu_backward, sigmoid_backward};
use onesheet_kernels::reference::activation as reference;
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(24))]

    #[test]
    fn follows_the_reference(len in prop_oneof![0..70usize, 20_000..30_000usize], seed: u64) {
        let mut data = Data::new(seed);
        // Whole numbers from -2 to 2: zeros are among them.
        let x: Vec<f32> = data.whole(5, len).iter().map(|x| x - 2.0).collect();
        let dy = data.vec(len);
        let y = reference::relu(&wide(&x));
        let dx = reference::relu_backward(&y, &wide(&dy));
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let (mut y, mut dx) = (x.clone(), dy.clone());
                relu(isa, &mut y);
                relu_backward(isa, &y, &mut dx);
                vec![y, dx]
            });
            assert_close(&outputs[0], &y, 0.0);
            assert_close(&outputs[1], &dx, 0.0);
        });
    }

    #[test]
    fn the_gradient_of_the_sigmoid_follows_the_reference(
        len in prop_oneof![0..70usize, 20_000..30_000usize],
        seed: u64,
    ) {
        let mut data = Data::new(seed);
        let (y, dy) = (data.between(0.0, 1.0, len), data.vec(len));
        let expected = reference::sigmoid_backward(&wide(&y), &wide(&dy));
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let mut dx = poisoned(len);
                sigmoid_backward(isa, &y, &dy, &mut dx);
                vec![dx]
            });
            assert_close(&outputs[0], &expected, 1e-6);
        });
    }
}

#[test]
fn nan_is_not_hidden() {
    for_each_isa(|isa| {
        let mut y = vec![f32::NAN; 37];
        relu(isa, &mut y);
        assert!(y.iter().all(|y| y.is_nan()));
    });
}
