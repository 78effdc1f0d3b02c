//! The dense layer against the reference.

use super::*;
use onesheet_kernels::dense::{BackwardW, BackwardX, DenseShape, Forward};
use onesheet_kernels::reference::dense as reference;
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = DenseShape> {
    let inputs = prop_oneof![1..40usize, 500..530usize, Just(1500)];
    let outputs = prop_oneof![1..20usize, Just(32), Just(64), Just(70)];
    (1..40usize, inputs, outputs).prop_map(|(n, inputs, outputs)| DenseShape { n, inputs, outputs })
}

/// y, dx, dw, db.
fn all_of(isa: Isa, shape: &DenseShape, relu: bool, seed: u64) -> Vec<Vec<f32>> {
    let mut data = Data::new(seed);
    let (x, w) = (data.vec(shape.n * shape.inputs), data.vec(shape.inputs * shape.outputs));
    let (bias, dy) = (data.vec(shape.outputs), data.vec(shape.n * shape.outputs));
    let (mut y, mut dx) = (poisoned(dy.len()), poisoned(x.len()));
    let (mut dw, mut db) = (w.clone(), bias.clone());
    let mut partials = poisoned(shape.partials_len());
    Forward { shape, x: &x, w: &w, bias: &bias, relu, y: &mut y, partials: &mut partials }.run(isa);
    BackwardX { shape, dy: &dy, w: &w, dx: &mut dx }.run(isa);
    BackwardW { shape, x: &x, dy: &dy, dw: &mut dw, db: &mut db }.run(isa);
    vec![y, dx, dw, db]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_the_reference(shape in shapes(), relu: bool, seed: u64) {
        let mut data = Data::new(seed);
        let (x, w) = (wide(&data.vec(shape.n * shape.inputs)), wide(&data.vec(shape.inputs * shape.outputs)));
        let (bias, dy) = (wide(&data.vec(shape.outputs)), wide(&data.vec(shape.n * shape.outputs)));
        let mut y = reference::forward(shape.n, &x, &w, &bias);
        if relu {
            y.iter_mut().for_each(|y| *y = y.max(0.0));
        }
        let dx = reference::backward_x(shape.n, &dy, &w);
        let (mut dw, mut db) = reference::backward_w(shape.n, &x, &dy);
        // The gradients start from the weights' own values.
        dw.iter_mut().zip(&w).for_each(|(dw, w)| *dw += w);
        db.iter_mut().zip(&bias).for_each(|(db, bias)| *db += bias);
        for_each_isa(|isa| {
            let actual = all_of(isa, &shape, relu, seed);
            actual.iter().zip([&y, &dx, &dw, &db]).for_each(|(actual, expected)| assert_close(actual, expected, 2e-5));
        });
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let shape = DenseShape { n: 33, inputs: 2000, outputs: 19 };
    for_each_isa(|isa| drop(on_1_2_3_threads(|| all_of(isa, &shape, true, 7))));
}
