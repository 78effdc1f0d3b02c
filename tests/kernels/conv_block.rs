//! The fused block against the composition of the reference's single operations.
//!
//! What follows the convolution is compared on the block's own `a`: a value next to ReLU's kink or
//! a near tie of the pooling may fall to either side in f32.

use super::*;
use onesheet_kernels::batch_norm::Normalization;
use onesheet_kernels::conv_block::{
    Affine, Backward, ConvBlockShape, Forward, Inference, Source, Workspace, affine_scale, normalise, pooled_sums,
};
use onesheet_kernels::conv2d::{Conv2dShape, Conv2dSizes, PackedWeights, Padding};
use onesheet_kernels::max_pool2d::{MaxPool2dShape, MaxPool2dSizes};
use onesheet_kernels::reference;
use proptest::prelude::*;
use std::ops::Range;

const EPSILON: f32 = 1e-3;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Bytes,
    Values,
    Normalised,
}

/// What a block is given.
struct Case {
    shape: ConvBlockShape,
    kind: Kind,
    bytes: Vec<u8>,
    x: Vec<f32>,
    /// mean, scale and beta of the block below.
    below: [Vec<f32>; 3],
    w: Vec<f32>,
    bias: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    dp: Vec<f32>,
}

impl Case {
    fn new(conv: Conv2dShape, kind: Kind, seed: u64) -> Self {
        let data = &mut Data::new(seed);
        let shape = ConvBlockShape::new(conv);
        Self {
            shape,
            kind,
            bytes: data.whole(256, conv.x_len()).iter().map(|&x| x as u8).collect(),
            x: data.vec(conv.x_len()),
            below: [data.vec(conv.ic), data.vec(conv.ic), data.vec(conv.ic)],
            w: data.vec(conv.w_len()),
            bias: data.vec(conv.oc),
            // Positive, negative, and zero.
            gamma: data.vec(conv.oc).iter().map(|g| if g.abs() < 0.2 { 0.0 } else { *g }).collect(),
            beta: data.vec(conv.oc),
            dp: data.vec(shape.p_len()),
        }
    }

    fn source(&self) -> Source<'_> {
        let [mean, scale, beta] = &self.below;
        match self.kind {
            Kind::Bytes => Source::U8(&self.bytes, 1.0 / 255.0),
            Kind::Values => Source::F32(&self.x),
            Kind::Normalised => Source::Normalised(&self.x, Affine { mean, scale, beta }),
        }
    }

    /// What the source stands for, in f64.
    fn effective_x(&self) -> Vec<f64> {
        let [mean, scale, beta] = self.below.each_ref().map(|v| wide(v));
        let c = self.shape.conv().ic;
        let affine = |(i, x): (usize, f64)| (x - mean[i % c]) * scale[i % c] + beta[i % c];
        match self.kind {
            Kind::Bytes => self.bytes.iter().map(|&x| f64::from(x) / 255.0).collect(),
            Kind::Values => wide(&self.x),
            Kind::Normalised => wide(&self.x).into_iter().enumerate().map(affine).collect(),
        }
    }

    /// a, p, mean, variance, y, the gradients dw, db, dgamma, dbeta, dx, and the sums of dx; all but `a`
    /// the same where it is not kept.
    fn run(&self, isa: Isa) -> (Vec<Vec<f32>>, Vec<f64>) {
        let kept = self.run_with(isa, true);
        if !self.shape.can_recompute_a(isa) {
            return kept;
        }
        let computed = self.run_with(isa, false);
        kept.0.iter().zip(&computed.0).skip(1).for_each(|(kept, computed)| assert_same_bits(kept, computed));
        assert_eq!(kept.1, computed.1);
        kept
    }

    fn run_with(&self, isa: Isa, keeps_a: bool) -> (Vec<Vec<f32>>, Vec<f64>) {
        let Self { shape, w, bias, gamma, beta, dp, .. } = self;
        let (conv, x) = (*shape.conv(), self.source());
        let (mut a, mut p) = (poisoned(conv.y_len()), poisoned(shape.p_len()));
        let (mut mean, mut variance) = (poisoned(conv.oc), poisoned(conv.oc));
        let workspace = &mut Workspace::default();
        let (a_to, p_to) = (keeps_a.then_some(&mut a[..]), &mut p);
        let (mean_to, variance_to) = (&mut mean, &mut variance);
        Forward {
            shape,
            x,
            w,
            bias,
            gamma,
            a: a_to,
            p: p_to,
            others: None,
            mean: mean_to,
            variance: variance_to,
            workspace,
        }
        .run(isa);
        let norm = Normalization { gamma, beta, mean: &mean, variance: &variance, epsilon: EPSILON };
        let (mut scale, mut y) = (poisoned(conv.oc), poisoned(shape.p_len()));
        affine_scale(&norm, &mut scale);
        normalise(isa, Affine { mean: &mean, scale: &scale, beta }, &p, &mut y);
        let mut dp_sums = vec![f64::NAN; 2 * conv.oc];
        pooled_sums(isa, shape, &mean, &p, dp, workspace, &mut dp_sums);
        let data = &mut Data::new(9);
        let (mut dw, mut db) = (data.vec(conv.w_len()), data.vec(conv.oc));
        let (mut dgamma, mut dbeta) = (data.vec(conv.oc), data.vec(conv.oc));
        let mut dx = poisoned(if let Kind::Bytes = self.kind { 0 } else { conv.x_len() });
        let mut dx_sums = vec![f64::NAN; if let Kind::Normalised = self.kind { 2 * conv.ic } else { 0 }];
        Backward {
            shape,
            x,
            w,
            bias,
            a: keeps_a.then_some(&a),
            p: &p,
            norm,
            dp,
            dp_sums: &dp_sums,
            others: None,
            dw: &mut dw,
            db: &mut db,
            dgamma: &mut dgamma,
            dbeta: &mut dbeta,
            dx: (!dx.is_empty()).then_some(&mut dx),
            dx_sums: &mut dx_sums,
            workspace,
        }
        .run(isa);
        (vec![a, p, mean, variance, y, dw, db, dgamma, dbeta, dx], dx_sums)
    }

    fn check(&self, isa: Isa) {
        let (outputs, dx_sums) = self.run(isa);
        let [a, _, mean, variance, y, dw, db, dgamma, dbeta, dx] = outputs.try_into().expect("ten outputs");
        let conv = self.shape.conv();
        let (x, w) = (self.effective_x(), wide(&self.w));
        let expected_a = reference::activation::relu(&reference::conv2d::forward(conv, &x, &w, &wide(&self.bias)));
        assert_close(&a, &expected_a, 2e-5);

        let a = wide(&a);
        let (expected_mean, expected_variance) = reference::batch_norm::statistics(conv.oc, &a);
        assert_close(&mean, &expected_mean, 1e-5);
        assert_close(&variance, &expected_variance, 1e-5);
        let (gamma, beta) = (wide(&self.gamma), wide(&self.beta));
        let by = reference::batch_norm::Normalization {
            gamma: &gamma,
            beta: &beta,
            mean: &expected_mean,
            variance: &expected_variance,
            epsilon: f64::from(EPSILON),
        };
        let normalised = reference::batch_norm::forward(&by, &a);
        let pool = MaxPool2dShape::new(MaxPool2dSizes { n: conv.n, h: conv.oh(), w: conv.ow(), c: conv.oc, size: 2 });
        let (expected_y, argmax) = reference::max_pool2d::forward(&pool, &normalised);
        assert_close(&y, &expected_y, 1e-4);

        // The backward pass is that of the block's own statistics: where values hardly vary, the
        // rounding of their mean is the same at every pixel, and adds up.
        let (mean, variance) = (wide(&mean), wide(&variance));
        let by = reference::batch_norm::Normalization { mean: &mean, variance: &variance, ..by };
        let pooled = reference::max_pool2d::backward(&pool, &argmax, &wide(&self.dp));
        let (da, expected_dgamma, expected_dbeta) = reference::batch_norm::backward(&by, &a, &pooled);
        let dz = reference::activation::relu_backward(&a, &da);
        let (expected_dw, expected_db) = reference::conv2d::backward_w(conv, &x, &dz);
        // `dz` has a slope and an offset in f32, whose roundings are the same at every pixel and
        // add up.
        let largest_x = x.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
        let added_up = largest_x * self.rounding_over_pixels(&by, &expected_dgamma, &expected_dbeta);
        let data = &mut Data::new(9);
        for (actual, expected, tolerance) in [
            (dw, expected_dw, 1e-4 + added_up),
            (db, expected_db, 1e-4 + added_up),
            (dgamma, expected_dgamma, 1e-4),
            (dbeta, expected_dbeta, 1e-4),
        ] {
            let before = data.vec(actual.len());
            let expected: Vec<f64> = expected.iter().zip(before).map(|(e, b)| e + f64::from(b)).collect();
            assert_close(&actual, &expected, tolerance);
        }
        if !dx.is_empty() {
            assert_close(&dx, &reference::conv2d::backward_x(conv, &dz, &w), 1e-4);
        }
        let (c, mean) = (conv.ic, &self.below[0]);
        for (i, sum) in dx_sums.iter().enumerate() {
            let of_channel = dx.iter().zip(&self.x).skip(i % c).step_by(c);
            let expected: f64 = of_channel
                .map(|(&dx, &x)| f64::from(dx) * if i < c { 1.0 } else { f64::from(x) - f64::from(mean[i % c]) })
                .sum();
            assert_close_f64(&[*sum], &[expected], 1e-4);
        }
    }

    /// The most that a sum over all pixels of `dz` can be off because `slope * a + offset`, what
    /// the mean and the variance pass on, is rounded to f32: large where a mean is large beside its
    /// deviation.
    fn rounding_over_pixels(&self, by: &reference::batch_norm::Normalization, dgamma: &[f64], dbeta: &[f64]) -> f64 {
        let conv = self.shape.conv();
        let m = (conv.n * conv.oh() * conv.ow()) as f64;
        let of_channel = |o: usize| {
            let inv_std = 1.0 / (by.variance[o] + by.epsilon).sqrt();
            let factor = by.gamma[o] * inv_std;
            let along = factor * inv_std * dgamma[o] / m * by.mean[o];
            m * f64::from(f32::EPSILON) * ((factor * dbeta[o] / m).abs() + 2.0 * along.abs())
        };
        (0..conv.oc).map(of_channel).fold(0.0, f64::max)
    }

    /// The statistics that inference is given: mean and variance.
    fn statistics(&self) -> [Vec<f32>; 2] {
        let (data, c) = (&mut Data::new(3), self.shape.conv().oc);
        [data.vec(c), data.between(0.1, 2.0, c)]
    }

    /// Inference with given statistics over some of the images, with weights that were packed for
    /// all.
    fn infer(&self, isa: Isa, images: Range<usize>) -> Vec<f32> {
        let Self { shape, w, bias, gamma, beta, .. } = self;
        let conv = shape.conv();
        let [mean, variance] = &self.statistics();
        let mut scale = poisoned(conv.oc);
        affine_scale(&Normalization { gamma, beta, mean, variance, epsilon: EPSILON }, &mut scale);
        let mut weights = PackedWeights::default();
        weights.pack(isa, conv, w);
        let (norm, x_len) = (Affine { mean, scale: &scale, beta }, conv.x_len() / conv.n);
        let x = match self.source() {
            Source::U8(x, by) => Source::U8(&x[images.start * x_len..images.end * x_len], by),
            Source::F32(x) => Source::F32(&x[images.start * x_len..images.end * x_len]),
            Source::Normalised(x, by) => Source::Normalised(&x[images.start * x_len..images.end * x_len], by),
        };
        let shape = &shape.of_batch(images.len()).unwrap();
        let mut y = poisoned(shape.p_len());
        Inference { shape, x, weights: &weights, bias, norm, y: &mut y }.run(isa);
        y
    }

    fn check_inference(&self, isa: Isa) {
        let Self { shape, w, bias, gamma, beta, .. } = self;
        let conv = *shape.conv();
        let y = self.infer(isa, 0..conv.n);
        let [mean, variance] = self.statistics();
        let z = reference::conv2d::forward(&conv, &self.effective_x(), &wide(w), &wide(bias));
        let (gamma, beta, mean, variance) = (wide(gamma), wide(beta), wide(&mean), wide(&variance));
        let epsilon = f64::from(EPSILON);
        let by = reference::batch_norm::Normalization {
            gamma: &gamma,
            beta: &beta,
            mean: &mean,
            variance: &variance,
            epsilon,
        };
        let normalised = reference::batch_norm::forward(&by, &reference::activation::relu(&z));
        let pool = MaxPool2dShape::new(MaxPool2dSizes { n: conv.n, h: conv.oh(), w: conv.ow(), c: conv.oc, size: 2 });
        assert_close(&y, &reference::max_pool2d::forward(&pool, &normalised).0, 1e-4);
    }
}

/// Images of one value each: all values in a window of the pooling are equal, and the first of them has
/// the gradient.
#[test]
fn of_equal_values_the_first_has_the_gradient() {
    for oc in [5, 16, 32] {
        let padding = Padding::Valid;
        let conv = Conv2dShape::new(Conv2dSizes { n: 3, h: 10, w: 13, ic: 3, oc, kh: 3, kw: 3, stride: 1, padding });
        let mut case = Case::new(conv, Kind::Values, 1);
        for (image, x) in case.x.chunks_exact_mut(conv.x_len() / conv.n).enumerate() {
            x.fill([0.5, -0.25, 1.0][image]);
        }
        for_each_isa(|isa| {
            let a = &case.run(isa).0[0];
            let image = &a[..conv.oh() * conv.ow() * oc];
            assert!(image.chunks_exact(oc).all(|pixel| pixel == &image[..oc]) && image.iter().any(|a| *a > 0.0));
            case.check(isa);
        });
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let channels = || prop_oneof![1..6usize, Just(8), Just(16), 15..19usize, Just(32), Just(35)];
    let kind = prop_oneof![Just(Kind::Bytes), Just(Kind::Values), Just(Kind::Normalised)];
    // Of small images, many.
    let sizes = prop_oneof![
        2 => (1..4usize, 4..45usize, prop_oneof![4..12usize, 4..45usize]),
        1 => (9..40usize, 4..17usize, 4..12usize),
    ];
    (sizes, channels(), channels(), kind, any::<bool>(), any::<u64>()).prop_map(
        |((n, h, w), ic, oc, kind, same, seed)| {
            let padding = if same { Padding::Same } else { Padding::Valid };
            Case::new(Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding }), kind, seed)
        },
    )
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:?} of {:?}", self.shape, self.kind)
    }
}

proptest! {
    #![proptest_config(crate::common::cases(64))]

    #[test]
    fn agrees_with_the_single_operations_of_the_reference(case in cases()) {
        for_each_isa(|isa| case.check(isa));
    }

    #[test]
    fn inference_agrees_with_the_single_operations_of_the_reference(case in cases()) {
        for_each_isa(|isa| case.check_inference(isa));
    }
}

/// The model's own widths and channels, which choose the tiles that it runs on.
#[test]
fn the_models_blocks_agree_with_the_reference() {
    for (w, ic, oc, kind) in
        slow([(256, 3, 16, Kind::Bytes), (127, 16, 32, Kind::Normalised), (62, 32, 64, Kind::Normalised)])
    {
        let conv =
            Conv2dShape::new(Conv2dSizes { n: 2, h: 21, w, ic, oc, kh: 3, kw: 3, stride: 1, padding: Padding::Valid });
        let case = Case::new(conv, kind, 1);
        for_each_isa(|isa| {
            case.check(isa);
            case.check_inference(isa);
        });
    }
}

/// Channels so many that tiles of several rows share a pass, over whole bands, odd rows and one row
/// too many for them; and those of several images, where these are small.
#[test]
fn wide_blocks_agree_with_the_reference() {
    for (n, h, w, ic, oc, padding, kind) in slow([
        (1, 5, 4, 256, 64, Padding::Valid, Kind::Normalised),
        (1, 9, 7, 96, 128, Padding::Same, Kind::Normalised),
        (1, 19, 13, 128, 96, Padding::Valid, Kind::Normalised),
        (1, 16, 16, 128, 256, Padding::Same, Kind::Normalised),
        (19, 5, 6, 128, 96, Padding::Same, Kind::Values),
        (11, 8, 8, 96, 128, Padding::Same, Kind::Normalised),
        (21, 6, 6, 96, 96, Padding::Valid, Kind::Values),
    ]) {
        let conv = Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding });
        let case = Case::new(conv, kind, 1);
        for_each_isa(|isa| {
            case.check(isa);
            case.check_inference(isa);
        });
    }
}

/// Images so few that they are cut into small bands and parts of the channels, and so many that they
/// are not.
#[test]
fn inference_has_the_same_bits_for_an_image_alone_and_in_any_batch_on_any_number_of_threads() {
    for (h, w, ic, oc, kind) in slow([
        (33, 20, 3, 16, Kind::Bytes),
        (8, 8, 16, 256, Kind::Values),
        (17, 9, 32, 192, Kind::Normalised),
        (16, 16, 64, 128, Kind::Values),
    ]) {
        const MANY: usize = 17;
        let padding = Padding::Same;
        let conv = Conv2dShape::new(Conv2dSizes { n: MANY, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding });
        let case = Case::new(conv, kind, 3);
        for isa in Isa::available().into_iter().chain(with_matrix_units().into_iter().take(1)) {
            let batches = |sizes: &[usize]| {
                let starts = (0..sizes.len()).map(|i| sizes[..i].iter().sum::<usize>());
                let batches = starts.zip(sizes).map(|(start, size)| case.infer(isa, start..start + size));
                batches.collect::<Vec<_>>().concat()
            };
            let of = [vec![MANY], vec![1; MANY], vec![2, 3, 4, 8]];
            let all = on_1_2_3_threads(|| of.iter().map(|sizes| batches(sizes)).collect());
            all.iter().for_each(|other| assert_same_bits(other, &all[0]));
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for (n, h, w, ic, oc) in
        slow([(3, 39, 21, 5, 18), (1, 39, 21, 5, 18), (17, 39, 21, 5, 18), (27, 8, 6, 5, 18), (27, 8, 6, 16, 32)])
    {
        let padding = Padding::Same;
        let conv = Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding });
        let case = Case::new(conv, Kind::Normalised, 7);
        for_each_isa(|isa| {
            on_1_2_3_threads(|| {
                let (mut outputs, sums) = case.run(isa);
                outputs.push(sums.iter().map(|&sum| sum as f32).collect());
                outputs
            });
        });
    }
}

/// In bf16, in blocks as a matrix unit makes them: near the reference, and the same bits by plain
/// arithmetic as by the machine's own unit.
#[test]
fn blocks_of_bf16_are_near_the_reference_and_the_same_everywhere() {
    say_which_units_are_compared();
    for (n, h, w, ic, oc, padding, kind) in slow([
        (2, 21, 40, 3, 16, Padding::Valid, Kind::Bytes),
        (1, 39, 37, 3, 32, Padding::Same, Kind::Bytes),
        (1, 37, 30, 16, 32, Padding::Valid, Kind::Normalised),
        (3, 8, 8, 64, 48, Padding::Same, Kind::Normalised),
    ]) {
        let conv = Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh: 3, kw: 3, stride: 1, padding });
        let case = Case::new(conv, kind, 1);
        // Statistics are sums by fused multiply-adds, which not every instruction set has.
        let fused = with_matrix_units().into_iter().filter(|isa| isa.registers() >= 16);
        let all: Vec<_> = fused.map(|isa| case.run(isa)).collect();
        for pair in all.windows(2) {
            pair[0].0.iter().zip(&pair[1].0).for_each(|(a, b)| assert_same_bits(a, b));
            assert_eq!(pair[0].1, pair[1].1);
        }
        // Without any of them, what they round to is not to be had.
        let Some(first) = all.first() else { return };
        let (x, w, bias) = (case.effective_x(), wide(&case.w), wide(&case.bias));
        let expected = reference::activation::relu(&reference::conv2d::forward(&conv, &x, &w, &bias));
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let a = wide(&first.0[0]);
        let error = square(&mut a.iter().zip(&expected).map(|(a, b)| a - b)) / square(&mut expected.iter().copied());
        assert!((1e-4..1e-2).contains(&error), "{error}: {conv:?}");
        let f32 = case.run(Isa::choose().unwrap());
        for (which, (bf16, f32)) in first.0.iter().zip(&f32.0).enumerate().skip(5) {
            let differences = &mut bf16.iter().zip(f32).map(|(&a, &b)| f64::from(a) - f64::from(b));
            let error = square(differences) / square(&mut f32.iter().copied().map(f64::from)).max(1.0);
            // Winners of near ties and values at ReLU's kink fall to either side.
            assert!(error < 0.1, "{error} of {which}: {conv:?}");
        }
        on_1_2_3_threads(|| case.run(with_matrix_units()[0]).0);
    }
}
