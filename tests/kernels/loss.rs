use super::reference::focuses;
use super::*;
use onesheet_kernels::loss::{CrossEntropy, sigmoid, sigmoid_cross_entropy, softmax, softmax_cross_entropy};
use onesheet_kernels::reference::loss as reference;
use proptest::prelude::*;

type Loss = fn(&CrossEntropy, &mut [f32], &mut [f32]) -> f64;

/// Loss, probabilities and gradients, from poisoned outputs.
fn run(loss: Loss, of: &CrossEntropy) -> (f64, Vec<f32>, Vec<f32>) {
    let (mut probabilities, mut dlogits) = (poisoned(of.logits.len()), poisoned(of.logits.len()));
    let value = loss(of, &mut probabilities, &mut dlogits);
    (value, probabilities, dlogits)
}

proptest! {
    #![proptest_config(crate::common::cases(48))]

    #[test]
    fn sigmoid_follows_the_reference(
        n in 1..9usize,
        classes in 1..21usize,
        [weighted, soft, smooth] in any::<[bool; 3]>(),
        focus in focuses(),
        seed: u64,
    ) {
        let mut data = Data::new(seed);
        let logits = data.between(-8.0, 8.0, n * classes);
        let labels = if soft { data.between(0.0, 1.0, n * classes) } else { data.whole(2, n * classes) };
        let weights = if weighted { data.between(0.1, 4.0, classes) } else { vec![1.0; classes] };
        let class_weights = weighted.then_some(&weights[..]);
        let (plain, smoothing) = (CrossEntropy::plain(classes, &logits, &labels), if smooth { 0.25 } else { 0.0 });
        let of = CrossEntropy { class_weights, focus: focus as f32, smoothing, ..plain };
        let (loss, p, dlogits) = run(sigmoid_cross_entropy, &of);
        let [weights, z, labels] = [&weights, &logits, &labels].map(|v| wide(v));
        let (focus, smoothing) = ((focus as f32).into(), smoothing.into());
        let of = reference::CrossEntropy { class_weights: &weights, focus, labels: &labels, smoothing };
        assert_close_f64(&[loss], &[reference::sigmoid_cross_entropy(&of, &z)], 1e-9);
        assert_close(&p, &reference::sigmoid(&z), 1e-7);
        assert_close(&dlogits, &reference::sigmoid_cross_entropy_backward(&of, &z), 1e-7);
        let mut alone = poisoned(p.len());
        sigmoid(&logits, &mut alone);
        assert_same_bits(&alone, &p);
    }

    #[test]
    fn softmax_follows_the_reference(
        n in 1..9usize,
        classes in 1..21usize,
        [weighted, soft, smooth] in any::<[bool; 3]>(),
        focus in focuses(),
        seed: u64,
    ) {
        let mut data = Data::new(seed);
        let (logits, labels) = (data.between(-8.0, 8.0, n * classes), data.distributions(n, classes, soft));
        let weights = if weighted { data.between(0.1, 4.0, classes) } else { vec![1.0; classes] };
        let class_weights = weighted.then_some(&weights[..]);
        let (plain, smoothing) = (CrossEntropy::plain(classes, &logits, &labels), if smooth { 0.25 } else { 0.0 });
        let of = CrossEntropy { class_weights, focus: focus as f32, smoothing, ..plain };
        let (loss, p, dlogits) = run(softmax_cross_entropy, &of);
        let [weights, z, labels] = [&weights, &logits, &labels].map(|v| wide(v));
        let (focus, smoothing) = ((focus as f32).into(), smoothing.into());
        let of = reference::CrossEntropy { class_weights: &weights, focus, labels: &labels, smoothing };
        assert_close_f64(&[loss], &[reference::softmax_cross_entropy(&of, &z)], 1e-9);
        assert_close(&p, &reference::softmax(classes, &z), 1e-7);
        assert_close(&dlogits, &reference::softmax_cross_entropy_backward(&of, &z), 1e-7);
        let mut alone = poisoned(p.len());
        softmax(classes, &logits, &mut alone);
        assert_same_bits(&alone, &p);
    }
}

/// Where the textbook's formulas overflow or take the logarithm of 0.
#[test]
fn extreme_logits() {
    let logits = [3e4, -3e4, 3e4, -3e4];
    let labels = [1.0, 0.0, 0.0, 1.0];
    let of = CrossEntropy::plain(4, &logits, &labels);
    let (loss, p, dlogits) = run(sigmoid_cross_entropy, &of);
    assert_eq!(loss, 1.5e4);
    assert_eq!(p, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(dlogits, [0.0, 0.0, 0.25, -0.25]);

    let of = CrossEntropy::plain(2, &logits, &labels);
    let (loss, p, dlogits) = run(softmax_cross_entropy, &of);
    assert_eq!(loss, 3e4);
    assert_eq!(p, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(dlogits, [0.0, 0.0, 0.5, -0.5]);
}

/// A diverged network must be seen in its loss.
#[test]
fn nan_reaches_the_loss() {
    let of = CrossEntropy::plain(2, &[f32::NAN, 0.0], &[0.0, 1.0]);
    for loss in [sigmoid_cross_entropy as Loss, softmax_cross_entropy as Loss] {
        assert!(run(loss, &of).0.is_nan());
    }
}
