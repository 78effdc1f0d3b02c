//! What surrounds the steps of training: learning rates, averages of weights, objectives and
//! recipes.

use crate::common::{Data, assert_close, on_1_2_3_threads, wide};
use onesheet::classifier::answers::mean_over_views;
use onesheet::data::batches::Order;
use onesheet::data::films::Film;
use onesheet::data::frames::Frame;
use onesheet::data::transform::Views;
use onesheet::nn::{
    Average, Decay, Head, Input, Isa, ModelSpec, Objective, Optimizer, Padding, Pass, Rule, Schedule, Sequential, Sgd,
    Trainer,
};
use onesheet::run::recipe::{Balance, Pooling, Recipe};
use onesheet::run::watch::{Verdict, Watch};
use onesheet_kernels::reference::gradient as reference;
use proptest::prelude::*;

fn model() -> Sequential {
    Sequential::build(ModelSpec::input(&[4]).dense(3), Isa::available()[0], 1).unwrap()
}

fn weights(model: &Sequential) -> Vec<f32> {
    model.parameters().iter().flat_map(|parameter| parameter.value.to_vec()).collect()
}

fn trainer(model: &mut Sequential) -> Trainer {
    let optimizer = Optimizer::new(Rule::adam(0.01), model);
    Trainer::new(Head::Sigmoid, optimizer, 1)
}

#[test]
fn a_learning_rate_rises_and_then_stays_or_falls() {
    assert_eq!([0, 5, 1000].map(|done| Schedule::CONSTANT.factor(done)), [1.0; 3]);
    let constant = Schedule { warmup: 0.25, decay: Decay::Constant, steps: 8 };
    assert_eq!([0, 1, 2, 7].map(|done| constant.factor(done)), [0.25, 0.75, 1.0, 1.0]);
    let cosine = Schedule { warmup: 0.25, decay: Decay::Cosine, steps: 8 };
    assert_eq!([0, 1].map(|done| cosine.factor(done)), [0.25, 0.75]);
    let falling: Vec<f64> = (2..8).map(|done| cosine.factor(done)).collect();
    assert!(falling.is_sorted_by(|a, b| a > b) && falling[0] > 0.98 && falling[5] < 0.02, "{falling:?}");
    assert!((falling[2] + falling[3] - 1.0).abs() < 1e-12, "half-way it is a half: {falling:?}");
    let after_the_end = cosine.factor(20);
    assert!(after_the_end.abs() < 1e-12);
}

#[test]
fn an_optimizer_follows_its_schedule() {
    let moved = |factor_of_first_step: f64| {
        let mut model = model();
        let before = weights(&model);
        let mut optimizer = Optimizer::new(Rule::adam(0.01), &mut model);
        // The first of n steps of warm-up has the factor 1 / 2n.
        let steps = (0.5 / factor_of_first_step) as u64 * 2;
        optimizer.schedule = Schedule { warmup: 0.5, decay: Decay::Constant, steps };
        model.forward(Input::F32(&[1.0; 4]), Pass::Training { seed: 1, step: 0, first: 0 });
        optimizer.step(&mut model, &[0.1, -0.1, 0.2]);
        weights(&model).iter().zip(before).map(|(after, before)| (after - before).abs()).fold(0.0, f32::max)
    };
    // Adam's first step is the learning rate, whatever the gradient.
    assert!((moved(0.5) - 0.005).abs() < 1e-5 && (moved(0.125) - 0.00125).abs() < 1e-5);
}

#[test]
fn a_factor_changes_the_rate_from_then_on() {
    let mut model = model();
    let mut optimizer = Optimizer::new(Rule::adam(0.01), &mut model);
    assert_eq!(optimizer.last_rate(), 0.0);
    let mut step = |optimizer: &mut Optimizer| {
        let before = weights(&model);
        model.forward(Input::F32(&[1.0; 4]), Pass::Training { seed: 1, step: 0, first: 0 });
        optimizer.step(&mut model, &[0.1, -0.1, 0.2]);
        weights(&model).iter().zip(before).map(|(after, before)| (after - before).abs()).fold(0.0, f32::max)
    };
    let first = step(&mut optimizer);
    optimizer.rate_factor = 0.1;
    assert_eq!(optimizer.last_rate(), 0.01, "it is that of the step before");
    let second = step(&mut optimizer);
    // Under the same gradient Adam moves by the learning rate.
    assert!((first - 0.01).abs() < 1e-5 && (second - 0.001).abs() < 1e-5, "{first} {second}");
    assert!((optimizer.last_rate() - 0.001).abs() < 1e-8, "{}", optimizer.last_rate());
}

/// A model of fused blocks, or of the same layers in an order that nothing fuses.
fn image_model(side: usize, filters: usize, fused: bool) -> ModelSpec {
    let spec = ModelSpec::input(&[side, side, 3]).conv2d(filters, 3, Padding::Same);
    let spec = if fused { spec.relu().batch_norm(0.9) } else { spec.batch_norm(0.9).relu() };
    spec.max_pool2d(2).flatten().dense(9).relu().dense(4)
}

proptest! {
    #![proptest_config(crate::common::cases(24))]

    #[test]
    fn gradients_are_clipped_by_their_common_norm(
        (side, filters, n) in (4..9usize, 1..9usize, 1..4usize),
        fused: bool,
        share in prop_oneof![0.05..0.95f64, 1.05..3.0f64],
        seed: u64,
    ) {
        let spec = image_model(side, filters, fused);
        let mut data = Data::new(seed);
        let (images, d_output) = (data.vec(n * side * side * 3), data.vec(n * 4));
        let build = || Sequential::build(spec.clone(), Isa::available()[0], seed).unwrap();
        let mut model = build();
        model.forward(Input::F32(&images), Pass::Training { seed: 1, step: 0, first: 0 });
        model.backward(&d_output);
        let parameters = model.parameters();
        let gradients: Vec<f32> = parameters.iter().flat_map(|parameter| parameter.gradient.clone()).collect();
        let trained = |model: &Sequential| -> Vec<f32> {
            let trained = model.parameters().into_iter().filter(|parameter| parameter.is_trained());
            trained.flat_map(|parameter| parameter.value.to_vec()).collect()
        };
        let before = trained(&model);
        let limit = (share * reference::sum_of_squares(&wide(&gradients)).sqrt()) as f32;
        let clipped = reference::clipped(&wide(&gradients), f64::from(limit));
        let expected: Vec<f64> = before.iter().zip(clipped).map(|(w, g)| f64::from(*w) - g).collect();
        let outputs = on_1_2_3_threads(|| {
            let mut model = build();
            // A learning rate of 1 moves the weights by the gradient itself.
            let mut optimizer = Optimizer::new(Rule::Sgd(Sgd::new(1.0)), &mut model);
            optimizer.clip_norm = Some(limit);
            model.forward(Input::F32(&images), Pass::Training { seed: 1, step: 0, first: 0 });
            optimizer.step(&mut model, &d_output);
            model.each_parameter(|parameter| assert!(parameter.gradient.iter().all(|&g| g == 0.0)));
            vec![trained(&model)]
        });
        assert_close(&outputs[0], &expected, 1e-6);
    }

    #[test]
    fn a_watch_does_what_its_rule_says(
        scores in prop::collection::vec(0..6u8, 1..40),
        (patience, plateau) in (0..6usize, 0..6usize),
        pause in 0..40usize,
    ) {
        let scores: Vec<f64> = scores.into_iter().map(|score| f64::from(score) / 3.0).collect();
        let mut watch = Watch::new(&Recipe { patience, plateau, ..Recipe::report() });
        // The last epoch that was better than all before it, and the last at which the rate fell.
        let (mut better, mut fell) = (0, 0);
        for (epoch, &score) in scores.iter().enumerate() {
            if epoch == pause {
                watch = toml::from_str(&toml::to_string(&watch).unwrap()).unwrap();
            }
            let best_before = scores[..epoch].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if score > best_before {
                better = epoch;
            }
            let lowers_rate = plateau > 0 && epoch - better.max(fell) >= plateau;
            if lowers_rate {
                fell = epoch;
            }
            let ends = patience > 0 && epoch - better >= patience;
            let expected = Verdict { is_best: score >= best_before, lowers_rate, ends };
            assert_eq!(watch.verdict(score), expected, "after epoch {epoch} of {scores:?}");
        }
    }
}

#[test]
fn weight_decay_is_for_kernels_alone() {
    let mut model = model();
    model.each_parameter_mut(|parameter| parameter.value.fill(1.0));
    let mut optimizer = Optimizer::new(Rule::adamw(0.1, 0.5), &mut model);
    model.forward(Input::F32(&[1.0; 4]), Pass::Training { seed: 1, step: 0, first: 0 });
    optimizer.step(&mut model, &[0.0; 3]);
    let expected = [vec![0.95; 12], vec![1.0; 3]].concat();
    assert!(weights(&model).iter().zip(&expected).all(|(w, e)| (w - e).abs() < 1e-6), "{:?}", weights(&model));
}

#[test]
fn the_average_follows_the_weights_and_gives_them_back() {
    let mut model = model();
    let mut trainer = trainer(&mut model);
    trainer.average = Some(Average::new(0.5, &model));
    let mut data = Data::new(1);
    let mut expected = weights(&model);
    for step in 1..=5 {
        trainer.step(&mut model, Input::F32(&data.vec(8)), &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
        // In the first steps the average keeps (1 + n) / (10 + n), which is less than a half.
        let kept = (1.0 + step as f32) / (10.0 + step as f32);
        expected.iter_mut().zip(weights(&model)).for_each(|(average, now)| *average += (1.0 - kept) * (now - *average));
    }
    let now = weights(&model);
    trainer.swap_average(&mut model);
    let averaged = weights(&model);
    assert!(averaged.iter().zip(&expected).all(|(a, e)| (a - e).abs() < 1e-6));
    assert_ne!(averaged, now);
    trainer.swap_average(&mut model);
    assert_eq!(weights(&model), now, "the training goes on where it was");
}

#[test]
fn an_optimizer_begins_without_what_another_remembered() {
    let step = |model: &mut Sequential, optimizer: &mut Optimizer| {
        model.forward(Input::F32(&[1.0; 4]), Pass::Training { seed: 1, step: 0, first: 0 });
        optimizer.step(model, &[0.1, -0.1, 0.2]);
    };
    let (mut fresh, mut used) = (model(), model());
    let mut first = Optimizer::new(Rule::adam(0.1), &mut used);
    step(&mut used, &mut first);
    used.each_parameter_mut(|parameter| parameter.value.fill(0.0));
    fresh.each_parameter_mut(|parameter| parameter.value.fill(0.0));
    for model in [&mut fresh, &mut used] {
        let mut optimizer = Optimizer::new(Rule::adam(0.01), model);
        step(model, &mut optimizer);
    }
    assert_eq!(weights(&fresh), weights(&used));
}

#[test]
fn views_are_averaged_before_they_become_probabilities() {
    let mut views = [vec![3.0, -2.0], vec![1.0, 2.0]].into_iter();
    assert_eq!(mean_over_views(Views::Flip, |_| Ok(views.next().unwrap())).unwrap(), [2.0, 0.0]);
    assert_eq!(views.next(), None, "each view is asked once");
    assert_eq!(mean_over_views(Views::Crops, |_| Ok(vec![0.5])).unwrap(), [0.5], "of ten views");
}

/// 90 films of genre 0, 9 films of genre 1, and one film of both.
fn films() -> Vec<Film> {
    let genres = |id: u64| match id {
        0..90 => vec![0],
        90..99 => vec![1],
        _ => vec![0, 1],
    };
    (0..100).map(|id| Film { id, genres: genres(id) }).collect()
}

#[test]
fn the_sampler_draws_every_genre_equally_often() {
    let films = films();
    let draw = |seed, epoch| Order::Balanced { seed, epoch }.indexes(&films);
    assert_eq!(draw(1, 1), draw(1, 1));
    assert_ne!(draw(1, 1), draw(1, 2));
    assert_ne!(draw(1, 1), draw(2, 1));
    let drawn: Vec<usize> = (0..100).flat_map(|epoch| draw(1, epoch)).collect();
    assert_eq!(drawn.len(), 10_000);
    let share = |genre: usize| drawn.iter().filter(|&&at| films[at].genres == [genre]).count() as f64 / 10_000.0;
    // The probability is relative to a total of 90/91 + 9/10 + (1/91 + 1/10) / 2.
    let total = 90.0 / 91.0 + 0.9 + (1.0 / 91.0 + 0.1) / 2.0;
    assert!((share(0) - 90.0 / 91.0 / total).abs() < 0.02, "{}", share(0));
    assert!((share(1) - 0.9 / total).abs() < 0.02, "{}", share(1));
}

#[test]
fn the_sampler_draws_films_without_genres_as_often_as_others() {
    let mut films = films();
    films.extend((1_000..1_050).map(|id| Film { id, genres: Vec::new() }));
    let draws: Vec<usize> = (1..=400).flat_map(|epoch| Order::Balanced { seed: 1, epoch }.indexes(&films)).collect();
    let without = draws.iter().filter(|&&at| films[at].genres.is_empty()).count() as f64 / draws.len() as f64;
    assert!((without - 50.0 / 150.0).abs() < 0.01, "{without}");
    let of = |genre| draws.iter().filter(|&&at| films[at].genres == [genre]).count() as f64;
    let [some, others] = [0, 1].map(of);
    assert!((some / others - 1.1).abs() < 0.1, "{some} {others}");
}

#[test]
fn class_weights_make_up_for_rare_genres() {
    let genres = ["A", "B", "C"].map(String::from).to_vec();
    let frame = Frame { genres, train: films(), val: Vec::new(), test: Vec::new() };
    let weights = |balance, head| Recipe { balance, ..Recipe::report() }.class_weights(head, &frame);
    for balance in [Balance::Auto, Balance::None, Balance::Undersample, Balance::Sampler] {
        assert_eq!(weights(balance, Head::Sigmoid), None);
    }
    let close =
        |a: Option<Vec<f32>>, b: [f32; 3]| assert!(a.iter().flatten().zip(b).all(|(a, b)| (a - b).abs() < 1e-5));
    // The genres have 91 and 10 films; a genre without films gets the average weight of these.
    let mean = (1.0 / 91.0 + 0.1) / 2.0;
    close(weights(Balance::Weights, Head::Sigmoid), [1.0 / 91.0 / mean, 0.1 / mean, 1.0]);
    close(weights(Balance::Weights, Head::Softmax), [101.0 / 2.0 / 91.0, 101.0 / 2.0 / 10.0, 1.0]);
    let effective = weights(Balance::EffectiveWeights, Head::Softmax).unwrap();
    let numbers = [91, 10].map(|n| (1.0 - 0.999f32.powi(n)) / (1.0 - 0.999));
    assert!((effective[1] / effective[0] - numbers[0] / numbers[1]).abs() < 1e-3, "{effective:?}");
}

#[test]
fn recipes_name_their_models() {
    let layers = |recipe: Recipe| recipe.model(19).layers.iter().map(|layer| layer.class()).collect::<Vec<_>>();
    let block = ["conv2d", "re_lu", "batch_normalization", "max_pooling2d"];
    let report = [&block[..], &block, &block, &["flatten", "dense", "re_lu", "dropout", "dense"]].concat();
    assert_eq!(layers(Recipe::report()), report);
    let small = Recipe { filters: vec![8], pooling: Pooling::Average, dense: 0, dropout: 0.0, ..Recipe::best() };
    assert_eq!(layers(small), [&block[..], &["global_average_pooling2d", "dense"]].concat());
    Recipe::best().model(19).plan().unwrap();
}

#[test]
fn an_objective_hands_on_all_that_it_departs_by() {
    let (logits, labels) = ([1.0, -2.0, 0.5, 0.25], [1.0, 0.0, 0.0, 1.0]);
    let loss = |objective: &Objective| {
        let (mut probabilities, mut dlogits) = ([0.0; 4], [0.0; 4]);
        objective.cross_entropy(2, &logits, &labels, &mut probabilities, &mut dlogits)
    };
    for head in [Head::Sigmoid, Head::Softmax] {
        let plain = Objective::from(head);
        let others = [
            Objective { smoothing: 0.1, ..plain.clone() },
            Objective { focus: 1.0, ..plain.clone() },
            Objective { class_weights: Some(vec![1.0, 3.0]), ..plain.clone() },
        ];
        let mut losses: Vec<f64> = others.iter().chain([&plain]).map(loss).collect();
        losses.sort_by(f64::total_cmp);
        losses.dedup();
        assert_eq!(losses.len(), 4, "{head:?}: {losses:?}");
    }
}
