//! The command `train sweep`.

use crate::args::{Args, Command, SweepArgs};
use crate::output::{note, say, tell};
use crate::{run, threads};
use onesheet::classifier::experiment::Experiment;
use onesheet::files::OwnFolder;
use onesheet::nn::Isa;
use onesheet::progress::seconds;
use onesheet::ranks::Team;
use onesheet::report::{HISTORY_FILE, METRICS_FILE, columns, percent, score};
use onesheet::run::identity;
use onesheet::run::options::Options;
use onesheet::run::precision::settle;
use onesheet::run::sweep::{Row, Trial, trials, write};
use onesheet::run::teaching;
use onesheet::{Error, Result, files, page};
use std::time::Instant;

/// The file in a trial's folder that says that the trial has finished: it holds the trial's
/// [`identity`], after a first line `# reason` if the loss diverged.
const FINISHED: &str = "trial.toml";

/// A trial that is ready to run.
struct Ready {
    name: String,
    options: Options,
    experiments: &'static [Experiment],
    identity: String,
}

impl Ready {
    /// `Some` if the trial has finished before, with the reason if it diverged and so has no
    /// results; `None` if it has to be run.
    ///
    /// # Errors
    /// If a trial of other options has finished in its folder and `replace` is false.
    fn finished(&self, replace: bool) -> Result<Option<Option<String>>> {
        let path = self.options.out.join(FINISHED);
        let Ok(text) = files::read_small(&path) else { return Ok(None) };
        let (comments, identity): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("# "));
        if identity == self.identity.lines().collect::<Vec<_>>() {
            return Ok(Some(comments.first().map(|comment| comment[2..].to_owned())));
        }
        if !replace {
            let what = "a trial of other options has finished there";
            let remedy = "name another --out, or add --overwrite to what all trials have, behind the --";
            return Err(Error::usage(format!("{}: {what}", path.display()), remedy));
        }
        Ok(None)
    }

    /// Runs the trial and returns the reason if it diverged.
    fn run(&self, isa: Isa) -> Result<Option<String>> {
        let path = self.options.out.join(FINISHED);
        // A finished trial of other options that is being replaced counts as unfinished from now
        // on, whatever becomes of this one.
        if path.exists() {
            std::fs::remove_file(&path).map_err(Error::io(&path, "run the trial again"))?;
        }
        let diverged = match run::train(&self.options, self.experiments, isa) {
            Err(error @ Error::Diverged { .. }) => Some(error.to_string().replace('\n', " ")),
            done => {
                done?;
                None
            }
        };
        let comment = diverged.iter().map(|reason| format!("# {reason}\n")).collect::<String>();
        files::write_atomically(&path, |file| file.write_all((comment + &self.identity).as_bytes()))?;
        Ok(diverged)
    }
}

/// Runs the trials that have not finished yet, and prints a table of all of them.
pub fn sweep(args: &SweepArgs, threads: usize, isa: Isa) -> Result<()> {
    // Each has a folder; with --random, too, all of them are made before some are drawn.
    const MOST: usize = 1 << 20;
    let count = args.vary.iter().fold(1usize, |count, axis| count.saturating_mul(axis.values.len()));
    if count > MOST {
        let what = format!("--vary: the grid has {count} points, and {MOST} are the most");
        return Err(Error::usage(what, "vary fewer options at a time"));
    }
    let trials = trials(&args.vary, args.random, args.seed);
    // All trials are made ready before the first one runs, so that a mistake ends the sweep now and
    // not in an hour.
    let trials = trials.iter().map(|trial| ready(args, trial, threads, isa)).collect::<Result<Vec<_>>>()?;
    // A trial may have another number of threads than the sweep; they decode on one pool.
    threads::start_decoding(trials.iter().map(|trial| trial.options.threads).max().unwrap_or(threads))?;
    for (i, trial) in trials.iter().enumerate() {
        if trials[..i].iter().any(|of| of.name == trial.name) {
            let what = format!("two trials are called {}", trial.name);
            return Err(Error::usage(what, "name each value once"));
        }
    }
    let replace = args.options.iter().any(|option| option == "--overwrite");
    let finished = trials.iter().map(|trial| trial.finished(replace)).collect::<Result<Vec<_>>>()?;
    let _folder = OwnFolder::claim(&args.out, "a sweep", &["sweep.csv", page::FILE])?;
    let (mut rows, mut diverged, mut left) = (Vec::new(), Vec::new(), 0);
    let (begin, mut result) = (Instant::now(), Ok(()));
    for (i, (trial, finished)) in trials.iter().zip(finished).enumerate() {
        let head = format!("\ntrial {} of {}, {}", i + 1, trials.len(), trial.name);
        let outcome = match finished {
            Some(outcome) => {
                note(&format!("{head}: finished before"));
                outcome
            }
            None if args.minutes.is_some_and(|minutes| begin.elapsed().as_secs_f64() > 60.0 * minutes) => {
                left += 1;
                continue;
            }
            None => {
                note(&head);
                match trial.run(isa) {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        result = Err(match error {
                            Error::Stopped { when, .. } => Error::stopped(when, "the same command goes on"),
                            error => error,
                        });
                        break;
                    }
                }
            }
        };
        match outcome {
            Some(reason) => {
                note(&reason);
                diverged.push(format!("{}: {reason}", trial.name));
            }
            None => rows.extend(read(trial)?),
        }
        write(&args.out.join("sweep.csv"), &mut rows)?;
    }
    let is_cross_fit = trials.iter().any(|trial| trial.options.is_cross_fit());
    say(match is_cross_fit {
        true => "\nThe answers of each trial, out of fold on the training and validation films:",
        false => "\nThe best epoch of each trial on the validation films:",
    });
    print(&rows);
    diverged.iter().for_each(|trial| say(trial));
    if !rows.is_empty() && !is_cross_fit {
        // The results are there without it.
        match page::write_sweep(&args.out) {
            Ok(path) => say(&format!("\nSide by side: {}", path.display())),
            Err(error) => tell(&format!("warning: there is no report: {error}")),
        }
    }
    if left > 0 {
        say(&format!(
            "\n{left} trials were not begun in {} minutes; the same command goes on",
            args.minutes.unwrap_or(0.0)
        ));
    }
    result
}

/// Turns a trial into the run that `train run` would make of it.
fn ready(args: &SweepArgs, trial: &Trial, threads: usize, isa: Isa) -> Result<Ready> {
    let name = trial.name();
    if trial.0.iter().any(|(option, _)| ["data", "out"].contains(&&option[..])) {
        return Err(Error::usage("--data and --out are the same for all trials", "run a sweep for each"));
    }
    // Options that change how a trained model is kept or used, but not what its epochs achieve.
    const SAME: [&str; 3] = ["views", "keep", "tune-thresholds"];
    if let Some((option, _)) = trial.0.iter().find(|(option, _)| SAME.contains(&&option[..])) {
        let what =
            format!("--vary {option}: a sweep compares epochs on the validation films, which it does not change");
        return Err(Error::usage(what, "leave it out"));
    }
    const ONE: [&str; 5] = ["monitor", "folds", "cross-fit", "fold", "no-test"];
    if let Some((option, _)) = trial.0.iter().find(|(option, _)| ONE.contains(&&option[..])) {
        let what = format!("--vary {option}: a sweep compares all trials by one metric, on the same films");
        return Err(Error::usage(what, "name it behind the --"));
    }
    let (out, cache) = (args.out.join(&name), args.out.join("cache"));
    let mut line: Vec<std::ffi::OsString> = vec!["train".into(), "run".into(), "--overwrite".into(), "--resume".into()];
    line.extend(["--data".into(), args.data.clone().into(), "--out".into(), out.clone().into()]);
    if !args.options.iter().any(|option| option.starts_with("--cache") || option == "--no-cache") {
        line.extend(["--cache".into(), cache.into()]);
    }
    // The test films have no part in the choice.
    line.push("--no-test".into());
    line.extend(args.options.iter().map(Into::into));
    line.extend(trial.arguments().into_iter().map(Into::into));
    let named = |error: Error| match error {
        Error::Usage { what, remedy } => Error::usage(format!("{name}: {what}"), remedy),
        Error::Shape(what) => Error::Shape(format!("{name}: {what}")),
        other => other,
    };
    let parsed = Args::of(line).map_err(named)?;
    let threads = parsed.threads.unwrap_or(threads);
    let Some(Command::Run(run)) = parsed.command else { unreachable!("it says run") };
    let run = *run;
    if run.data != args.data || run.out.as_ref() != Some(&out) {
        return Err(Error::usage("--data and --out are the sweep's own", "name them before the --"));
    }
    let experiments = run::experiments(&run);
    let mut options = run::options(run, threads, &Team::default()).map_err(named)?;
    if options.members > 1 && !options.is_cross_fit() {
        let what = format!("{name}: a sweep compares epochs, of which each member of an ensemble has its own");
        return Err(Error::usage(what, "leave --members out, or add --folds N behind the --"));
    }
    // Settled now, so that the trial's identity says what it was trained in.
    options.recipe.precision = settle(options.recipe.precision, isa).0;
    let options = teaching::settled(&options, experiments, isa).map_err(named)?;
    Ok(Ready { name, identity: identity::of_trial(&options, experiments)?, options, experiments })
}

/// The results of a trial in those of its experiments that were not passed over.
fn read(Ready { name, options, experiments, .. }: &Ready) -> Result<Vec<Row>> {
    let monitor = options.recipe.monitor;
    if let (Some(folds), true) = (options.folds, options.is_cross_fit()) {
        let ran = experiments.iter().filter(|of| options.out.join(of.name).join(METRICS_FILE).exists());
        return ran.map(|of| Row::of_folds(name, of, (&options.out, folds), monitor)).collect();
    }
    let folder = |of: &Experiment| options.out.join(of.name);
    let ran = experiments.iter().filter(|of| folder(of).join(HISTORY_FILE).exists());
    ran.map(|of| Row::read(name, of, &folder(of), monitor)).collect()
}

fn print(rows: &[Row]) {
    let head =
        ["experiment", "loss", "AP", "AUC", "top-1 hit", "top-3 hit", "epoch", "time", "trial"].map(str::to_owned);
    let cells = |row: &Row| {
        vec![
            row.experiment.clone(),
            format!("{:.4}", row.val_loss),
            score(row.val_macro_ap),
            score(row.val_macro_auc),
            percent(row.val_top1_hit),
            percent(row.val_top3_hit),
            row.epoch.map_or(String::new(), |epoch| epoch.to_string()),
            seconds(row.seconds),
            row.trial.clone(),
        ]
    };
    say(columns(head.to_vec(), rows.iter().map(cells).collect(), &[0, 8]).trim_end());
}
