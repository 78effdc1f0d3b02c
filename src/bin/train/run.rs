//! The command `train run`.

use crate::args::{BadImage, ExperimentName, RecipeName, RunArgs};
use crate::progress::Terminal;
use crate::say;
use onesheet::classifier::experiment::Experiment;
use onesheet::data::refusal::OnBadImage;
use onesheet::nn::{Head, Isa};
use onesheet::report::{Metrics, Table};
use onesheet::run::fit::Outcome;
use onesheet::run::options::Options;
use onesheet::run::recipe::{Balance, Recipe};
use onesheet::{Error, Result};
use std::path::{Path, PathBuf};

/// Trains the experiments that the arguments name.
pub fn run(args: RunArgs, isa: Isa) -> Result<()> {
    let (experiments, is_numbered) = (experiments(&args), args.out.is_none());
    let options = options(args)?;
    let result = train(&options, experiments, isa);
    if result.is_err() && is_numbered {
        // A folder that holds anything is not removed.
        let _ = std::fs::remove_dir(&options.out);
    }
    result
}

/// Trains experiments on a thread pool of their own, and prints the results.
pub fn train(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<()> {
    let pool = pool(options.threads)?;
    say(&format!("results in {}, {} threads, {}", options.out.display(), options.threads, isa.name()));
    let outcomes = pool.install(|| onesheet::run::run(options, experiments, isa, &Terminal::new()))?;
    outcomes.iter().for_each(print_examples);
    let metrics: Vec<Metrics> = outcomes.iter().filter_map(|outcome| outcome.metrics.clone()).collect();
    say("\nOn the test films, beside the best constant answer:");
    say(&Table(&metrics).to_string());
    for outcome in &outcomes {
        say(&format!("{}/model.safetensors  sha256 {}", outcome.experiment, outcome.model_sha256));
    }
    Ok(())
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

/// A pool of that many worker threads.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Error::usage(format!("{threads} threads do not start: {e}"), "lower --threads"))
}

fn print_examples(outcome: &Outcome) {
    say(&format!("\n{}: five test posters", outcome.experiment));
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

/// The options of the run that the arguments describe.
pub fn options(args: RunArgs) -> Result<Options> {
    check_use(&args)?;
    let (recipe_name, recipe) = match args.recipe {
        RecipeName::Best => ("best", Recipe::best()),
        RecipeName::Report => ("report", Recipe::report()),
    };
    let out = args.out.map_or_else(first_free_out, Ok)?;
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
        recipe_name,
        recipe: args.options.apply(recipe)?,
        init_from: args.init_from,
        seed: args.seed,
        threads: args.threads.unwrap_or_else(all_cores),
        overwrite: args.overwrite,
        measures_test: true,
    })
}

/// Refuses options that none of the named experiments could use.
fn check_use(args: &RunArgs) -> Result<()> {
    let (experiments, options) = (experiments(args), &args.options);
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
    if options.given::<f64>("transfer").is_some_and(|share| share > 0.0) && experiments.len() == 1 {
        let what = "--transfer is of a run of all experiments";
        return Err(Error::usage(what, "name the run to start from: --init-from"));
    }
    Ok(())
}

/// The number of cores that the process may use.
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The first of runs/1, runs/2, ... that is free. It is made here: of two runs that look for one at
/// the same time, only one can.
fn first_free_out() -> Result<PathBuf> {
    let runs = Path::new("runs");
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
