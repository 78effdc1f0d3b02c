//! `train run`.

use crate::args::{BadImage, ExperimentName, OptimizerName, RunArgs};
use crate::progress::Terminal;
use crate::say;
use onesheet::data::refusal::OnBadImage;
use onesheet::experiments::{Experiment, Options};
use onesheet::metrics::Metrics;
use onesheet::optim::Rule;
use onesheet::report::Table;
use onesheet::run::Outcome;
use onesheet::{Error, Result};
use onesheet_kernels::simd::Isa;
use std::path::PathBuf;

/// Trains the experiments that the arguments name, on a pool of their own, and prints what came out.
pub fn run(args: RunArgs, isa: Isa) -> Result<()> {
    let experiments = match args.experiment {
        ExperimentName::MultiLabel => &Experiment::ALL[..1],
        ExperimentName::SingleGenre => &Experiment::ALL[1..2],
        ExperimentName::Top6 => &Experiment::ALL[2..],
        ExperimentName::All => &Experiment::ALL,
    };
    let options = options(args)?;
    let pool = pool(options.threads)?;
    say(&format!("results in {}, {} threads, {}", options.out.display(), options.threads, isa.name()));
    let outcomes = pool.install(|| onesheet::run::run(&options, experiments, isa, &Terminal::new()))?;
    outcomes.iter().for_each(print_examples);
    let metrics: Vec<Metrics> = outcomes.iter().map(|outcome| outcome.metrics.clone()).collect();
    say("\nOn the test films, beside the best constant answer:");
    say(&Table(&metrics).to_string());
    for outcome in &outcomes {
        say(&format!("{}/model.safetensors  sha256 {}", outcome.metrics.experiment, outcome.model_sha256));
    }
    Ok(())
}

/// A pool of so many worker threads.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Error::usage(format!("{threads} threads do not start: {e}"), "lower --threads"))
}

fn print_examples(outcome: &Outcome) {
    say(&format!("\n{}: five test posters", outcome.metrics.experiment));
    for example in &outcome.examples {
        let predicted: Vec<String> =
            example.predicted.iter().map(|(genre, p)| format!("{genre} {:.0}%", 100.0 * p)).collect();
        say(&format!(
            "  {:<14} is {:<36} predicted {}",
            example.poster,
            example.genres.join(", "),
            predicted.join(", ")
        ));
    }
}

fn options(args: RunArgs) -> Result<Options> {
    let rule = match args.optimizer {
        OptimizerName::Adam if args.momentum != 0.0 || args.nesterov => {
            return Err(Error::usage("--momentum and --nesterov are of sgd", "add --optimizer sgd"));
        }
        OptimizerName::Adam => Rule::adam(args.lr.unwrap_or(1e-3)),
        OptimizerName::Sgd => {
            Rule::Sgd { learning_rate: args.lr.unwrap_or(1e-2), momentum: args.momentum, nesterov: args.nesterov }
        }
    };
    let out = args.out.unwrap_or_else(first_free_out);
    Ok(Options {
        cache: (!args.no_cache).then(|| args.cache.unwrap_or_else(|| out.join("cache"))),
        on_bad_image: match args.on_bad_image {
            BadImage::Skip => OnBadImage::Skip,
            BadImage::Fail => OnBadImage::Fail,
        },
        max_missing: args.max_missing,
        data: args.data,
        out,
        limit: args.limit.map(|n| n as usize),
        limit_val: args.limit_val.map(|n| n as usize),
        max_genres: args.max_genres as usize,
        per_genre: args.per_genre as usize,
        balance: args.balance,
        epochs: args.epochs as usize,
        batch: args.batch as usize,
        rule,
        filters: args.filters.into_iter().map(|n| n as usize).collect(),
        dense: args.dense as usize,
        dropout: args.dropout,
        bn_momentum: args.bn_momentum,
        padding: args.padding,
        seed: args.seed,
        threads: args.threads.map_or_else(all_cores, |n| n as usize),
        overwrite: args.overwrite,
    })
}

/// As many worker threads as the process may use cores.
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn first_free_out() -> PathBuf {
    let numbered = (1..).map(|n| PathBuf::from(format!("runs/{n}")));
    numbered.into_iter().find(|path| !path.exists()).expect("some number is free")
}
