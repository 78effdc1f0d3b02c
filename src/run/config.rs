//! `config.toml`: every option of a run or of an experiment, from which either can be run again.

use crate::classifier::experiment::Experiment;
use crate::data::cache::PIXEL_RULES;
use crate::error::{Error, Result};
use crate::files;
use crate::nn::Isa;
use crate::run::identity;
use crate::run::options::Options;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;
use toml::Table;

/// The name of the file, in the folder of a run and in those of its experiments.
pub const CONFIG_FILE: &str = "config.toml";

/// The content of the file.
#[derive(Serialize)]
struct Written<'a> {
    onesheet: &'static str,
    pixels: &'static str,
    experiment: String,
    isa: &'static str,
    options: &'a Options,
}

/// What a file says, as far as it matters to a run: which experiment it is of, or `all`, and the
/// options by the names of their fields.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The name of an experiment, or `all`.
    pub experiment: String,
    /// The options; see [`Options`].
    pub options: Table,
}

impl Config {
    /// What differs between the options of the file and those of a run of `experiments`, places and
    /// the like left aside.
    pub(crate) fn differences(&self, experiments: &[&str], options: &Options) -> Vec<String> {
        let text = |experiment: &str, mut options: Table| {
            identity::without_places(&mut options);
            options.insert("experiment".into(), experiment.into());
            toml::to_string(&options).expect("plain data")
        };
        let own = text(&name_of(experiments), identity::table_of(options));
        identity::differences(&text(&self.experiment, self.options.clone()), &own)
    }
}

/// Reads a file.
///
/// # Errors
/// [`Error::Io`] where it cannot be read; [`Error::Data`] where it is no such file.
pub fn read(path: &Path) -> Result<Config> {
    let refuse = |what: String| Error::data(path, what, "name the config.toml of a run or of one of its experiments");
    let text = files::read_small(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::Other => refuse(error.to_string()),
        _ => Error::io(path, "read the options")(error),
    })?;
    toml::from_str(&text).map_err(|error| refuse(format!("it has not the options of a run ({})", error.message())))
}

fn name_of(experiments: &[&str]) -> String {
    match experiments.len() == Experiment::ALL.len() {
        true => "all".to_owned(),
        false => experiments.join(","),
    }
}

/// Writes the options with which `experiments` run.
///
/// # Errors
/// [`Error::Io`] with `path`.
pub(crate) fn write_config(path: &Path, experiments: &[&str], isa: Isa, options: &Options) -> Result<()> {
    let (onesheet, experiment) = (crate::version::VERSION, name_of(experiments));
    let config = Written { onesheet, pixels: PIXEL_RULES, experiment, isa: isa.name(), options };
    let config = toml::to_string(&config).expect("plain data");
    files::write_atomically(path, |file| file.write_all(config.as_bytes()))
}
