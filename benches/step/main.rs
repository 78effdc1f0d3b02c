//! The training step of the poster model, prediction, and the convolution kernels that they are
//! made of, as shares of what the machine can do.
//!
//! `cargo bench --bench step` prints tables; `-- --json FILE` also writes the same numbers to a
//! file; `-- --sweep` prints images per second over batch sizes instead. `ONESHEET_ISA` chooses the
//! instruction set.
//!
//! The step is `Trainer::step` on a random batch that lies in memory as bytes: conversion, forward
//! with dropout, binary cross-entropy, backward, Adam. Prediction is the forward pass for inference
//! on the same batch. Each is timed call by call, on all threads and on one.
//!
//! The *roof* of either is the FMA peak divided by the arithmetic of an image by the direct sum: the
//! speed of a machine that did nothing but evaluate the definition of the convolutions and dense
//! layers, a multiply-add for each of their products. Minimal filtering gets the same sums from
//! fewer products, so shares above 100 % are possible. They say how a step compares with the best
//! that the direct sum allows, not how busy the processor is; for that, the share of the
//! multiply-adds that are really *issued* stands beside each.
//!
//! The peak is always measured beside what is compared with it; [`peak`] says how. Fractions are
//! medians of such ratios, so they need not be the quotient of the medians beside them.

mod allocations;
mod kernels;
mod model;
#[path = "../common/models.rs"]
mod models;
#[path = "../common/peak.rs"]
mod peak;

use clap::Parser;
use kernels::KernelSpeed;
use model::{Flops, Step};
use models::Model;
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
use peak::{Effort, Pool, median};
use serde::Serialize;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting::new(|| true);

/// Measures the training step, prediction and the convolution kernels against the FMA peak.
#[derive(Parser)]
struct Options {
    /// Write the results to FILE
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    json: Option<PathBuf>,
    /// Which model to measure: that of the starting report, or the one that learns most
    #[arg(long, default_value = "report")]
    model: Model,
    /// Images per step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one)]
    batch: usize,
    /// Time at least N steps, after a warm-up
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one)]
    steps: usize,
    /// Number of threads that "all threads" stands for [default: all cores]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    threads: Option<usize>,
    /// Train and predict with products of bf16
    #[arg(long)]
    bf16: bool,
    /// Make only a few short measurements, to see that the bench works
    #[arg(long)]
    quick: bool,
    /// Print images per second for batches of 1 to 256 on one and on all threads, and nothing else
    #[arg(long)]
    sweep: bool,
    /// Measure the step and prediction only, and print one line of JSON
    #[arg(long, conflicts_with_all = ["sweep", "json"])]
    throughput: bool,
    /// Passed by Cargo
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or("it is a number of at least 1".into())
}

/// What `--json` writes. Unless a name says otherwise, values are medians, at `threads` threads.
#[derive(Serialize)]
struct Report {
    isa: &'static str,
    precision: Precision,
    threads: usize,
    batch: usize,
    /// Medians over all bursts of the peak during the run, at `threads` threads and at one.
    peak_gflops: f64,
    peak_gflops_1: f64,
    /// Medians before and after everything else.
    peak_gflops_before_after: [f64; 2],
    peak_gflops_1_before_after: [f64; 2],
    kernels: Vec<KernelSpeed>,
    train_images_per_second: f64,
    train_images_per_second_min: f64,
    train_images_per_second_max: f64,
    train_images_per_second_1: f64,
    train_images_per_second_1_min: f64,
    train_images_per_second_1_max: f64,
    /// The peak divided by the arithmetic of an image by the direct sum.
    train_roof_images_per_second: f64,
    train_fraction_of_roof: f64,
    /// The fraction of the roof of one thread: beside it, the fraction above says how a step scales
    /// compared with the peak.
    train_fraction_of_roof_1: f64,
    /// The fractions by the multiply-adds that are really issued.
    train_issued_fraction_of_roof: f64,
    train_issued_fraction_of_roof_1: f64,
    predict_images_per_second: f64,
    predict_images_per_second_min: f64,
    predict_images_per_second_max: f64,
    predict_images_per_second_1: f64,
    predict_roof_images_per_second: f64,
    predict_fraction_of_roof: f64,
    predict_fraction_of_roof_1: f64,
    predict_issued_fraction_of_roof: f64,
    predict_issued_fraction_of_roof_1: f64,
    /// The mean, rounded up: 0 only if no timed step asked for memory.
    allocations_per_step: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let isa = Isa::choose()?.with_precision(if options.bf16 { Precision::Bf16 } else { Precision::F32 });
    let threads = match options.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let burst = Duration::from_millis(if options.quick { 2 } else { 50 });
    let mut pools = vec![Pool::new(isa, 1, burst)?];
    if threads > 1 {
        pools.push(Pool::new(isa, threads, burst)?);
    }
    if options.sweep {
        return sweep(isa, &options, &mut pools);
    }
    if options.throughput {
        return throughput(isa, &options, &mut pools);
    }
    let report = measure(isa, &options, &mut pools)?;
    if let Some(file) = options.json {
        std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// Measures everything for one batch size. `pools` has a pool of one thread, and one of all threads
/// where these are more.
fn measure(isa: Isa, options: &Options, pools: &mut [Pool]) -> Result<Report, Box<dyn Error>> {
    let few = options.quick;
    let threads = pools[pools.len() - 1].threads;
    let spec = options.model.spec();
    let flops = Flops::of(&spec);
    let is_report = options.model == Model::Report;
    assert!(!is_report || (flops.forward / 0.3398e9 - 1.0).abs() < 1e-3, "a forward pass has {} FLOP", flops.forward);
    assert!(!is_report || (flops.step / 0.9637e9 - 1.0).abs() < 1e-3, "a training step has {} FLOP", flops.step);

    // The first bursts wake the processor up.
    let ends = if few { 3 } else { 10 };
    pools.iter_mut().for_each(|pool| pool.peak(ends));
    let before: Vec<f64> = pools.iter().map(|pool| median(&pool.peaks)).collect();

    println!("{}, {}, batch {}\n", isa.name(), isa.precision(), options.batch);
    KernelSpeed::print_head();
    let effort = Effort { warm_up: 2, bursts: if few { 1 } else { 9 }, calls: 1 };
    let mut kernels = kernels::measure(isa, &spec, pools, effort);
    kernels.extend(kernels::measure_blocks(isa, &spec, options.batch, pools, effort));

    println!("\n| images/s | threads |    min | median |    max | of the roof | issued   |");
    println!("|----------|--------:|-------:|-------:|-------:|------------:|---------:|");
    let mut step = Step::new(isa, options.model, options.batch)?;
    let effort = Effort { warm_up: if few { 1 } else { 5 }, bursts: 1, calls: if few { 1 } else { options.steps } };
    let issued = Flops::issued(isa, &spec);
    let counts = [flops.step, issued.step / flops.step];
    let train = images_per_second("train", options.batch, pools, effort, counts, || step.train());
    let counts = [flops.forward, issued.forward / flops.forward];
    let predict = images_per_second("predict", options.batch, pools, effort, counts, || step.predict());

    let known: Vec<usize> = pools.iter().map(|pool| pool.peaks.len()).collect();
    pools.iter_mut().for_each(|pool| pool.peak(ends));
    let after: Vec<f64> = pools.iter().zip(known).map(|(pool, known)| median(&pool.peaks[known..])).collect();
    let peaks: Vec<f64> = pools.iter().map(|pool| median(&pool.peaks)).collect();
    let all = pools.len() - 1;
    println!("\n| FMA peak, GFLOP/s | threads | before |  after | median of all |");
    println!("|-------------------|--------:|-------:|-------:|--------------:|");
    for (i, pool) in pools.iter().enumerate().rev() {
        println!(
            "|                   | {:>7} | {:>6.1} | {:>6.1} | {:>13.1} |",
            pool.threads, before[i], after[i], peaks[i]
        );
    }
    let allocations_per_step = train[all].allocations_per_call;
    println!("\nallocations a step: {allocations_per_step}");

    Ok(Report {
        isa: isa.name(),
        precision: isa.precision(),
        threads,
        batch: options.batch,
        peak_gflops: peaks[all],
        peak_gflops_1: peaks[0],
        peak_gflops_before_after: [before[all], after[all]],
        peak_gflops_1_before_after: [before[0], after[0]],
        kernels,
        train_images_per_second: train[all].median,
        train_images_per_second_min: train[all].min,
        train_images_per_second_max: train[all].max,
        train_images_per_second_1: train[0].median,
        train_images_per_second_1_min: train[0].min,
        train_images_per_second_1_max: train[0].max,
        train_roof_images_per_second: peaks[all] * 1e9 / flops.step,
        train_fraction_of_roof: train[all].of_roof,
        train_fraction_of_roof_1: train[0].of_roof,
        train_issued_fraction_of_roof: train[all].issued_of_roof,
        train_issued_fraction_of_roof_1: train[0].issued_of_roof,
        predict_images_per_second: predict[all].median,
        predict_images_per_second_min: predict[all].min,
        predict_images_per_second_max: predict[all].max,
        predict_images_per_second_1: predict[0].median,
        predict_roof_images_per_second: peaks[all] * 1e9 / flops.forward,
        predict_fraction_of_roof: predict[all].of_roof,
        predict_fraction_of_roof_1: predict[0].of_roof,
        predict_issued_fraction_of_roof: predict[all].issued_of_roof,
        predict_issued_fraction_of_roof_1: predict[0].issued_of_roof,
        allocations_per_step,
    })
}

/// Prints the line that the comparison with other frameworks reads: its format is the same for each
/// of them.
fn throughput(isa: Isa, options: &Options, pools: &mut [Pool]) -> Result<(), Box<dyn Error>> {
    let pool = &mut pools[pools.len() - 1];
    let mut step = Step::new(isa, options.model, options.batch)?;
    let effort = Effort { warm_up: 5, bursts: 0, calls: options.steps };
    let train = pool.measure(effort, 0.0, || step.train());
    let predict = pool.measure(effort, 0.0, || step.predict());
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    let line = serde_json::json!({
        "train_images_per_second": median(&train.rates) * options.batch as f64,
        "predict_images_per_second": median(&predict.rates) * options.batch as f64,
        "peak_rss_mb": peak.map(|kib: f64| kib / 1024.0),
    });
    println!("{line}");
    Ok(())
}

/// The images per second on one pool.
struct Throughput {
    min: f64,
    median: f64,
    max: f64,
    /// The median share of the roof over the bursts.
    of_roof: f64,
    /// The same by the multiply-adds that are really issued.
    issued_of_roof: f64,
    /// The mean, rounded up.
    allocations_per_call: usize,
}

/// Measures `call` on all pools, the one of all threads first, and prints a line for each. An image
/// takes `flops` operations by the direct sum, of which the share `issued` is issued. The results
/// are in the order of `pools`.
fn images_per_second(
    name: &str,
    batch: usize,
    pools: &mut [Pool],
    effort: Effort,
    [flops, issued]: [f64; 2],
    mut call: impl FnMut() + Send,
) -> Vec<Throughput> {
    let measured = pools.iter_mut().rev().map(|pool| {
        let (mut warm_up, mut allocations) = (effort.warm_up, 0);
        let samples = pool.measure(effort, flops * batch as f64, || {
            let count = ALLOCATOR.during(&mut call);
            match warm_up {
                0 => allocations += count,
                _ => warm_up -= 1,
            }
        });
        let rates: Vec<f64> = samples.rates.iter().map(|rate| rate * batch as f64).collect();
        let [min, max] =
            [rates.iter().copied().fold(f64::INFINITY, f64::min), rates.iter().copied().fold(0.0, f64::max)];
        let (median, of_roof) = (median(&rates), peak::median(&samples.of_peak));
        let issued_of_roof = issued * of_roof;
        let [direct, issued] = [of_roof, issued_of_roof].map(|share| 100.0 * share);
        println!(
            "| {name:<8} | {:>7} | {min:>6.1} | {median:>6.1} | {max:>6.1} | {direct:>9.1} % | {issued:>6.1} % |",
            pool.threads
        );
        let allocations_per_call = allocations.div_ceil(rates.len());
        Throughput { min, median, max, of_roof, issued_of_roof, allocations_per_call }
    });
    let mut measured: Vec<Throughput> = measured.collect();
    measured.reverse();
    measured
}

/// Prints a markdown table of the median images per second for batches of 1 to 256.
fn sweep(isa: Isa, options: &Options, pools: &mut [Pool]) -> Result<(), Box<dyn Error>> {
    let flops = Flops::of(&options.model.spec());
    let threads: Vec<String> = pools.iter().map(|pool| format!("{} thr.", pool.threads)).collect();
    let header = |name: &str| threads.iter().map(|threads| format!(" {name}, {threads} |")).collect::<String>();
    println!("Images/s, {}\n\n| batch |{}{}", isa.name(), header("train"), header("predict"));
    println!("|------:|{}", "---:|".repeat(2 * pools.len()));
    for batch in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
        let effort = if options.quick {
            Effort { warm_up: 1, bursts: 1, calls: 1 }
        } else {
            Effort { warm_up: 3, bursts: 9, calls: 9 }
        };
        let mut step = Step::new(isa, options.model, batch)?;
        let mut cells = String::new();
        for pool in &mut *pools {
            let samples = pool.measure(effort, flops.step * batch as f64, || step.train());
            cells += &format!(" {:.1} |", median(&samples.rates) * batch as f64);
        }
        for pool in &mut *pools {
            let samples = pool.measure(effort, flops.forward * batch as f64, || step.predict());
            cells += &format!(" {:.1} |", median(&samples.rates) * batch as f64);
        }
        println!("| {batch} |{cells}");
    }
    Ok(())
}
