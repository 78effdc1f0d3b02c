//! The framework: shapes, parameter counts, gradients of whole models, and the same bits on any
//! number of threads.

use crate::common::{Data, assert_close, assert_same_bits, fused, on_1_2_3_threads, wide};
use onesheet::Error;
use onesheet::nn::{
    Head, Input, Isa, LayerSpec, ModelSpec, Objective, Optimizer, Padding, Pass, Precision, Role, Rule, Sequential,
    Sgd, Trainer,
};
use onesheet_kernels::image::space_to_depth;
use proptest::prelude::*;

/// The poster model of the three experiments.
fn poster_model(genres: usize) -> ModelSpec {
    let mut spec = ModelSpec::input(&[256, 256, 3]);
    for filters in [16, 32, 64] {
        spec = spec.conv2d(filters, 3, Padding::Valid).relu().batch_norm(0.99).max_pool2d(2);
    }
    spec.flatten().dense(64).relu().dropout(0.5).dense(genres)
}

/// Two blocks and a dense layer on small images.
fn small_model(h: usize, w: usize, padding: Padding, classes: usize) -> ModelSpec {
    let conv = LayerSpec::Conv2d { filters: 5, kernel: [2, 3], stride: 2, padding };
    let spec = ModelSpec::input(&[h, w, 3]).conv2d(4, 3, padding).relu().batch_norm(0.9).max_pool2d(2);
    spec.layer(conv).batch_norm(0.9).relu().flatten().dense(7).relu().dropout(0.3).dense(classes)
}

/// A block, then a branch that is added to it with squeeze-and-excite at its end, and a sum of vectors.
fn residual_model(h: usize, w: usize, padding: Padding, classes: usize) -> ModelSpec {
    let spec = ModelSpec::input(&[h, w, 3]).conv2d(6, 3, padding).relu().batch_norm(0.9).max_pool2d(2);
    let branch = |spec: ModelSpec| {
        let normalised = |spec: ModelSpec| spec.conv2d(6, 3, Padding::Same).relu().batch_norm(0.9);
        normalised(normalised(spec)).squeeze_excite(4)
    };
    let spec = spec.residual(branch).conv2d(5, 3, padding).relu().batch_norm(0.9);
    spec.global_average_pool2d().dense(7).residual(|spec| spec.dense(7).relu().dropout(0.3)).dense(classes)
}

/// The values of all parameters.
fn values(model: &Sequential) -> Vec<Vec<f32>> {
    model.parameters().iter().map(|parameter| parameter.value.to_vec()).collect()
}

fn best() -> Isa {
    Isa::available()[0]
}

#[test]
fn the_poster_model_has_keras_parameter_counts() {
    let model = Sequential::build(poster_model(19), best(), 1).unwrap();
    assert_eq!(model.parameter_counts(), (3_711_731, 3_711_507));
    let names: Vec<String> = model.parameters().iter().map(|parameter| parameter.name()).collect();
    assert_eq!(names[..4], ["conv2d/kernel", "conv2d/bias", "batch_normalization/gamma", "batch_normalization/beta"]);
    assert!(names.contains(&"conv2d_2/kernel".into()) && names.contains(&"dense_1/bias".into()));
    let summary = model.summary();
    assert!(summary.contains("3,711,731") && summary.contains("127 x 127 x 16"), "{summary}");
    let multiply_adds = 254 * 254 * 16 * 27 + 125 * 125 * 32 * 144 + 60 * 60 * 64 * 288 + 57_600 * 64 + 64 * 19;
    assert_eq!(model.forward_flops(), 2 * multiply_adds);
}

#[test]
fn the_spec_names_the_parameters_that_the_model_has() {
    let spec = small_model(13, 12, Padding::Same, 3);
    let model = Sequential::build(spec.clone(), best(), 1).unwrap();
    let built = model.parameters().into_iter().map(|p| (p.layer.clone(), p.role, p.shape.clone()));
    let plan = spec.plan().unwrap();
    let planned = plan
        .iter()
        .flat_map(|layer| layer.parameters.iter().map(|(role, shape)| (layer.name.clone(), *role, shape.clone())));
    assert_eq!(built.collect::<Vec<_>>(), planned.collect::<Vec<_>>());
}

#[test]
fn glorot_uniform_fills_its_range() {
    let model = Sequential::build(ModelSpec::input(&[60]).dense(40), best(), 3).unwrap();
    let kernel = model.parameters()[0];
    let limit = (6.0f32 / 100.0).sqrt();
    let largest = kernel.value.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    assert!(largest <= limit && largest > 0.99 * limit, "{largest} of {limit}");
    let variance = kernel.value.iter().map(|w| w * w).sum::<f32>() / kernel.value.len() as f32;
    assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.1, "{variance}");
}

#[test]
fn every_shape_error_surfaces_in_build() {
    let wrong = [
        (ModelSpec::input(&[4, 4, 3]).conv2d(8, 5, Padding::Valid), "conv2d after a shape of [4, 4, 3]"),
        (ModelSpec::input(&[8, 8, 3]).dense(4), "flatten first"),
        (ModelSpec::input(&[8, 8, 3]).flatten().max_pool2d(2), "it takes [height, width, channels]"),
        (ModelSpec::input(&[3, 3, 1]).max_pool2d(2).max_pool2d(2), "max_pooling2d_1"),
        (
            ModelSpec::input(&[8, 6, 3]).space_to_depth(4),
            "space_to_depth after a shape of [8, 6, 3]: its squares do not",
        ),
        (ModelSpec::input(&[8, 8, 3]).space_to_depth(0), "its squares do not fill the image"),
        (ModelSpec::input(&[8]).space_to_depth(2), "it takes images"),
        (ModelSpec::input(&[8, 8, 3]).relu().space_to_depth(2), "it comes before all other layers"),
        (ModelSpec::input(&[8]).dropout(1.0), "below 1"),
        (ModelSpec::input(&[8]).dense(0), "at least one unit"),
        (ModelSpec::input(&[0, 8, 3]).flatten(), "input"),
        (ModelSpec::input(&[8]).residual(|spec| spec.dense(8)), "add after a shape of [8]: it joins what one of the"),
        (ModelSpec::input(&[8]).dense(4).residual(|spec| spec), "it joins what one of the layers before gives"),
        (ModelSpec::input(&[8]).dense(4).layer(LayerSpec::Add { layers: usize::MAX }), "it joins what one of"),
        (ModelSpec::input(&[8]).dense(4).residual(|spec| spec.dense(5)), "it adds values of one shape"),
        (ModelSpec::input(&[8, 8, 3]).flatten().squeeze_excite(4), "global_average_pooling2d after a shape of [192]"),
        (ModelSpec::input(&[8, 8, 3]).relu().relu().layer(LayerSpec::Multiply { layers: 1 }), "one factor per channel"),
    ];
    for (spec, message) in wrong {
        let Err(error) = Sequential::build(spec, best(), 1) else { panic!("built: {message}") };
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn a_model_is_bounded() {
    let many = |count, mut spec: ModelSpec| {
        spec.layers.extend(vec![LayerSpec::Relu; count]);
        spec
    };
    let image = ModelSpec::input(&[256, 256, 3]);
    let window = |kernel, stride| LayerSpec::Conv2d { filters: 1, kernel, stride, padding: Padding::Same };
    let wrong = [
        (many(50_000, ModelSpec::input(&[8])), "50000 layers; there are at most 1000"),
        (many(31, image.clone().conv2d(1000, 1, Padding::Same)), "re_lu after a shape of [256, 256, 1000]: the layers"),
        (ModelSpec::input(&[1 << 13, 1 << 13, 2]), "an input of [8192, 8192, 2]: the layers so far give more"),
        (ModelSpec::input(&[1 << 24, 1 << 24, 1 << 24]), "memory can hold"),
        (ModelSpec::input(&[1, usize::MAX / 3 + 1, 3]), "an axis is 1 to 2^24"),
        (ModelSpec::input(&[1; 100_000]), "an input of 100000 axes"),
        (ModelSpec::input(&[1 << 20]).dense(1 << 20), "the weights so far have more than 2^30 values"),
        (ModelSpec::input(&[8]).dense(1 << 25), "at most 2^24 units"),
        (image.clone().layer(window([1999, 1999], 2)), "under the windows of a row"),
        (image.clone().layer(window([1 << 23, 1], 1)), "under the windows of a row"),
        (image.max_pool2d(17), "at most 16"),
    ];
    for (spec, message) in wrong {
        for error in
            [spec.plan().err(), spec.memory(best(), 1, None).err(), Sequential::build(spec.clone(), best(), 1).err()]
        {
            let error = error.unwrap_or_else(|| panic!("built: {message}"));
            assert!(matches!(error, Error::Shape(_)) && error.to_string().contains(message), "{error}");
        }
    }
    let plan = many(1000, ModelSpec::input(&[8])).plan().unwrap();
    assert_eq!([&plan[0].name[..], &plan[1].name, &plan[999].name], ["re_lu", "re_lu_1", "re_lu_999"]);
}

#[test]
fn a_batch_beyond_memory_is_refused_before_any_is_claimed() {
    let spec = small_model(20, 20, Padding::Valid, 4);
    for n in [0, 1 << 50, usize::MAX / 1200 + 1, usize::MAX] {
        let error = spec.memory(best(), n, Some(&Rule::adam(1e-3))).unwrap_err();
        assert!(matches!(&error, Error::Shape(what) if what.contains(&format!("a batch of {n} items"))), "{error}");
    }
    let mut model = Sequential::build(spec, best(), 1).unwrap();
    let reserved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.reserve(usize::MAX / 1200 + 1)));
    assert!(reserved.is_err());
    // What was refused has left nothing behind.
    assert_eq!(model.forward(Input::F32(&[0.5; 1200]), Pass::Inference).n(), 1);
}

/// The loss of a training pass, and with it the gradients of all parameters.
fn loss(model: &mut Sequential, head: Head, x: &[f32], labels: &[f32]) -> f64 {
    let classes = model.outputs();
    let (mut probabilities, mut dlogits) = (vec![0.0; labels.len()], vec![0.0; labels.len()]);
    let logits = model.forward(Input::F32(x), Pass::Training { seed: 5, step: 0, first: 0 }).values();
    let loss = Objective::from(head).cross_entropy(classes, logits, labels, &mut probabilities, &mut dlogits);
    model.backward(&dlogits);
    loss
}

proptest! {
    #![proptest_config(crate::common::cases(24))]

    /// The slope of the loss along the gradient itself is the gradient's norm. A step may cross a
    /// kink of ReLU or pooling (one that changes the loss by 1e-4 does so in one of some hundreds
    /// of models), and a short step loses digits to the rounding of f32. So the best of four
    /// lengths and two directions counts; a wrong sign or factor is far off with all of them.
    #[test]
    fn the_gradient_of_a_whole_model_is_its_directional_derivative(
        (h, w, n) in (9..16usize, 9..16usize, 3..7usize),
        same: bool,
        softmax: bool,
        residual: bool,
        seed in 0..1000u64,
    ) {
        let padding = if same { Padding::Same } else { Padding::Valid };
        let head = if softmax { Head::Softmax } else { Head::Sigmoid };
        let classes = 4;
        let mut data = Data::new(seed);
        let x = data.vec(n * h * w * 3);
        let labels: Vec<f32> = (0..n * classes).map(|i| f32::from(u8::from(i % classes == i / classes % 3))).collect();
        let spec = if residual { residual_model } else { small_model }(h, w, padding, classes);
        let mut model = Sequential::build(spec, best(), seed).unwrap();
        let start = loss(&mut model, head, &x, &labels);
        prop_assert!(start.is_finite());
        let gradients: Vec<Vec<f32>> = model.parameters().iter().map(|parameter| parameter.gradient.clone()).collect();
        let norm = gradients.iter().flatten().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let at = |model: &mut Sequential, distance: f64| {
            let mut gradients = gradients.iter();
            model.each_parameter_mut(|parameter| {
                let value = parameter.value.iter_mut().zip(gradients.next().unwrap());
                value.for_each(|(value, &g)| *value += (distance / norm * f64::from(g)) as f32);
            });
            loss(model, head, &x, &labels)
        };
        let weights = values(&model);
        let errors = [1e-2, 1e-3, 1e-4, 2e-5].map(|change: f64| {
            [1.0, -1.0].map(|direction| {
                let step = direction * change / norm;
                let mut weights = weights.iter();
                model.each_parameter_mut(|parameter| parameter.value.copy_from_slice(weights.next().unwrap()));
                ((at(&mut model, step) - start) / step / norm - 1.0).abs()
            })
        });
        prop_assert!(errors.iter().flatten().any(|&error| error < 0.04), "{errors:?} with a gradient of norm {norm}");
    }
}

/// Flatten changes how a value is seen, and squeeze-and-excite needs the images that it was.
#[test]
fn channels_are_scaled_by_a_branch_that_begins_with_flatten() {
    let multiply = LayerSpec::Multiply { layers: 2 };
    let spec = ModelSpec::input(&[4, 4, 3]).conv2d(3, 1, Padding::Same).flatten().dense(3).layer(multiply);
    let mut model = Sequential::build(spec.global_average_pool2d().dense(2), Isa::available()[0], 1).unwrap();
    let x = Data::new(1).vec(2 * 4 * 4 * 3);
    assert!(model.forward(Input::F32(&x), Pass::Inference).values().iter().all(|y| y.is_finite()));
    let optimizer = Optimizer::new(Rule::adam(1e-2), &mut model);
    let mut trainer = Trainer::new(Head::Softmax, optimizer, 1);
    let losses = [(); 60].map(|()| trainer.step(&mut model, Input::F32(&x), &[1.0, 0.0, 0.0, 1.0]));
    assert!(losses[59] < 0.9 * losses[0], "{losses:?}");
}

#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let batches: Vec<_> = (0..4).map(|seed| Data::new(seed).vec(9 * 20 * 20 * 3)).collect();
    for (isa, spec) in
        Isa::available().into_iter().flat_map(|isa| [(isa, small_model as fn(_, _, _, _) -> _), (isa, residual_model)])
    {
        let weights = on_1_2_3_threads(|| {
            let mut model = Sequential::build(spec(20, 20, Padding::Valid, 4), isa, 1).unwrap();
            let optimizer = Optimizer::new(Rule::adam(1e-2), &mut model);
            let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 1);
            let labels = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]].concat().repeat(3);
            for x in &batches {
                assert!(trainer.step(&mut model, Input::F32(x), &labels).is_finite());
            }
            values(&model)
        });
        assert!(weights.iter().flatten().all(|w| w.is_finite()));
    }
}

/// Instruction sets that multiply and add in one rounding train to the same bits, whatever the
/// width of their vectors; in bf16 too, which AVX2 has no instructions for.
#[test]
fn training_gives_the_same_bits_on_all_instruction_sets_that_fuse() {
    let mut spec = ModelSpec::input(&[40, 37, 3]);
    for filters in [16, 32] {
        spec = spec.conv2d(filters, 3, Padding::Valid).relu().batch_norm(0.9).max_pool2d(2);
    }
    let spec = spec.flatten().dense(64).relu().dropout(0.3).dense(3);
    let bytes: Vec<u8> = Data::new(4).whole(256, 5 * 40 * 37 * 3).iter().map(|&x| x as u8).collect();
    let labels = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0];
    let [f32, bf16] = Precision::ALL.map(|precision| {
        let trained = fused().into_iter().map(|isa| {
            let mut model = Sequential::build(spec.clone(), isa, 1).unwrap();
            model.train_in(precision);
            let optimizer = Optimizer::new(Rule::adam(1e-3), &mut model);
            let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 1);
            (0..3).for_each(|_| assert!(trainer.step(&mut model, Input::U8(&bytes), &labels).is_finite()));
            values(&model).concat()
        });
        let trained: Vec<_> = trained.collect();
        trained.windows(2).for_each(|pair| assert_same_bits(&pair[0], &pair[1]));
        trained
    });
    // Adam moves a weight by the learning rate, however small its gradient: some signs differ.
    for (f32, bf16) in f32.iter().zip(&bf16) {
        let differences = f32.iter().zip(bf16).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
        assert!(differences > 0 && differences < f32.len() / 5, "{differences} of {}", f32.len());
    }
}

/// A second average of pixels has the longest name that a recipe makes.
#[test]
fn names_and_shapes_stand_apart_in_a_summary() {
    let summary = Sequential::build(residual_model(16, 16, Padding::Same, 3), best(), 1).unwrap().summary();
    let line = summary.lines().find(|line| line.starts_with("global_average_pooling2d_1")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["global_average_pooling2d_1", "5", "0"]);
    assert!(summary.lines().all(|line| line.len() <= 80), "{summary}");
}

/// Nobody asks for the gradient of the images, laid out anew or not.
#[test]
fn a_summary_knows_which_convolution_has_no_input_gradient() {
    for spec in [ModelSpec::input(&[16, 16, 3]), ModelSpec::input(&[32, 32, 3]).space_to_depth(2)] {
        let spec = spec.conv2d(4, 3, Padding::Same).conv2d(4, 3, Padding::Same).flatten().dense(2);
        let summary = Sequential::build(spec, best(), 1).unwrap().summary();
        let table: Vec<&str> = summary.lines().skip_while(|line| !line.starts_with("computed by")).collect();
        assert_eq!(table[1..].iter().map(|line| line.contains(" - ")).collect::<Vec<_>>(), [true, false], "{summary}");
    }
}

/// Where a value is joined later on, it exists: no block is fused across it, and what is joined is what
/// a chain of the same layers gives there.
#[test]
fn fused_blocks_end_where_a_value_is_joined() {
    let block = |spec: ModelSpec| spec.conv2d(4, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    let begin = block(block(ModelSpec::input(&[16, 16, 3])));
    // From the second block's input to its end, and around its batch norm alone.
    let around = |layers| {
        let spec = block(ModelSpec::input(&[16, 16, 3])).conv2d(4, 3, Padding::Same).relu().batch_norm(0.9);
        spec.layer(LayerSpec::Add { layers })
    };
    for (spec, fused) in [(begin.clone().relu().layer(LayerSpec::Add { layers: 1 }), 2), (around(3), 1), (around(1), 1)]
    {
        let spec = spec.global_average_pool2d().dense(3);
        let x = Data::new(3).whole(256, 2 * 16 * 16 * 3).iter().map(|&x| x as u8).collect::<Vec<_>>();
        let [fused_model, single] = [true, false].map(|fuse| {
            let build = if fuse { Sequential::build } else { Sequential::build_unfused };
            let mut model = build(spec.clone(), best(), 1).unwrap();
            assert_eq!(model.summary().contains(&format!("fused: {fused} x")), fuse, "{}", model.summary());
            model.forward(Input::U8(&x), Pass::Inference).values().to_vec()
        });
        assert_close(&fused_model, &wide(&single), 1e-5);
    }
}

/// The same chain of layers with and without fused blocks: odd sizes, padding, a negative gamma,
/// bytes and values.
#[test]
fn fused_blocks_train_and_predict_as_their_single_layers_do() {
    for padding in [Padding::Valid, Padding::Same] {
        let mut spec = ModelSpec::input(&[39, 34, 3]);
        for filters in [16, 5] {
            spec = spec.conv2d(filters, 3, padding).relu().batch_norm(0.9).max_pool2d(2);
        }
        let spec = spec.flatten().dense(7).relu().dropout(0.3).dense(3);
        let bytes: Vec<u8> = Data::new(4).whole(256, 5 * 39 * 34 * 3).iter().map(|&x| x as u8).collect();
        let labels = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        for isa in Isa::available() {
            let [fused, single] = [true, false].map(|fuse| {
                let build = if fuse { Sequential::build } else { Sequential::build_unfused };
                let mut model = build(spec.clone(), isa, 1).unwrap();
                assert_eq!(model.summary().contains("fused: 2 x"), fuse, "{}", model.summary());
                let mut gammas = 0;
                model.each_parameter_mut(|parameter| {
                    gammas += usize::from(parameter.role == Role::Gamma);
                    if parameter.role == Role::Gamma && gammas == 1 {
                        parameter.value[3] = -0.7;
                    }
                });
                let optimizer = Optimizer::new(Rule::Sgd(Sgd { momentum: 0.9, ..Sgd::new(0.05) }), &mut model);
                let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 1);
                let losses: Vec<f32> =
                    (0..4).map(|_| trainer.step(&mut model, Input::U8(&bytes), &labels) as f32).collect();
                let outputs = model.forward(Input::U8(&bytes), Pass::Inference).values().to_vec();
                let weights = values(&model).concat();
                [losses, outputs, weights]
            });
            for (fused, single) in fused.iter().zip(&single) {
                assert_close(fused, &wide(single), 1e-3);
            }
        }
    }
}

/// A stem is a layout: a model with one gives what the layers behind it give for images that are laid out
/// so, as bytes and as values, fused or not, and where the laid-out images are joined later on.
#[test]
fn a_stem_gives_what_its_layers_give_for_images_that_are_laid_out() {
    let (n, side, block) = (3, 16, 2);
    let layers = |spec: ModelSpec, joins: bool| {
        let block = |spec: ModelSpec| spec.conv2d(5, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
        // The images that come in, each channel times what a block makes of them.
        let factors = |spec| block(spec).global_average_pool2d().dense(12).layer(LayerSpec::Sigmoid);
        let spec = if joins { factors(spec).layer(LayerSpec::Multiply { layers: 7 }) } else { spec };
        block(block(spec)).flatten().dense(3)
    };
    let bytes: Vec<u8> = Data::new(4).whole(256, n * side * side * 3).iter().map(|&x| x as u8).collect();
    let mut laid_out = vec![0; bytes.len()];
    space_to_depth([side, side, 3], block, &bytes, &mut laid_out, |byte| byte);
    let labels = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0];
    let scaled = |bytes: &[u8]| bytes.iter().map(|&x| f32::from(x) * (1.0 / 255.0)).collect::<Vec<_>>();
    for (fuse, joins, as_bytes) in
        [(true, false, true), (true, false, false), (false, false, true), (true, true, true), (true, true, false)]
    {
        let trained = |spec: ModelSpec, bytes: &[u8]| {
            let build = if fuse { Sequential::build } else { Sequential::build_unfused };
            let mut model = build(spec, best(), 1).unwrap();
            // Weights depend on the place of their layer, which the stem moves.
            let mut data = Data::new(9);
            model.each_parameter_mut(|of| {
                if of.role == Role::Kernel {
                    let len = of.value.len();
                    of.value.copy_from_slice(&data.vec(len));
                }
            });
            let optimizer = Optimizer::new(Rule::Sgd(Sgd::new(0.05)), &mut model);
            let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 1);
            let values_of = scaled(bytes);
            let input = if as_bytes { Input::U8(bytes) } else { Input::F32(&values_of) };
            let losses: Vec<f32> = (0..3).map(|_| trainer.step(&mut model, input, &labels) as f32).collect();
            [losses, model.forward(input, Pass::Inference).values().to_vec(), values(&model).concat()].concat()
        };
        let with = trained(layers(ModelSpec::input(&[side, side, 3]).space_to_depth(block), joins), &bytes);
        // Nothing comes before the first layer that could be joined: a ReLU, which leaves bytes as they are.
        let plain = ModelSpec::input(&[side / block, side / block, 3 * block * block]);
        let without = trained(layers(if joins { plain.relu() } else { plain }, joins), &laid_out);
        assert_same_bits(&with, &without);
    }
}

/// A batch that is shorter than the one before it uses the front of the same buffers.
#[test]
fn a_short_batch_gives_what_it_gives_alone() {
    let spec = small_model(12, 12, Padding::Valid, 3);
    let (long, short) = (Data::new(1).vec(8 * 12 * 12 * 3), Data::new(2).vec(3 * 12 * 12 * 3));
    let mut used = Sequential::build(spec.clone(), best(), 1).unwrap();
    used.forward(Input::F32(&long), Pass::Inference);
    let mut fresh = Sequential::build(spec, best(), 1).unwrap();
    let a = used.forward(Input::F32(&short), Pass::Inference).values().to_vec();
    assert_eq!(a, fresh.forward(Input::F32(&short), Pass::Inference).values());
}

#[test]
fn a_model_whose_last_images_are_averaged_goes_on_at_another_size() {
    let spec = |h: usize, w: usize| {
        let spec = ModelSpec::input(&[h, w, 3]).conv2d(8, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
        spec.conv2d(8, 3, Padding::Valid).relu().batch_norm(0.9).global_average_pool2d().dropout(0.3).dense(3)
    };
    let trainer = |model: &mut Sequential| Trainer::new(Head::Softmax, Optimizer::new(Rule::adam(0.01), model), 1);
    let images = |seed, len| Data::new(seed).whole(256, len).iter().map(|&value| value as u8).collect::<Vec<u8>>();
    let labels = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let (small, large) = (images(1, 2 * 12 * 10 * 3), images(2, 2 * 16 * 16 * 3));
    for precision in [Precision::F32, Precision::Bf16] {
        let mut model = Sequential::build(spec(12, 10), best(), 1).unwrap();
        model.train_in(precision);
        let mut of_model = trainer(&mut model);
        for _ in 0..3 {
            of_model.step(&mut model, Input::U8(&small), &labels);
        }
        // One that was made for the other size goes on from the same state.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        of_model.save(&model, &path).unwrap();
        let mut other = Sequential::build(spec(16, 16), best(), 7).unwrap();
        other.train_in(precision);
        let mut of_other = trainer(&mut other);
        of_other.resume(&mut other, &path).unwrap();

        model.resize_input(&[16, 16, 3]).unwrap();
        assert_eq!((&model.spec().input[..], model.precision()), (&[16, 16, 3][..], precision));
        for _ in 0..3 {
            let [a, b] = [(&mut of_model, &mut model), (&mut of_other, &mut other)]
                .map(|(trainer, model)| trainer.step(model, Input::U8(&large), &labels));
            assert_eq!(a.to_bits(), b.to_bits());
        }
        assert_eq!(values(&model), values(&other));
        model.resize_input(&[12, 10, 3]).unwrap();
        assert_eq!((model.forward(Input::U8(&small), Pass::Inference).n(), values(&model)), (2, values(&other)));
    }
}

#[test]
fn a_model_whose_weights_depend_on_its_input_keeps_it() {
    let mut model = Sequential::build(small_model(13, 12, Padding::Same, 3), best(), 1).unwrap();
    let before = values(&model);
    for input in [&[20, 20, 3][..], &[13, 12, 1], &[1, 1, 3], &[13]] {
        assert!(matches!(model.resize_input(input), Err(Error::Shape(_))), "{input:?}");
    }
    assert_eq!((&model.spec().input[..], values(&model)), (&[13, 12, 3][..], before));
}
