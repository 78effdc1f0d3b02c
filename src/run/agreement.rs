//! Whether all ranks are about to do the same: checked before the first step, since ranks that train on
//! other films or with other options would come to weights that mean nothing.

use crate::classifier::experiment::Experiment;
use crate::data::auxiliary::Taught;
use crate::data::batches::Source;
use crate::data::frames::Frame;
use crate::error::{Error, Result};
use crate::nn::Isa;
use crate::run::identity;
use crate::run::options::Options;
use crate::run::posters::Posters;
use crate::version::COMMIT;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use toml::{Table, Value};

const REMEDY: &str = "start all ranks with the same program, options and data";

/// Refuses ranks whose options, labels, instruction sets or programs differ.
///
/// # Errors
/// [`Error::Usage`], naming the ranks, and what differs; [`Error::Io`] where the labels cannot be read.
pub(crate) fn check(options: &Options, experiments: &[Experiment], isa: Isa) -> Result<()> {
    if options.team.is_alone() {
        return Ok(());
    }
    let mut table: Table = toml::from_str(&identity::of_run(options, experiments, isa)?).expect("it was written here");
    for (name, value) in [("resume", options.resume), ("overwrite", options.overwrite)] {
        table.insert(name.into(), value.into());
    }
    // Only rank 0 has to have the model that a run starts from.
    table.remove("init_from");
    table.insert("commit".into(), COMMIT.unwrap_or("unknown").into());
    table.insert("program".into(), program().into());
    same(options, &table)
}

/// Refuses ranks whose films or decoded posters differ.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_films(
    options: &Options,
    experiments: &[(Experiment, Frame)],
    taught: Option<&Taught>,
    posters: &Posters,
) -> Result<()> {
    if options.team.is_alone() {
        return Ok(());
    }
    let mut table = Table::new();
    let mut ids = BTreeSet::new();
    for (experiment, frame) in experiments {
        table.insert(format!("films of {}", experiment.name), checksum(frame.digest()));
        ids.extend(frame.ids());
    }
    if let Some(taught) = taught {
        table.insert("auxiliary films".into(), checksum(taught.digest()));
    }
    if let Source::Cache(cache) = &posters.source {
        table.insert("decoded posters".into(), checksum(cache.digest(ids)));
    }
    same(options, &table)
}

/// Refuses a table that is not the same on all ranks.
fn same(options: &Options, own: &Table) -> Result<()> {
    let team = &options.team;
    let text = toml::to_string(own).expect("plain data");
    let all = team.gather(text.as_bytes());
    let texts: Vec<String> = all.iter().map(|of| String::from_utf8_lossy(of).into_owned()).collect();
    let differs = |(rank, of): (usize, &String)| {
        let differing = identity::differing(&texts[0], of).into_iter();
        let other: Vec<String> = differing.map(|(name, first, own)| format!("{name} is {own}, not {first}")).collect();
        (!other.is_empty()).then(|| format!("{} differs from {}: {}", team.name(rank), team.name(0), other.join("; ")))
    };
    let others: Vec<String> = texts.iter().enumerate().filter_map(differs).collect();
    match &others[..] {
        [] => Ok(()),
        [one] => Err(Error::usage(one.clone(), REMEDY)),
        [first, rest @ ..] => Err(Error::usage(format!("{first}; and {} more ranks", rest.len()), REMEDY)),
    }
}

/// A checksum of the program that runs.
fn program() -> String {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    let read = || std::env::current_exe().and_then(std::fs::read);
    PROGRAM.get_or_init(|| read().map_or("unknown".into(), |bytes| format!("{:08x}", crc32fast::hash(&bytes)))).clone()
}

fn checksum(of: u32) -> Value {
    format!("{of:08x}").into()
}
