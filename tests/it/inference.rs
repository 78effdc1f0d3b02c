//! What a model keeps from one inference pass to the next is never that of other weights.

use crate::common::{Data, assert_same_bits, on_1_2_3_threads};
use onesheet::nn::{
    Average, Head, Input, Isa, LayerSpec, ModelSpec, Optimizer, Padding, Pass, Role, Rule, Sequential, Trainer,
};
use std::path::Path;

const IMAGE: [usize; 3] = [21, 18, 3];
const BATCH: usize = 4;
const CLASSES: usize = 3;

/// Convolutions by every algorithm, fused and single.
fn spec() -> ModelSpec {
    let strided = LayerSpec::Conv2d { filters: 16, kernel: [3, 3], stride: 2, padding: Padding::Same };
    let spec = ModelSpec::input(&IMAGE).conv2d(16, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    let spec = spec.conv2d(32, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    let spec = spec.conv2d(5, 2, Padding::Same).batch_norm(0.9).relu().layer(strided);
    spec.conv2d(32, 3, Padding::Same).relu().flatten().dense(7).relu().dropout(0.3).dense(CLASSES)
}

fn images(seed: u64, n: usize) -> Vec<f32> {
    Data::new(seed).vec(n * IMAGE.iter().product::<usize>())
}

fn predict(model: &mut Sequential) -> Vec<f32> {
    model.forward(Input::F32(&images(7, BATCH)), Pass::Inference).values().to_vec()
}

/// A model that has made no pass, with the same operations and weights.
fn fresh(model: &Sequential) -> Sequential {
    let is_fused = model.summary().contains("fused: ");
    let build = if is_fused { Sequential::build } else { Sequential::build_unfused };
    let mut fresh = build(model.spec().clone(), model.isa(), 99).unwrap();
    let mut values = model.parameters().into_iter();
    fresh.each_parameter_mut(|of| of.value.copy_from_slice(&values.next().unwrap().value));
    fresh
}

/// Adds to the parameters with a role.
fn shift(model: &mut Sequential, role: Role) {
    model.each_parameter_mut(|of| {
        if of.role == role {
            of.value.iter_mut().for_each(|value| *value += 0.125);
        }
    });
}

type Change = fn(&mut Sequential, &mut Trainer, &Path);

/// All that changes predictions.
const CHANGES: [(&str, Change); 11] = [
    ("a training step", |model, trainer, _| {
        let labels: Vec<f32> = (0..BATCH * CLASSES).map(|i| (i % 2) as f32).collect();
        assert!(trainer.step(model, Input::F32(&images(3, BATCH)), &labels).is_finite());
    }),
    ("the average of the weights", |model, trainer, _| trainer.swap_average(model)),
    ("the weights again", |model, trainer, _| trainer.swap_average(model)),
    ("statistics that have moved", |model, _, _| {
        model.forward(Input::F32(&images(5, BATCH)), Pass::Training { seed: 1, step: 0, first: 0 });
    }),
    ("kernels", |model, _, _| shift(model, Role::Kernel)),
    ("biases", |model, _, _| shift(model, Role::Bias)),
    ("gammas", |model, _, _| shift(model, Role::Gamma)),
    ("moving means", |model, _, _| shift(model, Role::MovingMean)),
    ("moving variances", |model, _, _| shift(model, Role::MovingVariance)),
    ("a checkpoint", |model, trainer, path| trainer.resume(model, path).unwrap()),
    ("a model from a file", |model, _, path| {
        shift(model, Role::Kernel);
        let path = path.with_extension("model");
        model.save(&path).unwrap();
        *model = Sequential::load(&path, model.isa()).unwrap();
    }),
];

/// All that does not.
const NO_CHANGES: [(&str, Change); 3] = [
    ("room for more", |model, _, _| model.reserve(2 * BATCH)),
    ("a larger batch", |model, _, _| _ = model.forward(Input::F32(&images(2, 3 * BATCH)), Pass::Inference)),
    ("feature maps", |model, _, _| _ = model.feature_maps(Input::F32(&images(2, 1)), 0)),
];

#[test]
fn predictions_are_those_of_the_weights_whatever_has_changed_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    for isa in Isa::available() {
        for build in [Sequential::build, Sequential::build_unfused] {
            let mut model = build(spec(), isa, 1).unwrap();
            let optimizer = Optimizer::new(Rule::adam(0.01), &mut model);
            let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 1);
            trainer.average = Some(Average::new(0.9, &model));
            CHANGES[0].1(&mut model, &mut trainer, &path);
            trainer.save(&model, &path).unwrap();
            let mut before = predict(&mut model);
            for (changes, (what, change)) in
                CHANGES.map(|of| (true, of)).into_iter().chain(NO_CHANGES.map(|of| (false, of)))
            {
                change(&mut model, &mut trainer, &path);
                let after = predict(&mut model);
                assert!(after.iter().all(|value| value.is_finite()) && (after != before) == changes, "{what}");
                assert_same_bits(&predict(&mut model), &after);
                assert_same_bits(&predict(&mut fresh(&model)), &after);
                before = after;
            }
        }
    }
}

#[test]
fn predictions_have_the_same_bits_alone_and_in_any_batch_on_any_number_of_threads() {
    let item = IMAGE.iter().product::<usize>();
    for isa in Isa::available() {
        let mut all = on_1_2_3_threads(|| {
            let mut model = Sequential::build(spec(), isa, 1).unwrap();
            let of = |n| {
                images(1, 20)
                    .chunks(n * item)
                    .flat_map(|batch| model.forward(Input::F32(batch), Pass::Inference).values().to_vec())
                    .collect()
            };
            [1, 3, 20].map(of).to_vec()
        });
        let alone = all.remove(0);
        all.iter().for_each(|batches| assert_same_bits(batches, &alone));
    }
}
