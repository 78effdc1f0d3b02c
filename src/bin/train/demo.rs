//! The command `train demo`, and `train` without a command.

use crate::args::{Args, Command, DemoArgs};
use crate::{run, say};
use clap::Parser;
use onesheet::Result;
use onesheet::data::demo;
use onesheet::nn::Isa;

/// Draws a set of synthetic posters.
pub fn draw(args: &DemoArgs) -> Result<()> {
    let summary = demo::draw(&args.out, args.films, args.seed)?;
    say(&format!("{}: {summary}", args.out.display()));
    Ok(())
}

/// The demo as two command lines. So few films allow only few steps: hence the report's small
/// model, the small batch, the quick moving statistics, and a learning rate at which the first
/// steps do not switch the dense layer off.
const DEMO: [&str; 2] = [
    "train demo --out runs/demo/posters --films 1200",
    "train run --data runs/demo/posters --out runs/demo --overwrite --recipe report --epochs 3 --batch 16 --bn-momentum 0.9 --lr 5e-5",
];

/// Runs the demo: draws posters, trains the three experiments on them, and prints the results.
pub fn run_demo(isa: Isa) -> Result<()> {
    say(
        "The demo: synthetic posters, three experiments. `train --help` shows what else there is. The same step by step:",
    );
    DEMO.iter().for_each(|line| say(&format!("  {line}")));
    for line in DEMO {
        match Args::parse_from(line.split(' ')).command {
            Some(Command::Demo(args)) => draw(&args)?,
            Some(Command::Run(args)) => run::run(*args, isa)?,
            _ => unreachable!("the demo draws and runs"),
        }
    }
    Ok(())
}
