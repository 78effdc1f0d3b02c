//! The commands and options of the command line, with their help texts.

use crate::output::{self, Verbosity};
use crate::recipes::RecipeName;
use crate::{config, mistakes, recipes};
use clap::{ArgMatches, Args as Group, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use onesheet::Result;
use onesheet::classifier::evaluate::Which;
use onesheet::classifier::explain::Method;
use onesheet::data::transform::Views;
use onesheet::export::onnx::{Input, Output};
use onesheet::nn::Isa;
use onesheet::run::options::Teaching;
use onesheet::run::recipe::PrecisionOption;
use onesheet::run::recipe_options::RecipeOptions;
use onesheet::run::sweep::Axis;
use onesheet::run::values::{at_least_one, folds, hours, minutes, seed, up_to, up_to_one, which};
use onesheet::version::{COMMIT, TARGET, VERSION};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  2  wrong options
  3  unusable data, or posters without an answer
  4  the system refused to read, to write or to start threads
  5  the loss became NaN
  70 a bug of onesheet
  130, 143  stopped by Ctrl-C, by SIGTERM

ONESHEET_ISA=amx|avx512|avx2|neon|portable chooses the instruction set; without it, \
the best one is used. NO_COLOR=1 turns colours off.";

/// The headings that options stand under in the help texts, beside those of the recipe.
const DATA: &str = "Data";
const OUTPUT: &str = "Results";
const TRAINING: &str = "Training";
#[cfg(feature = "mpi")]
const RANKS: &str = "Many machines";
const POSTERS: &str = "Decoding posters";
const EXPLAINING: &str = "What it looked at";

/// Learns film genres from posters with a convolutional network that is trained on the CPU.
///
/// Without a command, `train` runs a demo: it draws synthetic posters and trains the three
/// experiments on them.
#[derive(Parser)]
#[command(name = "train", version, long_version = BUILD.as_str(), after_help = EXIT_CODES, args_override_self = true, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Worker threads for computing, and as many for decoding; the results are the same bytes for
    /// any number [default: all cores]
    #[arg(long, value_name = "N", value_parser = up_to(1_024), global = true)]
    pub threads: Option<usize>,

    /// Under mpirun, end the job when a rank has waited for another this many seconds
    #[cfg(feature = "mpi")]
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 1800,
        value_parser = clap::value_parser!(u64).range(1..=1 << 30),
        help_heading = RANKS
    )]
    pub rank_timeout: u64,
    /// Under mpirun, sum gradients between two steps and not beside the arithmetic, to see what that is
    /// worth
    #[cfg(feature = "mpi")]
    #[arg(long, global = true, help_heading = RANKS)]
    pub no_overlap: bool,
    /// Show results, warnings and errors alone: no notes and no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show more: the build, the options in force, how long each step takes, and progress often
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl Args {
    /// Parses the command line of the process. `None` where it asked for help or the version, which
    /// has been shown.
    ///
    /// # Errors
    /// [`Error::Usage`](onesheet::Error::Usage) where the line makes no sense; those of a
    /// configuration that it names.
    pub fn of_the_command_line() -> Result<Option<Self>> {
        let line: Vec<OsString> = std::env::args_os().collect();
        match matches(&line) {
            Err(error) if !error.use_stderr() => {
                output::shown(error.print());
                Ok(None)
            }
            _ => Self::of(line).map(Some),
        }
    }

    /// Parses a line as if it were that of the process; its first word is the program's name.
    ///
    /// # Errors
    /// [`Error::Usage`](onesheet::Error::Usage) where the line makes no sense; those of a
    /// configuration that it names.
    pub fn of(line: Vec<OsString>) -> Result<Self> {
        let mistake = |error| mistakes::explain(&error, &line);
        let given = matches(&line).map_err(mistake)?;
        match config::arguments(&given)? {
            None => Self::from_arg_matches(&given).map_err(mistake),
            Some(configured) => {
                let command = line.iter().position(|word| word == "run").map_or(line.len(), |at| at + 1);
                let (before, after) = line.split_at(command);
                let whole: Vec<OsString> = [before, &configured, after].concat();
                let parsed = matches(&whole).and_then(|all| Self::from_arg_matches(&all));
                parsed.map_err(|error| mistakes::explain(&error, &whole))
            }
        }
    }

    /// All commands with their options and help texts.
    pub fn commands() -> clap::Command {
        Self::command().mut_subcommand("run", |run| run.after_help(format!("{}\n{EXIT_CODES}", recipes::table())))
    }

    /// How much is to be shown.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

fn matches(line: &[OsString]) -> std::result::Result<ArgMatches, clap::Error> {
    Args::commands().try_get_matches_from(line)
}

/// What `--version` says: the version, what it was built from and for, and the instruction sets.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let commit = COMMIT.unwrap_or("unknown");
    let isa = match Isa::choose() {
        Ok(used) => {
            let others = Isa::available().into_iter().map(Isa::name).filter(|name| *name != used.name());
            let others = others.collect::<Vec<_>>().join(", ");
            let bf16 = if used.has_bf16() { " with bf16" } else { "" };
            let others = if others.is_empty() { others } else { format!(" (others: {others})") };
            format!("{}{bf16}{others}", used.name())
        }
        Err(unknown) => unknown.to_string(),
    };
    format!("{VERSION}\ncommit: {commit}\ntarget: {TARGET}\ninstruction set: {isa}")
});

#[derive(Subcommand)]
pub enum Command {
    /// Train on a folder of posters, measure on its test films, and write everything down
    Run(Box<RunArgs>),
    /// Run many trials over a grid of options and compare them on the validation films; the test
    /// films are left alone
    #[command(after_help = SWEEP_HELP, override_usage = SWEEP_USAGE)]
    Sweep(SweepArgs),
    /// Measure a trained model on any folder of posters
    #[command(after_help = EXIT_CODES)]
    Evaluate(EvaluateArgs),
    /// Say how sure the difference between two models is, from their answers on the same films
    #[command(after_help = EXIT_CODES)]
    Compare(CompareArgs),
    /// Name the most probable genres of posters, of one or of a hundred thousand
    #[command(after_help = EXIT_CODES)]
    Predict(PredictArgs),
    /// Write a trained model as a file that other programs run
    #[command(after_help = EXIT_CODES)]
    Export(ExportArgs),
    /// Write the report of a run or of a sweep again, or compare runs side by side
    #[command(after_help = EXIT_CODES)]
    Report(ReportArgs),
    /// Examine a folder of posters before training: what it holds, what is wrong with it, and what
    /// a run would cost
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Decode posters once for all runs, or inspect what was decoded
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Draw synthetic posters, to try things out without a data set
    #[command(after_help = EXIT_CODES)]
    Demo(DemoArgs),
    /// Print a script that completes commands and options in a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(ManArgs),
}

#[derive(Group)]
pub struct RunArgs {
    /// Folder with `genres.csv` (columns id,genre) and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR", required = false, required_unless_present = "config", help_heading = DATA)]
    pub data: PathBuf,
    /// What to learn: all genres of a film, the genre of films that have only one, or which of the
    /// six commonest genres a film has
    #[arg(long, default_value = "all", ignore_case = true, help_heading = DATA)]
    pub experiment: ExperimentName,
    /// Train on at most N films
    #[arg(long, value_name = "N", value_parser = at_least_one(), help_heading = DATA)]
    pub limit: Option<usize>,
    /// Validate on at most N films
    #[arg(long, value_name = "N", value_parser = at_least_one(), help_heading = DATA)]
    pub limit_val: Option<usize>,
    /// Drop films with more genres than this
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one(), help_heading = DATA)]
    pub max_genres: usize,
    /// In top-6, use at most N films of each genre, training and validation together
    #[arg(long, value_name = "N", default_value_t = 25_000, value_parser = at_least_one(), help_heading = DATA)]
    pub per_genre: usize,
    /// Cross-fit: let N runs predict a part each of the training and validation films from the others;
    /// the test films are left alone
    #[arg(long, visible_alias = "cross-fit", value_name = "N", value_parser = folds(), help_heading = DATA)]
    pub folds: Option<usize>,
    /// Of the folds, run this one alone, as on one of several machines
    #[arg(long, value_name = "N", value_parser = at_least_one(), requires = "folds", help_heading = DATA)]
    pub fold: Option<usize>,
    /// Folder for the results [default: the first free of runs/1, runs/2, ...]
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// Stop before the work: check everything, time a few steps, print the plan, and leave nothing
    #[arg(long, help_heading = OUTPUT)]
    pub dry_run: bool,
    /// Leave the test films alone, as while recipes are compared: `train evaluate RUN --split test`
    /// measures on them later
    #[arg(long, help_heading = OUTPUT)]
    pub no_test: bool,
    /// Replace the results of an earlier run in OUT, once the new ones are complete
    #[arg(long, help_heading = OUTPUT)]
    pub overwrite: bool,
    /// Go on with a run in OUT that did not finish, in the middle of an epoch if need be, and end
    /// with the bits that it would have ended with; where there is none, begin
    #[arg(long, help_heading = OUTPUT)]
    pub resume: bool,
    /// Write a checkpoint at least every N minutes, besides one after each epoch
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = minutes, help_heading = OUTPUT)]
    pub checkpoint_every: f64,
    /// Take the learning rate as one for batches of 32: where --batch is k times as large, multiply it by k
    /// for sgd and by the root of k for adam, and let it rise over five epochs at least, or half of a
    /// shorter training
    #[arg(long, help_heading = TRAINING)]
    pub scale_lr: bool,
    /// Take batch norm's mean and variance of each rank's own share of a batch, not of the whole batch:
    /// fewer messages, and other results
    #[cfg(feature = "mpi")]
    #[arg(long, help_heading = RANKS)]
    pub local_bn: bool,
    /// Where the options below start from
    #[arg(long, default_value = "best", ignore_case = true, help_heading = "Recipe")]
    pub recipe: RecipeName,
    /// Take every option from the config.toml of a run or of an experiment; options on the command
    /// line win
    #[arg(long, value_name = "FILE", help_heading = "Recipe")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub options: RecipeOptions,
    /// Start from the weights of a trained experiment, such as runs/1/multi-label, as far as the
    /// shapes agree; in a run of all experiments, multi-label does (see --transfer)
    #[arg(long, value_name = "RUN", help_heading = "Training")]
    pub init_from: Option<PathBuf>,
    /// Train for as many steps as fit in H hours with everything that the run does, measured on a few
    /// steps before it begins; `config.toml` has their number
    #[arg(
        long,
        value_name = "H",
        value_parser = hours,
        conflicts_with_all = ["epochs", "steps"],
        help_heading = "Training"
    )]
    pub hours: Option<f64>,
    /// Distillation: learn from the probabilities of a trained model, such as an ensemble, beside the
    /// labels: a run, which teaches each experiment by its own, or an experiment
    #[arg(long, value_name = "RUN", help_heading = "Training")]
    pub teacher: Option<PathBuf>,
    /// The teacher's share of what is learned; the rest is that of the labels
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = Teaching::WEIGHT,
        value_parser = up_to_one::<f32>,
        requires = "teacher",
        help_heading = "Training"
    )]
    pub teacher_weight: f32,
    /// Random seed of the weights, the order, dropout and variations; the split of the films does
    /// not depend on it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed(), help_heading = "Training")]
    pub seed: u64,
    /// An ensemble: train N models with seeds from --seed on, one after the other, and average their
    /// probabilities
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = up_to(100), help_heading = "Training")]
    pub members: usize,
    /// Folder for the decoded posters, 192 KiB per poster; runs on the same data can share it
    /// [default: OUT/cache]
    #[arg(long, value_name = "DIR", help_heading = POSTERS)]
    pub cache: Option<PathBuf>,
    /// Decode posters whenever they are needed instead, and once beforehand to compare them: for a
    /// small disk
    #[arg(long, conflicts_with = "cache", help_heading = POSTERS)]
    pub no_cache: bool,
    /// What to do about a poster that does not decode: go on without it, or stop
    #[arg(long, default_value = "skip", help_heading = POSTERS)]
    pub on_bad_image: BadImage,
    /// Stop if more than this share of the films lacks a poster that decodes
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = up_to_one::<f64>, help_heading = POSTERS)]
    pub max_missing: f64,
}

const SWEEP_USAGE: &str = "train sweep --data DIR --out DIR --vary AXIS [OPTIONS] [-- RUN OPTIONS]";

const SWEEP_HELP: &str = "\
Each trial is a run in a folder of its own; a finished trial is not run again. The posters are decoded once.

  train sweep --data letterboxd --out sweep \\
    --vary \"lr=1e-3 3e-3\" --vary \"seed=1 2 3\" -- --experiment multi-label
";

#[derive(Group)]
pub struct SweepArgs {
    /// Folder with `genres.csv` and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for the trials and `sweep.csv`
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// An option of `train run` and its values, separated by spaces; several --vary make a grid
    #[arg(long, value_name = "OPTION=VALUE VALUE ..", required = true)]
    pub vary: Vec<Axis>,
    /// Run only N points of the grid, drawn at random
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub random: Option<usize>,
    /// Seed of that draw; the same seed draws the same points
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Begin no trial after this many minutes
    #[arg(long, value_name = "F")]
    pub minutes: Option<f64>,
    /// Options of `train run` that all trials share
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
    /// Which films to measure on: those that the model was not trained with, all, or those that a
    /// run on this folder would train, validate or test with
    #[arg(long, value_name = "unseen|all|train|val|test", default_value = "unseen", value_parser = which)]
    pub split: Which,
    /// Views of a poster over which the answers are averaged
    /// [default: those that the run was told to use]
    #[arg(long)]
    pub views: Option<Views>,
    /// What convolutions multiply in; a run's own test figures are made in f32
    #[arg(long, value_enum, default_value_t = PrecisionOption::F32)]
    pub precision: PrecisionOption,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Group)]
pub struct CompareArgs {
    /// A run, one of its experiments, or a file with the columns of predictions.csv, which may be
    /// another program's: id, true_genres and p_GENRE for each genre
    pub a: PathBuf,
    /// What is set beside it
    pub b: PathBuf,
    /// Print a JSON array, an object per experiment
    #[arg(long)]
    pub json: bool,
}

#[derive(Group)]
pub struct PredictArgs {
    /// Folder of a trained experiment, such as runs/1/multi-label
    pub run: PathBuf,
    /// Posters: JPEG files of any size, folders of them (not those below), or - for a list of files
    /// on standard input, one per line
    #[arg(value_name = "POSTER")]
    pub posters: Vec<PathBuf>,
    /// The list on standard input has NUL between names, as `find -print0` writes it
    #[arg(short = '0', long)]
    pub null: bool,
    /// Number of genres to name
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    pub top: usize,
    /// What convolutions multiply in: bf16 is faster where the processor has it, and moves
    /// probabilities in the third digit
    #[arg(long, value_enum, default_value_t = PrecisionOption::F32)]
    pub precision: PrecisionOption,
    /// Print a JSON array, element by element
    #[arg(long, group = "form")]
    pub json: bool,
    /// Print a JSON object per line
    #[arg(long, visible_alias = "json-lines", group = "form")]
    pub jsonl: bool,
    /// Print CSV
    #[arg(long, group = "form")]
    pub csv: bool,
    /// Write a picture of each poster into this folder, beside it a heat map of what speaks for its
    /// most probable genre
    #[arg(long, value_name = "DIR", help_heading = EXPLAINING)]
    pub explain: Option<PathBuf>,
    /// Show what speaks for this genre instead
    #[arg(long, value_name = "GENRE", requires = "explain", help_heading = EXPLAINING)]
    pub explain_genre: Option<String>,
    /// How it is found out what speaks for a genre [default: cam where the model allows it, else
    /// grad-cam]
    #[arg(long, value_name = "METHOD", requires = "explain", help_heading = EXPLAINING)]
    pub explain_by: Option<Method>,
}

#[derive(Group)]
pub struct ExportArgs {
    /// Folder of a trained experiment, such as runs/1/multi-label
    pub run: PathBuf,
    /// Write an ONNX model
    #[arg(long, value_name = "FILE")]
    pub onnx: PathBuf,
    /// What the model is given: posters of 256x256 pixels, with all that follows in the model; images
    /// in the size of the network; or the same as floats from 0 to 1, channels first
    #[arg(long, default_value = "poster", ignore_case = true)]
    pub input: Input,
    /// What the model answers
    #[arg(long, default_value = "probabilities", ignore_case = true)]
    pub output: Output,
    /// Views of a poster over which the model averages its answers; crops need --input poster
    /// [default: those that the run was told to use]
    #[arg(long)]
    pub views: Option<Views>,
    /// Make batch norm part of the layers around it, as far as that changes nothing but rounding
    #[arg(long)]
    pub fold: bool,
    /// Replace a file that onesheet did not write
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Group)]
pub struct ReportArgs {
    /// A folder of a run, an experiment or a sweep, such as runs/1, whose report.html is written
    /// again; or several runs or experiments, which are compared
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// File for the comparison [default: comparison.html]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Group)]
pub struct DoctorArgs {
    /// Folder with `genres.csv` and `posters/<id>.jpg`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder in which a cache would be made, to check the space on its disk
    /// [default: the current one]
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub cache: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum CacheCommand {
    /// Decode every poster whose film has a genre; an interrupted build is resumed
    #[command(after_help = EXIT_CODES)]
    Build(CacheBuildArgs),
    /// Check every record against its checksum
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
    /// Folder for the cache, 192 KiB per poster
    #[arg(long, value_name = "DIR")]
    pub cache: PathBuf,
    /// What to do about a poster that does not decode: go on without it, or fail and name it
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
    /// Folder to create
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number of films to draw
    #[arg(long, value_name = "N", default_value_t = 1_200, value_parser = at_least_one())]
    pub films: usize,
    /// Draw patterns of N kinds in place of posters: fractals, each with its kind as its genre. A network
    /// that learns to tell them apart can go on to posters from there (--init-from)
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub patterns: Option<usize>,
    /// Seed of the drawing; the same seed draws the same posters
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

const COMPLETIONS_HELP: &str = "\
  source <(train completions bash)                            # in ~/.bashrc
  train completions zsh > DIR/_train                          # DIR on $fpath
  train completions fish > ~/.config/fish/completions/train.fish
";

#[derive(Group)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

#[derive(Group)]
pub struct ManArgs {
    /// Write a page per command into this folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What to do about posters that do not decode.
#[derive(Clone, Copy, ValueEnum)]
pub enum BadImage {
    Skip,
    Fail,
}

/// The names of the experiments, and of all of them together.
#[derive(Clone, Copy, ValueEnum)]
pub enum ExperimentName {
    MultiLabel,
    SingleGenre,
    #[value(name = "top-6")]
    Top6,
    All,
}
