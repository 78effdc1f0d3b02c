//! The losses by their textbook formulas, through the probabilities: exact enough for logits of moderate size.
//!
//! Tensors are `[n][classes]`; `class_weights` has a weight for each class.

/// `p = 1 / (1 + exp(-logit))`.
pub fn sigmoid(logits: &[f64]) -> Vec<f64> {
    logits.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect()
}

/// `p[n,k] = exp(logits[n,k]) / sum over j of exp(logits[n,j])`.
pub fn softmax(classes: usize, logits: &[f64]) -> Vec<f64> {
    let row = |logits: &[f64]| {
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        logits.iter().map(|z| z.exp() / sum).collect::<Vec<_>>()
    };
    logits.chunks(classes).flat_map(row).collect()
}

/// `sum over n,k of weight[k] * -(t ln p + (1 - t) ln(1 - p)) / (n * classes)` with `p` the [`sigmoid`], `t` the label.
pub fn sigmoid_cross_entropy(class_weights: &[f64], logits: &[f64], labels: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (i, (p, t)) in sigmoid(logits).iter().zip(labels).enumerate() {
        sum -= class_weights[i % class_weights.len()] * (t * p.ln() + (1.0 - t) * (1.0 - p).ln());
    }
    sum / logits.len() as f64
}

/// `dlogits[n,k] = weight[k] * (p - t) / (n * classes)`.
pub fn sigmoid_cross_entropy_backward(class_weights: &[f64], logits: &[f64], labels: &[f64]) -> Vec<f64> {
    let gradient =
        |(i, (p, t)): (usize, (f64, &f64))| class_weights[i % class_weights.len()] * (p - t) / logits.len() as f64;
    sigmoid(logits).into_iter().zip(labels).enumerate().map(gradient).collect()
}

/// `sum over n of weight[n] * -(sum over k of t ln p) / n` with `p` the [`softmax`], `t` the labels, one 1 a row and else
/// 0, and `weight[n]` that of the row's true class.
pub fn softmax_cross_entropy(class_weights: &[f64], logits: &[f64], labels: &[f64]) -> f64 {
    let classes = class_weights.len();
    let mut sum = 0.0;
    for (p, t) in softmax(classes, logits).chunks(classes).zip(labels.chunks(classes)) {
        for k in 0..classes {
            sum -= weight(class_weights, t) * t[k] * p[k].ln();
        }
    }
    sum / (logits.len() / classes) as f64
}

/// `dlogits[n,k] = weight[n] * (p - t) / n`.
pub fn softmax_cross_entropy_backward(class_weights: &[f64], logits: &[f64], labels: &[f64]) -> Vec<f64> {
    let classes = class_weights.len();
    let n = (logits.len() / classes) as f64;
    let mut dlogits = Vec::new();
    for (p, t) in softmax(classes, logits).chunks(classes).zip(labels.chunks(classes)) {
        dlogits.extend((0..classes).map(|k| weight(class_weights, t) * (p[k] - t[k]) / n));
    }
    dlogits
}

/// The weight of the class whose label is 1.
fn weight(class_weights: &[f64], labels: &[f64]) -> f64 {
    class_weights.iter().zip(labels).map(|(w, t)| w * t).sum()
}
