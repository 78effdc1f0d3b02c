//! How fast a trained model answers about images in memory: `tools/compare --predict` calls it.
//!
//! `cargo bench --bench predict -- --run RUN` prints one line of JSON, as the other contestants of
//! that tool do. A call is one batch, from bytes in the size of the network to probabilities.

use clap::Parser;
use onesheet::classifier::Classifier;
use onesheet::nn::{Input, Isa, Pass, Precision};
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

/// Calls before the first that counts.
const WARM_UP: usize = 5;

/// Measures how fast a trained model answers.
#[derive(Parser)]
struct Options {
    /// Folder of a trained experiment, or its model file
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// Images per call
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Timed calls, after a warm-up
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Multiply in bf16
    #[arg(long)]
    bf16: bool,
    /// Number of threads [default: all cores]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Passed by Cargo
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let batch = usize::from(options.batch);
    let precision = if options.bf16 { Precision::Bf16 } else { Precision::F32 };
    let Classifier { meta, mut network, .. } =
        Classifier::open(&options.run, Isa::choose()?.with_precision(precision))?;
    let bytes: usize = network.spec().input.iter().product();
    // A product with a large odd number, as random as needed.
    let images = (0..(batch * bytes) as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
    let images: Vec<u8> = images.collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let mut rates: Vec<f64> = pool.install(|| {
        let call = |_| {
            let start = Instant::now();
            let logits = network.forward(Input::U8(&images), Pass::Inference);
            black_box(meta.head.probabilities(logits));
            batch as f64 / start.elapsed().as_secs_f64()
        };
        (0..WARM_UP + usize::from(options.steps)).map(call).skip(WARM_UP).collect()
    });
    rates.sort_by(f64::total_cmp);
    let version = env!("CARGO_PKG_VERSION");
    println!("{}", serde_json::json!({ "predict_images_per_second": rates[rates.len() / 2], "version": version }));
    Ok(())
}
