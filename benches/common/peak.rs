//! The peak against which everything else is measured: fused multiply-adds on registers alone, with
//! the instruction set and on the threads that the kernels use.
//!
//! A machine that is shared, or that heats up, changes its speed from second to second. So nothing
//! here is compared with a peak of another moment: a measurement alternates bursts of work with
//! bursts of the peak, and each burst of work is divided by the mean of the two peaks around it.

use onesheet_kernels::simd::{Isa, Kernel, MAX_LANES, Simd};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Chains of multiply-adds, each of which waits for nothing but itself.
struct MultiplyAdds<'a> {
    rounds: usize,
    /// The factor, the summand and the starting values of the chains, none of which the compiler
    /// knows.
    values: &'a [f32],
}

impl Kernel for MultiplyAdds<'_> {
    /// The number of operations; a multiply-add is two in each lane.
    type Output = u64;

    /// An FMA takes 4 cycles, and 2 to 4 can start in each cycle: 8 to 16 chains keep the units
    /// busy, if all of them stay in registers beside the two operands. (A vector of the portable
    /// path is two registers of SSE2.)
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        match S::REGISTERS {
            32.. => self.chains::<S, 24>(s),
            16.. => self.chains::<S, 14>(s),
            _ => self.chains::<S, 7>(s),
        }
    }
}

impl MultiplyAdds<'_> {
    /// Computes `chain = chain * factor + summand` over and over: a product of the two constants
    /// alone could be moved out of the loop where a multiply-add is two instructions.
    #[inline(always)]
    fn chains<S: Simd, const CHAINS: usize>(self, s: S) -> u64 {
        let [factor, summand] = [self.values[0], self.values[1]].map(|x| s.splat(x));
        let mut chains: [S::F32; CHAINS] = std::array::from_fn(|i| s.splat(self.values[2 + i]));
        for _ in 0..self.rounds {
            for chain in &mut chains {
                *chain = s.mul_add(*chain, factor, summand);
            }
        }
        let mut lanes = [0.0; MAX_LANES];
        s.store(&mut lanes, chains.into_iter().fold(s.zero(), |sum, chain| s.add(sum, chain)));
        black_box(lanes);
        (self.rounds * CHAINS * S::LANES * 2) as u64
    }
}

/// A rayon pool, and every peak that was measured on it.
pub struct Pool {
    /// The number of threads in the pool.
    pub threads: usize,
    /// The GFLOP/s of each burst of the peak, in order of time.
    pub peaks: Vec<f64>,
    isa: Isa,
    burst: Duration,
    pool: rayon::ThreadPool,
}

/// How long a measurement lasts, at least.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Calls before the first that counts.
    pub warm_up: usize,
    /// The least number of bursts.
    pub bursts: usize,
    /// The least number of calls that count.
    pub calls: usize,
}

/// The results of measuring one piece of work.
#[derive(Default)]
pub struct Samples {
    /// The speed of each call, in calls per second.
    pub rates: Vec<f64>,
    /// The speed of each burst as a share of the peak beside it.
    pub of_peak: Vec<f64>,
}

impl Pool {
    /// A pool of exactly `threads` threads, whose bursts last at least `burst`.
    pub fn new(isa: Isa, threads: usize, burst: Duration) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Self { threads, peaks: Vec::new(), isa, burst, pool })
    }

    /// Measures `bursts` bursts of the peak on its own.
    pub fn peak(&mut self, bursts: usize) {
        let (isa, burst) = (self.isa, self.burst);
        self.peaks.extend(self.pool.install(|| (0..bursts).map(|_| peak(isa, burst)).collect::<Vec<_>>()));
    }

    /// Measures bursts of `call`, each between two of the peak. `flops` is the number of operations
    /// of one call.
    ///
    /// Everything runs inside the pool, which is entered only once, since entering it may allocate.
    pub fn measure(&mut self, effort: Effort, flops: f64, mut call: impl FnMut() + Send) -> Samples {
        let Self { pool, isa, burst, peaks, .. } = self;
        pool.install(|| {
            (0..effort.warm_up).for_each(|_| call());
            let mut samples = Samples::default();
            let mut before = peak(*isa, *burst);
            peaks.push(before);
            while samples.of_peak.len() < effort.bursts || samples.rates.len() < effort.calls {
                let (mut spent, mut calls) = (Duration::ZERO, 0);
                while spent < *burst {
                    let start = Instant::now();
                    call();
                    let time = start.elapsed();
                    samples.rates.push(1.0 / time.as_secs_f64());
                    spent += time;
                    calls += 1;
                }
                let after = peak(*isa, *burst);
                peaks.push(after);
                let gflops = flops * f64::from(calls) / spent.as_secs_f64() / 1e9;
                samples.of_peak.push(gflops / ((before + after) / 2.0));
                before = after;
            }
            samples
        })
    }
}

/// The GFLOP/s of one burst on the present pool, in tasks of some 10 microseconds that the threads
/// share as they share those of a kernel.
fn peak(isa: Isa, burst: Duration) -> f64 {
    let values: Vec<f32> = (0..32).map(|i| 0.25 + i as f32 / 128.0).collect();
    let start = Instant::now();
    let mut flops = 0;
    while start.elapsed() < burst {
        let tasks = (0..256).into_par_iter().with_max_len(1);
        flops += tasks.map(|_| isa.run(MultiplyAdds { rounds: 4096, values: black_box(&values) })).sum::<u64>();
    }
    flops as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// The middle value, or the mean of the two middle values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}
