//! `--config FILE`: the options of an earlier run as arguments of `train run`.

use clap::ArgMatches;
use clap::parser::ValueSource;
use onesheet::data::labels::beside::Topics;
use onesheet::run::config;
use onesheet::run::recipe_options::RecipeOptions;
use onesheet::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::Value;

/// Options of `train run` beside those of a recipe, by the names of their fields.
const OPTIONS: [&str; 22] = [
    "data",
    "out",
    "cache",
    "on_bad_image",
    "max_missing",
    "limit",
    "limit_val",
    "max_genres",
    "per_genre",
    "hours",
    "init_from",
    "teacher",
    "teacher_weight",
    "seed",
    "members",
    "threads",
    "checkpoint_every",
    "no_test",
    "scale_lr",
    "local_bn",
    "folds",
    "fold",
];
/// What a configuration says that is no option: constants of the update rules, and what was found.
const CONSTANTS: [&str; 4] = ["beta_1", "beta_2", "epsilon", "teacher_sha256"];
/// Options of the update rule, which mean nothing for another optimizer.
const OF_THE_RULE: [&str; 4] = ["learning_rate", "momentum", "nesterov", "weight_decay"];

/// The arguments that say what the configuration says that a line names, without those that the
/// line gives itself; `None` if it names none.
///
/// # Errors
/// [`Error::Usage`] if the line names a recipe, too; [`Error::Data`] if the file is no configuration, or of a newer version; [`Error::Io`] if it
/// cannot be read.
pub fn arguments(line: &ArgMatches) -> Result<Option<Vec<OsString>>> {
    let Some(run) = line.subcommand_matches("run") else { return Ok(None) };
    let Some(path) = run.get_one::<PathBuf>("config") else { return Ok(None) };
    let config = config::read(path)?;
    // Clap panics where it is asked about what is no option.
    let is_given = |id: &str| run.ids().any(|of| of == id) && run.value_source(id) == Some(ValueSource::CommandLine);
    if is_given("recipe") {
        let what = "--config has all options of a recipe";
        return Err(Error::usage(what, "leave --recipe out, and name the options that are to be others"));
    }
    let recipe = RecipeOptions::all();
    let mut arguments: Vec<String> = Vec::new();
    if !is_given("experiment") {
        arguments.push(format!("--experiment={}", config.experiment));
    }
    let is_off = |field: &str| config.options.get(field).and_then(Value::as_integer) == Some(0);
    let auxiliary = match is_given("auxiliary") {
        true => run.get_one::<Topics>("auxiliary").map(Topics::to_string),
        false => config.options.get("auxiliary").map(text),
    };
    let is_without_auxiliary = auxiliary.is_none_or(|topics| topics == "none");
    for (field, value) in &config.options {
        // On a command line, what has no effect is a mistake.
        let of_experiment = |name: &str| [name, "all"].contains(&&*config.experiment);
        let has_no_effect = match &field[..] {
            "plateau_factor" => is_off("plateau"),
            // How long a training is, one option says: the one of the line, else steps before epochs.
            "epochs" => ["steps", "hours"].iter().any(|of| config.options.contains_key(*of) || is_given(of)),
            "steps" => is_given("epochs") || is_given("hours"),
            "hours" => config.options.contains_key("steps") || is_given("epochs") || is_given("steps"),
            "magnitude" => is_off("randaugment"),
            "tune_thresholds" => !of_experiment("multi-label"),
            "balance" => value.as_str() == Some("undersample") && !of_experiment("top-6"),
            "auxiliary" => !of_experiment("multi-label"),
            "auxiliary_weight" => is_without_auxiliary,
            "monitor" => value.as_str() == Some("auto"),
            "transfer" => config.experiment != "all",
            _ => false,
        };
        if has_no_effect {
            continue;
        }
        let other_rule = OF_THE_RULE.contains(&&field[..]) && is_given("optimizer");
        let no_cache = field == "cache" && is_given("no_cache");
        if is_given(field) || other_rule || no_cache || CONSTANTS.contains(&&field[..]) {
            continue;
        }
        let of_recipe = recipe.iter().find(|(_, of)| of == field).map(|(option, _)| option.clone());
        match (of_recipe, value) {
            // An option without a value.
            (Some(option), Value::Boolean(is)) if field == "nesterov" => arguments.extend(is.then_some(option)),
            (None, Value::Boolean(is)) if OPTIONS.contains(&&field[..]) => {
                arguments.extend(is.then(|| format!("--{}", field.replace('_', "-"))));
            }
            (Some(option), value) => arguments.push(format!("{option}={}", text(value).replace('_', "-"))),
            (None, value) if OPTIONS.contains(&&field[..]) => {
                arguments.push(format!("--{}={}", field.replace('_', "-"), text(value)));
            }
            (None, Value::String(name)) if field == "recipe_name" => {
                // All that the recipe says is in the file, whatever it is called.
                arguments.extend((name != "own").then(|| format!("--recipe={name}")));
            }
            _ => return Err(unknown(path, field)),
        }
    }
    if !config.options.contains_key("cache") && !is_given("cache") && !is_given("no_cache") {
        arguments.push("--no-cache".into());
    }
    Ok(Some(arguments.into_iter().map(OsString::from).collect()))
}

/// A value as an argument has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn unknown(path: &Path, field: &str) -> Error {
    let what = format!("there is no option {field}");
    Error::data(path, what, "remove the line, or use the version that wrote the file")
}
