//! What can be said on the command line.

use crate::values::{
    Filters, Side, at_least_one, filters, not_negative, positive, seed, share, share_up_to_one, side, up_to, up_to_one,
};
use clap::{Args as Group, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use onesheet::data::transform::Views;
use onesheet::nn::spec::Padding;
use onesheet::optim::Decay;
use onesheet::recipe::{Balance, Keep, Pooling, Recipe};
use onesheet::sweep::Axis;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 2 wrong options, 3 unusable data, 4 the system refused to read or write, 5 the loss became NaN.
ONESHEET_ISA=avx512|avx2|neon|portable chooses the instruction set; without it the best one is used.";

/// Learns film genres from posters: a convolutional network, trained on the CPU.
///
/// Without a command, `train` shows what it does: it draws synthetic posters and trains the three experiments on them.
#[derive(Parser)]
#[command(name = "train", version, after_help = EXIT_CODES, args_override_self = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Args {
    /// What was said; ends the program where that makes no sense.
    pub fn of_the_command_line() -> Self {
        let run = |run: clap::Command| run.after_help(format!("{}\n{EXIT_CODES}", recipes()));
        let matches = Self::command().mut_subcommand("run", run).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The values of the recipes, option by option.
fn recipes() -> String {
    let [best, report] =
        [Recipe::best(), Recipe::report()].map(|recipe| toml::Table::try_from(recipe).expect("plain data"));
    let value = |of: &toml::Table, key: &str| match &of[key] {
        toml::Value::String(name) => name.replace('_', "-"),
        // Recipes hold f32, whose decimals are shorter than those of the f64 they become here.
        toml::Value::Float(value) => (*value as f32).to_string(),
        toml::Value::Array(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let mut lines = format!("Recipes:{:<17}{:<22}report\n", "", "best");
    for key in best.keys().filter(|key| !["beta_1", "beta_2", "epsilon"].contains(&key.as_str())) {
        let option = if key == "learning_rate" { "lr".into() } else { key.replace('_', "-") };
        lines += &format!("  --{option:<19}  {:<22}{}\n", value(&best, key), value(&report, key));
    }
    lines
}

#[derive(Subcommand)]
pub enum Command {
    /// Train on a folder of posters, measure on its test films, write everything down
    Run(Box<RunArgs>),
    /// Run many trials over a grid of options, and compare them on the validation films
    #[command(after_help = SWEEP_HELP)]
    Sweep(SweepArgs),
    /// Measure a trained model on any folder of posters
    #[command(after_help = EXIT_CODES)]
    Evaluate(EvaluateArgs),
    /// Name the most probable genres of posters; a star marks those above the threshold that the model has for them
    #[command(after_help = EXIT_CODES)]
    Predict(PredictArgs),
    /// Look at a folder of posters before training: what it holds, what is wrong with it, what a run would cost
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Decode posters once for all runs, or look at what was decoded
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Draw synthetic posters, to try things out without a data set
    #[command(after_help = EXIT_CODES)]
    Demo(DemoArgs),
}

#[derive(Group)]
pub struct RunArgs {
    /// Folder with `genres.csv` (columns id,genre) and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for the results [default: the first free of runs/1, runs/2, ...]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What to learn: all genres of a film, the genre of films that have one, or which of the six commonest
    #[arg(long, default_value = "all")]
    pub experiment: ExperimentName,
    /// Train on at most N films
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub limit: Option<u64>,
    /// Validate on at most N films
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub limit_val: Option<u64>,
    /// What the options below start from: what learns most, or the model and training of the starting report
    #[arg(long, default_value = "best")]
    pub recipe: RecipeName,
    /// Passes over the training films
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub epochs: Option<u64>,
    /// Films a step
    #[arg(long, value_name = "N", value_parser = up_to(4_096))]
    pub batch: Option<u64>,
    /// How weights follow their gradients
    #[arg(long)]
    pub optimizer: Option<OptimizerName>,
    /// Learning rate [default: the recipe's, or that of Keras for another optimizer: 0.001 for adam, 0.01 for sgd]
    #[arg(long, value_name = "F", value_parser = positive)]
    pub lr: Option<f32>,
    /// Momentum of sgd
    #[arg(long, value_name = "F", value_parser = share)]
    pub momentum: Option<f32>,
    /// Nesterov's momentum, for sgd
    #[arg(long)]
    pub nesterov: bool,
    /// The share of itself, times the learning rate, that a weight loses in a step (AdamW) [default: the recipe's, or 0 for another
    /// optimizer]
    #[arg(long, value_name = "F", value_parser = share)]
    pub weight_decay: Option<f32>,
    /// Share of all steps in which the learning rate rises from 0
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub warmup: Option<f32>,
    /// The learning rate after that: it stays, or falls to 0 along a cosine
    #[arg(long)]
    pub schedule: Option<Decay>,
    /// Keep a moving average of the weights, of which a step keeps this share, and use it; 0 keeps none
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub ema: Option<f32>,
    /// Height and width that posters are brought to
    #[arg(long, value_name = "N", value_parser = up_to(256))]
    pub input: Option<u64>,
    /// Filters of the convolutions, one block each
    #[arg(long, value_name = "N,N,..", value_parser = filters)]
    pub filters: Option<Filters>,
    /// How the last block's image becomes a vector: all its values, or the mean of its pixels
    #[arg(long)]
    pub pooling: Option<Pooling>,
    /// Units of a dense layer before the last one; 0 is none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=16_384))]
    pub dense: Option<u64>,
    /// Fraction of what the last layer sees that dropout drops
    #[arg(long, value_name = "F", value_parser = share)]
    pub dropout: Option<f32>,
    /// Momentum of batch norm's moving statistics, in Keras' sense: nearer to 1 is slower
    #[arg(long, value_name = "F", value_parser = share)]
    pub bn_momentum: Option<f32>,
    /// Border of the convolutions: none, or zeros that keep the size
    #[arg(long)]
    pub padding: Option<Padding>,
    /// Mirror every other poster
    #[arg(long, value_name = "BOOL")]
    pub flip: Option<bool>,
    /// Show a random part of each poster, of at least this share of its area; 1 shows all
    #[arg(long, value_name = "SHARE", value_parser = share_up_to_one)]
    pub crop: Option<f32>,
    /// Change brightness, contrast and saturation by up to this share
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub jitter: Option<f32>,
    /// Grey a square at a random place, its side this share of the poster's
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub cutout: Option<f32>,
    /// Mix posters and their genres in pairs, by shares from Beta(F, F)
    #[arg(long, value_name = "F", value_parser = not_negative)]
    pub mixup: Option<f32>,
    /// What to do about rare genres: what suits the experiment; nothing; cut train and val to the smallest (top-6); weigh them more
    /// in the loss, by number of films or by their effective number; draw them more often
    #[arg(long)]
    pub balance: Option<Balance>,
    /// Focal loss: how much less counts what is known already; 0 is cross-entropy
    #[arg(long, value_name = "F", value_parser = not_negative)]
    pub focal: Option<f32>,
    /// Spread this share of each label evenly
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub label_smoothing: Option<f32>,
    /// Which weights to keep: the last, or those of the epoch that was best on val
    #[arg(long)]
    pub keep: Option<Keep>,
    /// Give each genre the threshold with the best F1 on val, in place of 0.5 (multi-label alone)
    #[arg(long, value_name = "BOOL")]
    pub tune_thresholds: Option<bool>,
    /// Views of a poster that a trained model's answers are averaged over: one, with its mirror image, with crops
    #[arg(long)]
    pub views: Option<Views>,
    /// Start from the weights of a trained experiment, such as runs/1/multi-label, as far as the shapes agree
    #[arg(long, value_name = "RUN")]
    pub init_from: Option<PathBuf>,
    /// In a run of all experiments, start single-genre and top-6 from the weights that multi-label ended with, and train them for this
    /// share of the epochs at this share of the learning rate; 0 starts them afresh
    #[arg(long, value_name = "SHARE", value_parser = up_to_one, conflicts_with = "init_from")]
    pub transfer: Option<f64>,
    /// Of everything random: weights, order, dropout, variations. The split of the films does not depend on it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Worker threads [default: all cores]; the results are the same bytes for any number
    #[arg(long, value_name = "N", value_parser = up_to(1_024))]
    pub threads: Option<u64>,
    /// Drop films with more genres than this
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    pub max_genres: u64,
    /// top-6: at most N films of each genre, train and validation together
    #[arg(long, value_name = "N", default_value_t = 25_000, value_parser = at_least_one())]
    pub per_genre: u64,
    /// Folder for the decoded posters, 192 kB each; runs on the same data can share it [default: OUT/cache]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Decode posters whenever they are needed instead: for a single pass, or a small disk
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
    /// What to do about a poster that does not decode: go on without it, or end
    #[arg(long, default_value = "skip")]
    pub on_bad_image: BadImage,
    /// End if more than this share of the films lacks a poster that decodes
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = up_to_one)]
    pub max_missing: f64,
    /// Replace the results of an earlier run in OUT
    #[arg(long)]
    pub overwrite: bool,
}

const SWEEP_HELP: &str = "\
Each trial is a run in a folder of its own; one that has finished is not run again. The posters are decoded once.
  train sweep --data letterboxd --out sweep --vary \"lr=1e-3 3e-3\" --vary \"seed=1 2 3\" -- --experiment multi-label
";

#[derive(Group)]
pub struct SweepArgs {
    /// Folder with `genres.csv` and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for the trials and `sweep.csv`
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// An option of `train run` and its values, separated by spaces; several make a grid
    #[arg(long, value_name = "OPTION=VALUE VALUE ..", required = true)]
    pub vary: Vec<Axis>,
    /// Only N points of the grid, drawn at random
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub random: Option<u64>,
    /// The same seed draws the same points
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Begin no trial after so many minutes
    #[arg(long, value_name = "F")]
    pub minutes: Option<f64>,
    /// Options of `train run` that all trials have
    #[arg(last = true, value_name = "OPTIONS")]
    pub options: Vec<String>,
}

#[derive(Group)]
pub struct EvaluateArgs {
    /// Folder of a trained experiment, such as runs/1/multi-label
    pub run: PathBuf,
    /// Folder with `genres.csv` and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Which films: all, or those that a run on this folder would train on, validate or test with
    #[arg(long, value_name = "all|train|val|test", default_value = "all", value_parser = side)]
    pub split: Side,
    /// Views of a poster that the answers are averaged over [default: those that the run was told to use]
    #[arg(long)]
    pub views: Option<Views>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Group)]
pub struct PredictArgs {
    /// Folder of a trained experiment, such as runs/1/multi-label
    pub run: PathBuf,
    /// Posters: JPEG files of any size
    #[arg(required = true, value_name = "POSTER")]
    pub posters: Vec<PathBuf>,
    /// How many genres to name
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    pub top: u64,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

#[derive(Group)]
pub struct DoctorArgs {
    /// Folder with `genres.csv` and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder that a cache would be made in, for the space on its disk [default: the present one]
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub cache: PathBuf,
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = up_to(1_024))]
    pub threads: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum CacheCommand {
    /// Decode every poster whose film has a genre; a build that was interrupted goes on
    #[command(after_help = EXIT_CODES)]
    Build(CacheBuildArgs),
    /// Compare every record with its checksum
    #[command(after_help = EXIT_CODES)]
    Verify(CacheArgs),
    /// Say what a cache holds
    #[command(after_help = EXIT_CODES)]
    Info(CacheArgs),
}

#[derive(Group)]
pub struct CacheBuildArgs {
    /// Folder with `genres.csv` and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for the cache: 192 kB a poster
    #[arg(long, value_name = "DIR")]
    pub cache: PathBuf,
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = up_to(1_024))]
    pub threads: Option<u64>,
    /// What to do about a poster that does not decode: go on without it, or end with its name
    #[arg(long, default_value = "skip")]
    pub on_bad_image: BadImage,
}

#[derive(Group)]
pub struct CacheArgs {
    /// Folder of the cache
    #[arg(long, value_name = "DIR")]
    pub cache: PathBuf,
}

#[derive(Group)]
pub struct DemoArgs {
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How many films
    #[arg(long, value_name = "N", default_value_t = 1_200, value_parser = at_least_one())]
    pub films: u64,
    /// The same seed draws the same posters
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// What becomes of a run whose posters do not all decode.
#[derive(Clone, Copy, ValueEnum)]
pub enum BadImage {
    Skip,
    Fail,
}

/// Names of the experiments.
#[derive(Clone, Copy, ValueEnum)]
pub enum ExperimentName {
    MultiLabel,
    SingleGenre,
    #[value(name = "top-6")]
    Top6,
    All,
}

/// Names of the recipes.
#[derive(Clone, Copy, ValueEnum)]
pub enum RecipeName {
    Best,
    Report,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum OptimizerName {
    Adam,
    Sgd,
}
