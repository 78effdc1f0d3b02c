//! The loss and the optimisers.
//!
//! ONNX adds the gradient of a penalty on the weights to the given one, before anything else is done
//! with it; ours lets weights decay beside that. So our side is given the sum.

use super::cases::{Case, channels_last};
use crate::common::golden::Golden;
use crate::common::{for_each_isa, poisoned};
use onesheet_kernels::loss::{self, CrossEntropy};
use onesheet_kernels::optim::{Adam, Rule, Sgd, Step};

/// Every pixel is an image of ours.
///
/// ONNX divides a mean by the sum of the weights of the true classes, and ours by the number of images.
/// A class that is ignored has no weight; a label that is no class at all stays out of the batch.
pub fn softmax_cross_entropy(case: &Case) {
    let logits = channels_last(case.input(0));
    let classes = *logits.shape.last().unwrap();
    let labels: Vec<i64> = case.input(1).values.iter().map(|&label| label as i64).collect();
    let (weights, ignored) = (case.optional(2).map(Golden::to_f32), case.int("ignore_index"));
    let in_classes = |label: i64| usize::try_from(label).ok().filter(|&label| label < classes);
    let mut class_weights = weights.clone().unwrap_or(vec![1.0; classes]);
    let ignored_class = ignored.and_then(in_classes);
    if let Some(class) = ignored_class {
        class_weights[class] = 0.0;
    }
    let has_weights = weights.is_some() || ignored_class.is_some();
    let rows: Vec<usize> = (0..labels.len()).filter(|&row| in_classes(labels[row]).is_some()).collect();
    assert!(labels.iter().all(|&label| in_classes(label).is_some() || Some(label) == ignored));

    // Of some rows: the sum of their losses, and their probabilities.
    let sum = |rows: &[usize]| {
        let of_rows = |values: &[f64]| -> Vec<f32> {
            rows.iter().flat_map(|row| &values[row * classes..][..classes]).map(|&value| value as f32).collect()
        };
        let (logits, mut one_hot) = (of_rows(&logits.values), vec![0.0; rows.len() * classes]);
        rows.iter().zip(one_hot.chunks_exact_mut(classes)).for_each(|(&row, label)| label[labels[row] as usize] = 1.0);
        let (mut probabilities, mut dlogits) = (poisoned(logits.len()), poisoned(logits.len()));
        let plain = CrossEntropy::plain(classes, &logits, &one_hot);
        let of = CrossEntropy { class_weights: has_weights.then_some(&class_weights[..]), ..plain };
        let mean = loss::softmax_cross_entropy(&of, &mut probabilities, &mut dlogits);
        (mean * rows.len() as f64, probabilities)
    };
    match &case.text("reduction").unwrap_or("mean".to_owned())[..] {
        "none" => {
            let mut losses = vec![0.0; labels.len()];
            rows.iter().for_each(|&row| losses[row] = sum(&[row]).0 as f32);
            case.check(0, &losses);
        }
        "sum" => case.check(0, &[sum(&rows).0 as f32]),
        "mean" => {
            let weights = rows.iter().map(|&row| f64::from(class_weights[labels[row] as usize]));
            case.check(0, &[(sum(&rows).0 / weights.sum::<f64>()) as f32]);
        }
        other => panic!("{other}"),
    }
    if case.output(1).is_some() {
        // The loss asks for probabilities of all rows, whatever their labels.
        let (all, mut probabilities) = (logits.to_f32(), poisoned(logits.values.len()));
        loss::softmax(classes, &all, &mut probabilities);
        let of_rows: Vec<f32> =
            rows.iter().flat_map(|row| &probabilities[row * classes..][..classes]).copied().collect();
        assert_eq!(of_rows, sum(&rows).1);
        case.check_images(1, &probabilities.iter().map(|p| f64::from(*p).ln() as f32).collect::<Vec<_>>());
    }
}

/// The rate and the number of the update, and how many weights there are to be moved, of which each has
/// `operands`: all weights come first, then all gradients, and so on.
fn of_optimizer(case: &Case, operands: usize) -> (f32, i64, usize) {
    let (rate, number) = (case.input(0).to_f32()[0], case.input(1).values[0] as i64);
    assert_eq!((case.inputs() - 2) % operands, 0);
    (rate, number, (case.inputs() - 2) / operands)
}

/// `gradient + coefficient * weight`.
fn with_penalty(coefficient: f32, weights: &[f32], gradients: &[f32]) -> Vec<f32> {
    gradients.iter().zip(weights).map(|(g, w)| coefficient * w + g).collect()
}

pub fn adam(case: &Case) {
    let (learning_rate, number, weights) = of_optimizer(case, 4);
    let (beta_1, beta_2) = (case.float("alpha").unwrap_or(0.9), case.float("beta").unwrap_or(0.999));
    let epsilon = case.float("epsilon").unwrap_or(0.0);
    assert_eq!(case.float("norm_coefficient_post").unwrap_or(0.0), 0.0, "decay after the step");
    // Update 0 has no correction of the bias, as ours has none in the long run.
    let number = if number == 0 { 100_000 } else { number as u64 };
    let rule = Rule::Adam(Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay: 0.0 });
    let coefficient = case.float("norm_coefficient").unwrap_or(0.0);
    for which in 0..weights {
        let [x, g, m, v] = [0, 1, 2, 3].map(|operand| case.input(2 + operand * weights + which).to_f32());
        let g = with_penalty(coefficient, &x, &g);
        for_each_isa(|isa| {
            let (mut x, mut m, mut v) = (x.clone(), m.clone(), v.clone());
            Step { rule, number }.run(isa, &g, [&mut m, &mut v], &mut x);
            [x, m, v].iter().enumerate().for_each(|(output, new)| case.check(output * weights + which, new));
        });
    }
}

/// Our velocity has the learning rate in it, and points down.
pub fn momentum(case: &Case) {
    let (learning_rate, number, weights) = of_optimizer(case, 3);
    let momentum = case.float("alpha").unwrap();
    let nesterov = match &case.text("mode").unwrap()[..] {
        "standard" => false,
        "nesterov" => true,
        other => panic!("{other}"),
    };
    // The share of a gradient in the momentum, which is 1 in update 0; ours has none.
    let share = case.float("beta").unwrap();
    assert!(number == 0 || share == 1.0, "a share of {share}");
    let rule = Rule::Sgd(Sgd { learning_rate, momentum, nesterov, weight_decay: 0.0 });
    let coefficient = case.float("norm_coefficient").unwrap_or(0.0);
    for which in 0..weights {
        let [x, g, v] = [0, 1, 2].map(|operand| case.input(2 + operand * weights + which).to_f32());
        let g = with_penalty(coefficient, &x, &g);
        for_each_isa(|isa| {
            let (mut x, mut velocity) = (x.clone(), v.iter().map(|v| -learning_rate * v).collect::<Vec<_>>());
            Step { rule, number: 1 }.run(isa, &g, [&mut velocity, &mut []], &mut x);
            case.check(which, &x);
            let v: Vec<f32> = velocity.iter().map(|velocity| -velocity / learning_rate).collect();
            case.check(weights + which, &v);
        });
    }
}
