//! Training shared out among ranks, which here are threads: the same batches, losses and weights as of
//! one process, whatever their number.

use crate::common::Data;
use onesheet::nn::{
    AuxiliaryHeads, Head, HeadLoss, Input, Isa, ModelSpec, Objective, Optimizer, Padding, Role, Rule, Sequential, Sgd,
    Statistics, Trainer,
};
use onesheet::ranks::{Ranks, Summing, Team};
use proptest::prelude::*;
use std::sync::{Arc, Barrier, Mutex};

/// One of several threads that work together as ranks do.
struct ThreadRank {
    rank: usize,
    shared: Arc<Shared>,
}

struct Shared {
    all_are_here: Barrier,
    given: Mutex<Vec<Vec<u8>>>,
}

impl Ranks for ThreadRank {
    fn count(&self) -> usize {
        self.shared.given.lock().unwrap().len()
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn sum(&self, values: &mut [f64]) {
        let all = self.gather(bytemuck::cast_slice(values));
        let of_rank = |of: &Vec<u8>| of.as_chunks().0.iter().map(|&value| f64::from_ne_bytes(value)).collect();
        let all: Vec<Vec<f64>> = all.iter().map(of_rank).collect();
        for (i, value) in values.iter_mut().enumerate() {
            *value = all.iter().map(|of| of[i]).sum();
        }
    }

    fn begin_sum(&self, values: Vec<f32>) -> Summing {
        let mut wide: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        self.sum(&mut wide);
        Summing::Done(wide.into_iter().map(|value| value as f32).collect())
    }

    fn gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.shared.given.lock().unwrap()[self.rank] = bytes.to_vec();
        self.shared.all_are_here.wait();
        let all = self.shared.given.lock().unwrap().clone();
        self.shared.all_are_here.wait();
        all
    }
}

/// What `work` gives on each of `count` ranks.
fn on_ranks<T: Send>(count: usize, work: impl Fn(&Team) -> T + Sync) -> Vec<T> {
    let shared = Arc::new(Shared { all_are_here: Barrier::new(count), given: Mutex::new(vec![Vec::new(); count]) });
    std::thread::scope(|scope| {
        let ranks = (0..count).map(|rank| {
            let (shared, work) = (Arc::clone(&shared), &work);
            scope.spawn(move || work(&Team::new(ThreadRank { rank, shared })))
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Fused blocks, a branch with batch norm of its own, dropout of images and of vectors, and joins.
fn model(outputs: usize) -> ModelSpec {
    let spec = ModelSpec::input(&[14, 13, 3]).conv2d(6, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    let spec = spec.conv2d(5, 3, Padding::Valid).relu().batch_norm(0.9).max_pool2d(2).dropout(0.2);
    let branch = |spec: ModelSpec| spec.conv2d(5, 3, Padding::Same).relu().batch_norm(0.9).squeeze_excite(3);
    spec.residual(branch).flatten().dense(9).relu().dropout(0.3).dense(outputs)
}

/// What a training of some steps comes to.
#[derive(Debug, PartialEq)]
struct Trained {
    losses: Vec<f64>,
    heads: Vec<HeadLoss>,
    values: Vec<Vec<f32>>,
}

/// How a model is trained.
#[derive(Clone, Copy)]
struct Training {
    batch: usize,
    clip: Option<f32>,
    auxiliary: bool,
    statistics: Statistics,
}

const CLASSES: usize = 4;
const STEPS: u64 = 6;

fn train(team: &Team, of: Training) -> Trained {
    let outputs = CLASSES + if of.auxiliary { 3 } else { 0 };
    let mut model = Sequential::build(model(outputs), Isa::available()[0], 1).unwrap();
    model.train_among(team, of.statistics);
    let rule = Rule::Sgd(Sgd { learning_rate: 0.01, momentum: 0.9, nesterov: true, weight_decay: 1e-3 });
    let mut optimizer = Optimizer::new(rule, &mut model);
    optimizer.clip_norm = of.clip;
    let auxiliary = of.auxiliary.then(|| AuxiliaryHeads { outputs: vec![1, 2], weight: 0.5 });
    let objective = Objective { auxiliary, ..Objective::from(Head::Sigmoid) };
    let mut trainer = Trainer::new(objective, optimizer, 3);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        // The whole batch, of which a rank takes its share.
        let mut data = Data::new(10 + step);
        let (images, mut labels) = (data.vec(of.batch * 14 * 13 * 3), data.vec(of.batch * outputs));
        labels.iter_mut().for_each(|label| *label = f32::from(*label > 0.0));
        if of.auxiliary {
            for (i, item) in labels.chunks_exact_mut(outputs).enumerate() {
                match i % 3 {
                    0 => item[..CLASSES].fill(f32::NAN),
                    1 => item[CLASSES..CLASSES + 1].fill(f32::NAN),
                    _ => item[CLASSES + 1..].fill(f32::NAN),
                }
            }
        }
        let share = team.place().share_of_batch(of.batch);
        let images = &images[share.start * 14 * 13 * 3..share.end * 14 * 13 * 3];
        let labels = &labels[share.start * outputs..share.end * outputs];
        losses.push(trainer.step_from(&mut model, share.start, Input::F32(images), labels));
    }
    let values = model.parameters().iter().map(|of| of.value.to_vec()).collect();
    Trained { losses, heads: trainer.losses().to_vec(), values }
}

/// Asserts that trainings agree, but for rounding.
fn assert_agree(one: &Trained, other: &Trained) {
    for (a, b) in one.losses.iter().zip(&other.losses) {
        assert!((a - b).abs() <= 1e-5 * a.abs(), "{a} {b}");
    }
    for (a, b) in one.values.iter().flatten().zip(other.values.iter().flatten()) {
        assert!((a - b).abs() <= 2e-4 * (1.0 + a.abs()), "{a} {b}");
    }
}

proptest! {
    #![proptest_config(crate::common::cases(12))]

    #[test]
    fn a_batch_is_the_same_step_for_any_number_of_ranks(
        batch in 1usize..9,
        clipped in any::<bool>(),
        auxiliary in any::<bool>(),
    ) {
        let clip = clipped.then_some(0.5);
        let of = Training { batch, clip, auxiliary, statistics: Statistics::OfAllRanks };
        let alone = train(&Team::default(), of);
        for count in [1, 2, 3, 5] {
            let ranks = on_ranks(count, |team| train(team, of));
            for rank in &ranks {
                prop_assert_eq!(rank, &ranks[0], "the ranks of {} differ", count);
            }
            assert_agree(&alone, &ranks[0]);
            if count == 1 {
                prop_assert_eq!(&ranks[0].losses, &alone.losses);
            }
            // A batch that each rank computes counts as often.
            let times = if batch < count { count } else { 1 };
            for (own, of_all) in alone.heads.iter().zip(&ranks[0].heads) {
                prop_assert_eq!(own.items * times, of_all.items);
            }
        }
    }
}

#[test]
fn ranks_have_the_same_bits_on_any_number_of_threads() {
    let of = Training { batch: 7, clip: None, auxiliary: true, statistics: Statistics::OfAllRanks };
    let with = |threads: usize| {
        let pool = || rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        on_ranks(2, |team| pool().install(|| train(team, of)))
    };
    let one = with(1);
    assert!((2..=3).all(|threads| with(threads) == one));
}

#[test]
fn ranks_with_statistics_of_their_own_keep_the_same_weights_and_moving_statistics() {
    let of = Training { batch: 8, clip: None, auxiliary: false, statistics: Statistics::OfOwnRank };
    let ranks = on_ranks(2, |team| train(team, of));
    assert_eq!(ranks[0], ranks[1]);
    // Each normalises by half of a batch, which is not the same.
    let whole = train(&Team::default(), Training { statistics: Statistics::OfAllRanks, ..of });
    assert_ne!(ranks[0].losses, whole.losses);
    let model = Sequential::build(model(CLASSES), Isa::available()[0], 1).unwrap();
    let roles = model.parameters().into_iter().map(|of| of.role);
    for (role, (own, of_whole)) in roles.zip(ranks[0].values.iter().zip(&whole.values)) {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.2 * (1.0 + b.abs());
        if role == Role::MovingMean {
            assert!(own.iter().zip(of_whole).all(near), "{own:?} {of_whole:?}");
        }
    }
}

#[test]
fn shares_are_whole_and_equal() {
    for count in 1..7 {
        for len in 0..40 {
            let shares = on_ranks(count, |team| team.place().share(len));
            assert_eq!(shares.iter().flat_map(|share| share.clone()).collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            let lens = || shares.iter().map(|share| share.len());
            assert!(lens().max().unwrap() - lens().min().unwrap() <= 1, "{shares:?}");
            let of_batch = on_ranks(count, |team| team.place().share_of_batch(len));
            assert!(len == 0 || of_batch.iter().all(|share| !share.is_empty()), "{of_batch:?}");
        }
    }
}

#[test]
fn ranks_agree_on_what_any_of_them_says_and_the_first_has() {
    let said = on_ranks(3, |team| {
        team.meet();
        let first = team.of_first(format!("of rank {}", team.rank()).into_bytes());
        (team.any(team.rank() == 2), team.any(false), String::from_utf8(first).unwrap(), team.is_first())
    });
    for (rank, said) in said.into_iter().enumerate() {
        assert_eq!(said, (true, false, "of rank 0".to_owned(), rank == 0));
    }
    assert!(!Team::default().any(false) && Team::default().of_first(vec![7]) == [7]);
}
