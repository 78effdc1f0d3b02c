//! The identity of results: what they depend on, as text. Results are used again only where the
//! text is the same.
//!
//! An identity is a TOML table, so that a user can read why something is made again. Large things,
//! such as the labels, are in it by their checksums.

use crate::classifier::Classifier;
use crate::classifier::experiment::Experiment;
use crate::data::cache::PIXEL_RULES;
use crate::data::films::Films;
use crate::data::frames::FilmRule;
use crate::data::split::Sides;
use crate::error::{Error, Result};
use crate::files::{again, is_absent, open_if_regular};
use crate::nn::Isa;
use crate::run::options::Options;
use crate::version::VERSION;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use toml::{Table, Value};

/// The identity of an experiment's frames: what decides which films are in them. `refused` are the
/// ids of those films in them whose posters do not decode, `sides` the films that have twins, with the
/// sides that they belong to.
pub fn of_frames(
    options: &Options,
    rule: &FilmRule,
    films: &Films,
    refused: impl Iterator<Item = u64>,
    sides: &Sides,
) -> String {
    let refused: Vec<u8> = refused.flat_map(u64::to_le_bytes).collect();
    let mut table = Table::new();
    table.insert("data".into(), options.data.display().to_string().into());
    for (limit, of) in [("limit", options.limit), ("limit_val", options.limit_val)] {
        table.insert(limit.into(), of.map_or("none".into(), |limit| Value::Integer(limit as i64)));
    }
    table.insert("rule".into(), format!("{rule:?}").into());
    if let Some(fold) = options.held_out() {
        table.insert("held_out".into(), fold.to_string().into());
    }
    table.insert("max_genres".into(), Value::Integer(options.max_genres as i64));
    table.insert("films".into(), checksum_text(films.digest()));
    table.insert("refused".into(), checksum(&refused));
    table.insert("twins".into(), checksum(format!("{sides:?}").as_bytes()));
    with_version(table)
}

/// The identity of a trial's results. Where it runs, and on how many threads, changes nothing. Of
/// the data only the labels count, not which posters there are.
///
/// # Errors
/// [`Error::Io`] where a file that the options name is there, and cannot be read.
pub fn of_trial(options: &Options, experiments: &[Experiment]) -> Result<String> {
    Ok(with_version(of_results(options, experiments)?))
}

/// The identity of a run that goes on: what [`of_trial`] has, and the instruction set, on which the
/// last bits depend.
///
/// # Errors
/// [`Error::Io`] where a file that the options name is there, and cannot be read.
pub fn of_run(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<String> {
    let mut table = of_results(options, experiments)?;
    table.insert("isa".into(), isa.name().into());
    table.insert("pixels".into(), PIXEL_RULES.into());
    Ok(with_version(table))
}

/// What differs between two identities, such as `epochs (10, and now 12)`.
pub fn differences(was: &str, is: &str) -> Vec<String> {
    differing(was, is).into_iter().map(|(name, was, is)| format!("{name} ({was}, and now {is})")).collect()
}

/// The names whose values differ between two identities, with both values.
pub(super) fn differing(one: &str, other: &str) -> Vec<(String, String, String)> {
    let [one, other] = [one, other].map(|text| toml::from_str::<Table>(text).unwrap_or_default());
    let shown = |value: Option<&Value>| value.map_or("none".to_owned(), ToString::to_string);
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differ = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    differ.map(|name| (name.clone(), shown(one.get(name)), shown(other.get(name)))).collect()
}

/// The checksums of the files on whose content the results of a run depend, as far as they are there.
///
/// # Errors
/// [`Error::Io`] where one is there, and cannot be read.
pub(super) fn inputs(options: &Options) -> Result<Table> {
    let mut files = vec![("labels", options.data.join("genres.csv"))];
    files.extend(options.recipe.auxiliary.all().iter().map(|topic| (topic.name(), options.data.join(topic.file()))));
    files.extend(options.init_from.iter().map(|run| ("init_from", Classifier::file_of(run))));
    let mut table = Table::new();
    for (name, file) in files {
        if let Some(checksum) = checksum_of(&file)? {
            table.insert(name.into(), checksum);
        }
    }
    Ok(table)
}

/// The options on which the results of a run depend, with checksums of the files that they name.
fn of_results(options: &Options, experiments: &[Experiment]) -> Result<Table> {
    let mut table = table_of(options);
    without_places(&mut table);
    table.extend(inputs(options)?);
    table.insert("cached".into(), options.cache.is_some().into());
    let names: Vec<Value> = experiments.iter().map(|experiment| experiment.name.into()).collect();
    table.insert("experiments".into(), names.into());
    Ok(table)
}

/// The options by the names of their fields, as a file has them: numbers in the digits that they
/// have there, which are fewer than an f32 has as an f64.
pub(super) fn table_of(options: &Options) -> Table {
    let text = toml::to_string(options).expect("plain data");
    toml::from_str(&text).expect("it was written here")
}

/// Takes away the options that change no result: where a run reads and writes, and how.
pub(super) fn without_places(table: &mut Table) {
    const PLACES: [&str; 7] = ["data", "out", "cache", "threads", "init_from", "teacher", "checkpoint_every"];
    PLACES.iter().for_each(|place| drop(table.remove(*place)));
    // Hours have become steps before anything depends on them.
    if table.contains_key("steps") {
        table.remove("hours");
    }
}

/// Adds the version of the program, since another one may choose and train differently.
fn with_version(mut table: Table) -> String {
    table.insert("onesheet".into(), VERSION.into());
    toml::to_string(&table).expect("plain data")
}

fn checksum(bytes: &[u8]) -> Value {
    checksum_text(crc32fast::hash(bytes))
}

fn checksum_text(checksum: u32) -> Value {
    format!("{checksum:08x}").into()
}

/// The checksum of a file; `None` where there is none. A pipe would keep its reader waiting, and a device
/// may never end.
fn checksum_of(path: &Path) -> Result<Option<Value>> {
    let digest = || {
        let Some(mut file) = open_if_regular(path)? else { return Ok(None) };
        // Piece by piece: files beside genres.csv have hundreds of megabytes.
        let (mut digest, mut buffer) = (crc32fast::Hasher::new(), vec![0; 64 << 10]);
        loop {
            match again(|| file.read(&mut buffer))? {
                0 => return Ok::<_, io::Error>(Some(digest.finalize())),
                read => digest.update(&buffer[..read]),
            }
        }
    };
    match digest() {
        Err(error) if is_absent(&error) => Ok(None),
        digest => Ok(digest.map_err(Error::io(path, "read the file"))?.map(checksum_text)),
    }
}
