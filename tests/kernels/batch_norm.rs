use super::*;
use onesheet_kernels::batch_norm::{Gradients, Normalization, Workspace, backward, forward, statistics, update_moving};
use onesheet_kernels::reference::batch_norm as reference;
use proptest::prelude::*;

const EPSILON: f32 = 1e-3;

/// The values of one channel: what is far off in it must not hide behind another's larger scale.
fn channel<T: Copy>(values: &[T], c: usize, channel: usize) -> Vec<T> {
    values.iter().skip(channel).step_by(c).copied().collect()
}

/// `m` pixels whose channels are of all kinds: around zero, constant, a large mean with a small
/// variance, and an outlier at the first pixel.
fn pixels(data: &mut Data, m: usize, c: usize) -> Vec<f32> {
    let mut x = data.vec(m * c);
    for (at, x) in x.iter_mut().enumerate() {
        match at % c % 4 {
            1 => *x = 1000.1,
            2 => *x = 1000.0 + 0.01 * *x,
            3 if at < c => *x = 3000.0,
            _ => (),
        }
    }
    x
}

/// Positive, negative, and zero.
fn gammas(data: &mut Data, c: usize) -> Vec<f32> {
    data.vec(c).iter().map(|g| if g.abs() < 0.1 { 0.0 } else { *g }).collect()
}

fn check_statistics(x: &[f32], c: usize) -> (Vec<f32>, Vec<f32>) {
    let (mean, variance) = reference::statistics(c, &wide(x));
    let mut last = None;
    for_each_isa(|isa| {
        let outputs = on_1_2_3_threads(|| {
            let (mut mean, mut variance) = (poisoned(c), poisoned(c));
            statistics(isa, x, None, &mut mean, &mut variance, &mut Workspace::default());
            vec![mean, variance]
        });
        for i in 0..c {
            let largest = channel(x, c, i).iter().fold(0f64, |largest, x| largest.max(f64::from(x.abs())));
            let error = (f64::from(outputs[0][i]) - mean[i]).abs();
            assert!(error <= 1e-7 * largest, "mean {i}: {} instead of {}", outputs[0][i], mean[i]);
            let error = (f64::from(outputs[1][i]) - variance[i]).abs();
            let allowed = 1e-5 * variance[i] + 1e-16 * largest * largest;
            assert!(error <= allowed, "variance {i}: {} instead of {}", outputs[1][i], variance[i]);
            assert!(outputs[1][i] >= 0.0);
        }
        last = Some((outputs[0].clone(), outputs[1].clone()));
    });
    last.expect("portable is always there")
}

/// Forward and backward with the given statistics, which need not be those of `x`: the reference
/// takes the same.
fn check(x: &[f32], dy: &[f32], by: &Normalization) {
    let c = by.gamma.len();
    let [gamma, beta, mean, variance] = [by.gamma, by.beta, by.mean, by.variance].map(wide);
    let epsilon = f64::from(by.epsilon);
    let wide_by = reference::Normalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon };
    let y = reference::forward(&wide_by, &wide(x));
    let (dx, dgamma, dbeta) = reference::backward(&wide_by, &wide(x), &wide(dy));
    for_each_isa(|isa| {
        let outputs = on_1_2_3_threads(|| {
            let (mut y, mut dx) = (poisoned(x.len()), poisoned(x.len()));
            // Accumulated into.
            let (mut dgamma, mut dbeta) = (vec![1.0; c], vec![-1.0; c]);
            forward(isa, by, x, &mut y, &mut Workspace::default());
            let to = Gradients { dx: Some(&mut dx), dgamma: &mut dgamma, dbeta: &mut dbeta };
            backward(isa, by, x, dy, None, to, &mut Workspace::default());
            vec![y, dx, dgamma, dbeta]
        });
        for i in 0..c {
            assert_close(&channel(&outputs[0], c, i), &channel(&y, c, i), 1e-6);
            assert_close(&channel(&outputs[1], c, i), &channel(&dx, c, i), 1e-5);
            assert_close(&outputs[2][i..=i], &[dgamma[i] + 1.0], 1e-5);
            assert_close(&outputs[3][i..=i], &[dbeta[i] - 1.0], 1e-5);
        }
    });
}

proptest! {
    #![proptest_config(crate::common::cases(32))]

    #[test]
    fn follows_the_reference(m in prop_oneof![1..4usize, 1..100usize], c in 1..70usize, seed: u64) {
        let mut data = Data::new(seed);
        let x = pixels(&mut data, m, c);
        let (gamma, beta, dy) = (gammas(&mut data, c), data.vec(c), data.vec(m * c));
        let (mean, variance) = check_statistics(&x, c);
        let by = Normalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon: EPSILON };
        check(&x, &dy, &by);
    }
}

/// More than one block and more than one chunk of each kind of stripe, the last of each incomplete.
#[test]
fn follows_the_reference_over_many_chunks() {
    for c in [1, 3, 16, 19, 64, 100] {
        let mut data = Data::new(c as u64);
        let m = 150_001 / c;
        let x = pixels(&mut data, m, c);
        let (gamma, beta, dy) = (gammas(&mut data, c), data.vec(c), data.vec(m * c));
        let (mean, variance) = check_statistics(&x, c);
        let by = Normalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon: EPSILON };
        check(&x, &dy, &by);
    }
}

/// As a layer in training puts the pieces together, against an f64 that never rounds the
/// statistics.
#[test]
fn training_follows_the_reference_from_end_to_end() {
    let (m, c) = (500, 5);
    let mut data = Data::new(1);
    let (x, dy) = (data.between(-1.0, 3.0, m * c), data.vec(m * c));
    let (gamma, beta) = (data.vec(c), data.vec(c));
    let (mean, variance) = reference::statistics(c, &wide(&x));
    let by = reference::Normalization {
        gamma: &wide(&gamma),
        beta: &wide(&beta),
        mean: &mean,
        variance: &variance,
        epsilon: f64::from(EPSILON),
    };
    let y = reference::forward(&by, &wide(&x));
    let (dx, ..) = reference::backward(&by, &wide(&x), &wide(&dy));
    for_each_isa(|isa| {
        let (mut mean, mut variance) = (poisoned(c), poisoned(c));
        statistics(isa, &x, None, &mut mean, &mut variance, &mut Workspace::default());
        let by = Normalization { gamma: &gamma, beta: &beta, mean: &mean, variance: &variance, epsilon: EPSILON };
        let (mut actual_y, mut actual_dx) = (poisoned(m * c), poisoned(m * c));
        let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
        forward(isa, &by, &x, &mut actual_y, &mut Workspace::default());
        let to = Gradients { dx: Some(&mut actual_dx), dgamma: &mut dgamma, dbeta: &mut dbeta };
        backward(isa, &by, &x, &dy, None, to, &mut Workspace::default());
        assert_close(&actual_y, &y, 1e-6);
        assert_close(&actual_dx, &dx, 1e-6);
    });
}

#[test]
fn moving_statistics_follow_keras() {
    let mut moving = [0.0, 1.0];
    update_moving(0.75, &[4.0, 2.0], &mut moving);
    assert_eq!(moving, [1.0, 1.25]);
    update_moving(0.75, &[4.0, 2.0], &mut moving);
    assert_eq!(moving, [1.75, 1.4375]);
}

/// What `run` leaves on each of several parts when each is told the sums of all: `run` is called once to
/// learn a part's own sums, and once to hand it those of all.
fn in_parts<T>(parts: usize, run: impl Fn(usize, &dyn Fn(&mut [f64])) -> T) -> Vec<T> {
    use std::cell::RefCell;
    let total: RefCell<Vec<f64>> = RefCell::default();
    for part in 0..parts {
        run(part, &|sums| {
            let mut total = total.borrow_mut();
            total.resize(sums.len(), 0.0);
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += *sum);
        });
    }
    (0..parts).map(|part| run(part, &|sums| sums.copy_from_slice(&total.borrow()))).collect()
}

proptest! {
    #![proptest_config(crate::common::cases(32))]

    /// The statistics and gradients of parts are those of the whole batch, however unequal the parts.
    #[test]
    fn parts_of_a_batch_follow_the_reference_of_the_whole(
        sizes in prop::collection::vec(1..60usize, 1..5), c in 1..40usize, seed: u64,
    ) {
        let m: usize = sizes.iter().sum();
        let mut data = Data::new(seed);
        let (x, dy) = (data.between(-1.0, 3.0, m * c), data.vec(m * c));
        let (gamma, beta) = (gammas(&mut data, c), data.vec(c));
        let (mean, variance) = reference::statistics(c, &wide(&x));
        let first = |part: usize| sizes[..part].iter().sum::<usize>() * c;
        let of = |part: usize| first(part)..first(part + 1);
        for_each_isa(|isa| {
            let both = in_parts(sizes.len(), |part, others| {
                let (mut mean, mut variance) = (poisoned(c), poisoned(c));
                statistics(isa, &x[of(part)], Some(others), &mut mean, &mut variance, &mut Workspace::default());
                (mean, variance)
            });
            for (actual_mean, actual_variance) in &both {
                assert_close(actual_mean, &mean, 1e-6);
                assert_close(actual_variance, &variance, 1e-5);
                assert_same_bits(actual_mean, &both[0].0);
                assert_same_bits(actual_variance, &both[0].1);
            }
            let (mean, variance) = &both[0];
            let by = Normalization { gamma: &gamma, beta: &beta, mean, variance, epsilon: EPSILON };
            let [wide_gamma, wide_beta, wide_mean, wide_variance] = [&gamma, &beta, mean, variance].map(|v| wide(v));
            let (dx, dgamma, dbeta) = reference::backward(
                &reference::Normalization {
                    gamma: &wide_gamma,
                    beta: &wide_beta,
                    mean: &wide_mean,
                    variance: &wide_variance,
                    epsilon: f64::from(EPSILON),
                },
                &wide(&x),
                &wide(&dy),
            );
            let gradients = in_parts(sizes.len(), |part, others| {
                let (mut dx, mut dgamma, mut dbeta) = (poisoned(of(part).len()), vec![0.0; c], vec![0.0; c]);
                let to = Gradients { dx: Some(&mut dx), dgamma: &mut dgamma, dbeta: &mut dbeta };
                backward(isa, &by, &x[of(part)], &dy[of(part)], Some(others), to, &mut Workspace::default());
                (dx, dgamma, dbeta)
            });
            let of_all = gradients.iter().flat_map(|of| of.0.iter().copied()).collect::<Vec<_>>();
            assert_close(&of_all, &dx, 1e-5);
            // Those of parts are to be added up.
            for i in 0..c {
                assert_close(&[gradients.iter().map(|of| of.1[i]).sum::<f32>()], &[dgamma[i]], 1e-5);
                assert_close(&[gradients.iter().map(|of| of.2[i]).sum::<f32>()], &[dbeta[i]], 1e-5);
            }
        });
    }
}
