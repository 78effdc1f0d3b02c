use super::*;
use onesheet_kernels::global_average_pool2d::{GlobalAveragePool2dShape, GlobalAveragePool2dSizes, backward, forward};
use onesheet_kernels::reference::global_average_pool2d as reference;
use proptest::prelude::*;

proptest! {
    #![proptest_config(crate::common::cases(48))]

    #[test]
    fn follows_the_reference(n in 1..5usize, pixels in 1..70usize, c in 1..70usize, seed: u64) {
        let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n, pixels, c });
        let mut data = Data::new(seed);
        let (x, dy) = (data.vec(n * pixels * c), data.vec(n * c));
        let (y, dx) = (reference::forward(&shape, &wide(&x)), reference::backward(&shape, &wide(&dy)));
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let mut outputs = vec![poisoned(n * c), poisoned(x.len())];
                let [y, dx] = &mut outputs[..] else { unreachable!() };
                forward(isa, &shape, &x, y);
                backward(isa, &shape, &dy, dx);
                outputs
            });
            assert_close(&outputs[0], &y, 1e-6);
            assert_close(&outputs[1], &dx, 1e-6);
        });
    }
}

#[test]
#[should_panic(expected = "x of")]
fn another_length_is_refused() {
    let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n: 1, pixels: 4, c: 2 });
    forward(Isa::available()[0], &shape, &[0.0; 7], &mut [0.0; 2]);
}
