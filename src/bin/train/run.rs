//! `train run`.

use crate::args::{BadImage, ExperimentName, OptimizerName, RecipeName, RunArgs};
use crate::progress::Terminal;
use crate::say;
use onesheet::data::refusal::OnBadImage;
use onesheet::data::transform::Augment;
use onesheet::experiments::{Experiment, Options};
use onesheet::fit::Outcome;
use onesheet::loss::Head;
use onesheet::metrics::Metrics;
use onesheet::optim::{Adam, Rule, Sgd};
use onesheet::recipe::{Balance, Recipe};
use onesheet::report::Table;
use onesheet::{Error, Result};
use onesheet_kernels::simd::Isa;
use std::path::PathBuf;

/// Trains the experiments that the arguments name.
pub fn run(args: RunArgs, isa: Isa) -> Result<()> {
    let experiments = experiments(&args);
    train(&options(args)?, experiments, isa)
}

/// Trains experiments, on a pool of their own, and prints what came out.
pub fn train(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<()> {
    let pool = pool(options.threads)?;
    say(&format!("results in {}, {} threads, {}", options.out.display(), options.threads, isa.name()));
    let outcomes = pool.install(|| onesheet::run::run(options, experiments, isa, &Terminal::new()))?;
    outcomes.iter().for_each(print_examples);
    let metrics: Vec<Metrics> = outcomes.iter().map(|outcome| outcome.metrics.clone()).collect();
    say("\nOn the test films, beside the best constant answer:");
    say(&Table(&metrics).to_string());
    for outcome in &outcomes {
        say(&format!("{}/model.safetensors  sha256 {}", outcome.metrics.experiment, outcome.model_sha256));
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

/// What the arguments say.
pub fn options(args: RunArgs) -> Result<Options> {
    check_use(&args)?;
    let recipe = recipe(&args)?;
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
        recipe_name: match args.recipe {
            RecipeName::Best => "best",
            RecipeName::Report => "report",
        },
        recipe,
        init_from: args.init_from,
        seed: args.seed,
        threads: args.threads.map_or_else(all_cores, |n| n as usize),
        overwrite: args.overwrite,
    })
}

/// Refuses what no experiment that the arguments name could use.
fn check_use(args: &RunArgs) -> Result<()> {
    let experiments = experiments(args);
    if args.balance == Some(Balance::Undersample) && experiments.iter().all(|experiment| experiment.name != "top-6") {
        let what = "--balance undersample is of the experiment top-6";
        return Err(Error::usage(what, "choose weights, effective-weights or sampler"));
    }
    if args.tune_thresholds == Some(true) && experiments.iter().all(|experiment| experiment.head == Head::Softmax) {
        let what = "--tune-thresholds is of the experiment multi-label: the others name one genre";
        return Err(Error::usage(what, "leave it out"));
    }
    if args.transfer.is_some_and(|share| share > 0.0) && experiments.len() == 1 {
        let what = "--transfer is of a run of all experiments";
        return Err(Error::usage(what, "name the run to start from: --init-from"));
    }
    Ok(())
}

/// The recipe that the arguments name, with what they say otherwise.
fn recipe(args: &RunArgs) -> Result<Recipe> {
    let base = match args.recipe {
        RecipeName::Best => Recipe::best(),
        RecipeName::Report => Recipe::report(),
    };
    let count = |of: Option<u64>, default: usize| of.map_or(default, |n| n as usize);
    let Augment { flip, crop, jitter, cutout, mixup } = base.augment;
    Ok(Recipe {
        rule: rule(args, base.rule)?,
        input: count(args.input, base.input),
        filters: args.filters.as_ref().map_or(base.filters, |filters| filters.0.clone()),
        pooling: args.pooling.unwrap_or(base.pooling),
        dense: count(args.dense, base.dense),
        dropout: args.dropout.unwrap_or(base.dropout),
        bn_momentum: args.bn_momentum.unwrap_or(base.bn_momentum),
        padding: args.padding.unwrap_or(base.padding),
        epochs: count(args.epochs, base.epochs),
        batch: count(args.batch, base.batch),
        warmup: args.warmup.map_or(base.warmup, shortest),
        schedule: args.schedule.unwrap_or(base.schedule),
        ema: args.ema.map_or(base.ema, shortest),
        augment: Augment {
            flip: args.flip.unwrap_or(flip),
            crop: args.crop.unwrap_or(crop),
            jitter: args.jitter.unwrap_or(jitter),
            cutout: args.cutout.unwrap_or(cutout),
            mixup: args.mixup.unwrap_or(mixup),
        },
        balance: args.balance.unwrap_or(base.balance),
        focal: args.focal.unwrap_or(base.focal),
        label_smoothing: args.label_smoothing.unwrap_or(base.label_smoothing),
        keep: args.keep.unwrap_or(base.keep),
        tune_thresholds: args.tune_thresholds.unwrap_or(base.tune_thresholds),
        views: args.views.unwrap_or(base.views),
        transfer: args.transfer.unwrap_or(base.transfer),
    })
}

/// The update rule that the arguments ask for.
fn rule(args: &RunArgs, base: Rule) -> Result<Rule> {
    let rule = match (args.optimizer, base) {
        (None, base) => base,
        (Some(OptimizerName::Adam), base @ Rule::Adam(_)) => base,
        (Some(OptimizerName::Adam), _) => Rule::adam(1e-3),
        (Some(OptimizerName::Sgd), _) => Rule::Sgd(Sgd::new(1e-2)),
    };
    let rule = rule.with_learning_rate(args.lr.unwrap_or(rule.learning_rate()));
    match rule {
        Rule::Adam(_) if args.momentum.is_some() || args.nesterov => {
            Err(Error::usage("--momentum and --nesterov are of sgd", "add --optimizer sgd"))
        }
        Rule::Adam(adam) => {
            Ok(Rule::Adam(Adam { weight_decay: args.weight_decay.unwrap_or(adam.weight_decay), ..adam }))
        }
        Rule::Sgd(sgd) if args.nesterov && args.momentum.unwrap_or(sgd.momentum) == 0.0 => {
            Err(Error::usage("--nesterov changes nothing without momentum", "add --momentum, such as 0.9"))
        }
        Rule::Sgd(sgd) => Ok(Rule::Sgd(Sgd {
            momentum: args.momentum.unwrap_or(sgd.momentum),
            nesterov: args.nesterov,
            weight_decay: args.weight_decay.unwrap_or(sgd.weight_decay),
            ..sgd
        })),
    }
}

/// An f32 in f64, as it is written: 0.2 and not 0.20000000298.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().expect("a number's digits")
}

/// As many worker threads as the process may use cores.
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn first_free_out() -> PathBuf {
    let numbered = (1..).map(|n| PathBuf::from(format!("runs/{n}")));
    numbered.into_iter().find(|path| !path.exists()).expect("some number is free")
}
