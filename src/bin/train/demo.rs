//! `train demo`, and `train` alone.

use crate::args::DemoArgs;
use crate::run::{all_cores, run_and_print};
use crate::say;
use onesheet::Result;
use onesheet::data::demo;
use onesheet::experiments::{Experiment, Options};
use onesheet::nn::spec::Padding;
use onesheet::optim::Rule;
use onesheet_kernels::simd::Isa;
use std::path::PathBuf;

/// Draws a set of synthetic posters.
pub fn draw(args: &DemoArgs) -> Result<()> {
    let summary = demo::draw(&args.out, args.films as usize, args.seed)?;
    say(&format!("{}: {summary}", args.out.display()));
    Ok(())
}

/// The demo: draws posters, trains the three experiments on them, prints the results.
pub fn run_demo(isa: Isa) -> Result<()> {
    let options = Options {
        data: PathBuf::from("runs/demo/posters"),
        out: PathBuf::from("runs/demo"),
        cache: PathBuf::from("runs/demo/cache"),
        limit: None,
        limit_val: None,
        max_genres: 3,
        per_genre: 25_000,
        balance: false,
        epochs: 5,
        batch: 16,
        rule: Rule::adam(1e-3),
        filters: vec![16, 32, 64],
        dense: 64,
        dropout: 0.5,
        bn_momentum: 0.9,
        padding: Padding::Valid,
        seed: 1,
        threads: all_cores(),
        overwrite: true,
    };
    say("The demo: synthetic posters, three experiments. `train --help` shows the commands for posters of your own.");
    draw(&DemoArgs { out: options.data.clone(), films: 1_500, seed: 1 })?;
    say(&format!(
        "preset: --epochs {} --batch {} --bn-momentum {}, since so few films make few steps; all else as by default",
        options.epochs, options.batch, options.bn_momentum
    ));
    run_and_print(&options, &Experiment::ALL, isa)
}
