//! `config.toml`: every option of a run or of an experiment, from which either can be run again.

use crate::classifier::experiment::Experiment;
use crate::data::cache::PIXEL_RULES;
use crate::error::{Error, Result};
use crate::files;
use crate::nn::Isa;
use crate::run::identity;
use crate::run::options::Options;
use crate::version::VERSION;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Table>,
}

/// What a file says, as far as it matters to a run: which experiment it is of, or `all`, and the
/// options by the names of their fields.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// The name of an experiment, or `all`.
    pub experiment: String,
    /// The options; see [`Options`].
    pub options: Table,
    /// The version of the program.
    onesheet: Option<String>,
    /// Of a run, the checksums of what it read.
    inputs: Option<Table>,
}

impl Config {
    /// What differs between the options and inputs of the file and those of a run of `experiments`,
    /// places and the like left aside, and what is not there any more.
    ///
    /// # Errors
    /// [`Error::Io`] where an input cannot be read.
    pub(crate) fn differences(&self, experiments: &[&str], options: &Options) -> Result<Vec<String>> {
        let text = |experiment: &str, version: Option<&str>, mut options: Table, inputs: Table| {
            identity::without_places(&mut options);
            options.extend(inputs);
            options.insert("experiment".into(), experiment.into());
            options.extend(version.map(|version| ("onesheet".to_owned(), version.into())));
            toml::to_string(&options).expect("plain data")
        };
        let (mut was, mut is) = (self.inputs.clone().unwrap_or_default(), identity::inputs(options)?);
        was.retain(|name, _| is.contains_key(name));
        is.retain(|name, _| was.contains_key(name));
        let (version, name) = (self.onesheet.as_deref(), name_of(experiments));
        let own = text(&name, version.and(Some(VERSION)), identity::table_of(options), is);
        Ok(identity::differences(&text(&self.experiment, version, self.options.clone(), was), &own))
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

/// Writes the options with which `experiments` run, and for a run the checksums of its `inputs`.
///
/// # Errors
/// [`Error::Io`] with `path`.
pub(crate) fn write_config(
    path: &Path,
    experiments: &[&str],
    isa: Isa,
    options: &Options,
    inputs: Option<Table>,
) -> Result<()> {
    let experiment = name_of(experiments);
    let config = Written { onesheet: VERSION, pixels: PIXEL_RULES, experiment, isa: isa.name(), options, inputs };
    let config = toml::to_string(&config).expect("plain data");
    files::write_atomically(path, |file| file.write_all(config.as_bytes()))
}
