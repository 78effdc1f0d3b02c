//! Sizes and slices of any kind for the public kernels. What the bytes say is first the kernel, then the
//! instruction set, then sizes; the last of them make one of the slices longer or shorter.
//!
//! A kernel either computes finite numbers of finite ones, or panics, and it must panic where a slice has
//! another length than its shape says.

use onesheet_kernels::batch_norm::{self, Normalization};
use onesheet_kernels::conv_block::{self, Affine, ConvBlockShape, Source};
use onesheet_kernels::conv2d::{self, Algorithm, Conv2dShape, Conv2dSizes, PackedWeights, Padding, Pass};
use onesheet_kernels::dense::{self, DenseShape, DenseSizes};
use onesheet_kernels::dropout;
use onesheet_kernels::global_average_pool2d::{self, GlobalAveragePool2dShape, GlobalAveragePool2dSizes};
use onesheet_kernels::join;
use onesheet_kernels::loss::{self, CrossEntropy};
use onesheet_kernels::max_pool2d::{self, MaxPool2dShape, MaxPool2dSizes};
use onesheet_kernels::optim::{Rule, Sgd, Step};
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// The most multiplications of a case, so that it takes milliseconds.
const MOST: usize = 1 << 20;

thread_local! {
    static EXPECTS_PANIC: Cell<bool> = const { Cell::new(false) };
}

/// Whether `work` panics. Nothing is printed then, and no hook of libFuzzer ends the process.
fn panics(work: impl FnOnce()) -> bool {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if !EXPECTS_PANIC.get() {
                others(info);
            }
        }));
    });
    EXPECTS_PANIC.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTS_PANIC.set(false);
    result.is_err()
}

/// The numbers that the bytes stand for.
struct Numbers<'a> {
    bytes: &'a [u8],
    /// Which of the slices to come has another length, and by how much.
    wrong: Option<(usize, isize)>,
    slices: usize,
}

impl Numbers<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        usize::from(first)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.byte() % bound
    }

    /// Mostly small, sometimes as large as numbers are.
    fn size(&mut self) -> usize {
        match self.byte() {
            255 => (0..8).fold(0, |size, _| size << 8 | self.byte()),
            byte => byte % 40,
        }
    }

    /// Decides whether one of `of` slices is to be wrong.
    fn choose_wrong(&mut self, of: usize) {
        let by = self.byte();
        let which = self.below(of);
        self.wrong = (by % 4 == 3).then_some((which, [1, -1, 8, -16][by / 4 % 4]));
    }

    /// The length of the next slice, in place of `len`. An empty one cannot be shorter.
    fn len(&mut self, len: usize) -> usize {
        let this = self.slices;
        self.slices += 1;
        match self.wrong {
            Some((which, by)) if which == this => len.checked_add_signed(by).unwrap_or(len + 1),
            _ => len,
        }
    }

    /// The next slice: finite numbers of no pattern.
    fn f32s(&mut self, len: usize) -> Vec<f32> {
        let seed = self.byte() as u32;
        let value = |i: u32| ((i ^ seed).wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        (0..self.len(len) as u32).map(value).collect()
    }

    /// Runs `work`, which has to panic if one of its slices is wrong, and must leave finite numbers if
    /// none is. A shape is no reason to panic: it was made before.
    fn run(&self, what: &dyn std::fmt::Debug, work: impl FnOnce() -> Vec<Vec<f32>>) {
        let mut results = Vec::new();
        if self.wrong.is_some() {
            assert!(panics(|| results = work()), "{what:?} with a wrong slice: {:?}", self.wrong);
            return;
        }
        for (i, result) in work().iter().enumerate() {
            assert!(result.iter().all(|value| value.is_finite()), "result {i} of {what:?}");
        }
    }
}

pub fn kernels(bytes: &[u8]) {
    let numbers = &mut Numbers { bytes, wrong: None, slices: 0 };
    let which = numbers.below(8);
    let isas = Isa::available();
    let mut isa = isas[numbers.below(isas.len())];
    if numbers.below(4) == 0 {
        isa = isa.with_precision(Precision::Bf16);
    }
    match which {
        0 | 1 => convolution(isa, numbers),
        2 => block(isa, numbers),
        3 => dense_layer(isa, numbers),
        4 => poolings(isa, numbers),
        5 => normalisation(isa, numbers),
        6 => optimiser(isa, numbers),
        _ => losses(numbers),
    }
}

fn conv_shape(numbers: &mut Numbers) -> Option<Conv2dShape> {
    let [n, h, w, ic, oc] = [0; 5].map(|_| numbers.size());
    let [kh, kw] = [0; 2].map(|_| if numbers.below(2) == 0 { 3 } else { numbers.size() % 7 });
    let stride = if numbers.below(2) == 0 { 1 } else { numbers.size() };
    let padding = if numbers.below(2) == 0 { Padding::Same } else { Padding::Valid };
    let shape = Conv2dShape::try_new(Conv2dSizes { n, h, w, ic, oc, kh, kw, stride, padding }).ok()?;
    let lens = [shape.x_len(), shape.y_len(), shape.w_len()].into_iter().max()?;
    let is_small = lens <= MOST && shape.y_len().checked_mul(shape.w_len() / oc).is_some_and(|count| count <= MOST);
    is_small.then_some(shape)
}

fn convolution(isa: Isa, numbers: &mut Numbers) {
    let Some(shape) = &conv_shape(numbers) else { return };
    let pass = [Pass::Forward, Pass::BackwardX, Pass::BackwardW][numbers.below(3)];
    let algorithms = Algorithm::available(isa, shape, pass);
    let algorithm = algorithms[numbers.below(algorithms.len())];
    numbers.choose_wrong(4);
    let workspace = &mut conv2d::Workspace::default();
    let what = (shape, pass, algorithm, isa);
    match pass {
        Pass::Forward => {
            let (x, w) = (numbers.f32s(shape.x_len()), numbers.f32s(shape.w_len()));
            let (bias, mut y) = (numbers.f32s(shape.oc), numbers.f32s(shape.y_len()));
            numbers.run(&what, || {
                let (x, w, bias) = (&x, &w, &bias);
                conv2d::Forward { shape, x, w, bias, relu: true, y: &mut y, workspace }.run_with(isa, algorithm);
                vec![y]
            });
        }
        Pass::BackwardX => {
            numbers.wrong = numbers.wrong.filter(|wrong| wrong.0 < 3);
            let (dy, w, mut dx) =
                (numbers.f32s(shape.y_len()), numbers.f32s(shape.w_len()), numbers.f32s(shape.x_len()));
            numbers.run(&what, || {
                conv2d::BackwardX { shape, dy: &dy, w: &w, dx: &mut dx, workspace }.run_with(isa, algorithm);
                vec![dx]
            });
        }
        Pass::BackwardW => {
            let (x, dy) = (numbers.f32s(shape.x_len()), numbers.f32s(shape.y_len()));
            let (mut dw, mut db) = (numbers.f32s(shape.w_len()), numbers.f32s(shape.oc));
            numbers.run(&what, || {
                let (dw, db) = (&mut dw[..], &mut db[..]);
                conv2d::BackwardW { shape, x: &x, dy: &dy, dw, db, workspace }.run_with(isa, algorithm);
                vec![dw.to_vec(), db.to_vec()]
            });
        }
    }
}

fn block(isa: Isa, numbers: &mut Numbers) {
    let Some(shape) = conv_shape(numbers).and_then(|conv| ConvBlockShape::try_new(conv).ok()) else { return };
    let conv = shape.conv();
    numbers.choose_wrong(6);
    let (x, w, bias) = (numbers.f32s(conv.x_len()), numbers.f32s(conv.w_len()), numbers.f32s(conv.oc));
    let (mean, scale, mut y) = (numbers.f32s(conv.oc), numbers.f32s(conv.oc), numbers.f32s(shape.p_len()));
    numbers.run(&(&shape, isa), || {
        let mut weights = PackedWeights::default();
        weights.pack(isa, conv, &w);
        let norm = Affine { mean: &mean, scale: &scale, beta: &mean };
        let (x, weights) = (Source::F32(&x), &weights);
        conv_block::Inference { shape: &shape, x, weights, bias: &bias, norm, y: &mut y }.run(isa);
        vec![y]
    });
}

fn dense_layer(isa: Isa, numbers: &mut Numbers) {
    let [n, inputs, outputs] = [0; 3].map(|_| numbers.size());
    let Ok(shape) = DenseShape::try_new(DenseSizes { n, inputs, outputs }) else { return };
    if [shape.x_len(), shape.w_len(), shape.y_len()].into_iter().any(|len| len > MOST) {
        return;
    }
    let pass = numbers.below(3);
    numbers.choose_wrong(3);
    let workspace = &mut dense::Workspace::default();
    let (mut x, mut w, mut y) = (numbers.f32s(shape.x_len()), numbers.f32s(shape.w_len()), numbers.f32s(shape.y_len()));
    let mut bias = vec![0.5; outputs];
    let shape = &shape;
    numbers.run(&(shape, pass, isa), || {
        match pass {
            0 => dense::Forward { shape, x: &x, w: &w, bias: &bias, relu: false, y: &mut y, workspace }.run(isa),
            1 => dense::BackwardX { shape, dy: &y, w: &w, dx: &mut x, workspace }.run(isa),
            _ => dense::BackwardW { shape, x: &x, dy: &y, dw: &mut w, db: &mut bias }.run(isa),
        }
        vec![x, w, y, bias]
    });
}

fn poolings(isa: Isa, numbers: &mut Numbers) {
    let [n, h, w, c, size] = [0; 5].map(|_| numbers.size());
    if let Ok(shape) = MaxPool2dShape::try_new(MaxPool2dSizes { n, h, w, c, size })
        && shape.x_len() <= MOST
    {
        numbers.choose_wrong(2);
        let (x, mut y) = (numbers.f32s(shape.x_len()), numbers.f32s(shape.y_len()));
        // Any bytes may be in the places of the largest.
        let argmax: Vec<u8> = (0..shape.y_len()).map(|i| (i * 37) as u8).collect();
        numbers.run(&(&shape, isa), || {
            let (mut dx, mut places) = (vec![0.0; shape.x_len()], vec![0; shape.y_len()]);
            max_pool2d::forward(isa, &shape, &x, &mut y, &mut places);
            max_pool2d::backward(isa, &shape, &places, &y, &mut dx);
            max_pool2d::backward(isa, &shape, &argmax, &y, &mut dx);
            vec![y, dx]
        });
        return;
    }
    if let Ok(shape) = GlobalAveragePool2dShape::try_new(GlobalAveragePool2dSizes { n, pixels: h, c })
        && shape.x_len() <= MOST
    {
        numbers.choose_wrong(2);
        let (x, mut y) = (numbers.f32s(shape.x_len()), numbers.f32s(shape.y_len()));
        numbers.run(&(&shape, isa), || {
            let mut dx = vec![0.0; shape.x_len()];
            global_average_pool2d::forward(isa, &shape, &x, &mut y);
            global_average_pool2d::backward(isa, &shape, &y, &mut dx);
            join::scale_channels(isa, &shape, &x, &y, &mut dx);
            vec![y, dx]
        });
    }
}

fn normalisation(isa: Isa, numbers: &mut Numbers) {
    let (pixels, c) = (1 + numbers.byte() * 9, 1 + numbers.byte() * numbers.below(40));
    if pixels * c > MOST {
        return;
    }
    numbers.choose_wrong(3);
    let [mut mean, mut variance] = [0; 2].map(|_| numbers.f32s(c));
    let mut y = numbers.f32s(pixels * c);
    let (x, workspace) = (vec![0.5; pixels * c], &mut batch_norm::Workspace::default());
    numbers.run(&(pixels, c, isa), || {
        batch_norm::statistics(isa, &x, None, &mut mean, &mut variance, workspace);
        let by = Normalization { gamma: &mean, beta: &mean, mean: &mean, variance: &variance, epsilon: 1e-3 };
        batch_norm::forward(isa, &by, &x, &mut y, workspace);
        vec![mean, variance, y]
    });
}

fn optimiser(isa: Isa, numbers: &mut Numbers) {
    let len = numbers.byte() * numbers.byte();
    let rule = if numbers.below(2) == 0 { Rule::adam(0.1) } else { Rule::Sgd(Sgd::new(0.1)) };
    let first = numbers.below(300) as u64;
    numbers.choose_wrong(3);
    let [first_len, second_len] = rule.state_lens(len);
    let (g, mut w, mut first_state) = (numbers.f32s(len), numbers.f32s(len), numbers.f32s(first_len));
    numbers.run(&(len, rule, isa), || {
        first_state.iter_mut().for_each(|value| *value = value.abs());
        let mut second = vec![0.5; second_len];
        Step { rule, number: 1 + first }.run(isa, &g, [&mut first_state, &mut second], &mut w);
        vec![w, first_state, second]
    });
}

fn losses(numbers: &mut Numbers) {
    let (n, classes) = (1 + numbers.byte(), 1 + numbers.byte());
    let is_softmax = numbers.below(2) == 0;
    numbers.choose_wrong(4);
    let (logits, mut labels) = (numbers.f32s(n * classes), numbers.f32s(n * classes));
    let (mut probabilities, mut dlogits) = (numbers.f32s(n * classes), numbers.f32s(n * classes));
    labels.iter_mut().enumerate().for_each(|(i, label)| *label = if i % classes == 0 { 1.0 } else { 0.0 });
    numbers.run(&(n, classes, is_softmax), || {
        let of = CrossEntropy::plain(classes, &logits, &labels);
        let entropy = if is_softmax { loss::softmax_cross_entropy } else { loss::sigmoid_cross_entropy };
        entropy(&of, &mut probabilities, &mut dlogits);
        let mut dropped = vec![0.0; dlogits.len()];
        dropout::apply(0.5, 1, 0, classes, &dlogits, &mut dropped);
        vec![probabilities, dlogits, dropped]
    });
}
