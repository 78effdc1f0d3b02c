//! Answers to command lines that make no sense as they are: what a user of other programs tries
//! first, and what there is here instead. Each answer is one line that says what to do next.

use crate::args::Args;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};
use onesheet::data::decode::ImageSpec;
use onesheet::run::recipe::Recipe;
use onesheet::{Error, Result};
use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;

const NO_GPU: &str = "onesheet computes on CPUs alone; --threads N limits the cores that it takes";
const THREADS: &str = "name --threads N: as many threads decode posters beside the training";
const BEST_EPOCH: &str = "there is no early stopping: all --epochs are trained, and --keep best keeps the best of them";
const SPLIT: &str = "the split is 80/10/10 by a hash of the film's id, the same in every run; --limit-val N validates \
                     on fewer films";
const NO_RESUME: &str = "a run cannot be resumed yet; the weights of its best epoch so far are in \
                         OUT/EXPERIMENT/model.safetensors: start from them with --init-from OUT/EXPERIMENT";
const OUTPUT: &str = "name the folder of the results as --out DIR";
const QUIET: &str =
    "there is no such choice: send standard output to a file, and progress comes as a line now and then";
const CHECKPOINT: &str = "the model is kept in OUT/EXPERIMENT/model.safetensors; --keep best|last chooses the epoch";
const FLIP: &str = "name --flip true or --flip false";
const THRESHOLD: &str = "each genre has a threshold of its own: --tune-thresholds true when the model is trained";
const DROP: &str = "the learning rate follows --warmup SHARE and --schedule constant|cosine";
const CACHE: &str = "name what to do with the cache: build, verify or info";
const NAMED_MODEL: &str = "name the folder of the trained experiment without an option, such as `train predict \
                           runs/1/multi-label POSTER`";

/// Options of other programs, and what there is here instead.
const OPTIONS: [(&[&str], &str); 30] = [
    (&["--resume", "--continue", "--resume-from", "--restart", "--ckpt", "--checkpoint"], NO_RESUME),
    (&["--gpu", "--gpus", "--cuda", "--device", "--devices", "--no-cuda", "--use-gpu", "--accelerator"], NO_GPU),
    (
        &["--amp", "--fp16", "--bf16", "--half", "--precision", "--mixed-precision"],
        "it computes in 32-bit floats alone",
    ),
    (&["--workers", "--num-workers", "--jobs", "-j", "--cpus", "--cores", "--num-threads", "--n-jobs"], THREADS),
    (&["--early-stopping", "--early-stop", "--patience", "--stop-early"], BEST_EPOCH),
    (&["--val-split", "--validation-split", "--test-split", "--split-ratio", "--test-size", "--val-size"], SPLIT),
    (&["--save-dir", "--output", "--output-dir", "--out-dir", "--outdir", "-o", "--project", "--logdir"], OUTPUT),
    (
        &["--force", "-f", "--exist-ok", "--clobber", "--yes", "-y"],
        "--overwrite replaces the results of an earlier run",
    ),
    (&["--verbose", "-v", "--quiet", "-q", "--silent", "--no-progress", "--progress"], QUIET),
    (&["--save-best", "--save-best-only", "--save-model", "--save", "--save-every", "--save-period"], CHECKPOINT),
    (&["--best-checkpoint", "--checkpoint-best", "--restore-best-weights"], "--keep best keeps the best epoch"),
    (&["--no-flip", "--hflip", "--horizontal-flip", "--mirror", "--fliplr"], FLIP),
    (
        &["--augment", "--no-augment", "--augmentation"],
        "name the variations: --flip, --crop, --jitter, --cutout, --mixup",
    ),
    (&["--threshold", "--conf", "--confidence", "--cutoff"], THRESHOLD),
    (&["--lr-scheduler", "--scheduler", "--lr-schedule", "--lr-decay", "--cos-lr", "--cosine"], DROP),
    (&["--image-size", "--img-size", "--imgsz", "--size", "--resolution", "--input-size"], "name --input N"),
    (&["--steps", "--iterations", "--max-steps", "--num-steps"], "name --epochs N, and --limit N for fewer films"),
    (&["--num-epochs", "--epoch", "--n-epochs", "-e", "--max-epochs"], "name --epochs N"),
    (&["--bs", "-b", "--batchsize", "--batch-sz", "--minibatch"], "name --batch N, the batch size"),
    (&["--random-seed", "--random-state", "--rng", "-s"], "name --seed N"),
    (&["--learningrate", "--alpha", "--eta"], "name --lr F, the learning rate"),
    (&["--optim", "--opt"], "name --optimizer adam|adamw|sgd"),
    (&["--decay", "--wd", "--l2"], "name --weight-decay F"),
    (&["--model", "--arch", "--backbone", "--network", "--weights", "--load"], NAMED_MODEL),
    (&["--pretrained", "--finetune", "--fine-tune", "--transfer-from"], "name --init-from RUN, a trained experiment"),
    (&["--csv-file", "--labels", "--annotations", "--dataset", "--data-dir", "--input-dir", "-d"], "name --data DIR"),
    (&["--images", "--image", "--poster", "--posters", "--file", "--files", "-i"], "name posters without an option"),
    (&["--topk", "--top-k", "-k", "-n"], "name --top N"),
    (&["--format", "--output-format"], "name --json, --jsonl or --csv"),
    (
        &["--class-weights", "--class-weight", "--oversample", "--undersample"],
        "name --balance weights|sampler|undersample",
    ),
];

/// Commands of other programs, and those that do the same here.
const COMMANDS: [(&[&str], &str); 8] = [
    (&["version"], "--version"),
    (&["train", "fit", "start", "learn", "training"], "run"),
    (&["eval", "test", "validate", "val", "score", "measure", "benchmark"], "evaluate"),
    (&["infer", "inference", "classify", "label", "tag", "detect", "prediction"], "predict"),
    (&["check", "inspect", "info", "stats", "analyze", "analyse", "validate-data"], "doctor"),
    (&["tune", "search", "grid", "optimize", "hyperopt", "gridsearch"], "sweep"),
    (&["prepare", "preprocess", "decode", "build"], "cache build"),
    (&["example", "generate", "draw", "synthetic"], "demo"),
];

/// The error that a command line which clap does not take ends in. `line` is all of it, the
/// program's name first.
pub fn explain(error: &clap::Error, line: &[OsString]) -> Error {
    let told = Told::of(error, line);
    let (what, remedy) = match error.kind() {
        ErrorKind::UnknownArgument => told.unknown_option(),
        ErrorKind::InvalidSubcommand => told.unknown_command(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => told.bad_value(error),
        ErrorKind::MissingRequiredArgument => told.missing(error),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            ("a command is missing".to_owned(), CACHE.to_owned())
        }
        ErrorKind::ArgumentConflict => (told.first_line(error), "leave one of them out".to_owned()),
        _ => (told.first_line(error), told.see_help()),
    };
    Error::usage(what, remedy)
}

/// What clap tells of a command line.
struct Told<'a> {
    /// The command, if the line names one.
    command: Option<String>,
    /// The option in question, with the dashes but without a value.
    option: String,
    /// The value in question.
    value: String,
    /// The words of the line after the program's name.
    words: Vec<&'a str>,
    /// The option that clap takes the wrong one for.
    similar: Option<String>,
    /// The values that would do.
    valid: Vec<String>,
}

impl<'a> Told<'a> {
    fn of(error: &clap::Error, line: &'a [OsString]) -> Self {
        let text = |kind: ContextKind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            Some(ContextValue::Strings(all)) => all.first().cloned(),
            _ => None,
        };
        let words: Vec<&str> = line.iter().skip(1).filter_map(|word| word.to_str()).collect();
        let known = Args::command();
        let is_command = |word: &&&str| known.find_subcommand(word).is_some();
        let valid = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(all)) => all.clone(),
            _ => Vec::new(),
        };
        Self {
            command: words.iter().find(is_command).map(|word| (*word).to_owned()),
            option: text(ContextKind::InvalidArg).unwrap_or_default(),
            value: text(ContextKind::InvalidValue).or(text(ContextKind::InvalidSubcommand)).unwrap_or_default(),
            words,
            similar: text(ContextKind::SuggestedArg),
            valid,
        }
    }

    fn see_help(&self) -> String {
        match &self.command {
            Some(command) => format!("see `train {command} --help`"),
            None => "see `train --help`".to_owned(),
        }
    }

    /// clap's own words, in one line.
    fn first_line(&self, error: &clap::Error) -> String {
        let text = error.to_string();
        let first = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
        first.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn unknown_option(&self) -> (String, String) {
        let option = self.option.split('=').next().unwrap_or_default();
        let of_command = self.command.as_ref().map_or("train".to_owned(), |command| format!("train {command}"));
        if option.starts_with(['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}']) {
            let name = option.trim_start_matches(|c: char| !c.is_alphanumeric());
            let what = format!("{option} begins with a typographic dash");
            return (what, format!("write --{name}, with two plain ones"));
        }
        if !option.starts_with('-') {
            let what = format!("{option} stands alone, and `{of_command}` takes no such word");
            let takes = if self.command.as_deref() == Some("cache") { "--cache" } else { "--data" };
            let remedy = if option.parse::<usize>().is_ok() && self.words.contains(&"--filters") {
                "write a list with commas and no blanks, such as --filters 16,32,64".to_owned()
            } else if Path::new(option).exists() {
                format!("name the folder as {takes} {option}")
            } else {
                format!("options have names, such as {takes} DIR; {}", self.see_help())
            };
            return (what, remedy);
        }
        // Of `-epochs`, clap sees the `-e` alone.
        let whole = self.words.iter().find(|word| word.starts_with(option) && !word.starts_with("--"));
        let whole = whole.filter(|word| word.len() > 2).copied().unwrap_or(option);
        if whole[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let what = format!("{whole} is negative");
            return (what, format!("no option takes a negative number; {}", self.see_help()));
        }
        let long = format!("-{whole}").replace('_', "-");
        let known = Args::command();
        if !whole.starts_with("--") && whole.len() > 2 && owners(&known, &long).next().is_some() {
            return (format!("{whole} has one dash"), format!("write {long}"));
        }
        let what = format!("`{of_command}` has no option {option}");
        if let Some((_, instead)) = OPTIONS.iter().find(|(names, _)| names.contains(&option)) {
            return (what, (*instead).to_owned());
        }
        let underscored = option.replace('_', "-");
        if underscored != option && owners(&known, &underscored).next().is_some() {
            return (what, format!("write {underscored}"));
        }
        let owners: Vec<String> = owners(&known, option).map(|command| format!("`train {command}`")).collect();
        if !owners.is_empty() {
            return match self.command {
                Some(_) => (what, format!("it is of {}", owners.join(", "))),
                None => ("the command is missing".to_owned(), format!("{option} is of {}", owners.join(", "))),
            };
        }
        match &self.similar {
            Some(similar) => (what, format!("is it {similar}? Else see `{of_command} --help`")),
            None => (what, self.see_help()),
        }
    }

    fn unknown_command(&self) -> (String, String) {
        let word = &self.value;
        let what = format!("there is no command {word}");
        let same = COMMANDS.iter().find(|(names, _)| names.contains(&word.to_lowercase().as_str()));
        let remedy = match same {
            _ if self.command.as_deref() == Some("cache") => CACHE.to_owned(),
            Some((_, command)) => format!("it is `train {command}`"),
            None if word == "resume" => NO_RESUME.to_owned(),
            None if Path::new(word).is_dir() => format!("to train on a folder: `train run --data {word}`"),
            None => {
                let known = Args::command();
                let names: Vec<&str> = known.get_subcommands().map(Command::get_name).collect();
                format!("name one of {}", names.join(", "))
            }
        };
        (what, remedy)
    }

    fn bad_value(&self, error: &clap::Error) -> (String, String) {
        let Self { option, value, .. } = self;
        let name = option.split_whitespace().next().unwrap_or_default();
        if value.is_empty() {
            let what = format!("{name} has no value");
            return match self.valid.is_empty() {
                true => (what, format!("write {option}")),
                false => (what, format!("name one of {}", self.valid.join(", "))),
            };
        }
        if !self.valid.is_empty() {
            return (
                format!("{name} {value}: there is no such value"),
                format!("name one of {}", self.valid.join(", ")),
            );
        }
        let wanted = error.source().map_or_else(|| self.first_line(error), |source| wanted(&source.to_string()));
        let what = format!("{name} {value}: {wanted}");
        let is_number = |text: &str| text.parse::<f64>().is_ok();
        let pointed = value.replacen(',', ".", 1);
        let plain: String = value.chars().filter(|c| !matches!(c, '_' | ',' | '.' | '\'' | ' ')).collect();
        let remedy = if let Some(percent) = value.strip_suffix('%').and_then(|text| text.trim().parse::<f64>().ok()) {
            format!("write the share as {}", percent / 100.0)
        } else if wanted.contains("number such as") && value.contains(',') && is_number(&pointed) {
            format!("write {pointed}, with a point")
        } else if let Some(count) = value.parse::<f64>().ok().filter(|count| count.fract() == 0.0 && *count >= 1.0)
            && wanted == WHOLE
            && count < 1e12
        {
            format!("write {count:.0}")
        } else if let Some(thousand) = value.strip_suffix(['k', 'K']).and_then(|text| text.parse::<f64>().ok()) {
            format!("write {:.0}", 1_000.0 * thousand)
        } else if wanted == WHOLE && plain != *value && plain.parse::<u64>().is_ok() && !value.contains('.') {
            format!("write {plain}")
        } else {
            self.see_help()
        };
        (what, remedy)
    }

    fn missing(&self, error: &clap::Error) -> (String, String) {
        let missing = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(names)) => names.join(" "),
            _ => return (self.first_line(error), self.see_help()),
        };
        let remedy = if missing.contains("<RUN>") {
            "name the folder of a trained experiment, such as runs/1/multi-label".to_owned()
        } else if missing.contains("--data") {
            "name the folder that holds genres.csv and posters/ as --data DIR".to_owned()
        } else if missing.contains("--vary") {
            "name an option and its values, such as --vary \"lr=1e-3 3e-3\"".to_owned()
        } else if missing.contains("--out") {
            "name the folder to create as --out DIR".to_owned()
        } else {
            self.see_help()
        };
        (format!("{missing} is missing"), remedy)
    }
}

const WHOLE: &str = "it is a whole number";

/// What a parser of numbers says that it wants, in the words that the options' own parsers use.
fn wanted(said: &str) -> String {
    if said.contains("invalid digit") || said.contains("empty string") || said.contains("number too large") {
        return WHOLE.to_owned();
    }
    match said.split_once(" is not in ").and_then(|(_, range)| range.split_once("..=")) {
        Some((least, most)) if most.len() > 9 => format!("it is at least {least}"),
        Some((least, most)) => format!("it is from {least} to {most}"),
        None => said.to_owned(),
    }
}

/// The commands that have an option of that name.
fn owners<'a>(known: &'a Command, option: &'a str) -> impl Iterator<Item = String> + 'a {
    let has = move |command: &Command| {
        let names = |arg: &clap::Arg| {
            let all = arg.get_long_and_visible_aliases().unwrap_or_default();
            all.iter().any(|name| option.strip_prefix("--") == Some(name))
        };
        command.get_arguments().any(names)
    };
    let of = |command: &'a Command| {
        let inner =
            command.get_subcommands().map(|inner| (format!("{} {}", command.get_name(), inner.get_name()), inner));
        std::iter::once((command.get_name().to_owned(), command)).chain(inner).collect::<Vec<_>>()
    };
    known.get_subcommands().flat_map(of).filter(move |(_, command)| has(command)).map(|(name, _)| name)
}

/// Refuses what is easily taken for the folder of the data: a file in it, or its posters.
///
/// # Errors
/// [`Error::Data`], naming the folder that is meant.
pub fn check_data(data: &Path) -> Result<()> {
    let is_data = |folder: &Path| folder.join("genres.csv").exists();
    let parent = || {
        data.parent().filter(|folder| is_data(folder)).map(|folder| match folder.as_os_str().is_empty() {
            true => ".".to_owned(),
            false => folder.display().to_string(),
        })
    };
    if data.is_file() {
        let remedy = match parent() {
            Some(folder) => format!("name the folder that it is in: --data {folder}"),
            None => "name the folder that holds genres.csv and posters/".to_owned(),
        };
        return Err(Error::data(data, "it is a file", remedy));
    }
    match parent() {
        Some(folder) if data.is_dir() && !is_data(data) => {
            Err(Error::data(data, "there is no genres.csv in it", format!("name the folder above it: --data {folder}")))
        }
        _ => Ok(()),
    }
}

/// Refuses a model whose image is used up before its last block, and names the options that decide
/// it.
///
/// # Errors
/// [`Error::Usage`] with the smallest input that would do.
pub fn check_model(recipe: &Recipe) -> Result<()> {
    let Err(error) = recipe.model(1).plan() else { return Ok(()) };
    let fits = |input: &usize| Recipe { input: *input, ..recipe.clone() }.model(1).plan().is_ok();
    let (input, blocks) = (recipe.input, recipe.filters.len());
    match (input + 1..=ImageSpec::POSTER.height).find(fits) {
        Some(smallest) => {
            let what = format!("--input {input} is too small for the {blocks} blocks of --filters");
            Err(Error::usage(what, format!("name --input {smallest} or more, or fewer --filters")))
        }
        None if Recipe { filters: recipe.filters[..1].to_vec(), ..recipe.clone() }.model(1).plan().is_ok() => {
            let what = format!("--filters names {blocks} blocks, which leave nothing of an image of {input} pixels");
            Err(Error::usage(what, "name fewer of them"))
        }
        None => Err(error),
    }
}
