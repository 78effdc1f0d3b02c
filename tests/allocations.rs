//! A steady training step asks for no memory: its buffers are claimed with the first batch, and
//! are as large as the plan says. A decoder that is warm asks for what the libraries that decode and
//! resize ask for, and no more; a warm teacher asks for none.
//!
//! A test binary of its own, because a process has one allocator.

#[path = "../benches/step/allocations.rs"]
mod allocations;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use onesheet::classifier::teacher::{Student, Teacher};
use onesheet::classifier::{Classifier, Meta};
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::transform::Views;
use onesheet::nn::{
    AuxiliaryHeads, Average, Head, Input, Isa, ModelSpec, Objective, Optimizer, Padding, Pass, Rule, Sequential, Sgd,
    Trainer,
};
use onesheet::run::recipe::Recipe;
use onesheet_kernels::batch_norm::{self, Gradients, Normalization};
use onesheet_kernels::conv2d::{self, Conv2dShape, Conv2dSizes};
use onesheet_kernels::dense::{self, DenseShape, DenseSizes};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting::new(keep_backtrace);

const SIDE: usize = 64;
const CLASSES: usize = 19;
const BATCH: usize = 4;

/// Where the allocations that were counted came from.
static BACKTRACES: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread works for the test that counts. The harness and starting threads
    /// allocate, too; what a test starts itself allocates on the thread that starts it.
    static WORKS: Cell<bool> = const { Cell::new(false) };
}

fn keep_backtrace() -> bool {
    if !WORKS.get() {
        return false;
    }
    // A backtrace costs little until it is printed; this many show enough.
    let mut backtraces = BACKTRACES.lock().unwrap();
    if backtraces.len() < 1_000 {
        backtraces.push(Backtrace::force_capture());
    }
    true
}

/// The line of ours that each allocation came from, with how many there were.
fn sites() -> String {
    let mut sites = BTreeMap::<String, usize>::new();
    for backtrace in &*BACKTRACES.lock().unwrap() {
        let text = backtrace.to_string();
        let files = text.lines().filter_map(|line| line.trim().strip_prefix("at "));
        let ours = |file: &&str| file.contains("src/") && !file.contains("/rustc/") && !file.contains("/registry/");
        *sites.entry(files.clone().find(ours).unwrap_or(&text).to_owned()).or_default() += 1;
    }
    sites.iter().map(|(site, count)| format!("{count:>5} x {site}\n")).collect()
}

/// The poster model on small images, and the same layers in an order that no fused block matches, one
/// of them with windows that no tile matches.
fn models() -> [ModelSpec; 2] {
    [false, true].map(|relu_last| {
        let mut spec = ModelSpec::input(&[SIDE, SIDE, 3]);
        for filters in [16, 32, 64] {
            let kernel = if relu_last && filters == 32 { 5 } else { 3 };
            spec = spec.conv2d(filters, kernel, Padding::Valid);
            spec = if relu_last { spec.batch_norm(0.99).relu() } else { spec.relu().batch_norm(0.99) };
            spec = spec.max_pool2d(2);
        }
        spec.flatten().dense(64).relu().dropout(0.5).dense(CLASSES)
    })
}

/// An objective, a rule, the share that an average of the weights keeps, and the norm that gradients
/// are clipped to.
type Way = (Objective, Rule, Option<f64>, Option<f32>);

/// Every way of training that a recipe can ask for, beside the plain one.
fn objectives_and_rules() -> Vec<Way> {
    let plain = || Objective::from(Head::Sigmoid);
    let sgd = Sgd { momentum: 0.9, nesterov: true, ..Sgd::new(1e-3) };
    vec![
        (plain(), Rule::adam(1e-3), None, None),
        // Nothing is clipped, and everything.
        (plain(), Rule::adam(1e-3), None, Some(1e9)),
        (plain(), Rule::adam(1e-3), None, Some(1e-9)),
        (plain(), Rule::adamw(1e-3, 0.05), Some(0.9), None),
        (Head::Softmax.into(), Rule::Sgd(sgd), Some(0.9), None),
        (
            Objective { class_weights: Some(vec![2.0; CLASSES]), focus: 1.5, smoothing: 0.1, ..plain() },
            Rule::adam(1e-3),
            None,
            None,
        ),
        (
            Objective { auxiliary: Some(AuxiliaryHeads { outputs: vec![1, 1], weight: 0.3 }), ..plain() },
            Rule::adam(1e-3),
            None,
            None,
        ),
    ]
}

/// Allocations in 10 steps on the current pool of two workers, after each of them has met every
/// kind of task, whose working memory it then keeps.
fn allocations_in_10_steps(spec: &ModelSpec, (objective, rule, ema, clip_norm): Way) -> usize {
    let mut model = Sequential::build(spec.clone(), Isa::choose().unwrap(), 1).unwrap();
    let mut optimizer = Optimizer::new(rule, &mut model);
    optimizer.clip_norm = clip_norm;
    let one_class = objective.head == Head::Softmax;
    let mut trainer = Trainer::new(objective, optimizer, 1);
    trainer.average = ema.map(|decay| Average::new(decay, &model));
    let training = Mutex::new((model, trainer));
    let images: Vec<u8> = (0..BATCH * SIDE * SIDE * 3).map(|i| (i * 7919 % 251) as u8).collect();
    let every = if one_class { CLASSES } else { 7 };
    let labels: Vec<f32> = (0..BATCH * CLASSES).map(|i| f32::from(i % every == 0)).collect();
    let steps = |count| {
        let (model, trainer) = &mut *training.lock().unwrap();
        for _ in 0..count {
            assert!(trainer.step(model, Input::U8(&images), &labels).is_finite());
        }
    };
    // Each does all the tasks of some steps while the other waits and can take none.
    let turn_ends = Barrier::new(2);
    rayon::broadcast(|worker| {
        for turn in 0..2 {
            if worker.index() == turn {
                steps(3);
            }
            turn_ends.wait();
        }
    });
    steps(10);
    ALLOCATOR.during(|| steps(10))
}

/// A pool whose workers have started, and are counted from there on.
fn counted_pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    // Workers outlive their pool for a moment, in which they may allocate.
    let pool = pool.start_handler(|_| WORKS.set(true)).exit_handler(|_| WORKS.set(false)).build().unwrap();
    pool.broadcast(|_| assert!(WORKS.get()));
    pool
}

/// There is one count: one test at a time, whose thread counts as long as this lives.
struct Alone {
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        WORKS.set(true);
        Self { _turn: turn }
    }
}

impl Drop for Alone {
    /// Before the turn ends: the harness tells of a test's end on the test's thread.
    fn drop(&mut self) {
        WORKS.set(false);
    }
}

/// Allocations of a warm decoder for 10 posters of a size, and those of the libraries that it uses.
fn allocations_for_10_posters(width: u16, height: u16) -> (usize, usize) {
    let (mut file, samples) = (Vec::new(), usize::from(width) * usize::from(height) * 3);
    let mut pixels: Vec<u8> = (0..samples).map(|i| (i / 700) as u8).collect();
    let encoder = jpeg_encoder::Encoder::new(&mut file, 80);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    let (mut decoder, mut out) = (Decoder::new(), vec![0; ImageSpec::POSTER.bytes()]);
    let mut ours = || decoder.decode_bytes(&file, ImageSpec::POSTER, &mut out).unwrap();
    (0..3).for_each(|_| ours());
    let ours = ALLOCATOR.during(|| (0..10).for_each(|_| ours()));

    let mut resizer = Resizer::new();
    let resizing = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    let mut library = || {
        let options = DecoderOptions::default().set_strict_mode(true);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&file[..]), options);
        decoder.decode_headers().unwrap();
        decoder.decode_into(&mut pixels).unwrap();
        let from = TypedImageRef::<U8x3>::from_buffer(width.into(), height.into(), &pixels).unwrap();
        let mut to = TypedImage::<U8x3>::from_buffer(256, 256, &mut out).unwrap();
        resizer.resize_typed(&from, &mut to, &resizing).unwrap();
    };
    (0..3).for_each(|_| library());
    let library = ALLOCATOR.during(|| (0..10).for_each(|_| library()));
    (ours, library)
}

#[test]
fn a_steady_decoder_allocates_what_its_libraries_do_and_no_more() {
    let _alone = Alone::new();
    let (ours, library) = allocations_for_10_posters(180, 270);
    assert!(ours <= library, "{ours} allocations for 10 posters, {library} of them the libraries', from\n{}", sites());
}

#[test]
fn a_decoder_gives_back_what_posters_of_more_than_8_million_pixels_took() {
    let _alone = Alone::new();
    let (ours, library) = allocations_for_10_posters(2900, 2900);
    assert!(ours >= library + 10, "{ours} allocations for 10 posters, {library} of them the libraries'");
}

#[test]
fn a_steady_step_allocates_nothing() {
    let _alone = Alone::new();
    let pool = counted_pool(2);
    // Inside the pool throughout: to enter it may allocate.
    for model in models() {
        for way in objectives_and_rules() {
            let described = format!("{way:?}");
            let allocations = pool.install(|| allocations_in_10_steps(&model, way));
            assert_eq!(allocations, 0, "in 10 steps of {described}, from\n{}", sites());
        }
    }
}

#[test]
fn a_steady_teacher_allocates_nothing() {
    let _alone = Alone::new();
    let pool = counted_pool(1);
    let images = vec![100; BATCH * SIDE * SIDE * 3];
    let labels = [0.5; BATCH * (CLASSES - 1)];
    for head in [Head::Sigmoid, Head::Softmax] {
        let genres: Vec<String> = (0..CLASSES).map(|genre| genre.to_string()).collect();
        let network = |seed| Sequential::build(models()[0].clone(), Isa::choose().unwrap(), seed).unwrap();
        let (experiment, views) = ("somebody's".to_owned(), Views::One);
        let (max_genres, epoch, best, thresholds) = (3, None, None, None);
        let meta = Meta { experiment, head, genres: genres.clone(), max_genres, epoch, best, thresholds, views };
        let ensemble = Classifier { meta, network: network(1), others: vec![network(2)] };
        let student = Student { head, genres: &genres[1..], input: ImageSpec { height: SIDE, width: SIDE } };
        let mut teacher = Teacher::new(ensemble, student, 0.7).unwrap_or_else(|(what, _)| panic!("{what}"));
        let allocations = pool.install(|| {
            let mut targets = || assert!(teacher.targets(&images, &labels).iter().all(|target| target.is_finite()));
            (0..3).for_each(|_| targets());
            ALLOCATOR.during(|| (0..10).for_each(|_| targets()))
        });
        assert_eq!(allocations, 0, "in 10 batches, from\n{}", sites());
    }
}

#[test]
fn a_reserved_model_allocates_nothing_from_its_first_pass() {
    const MOST: usize = 8;
    let _alone = Alone::new();
    let pool = counted_pool(1);
    let images = vec![100; MOST * SIDE * SIDE * 3];
    let d_output = [0.1; MOST * CLASSES];
    for (spec, n) in models().into_iter().flat_map(|spec| [MOST, 3, 1].map(|n| (spec.clone(), n))) {
        let passes = |model: &mut Sequential| {
            let images = Input::U8(&images[..n * SIDE * SIDE * 3]);
            model.forward(images, Pass::Training { seed: 1, step: 0, first: 0 });
            model.backward(&d_output[..n * CLASSES]);
            model.forward(images, Pass::Inference);
        };
        let build = || Sequential::build(spec.clone(), Isa::choose().unwrap(), 1).unwrap();
        let allocations = pool.install(|| {
            // The thread's own working memory is not the model's: it stays from one model to the
            // next.
            passes(&mut build());
            let mut model = build();
            model.reserve(MOST);
            ALLOCATOR.during(|| passes(&mut model))
        });
        assert_eq!(allocations, 0, "with {n} images of {MOST} reserved, from\n{}", sites());
    }
}

/// The bytes that a model holds after a pass over `n` images, with all that its thread works in.
fn bytes_held(spec: &ModelSpec, n: usize, rule: Option<Rule>) -> usize {
    let images = vec![100; n * spec.input.iter().product::<usize>()];
    let labels: Vec<f32> = (0..n * CLASSES).map(|i| f32::from(i % 7 == 0)).collect();
    let of_pass = || {
        let before = ALLOCATOR.live();
        let mut model = Sequential::build(spec.clone(), Isa::choose().unwrap(), 1).unwrap();
        if let Some(rule) = rule {
            let optimizer = Optimizer::new(rule, &mut model);
            model.reserve(n);
            Trainer::new(Head::Sigmoid, optimizer, 1).step(&mut model, Input::U8(&images), &labels);
        } else {
            model.forward(Input::U8(&images), Pass::Inference);
        }
        ALLOCATOR.live() - before
    };
    // What a thread works in is gone when it is joined; a pool does not join its own.
    let worker =
        || rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap().install(of_pass);
    std::thread::scope(|scope| scope.spawn(worker).join().unwrap())
}

/// To within 1 % for the recipes' models; in small ones, what is left out counts more.
#[test]
fn a_model_claims_the_memory_that_its_plan_says() {
    let _alone = Alone::new();
    let recipes = [Recipe::best(), Recipe::report()].map(|recipe| (recipe.model(CLASSES), 0.01));
    let rules = [None, Some(Rule::adam(1e-3)), Some(Rule::Sgd(Sgd::new(1e-3)))];
    // A part of the last block's channels takes more than all of them do together.
    let parts = [64, 160].into_iter().fold(ModelSpec::input(&[8, 8, 3]), |spec, filters| {
        spec.conv2d(filters, 3, Padding::Same).relu().batch_norm(0.99).max_pool2d(2)
    });
    let small = models().into_iter().chain([parts.flatten().dense(CLASSES)]).map(|spec| (spec, 0.05));
    for (spec, tolerance) in recipes.into_iter().chain(small) {
        for rule in rules {
            let planned = |n| spec.memory(Isa::choose().unwrap(), n, rule.as_ref()).unwrap().total(1);
            for n in [1, 2, 12] {
                let (planned, held) = (planned(n) as f64, bytes_held(&spec, n, rule) as f64);
                let close = (planned / held - 1.0).abs() < tolerance;
                assert!(close, "{planned} bytes of {held} with {n} images, {rule:?}, of {spec:?}");
            }
            assert!((1..100).map(planned).is_sorted(), "{rule:?} of {spec:?}");
        }
    }
}

/// Allocations of `pass` with a workspace that `reserve` has claimed memory for; another pass has
/// warmed up what the thread keeps.
fn allocations_after_reserve<W: Default>(reserve: impl FnOnce(&mut W), mut pass: impl FnMut(&mut W)) -> usize {
    pass(&mut W::default());
    let mut workspace = W::default();
    reserve(&mut workspace);
    ALLOCATOR.during(|| pass(&mut workspace))
}

#[test]
fn passes_in_a_reserved_workspace_allocate_nothing() {
    let _alone = Alone::new();
    let pool = counted_pool(1);
    let zeros = |len: usize| vec![0.0f32; len];
    // For up to 20 images. A smaller batch is cut into more parts.
    for (isa, n) in Isa::available().into_iter().flat_map(|isa| [1, 3, 16, 20].map(|n| (isa, n))) {
        let of = |n| {
            Conv2dShape::new(Conv2dSizes {
                n,
                h: 40,
                w: 9,
                ic: 16,
                oc: 32,
                kh: 3,
                kw: 3,
                stride: 1,
                padding: Padding::Same,
            })
        };
        let conv = of(n);
        let (x, w, dy) = (zeros(conv.x_len()), zeros(conv.w_len()), zeros(conv.y_len()));
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
        let (bias, mut db) = (zeros(32), zeros(32));
        let conv2d = |workspace: &mut conv2d::Workspace| {
            let (shape, x, w, dy, bias) = (&conv, &x, &w, &dy, &bias);
            conv2d::Forward { shape, x, w, bias, relu: true, y: &mut y, workspace }.run(isa);
            conv2d::BackwardX { shape, dy, w, dx: &mut dx, workspace }.run(isa);
            conv2d::BackwardW { shape, x, dy, dw: &mut dw, db: &mut db, workspace }.run(isa);
        };
        let of_conv2d = pool
            .install(|| allocations_after_reserve(|w: &mut conv2d::Workspace| w.reserve(isa, &of(20), true), conv2d));

        let of = |n| DenseShape::new(DenseSizes { n, inputs: 700, outputs: 19 });
        let shape = &of(n);
        let (x, w, dy) = (zeros(n * 700), zeros(700 * 19), zeros(n * 19));
        let (mut y, mut dx, bias) = (dy.clone(), x.clone(), zeros(19));
        let dense = |workspace: &mut dense::Workspace| {
            dense::Forward { shape, x: &x, w: &w, bias: &bias, relu: true, y: &mut y, workspace }.run(isa);
            dense::BackwardX { shape, dy: &dy, w: &w, dx: &mut dx, workspace }.run(isa);
        };
        let of_dense =
            pool.install(|| allocations_after_reserve(|w: &mut dense::Workspace| w.reserve(&of(20), true), dense));

        let c = 5;
        let (x, ones, beta) = (zeros(n * 5000 * c), vec![1.0; c], zeros(c));
        let (mut y, mut dx) = (x.clone(), x.clone());
        let (mut mean, mut variance, mut dgamma, mut dbeta) = (zeros(c), zeros(c), zeros(c), zeros(c));
        let batch_norm = |workspace: &mut batch_norm::Workspace| {
            batch_norm::statistics(isa, &x, None, &mut mean, &mut variance, workspace);
            let by = Normalization { gamma: &ones, beta: &beta, mean: &mean, variance: &variance, epsilon: 1e-3 };
            batch_norm::forward(isa, &by, &x, &mut y, workspace);
            let to = Gradients { dx: Some(&mut dx), dgamma: &mut dgamma, dbeta: &mut dbeta };
            batch_norm::backward(isa, &by, &x, &x, None, to, workspace);
        };
        let reserve = |w: &mut batch_norm::Workspace| w.reserve(20 * 5000 * c, c);
        let of_batch_norm = pool.install(|| allocations_after_reserve(reserve, batch_norm));
        assert_eq!([of_conv2d, of_dense, of_batch_norm], [0; 3], "{n} images on {}, from\n{}", isa.name(), sites());
    }
}
