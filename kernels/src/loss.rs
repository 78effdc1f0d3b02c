//! Cross-entropies from logits, with their gradients.
//!
//! Scalar f64 inside: the tensors have `n * classes` values, a few hundred, which no vector would make faster to notice,
//! and the losses come out as exact as f32 logits allow.

/// What both losses compare; tensors are `[n][classes]`.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    /// How many classes there are.
    pub classes: usize,
    /// The network's outputs, before sigmoid or softmax.
    pub logits: &'a [f32],
    /// 1 where the class is true, else 0. Softmax: exactly one 1 in each row.
    pub labels: &'a [f32],
    /// A factor for each class' share of the loss; `None` is 1 for all.
    pub class_weights: Option<&'a [f32]>,
}

impl CrossEntropy<'_> {
    fn check(&self, probabilities: &[f32], dlogits: &[f32]) {
        let len = self.logits.len();
        assert!(self.classes > 0 && len > 0 && len.is_multiple_of(self.classes), "{len} logits");
        assert_eq!(self.labels.len(), len, "labels and logits");
        assert_eq!(probabilities.len(), len, "probabilities and logits");
        assert_eq!(dlogits.len(), len, "dlogits and logits");
        if let Some(weights) = self.class_weights {
            assert_eq!(weights.len(), self.classes, "class weights and classes");
        }
    }

    fn weight(&self, class: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| f64::from(weights[class]))
    }
}

/// Binary cross-entropy of independent classes: the mean over images and classes of
/// `weight[k] * -(t ln p + (1 - t) ln(1 - p))` with `p = sigmoid(logit)`, computed as
/// `max(z, 0) - z * t + ln(1 + exp(-|z|))`, which neither overflows nor cancels.
///
/// # Shapes
/// `of`: see [`CrossEntropy`]; `probabilities`, `dlogits`: `[n, classes]`, f32, overwritten; returns the loss
/// # Units
/// Divided by `n * classes` whatever the weights (Keras' `sum_over_batch_size`), and so is
/// `dlogits = weight[k] * (p - t) / (n * classes)`.
/// # Accuracy
/// That of f64, rounded to f32 at the end; serial, so the same bits always.
/// # Panics
/// If a length differs from its shape, or there is no image.
pub fn sigmoid_cross_entropy(of: &CrossEntropy, probabilities: &mut [f32], dlogits: &mut [f32]) -> f64 {
    of.check(probabilities, dlogits);
    let count = of.logits.len() as f64;
    let mut sum = 0.0;
    for (i, (&logit, &label)) in of.logits.iter().zip(of.labels).enumerate() {
        let (z, t) = (f64::from(logit), f64::from(label));
        let (p, weight) = (sigmoid_f64(z), of.weight(i % of.classes));
        sum += weight * (z.max(0.0) - z * t + (-z.abs()).exp().ln_1p());
        probabilities[i] = p as f32;
        dlogits[i] = (weight * (p - t) / count) as f32;
    }
    sum / count
}

/// Categorical cross-entropy of exclusive classes: the mean over images of `weight[true class] * -ln p[true class]` with
/// `p = softmax(logits)`, computed as `ln(sum of exp(z - max z)) - (z[true class] - max z)`, which does not overflow.
///
/// # Shapes
/// `of`: see [`CrossEntropy`]; `probabilities`, `dlogits`: `[n, classes]`, f32, overwritten; returns the loss
/// # Units
/// Divided by `n` whatever the weights (Keras' `sum_over_batch_size`), and so is
/// `dlogits = weight[true class] * (p - t) / n`.
/// # Accuracy
/// That of f64, rounded to f32 at the end; serial, so the same bits always.
/// # Panics
/// If a length differs from its shape, or there is no image.
pub fn softmax_cross_entropy(of: &CrossEntropy, probabilities: &mut [f32], dlogits: &mut [f32]) -> f64 {
    of.check(probabilities, dlogits);
    let classes = of.classes;
    let n = (of.logits.len() / classes) as f64;
    let mut sum = 0.0;
    let rows = of.logits.chunks_exact(classes).zip(of.labels.chunks_exact(classes));
    let outputs = probabilities.chunks_exact_mut(classes).zip(dlogits.chunks_exact_mut(classes));
    for ((logits, labels), (probabilities, dlogits)) in rows.zip(outputs) {
        let Exponentials { max, sum: exp_sum } = Exponentials::of(logits);
        let weight: f64 = labels.iter().enumerate().map(|(k, &t)| of.weight(k) * f64::from(t)).sum();
        for k in 0..classes {
            let (z, t) = (f64::from(logits[k]) - max, f64::from(labels[k]));
            let p = z.exp() / exp_sum;
            // A class that is not true adds nothing, even where its logit is infinitely far below.
            if t != 0.0 {
                sum += weight * t * (exp_sum.ln() - z);
            }
            probabilities[k] = p as f32;
            dlogits[k] = (weight * (p - t) / n) as f32;
        }
    }
    sum / n
}

/// `p = 1 / (1 + exp(-logit))`: the probabilities of [`sigmoid_cross_entropy`] alone, for inference.
///
/// # Shapes
/// `logits`: any f32; `probabilities`: as many, overwritten
/// # Accuracy
/// Within 1 ulp.
/// # Panics
/// If the lengths differ.
pub fn sigmoid(logits: &[f32], probabilities: &mut [f32]) {
    assert_eq!(logits.len(), probabilities.len(), "logits and probabilities");
    for (z, p) in logits.iter().zip(probabilities) {
        *p = sigmoid_f64(f64::from(*z)) as f32;
    }
}

/// `p[k] = exp(logits[k]) / sum over j of exp(logits[j])`, row by row: the probabilities of [`softmax_cross_entropy`]
/// alone, for inference.
///
/// # Shapes
/// `logits`: `[n, classes]`, f32; `probabilities`: likewise, overwritten
/// # Accuracy
/// Within 1 ulp.
/// # Panics
/// If the lengths differ or are no multiple of `classes`.
pub fn softmax(classes: usize, logits: &[f32], probabilities: &mut [f32]) {
    assert_eq!(logits.len(), probabilities.len(), "logits and probabilities");
    assert!(classes > 0 && logits.len().is_multiple_of(classes), "{} logits", logits.len());
    for (logits, probabilities) in logits.chunks_exact(classes).zip(probabilities.chunks_exact_mut(classes)) {
        let Exponentials { max, sum } = Exponentials::of(logits);
        for (z, p) in logits.iter().zip(probabilities) {
            *p = ((f64::from(*z) - max).exp() / sum) as f32;
        }
    }
}

/// `exp(-z)` overflows to infinity only where the quotient is 0 to f64's precision anyway.
fn sigmoid_f64(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// What a row of logits becomes probabilities by.
struct Exponentials {
    max: f64,
    /// Of `exp(logit - max)`: between 1 and the number of classes.
    sum: f64,
}

impl Exponentials {
    fn of(logits: &[f32]) -> Self {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        Self { max, sum: logits.iter().map(|&z| (f64::from(z) - max).exp()).sum() }
    }
}
