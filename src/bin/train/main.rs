//! The program `train`, which learns film genres from posters. It is only the command line; the
//! library does the work.

mod args;
mod cache;
mod checks;
mod compare;
mod config;
mod demo;
mod doctor;
mod evaluate;
mod explain;
mod export;
mod guesses;
mod help;
mod mistakes;
mod output;
mod predict;
mod progress;
mod ranks;
mod recipes;
mod report;
mod run;
mod shared_predict;
mod signals;
mod sweep;
mod threads;

use args::{Args, Command};
use onesheet::Error;
use onesheet::nn::Isa;
use std::process::ExitCode;

/// The exit code of a bug of this program; `EX_SOFTWARE` of BSD's sysexits.h.
const BUG: u8 = 70;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if !onesheet::data::decode::panics_are_caught() {
            output::tell(&format!("error: this is a bug of onesheet: {panic}"));
            ranks::abort(BUG);
        }
    }));
    let code = std::panic::catch_unwind(|| match Args::of_the_command_line() {
        Ok(Some(args)) => dispatch(args),
        // Help was asked for, and is shown.
        Ok(None) => Ok(0),
        Err(error) => Err(error),
    });
    let has_failed = !matches!(code, Ok(Ok(_)));
    let code = match code {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            ranks::leave_it_to_first();
            output::tell_error(&error);
            match (&error, signals::asked()) {
                // As a shell reports a process that a signal has ended.
                (Error::Stopped { .. }, Some(signal)) => 128 + signal,
                _ => error.exit_code(),
            }
        }
        Err(_) => BUG,
    };
    let code = match (output::failure(), code) {
        (Some(error), code) => {
            output::tell_error(&error);
            if code == 0 { error.exit_code() } else { code }
        }
        (None, code) => code,
    };
    ranks::end(has_failed.then_some(code));
    ExitCode::from(code)
}

/// Does what a command asks for, and returns the exit code of a command that came to its end.
fn dispatch(args: Args) -> onesheet::Result<u8> {
    output::set_verbosity(args.verbosity());
    let team = &ranks::begin(&args)?;
    let Args { command, threads, .. } = args;
    let isa = Isa::choose().map_err(|e| Error::usage(e.to_string(), "unset it to have the best one chosen"))?;
    let cores = threads.unwrap_or_else(|| ranks::cores(team));
    match command {
        None => demo::run_demo(cores, isa),
        Some(Command::Run(args)) => run::run(*args, cores, isa, team),
        Some(Command::Sweep(args)) => sweep::sweep(&args, cores, isa),
        Some(Command::Evaluate(args)) => evaluate::evaluate(&args, cores, isa, team),
        Some(Command::Compare(args)) => compare::compare(&args, cores),
        Some(Command::Predict(args)) => return predict::predict(args, cores, isa, team),
        Some(Command::Export(args)) => export::export(&args, isa),
        Some(Command::Report(args)) => report::report(&args, cores, isa),
        Some(Command::Doctor(args)) => doctor::doctor(&args, cores, isa, team),
        Some(Command::Cache(command)) => cache::cache(command, cores, team),
        Some(Command::Demo(args)) => demo::draw(&args, cores),
        Some(Command::Completions(args)) => {
            help::completions(&args);
            Ok(())
        }
        Some(Command::Man(args)) => help::man(&args),
    }?;
    Ok(0)
}
