use super::*;
use onesheet_kernels::max_pool2d::{MaxPool2dShape, MaxPool2dSizes, backward, forward};
use onesheet_kernels::reference::max_pool2d as reference;
use proptest::prelude::*;

fn check(shape: &MaxPool2dShape, x: &[f32], dy: &[f32]) {
    let (y, winners) = reference::forward(shape, &wide(x));
    let dx = reference::backward(shape, &winners, &wide(dy));
    for_each_isa(|isa| {
        let outputs = on_1_2_3_threads(|| {
            let (mut y, mut dx) = (poisoned(shape.y_len()), poisoned(shape.x_len()));
            let mut argmax = vec![0xff; shape.y_len()];
            forward(isa, shape, x, &mut y, &mut argmax);
            assert_eq!(argmax, winners);
            backward(isa, shape, &argmax, dy, &mut dx);
            vec![y, dx]
        });
        assert_close(&outputs[0], &y, 0.0);
        assert_close(&outputs[1], &dx, 0.0);
    });
}

proptest! {
    #![proptest_config(crate::common::cases(48))]

    #[test]
    fn follows_the_reference(
        (n, h, w, c, size) in (1..4usize, 1..12usize, 1..12usize, 1..40usize, 1..5usize),
        ties: bool,
        seed: u64,
    ) {
        let shape = MaxPool2dShape::new(MaxPool2dSizes { n, h: h.max(size), w: w.max(size), c, size });
        let mut data = Data::new(seed);
        let x = if ties { data.whole(3, shape.x_len()) } else { data.vec(shape.x_len()) };
        let dy = data.vec(shape.y_len());
        check(&shape, &x, &dy);
    }
}

/// Position 255 still fits in a byte.
#[test]
fn the_largest_window() {
    let shape = MaxPool2dShape::new(MaxPool2dSizes { n: 2, h: 17, w: 33, c: 17, size: 16 });
    let mut x = vec![0.0; shape.x_len()];
    x[(15 * 33 + 15) * 17 + 3] = 1.0;
    check(&shape, &x, &Data::new(0).vec(shape.y_len()));
}

#[test]
#[should_panic(expected = "the window is larger than the image")]
fn a_window_larger_than_the_image_is_refused() {
    let shape = MaxPool2dShape::new(MaxPool2dSizes { n: 1, h: 1, w: 4, c: 1, size: 2 });
    forward(Isa::available()[0], &shape, &[0.0; 4], &mut [], &mut []);
}
