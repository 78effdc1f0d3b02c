//! Layers. Images and kernels are turned: ONNX has the channels second, and ours last.

use super::cases::{Case, channels_last, last, transposed};
use crate::common::golden::Golden;
use crate::common::{for_each_isa, poisoned};
use onesheet::nn::{Input, Isa, ModelSpec, Padding, Pass, Sequential};
use onesheet_kernels::batch_norm::{self, Normalization};
use onesheet_kernels::conv2d::{self, Algorithm, Conv2dShape, Conv2dSizes};
use onesheet_kernels::dense::{self, DenseShape, DenseSizes};
use onesheet_kernels::global_average_pool2d::{self, GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::max_pool2d::{self, MaxPool2dShape, MaxPool2dSizes};
use onesheet_kernels::{activation, dropout as inverted_dropout, join, loss};

/// The axes of images as ONNX has them: `n`, `c`, `h`, `w`.
fn images(of: &Golden) -> [usize; 4] {
    of.shape[..].try_into().expect("images")
}

pub fn add(case: &Case) {
    let (x, earlier) = (case.input(0), case.input(1));
    assert_eq!(x.shape, earlier.shape);
    for_each_isa(|isa| {
        let mut y = poisoned(x.values.len());
        join::add(isa, &x.to_f32(), &earlier.to_f32(), &mut y);
        case.check(0, &y);
    });
}

/// Factors for each channel of each image, or, with one pixel or one image, for each value or channel.
pub fn mul(case: &Case) {
    let (x, factors) = (case.input(0), case.input(1));
    let (len, c) = (x.values.len(), factors.values.len());
    assert!(x.shape.ends_with(&factors.shape));
    let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n: 1, pixels: len / c, c });
    for_each_isa(|isa| {
        let mut y = poisoned(len);
        join::scale_channels(isa, &shape, &x.to_f32(), &factors.to_f32(), &mut y);
        case.check(0, &y);
    });
}

pub fn relu(case: &Case) {
    for_each_isa(|isa| {
        let mut y = case.input(0).to_f32();
        activation::relu(isa, &mut y);
        case.check(0, &y);
    });
}

pub fn sigmoid(case: &Case) {
    let x = case.input(0).to_f32();
    let mut y = poisoned(x.len());
    loss::sigmoid(&x, &mut y);
    case.check(0, &y);
}

/// Along any axis, which is made the last.
pub fn softmax(case: &Case) {
    let axis = case.axis(-1);
    let x = last(case.input(0), axis);
    let classes = *x.shape.last().unwrap();
    let mut y = poisoned(x.values.len());
    loss::softmax(classes, &x.to_f32(), &mut y);
    // Back to its place.
    let rank = x.shape.len();
    let mut order: Vec<usize> = (0..rank - 1).collect();
    order.insert(axis, rank - 1);
    let y = Golden { shape: x.shape, values: y.iter().map(|&y| f64::from(y)).collect() };
    case.check(0, &transposed(&y, &order).to_f32());
}

/// By every algorithm that fits.
pub fn conv(case: &Case) {
    let (x, kernel) = (case.input(0), case.input(1));
    let ([n, ic, h, w], [oc, _, kh, kw]) = (images(x), images(kernel));
    let [stride, other] = case.sizes("strides").unwrap_or([1, 1]);
    assert_eq!(stride, other);
    assert_eq!(case.sizes("kernel_shape").unwrap_or([kh, kw]), [kh, kw]);
    assert_eq!((case.sizes("dilations").unwrap_or([1, 1]), case.int("group").unwrap_or(1)), ([1, 1], 1));

    // Ours, above, left, below and right, and of which they are.
    let shape = |padding| Conv2dShape::new(Conv2dSizes { n, h, w, ic, oc, kh, kw, stride, padding });
    let zeros = |shape: &Conv2dShape| {
        let all = |outputs: usize, kernel: usize, size| ((outputs - 1) * stride + kernel).saturating_sub(size);
        let (top, left) = (shape.pad_top(), shape.pad_left());
        [top, left, all(shape.oh(), kh, h) - top, all(shape.ow(), kw, w) - left]
    };
    let [top, left, bottom, right] = zeros(&shape(Padding::Same));
    let wanted = match (case.text("auto_pad").as_deref(), case.sizes("pads")) {
        (None | Some("NOTSET"), pads) => pads.unwrap_or([0; 4]),
        (Some("VALID"), None) => [0; 4],
        (Some("SAME_UPPER"), None) => [top, left, bottom, right],
        // The odd row above. Where there is none, it is the same.
        (Some("SAME_LOWER"), None) => [bottom, right, top, left],
        other => panic!("{other:?}"),
    };
    let [_, _, oh, ow] = images(case.output(0).unwrap());
    let mut ours = [Padding::Valid, Padding::Same].map(shape).into_iter();
    let ours = ours.find(|shape| zeros(shape) == wanted && (shape.oh(), shape.ow()) == (oh, ow));
    let shape = &ours.expect("zeros where none of our paddings has them");

    let x = channels_last(x).to_f32();
    let w = transposed(kernel, &[2, 3, 1, 0]).to_f32();
    let bias = case.optional(2).map_or(vec![0.0; oc], Golden::to_f32);
    for_each_isa(|isa| {
        for algorithm in Algorithm::available(isa, shape, conv2d::Pass::Forward) {
            let (mut y, workspace) = (poisoned(shape.y_len()), &mut conv2d::Workspace::default());
            conv2d::Forward { shape, x: &x, w: &w, bias: &bias, relu: false, y: &mut y, workspace }
                .run_with(isa, algorithm);
            case.check_images(0, &y);
        }
    });
}

/// With the given statistics, or those of the batch, which the given ones then follow.
pub fn batch_normalization(case: &Case) {
    let x = channels_last(case.input(0)).to_f32();
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|at| case.input(at).to_f32());
    let (epsilon, momentum) = (case.float("epsilon").unwrap_or(1e-5), case.float("momentum").unwrap_or(0.9));
    let trains = case.int("training_mode").unwrap_or(0) == 1;
    for_each_isa(|isa| {
        let (workspace, mut y) = (&mut batch_norm::Workspace::default(), poisoned(x.len()));
        let mut normalise = |mean: &[f32], variance: &[f32]| {
            let by = Normalization { gamma: &gamma, beta: &beta, mean, variance, epsilon };
            batch_norm::forward(isa, &by, &x, &mut y, workspace);
            case.check_images(0, &y);
        };
        if !trains {
            return normalise(&mean, &variance);
        }
        let (mut batch_mean, mut batch_variance) = (poisoned(mean.len()), poisoned(mean.len()));
        let workspace = &mut batch_norm::Workspace::default();
        batch_norm::statistics(isa, &x, None, &mut batch_mean, &mut batch_variance, workspace);
        normalise(&batch_mean, &batch_variance);
        for (at, batch, moving) in [(1, batch_mean, &mean), (2, batch_variance, &variance)] {
            let mut moving = moving.clone();
            batch_norm::update_moving(momentum, &batch, &mut moving);
            case.check(at, &moving);
        }
    });
}

/// With the positions that won, which ONNX counts over the whole tensor, along rows or along columns.
pub fn max_pool(case: &Case) {
    let [n, c, h, w] = images(case.input(0));
    let [size, other] = case.sizes("kernel_shape").unwrap();
    assert_eq!((size, case.sizes("strides").unwrap_or([1, 1])), (other, [size, size]));
    assert_eq!((case.sizes("pads").unwrap_or([0; 4]), case.sizes("dilations").unwrap_or([1, 1])), ([0; 4], [1, 1]));
    assert!(case.int("ceil_mode").unwrap_or(0) == 0 && case.text("auto_pad").is_none());
    let along_columns = case.int("storage_order").unwrap_or(0) == 1;
    let shape = MaxPool2dShape::new(MaxPool2dSizes { n, h, w, c, size });
    let x = channels_last(case.input(0)).to_f32();
    for_each_isa(|isa| {
        let (mut y, mut argmax) = (poisoned(shape.y_len()), vec![0; shape.y_len()]);
        max_pool2d::forward(isa, &shape, &x, &mut y, &mut argmax);
        case.check_images(0, &y);
        let Some(positions) = case.output(1) else { return };
        let position = |(at, &winner): (usize, &u8)| {
            let (pixel, channel) = (at / c, at % c);
            let (image, oy, ox) =
                (pixel / (shape.oh() * shape.ow()), pixel / shape.ow() % shape.oh(), pixel % shape.ow());
            let (row, column) = (oy * size + usize::from(winner) / size, ox * size + usize::from(winner) % size);
            let in_plane = if along_columns { column * h + row } else { row * w + column };
            ((image * c + channel) * h * w + in_plane) as f64
        };
        let ours: Vec<f64> = argmax.iter().enumerate().map(position).collect();
        assert_eq!(ours, channels_last(positions).values);
    });
}

pub fn global_average_pool(case: &Case) {
    let [n, c, h, w] = images(case.input(0));
    let shape = GlobalAveragePool2dShape::new(GlobalAveragePool2dSizes { n, pixels: h * w, c });
    let x = channels_last(case.input(0)).to_f32();
    for_each_isa(|isa| {
        let mut y = poisoned(shape.y_len());
        global_average_pool2d::forward(isa, &shape, &x, &mut y);
        case.check(0, &y);
    });
}

/// `alpha * a * b + beta * c`, where `c` is a row or a number: both factors go into our weights and bias.
pub fn gemm(case: &Case) {
    let matrix = |at, turn: &str| match case.int(turn).unwrap_or(0) {
        0 => transposed(case.input(at), &[0, 1]),
        _ => transposed(case.input(at), &[1, 0]),
    };
    let (x, w) = (matrix(0, "transA"), matrix(1, "transB"));
    let (alpha, beta) = (case.float("alpha").unwrap_or(1.0), case.float("beta").unwrap_or(1.0));
    let (&[n, inputs], &[_, outputs]) = (&x.shape[..], &w.shape[..]) else { panic!("matrices") };
    let bias = case.optional(2).map_or(vec![0.0], Golden::to_f32);
    assert!(bias.len() == 1 || bias.len() == outputs, "{} values are added", bias.len());
    let bias: Vec<f32> = (0..outputs).map(|at| beta * bias[at % bias.len()]).collect();
    let w: Vec<f32> = w.to_f32().iter().map(|w| alpha * w).collect();
    let shape = &DenseShape::new(DenseSizes { n, inputs, outputs });
    for_each_isa(|isa| {
        let (mut y, workspace) = (poisoned(shape.y_len()), &mut dense::Workspace::default());
        dense::Forward { shape, x: &x.to_f32(), w: &w, bias: &bias, relu: false, y: &mut y, workspace }.run(isa);
        case.check(0, &y);
    });
}

/// What a model makes of the first operand, and the shape of that.
fn inferred(isa: Isa, spec: ModelSpec, x: &Golden) -> (Vec<usize>, Vec<f32>) {
    let mut model = Sequential::build(spec, isa, 1).unwrap();
    let y = model.forward(Input::F32(&x.to_f32()), Pass::Inference).values().to_vec();
    let n = x.shape[0];
    assert_eq!(y.len() % n, 0);
    (vec![n, y.len() / n], y)
}

/// In inference, and in training where nothing is dropped.
pub fn dropout(case: &Case) {
    let x = case.input(0);
    let per_image = x.values.len() / x.shape[0];
    let trains = case.optional(2).is_some_and(|trains| trains.values == [1.0]);
    let ratio = case.optional(1).map(|ratio| ratio.to_f32()[0]);
    // Of its own generator. ONNX before version 12 had the ratio here.
    let (_, ratio) = (case.int("seed"), case.float("ratio").or(ratio).unwrap_or(0.5));
    for_each_isa(|isa| {
        let y = if trains {
            assert_eq!(ratio, 0.0, "random numbers of another generator");
            let mut y = poisoned(x.values.len());
            inverted_dropout::apply(ratio, 1, 0, per_image, &x.to_f32(), &mut y);
            y
        } else {
            inferred(isa, ModelSpec::input(&[per_image]).dropout(ratio), x).1
        };
        case.check(0, &y);
    });
    assert!(case.output(1).is_none_or(|kept| kept.values.iter().all(|&kept| kept == 1.0)));
}

/// All axes but that of the images, in whatever order they have.
pub fn flatten(case: &Case) {
    let x = case.input(0);
    assert_eq!(case.axis(1), 1);
    for_each_isa(|isa| {
        let (shape, y) = inferred(isa, ModelSpec::input(&x.shape[1..]).flatten(), x);
        assert_eq!(shape, case.output(0).unwrap().shape);
        case.check(0, &y);
    });
}

pub fn space_to_depth(case: &Case) {
    let x = channels_last(case.input(0));
    let block = case.int("blocksize").unwrap() as usize;
    for_each_isa(|isa| {
        let (_, y) = inferred(isa, ModelSpec::input(&x.shape[1..]).space_to_depth(block).flatten(), &x);
        case.check_images(0, &y);
    });
}
