use super::*;
use onesheet_kernels::optim::{Adam, Rule, Sgd, Step};
use onesheet_kernels::reference::optim as reference;
use proptest::prelude::*;

const STEPS: u64 = 5;

/// The gradients of all steps; every third is 0.
fn gradients(data: &mut Data, len: usize) -> Vec<Vec<f32>> {
    (0..STEPS)
        .map(|_| {
            let mut g = data.vec(len);
            g.iter_mut().step_by(3).for_each(|g| *g = 0.0);
            g
        })
        .collect()
}

proptest! {
    #![proptest_config(crate::common::cases(24))]

    #[test]
    fn adam_follows_the_reference(
        len in prop_oneof![1..70usize, 20_000..30_000usize],
        weight_decay in prop_oneof![Just(0.0f32), 0.01..1.0f32],
        seed: u64,
    ) {
        let mut data = Data::new(seed);
        let (w, gradients) = (data.vec(len), gradients(&mut data, len));
        let adam = Adam { weight_decay, ..Adam::new(0.01) };
        let rule = reference::Adam {
            learning_rate: adam.learning_rate.into(),
            beta_1: adam.beta_1.into(),
            beta_2: adam.beta_2.into(),
            epsilon: adam.epsilon.into(),
            weight_decay: weight_decay.into(),
        };
        let (mut wide_m, mut wide_v, mut wide_w) = (vec![0.0; len], vec![0.0; len], wide(&w));
        for (t, g) in (1..).zip(&gradients) {
            for i in 0..len {
                rule.step(t, g[i].into(), &mut wide_m[i], &mut wide_v[i], &mut wide_w[i]);
            }
        }
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let (mut m, mut v, mut w) = (vec![0.0; len], vec![0.0; len], w.clone());
                for (number, g) in (1..).zip(&gradients) {
                    Step { rule: Rule::Adam(adam), number }.run(isa, g, [&mut m, &mut v], &mut w);
                }
                vec![m, v, w]
            });
            assert_close(&outputs[0], &wide_m, 1e-6);
            assert_close(&outputs[1], &wide_v, 1e-6);
            assert_close(&outputs[2], &wide_w, 1e-6);
        });
    }

    #[test]
    fn sgd_follows_the_reference(
        len in prop_oneof![1..70usize, 20_000..30_000usize],
        momentum in prop_oneof![Just(0.0f32), 0.1..0.99f32],
        nesterov: bool,
        weight_decay in prop_oneof![Just(0.0f32), 0.01..1.0f32],
        seed: u64,
    ) {
        let mut data = Data::new(seed);
        let (w, gradients) = (data.vec(len), gradients(&mut data, len));
        let sgd = Sgd { learning_rate: 0.1, momentum, nesterov, weight_decay };
        let rule = reference::Sgd {
            learning_rate: sgd.learning_rate.into(),
            momentum: momentum.into(),
            nesterov,
            weight_decay: weight_decay.into(),
        };
        let (mut wide_velocity, mut wide_w) = (vec![0.0; len], wide(&w));
        for g in &gradients {
            for i in 0..len {
                rule.step(g[i].into(), &mut wide_velocity[i], &mut wide_w[i]);
            }
        }
        for_each_isa(|isa| {
            let outputs = on_1_2_3_threads(|| {
                let (mut velocity, mut w) = (vec![0.0; len], w.clone());
                for (number, g) in (1..).zip(&gradients) {
                    Step { rule: Rule::Sgd(sgd), number }.run(isa, g, [&mut velocity, &mut []], &mut w);
                }
                vec![velocity, w]
            });
            assert_close(&outputs[0], &wide_velocity, 2e-6);
            assert_close(&outputs[1], &wide_w, 2e-6);
        });
    }
}
