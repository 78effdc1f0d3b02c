//! Starting from the weights of another run.

use crate::classifier::Classifier;
use crate::classifier::ensemble::member_folder;
use crate::classifier::seen::Seen;
use crate::data::films::Films;
use crate::error::{Error, Result};
use crate::nn::{Isa, Sequential};
use crate::run::config::{self, CONFIG_FILE};
use crate::run::options::Options;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Refuses a model to start from if it cannot be read, does not fit, or would be replaced by the
/// run before it is read. The check comes before anything is decoded or removed. `folders` are
/// those that the run fills.
pub(crate) fn check_start(run: &Path, folders: &[PathBuf], options: &Options, isa: Isa) -> Result<()> {
    for number in 1..=options.members {
        let start = if options.members == 1 { run.to_owned() } else { start_of_member(run, number, isa)? };
        start_from(&start, &[], &mut Sequential::build(options.recipe.model(1), isa, options.seed)?)?;
    }
    let place = |path: &Path| path.canonicalize().ok();
    let of_model = place(if run.is_dir() { run } else { run.parent().unwrap_or(run) });
    match folders.iter().find(|folder| of_model.is_some() && place(folder) == of_model) {
        Some(folder) => {
            let what = format!("{} is to be replaced, and --init-from needs its model", folder.display());
            Err(Error::usage(what, "name another --out"))
        }
        None => Ok(()),
    }
}

/// The films that the model in the file `model` has seen, and all that it started or learned from: what the
/// frames beside them tell. `None` if there are none beside the model itself.
///
/// # Errors
/// If a frame or a configuration cannot be read.
pub fn seen_by(model: &Path) -> Result<Option<Seen>> {
    let Some(mut seen) = Seen::by(model)? else { return Ok(None) };
    let (mut checked, mut after) = (HashSet::from([model.to_owned()]), vec![model.to_owned()]);
    while let Some(model) = after.pop() {
        let file = model.with_file_name(CONFIG_FILE);
        if !file.is_file() {
            continue;
        }
        let options = config::read(&file)?.options;
        let before = ["init_from", "teacher"].iter().filter_map(|&name| options.get(name)?.as_str());
        for model in before.map(|run| Classifier::file_of(Path::new(run))) {
            // Runs that were replaced may have started from each other.
            if checked.insert(model.clone()) {
                seen = seen.and(Seen::by(&model)?);
                after.push(model);
            }
        }
    }
    Ok(Some(seen))
}

/// Refuses a model to start from unless the frames beside it, and beside all that it started or learned
/// from itself, show that it knows none of `films`: any other may have seen what a fold predicts.
///
/// # Errors
/// [`Error::Usage`]; or those of [`seen_by`].
pub(crate) fn check_start_of_folds(run: &Path, films: &Films) -> Result<()> {
    let seen = seen_by(&Classifier::file_of(run))?;
    if seen.is_some_and(|seen| seen.is_whole() && seen.sides(films).is_empty()) {
        return Ok(());
    }
    let what = format!("{} may have seen the films that the folds predict", run.display());
    Err(Error::usage(what, "start from a model of other films, or leave --init-from out, or --folds"))
}

/// The model that a member of an ensemble starts from: the member with the same number where `run` is
/// an ensemble, too, else `run` itself.
///
/// # Errors
/// Those of [`Classifier::open`].
pub(crate) fn start_of_member(run: &Path, number: usize, isa: Isa) -> Result<PathBuf> {
    Ok(match Classifier::open(run, isa)?.members() {
        1 => run.to_owned(),
        _ => member_of(run, number),
    })
}

/// The experiment of a member that lies beside the model of an ensemble.
fn member_of(run: &Path, number: usize) -> PathBuf {
    let model = Classifier::file_of(run);
    let experiment = model.parent().unwrap_or(Path::new(""));
    let out = experiment.parent().unwrap_or(Path::new(""));
    out.join(member_folder(number)).join(experiment.file_name().unwrap_or_default())
}

/// Takes over the layers of another run's model up to the first whose shapes differ. Returns a text
/// that says how many weights were taken, and which layers start afresh. The weights of the last
/// layer belong to genres: they are taken only if the genres are the same.
///
/// # Errors
/// If the model cannot be read or is an ensemble, or no layer fits.
pub(crate) fn start_from(run: &Path, genres: &[String], network: &mut Sequential) -> Result<String> {
    let other = Classifier::open(run, network.isa())?;
    if other.members() > 1 {
        let what = format!("it is an ensemble of {} networks, and one starts from one", other.members());
        return Err(Error::data(run, what, format!("name one of them, such as {}", member_of(run, 1).display())));
    }
    let theirs: HashMap<String, _> = other.network.parameters().into_iter().map(|p| (p.name(), p)).collect();
    let mut layers: Vec<(String, bool)> = Vec::new();
    for own in network.parameters() {
        let same = theirs.get(&own.name()).is_some_and(|from| from.shape == own.shape);
        match layers.last_mut() {
            Some((layer, fits)) if *layer == own.layer => *fits &= same,
            below => {
                let fits = same && below.is_none_or(|(_, fits)| *fits);
                layers.push((own.layer.clone(), fits));
            }
        }
    }
    if let Some((_, fits)) = layers.last_mut() {
        *fits &= other.meta.genres == genres;
    }
    let (taken, afresh): (Vec<_>, Vec<_>) = layers.into_iter().partition(|&(_, fits)| fits);
    if taken.is_empty() {
        let what = "its model's first layer has another shape than this recipe's";
        return Err(Error::data(run, what, "name a run of the same --filters, or leave --init-from out"));
    }
    let mut copied = 0;
    network.each_parameter_mut(|own| {
        if taken.iter().any(|(layer, _)| *layer == own.layer) {
            let from = theirs[&own.name()];
            own.value.copy_from_slice(&from.value);
            copied += own.value.len();
        }
    });
    let afresh = match &afresh[..] {
        [] => String::new(),
        layers => format!("; afresh: {}", layers.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>().join(", ")),
    };
    Ok(format!("{copied} of the weights start as those of {}{afresh}", run.display()))
}
