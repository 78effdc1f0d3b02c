//! The command `train demo`, and `train` without a command.

use crate::args::{Args, Command, DemoArgs};
use crate::output::{note, say};
use crate::{run, threads};
use onesheet::Result;
use onesheet::data::demo;
use onesheet::nn::Isa;
use onesheet::ranks::Team;

/// Draws a set of synthetic posters, or of patterns.
pub fn draw(args: &DemoArgs, threads: usize) -> Result<()> {
    let &DemoArgs { ref out, films, patterns, seed } = args;
    let what = threads::compute(threads, || match patterns {
        Some(kinds) => {
            let how = if demo::draw_patterns(out, films, kinds, seed)? { "drawn" } else { "already there" };
            Ok(format!("{films} patterns of {kinds} kinds, {how}"))
        }
        None => demo::draw(out, films, seed).map(|summary| summary.to_string()),
    })?;
    say(&format!("{}: {what}", out.display()));
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
pub fn run_demo(threads: usize, isa: Isa) -> Result<()> {
    note("The demo: synthetic posters, three experiments. `train --help` shows what else");
    note("there is. The same step by step:");
    DEMO.iter().for_each(|line| note(&broken(line)));
    for line in DEMO {
        match Args::of(line.split(' ').map(Into::into).collect())?.command {
            Some(Command::Demo(args)) => draw(&args, threads)?,
            Some(Command::Run(args)) => run::run(*args, threads, isa, &Team::default())?,
            _ => unreachable!("the demo draws and runs"),
        }
    }
    Ok(())
}

/// A command line in lines of at most 80 characters, as a shell takes them for one.
fn broken(line: &str) -> String {
    let (mut lines, mut last) = (String::new(), " ".to_owned());
    for (i, part) in line.split(" --").enumerate() {
        let part = if i == 0 { part.to_owned() } else { format!("--{part}") };
        // Room for the blank and the backslash.
        if last.len() + part.len() > 77 {
            lines += &format!("{last} \\\n");
            last = "   ".to_owned();
        }
        last += &format!(" {part}");
    }
    lines + &last
}
