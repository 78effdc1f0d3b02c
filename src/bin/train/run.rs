//! The command `train run`.

use crate::args::{BadImage, ExperimentName, RunArgs};
use crate::checks::{check_controls, check_data, check_model, check_monitor, check_sizes};
use crate::output::{detail, note, say};
use crate::progress::Terminal;
use crate::{signals, threads};
use onesheet::classifier::MODEL_FILE;
use onesheet::classifier::experiment::Experiment;
use onesheet::data::labels::beside::Topics;
use onesheet::data::refusal::OnBadImage;
use onesheet::nn::{Head, Isa};
use onesheet::page;
use onesheet::ranks::Team;
use onesheet::report::{Metrics, PREDICTIONS_FILE, Table, columns, short};
use onesheet::run::options::{Options, Teaching};
use onesheet::run::outcome::{Example, Outcome};
use onesheet::run::recipe::Balance;
use onesheet::text::shell_word;
use onesheet::version::{COMMIT, TARGET, VERSION};
use onesheet::{Error, Result};
use std::path::{Path, PathBuf};

/// The most characters of a name in an example.
const NAME: usize = 24;

/// Trains the experiments that the arguments name.
pub fn run(args: RunArgs, threads: usize, isa: Isa, team: &Team) -> Result<()> {
    let (experiments, is_numbered, is_dry) = (experiments(&args), args.out.is_none(), args.dry_run);
    let monitor = args.options.given("monitor");
    let options = options(args, threads, team)?;
    let checked = check_monitor(&options.recipe, monitor);
    if is_dry {
        return checked.and_then(|()| plan(&options, experiments, isa));
    }
    let result = checked.and_then(|()| train(&options, experiments, isa));
    if result.is_err() && is_numbered {
        // A folder that holds anything is not removed.
        let _ = std::fs::remove_dir(&options.out);
    }
    result
}

/// Prints what a run would do and take, and leaves nothing.
fn plan(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<()> {
    // One fold is as good as another.
    let options = &match options.is_cross_fit() {
        true => Options {
            fold: Some(1),
            out: options.out.join("fold-1"),
            hours: options.hours.zip(options.folds).map(|(hours, folds)| hours / folds as f64),
            ..options.clone()
        },
        false => options.clone(),
    };
    let plan = || onesheet::run::dry_run::dry_run(options, experiments, isa, &Terminal::new());
    let plan = threads::compute(options.threads, plan)?;
    if let Some(fold) = options.held_out() {
        say(&format!("{fold}:"));
    }
    say(&plan.to_string());
    say(&format!("measured on the first steps with {} threads, {}; nothing was written", options.threads, isa.name()));
    plan.check()
}

/// Trains experiments on as many threads as the options say, and prints the results.
pub fn train(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<()> {
    signals::listen()?;
    note(&format!("{} threads, {}", options.threads, isa.name()));
    detail(&format!("onesheet {VERSION}, commit {}, {TARGET}", COMMIT.unwrap_or("unknown")));
    detail(&format!("\nOptions in force:\n{}", toml::to_string(options).expect("plain data")));
    if options.is_cross_fit() {
        return cross_fit(options, experiments, isa);
    }
    let work = || onesheet::run::run(options, experiments, isa, &Terminal::new());
    let outcomes = threads::compute(options.threads, work)?;
    outcomes.iter().for_each(print_examples);
    let metrics: Vec<Metrics> = outcomes.iter().filter_map(|outcome| outcome.metrics.clone()).collect();
    if !metrics.is_empty() {
        let films = options.held_out().map_or("the test films".to_owned(), |fold| format!("the films of {fold}"));
        say(&format!("\nOn {films}, each result above the best constant answer:"));
        say(Table(&metrics).to_string().trim_end());
    }
    if options.no_test {
        say("\nThe test films were not looked at.");
    }
    print_files(options, &outcomes);
    Ok(())
}

/// Runs the experiments on each fold and prints what all answers together are worth.
fn cross_fit(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<()> {
    let work = || onesheet::run::cross_fit::cross_fit(options, experiments, isa, &Terminal::new());
    let metrics = threads::compute(options.threads, work)?;
    say("\nOut of fold, on the training and validation films, each result above the best constant answer:");
    say(Table(&metrics).to_string().trim_end());
    say(&format!("\nResults in {}:", options.out.display()));
    let file = |of: &Metrics| options.out.join(&of.experiment).join(PREDICTIONS_FILE);
    metrics.iter().for_each(|of| say(&format!("  {}", file(of).display())));
    note("\nNext:");
    note(&format!("  train compare {} OTHER", shell_word(&options.out)));
    Ok(())
}

/// Names what a run leaves, and the commands that use it.
fn print_files(options: &Options, outcomes: &[Outcome]) {
    let folder = |outcome: &Outcome| options.out.join(&outcome.experiment);
    say(&format!("\nResults in {}:", options.out.display()));
    for outcome in outcomes {
        say(&format!("  {}", folder(outcome).join(MODEL_FILE).display()));
        say(&format!("    sha256 {}", outcome.model_sha256));
    }
    if let [first, .., last] = &options.member_folders()[..] {
        say(&format!("  the members' own runs: {} to {}", first.display(), last.display()));
    }
    let report = options.out.join(page::FILE);
    if report.exists() {
        say(&format!("  {}", report.display()));
    }
    if let Some(first) = outcomes.first() {
        let (run, data) = (shell_word(&folder(first)), shell_word(&options.data));
        note("\nNext:");
        note(&format!("  train evaluate {run} --data {data} --split test"));
        note(&format!("  train predict {run} POSTER"));
    }
}

/// The experiments that the arguments name.
pub fn experiments(args: &RunArgs) -> &'static [Experiment] {
    match args.experiment {
        ExperimentName::MultiLabel => &Experiment::ALL[..1],
        ExperimentName::SingleGenre => &Experiment::ALL[1..2],
        ExperimentName::Top6 => &Experiment::ALL[2..],
        ExperimentName::All => &Experiment::ALL,
    }
}

fn print_examples(outcome: &Outcome) {
    if outcome.examples.is_empty() {
        return;
    }
    say(&format!("\n{}: five test posters", outcome.experiment));
    let row = |example: &Example| {
        let genres = example.genres.iter().map(|genre| short(genre, NAME)).collect::<Vec<_>>().join(", ");
        let predicted = example.predicted.iter().map(|(genre, p)| format!("{} {:.0}%", short(genre, NAME), 100.0 * p));
        vec![format!("  {}", short(&example.poster, NAME)), genres, predicted.collect::<Vec<_>>().join(", ")]
    };
    let head = ["  poster", "is", "predicted"].map(str::to_owned).to_vec();
    say(columns(head, outcome.examples.iter().map(row).collect(), &[0, 1, 2]).trim_end());
}

/// The options of the run that the arguments describe.
pub fn options(args: RunArgs, threads: usize, team: &Team) -> Result<Options> {
    check_use(&args)?;
    if args.folds.is_some() && args.fold.is_none() && !team.is_alone() {
        return Err(Error::usage("ranks share one run, and --folds is several", "run each of them by --fold"));
    }
    check_data(&args.data)?;
    let recipe = args.options.apply(args.recipe.values())?;
    check_controls(&recipe, &args.options)?;
    check_model(&recipe)?;
    check_sizes(&recipe)?;
    let out = match args.out {
        Some(out) => out,
        None => {
            let own = if team.is_first() { first_free_out(args.dry_run)? } else { PathBuf::new() };
            let name = team.of_first(own.as_os_str().as_encoded_bytes().to_vec());
            PathBuf::from(String::from_utf8(name).expect("it is a number in `runs`"))
        }
    };
    Ok(Options {
        cache: (!args.no_cache).then(|| args.cache.unwrap_or_else(|| out.join("cache"))),
        on_bad_image: match args.on_bad_image {
            BadImage::Skip => OnBadImage::Skip,
            BadImage::Fail => OnBadImage::Fail,
        },
        max_missing: args.max_missing,
        data: args.data,
        out,
        limit: args.limit,
        limit_val: args.limit_val,
        max_genres: args.max_genres,
        per_genre: args.per_genre,
        recipe_name: args.recipe.name(),
        recipe,
        init_from: args.init_from,
        hours: args.hours,
        teaching: args.teacher.map(|run| {
            let (sha256, bytes) = Default::default();
            Teaching { run, weight: args.teacher_weight, sha256, bytes }
        }),
        seed: args.seed,
        members: args.members,
        threads,
        team: team.clone(),
        scale_lr: args.scale_lr,
        #[cfg(feature = "mpi")]
        local_bn: args.local_bn,
        #[cfg(not(feature = "mpi"))]
        local_bn: false,
        checkpoint_every: args.checkpoint_every,
        overwrite: args.overwrite,
        resume: args.resume,
        no_test: args.no_test,
        folds: args.folds,
        fold: args.fold,
    })
}

/// Refuses options that none of the named experiments could use.
fn check_use(args: &RunArgs) -> Result<()> {
    let (experiments, options) = (experiments(args), &args.options);
    if let (Some(fold), Some(folds)) = (args.fold, args.folds)
        && fold > folds
    {
        return Err(Error::usage(format!("--fold {fold} of --folds {folds}"), format!("name one from 1 to {folds}")));
    }
    if args.seed > i64::MAX as u64 - args.members as u64 {
        let what = format!("--members {} from --seed {} on are more seeds than there are", args.members, args.seed);
        return Err(Error::usage(what, "name a smaller seed"));
    }
    let none_of_top_genres = !experiments.iter().any(Experiment::is_of_top_genres);
    if options.given("balance") == Some(Balance::Undersample) && none_of_top_genres {
        let what = "--balance undersample is of the experiment top-6";
        return Err(Error::usage(what, "choose weights, effective-weights or sampler"));
    }
    let names_one_genre = |experiment: &Experiment| experiment.head == Head::Softmax;
    if options.given("tune_thresholds") == Some(true) && experiments.iter().all(names_one_genre) {
        let what = "--tune-thresholds is of the experiment multi-label: the others name one genre";
        return Err(Error::usage(what, "leave it out"));
    }
    let none_takes_it = !experiments.iter().any(Experiment::takes_auxiliary);
    if options.given::<Topics>("auxiliary").is_some_and(|topics| !topics.is_empty()) && none_takes_it {
        let what = "--auxiliary is of the experiment multi-label";
        return Err(Error::usage(what, "train that with it, and start from its weights: --init-from"));
    }
    if options.given::<f64>("transfer").is_some_and(|share| share > 0.0) && experiments.len() == 1 {
        let what = "--transfer is of a run of all experiments";
        return Err(Error::usage(what, "name the run to start from: --init-from"));
    }
    Ok(())
}

/// The first of runs/1, runs/2, ... that is free. It is made here, unless the run is a dry one: of
/// two runs that look for one at the same time, only one can.
fn first_free_out(is_dry: bool) -> Result<PathBuf> {
    let runs = Path::new("runs");
    if is_dry {
        return Ok((1_u64..).map(|n| runs.join(n.to_string())).find(|run| !run.exists()).expect("some number is free"));
    }
    std::fs::create_dir_all(runs).map_err(Error::io(runs, "make the folder"))?;
    for n in 1_u64.. {
        let folder = runs.join(n.to_string());
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder.clone()).map_err(Error::io(&folder, "make the folder")),
        }
    }
    unreachable!("some number is free")
}
