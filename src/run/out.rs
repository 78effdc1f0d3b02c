//! The folder of a run's results: claimed before any work is done, never shared by two runs, and
//! never without the results of the last run that finished.

use crate::classifier::MODEL_FILE;
use crate::classifier::ensemble::member_folder;
use crate::classifier::experiment::Experiment;
use crate::data::frames::Frame;
use crate::error::{Error, Result};
use crate::files::{self, OwnFolder};
use crate::page;
use crate::report::{HISTORY_FILE, METRICS_FILE, PREDICTIONS_FILE, RECORD_FILE};
use crate::run::card::CARD_FILE;
use crate::run::checkpoint::CHECKPOINT_FILE;
use crate::run::config::CONFIG_FILE;
use crate::run::outcome::Outcome;
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
const RESULTS: [&str; 8] =
    [CONFIG_FILE, HISTORY_FILE, METRICS_FILE, PREDICTIONS_FILE, MODEL_FILE, RECORD_FILE, CARD_FILE, page::FILE];

/// A file in a folder of results that another run's are about to take the place of.
const REPLACED: &str = ".replaced";

/// A claimed folder of results.
pub(crate) struct Out {
    out: PathBuf,
    /// Where the results are written: the folder itself, or one in it if there is an earlier model
    /// that the new ones are to replace.
    work: PathBuf,
    /// Whether there is a checkpoint in `work` from which the run goes on.
    resumes: bool,
    /// `None` for a rank that writes nothing.
    folder: Option<OwnFolder>,
}

/// What a run may do with what is in its folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permission {
    /// Replace the results of an earlier run.
    pub overwrite: bool,
    /// Go on with a run that did not finish, if there is one.
    pub resume: bool,
}

impl Out {
    /// Claims `out` for a run of `experiments`, and makes the folder if there is none.
    ///
    /// # Errors
    /// [`Error::Usage`] if another process is at work in it, or if it holds an earlier run and
    /// `may` does not allow to replace it or to go on with it; [`Error::Data`] if it holds files
    /// under the names of results that onesheet did not write; [`Error::Io`] if it cannot be
    /// written.
    pub fn claim(out: &Path, experiments: &[Experiment], may: Permission) -> Result<Self> {
        let folder = Some(OwnFolder::claim(out, "a run", &names())?);
        let begun = Self::begun_in(out);
        if let (Some(work), true) = (begun, may.resume) {
            let claimed = Self { out: out.to_owned(), work, resumes: true, folder };
            claimed.remove_temporaries().map_err(Error::io(out, "remove what a killed run left"))?;
            return Ok(claimed);
        }
        Self::check(out, may)?;
        let mut claimed = Self { out: out.to_owned(), work: out.to_owned(), resumes: false, folder };
        claimed.begin_anew(experiments)?;
        Ok(claimed)
    }

    /// The folder that rank 0 has claimed, for the other ranks: they write nothing.
    pub fn of_first_rank(out: &Path) -> Self {
        Self { out: out.to_owned(), work: out.to_owned(), resumes: false, folder: None }
    }

    /// Refuses a folder that holds an earlier run, if it may neither be replaced nor taken up.
    ///
    /// # Errors
    /// [`Error::Usage`], with what may be done instead.
    pub fn check(out: &Path, may: Permission) -> Result<()> {
        let can_go_on = Self::has_checkpoint(out);
        if may.overwrite || (may.resume && can_go_on) {
            return Ok(());
        }
        let has = |experiment: &&Experiment| RESULTS.iter().any(|name| out.join(experiment.name).join(name).exists());
        let is_finished = |of: &Experiment| Outcome::is_in(&out.join(of.name));
        // Without a checkpoint and without an outcome, a run has nothing to go on from and nothing to keep.
        let is_nothing = may.resume && !Experiment::ALL.iter().any(is_finished);
        let member = out.join(member_folder(1));
        if OwnFolder::is_marked(&member) && !may.resume && !Experiment::ALL.iter().any(is_finished) {
            let what = format!("{} already holds an ensemble that did not finish", out.display());
            return Err(Error::usage(what, "go on with it by --resume, name another --out, or add --overwrite"));
        }
        match Experiment::ALL.iter().find(has) {
            Some(earlier) if !is_nothing => {
                let state = if is_finished(earlier) { "a run" } else { "a run that did not finish" };
                let what = format!("{} already holds {state} ({})", out.display(), earlier.name);
                let go_on = if can_go_on { "go on with it by --resume, " } else { "" };
                Err(Error::usage(what, format!("{go_on}name another --out, or add --overwrite")))
            }
            _ => Ok(()),
        }
    }

    /// Makes room for a run that goes on from nothing.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written.
    pub fn begin_anew(&mut self, experiments: &[Experiment]) -> Result<()> {
        let replaces = experiments.iter().any(|of| self.out.join(of.name).join(MODEL_FILE).exists());
        self.work = if replaces { self.out.join(UNFINISHED) } else { self.out.clone() };
        self.resumes = false;
        self.clear(experiments).map_err(Error::io(&self.out, "make room for the results"))
    }

    /// The configuration of the run in `out` that did not finish, else of the one that did.
    pub fn config_in(out: &Path) -> PathBuf {
        Self::begun_in(out).unwrap_or_else(|| out.to_owned()).join(CONFIG_FILE)
    }

    /// Whether there is a run in `out` that can be taken up.
    pub fn has_checkpoint(out: &Path) -> bool {
        Self::begun_in(out).is_some()
    }

    /// The folder in which a run that did not finish was at work. The later of two is in the inner
    /// one.
    fn begun_in(out: &Path) -> Option<PathBuf> {
        let folders = [out.join(UNFINISHED), out.to_owned()];
        folders.into_iter().find(|work| work.join(CHECKPOINT_FILE).exists())
    }

    /// Removes what earlier runs left unfinished, and makes the folder to work in.
    fn clear(&self, experiments: &[Experiment]) -> io::Result<()> {
        let unfinished = self.out.join(UNFINISHED);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        self.remove_temporaries()?;
        if self.work == self.out {
            let results = experiments.iter().flat_map(|of| RESULTS.map(|name| self.out.join(of.name).join(name)));
            let of_run = [CHECKPOINT_FILE, page::FILE].map(|name| self.out.join(name));
            for file in results.chain(of_run).filter(|file| file.exists()) {
                fs::remove_file(file)?;
            }
        }
        fs::create_dir_all(&self.work)
    }

    /// Removes the temporary files of processes that were killed.
    fn remove_temporaries(&self) -> io::Result<()> {
        for folder in [&self.out, &self.work] {
            let of_run = [CHECKPOINT_FILE, CONFIG_FILE, page::FILE].map(|name| folder.join(name)).into_iter();
            let results = Experiment::ALL.iter().flat_map(|of| RESULTS.map(|name| folder.join(of.name).join(name)));
            let frames = Experiment::ALL.iter().map(|of| folder.join(FRAMES).join(of.name));
            let frames = frames.flat_map(|folder| Frame::FILES.map(|name| folder.join(name)));
            let files = of_run.chain(results).chain(frames);
            let mut there = files.filter(|file: &PathBuf| file.parent().is_some_and(Path::exists));
            there.try_for_each(|file| files::remove_temporaries_of(&file))?;
        }
        Ok(())
    }

    /// Whether other processes are kept out of the folder; if not, its file system has no locks.
    pub fn is_locked(&self) -> bool {
        self.folder.as_ref().is_none_or(OwnFolder::is_locked)
    }

    /// The folder to write results into until the run is complete.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The checkpoint from which the run goes on, if it goes on.
    pub fn checkpoint(&self) -> Option<PathBuf> {
        self.resumes.then(|| self.work.join(CHECKPOINT_FILE))
    }

    /// Puts the results in the place of earlier ones, once all of them are there. An experiment's
    /// folder is exchanged as a whole: whenever the process dies, a model is there, with the files
    /// of its own run beside it. A run that dies here can be taken up, and does the rest.
    ///
    /// What an earlier run had come to in those of the `experiments` that are not among the `outcomes` is
    /// removed with it: they were passed over this time.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses; the results are then partly in `unfinished`.
    pub fn finish(&self, experiments: &[Experiment], outcomes: &[Outcome]) -> Result<()> {
        if self.folder.is_none() {
            return Ok(());
        }
        if self.work != self.out {
            // Of a run before: nobody is to go on with that one where this one is broken off now.
            remove_checkpoint(&self.out)?;
            let is_made = |of: &&Experiment| outcomes.iter().any(|outcome| outcome.experiment == of.name);
            for of in experiments.iter().filter(|of| !is_made(of)) {
                for name in [Path::new(FRAMES).join(of.name), PathBuf::from(of.name)] {
                    let old = self.out.join(&name);
                    remove(&old, &self.work.join(&name)).map_err(Error::io(&old, "remove the earlier results"))?;
                }
            }
            self.exchange()?;
        }
        remove_checkpoint(&self.out)
    }

    fn exchange(&self) -> Result<()> {
        // The frames of other experiments stay, and so do their results.
        let frames = Experiment::ALL.map(|of| Path::new(FRAMES).join(of.name));
        let results = Experiment::ALL.map(|of| PathBuf::from(of.name));
        for name in frames.into_iter().chain(results) {
            let (new, old) = (self.work.join(&name), self.out.join(&name));
            replace(&new, &old).map_err(Error::io(&old, "replace the earlier results"))?;
        }
        for name in [LEDGER, CONFIG_FILE] {
            let (new, old) = (self.work.join(name), self.out.join(name));
            if new.exists() {
                files::again(|| fs::rename(&new, &old)).map_err(Error::io(&old, "replace the earlier results"))?;
            }
        }
        fs::remove_dir_all(&self.work).map_err(Error::io(&self.work, "remove the replaced results"))?;
        // The report of what is not there any more. That of the new results comes next.
        let _ = fs::remove_file(self.out.join(page::FILE));
        Ok(())
    }
}

fn remove_checkpoint(out: &Path) -> Result<()> {
    let checkpoint = out.join(CHECKPOINT_FILE);
    match fs::remove_file(&checkpoint) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(&checkpoint, "remove the checkpoint of a finished run")(error))
        }
        _ => Ok(()),
    }
}

/// Puts the folder `new` in the place of `old`, and removes the latter. To do it again after it was
/// broken off changes nothing: what stands under `new` is `old` if it carries the mark.
fn replace(new: &Path, old: &Path) -> io::Result<()> {
    if !new.exists() {
        return Ok(());
    }
    if !new.join(REPLACED).exists() {
        if old.is_dir() {
            fs::write(old.join(REPLACED), "")?;
        }
        files::exchange(new, old)?;
    }
    remove(new, new)
}

/// Removes a folder, if it is there, in two steps: it first takes a name beside `aside` that says so. What is
/// half removed is then taken for nothing else.
fn remove(folder: &Path, aside: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let gone = aside.with_extension("replaced");
    gone.parent().map_or(Ok(()), fs::create_dir_all)?;
    files::again(|| fs::rename(folder, &gone))?;
    fs::remove_dir_all(gone)
}

impl Drop for Out {
    /// A run that failed before it had a model or a checkpoint leaves nothing beside the earlier
    /// results.
    fn drop(&mut self) {
        if self.folder.is_none() || self.work.join(CHECKPOINT_FILE).exists() {
            return;
        }
        let has_model = Experiment::ALL.iter().any(|of| self.work.join(of.name).join(MODEL_FILE).exists());
        if self.work != self.out && !has_model {
            let _ = fs::remove_dir_all(&self.work);
        }
    }
}

/// The names of all that runs write into OUT.
fn names() -> Vec<&'static str> {
    [LEDGER, FRAMES, UNFINISHED, CHECKPOINT_FILE, CONFIG_FILE, page::FILE]
        .into_iter()
        .chain(Experiment::ALL.map(|of| of.name))
        .collect()
}
