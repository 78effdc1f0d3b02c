//! The losses by their textbook formulas, through the probabilities: exact enough for logits of
//! moderate size.
//!
//! Tensors are `[n][classes]`.

/// What the losses depend on beside the logits.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    /// A weight for each class.
    pub class_weights: &'a [f64],
    /// The power of the error that each term is multiplied with; 0 is plain cross-entropy.
    pub focus: f64,
    /// Between 0 and 1; for the softmax, each row sums to 1.
    pub labels: &'a [f64],
    /// The share of each label that is spread evenly: over yes and no for the sigmoid, over the
    /// classes for the softmax.
    pub smoothing: f64,
}

impl CrossEntropy<'_> {
    /// The labels after smoothing, where all classes alike would have `even`.
    fn smoothed(&self, even: f64) -> Vec<f64> {
        self.labels.iter().map(|t| (1.0 - self.smoothing) * t + self.smoothing * even).collect()
    }
}

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

/// `-(1 - p)^focus * ln p`, the loss of giving the probability `p` to what is true, and its
/// derivative by `p`.
fn term(focus: f64, p: f64) -> [f64; 2] {
    let error = 1.0 - p;
    // Where there is no error, ln p is 0 as well: the product tends to 0 for every focus.
    let by_factor = if error == 0.0 { 0.0 } else { focus * error.powf(focus - 1.0) * p.ln() };
    [-error.powf(focus) * p.ln(), by_factor - error.powf(focus) / p]
}

/// `sum over n,k of weight[k] * (t * term(p) + (1 - t) * term(1 - p)) / (n * classes)`
/// with `p` the [`sigmoid`], `t` the smoothed label, `term(p) = -(1 - p)^focus * ln p`.
pub fn sigmoid_cross_entropy(of: &CrossEntropy, logits: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (i, (p, t)) in sigmoid(logits).into_iter().zip(of.smoothed(0.5)).enumerate() {
        let [right, wrong] = [term(of.focus, p)[0], term(of.focus, 1.0 - p)[0]];
        sum += of.class_weights[i % of.class_weights.len()] * (t * right + (1.0 - t) * wrong);
    }
    sum / logits.len() as f64
}

/// The gradient of [`sigmoid_cross_entropy`] by the logits, where `dp/dlogit = p * (1 - p)`.
pub fn sigmoid_cross_entropy_backward(of: &CrossEntropy, logits: &[f64]) -> Vec<f64> {
    let gradient = |(i, (p, t)): (usize, (f64, f64))| {
        let [right, wrong] = [term(of.focus, p)[1], -term(of.focus, 1.0 - p)[1]];
        let dp = of.class_weights[i % of.class_weights.len()] * (t * right + (1.0 - t) * wrong);
        dp * p * (1.0 - p) / logits.len() as f64
    };
    sigmoid(logits).into_iter().zip(of.smoothed(0.5)).enumerate().map(gradient).collect()
}

/// `sum over n of weight[n] * (sum over k of t * term(p)) / n` with `p` the [`softmax`], `t` the
/// smoothed labels, `term(p) = -(1 - p)^focus * ln p`, and
/// `weight[n] = sum over k of weight[k] * label[n,k]`.
pub fn softmax_cross_entropy(of: &CrossEntropy, logits: &[f64]) -> f64 {
    let classes = of.class_weights.len();
    let (smoothed, mut sum) = (of.smoothed(1.0 / classes as f64), 0.0);
    let rows = of.labels.chunks(classes).zip(smoothed.chunks(classes));
    for (p, (labels, t)) in softmax(classes, logits).chunks(classes).zip(rows) {
        for k in 0..classes {
            sum += weight(of.class_weights, labels) * t[k] * term(of.focus, p[k])[0];
        }
    }
    sum / (logits.len() / classes) as f64
}

/// The gradient of [`softmax_cross_entropy`] by the logits, where
/// `dp[k]/dlogit[j] = p[k] * ([k = j] - p[j])`.
pub fn softmax_cross_entropy_backward(of: &CrossEntropy, logits: &[f64]) -> Vec<f64> {
    let classes = of.class_weights.len();
    let n = (logits.len() / classes) as f64;
    let (smoothed, mut dlogits) = (of.smoothed(1.0 / classes as f64), Vec::new());
    let rows = of.labels.chunks(classes).zip(smoothed.chunks(classes));
    for (p, (labels, t)) in softmax(classes, logits).chunks(classes).zip(rows) {
        let dp: Vec<f64> = (0..classes).map(|k| t[k] * term(of.focus, p[k])[1]).collect();
        for j in 0..classes {
            let sum: f64 = (0..classes).map(|k| dp[k] * p[k] * (f64::from(u8::from(k == j)) - p[j])).sum();
            dlogits.push(weight(of.class_weights, labels) * sum / n);
        }
    }
    dlogits
}

/// The mean weight of a row's classes.
fn weight(class_weights: &[f64], labels: &[f64]) -> f64 {
    class_weights.iter().zip(labels).map(|(w, t)| w * t).sum()
}
