//! The folder of a run's results: claimed before any work is done, never shared by two runs, and
//! never without the results of the last run that finished.

use crate::classifier::MODEL_FILE;
use crate::classifier::experiment::Experiment;
use crate::data::frames::Frame;
use crate::error::{Error, Result};
use crate::files::{self, OwnFolder};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder in OUT in which a run works while an earlier run's results are still in OUT.
const UNFINISHED: &str = "unfinished";
/// The file that says what was left out of a run.
pub(crate) const LEDGER: &str = "ledger.json";
/// The folder of the frames of all experiments.
pub(crate) const FRAMES: &str = "frames";
/// The files that a run writes into an experiment's folder.
const RESULTS: [&str; 5] = ["config.toml", "history.csv", "metrics.json", "predictions.csv", MODEL_FILE];

/// A claimed folder of results.
pub(crate) struct Out {
    out: PathBuf,
    /// Where the results are written: the folder itself, or one in it if there is an earlier model
    /// that the new ones are to replace.
    work: PathBuf,
    folder: OwnFolder,
}

impl Out {
    /// Claims `out` for a run of `experiments`, and makes the folder if there is none.
    ///
    /// # Errors
    /// [`Error::Usage`] if another process is at work in it, or if it holds an earlier run and
    /// `overwrite` is false; [`Error::Data`] if it holds files under the names of results that
    /// onesheet did not write; [`Error::Io`] if it cannot be written.
    pub fn claim(out: &Path, experiments: &[Experiment], overwrite: bool) -> Result<Self> {
        let folder = OwnFolder::claim(out, "a run", &names())?;
        let has = |experiment: &&Experiment| RESULTS.iter().any(|name| out.join(experiment.name).join(name).exists());
        if let (Some(earlier), false) = (Experiment::ALL.iter().find(has), overwrite) {
            let finished = out.join(earlier.name).join("metrics.json").exists();
            let state = if finished { "a run" } else { "a run that did not finish" };
            let what = format!("{} already holds {state} ({})", out.display(), earlier.name);
            return Err(Error::usage(what, "name another --out, or add --overwrite"));
        }
        let replaces = experiments.iter().any(|of| out.join(of.name).join(MODEL_FILE).exists());
        let work = if replaces { out.join(UNFINISHED) } else { out.to_owned() };
        let claimed = Self { out: out.to_owned(), work, folder };
        claimed.clear(experiments).map_err(Error::io(out, "make room for the results"))?;
        Ok(claimed)
    }

    /// Removes what runs that were killed left behind, and makes the folder to work in.
    fn clear(&self, experiments: &[Experiment]) -> io::Result<()> {
        let unfinished = self.out.join(UNFINISHED);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        for frames in experiments.iter().map(|of| self.out.join(FRAMES).join(of.name)).filter(|of| of.exists()) {
            let names = Frame::FILES.iter().map(|name| frames.join(name));
            names.into_iter().try_for_each(|file| files::remove_temporaries_of(&file))?;
        }
        for folder in experiments.iter().map(|of| self.out.join(of.name)).filter(|folder| folder.exists()) {
            for file in RESULTS.map(|name| folder.join(name)) {
                files::remove_temporaries_of(&file)?;
                if self.work == self.out && file.exists() {
                    fs::remove_file(file)?;
                }
            }
        }
        fs::create_dir_all(&self.work)
    }

    /// Whether other processes are kept out of the folder; if not, its file system has no locks.
    pub fn is_locked(&self) -> bool {
        self.folder.is_locked()
    }

    /// The folder to write results into until the run is complete.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Puts the results in the place of earlier ones, once all of them are there. An experiment's
    /// folder is exchanged as a whole: whenever the process dies, a model is there, with the files
    /// of its own run beside it.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; the results are then partly in `unfinished`.
    pub fn finish(self) -> Result<()> {
        if self.work == self.out {
            return Ok(());
        }
        // The frames of other experiments stay, and so do their results.
        let frames = Experiment::ALL.map(|of| Path::new(FRAMES).join(of.name));
        let results = Experiment::ALL.map(|of| PathBuf::from(of.name));
        for name in frames.into_iter().chain(results).chain([LEDGER.into()]) {
            let (new, old) = (self.work.join(&name), self.out.join(&name));
            if new.exists() {
                files::exchange(&new, &old).map_err(Error::io(&old, "replace the earlier results"))?;
            }
        }
        fs::remove_dir_all(&self.work).map_err(Error::io(&self.work, "remove the replaced results"))
    }
}

impl Drop for Out {
    /// A run that failed before it had a model leaves nothing beside the earlier results.
    fn drop(&mut self) {
        let has_model = Experiment::ALL.iter().any(|of| self.work.join(of.name).join(MODEL_FILE).exists());
        if self.work != self.out && !has_model {
            let _ = fs::remove_dir_all(&self.work);
        }
    }
}

/// The names of all that runs write into OUT.
fn names() -> Vec<&'static str> {
    [LEDGER, FRAMES, UNFINISHED].into_iter().chain(Experiment::ALL.map(|of| of.name)).collect()
}
