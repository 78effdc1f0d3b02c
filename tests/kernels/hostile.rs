//! Arguments that no caller should pass: sizes whose products wrap, and slices of other lengths.
//! Every public kernel refuses them with a panic, on every instruction set, before it reads or
//! writes anything through a pointer.

use super::for_each_isa;
use onesheet_kernels::batch_norm::{self, Gradients, Normalization};
use onesheet_kernels::conv_block::{self, Affine, ConvBlockShape, Source, affine_scale, normalise, pooled_sums};
use onesheet_kernels::conv2d::{self, Algorithm, Conv2dShape, Conv2dSizes, PackedWeights, Padding, Pass};
use onesheet_kernels::dense::{self, DenseShape, DenseSizes};
use onesheet_kernels::global_average_pool2d::{self, GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::loss::{self, CrossEntropy};
use onesheet_kernels::max_pool2d::{self, MaxPool2dShape, MaxPool2dSizes};
use onesheet_kernels::optim::{Rule, Sgd, Step};
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
use onesheet_kernels::{activation, dropout, image, join};
use proptest::prelude::*;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The size that, times `by`, wraps to `to`.
fn wrapping(to: u128, by: u128) -> usize {
    let product = (1 << usize::BITS) + to;
    assert!(product.is_multiple_of(by));
    (product / by) as usize
}

/// The text that `work` panics with.
fn panic_of<T>(work: impl FnOnce() -> T) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(work)).err()?;
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
}

#[test]
fn sizes_whose_products_wrap_to_small_numbers_are_no_shape() {
    let conv = |w, ic, oc, kernel, stride| Conv2dSizes {
        n: 1,
        h: kernel,
        w,
        ic,
        oc,
        kh: kernel,
        kw: kernel,
        stride,
        padding: Padding::Valid,
    };
    let cases = [
        conv(5, wrapping(4, 5), 5, 1, 1),
        conv(wrapping(11, 3), 3, 3, 1, 1),
        conv(6, wrapping(2, 3), 3, 1, 2),
        conv(4, (1 << 60) + 1, 16, 3, 1),
        conv(5, wrapping(4, 5), 5, 1, 2),
        Conv2dSizes { n: 1 << 63, ..conv(8, 2, 2, 1, 1) },
        Conv2dSizes { kh: 1 << 32, kw: 1 << 32, padding: Padding::Same, ..conv(8, 2, 2, 1, 1) },
        Conv2dSizes { kh: usize::MAX, padding: Padding::Same, ..conv(8, 2, 2, 1, 1) },
        Conv2dSizes { stride: usize::MAX, ..conv(8, 2, 2, 1, 1) },
        // Only what the backward passes work in has too many values.
        Conv2dSizes { n: 1 << 30, oc: 1 << 20, ..conv(1, 1 << 10, 1, 1, 1) },
    ];
    for sizes in cases {
        let error = Conv2dShape::try_new(sizes).expect_err("no shape");
        assert!(error.to_string().contains("memory can hold: Conv2dSizes {"), "{error}");
        assert_eq!(panic_of(|| Conv2dShape::new(sizes)), Some(error.to_string()));
    }
    let (most, half) = (usize::MAX, 1 << 32);
    for [n, inputs, outputs] in [[half, half, 1], [1, half, half], [half, 1, half], [most, 1, 1], [1, 1, most]] {
        let sizes = DenseSizes { n, inputs, outputs };
        assert!(panic_of(|| DenseShape::new(sizes)).unwrap().contains(&format!("{sizes:?}")));
        let sizes = GlobalAveragePool2dSizes { n, pixels: inputs, c: outputs };
        assert!(panic_of(|| GlobalAveragePool2dShape::new(sizes)).unwrap().contains(&format!("{sizes:?}")));
        let sizes = MaxPool2dSizes { n, h: 2, w: 2 * inputs, c: outputs, size: 2 };
        assert!(panic_of(|| MaxPool2dShape::new(sizes)).unwrap().contains(&format!("{sizes:?}")));
    }
}

#[test]
fn a_batch_that_is_too_large_for_a_shape_is_an_error() {
    let conv = Conv2dSizes { n: 1, h: 9, w: 9, ic: 2, oc: 2, kh: 3, kw: 3, stride: 1, padding: Padding::Valid };
    let conv = Conv2dShape::new(conv);
    let block = ConvBlockShape::new(conv);
    let dense = DenseShape::new(DenseSizes { n: 1, inputs: 3, outputs: 2 });
    let pool = MaxPool2dShape::new(MaxPool2dSizes { n: 1, h: 9, w: 9, c: 2, size: 2 });
    for n in [0, 1 << 60, usize::MAX] {
        assert!(conv.of_batch(n).is_err() && block.of_batch(n).is_err());
        assert!(dense.of_batch(n).is_err() && pool.of_batch(n).is_err());
    }
    assert_eq!(block.of_batch(7).unwrap().p_len(), 7 * block.p_len());
}

#[test]
fn windows_that_do_not_fit_and_sizes_of_0_are_no_shape() {
    let sizes = Conv2dSizes { n: 1, h: 4, w: 4, ic: 1, oc: 1, kh: 3, kw: 3, stride: 1, padding: Padding::Valid };
    let wrong = [
        (Conv2dSizes { kh: 5, ..sizes }, "the window is larger than the image"),
        (Conv2dSizes { kw: 5, stride: 3, ..sizes }, "the window is larger than the image"),
        (Conv2dSizes { n: 0, ..sizes }, "a size is 0"),
        (Conv2dSizes { ic: 0, ..sizes }, "a size is 0"),
        (Conv2dSizes { stride: 0, ..sizes }, "a size is 0"),
        (Conv2dSizes { kh: 0, padding: Padding::Same, ..sizes }, "a size is 0"),
    ];
    for (sizes, why) in wrong {
        assert_eq!(Conv2dShape::try_new(sizes).expect_err("no shape").why(), why);
    }
    let block = |sizes| ConvBlockShape::try_new(Conv2dShape::new(sizes)).expect_err("no block").why();
    assert!(block(Conv2dSizes { kh: 2, ..sizes }).contains("3x3 with stride 1"));
    assert!(block(Conv2dSizes { stride: 2, ..sizes }).contains("3x3 with stride 1"));
    assert!(block(Conv2dSizes { h: 3, ..sizes }).contains("larger than the image"));
    let pool = |h, size| MaxPool2dShape::try_new(MaxPool2dSizes { n: 1, h, w: 40, c: 1, size }).expect_err("no pool");
    assert_eq!(pool(1, 2).why(), "the window is larger than the image");
    assert_eq!(pool(40, 17).why(), "the window's side is at most 16");
    assert_eq!(pool(40, 0).why(), "a size is 0");
}

/// Sizes from small to absurd.
fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..40usize,
        1 => Just(1 << 16),
        1 => (20..64u32, 0..3usize).prop_map(|(bits, more)| (1usize << bits).wrapping_add(more)),
        1 => (1..20u128, 1..7u128).prop_map(|(to, by)| wrapping(to * by + (by - (1 << usize::BITS) % by) % by, by)),
        1 => any::<usize>(),
    ]
}

proptest! {
    #![proptest_config(crate::common::cases(4096))]

    /// Whatever the sizes are, a shape's lengths are the products that they stand for.
    #[test]
    fn the_lengths_of_a_shape_are_true(
        [n, h, w, ic, oc] in prop::array::uniform5(any_size()),
        [kh, kw, stride] in prop::array::uniform3(any_size()),
        same: bool,
    ) {
        let product = |sizes: &[usize]| sizes.iter().try_fold(1u128, |product, &size| product.checked_mul(size as u128));
        let padding = if same { Padding::Same } else { Padding::Valid };
        if let Ok(shape) = Conv2dShape::try_new(Conv2dSizes { n, h, w, ic, oc, kh, kw, stride, padding }) {
            prop_assert_eq!(product(&[n, h, w, ic]), Some(shape.x_len() as u128));
            prop_assert_eq!(product(&[kh, kw, ic, oc]), Some(shape.w_len() as u128));
            prop_assert_eq!(product(&[n, shape.oh(), shape.ow(), oc]), Some(shape.y_len() as u128));
            // Every output row has its window inside the image and the zeros around it.
            let last = (shape.oh() - 1) as u128 * stride as u128 + kh as u128;
            let beyond = if same { kh as u128 } else { 0 };
            prop_assert!(last <= h as u128 + beyond);
            prop_assert!(shape.pad_top() < kh && shape.pad_left() < kw);
            prop_assert!(conv2d::Workspace::bytes(Isa::choose().unwrap(), &shape, true) >= 4 * shape.w_len());
            if stride > 1 {
                // At least one row of windows is laid out.
                let [scratch, _] = shape.scratch_len(Isa::choose().unwrap(), false);
                prop_assert!(Some(scratch as u128) >= product(&[shape.ow(), kh, kw, ic]));
            }
        }
        if let Ok(shape) = DenseShape::try_new(DenseSizes { n, inputs: h, outputs: w }) {
            let lens = [shape.x_len(), shape.w_len(), shape.y_len()].map(|len| Some(len as u128));
            prop_assert_eq!(lens, [product(&[n, h]), product(&[h, w]), product(&[n, w])]);
        }
        if let Ok(shape) = MaxPool2dShape::try_new(MaxPool2dSizes { n, h, w, c: ic, size: kh }) {
            let lens = [shape.x_len(), shape.y_len()].map(|len| Some(len as u128));
            prop_assert_eq!(lens, [product(&[n, h, w, ic]), product(&[n, h / kh, w / kh, ic])]);
        }
        if let Ok(shape) = GlobalAveragePool2dShape::try_new(GlobalAveragePool2dSizes { n, pixels: h, c: ic }) {
            let lens = [shape.x_len(), shape.y_len()].map(|len| Some(len as u128));
            prop_assert_eq!(lens, [product(&[n, h, ic]), product(&[n, ic])]);
        }
    }
}

/// `run` makes slices of the lengths that it is given and passes them on. It must do so with `lens`,
/// and panic where one of them is shorter or longer.
#[track_caller]
fn refuses_other_lengths<const N: usize>(lens: [usize; N], run: impl Fn(Isa, [usize; N])) {
    each_refuses_other_lengths(lens, |_| vec![()], |isa, (), lens| run(isa, lens));
}

/// The same for each of the `ways` that an instruction set has.
#[track_caller]
fn each_refuses_other_lengths<W: Copy + Debug, const N: usize>(
    lens: [usize; N],
    ways: impl Fn(Isa) -> Vec<W>,
    run: impl Fn(Isa, W, [usize; N]),
) {
    for_each_isa(|isa| {
        for way in ways(isa) {
            run(isa, way, lens);
            for i in 0..N {
                for len in [0, lens[i] / 2, lens[i] - 1, lens[i] + 1, 2 * lens[i], 2 * lens[i] + 1] {
                    let mut others = lens;
                    others[i] = len;
                    let is_refused = len == lens[i] || panic_of(|| run(isa, way, others)).is_some();
                    assert!(is_refused, "{way:?}, slice {i} of {lens:?}: {len}");
                }
            }
        }
    });
}

fn f32s(len: usize) -> Vec<f32> {
    vec![0.5; len]
}

/// Shapes that every algorithm takes a part of: im2col, the view, the tiles, minimal filtering.
fn convolutions() -> impl Iterator<Item = Conv2dShape> {
    let shape = |k, ic, oc, stride, padding| {
        Conv2dShape::new(Conv2dSizes { n: 2, h: 9, w: 11, ic, oc, kh: k, kw: k, stride, padding })
    };
    let of = move |padding| {
        [
            shape(3, 5, 7, 2, padding),
            shape(2, 5, 7, 1, padding),
            shape(3, 3, 16, 1, padding),
            shape(3, 16, 32, 1, padding),
        ]
    };
    [Padding::Valid, Padding::Same].into_iter().flat_map(of)
}

#[test]
fn convolutions_refuse_slices_of_other_lengths() {
    for shape in &convolutions().collect::<Vec<_>>() {
        let [x, w, y] = [shape.x_len(), shape.w_len(), shape.y_len()];
        let of = |pass| {
            move |isa: Isa| {
                let isas = [Precision::F32, Precision::Bf16].map(|precision| isa.with_precision(precision));
                let each = |isa| Algorithm::available(isa, shape, pass).into_iter().map(move |way| (isa, way));
                isas.into_iter().flat_map(each).collect()
            }
        };
        each_refuses_other_lengths([x, w, shape.oc, y], of(Pass::Forward), |_, (isa, algorithm), [x, w, bias, y]| {
            let (x, w, bias, y, workspace) = (&f32s(x), &f32s(w), &f32s(bias), &mut f32s(y), &mut Default::default());
            conv2d::Forward { shape, x, w, bias, relu: true, y, workspace }.run_with(isa, algorithm);
        });
        refuses_other_lengths([x, w, shape.oc, y], |isa, [x, w, bias, y]| {
            let (x, bias, mut y, mut weights) = (f32s(x), f32s(bias), f32s(y), PackedWeights::default());
            weights.pack(isa, shape, &f32s(w));
            conv2d::Inference { shape, x: &x, weights: &weights, bias: &bias, relu: true, y: &mut y }.run(isa);
        });
        each_refuses_other_lengths([y, w, x], of(Pass::BackwardX), |_, (isa, algorithm), [dy, w, dx]| {
            let (dy, w, dx, workspace) = (&f32s(dy), &f32s(w), &mut f32s(dx), &mut Default::default());
            conv2d::BackwardX { shape, dy, w, dx, workspace }.run_with(isa, algorithm);
        });
        each_refuses_other_lengths([x, y, w, shape.oc], of(Pass::BackwardW), |_, (isa, algorithm), [x, dy, dw, db]| {
            let (x, dy, dw, db, workspace) =
                (&f32s(x), &f32s(dy), &mut f32s(dw), &mut f32s(db), &mut Default::default());
            conv2d::BackwardW { shape, x, dy, dw, db, workspace }.run_with(isa, algorithm);
        });
    }
}

#[test]
fn convolutions_refuse_weights_that_are_not_packed_for_them() {
    type Change = fn(&mut PackedWeights, Isa, &Conv2dShape);
    let changes: [Change; 4] = [
        |_, _, _| {},
        |weights, _, _| weights.clear(),
        |weights, isa, shape| weights.reserve(isa, shape),
        |weights, isa, shape| {
            let other = Conv2dShape::new(Conv2dSizes { h: shape.h + 1, ..**shape });
            weights.pack(isa, &other, &f32s(other.w_len()));
        },
    ];
    for shape in &convolutions().collect::<Vec<_>>() {
        for isa in Isa::available() {
            for (i, change) in changes.iter().enumerate() {
                let mut weights = PackedWeights::default();
                assert!(!weights.is_for(isa, shape));
                weights.pack(isa, shape, &f32s(shape.w_len()));
                change(&mut weights, isa, shape);
                let (x, bias, mut y) = (f32s(shape.x_len()), f32s(shape.oc), f32s(shape.y_len()));
                let infer = || {
                    conv2d::Inference { shape, x: &x, weights: &weights, bias: &bias, relu: true, y: &mut y }.run(isa);
                };
                let is_refused = catch_unwind(AssertUnwindSafe(infer)).is_err();
                assert!(is_refused == (i > 0) && weights.is_for(isa, shape) == (i == 0), "change {i}: {shape:?}");
            }
        }
    }
}

#[test]
fn blocks_refuse_slices_of_other_lengths() {
    let blocks = convolutions().filter_map(|conv| ConvBlockShape::try_new(conv).ok());
    for shape in &blocks.collect::<Vec<_>>() {
        let conv = shape.conv();
        let [ic, oc, p] = [conv.ic, conv.oc, shape.p_len()];
        let [x, w, a] = [conv.x_len(), conv.w_len(), conv.y_len()];
        refuses_other_lengths(
            [x, ic, ic, ic, w, oc, oc, a, p, oc, oc],
            |isa, [x, m, s, b, w, bias, gamma, a, p, mean, variance]| {
                let (x, below, w, bias, gamma) =
                    (f32s(x), [f32s(m), f32s(s), f32s(b)], f32s(w), f32s(bias), f32s(gamma));
                let (mut a, mut p, mut mean, mut variance) = (f32s(a), f32s(p), f32s(mean), f32s(variance));
                let x = Source::Normalised(&x, Affine { mean: &below[0], scale: &below[1], beta: &below[2] });
                let (w, bias, gamma, a, p, workspace) = (&w, &bias, &gamma, &mut a, &mut p, &mut Default::default());
                let (mean, variance) = (&mut mean, &mut variance);
                conv_block::Forward {
                    shape,
                    x,
                    w,
                    bias,
                    gamma,
                    a: Some(a),
                    p,
                    others: None,
                    mean,
                    variance,
                    workspace,
                }
                .run(isa);
            },
        );
        refuses_other_lengths([x, w, oc, oc, oc, oc, p], |isa, [x, w, bias, mean, scale, beta, y]| {
            let (x, w, bias, norm, mut y) =
                (vec![1; x], f32s(w), f32s(bias), [f32s(mean), f32s(scale), f32s(beta)], f32s(y));
            let norm = Affine { mean: &norm[0], scale: &norm[1], beta: &norm[2] };
            let (x, mut weights) = (Source::U8(&x, 0.1), PackedWeights::default());
            weights.pack(isa, conv, &w);
            conv_block::Inference { shape, x, weights: &weights, bias: &bias, norm, y: &mut y }.run(isa);
        });
        let lens = [x, ic, w, oc, a, p, oc, p, 2 * oc, w, oc, oc, oc, x, 2 * ic];
        refuses_other_lengths(
            lens,
            |isa, [x, of_x, w, bias, a, p, norm, dp, dp_sums, dw, db, dgamma, dbeta, dx, dx_sums]| {
                let (x, of_x, w, bias, a, p, norm, dp) =
                    (f32s(x), f32s(of_x), f32s(w), f32s(bias), f32s(a), f32s(p), f32s(norm), f32s(dp));
                let [mut dw, mut db, mut dgamma, mut dbeta, mut dx] = [dw, db, dgamma, dbeta, dx].map(f32s);
                let (dp_sums, mut dx_sums) = (vec![0.5; dp_sums], vec![0.5; dx_sums]);
                conv_block::Backward {
                    shape,
                    x: Source::Normalised(&x, Affine { mean: &of_x, scale: &of_x, beta: &of_x }),
                    w: &w,
                    bias: &bias,
                    a: Some(&a),
                    p: &p,
                    norm: Normalization { gamma: &norm, beta: &norm, mean: &norm, variance: &norm, epsilon: 0.1 },
                    dp: &dp,
                    dp_sums: &dp_sums,
                    others: None,
                    dw: &mut dw,
                    db: &mut db,
                    dgamma: &mut dgamma,
                    dbeta: &mut dbeta,
                    dx: Some(&mut dx),
                    dx_sums: &mut dx_sums,
                    workspace: &mut Default::default(),
                }
                .run(isa);
            },
        );
        refuses_other_lengths([oc, p, p, 2 * oc], |isa, [mean, p, dp, sums]| {
            let (workspace, mut sums) = (&mut Default::default(), vec![0.0; sums]);
            pooled_sums(isa, shape, &f32s(mean), &f32s(p), &f32s(dp), workspace, &mut sums);
        });
    }
    refuses_other_lengths([3, 3, 3, 12, 12], |isa, [mean, scale, beta, x, y]| {
        let by = [f32s(mean), f32s(scale), f32s(beta)];
        normalise(isa, Affine { mean: &by[0], scale: &by[1], beta: &by[2] }, &f32s(x), &mut f32s(y));
    });
    refuses_other_lengths([3, 3, 3, 3, 3], |_, [gamma, beta, mean, variance, scale]| {
        let by = [f32s(gamma), f32s(beta), f32s(mean), f32s(variance)];
        let [gamma, beta, mean, variance] = [&by[0], &by[1], &by[2], &by[3]].map(|values| &values[..]);
        affine_scale(&Normalization { gamma, beta, mean, variance, epsilon: 0.1 }, &mut f32s(scale));
    });
}

#[test]
fn dense_layers_refuse_slices_of_other_lengths() {
    for [n, inputs, outputs] in [[1, 1, 1], [3, 700, 5], [17, 40, 64]] {
        let shape = &DenseShape::new(DenseSizes { n, inputs, outputs });
        let [x, w, y] = [shape.x_len(), shape.w_len(), shape.y_len()];
        refuses_other_lengths([x, w, outputs, y], |isa, [x, w, bias, y]| {
            let (x, w, bias, workspace) = (f32s(x), f32s(w), f32s(bias), &mut Default::default());
            dense::Forward { shape, x: &x, w: &w, bias: &bias, relu: true, y: &mut f32s(y), workspace }.run(isa);
        });
        refuses_other_lengths([y, w, x], |isa, [dy, w, dx]| {
            let (dy, w, workspace) = (f32s(dy), f32s(w), &mut Default::default());
            dense::BackwardX { shape, dy: &dy, w: &w, dx: &mut f32s(dx), workspace }.run(isa);
        });
        refuses_other_lengths([x, y, w, outputs], |isa, [x, dy, dw, db]| {
            let (x, dy) = (f32s(x), f32s(dy));
            dense::BackwardW { shape, x: &x, dy: &dy, dw: &mut f32s(dw), db: &mut f32s(db) }.run(isa);
        });
        refuses_other_lengths([x, y, w, w, w, x, outputs], |isa, [x, dy, w, first, second, dx, db]| {
            let (x, dy, step) = (f32s(x), f32s(dy), Step { rule: Rule::adam(0.1), number: 1 });
            let [mut w, mut first, mut second, mut dx, mut db] = [w, first, second, dx, db].map(f32s);
            let (state, dx, workspace) = ([&mut first[..], &mut second], Some(&mut dx[..]), &mut Default::default());
            let (x, dy, w, db) = (&x, &dy, &mut w, &mut db);
            dense::BackwardAndStep { shape, x, dy, w, step, state, dx, db, workspace }.run(isa);
        });
    }
}

#[test]
fn batch_norm_refuses_slices_of_other_lengths() {
    for (m, c) in [(1, 1), (500, 3), (5, 70)] {
        // A slice of other whole pixels is another batch, so x is tried alone where it must agree.
        refuses_other_lengths([m * c, c, c, c, c, m * c], |isa, [x, gamma, beta, mean, variance, y]| {
            let by = [gamma, beta, mean, variance].map(f32s);
            let [gamma, beta, mean, variance] = [&by[0], &by[1], &by[2], &by[3]].map(|values| &values[..]);
            let by = Normalization { gamma, beta, mean, variance, epsilon: 0.1 };
            batch_norm::forward(isa, &by, &f32s(x), &mut f32s(y), &mut Default::default());
        });
        refuses_other_lengths([m * c, c, m * c, m * c, c, c], |isa, [x, by, dy, dx, dgamma, dbeta]| {
            let by = &f32s(by)[..];
            let by = Normalization { gamma: by, beta: by, mean: by, variance: by, epsilon: 0.1 };
            let (mut dx, mut dgamma, mut dbeta) = (f32s(dx), f32s(dgamma), f32s(dbeta));
            let to = Gradients { dx: Some(&mut dx), dgamma: &mut dgamma, dbeta: &mut dbeta };
            batch_norm::backward(isa, &by, &f32s(x), &f32s(dy), None, to, &mut Default::default());
        });
        refuses_other_lengths([c, c], |isa, [mean, variance]| {
            let workspace = &mut Default::default();
            batch_norm::statistics(isa, &f32s(m * c), None, &mut f32s(mean), &mut f32s(variance), workspace);
        });
        refuses_other_lengths([c, c], |_, [batch, moving]| {
            batch_norm::update_moving(0.9, &f32s(batch), &mut f32s(moving));
        });
    }
    let mut workspace = batch_norm::Workspace::default();
    for (len, c) in [(5, 0), (usize::MAX, 1), (1, usize::MAX), (usize::MAX, 1 << 40)] {
        assert!(panic_of(|| workspace.reserve(len, c)).unwrap().contains(&format!("{len} values of {c} channels")));
    }
}

#[test]
fn poolings_refuse_slices_of_other_lengths() {
    let shape = &MaxPool2dShape::new(MaxPool2dSizes { n: 2, h: 7, w: 5, c: 19, size: 2 });
    let [x, y] = [shape.x_len(), shape.y_len()];
    refuses_other_lengths([x, y, y], |isa, [x, y, argmax]| {
        max_pool2d::forward(isa, shape, &f32s(x), &mut f32s(y), &mut vec![0; argmax]);
    });
    refuses_other_lengths([y, y, x], |isa, [argmax, dy, dx]| {
        max_pool2d::backward(isa, shape, &vec![255; argmax], &f32s(dy), &mut f32s(dx));
    });
    let shape = &GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n: 2, pixels: 35, c: 19 });
    refuses_other_lengths([shape.x_len(), shape.y_len()], |isa, [x, y]| {
        global_average_pool2d::forward(isa, shape, &f32s(x), &mut f32s(y));
    });
    refuses_other_lengths([shape.y_len(), shape.x_len()], |isa, [dy, dx]| {
        global_average_pool2d::backward(isa, shape, &f32s(dy), &mut f32s(dx));
    });
    let [x, factors] = [shape.x_len(), shape.y_len()];
    refuses_other_lengths([x, factors, x], |isa, [x, factors, y]| {
        join::scale_channels(isa, shape, &f32s(x), &f32s(factors), &mut f32s(y));
    });
    refuses_other_lengths([x, factors, x, x, factors], |isa, [x, factors, dy, dx, dfactors]| {
        let (x, factors, dy) = (f32s(x), f32s(factors), f32s(dy));
        join::scale_channels_backward(isa, shape, [&x, &factors, &dy], [&mut f32s(dx), &mut f32s(dfactors)]);
    });
}

#[test]
fn the_other_kernels_refuse_slices_of_other_lengths() {
    refuses_other_lengths([100, 100], |isa, [y, dy]| activation::relu_backward(isa, &f32s(y), &mut f32s(dy)));
    refuses_other_lengths([100, 100, 100], |isa, [y, dy, dx]| {
        activation::sigmoid_backward(isa, &f32s(y), &f32s(dy), &mut f32s(dx));
    });
    refuses_other_lengths([100, 100], |isa, [gradient, dx]| {
        join::accumulate(isa, &f32s(gradient), &mut f32s(dx));
    });
    refuses_other_lengths([100, 100, 100], |isa, [x, earlier, y]| {
        join::add(isa, &f32s(x), &f32s(earlier), &mut f32s(y));
    });
    refuses_other_lengths([100, 100], |isa, [x, y]| image::u8_to_f32(isa, &vec![1; x], 0.1, &mut f32s(y)));
    refuses_other_lengths([96, 96], |_, [x, y]| image::space_to_depth([4, 4, 3], 2, &f32s(x), &mut f32s(y), |x| x));
    refuses_other_lengths([100, 100], |_, [x, y]| dropout::apply(0.5, 1, 0, 20, &f32s(x), &mut f32s(y)));
    refuses_other_lengths([100, 100], |_, [x, y]| loss::sigmoid(&f32s(x), &mut f32s(y)));
    refuses_other_lengths([100, 100], |_, [x, y]| loss::softmax(20, &f32s(x), &mut f32s(y)));
    for entropy in [loss::sigmoid_cross_entropy, loss::softmax_cross_entropy] {
        refuses_other_lengths([100, 100, 20, 100, 100], |_, [logits, labels, weights, probabilities, dlogits]| {
            let (logits, labels, weights) = (f32s(logits), f32s(labels), f32s(weights));
            let of = CrossEntropy { class_weights: Some(&weights), ..CrossEntropy::plain(20, &logits, &labels) };
            entropy(&of, &mut f32s(probabilities), &mut f32s(dlogits));
        });
    }
    for rule in [Rule::adam(0.1), Rule::Sgd(Sgd::new(0.1))] {
        let [first, second] = rule.state_lens(100);
        let (w, step) = (100, Step { rule, number: 1 });
        refuses_other_lengths([100, first, second.max(1), w], |isa, [g, first, with_second, w]| {
            // A rule without a second state has none to be longer than.
            let second = if second == 0 { with_second - 1 } else { with_second };
            step.run(isa, &f32s(g), [&mut f32s(first), &mut f32s(second)], &mut f32s(w));
        });
    }
    assert!(panic_of(|| dropout::apply(0.5, 1, 0, 0, &[], &mut [])).is_some());
    assert!(panic_of(|| dropout::apply(f32::NAN, 1, 0, 1, &[1.0], &mut [1.0])).is_some());
    assert!(panic_of(|| loss::softmax(0, &[], &mut [])).is_some());
}

/// A workspace is no part of a pass' arguments: whatever it was used for, it serves.
#[test]
fn a_workspace_of_another_shape_serves_as_a_fresh_one() {
    for_each_isa(|isa| {
        let mut used = conv2d::Workspace::default();
        for shape in &convolutions().collect::<Vec<_>>() {
            let (x, w, bias) = (f32s(shape.x_len()), f32s(shape.w_len()), f32s(shape.oc));
            let forward = |workspace: &mut conv2d::Workspace| {
                let mut y = f32s(shape.y_len());
                conv2d::Forward { shape, x: &x, w: &w, bias: &bias, relu: false, y: &mut y, workspace }.run(isa);
                y
            };
            assert_eq!(forward(&mut used), forward(&mut conv2d::Workspace::default()));
            used.reserve(Isa::choose().unwrap(), &shape.of_batch(1).unwrap(), false);
        }
    });
}
