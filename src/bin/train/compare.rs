//! The command `train compare`.

use crate::args::CompareArgs;
use crate::output::{print_json, say, tell};
use crate::threads;
use onesheet::classifier::experiment::Experiment;
use onesheet::report::{Comparison, PREDICTIONS_FILE, Predictions};
use onesheet::{Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Answers that are compared: a file, and the experiment in whose folder of a run it was found.
struct Answers {
    experiment: Option<&'static str>,
    file: PathBuf,
}

/// An element of what `--json` prints.
#[derive(Serialize)]
struct Compared {
    a: String,
    b: String,
    #[serde(flatten)]
    comparison: Comparison,
}

/// Compares the answers of two runs, experiments or files.
pub fn compare(args: &CompareArgs, threads: usize) -> Result<()> {
    let pairs = pairs(&args.a, &args.b)?;
    let compare = |[a, b]: &[PathBuf; 2]| {
        let (of_a, of_b) = (Predictions::read(a)?, Predictions::read(b)?);
        let comparison = Comparison::of((a, &of_a), (b, &of_b))?;
        Ok(Compared { a: a.display().to_string(), b: b.display().to_string(), comparison })
    };
    let all: Vec<Compared> = threads::compute(threads, || pairs.iter().map(compare).collect::<Result<_>>())?;
    if args.json {
        print_json(&all);
        return Ok(());
    }
    for (i, Compared { a, b, comparison }) in all.iter().enumerate() {
        let gap = if i > 0 { "\n" } else { "" };
        say(&format!("{gap}A: {a}\nB: {b}\n\n{}", comparison.to_string().trim_end()));
    }
    Ok(())
}

/// The files that are to be compared with each other.
///
/// # Errors
/// [`Error::Data`] where a place has no answers, or it is not clear which are meant.
fn pairs(a: &Path, b: &Path) -> Result<Vec<[PathBuf; 2]>> {
    let (of_a, of_b) = (answers(a)?, answers(b)?);
    if let ([one], [other]) = (&of_a[..], &of_b[..]) {
        return Ok(vec![[one.file.clone(), other.file.clone()]]);
    }
    let same = |one: &Answers| of_b.iter().find(|other| one.experiment.is_some() && other.experiment == one.experiment);
    let pairs: Vec<_> = of_a.iter().filter_map(|one| Some([one.file.clone(), same(one)?.file.clone()])).collect();
    if pairs.is_empty() {
        let what = format!("it has no experiment in common with {}", a.display());
        return Err(Error::data(b, what, "name an experiment of each, such as runs/1/multi-label"));
    }
    for (place, all, side) in [(a, &of_a, 0), (b, &of_b, 1)] {
        let alone = all.iter().filter(|of| !pairs.iter().any(|pair| pair[side] == of.file));
        let names: Vec<&str> = alone.filter_map(|of| of.experiment).collect();
        if !names.is_empty() {
            tell(&format!("only in {}: {}", place.display(), names.join(", ")));
        }
    }
    Ok(pairs)
}

/// The answers in a place: the file itself, that in the folder of an experiment, or those in the
/// folders of a run's experiments.
///
/// # Errors
/// [`Error::Io`] if there is no such place; [`Error::Data`] if it has no answers.
fn answers(place: &Path) -> Result<Vec<Answers>> {
    let one = |file: PathBuf| Ok(vec![Answers { experiment: None, file }]);
    if !std::fs::metadata(place).map_err(Error::io(place, "read the results"))?.is_dir() {
        return one(place.to_owned());
    }
    let own = place.join(PREDICTIONS_FILE);
    if own.exists() {
        return one(own);
    }
    let of = |experiment: Experiment| Answers {
        experiment: Some(experiment.name),
        file: place.join(experiment.name).join(PREDICTIONS_FILE),
    };
    let all: Vec<Answers> = Experiment::ALL.into_iter().map(of).filter(|of| of.file.exists()).collect();
    match all.is_empty() {
        true => {
            let remedy = "name a run that was measured, one of its experiments, or a file with such columns";
            Err(Error::data(place, format!("there is no {PREDICTIONS_FILE} in it"), remedy))
        }
        false => Ok(all),
    }
}
