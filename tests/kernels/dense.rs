//! The dense layer against the reference.

use super::*;
use onesheet_kernels::dense::{BackwardAndStep, BackwardW, BackwardX, DenseShape, DenseSizes, Forward, Workspace};
use onesheet_kernels::optim::{Rule, Sgd, Step};
use onesheet_kernels::reference::dense as reference;
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = DenseShape> {
    let inputs = prop_oneof![1..40usize, 500..530usize, Just(1500)];
    let outputs = prop_oneof![1..20usize, Just(32), Just(64), Just(70)];
    (1..40usize, inputs, outputs).prop_map(|(n, inputs, outputs)| DenseShape::new(DenseSizes { n, inputs, outputs }))
}

/// y, dx, dw, db. The workspace comes from a batch of NaN, so that a value which is read before it
/// is written is found out.
fn all_of(isa: Isa, shape: &DenseShape, relu: bool, seed: u64) -> Vec<Vec<f32>> {
    let mut data = Data::new(seed);
    let (x, w) = (data.vec(shape.n * shape.inputs), data.vec(shape.inputs * shape.outputs));
    let (bias, dy) = (data.vec(shape.outputs), data.vec(shape.n * shape.outputs));
    let mut workspace = Workspace::default();
    let mut run = |x: &[f32], w: &[f32], dy: &[f32]| {
        let (mut y, mut dx) = (poisoned(dy.len()), poisoned(x.len()));
        let (mut dw, mut db) = (w.to_vec(), bias.clone());
        let workspace = &mut workspace;
        Forward { shape, x, w, bias: &bias, relu, y: &mut y, workspace }.run(isa);
        BackwardX { shape, dy, w, dx: &mut dx, workspace }.run(isa);
        BackwardW { shape, x, dy, dw: &mut dw, db: &mut db }.run(isa);
        vec![y, dx, dw, db]
    };
    run(&poisoned(x.len()), &poisoned(w.len()), &poisoned(dy.len()));
    run(&x, &w, &dy)
}

proptest! {
    #![proptest_config(crate::common::cases(48))]

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
    let shape = DenseShape::new(DenseSizes { n: 33, inputs: 2000, outputs: 19 });
    for_each_isa(|isa| drop(on_1_2_3_threads(|| all_of(isa, &shape, true, 7))));
}

/// The one pass gives the bits of the three that it replaces.
#[test]
fn backward_and_step_is_the_two_gradients_and_then_the_step() {
    let adam = Rule::adamw(0.01, 0.1);
    let sgd = Rule::Sgd(Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.1 });
    for (n, inputs, outputs) in [(33, 700, 19), (32, 300, 64), (1, 5, 3)] {
        let shape = &DenseShape::new(DenseSizes { n, inputs, outputs });
        for rule in [adam, sgd] {
            let step = Step { rule, number: 3 };
            for_each_isa(|isa| {
                let mut data = Data::new(5);
                let (x, dy) = (data.vec(n * inputs), data.vec(n * outputs));
                let (w, m, v) =
                    (data.vec(inputs * outputs), data.vec(inputs * outputs), data.between(0.0, 1.0, inputs * outputs));
                let v = if let Rule::Adam(_) = rule { v } else { Vec::new() };
                let in_three = {
                    let (mut w, mut m, mut v) = (w.clone(), m.clone(), v.clone());
                    let (mut dx, mut dw, mut db) = (poisoned(x.len()), vec![0.0; w.len()], vec![0.5; outputs]);
                    BackwardX { shape, dy: &dy, w: &w, dx: &mut dx, workspace: &mut Workspace::default() }.run(isa);
                    BackwardW { shape, x: &x, dy: &dy, dw: &mut dw, db: &mut db }.run(isa);
                    step.run(isa, &dw, [&mut m, &mut v], &mut w);
                    [w, m, v, dx, db]
                };
                let in_one = on_1_2_3_threads(|| {
                    let (mut w, mut m, mut v) = (w.clone(), m.clone(), v.clone());
                    let (mut dx, mut db) = (poisoned(x.len()), vec![0.5; outputs]);
                    let (state, dx_to) = ([&mut *m, &mut *v], Some(&mut *dx));
                    BackwardAndStep {
                        shape,
                        x: &x,
                        dy: &dy,
                        w: &mut w,
                        step,
                        state,
                        dx: dx_to,
                        db: &mut db,
                        workspace: &mut Workspace::default(),
                    }
                    .run(isa);
                    vec![w, m, v, dx, db]
                });
                in_three.iter().zip(&in_one).for_each(|(three, one)| assert_same_bits(three, one));
            });
        }
    }
}
