//! Answers to command lines that clap does not take: each is one line that says what to do next.

use crate::args::Args;
use crate::guesses::{RESUME, instead_of_command, instead_of_option};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};
use onesheet::Error;
use onesheet::text::excerpt;
use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;

const CACHE: &str = "name what to do with the cache: build, verify or info";

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
        if let Some(instead) = instead_of_option(option) {
            return (what, instead.to_owned());
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
        let remedy = match instead_of_command(word) {
            _ if self.command.as_deref() == Some("cache") => CACHE.to_owned(),
            Some(command) => format!("it is `train {command}`"),
            None if word == "resume" => RESUME.to_owned(),
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
                format!("{name} {}: there is no such value", excerpt(value)),
                format!("name one of {}", self.valid.join(", ")),
            );
        }
        let wanted = error.source().map_or_else(|| self.first_line(error), |source| wanted(&source.to_string()));
        let what = format!("{name} {}: {wanted}", excerpt(value));
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

/// What an option of a count wants.
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
