//! Cross-entropies from logits, with their gradients.
//!
//! Scalar f64 inside: the tensors have `n * classes` values, a few hundred, too few for vectors to
//! make a difference, and the losses come out as exact as f32 logits allow.

/// What both losses compare; tensors are `[n][classes]`.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    /// The number of classes.
    pub classes: usize,
    /// The network's outputs, before sigmoid or softmax.
    pub logits: &'a [f32],
    /// 1 where the class is true, else 0, or anything between for a label that is mixed. Softmax:
    /// each row sums to 1.
    pub labels: &'a [f32],
    /// A factor for each class's share of the loss; `None` is 1 for all.
    pub class_weights: Option<&'a [f32]>,
    /// Focal loss: each term is multiplied by this power of the error, so that what the model knows
    /// already counts less; 0 is plain cross-entropy.
    ///
    /// Lin et al. 2017, Focal Loss for Dense Object Detection, <https://arxiv.org/abs/1708.02002>:
    /// their gamma.
    pub focus: f32,
    /// The share of each label that is spread evenly: over yes and no for sigmoids, over all
    /// classes for softmax. A row keeps the weight of its labels before smoothing.
    ///
    /// Szegedy et al. 2016, <https://arxiv.org/abs/1512.00567>, section 7.
    pub smoothing: f32,
}

impl<'a> CrossEntropy<'a> {
    /// Plain cross-entropy: no class weights, focus or smoothing.
    pub fn plain(classes: usize, logits: &'a [f32], labels: &'a [f32]) -> Self {
        Self { classes, logits, labels, class_weights: None, focus: 0.0, smoothing: 0.0 }
    }

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

    /// The factor `(1 - p)^focus` of a term `-ln p`, and what the derivative of their product by
    /// `ln p` adds to the factor's negative: `d/d(ln p) of -(1 - p)^focus * ln p = added - factor`.
    fn focused(&self, p: f64) -> [f64; 2] {
        let focus = f64::from(self.focus);
        let factor = (1.0 - p).powf(focus);
        // ln p / (1 - p) tends to -1 where p tends to 1, and p * ln p to 0 where p does.
        let ratio = if p > 0.0 && p < 1.0 { p * p.ln() / (1.0 - p) } else { -p };
        [factor, focus * factor * ratio]
    }

    /// A label of which a share has gone to `even`, the value that all classes would have alike.
    fn smoothed(&self, label: f32, even: f64) -> f64 {
        let label = f64::from(label);
        label + f64::from(self.smoothing) * (even - label)
    }

    fn weight(&self, class: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| f64::from(weights[class]))
    }
}

/// Binary cross-entropy of independent classes: the mean over images and classes of
/// `weight[k] * -(t ln p + (1 - t) ln(1 - p))` with `p = sigmoid(logit)`, computed as
/// `max(z, 0) - z * t + ln(1 + exp(-|z|))`, which neither overflows nor cancels; `t` is the label,
/// smoothed. With a `focus`, `ln p` is multiplied by `(1 - p)^focus` and `ln(1 - p)` by `p^focus`.
///
/// # Shapes
/// `of`: see [`CrossEntropy`]; `probabilities`, `dlogits`: `[n, classes]`, f32, overwritten;
/// returns the loss
/// # Units
/// Divided by `n * classes` whatever the weights (Keras' `sum_over_batch_size`), and so is
/// `dlogits`, without a focus `weight[k] * (p - t) / (n * classes)`.
/// # Accuracy
/// That of f64, rounded to f32 at the end; serial, so the same bits always.
/// # Panics
/// If a length differs from its shape, or there is no image.
pub fn sigmoid_cross_entropy(of: &CrossEntropy, probabilities: &mut [f32], dlogits: &mut [f32]) -> f64 {
    of.check(probabilities, dlogits);
    let count = of.logits.len() as f64;
    let mut sum = 0.0;
    for (i, (&logit, &label)) in of.logits.iter().zip(of.labels).enumerate() {
        let (z, t) = (f64::from(logit), of.smoothed(label, 0.5));
        let (p, weight) = (sigmoid_f64(z), of.weight(i % of.classes));
        let (loss, dlogit) = if of.focus == 0.0 {
            (z.max(0.0) - z * t + (-z.abs()).exp().ln_1p(), p - t)
        } else {
            // -ln p, and -ln(1 - p).
            let [right, wrong] = [-z, z].map(|z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p());
            let ([factor, added], q) = (of.focused(p), sigmoid_f64(-z));
            let [other_factor, other_added] = of.focused(q);
            // d ln p / dz = 1 - p, d ln(1 - p) / dz = -p.
            let dlogit = t * (added - factor) * q - (1.0 - t) * (other_added - other_factor) * p;
            (t * factor * right + (1.0 - t) * other_factor * wrong, dlogit)
        };
        sum += weight * loss;
        probabilities[i] = p as f32;
        dlogits[i] = (weight * dlogit / count) as f32;
    }
    sum / count
}

/// Categorical cross-entropy of exclusive classes: the mean over images of
/// `weight * sum over k of t[k] * -ln p[k]` with `p = softmax(logits)`, computed as
/// `ln(sum of exp(z - max z)) - (z[k] - max z)`, which does not overflow, and
/// `weight = sum over k of weight[k] * label[k]`, that of the true class; `t` is the label,
/// smoothed. With a `focus`, `ln p` is multiplied by `(1 - p)^focus`.
///
/// # Shapes
/// `of`: see [`CrossEntropy`]; `probabilities`, `dlogits`: `[n, classes]`, f32, overwritten;
/// returns the loss
/// # Units
/// Divided by `n` whatever the weights (Keras' `sum_over_batch_size`), and so is `dlogits`, without
/// a focus `weight * (p - t) / n`.
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
        // p, the class's loss, and the derivative of that loss by ln p.
        let term = |k: usize| {
            let (z, t) = (f64::from(logits[k]) - max, of.smoothed(labels[k], 1.0 / classes as f64));
            let p = z.exp() / exp_sum;
            let [factor, added] = if of.focus == 0.0 { [1.0, 0.0] } else { of.focused(p) };
            // A class that is not true adds nothing, even where its logit is infinitely far below.
            let loss = if t == 0.0 { 0.0 } else { t * factor * (exp_sum.ln() - z) };
            (p, loss, t * (added - factor))
        };
        let mut slopes = 0.0;
        for (k, probability) in probabilities.iter_mut().enumerate() {
            let (p, loss, slope) = term(k);
            sum += weight * loss;
            slopes += slope;
            *probability = p as f32;
        }
        for (k, dlogit) in dlogits.iter_mut().enumerate() {
            // d ln p[j] / dz[k] = [j = k] - p[k].
            let (p, _, slope) = term(k);
            *dlogit = (weight * (slope - p * slopes) / n) as f32;
        }
    }
    sum / n
}

/// `p = 1 / (1 + exp(-logit))`: the probabilities of [`sigmoid_cross_entropy`] alone, for
/// inference.
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

/// `p[k] = exp(logits[k]) / sum over j of exp(logits[j])`, row by row: the probabilities of
/// [`softmax_cross_entropy`] alone, for inference.
///
/// # Shapes
/// `logits`: `[n, classes]`, f32; `probabilities`: likewise, overwritten
/// # Accuracy
/// Within 1 ulp.
/// # Panics
/// If the lengths differ or are not a multiple of `classes`.
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

/// What turns a row of logits into probabilities.
struct Exponentials {
    max: f64,
    /// The sum of `exp(logit - max)`: between 1 and the number of classes.
    sum: f64,
}

impl Exponentials {
    fn of(logits: &[f32]) -> Self {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        Self { max, sum: logits.iter().map(|&z| (f64::from(z) - max).exp()).sum() }
    }
}
