//! `train sweep`.

use crate::args::{Args, Command, RunArgs, SweepArgs};
use crate::{run, say};
use clap::Parser;
use onesheet::experiments::Experiment;
use onesheet::sweep::{Row, Trial, trials, write};
use onesheet::{Error, Result, files};
use onesheet_kernels::simd::Isa;
use std::path::Path;
use std::time::Instant;

/// Runs the trials that are not finished yet, and prints a table of all of them.
pub fn sweep(args: &SweepArgs, isa: Isa) -> Result<()> {
    let trials = trials(&args.vary, args.random.map(|n| n as usize), args.seed);
    // All of them are parsed before the first one runs: a mistake ends the sweep now and not in an hour.
    let parsed = trials.iter().map(|trial| parse(args, trial)).collect::<Result<Vec<_>>>()?;
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out, "make the folder"))?;
    let begin = Instant::now();
    let (mut rows, mut left) = (Vec::new(), 0);
    for (i, (trial, (run_args, line))) in trials.iter().zip(parsed).enumerate() {
        let (name, folder) = (trial.name(), args.out.join(trial.name()));
        let finished = folder.join("command.txt");
        let experiments = run::experiments(&run_args);
        if std::fs::read_to_string(&finished).ok().as_deref() == Some(&line) {
            say(&format!("\ntrial {} of {}, {name}: finished before", i + 1, trials.len()));
        } else if args.minutes.is_some_and(|minutes| begin.elapsed().as_secs_f64() > 60.0 * minutes) {
            left += 1;
            continue;
        } else {
            say(&format!("\ntrial {} of {}: {name}", i + 1, trials.len()));
            // A trial of other options that is replaced is no longer finished, whatever becomes of this one.
            if finished.exists() {
                std::fs::remove_file(&finished).map_err(Error::io(&finished, "run the trial again"))?;
            }
            match run::run(run_args, isa) {
                Err(error @ Error::Diverged { .. }) => {
                    say(&format!("{name}: {error}"));
                    continue;
                }
                done => done?,
            }
            files::write_atomically(&finished, |file| file.write_all(line.as_bytes()))?;
        }
        rows.extend(read(&name, &folder, experiments)?);
        write(&args.out.join("sweep.csv"), &mut rows)?;
    }
    say("\nThe best epoch of each trial on the validation films:");
    print(&rows);
    if left > 0 {
        say(&format!(
            "\n{left} trials were not begun in {} minutes; the same command goes on",
            args.minutes.unwrap_or(0.0)
        ));
    }
    Ok(())
}

/// A trial as `train run`, and its command line.
fn parse(args: &SweepArgs, trial: &Trial) -> Result<(RunArgs, String)> {
    let (out, cache) = (args.out.join(trial.name()), args.out.join("cache"));
    let mut line: Vec<std::ffi::OsString> = vec!["train".into(), "run".into(), "--overwrite".into()];
    line.extend(["--data".into(), args.data.clone().into(), "--out".into(), out.into()]);
    if !args.options.iter().any(|option| option.starts_with("--cache") || option == "--no-cache") {
        line.extend(["--cache".into(), cache.into()]);
    }
    line.extend(args.options.iter().map(Into::into));
    line.extend(trial.arguments().into_iter().map(Into::into));
    let text: Vec<String> = line.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match Args::try_parse_from(line).map(|args| args.command) {
        Ok(Some(Command::Run(run))) => Ok((*run, text.join(" "))),
        Ok(_) => unreachable!("it says run"),
        Err(error) => {
            let what =
                error.to_string().trim().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
            Err(Error::usage(format!("{}: {what}", trial.name()), "see `train run --help`"))
        }
    }
}

fn read(name: &str, folder: &Path, experiments: &[Experiment]) -> Result<Vec<Row>> {
    experiments.iter().map(|of| Row::read(name, of.name, &folder.join(of.name))).collect()
}

fn print(rows: &[Row]) {
    let percent = |value: Option<f64>| value.map_or("-".into(), |value| format!("{:.1}", 100.0 * value));
    say(&format!("{:<14}{:>7}{:>8}{:>8}{:>8}{:>7}{:>8}  trial", "", "AP", "AUC", "top-1", "top-3", "epoch", "s"));
    for row in rows {
        say(&format!(
            "{:<14}{:>7}{:>8}{:>8}{:>8}{:>7}{:>8.0}  {}",
            row.experiment,
            percent(row.val_macro_ap),
            percent(row.val_macro_auc),
            percent(Some(row.val_top1_hit)),
            percent(Some(row.val_top3_hit)),
            row.epoch,
            row.seconds,
            row.trial
        ));
    }
}
