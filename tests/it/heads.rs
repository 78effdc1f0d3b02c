//! Models with auxiliary heads: their loss where labels are not known, and what is left of them.

use crate::common::{Data, poisoned};
use onesheet::nn::{
    AuxiliaryHeads, Head, HeadLoss, HeadLosses, Input, Isa, ModelSpec, Objective, Optimizer, Padding, Pass, Rule,
    Sequential, Trainer,
};
use onesheet::ranks::Team;
use onesheet_kernels::reference::loss as reference;
use proptest::prelude::*;

/// The loss and its parts in f64: of each head the mean over its classes and the items with labels.
fn expected(objective: &Objective, outputs: usize, logits: &[f64], labels: &[f32]) -> (f64, Vec<HeadLoss>) {
    let AuxiliaryHeads { outputs: others, weight } = objective.auxiliary.as_ref().unwrap();
    let first = outputs - others.iter().sum::<usize>();
    let (mut begin, mut parts) = (0, Vec::new());
    for (at, &classes) in [first].iter().chain(others).enumerate() {
        let known = |row: &usize| !labels[row * outputs + begin].is_nan();
        let rows: Vec<usize> = (0..labels.len() / outputs).filter(known).collect();
        let of = |at: &usize| at * outputs + begin..at * outputs + begin + classes;
        let z: Vec<f64> = rows.iter().flat_map(|row| logits[of(row)].to_vec()).collect();
        let t: Vec<f64> = rows.iter().flat_map(|row| labels[of(row)].iter().map(|&t| f64::from(t))).collect();
        let is_first = at == 0;
        let weights = match &objective.class_weights {
            Some(weights) if is_first => weights.iter().map(|&weight| f64::from(weight)).collect(),
            _ => vec![1.0; classes],
        };
        let focus = if is_first { f64::from(objective.focus) } else { 0.0 };
        let smoothing = if is_first { f64::from(objective.smoothing) } else { 0.0 };
        let of = reference::CrossEntropy { class_weights: &weights, focus, labels: &t, smoothing };
        let loss = match objective.head {
            _ if rows.is_empty() => 0.0,
            Head::Softmax if is_first => reference::softmax_cross_entropy(&of, &z),
            _ => reference::sigmoid_cross_entropy(&of, &z),
        };
        parts.push(HeadLoss { loss, items: rows.len() });
        begin += classes;
    }
    let rest: f64 = parts[1..].iter().map(|of| of.loss).sum();
    (parts[0].loss + f64::from(*weight) * rest, parts)
}

proptest! {
    #![proptest_config(crate::common::cases(48))]

    /// Against formulas in f64, and their finite differences.
    #[test]
    fn heads_learn_from_the_items_that_have_labels(
        n in 1..7usize,
        first in 1..5usize,
        others in prop::collection::vec(1..5usize, 0..4),
        [softmax, weighted, smooth, focused] in any::<[bool; 4]>(),
        share_known in 0..4u8,
        seed: u64,
    ) {
        let mut data = Data::new(seed);
        let outputs = first + others.iter().sum::<usize>();
        let logits = data.between(-4.0, 4.0, n * outputs);
        let mut labels = data.between(0.0, 1.0, n * outputs);
        let heads: Vec<usize> = [first].into_iter().chain(others.clone()).collect();
        for item in labels.chunks_exact_mut(outputs) {
            if softmax {
                let sum: f32 = item[..first].iter().sum();
                item[..first].iter_mut().for_each(|label| *label /= sum);
            }
            let mut rest = item;
            for &classes in &heads {
                let (own, later) = rest.split_at_mut(classes);
                if data.whole(4, 1)[0] >= f32::from(share_known) {
                    own.fill(f32::NAN);
                }
                rest = later;
            }
        }
        let objective = Objective {
            class_weights: weighted.then(|| data.between(0.1, 4.0, first)),
            focus: if focused { 1.5 } else { 0.0 },
            smoothing: if smooth { 0.25 } else { 0.0 },
            auxiliary: Some(AuxiliaryHeads { outputs: others, weight: 0.5 }),
            ..Objective::from(if softmax { Head::Softmax } else { Head::Sigmoid })
        };
        let (mut losses, mut dlogits) = (HeadLosses::default(), poisoned(labels.len()));
        let loss = losses.of(&objective, outputs, &logits, &labels, &mut dlogits, &Team::default());
        let wide: Vec<f64> = logits.iter().map(|&z| f64::from(z)).collect();
        let (total, parts) = expected(&objective, outputs, &wide, &labels);
        prop_assert!((loss - total).abs() < 1e-6, "{loss} {total}");
        for (own, of) in losses.all().iter().zip(&parts) {
            prop_assert!(own.items == of.items && (own.loss - of.loss).abs() < 1e-6, "{own:?} {of:?}");
        }
        prop_assert_eq!(losses.all().len(), heads.len());
        for (at, (&gradient, label)) in dlogits.iter().zip(&labels).enumerate() {
            let moved = |by: f64| {
                let mut moved = wide.clone();
                moved[at] += by;
                expected(&objective, outputs, &moved, &labels).0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            prop_assert!((f64::from(gradient) - slope).abs() < 1e-5, "{at}: {gradient} {slope}");
            prop_assert!(!label.is_nan() || gradient == 0.0, "{at}: {gradient}");
        }
        // What was computed before leaves no trace.
        let mut again = poisoned(labels.len());
        let same = losses.of(&objective, outputs, &logits, &labels, &mut again, &Team::default());
        prop_assert!(same == loss && again == dlogits);
    }
}

fn spec(outputs: usize) -> ModelSpec {
    let blocks = ModelSpec::input(&[8, 8, 3]).conv2d(4, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    blocks.flatten().dense(5).relu().dropout(0.2).dense(outputs)
}

#[test]
fn a_model_of_the_first_outputs_answers_as_the_whole_one_does() {
    let isa = Isa::choose().unwrap();
    let mut data = Data::new(3);
    let images: Vec<u8> = data.whole(256, 6 * 8 * 8 * 3).iter().map(|&value| value as u8).collect();
    let mut wide = Sequential::build(spec(7), isa, 1).unwrap();
    let optimizer = Optimizer::new(Rule::adam(0.01), &mut wide);
    let auxiliary = Some(AuxiliaryHeads { outputs: vec![2, 2], weight: 0.3 });
    let mut trainer = Trainer::new(Objective { auxiliary, ..Objective::from(Head::Sigmoid) }, optimizer, 1);
    let labels = data.whole(2, 6 * 7);
    (0..3).for_each(|_| assert!(trainer.step(&mut wide, Input::U8(&images), &labels).is_finite()));
    assert_eq!(trainer.losses().iter().map(|of| of.items).collect::<Vec<_>>(), [6, 6, 6]);
    let mut narrow = Sequential::build(spec(3), isa, 2).unwrap();
    narrow.take_first_outputs(&wide);
    let whole = wide.forward(Input::U8(&images), Pass::Inference).values().to_vec();
    let first = narrow.forward(Input::U8(&images), Pass::Inference).values();
    assert_eq!(first, whole.chunks_exact(7).flat_map(|row| &row[..3]).copied().collect::<Vec<_>>());
}

#[test]
fn nothing_is_learned_where_nothing_is_known() {
    let isa = Isa::choose().unwrap();
    let trained = |labels: &[f32]| {
        let mut model = Sequential::build(spec(3), isa, 1).unwrap();
        let optimizer = Optimizer::new(Rule::adam(0.01), &mut model);
        let auxiliary = Some(AuxiliaryHeads { outputs: vec![1], weight: 0.3 });
        let mut trainer = Trainer::new(Objective { auxiliary, ..Objective::from(Head::Sigmoid) }, optimizer, 1);
        let loss = trainer.step(&mut model, Input::U8(&[9; 8 * 8 * 3]), labels);
        let trained = model.parameters().into_iter().filter(|of| of.is_trained());
        (loss, trained.flat_map(|of| of.value.to_vec()).collect::<Vec<f32>>())
    };
    let model = Sequential::build(spec(3), isa, 1).unwrap();
    let trained_values = model.parameters().into_iter().filter(|of| of.is_trained());
    let before: Vec<f32> = trained_values.flat_map(|of| of.value.to_vec()).collect();
    let none = f32::NAN;
    assert_eq!(trained(&[none; 3]), (0.0, before.clone()));
    // A poster without genres changes the features by what else is known of it.
    let (loss, after) = trained(&[none, none, 1.0]);
    let features = 4 * 3 * 9;
    assert!(loss > 0.0 && after.iter().zip(&before).take(features).any(|(a, b)| a != b), "{loss}");
    let last = |values: &[f32]| values[values.len() - 3..].to_vec();
    assert_eq!(last(&after)[..2], last(&before)[..2], "the biases of the genres");
    assert_ne!(last(&after)[2], last(&before)[2]);
}

#[test]
#[should_panic(expected = "the models differ in")]
fn a_model_that_differs_in_more_than_its_outputs_is_refused() {
    let isa = Isa::choose().unwrap();
    let wide = Sequential::build(spec(7), isa, 1).unwrap();
    Sequential::build(ModelSpec::input(&[8, 8, 3]).flatten().dense(3), isa, 1).unwrap().take_first_outputs(&wide);
}
