//! Convolution by every algorithm, against the reference.

use super::*;
use onesheet_kernels::conv2d::{
    Algorithm, BackwardW, BackwardX, Conv2dShape, Conv2dSizes, Forward, Inference, PackedWeights, Padding, Pass,
    Workspace,
};
use onesheet_kernels::reference::conv2d as reference;
use onesheet_kernels::simd::{from_bf16, to_bf16};
use proptest::prelude::*;

/// Shapes around every tile's edges: 1 to 70 pixels wide, channels of no, one and several vectors.
fn shapes() -> impl Strategy<Value = Conv2dShape> {
    let channels = || prop_oneof![1..6usize, Just(8), Just(16), 15..19usize, Just(32), Just(35), Just(64), Just(67)];
    let window = (1..5usize, 1..5usize, 1..4usize, prop::bool::ANY);
    let sizes = (1..4usize, 1..20usize, prop_oneof![1..30usize, 50..70usize]);
    (sizes, channels(), channels(), window).prop_map(|((n, h, w), ic, oc, (kh, kw, stride, same))| {
        let padding = if same { Padding::Same } else { Padding::Valid };
        let (h, w) = if same { (h, w) } else { (h.max(kh), w.max(kw)) };
        Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh, kw, stride, padding })
    })
}

/// All that a convolution computes, each pass by its algorithm: y, dx, dw, db. The workspace comes
/// from a batch of NaN, so that a value which is read before it is written is found out.
fn all_by(isa: Isa, shape: &Conv2dShape, algorithms: [Algorithm; 3], relu: bool, seed: u64) -> Vec<Vec<f32>> {
    let mut data = Data::new(seed);
    let (x, w, bias) = (data.vec(shape.x_len()), data.vec(shape.w_len()), data.vec(shape.oc));
    let dy = data.vec(shape.y_len());
    let (dw, db) = (data.vec(shape.w_len()), data.vec(shape.oc));
    let [forward, backward_x, backward_w] = algorithms;
    let mut workspace = Workspace::default();
    let mut run = |x: &[f32], w: &[f32], dy: &[f32]| {
        let (mut y, mut dx) = (poisoned(shape.y_len()), poisoned(shape.x_len()));
        let (mut dw, mut db) = (dw.clone(), db.clone());
        let workspace = &mut workspace;
        Forward { shape, x, w, bias: &bias, relu, y: &mut y, workspace }.run_with(isa, forward);
        BackwardX { shape, dy, w, dx: &mut dx, workspace }.run_with(isa, backward_x);
        BackwardW { shape, x, dy, dw: &mut dw, db: &mut db, workspace }.run_with(isa, backward_w);
        vec![y, dx, dw, db]
    };
    run(&poisoned(x.len()), &poisoned(w.len()), &poisoned(dy.len()));
    run(&x, &w, &dy)
}

const PASSES: [Pass; 3] = [Pass::Forward, Pass::BackwardX, Pass::BackwardW];

/// The same by the algorithms that are chosen for the shape.
fn all_of(isa: Isa, shape: &Conv2dShape, relu: bool, seed: u64) -> Vec<Vec<f32>> {
    all_by(isa, shape, PASSES.map(|pass| Algorithm::choose(isa, shape, pass)), relu, seed)
}

/// The same from the reference.
fn expected(shape: &Conv2dShape, relu: bool, seed: u64) -> Vec<Vec<f64>> {
    let mut data = Data::new(seed);
    let (x, w, bias) = (data.vec(shape.x_len()), data.vec(shape.w_len()), data.vec(shape.oc));
    let dy = data.vec(shape.y_len());
    let (dw, db) = (data.vec(shape.w_len()), data.vec(shape.oc));
    let mut y = reference::forward(shape, &wide(&x), &wide(&w), &wide(&bias));
    if relu {
        y.iter_mut().for_each(|y| *y = y.max(0.0));
    }
    let dx = reference::backward_x(shape, &wide(&dy), &wide(&w));
    let (mut more_dw, mut more_db) = reference::backward_w(shape, &wide(&x), &wide(&dy));
    more_dw.iter_mut().zip(&dw).for_each(|(more, &dw)| *more += f64::from(dw));
    more_db.iter_mut().zip(&db).for_each(|(more, &db)| *more += f64::from(db));
    vec![y, dx, more_dw, more_db]
}

fn check(shape: &Conv2dShape, relu: bool, seed: u64) {
    let expected = expected(shape, relu, seed);
    for_each_isa(|isa| {
        let available = PASSES.map(|pass| Algorithm::available(isa, shape, pass));
        let most = available.iter().map(Vec::len).max().unwrap_or(0);
        for i in 0..most {
            let algorithms = available.each_ref().map(|available| available[i % available.len()]);
            let actual = all_by(isa, shape, algorithms, relu, seed);
            actual.iter().zip(&expected).for_each(|(actual, expected)| assert_close(actual, expected, 2e-5));
        }
    });
}

proptest! {
    #![proptest_config(crate::common::cases(96))]

    #[test]
    fn agrees_with_the_reference(shape in shapes(), relu: bool, seed: u64) {
        check(&shape, relu, seed);
    }

    /// Of a batch of any size, whatever the weights were packed for.
    #[test]
    fn packed_weights_give_the_same_bits(shape in shapes(), relu: bool, packed_for in 1..4usize, seed: u64) {
        let mut data = Data::new(seed);
        let (x, w, bias) = (data.vec(shape.x_len()), data.vec(shape.w_len()), data.vec(shape.oc));
        for_each_isa(|isa| {
            let (mut y, mut weights) = (poisoned(shape.y_len()), PackedWeights::default());
            Forward { shape: &shape, x: &x, w: &w, bias: &bias, relu, y: &mut y, workspace: &mut Workspace::default() }
                .run(isa);
            let mut infer = |w: &[f32]| {
                let mut y = poisoned(shape.y_len());
                weights.pack(isa, &shape.of_batch(packed_for).unwrap(), w);
                Inference { shape: &shape, x: &x, weights: &weights, bias: &bias, relu, y: &mut y }.run(isa);
                y
            };
            infer(&poisoned(w.len()));
            assert_same_bits(&infer(&w), &y);
        });
    }

    /// Widths and heights around the tiles of minimal filtering, at the border too.
    #[test]
    fn minimal_filtering_agrees_with_the_reference(
        (n, h, w) in prop_oneof![(1..3usize, 3..9usize, 3..40usize), (1..24usize, 3..9usize, 3..9usize)],
        (ic, oc) in (prop_oneof![Just(16), Just(32), Just(48)], prop_oneof![Just(16), Just(32), Just(64), Just(96)]),
        (same, relu, seed) in any::<(bool, bool, u64)>(),
    ) {
        let padding = if same { Padding::Same } else { Padding::Valid };
        check(&Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding }), relu, seed);
    }
}

/// The models' own layers, scaled down in height only: their widths and channels choose the tiles
/// that they run on. The last one is so wide that tiles of several rows share a pass.
#[test]
fn the_models_layers_agree_with_the_reference() {
    for (w, ic, oc) in slow([(256, 3, 16), (127, 16, 32), (62, 32, 64), (16, 128, 256), (13, 128, 96)]) {
        for padding in [Padding::Valid, Padding::Same] {
            check(&Conv2dShape::new(Conv2dSizes { n: 2, h: 9, w, ic, oc, kh: 3, kw: 3, stride: 1, padding }), true, 1);
        }
    }
}

/// A row of 4x4 tiles that are one group: of every size, by as many channels as it is for.
#[test]
fn groups_of_every_number_of_tiles_agree_with_the_reference() {
    for (tiles, oc) in [(1..=6, 64), (8..=12, 32), (16..=16, 16)] {
        for w in tiles.map(|tiles| 4 * tiles) {
            let padding = Padding::Same;
            check(
                &Conv2dShape::new(Conv2dSizes { n: 1, h: 4, w, ic: 16, oc, kh: 3, kw: 3, stride: 1, padding }),
                true,
                1,
            );
        }
    }
}

#[test]
fn the_models_layers_get_the_algorithms_that_the_docs_say() {
    use Algorithm::{Im2col, Taps, View, Winograd4x4};
    let shape = |w, ic, oc, k, stride| {
        let padding = Padding::Valid;
        Conv2dShape::new(Conv2dSizes { n: 2, h: w, w, ic, oc, kh: k, kw: k, stride, padding })
    };
    let cases = [
        (shape(256, 3, 16, 3, 1), [Taps, View, Taps]),
        (shape(127, 16, 32, 3, 1), [Winograd4x4; 3]),
        (shape(62, 32, 64, 3, 1), [Winograd4x4; 3]),
        (shape(128, 3, 32, 3, 1), [Taps, View, Taps]),
        (shape(16, 256, 256, 3, 1), [Winograd4x4; 3]),
        (shape(62, 32, 64, 5, 1), [View, View, View]),
        (shape(62, 32, 64, 3, 2), [Im2col, Im2col, Im2col]),
    ];
    for_each_isa(|isa| {
        for (shape, expected) in cases {
            for (pass, expected) in PASSES.into_iter().zip(expected) {
                // Too few registers for tiles.
                let expected = if isa.registers() < 16 && shape.stride == 1 { View } else { expected };
                let (chosen, available) =
                    (Algorithm::choose(isa, &shape, pass), Algorithm::available(isa, &shape, pass));
                assert_eq!(chosen, expected, "{pass:?} of {shape:?}");
                assert!(available[0] == chosen && available.ends_with(&[Im2col]), "{available:?}");
                assert!(available.iter().all(|algorithm| algorithm.fits(isa, &shape, pass)));
            }
        }
    });
}

/// The tiles of the report's model, as the documentation of the kernels lists them.
#[test]
fn tiles_are_told_as_they_are_dispatched() {
    let shape = |size, ic, oc| {
        Conv2dShape::new(Conv2dSizes {
            n: 1,
            h: size,
            w: size,
            ic,
            oc,
            kh: 3,
            kw: 3,
            stride: 1,
            padding: Padding::Valid,
        })
    };
    let [conv1, conv2, conv3] = [shape(256, 3, 16), shape(127, 16, 32), shape(62, 32, 64)];
    let expected = [
        // On 32 registers of 16 lanes, and on 16 of 8.
        (conv1, Pass::Forward, ["2x8x16", "1x5x16"]),
        (conv1, Pass::BackwardW, ["2x3x3x16", "1x3x3x8"]),
        (conv2, Pass::Forward, ["8x32", "4x16"]),
        (conv2, Pass::BackwardX, ["16x16", "4x16"]),
        (conv2, Pass::BackwardW, ["8x32", "4x16"]),
        (conv3, Pass::Forward, ["6x64", "6x16"]),
        (conv3, Pass::BackwardX, ["8x32", "4x16"]),
        (conv3, Pass::BackwardW, ["8x32", "4x16"]),
    ];
    for_each_isa(|isa| {
        let of_isa = match (isa.registers(), isa.lanes()) {
            (32, 16) => 0,
            (16, 8) => 1,
            _ => return,
        };
        for (shape, pass, tiles) in expected {
            let tile = Algorithm::choose(isa, &shape, pass).tile(isa, &shape, pass);
            assert_eq!(tile, tiles[of_isa], "{pass:?} of {shape:?}");
        }
    });
    let strided = Conv2dShape::new(Conv2dSizes { stride: 2, ..*shape(9, 5, 7) });
    for_each_isa(|isa| {
        for pass in PASSES {
            let of = |algorithm: &Algorithm| algorithm.tile(isa, &strided, pass);
            assert!(Algorithm::available(isa, &strided, pass).iter().map(of).all(|tile| tile.contains('x')));
        }
    });
}

/// Small images share the tiles of a group, channels so many that they share passes, and any number of
/// images is left over.
#[test]
fn an_image_has_the_same_bits_alone_and_among_others() {
    for (n, h, w, ic, oc) in slow([(23, 4, 4, 16, 32), (13, 6, 5, 128, 64), (7, 8, 8, 256, 128), (9, 3, 3, 128, 128)]) {
        let of = |n| {
            let padding = Padding::Same;
            Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding })
        };
        let (all, one) = (of(n), of(1));
        let mut data = Data::new(1);
        let (x, dy) = (data.vec(all.x_len()), data.vec(all.y_len()));
        let (w, bias) = (data.vec(all.w_len()), data.vec(oc));
        for_each_isa(|isa| {
            let run = |shape: &Conv2dShape, x: &[f32], dy: &[f32]| {
                let (mut y, mut dx) = (poisoned(shape.y_len()), poisoned(shape.x_len()));
                let workspace = &mut Workspace::default();
                Forward { shape, x, w: &w, bias: &bias, relu: true, y: &mut y, workspace }.run(isa);
                BackwardX { shape, dy, w: &w, dx: &mut dx, workspace }.run(isa);
                [y, dx]
            };
            let together = run(&all, &x, &dy);
            let alone = x.chunks_exact(one.x_len()).zip(dy.chunks_exact(one.y_len()));
            for (i, alone) in alone.map(|(x, dy)| run(&one, x, dy)).enumerate() {
                for (together, alone) in together.iter().zip(&alone) {
                    assert_same_bits(&together[i * alone.len()..][..alone.len()], alone);
                }
            }
        });
    }
}

#[test]
#[should_panic(expected = "no Forward by view")]
fn an_algorithm_that_does_not_fit_panics() {
    let shape = Conv2dShape::new(Conv2dSizes {
        n: 1,
        h: 5,
        w: 5,
        ic: 1,
        oc: 1,
        kh: 3,
        kw: 3,
        stride: 2,
        padding: Padding::Valid,
    });
    let (x, w, mut y, workspace) = ([0.0; 25], [0.0; 9], [0.0; 4], &mut Workspace::default());
    Forward { shape: &shape, x: &x, w: &w, bias: &[0.0], relu: false, y: &mut y, workspace }
        .run_with(Isa::available()[0], Algorithm::View);
}

#[test]
#[should_panic(expected = "no Forward by winograd4x4")]
fn an_algorithm_that_does_not_fit_panics_before_it_arranges_weights() {
    let padding = Padding::Same;
    let shape = Conv2dShape::new(Conv2dSizes { n: 1, h: 5, w: 5, ic: 16, oc: 16, kh: 1, kw: 1, stride: 1, padding });
    let (x, w, mut y, workspace) = ([0.0; 400], [0.0; 256], [0.0; 400], &mut Workspace::default());
    Forward { shape: &shape, x: &x, w: &w, bias: &[0.0; 16], relu: false, y: &mut y, workspace }
        .run_with(Isa::available()[0], Algorithm::Winograd4x4);
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for n in slow([5, 1, 16]) {
        for stride in [1, 2] {
            let shape = Conv2dShape::new(Conv2dSizes {
                n,
                h: 37,
                w: 41,
                ic: 5,
                oc: 18,
                kh: 3,
                kw: 3,
                stride,
                padding: Padding::Same,
            });
            for_each_isa(|isa| drop(on_1_2_3_threads(|| all_of(isa, &shape, true, 7))));
        }
        let shape = Conv2dShape::new(Conv2dSizes {
            n,
            h: 37,
            w: 41,
            ic: 16,
            oc: 32,
            kh: 3,
            kw: 3,
            stride: 1,
            padding: Padding::Same,
        });
        for_each_isa(|isa| drop(on_1_2_3_threads(|| all_of(isa, &shape, true, 7))));
    }
}

/// All that fuse multiply and add sum in the same order, lane by lane.
#[test]
fn instruction_sets_that_fuse_agree_to_the_bit() {
    for (ic, oc) in [(3, 16), (16, 32), (32, 64), (96, 128)] {
        let shape = Conv2dShape::new(Conv2dSizes {
            n: 2,
            h: 11,
            w: 40,
            ic,
            oc,
            kh: 3,
            kw: 3,
            stride: 1,
            padding: Padding::Valid,
        });
        for pair in fused().windows(2) {
            let [a, b] = [pair[0], pair[1]].map(|isa| all_of(isa, &shape, true, 3));
            a.iter().zip(&b).for_each(|(a, b)| assert_same_bits(a, b));
        }
    }
}

/// The errors that the documentation of minimal filtering gives: root mean squares, as shares of the
/// sum of the terms' magnitudes, of random operands.
#[test]
fn minimal_filtering_is_as_exact_as_the_docs_say() {
    let sizes = Conv2dSizes { n: 1, h: 16, w: 16, ic: 64, oc: 64, kh: 3, kw: 3, stride: 1, padding: Padding::Same };
    let shape = Conv2dShape::new(sizes);
    let mut data = Data::new(2);
    let (x, w, dy) = (data.vec(shape.x_len()), data.vec(shape.w_len()), data.vec(shape.y_len()));
    let magnitudes = |values: &[f32]| values.iter().map(|&value| f64::from(value).abs()).collect::<Vec<_>>();
    let (exact_y, zeros) = (reference::forward(&shape, &wide(&x), &wide(&w), &[0.0; 64]), [0.0; 64]);
    let sum_y = reference::forward(&shape, &magnitudes(&x), &magnitudes(&w), &[0.0; 64]);
    let (exact_dw, _) = reference::backward_w(&shape, &wide(&x), &wide(&dy));
    let (sum_dw, _) = reference::backward_w(&shape, &magnitudes(&x), &magnitudes(&dy));
    let error = |actual: &[f32], exact: &[f64], sum: &[f64]| {
        let squares = actual.iter().zip(exact).zip(sum).map(|((&a, e), sum)| ((f64::from(a) - e) / sum).powi(2));
        (squares.sum::<f64>() / exact.len() as f64).sqrt()
    };
    for_each_isa(|isa| {
        for (algorithm, most) in [(Algorithm::Winograd2x2, 3e-8), (Algorithm::Winograd4x4, 7e-8)] {
            if !algorithm.fits(isa, &shape, Pass::Forward) {
                continue;
            }
            let (mut y, mut dw, mut db) = (vec![0.0; shape.y_len()], vec![0.0; shape.w_len()], vec![0.0; 64]);
            let mut workspace = Workspace::default();
            let forward = Forward {
                shape: &shape,
                x: &x,
                w: &w,
                bias: &zeros,
                relu: false,
                y: &mut y,
                workspace: &mut workspace,
            };
            forward.run_with(isa, algorithm);
            let gradient =
                BackwardW { shape: &shape, x: &x, dy: &dy, dw: &mut dw, db: &mut db, workspace: &mut workspace };
            gradient.run_with(isa, algorithm);
            let errors = [error(&y, &exact_y, &sum_y), error(&dw, &exact_dw, &sum_dw)];
            assert!(errors.iter().all(|error| (1e-9..most).contains(error)), "{errors:?} by {algorithm}");
        }
    });
}

/// Tiles are paired, and summed in chunks: an odd one has none beside it, and many fill several chunks.
#[test]
fn weight_gradients_of_bf16_are_near_for_any_number_of_tiles() {
    for (h, w) in [(9, 10), (5, 6), (70, 74)] {
        let sizes = Conv2dSizes { n: 1, h, w, ic: 16, oc: 32, kh: 3, kw: 3, stride: 1, padding: Padding::Same };
        let shape = Conv2dShape::new(sizes);
        let mut data = Data::new(4);
        let (x, dy) = (data.vec(shape.x_len()), data.vec(shape.y_len()));
        let (expected, _) = reference::backward_w(&shape, &wide(&x), &wide(&dy));
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        for isa in fused().into_iter().map(|isa| isa.with_precision(Precision::Bf16)) {
            for algorithm in [Algorithm::Winograd2x2, Algorithm::Winograd4x4] {
                let (mut dw, mut db, workspace) = (vec![0.0; shape.w_len()], [0.0; 32], &mut Workspace::default());
                BackwardW { shape: &shape, x: &x, dy: &dy, dw: &mut dw, db: &mut db, workspace }
                    .run_with(isa, algorithm);
                let differences = &mut dw.iter().zip(&expected).map(|(&a, e)| f64::from(a) - e);
                let error = norm(differences) / norm(&mut expected.iter().copied());
                assert!((1e-4..2e-2).contains(&error), "{error} by {algorithm} on {}: {shape:?}", isa.name());
            }
        }
    }
}

/// Products of bf16 are as near as 8 bits allow, and the same to the bit with the processor's own
/// instructions as in plain arithmetic.
#[test]
fn bf16_is_near_and_the_same_everywhere() {
    for (n, h, w, ic, oc) in [(1, 9, 13, 16, 32), (3, 6, 7, 32, 16), (2, 12, 21, 64, 128)] {
        let sizes = Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding: Padding::Same };
        let shape = Conv2dShape::new(sizes);
        let expected = expected(&shape, false, 5);
        let all: Vec<_> =
            fused().into_iter().map(|isa| all_of(isa.with_precision(Precision::Bf16), &shape, false, 5)).collect();
        for (which, actual) in all.iter().flat_map(|all| all.iter().enumerate()) {
            let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
            let mut differences = actual.iter().zip(&expected[which]).map(|(&a, &b)| f64::from(a) - b);
            let error = square(&mut differences) / square(&mut expected[which].iter().copied());
            // The bias' gradient is a sum, without products.
            let bounds = if which == 3 { 0.0..1e-6 } else { 1e-4..2e-2 };
            assert!(bounds.contains(&error), "{error} of {which}: {shape:?}");
        }
        for pair in all.windows(2) {
            pair[0].iter().zip(&pair[1]).for_each(|(a, b)| assert_same_bits(a, b));
        }
    }
}

/// Every pass in blocks where there are blocks for it, and else by the product of the view.
fn in_blocks(isa: Isa, shape: &Conv2dShape) -> [Algorithm; 3] {
    PASSES.map(|pass| if Algorithm::Blocks.fits(isa, shape, pass) { Algorithm::Blocks } else { Algorithm::View })
}

proptest! {
    #![proptest_config(crate::common::cases(24))]

    /// With operands that bf16 holds exactly, blocks are as exact as anything, on every instruction
    /// set, and the same to the bit.
    #[test]
    fn blocks_agree_with_the_reference(
        (n, h, w) in (1..3usize, 1..9usize, prop_oneof![1..20usize, 30..40usize]),
        (ic, oc) in (prop_oneof![1..6usize, Just(16), Just(32), Just(48)], prop_oneof![Just(16), Just(32), Just(48), Just(80)]),
        (kh, kw) in prop_oneof![Just((3usize, 3usize)), (1..4usize, 1..5usize)],
        (same, relu, seed) in any::<(bool, bool, u64)>(),
    ) {
        let padding = if same { Padding::Same } else { Padding::Valid };
        let shape = Conv2dShape::new(Conv2dSizes { n, h: h + kh, w: w + kw, ic, oc, kh, kw, stride: 1, padding });
        let exact = |data: &mut Data, len| data.vec(len).iter().map(|&x| from_bf16(to_bf16(x))).collect::<Vec<_>>();
        let data = &mut Data::new(seed);
        let (x, weights, dy) = (exact(data, shape.x_len()), exact(data, shape.w_len()), exact(data, shape.y_len()));
        let bias = data.vec(oc);
        let mut expected_y = reference::forward(&shape, &wide(&x), &wide(&weights), &wide(&bias));
        if relu {
            expected_y.iter_mut().for_each(|y| *y = y.max(0.0));
        }
        let (expected_dw, _) = reference::backward_w(&shape, &wide(&x), &wide(&dy));
        let expected = [expected_y, reference::backward_x(&shape, &wide(&dy), &wide(&weights)), expected_dw];
        let mut first: Option<[Vec<f32>; 3]> = None;
        for isa in with_matrix_units() {
            let [forward, backward_x, backward_w] = in_blocks(isa, &shape);
            let (mut y, mut dx) = (poisoned(shape.y_len()), poisoned(shape.x_len()));
            let (mut dw, mut db) = (vec![0.0; shape.w_len()], vec![0.0; oc]);
            let (shape, w, workspace) = (&shape, &weights, &mut Workspace::default());
            Forward { shape, x: &x, w, bias: &bias, relu, y: &mut y, workspace }.run_with(isa, forward);
            BackwardX { shape, dy: &dy, w, dx: &mut dx, workspace }.run_with(isa, backward_x);
            BackwardW { shape, x: &x, dy: &dy, dw: &mut dw, db: &mut db, workspace }.run_with(isa, backward_w);
            let actual = [y, dx, dw];
            actual.iter().zip(&expected).for_each(|(actual, expected)| assert_close(actual, expected, 2e-5));
            let first = first.get_or_insert_with(|| actual.clone());
            for (which, (a, b)) in actual.iter().zip(&*first).enumerate() {
                // The view's sums depend on the lanes.
                if [forward, backward_x, backward_w][which] == Algorithm::Blocks {
                    assert_same_bits(a, b);
                }
            }
        }
    }
}

/// The layers of both models, scaled down in height, get blocks for all that a step computes of them.
#[test]
fn the_models_layers_run_in_blocks_where_there_is_a_matrix_unit() {
    say_which_units_are_compared();
    let isa = with_matrix_units()[0];
    for (w, ic, oc) in slow([(256, 3, 16), (127, 16, 32), (62, 32, 64), (128, 3, 32), (16, 128, 256), (8, 256, 256)]) {
        let sizes = Conv2dSizes { n: 2, h: 5, w, ic, oc, kh: 3, kw: 3, stride: 1, padding: Padding::Same };
        let shape = Conv2dShape::new(sizes);
        for pass in PASSES {
            let chosen = Algorithm::choose(isa, &shape, pass);
            let wanted = ic > 3 || pass != Pass::BackwardX;
            assert_eq!(chosen == Algorithm::Blocks, wanted, "{chosen} for {pass:?} of {shape:?}");
            assert_ne!(Algorithm::choose(isa.with_precision(Precision::F32), &shape, pass), Algorithm::Blocks);
        }
        let all = all_of(isa, &shape, true, 5);
        let exact = expected(&shape, true, 5);
        for (which, (actual, expected)) in all.iter().zip(&exact).enumerate() {
            let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
            let mut differences = actual.iter().zip(expected).map(|(&a, &b)| f64::from(a) - b);
            let error = square(&mut differences) / square(&mut expected.iter().copied());
            assert!(error < 1e-2, "{error} of {which}: {shape:?}");
        }
        drop(on_1_2_3_threads(|| all_of(isa, &shape, true, 5)));
    }
}

#[test]
fn same_padding_puts_the_odd_row_at_the_bottom_as_tensorflow_does() {
    let shape = Conv2dShape::new(Conv2dSizes {
        n: 1,
        h: 6,
        w: 7,
        ic: 1,
        oc: 1,
        kh: 3,
        kw: 4,
        stride: 2,
        padding: Padding::Same,
    });
    assert_eq!((shape.oh(), shape.ow()), (3, 4));
    assert_eq!((shape.pad_top(), shape.pad_left()), (0, 1));
}

#[test]
#[should_panic(expected = "x is [n, h, w, ic]")]
fn a_wrong_length_panics() {
    let shape = Conv2dShape::new(Conv2dSizes {
        n: 1,
        h: 4,
        w: 4,
        ic: 1,
        oc: 1,
        kh: 3,
        kw: 3,
        stride: 1,
        padding: Padding::Valid,
    });
    let (x, w, bias, mut y) = ([0.0; 15], [0.0; 9], [0.0; 1], [0.0; 4]);
    Forward { shape: &shape, x: &x, w: &w, bias: &bias, relu: false, y: &mut y, workspace: &mut Workspace::default() }
        .run(Isa::available()[0]);
}

/// A model that has gone to NaN must not come out of a ReLU as one that is merely dead.
#[test]
fn relu_does_not_hide_nan() {
    let shape = Conv2dShape::new(Conv2dSizes {
        n: 1,
        h: 4,
        w: 20,
        ic: 1,
        oc: 17,
        kh: 3,
        kw: 3,
        stride: 1,
        padding: Padding::Valid,
    });
    let (x, bias) = (vec![1.0; shape.x_len()], vec![0.0; shape.oc]);
    let w = vec![f32::NAN; shape.w_len()];
    for_each_isa(|isa| {
        let (mut y, workspace) = (vec![0.0; shape.y_len()], &mut Workspace::default());
        Forward { shape: &shape, x: &x, w: &w, bias: &bias, relu: true, y: &mut y, workspace }.run(isa);
        assert!(y.iter().all(|y| y.is_nan()));
    });
}
