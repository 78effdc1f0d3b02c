//! One experiment of an ensemble, from its trained members to its results.

use crate::classifier::Classifier;
use crate::data::frames::Frame;
use crate::error::{Error, Result};
use crate::files;
use crate::nn::Isa;
use crate::report::{RECORD_FILE, Record, TRAINING, VALIDATION};
use crate::run::fit::Times;
use crate::run::out::FRAMES;
use crate::run::outcome::Outcome;
use crate::run::training::Fit;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const REMEDY: &str = "train the members again with --overwrite, or name another --out";

impl Fit<'_, '_> {
    /// Joins the experiment's classifiers in the folders of the members' runs, and fills the folder of
    /// the ensemble as a training does: with thresholds and metrics of its own.
    pub fn join(mut self, members: &[PathBuf], folder: &Path, isa: Isa) -> Result<Outcome> {
        self.begin_in(folder, isa)?;
        let team = &self.options.team;
        let (mut classifier, times) = match team.is_first() {
            true => self.joined_from(members, folder, isa)?,
            // The members are on the disk of rank 0.
            false => {
                let received = team.of_first(Vec::new());
                let times = Times { begun: SystemTime::UNIX_EPOCH, training: 0.0, validation: 0.0 };
                (files::read_received(&received, |path| Classifier::open(path, isa))?, times)
            }
        };
        if team.is_first() && !team.is_alone() {
            team.of_first(classifier.to_bytes(folder)?);
        }
        self.progress.note(&format!("\n{}: an ensemble of {} networks", self.experiment.name, classifier.members()));
        self.tune(&mut classifier)?;
        self.finish(&mut classifier, times, folder, isa)
    }

    /// The ensemble of the classifiers in the folders of the members' runs, and the time that they took.
    fn joined_from(&self, members: &[PathBuf], folder: &Path, isa: Isa) -> Result<(Classifier, Times)> {
        let name = self.experiment.name;
        let mut times: Option<Times> = None;
        let mut classifiers = Vec::new();
        for run in members {
            self.check_films(run, folder)?;
            classifiers.push(Classifier::open(&run.join(name), isa)?);
            let path = run.join(name).join(RECORD_FILE);
            let record = Record::read(&path)?;
            let begun = humantime::parse_rfc3339(&record.started).unwrap_or(SystemTime::UNIX_EPOCH);
            let times = times.get_or_insert(Times { begun, training: 0.0, validation: 0.0 });
            times.training += record.seconds_of(TRAINING);
            times.validation += record.seconds_of(VALIDATION);
        }
        let joined = Classifier::join(classifiers);
        let classifier = joined.map_err(|what| Error::data(&self.options.out, what, REMEDY))?;
        Ok((classifier, times.expect("an ensemble has members")))
    }

    /// Refuses a member that was trained with other films than those that the ensemble is measured on
    /// and tuned with, as where the frames of one were edited.
    fn check_films(&self, run: &Path, folder: &Path) -> Result<()> {
        let name = self.experiment.name;
        let [own, theirs] = [folder.parent().unwrap_or(folder), run].map(|run| run.join(FRAMES).join(name));
        for file in Frame::FILES.into_iter().filter(|file| file.ends_with(".csv")) {
            let [own, theirs] = [&own, &theirs].map(|frame| frame.join(file));
            // Not every run has films without genres.
            let read = |path: &Path| {
                path.exists().then(|| files::read_regular(path).map_err(Error::io(path, "read the films"))).transpose()
            };
            if read(&own)? != read(&theirs)? {
                let what = format!("its films are not those of {}", own.display());
                return Err(Error::data(&theirs, what, REMEDY));
            }
        }
        Ok(())
    }
}
