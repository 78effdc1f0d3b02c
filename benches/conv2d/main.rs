//! Each convolution of the models, forward and backward, on one thread: the naive loops, the
//! product with an explicit im2col matrix, and the algorithm that the kernels choose.
//!
//! `cargo bench --bench conv2d` prints a table per model; `-- --json FILE` also writes the same
//! numbers to a file. `ONESHEET_ISA` chooses the instruction set, which is the same for all three.
//!
//! The three run in turn, in bursts that alternate with bursts of the FMA peak ([`peak`]). Shares
//! of the peak count the multiply-adds of the direct sum, whoever computes: an algorithm that
//! needs fewer can exceed 100 %. What it really issues stands beside it. All three are compared
//! with each other before anything is timed.

#[path = "../common/models.rs"]
mod models;
mod naive;
#[path = "../common/peak.rs"]
mod peak;

use clap::{Parser, ValueEnum};
use models::Model;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::conv2d::{Algorithm, BackwardW, BackwardX, Conv2dShape, Forward, Pass, Workspace};
use onesheet_kernels::simd::Isa;
use peak::{Effort, Pool, median};
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Measures each convolution of the models beside naive loops and explicit im2col.
#[derive(Parser)]
struct Options {
    /// Write the results to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Which model to measure [default: one after the other]
    #[arg(long)]
    model: Option<Model>,
    /// Images in the operands
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    images: u16,
    /// How often each of the three has its turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Make only one short round, to see that the bench works
    #[arg(long)]
    quick: bool,
    /// Passed by Cargo
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

/// Who computes: the naive loops, or an algorithm of the kernels.
type Contender = Option<Algorithm>;

/// A pass of a convolution, and medians over the rounds of the naive loops, explicit im2col and our
/// choice.
#[derive(Serialize)]
struct Row {
    model: String,
    /// The layer, such as `conv1`.
    convolution: String,
    pass: String,
    /// The algorithm of our choice.
    algorithm: String,
    naive: Speed,
    im2col: Speed,
    ours: Speed,
    /// The share of the peak that the multiply-adds make which our choice really issues.
    ours_issued: f64,
    /// Medians of the rounds' ratios of shares of the peak.
    ours_per_naive: f64,
    ours_per_im2col: f64,
}

#[derive(Serialize)]
struct Speed {
    gflops: f64,
    of_peak: f64,
}

#[derive(Serialize)]
struct Report {
    isa: &'static str,
    images: u16,
    rounds: u16,
    /// The median over all bursts of the peak.
    peak_gflops: f64,
    rows: Vec<Row>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { json, model, images, rounds, quick, .. } = Options::parse();
    let isa = Isa::choose()?;
    let rounds = if quick { 1 } else { rounds };
    let mut pool = Pool::new(isa, 1, Duration::from_millis(if quick { 2 } else { 50 }))?;
    // The first bursts wake the processor up.
    pool.peak(if quick { 3 } else { 10 });
    let models = model.map_or(Model::value_variants().to_vec(), |model| vec![model]);
    let mut rows = Vec::new();
    for model in models {
        let name = format!("{model:?}").to_lowercase();
        println!(
            "\n{name}, {}, threads: {}, images: {images}; GFLOP/s and shares of the FMA peak\n",
            isa.name(),
            pool.threads
        );
        println!("| pass | naive | | explicit im2col | | ours | | issued | algorithm | ours / naive | ours / im2col |");
        println!("|---|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|");
        for (i, shape) in models::convolutions(&model.spec(), images.into()).iter().enumerate() {
            let mut operands = Operands::new(shape, i as u64);
            for pass in [Pass::Forward, Pass::BackwardX, Pass::BackwardW] {
                operands.compare(isa, pass);
                let row = measure(isa, &mut pool, rounds, [&name, &format!("conv{}", i + 1)], pass, &mut operands);
                println!("{}", row.line());
                rows.push(row);
            }
        }
    }
    let peak_gflops = median(&pool.peaks);
    println!("\nFMA peak: {peak_gflops:.1} GFLOP/s; medians of {rounds} rounds in turn");
    if let Some(file) = json {
        let report = Report { isa: isa.name(), images, rounds, peak_gflops, rows };
        std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// The naive loops, explicit im2col and our choice.
fn contenders(isa: Isa, shape: &Conv2dShape, pass: Pass) -> [Contender; 3] {
    [None, Some(Algorithm::Im2col), Some(Algorithm::choose(isa, shape, pass))]
}

/// Measures a pass, all three in turn, in an order that rotates from round to round.
fn measure(
    isa: Isa,
    pool: &mut Pool,
    rounds: u16,
    [model, convolution]: [&str; 2],
    pass: Pass,
    operands: &mut Operands,
) -> Row {
    let shape = operands.shape;
    let (flops, contenders) = (models::flops(&shape), contenders(isa, &shape, pass));
    let (mut rates, mut of_peak) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for round in 0..usize::from(rounds) {
        for turn in 0..3 {
            let which = (round + turn) % 3;
            let effort = Effort { warm_up: 1, bursts: 1, calls: 1 };
            let samples = pool.measure(effort, flops, || operands.compute(isa, pass, contenders[which]));
            rates[which].extend(samples.rates);
            of_peak[which].extend(samples.of_peak);
        }
    }
    let [naive, im2col, ours] = std::array::from_fn(|which| Speed {
        gflops: median(&rates[which]) * flops / 1e9,
        of_peak: median(&of_peak[which]),
    });
    let per = |which: usize| {
        let ratios: Vec<f64> = of_peak[2].iter().zip(&of_peak[which]).map(|(ours, theirs)| ours / theirs).collect();
        median(&ratios)
    };
    Row {
        model: model.into(),
        convolution: convolution.into(),
        pass: models::name(pass).into(),
        algorithm: Algorithm::choose(isa, &shape, pass).to_string(),
        ours_issued: ours.of_peak * models::issued(isa, &shape, pass),
        ours_per_naive: per(0),
        ours_per_im2col: per(1),
        naive,
        im2col,
        ours,
    }
}

impl Row {
    /// The line of the table.
    fn line(&self) -> String {
        let Self { convolution, pass, algorithm, ours_issued, ours_per_naive, ours_per_im2col, .. } = self;
        let speeds = [&self.naive, &self.im2col, &self.ours];
        let speeds = speeds.map(|speed| format!("{:.1} | {:.1} %", speed.gflops, 100.0 * speed.of_peak)).join(" | ");
        let issued = 100.0 * ours_issued;
        format!(
            "| {convolution}.{pass} | {speeds} | {issued:.1} % | {algorithm} | {ours_per_naive:.2} | {ours_per_im2col:.2} |"
        )
    }
}

/// What the passes of a convolution read and write.
struct Operands {
    shape: Conv2dShape,
    x: Buffer,
    w: Buffer,
    bias: Buffer,
    dy: Buffer,
    y: Buffer,
    dx: Buffer,
    dw: Buffer,
    db: Buffer,
    workspace: Workspace,
    /// The naive loops' workspace.
    transposed: Buffer,
}

impl Operands {
    /// Random operands, and memory for the results.
    fn new(shape: &Conv2dShape, seed: u64) -> Self {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut random = |len: usize| {
            let mut values = Buffer::new(len);
            values.fill_with(|| rng.random_range(-1.0..1.0));
            values
        };
        Self {
            shape: *shape,
            x: random(shape.x_len()),
            w: random(shape.w_len()),
            bias: random(shape.oc),
            dy: random(shape.y_len()),
            y: random(shape.y_len()),
            dx: random(shape.x_len()),
            dw: Buffer::new(shape.w_len()),
            db: Buffer::new(shape.oc),
            workspace: Workspace::default(),
            transposed: Buffer::new(shape.w_len()),
        }
    }

    /// Computes a pass; the gradients of weights and bias are added to what was there.
    fn compute(&mut self, isa: Isa, pass: Pass, contender: Contender) {
        let Self { shape, x, w, bias, dy, y, dx, dw, db, workspace, transposed } = self;
        match (pass, contender) {
            (Pass::Forward, None) => isa.run(naive::Forward { shape, x, w, bias, y }),
            (Pass::Forward, Some(algorithm)) => {
                Forward { shape, x, w, bias, relu: false, y, workspace }.run_with(isa, algorithm);
            }
            (Pass::BackwardX, None) => isa.run(naive::BackwardX { shape, dy, w, dx, transposed }),
            (Pass::BackwardX, Some(algorithm)) => {
                BackwardX { shape, dy, w, dx, workspace }.run_with(isa, algorithm);
            }
            (Pass::BackwardW, None) => isa.run(naive::BackwardW { shape, x, dy, dw, db }),
            (Pass::BackwardW, Some(algorithm)) => {
                BackwardW { shape, x, dy, dw, db, workspace }.run_with(isa, algorithm);
            }
        }
    }

    /// # Panics
    /// If the three differ by more than rounding explains.
    fn compare(&mut self, isa: Isa, pass: Pass) {
        let results = contenders(isa, &self.shape, pass).map(|contender| {
            self.dw.fill(0.0);
            self.compute(isa, pass, contender);
            match pass {
                Pass::Forward => self.y.to_vec(),
                Pass::BackwardX => self.dx.to_vec(),
                Pass::BackwardW => self.dw.to_vec(),
            }
        });
        let largest = results[0].iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for result in &results[1..] {
            let differences = result.iter().zip(&results[0]).map(|(a, b)| (a - b).abs());
            let difference = differences.fold(0.0, f32::max);
            assert!(difference <= 1e-3 * largest, "{pass:?} of {:?}: {difference} of {largest}", self.shape);
        }
    }
}
