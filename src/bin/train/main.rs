//! The program `train`, which learns film genres from posters. It is only the command line; the
//! library does the work.

mod args;
mod cache;
mod demo;
mod doctor;
mod evaluate;
mod predict;
mod progress;
mod run;
mod sweep;

use args::{Args, Command};
use onesheet::Error;
use onesheet::nn::Isa;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if !onesheet::data::decode::panics_are_caught() {
            eprintln!("error: this is a bug of onesheet: {panic}");
        }
    }));
    let args = Args::of_the_command_line();
    match dispatch(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(args: Args) -> onesheet::Result<()> {
    let isa = Isa::choose().map_err(|e| Error::usage(e.to_string(), "unset it to have the best one chosen"))?;
    match args.command {
        None => demo::run_demo(isa),
        Some(Command::Run(args)) => run::run(*args, isa),
        Some(Command::Sweep(args)) => sweep::sweep(&args, isa),
        Some(Command::Evaluate(args)) => evaluate::evaluate(&args, isa),
        Some(Command::Predict(args)) => predict::predict(&args, isa),
        Some(Command::Doctor(args)) => doctor::doctor(&args, isa),
        Some(Command::Cache(command)) => cache::cache(command),
        Some(Command::Demo(args)) => demo::draw(&args),
    }
}

/// Writes a line to stdout. It is no error if a reader, such as `head`, goes away early.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes one JSON value to stdout.
fn print_json(value: &impl serde::Serialize) {
    say(&serde_json::to_string_pretty(value).expect("plain data"));
}
