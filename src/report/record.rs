//! `run.json`: when, where and by what an experiment was trained.

use crate::error::Result;
use crate::files;
use crate::nn::{Isa, Precision};
use crate::report::read_json;
use crate::version::{COMMIT, TARGET, VERSION};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The content of `run.json`. Unlike the other files of an experiment it differs from run to run:
/// the time, the machine and the threads are in here and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the program.
    pub onesheet: String,
    /// The commit that the program was built from; `None` where that is not known.
    pub commit: Option<String>,
    /// The target that the program was built for.
    pub target: String,
    /// The instruction set that was used.
    pub isa: String,
    /// The precision that training multiplied in; f32 where an older version left it out.
    #[serde(default)]
    pub precision: Precision,
    /// The name of the processor; that of its architecture where the system does not tell.
    pub processor: String,
    /// The cores that the process could use.
    pub cores: usize,
    /// The worker threads.
    pub threads: usize,
    /// When the experiment began, in UTC: `2026-11-28T14:52:49Z`.
    pub started: String,
    /// The SHA-256 of the model file in hexadecimal.
    pub model_sha256: String,
    /// The stages of the experiment, in their order.
    pub stages: Vec<Stage>,
}

/// The [`Stage`] of the training steps.
pub const TRAINING: &str = "training";
/// The [`Stage`] of the answers on the validation films after each epoch.
pub const VALIDATION: &str = "validation";

/// A part of an experiment's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What was done, such as "training".
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

impl Record {
    /// The record of an experiment that began at `started`, on this machine.
    pub fn new(
        isa: Isa,
        precision: Precision,
        threads: usize,
        started: SystemTime,
        model_sha256: String,
        stages: Vec<Stage>,
    ) -> Self {
        // The last year that the form has.
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        Self {
            onesheet: VERSION.to_owned(),
            commit: COMMIT.map(str::to_owned),
            target: TARGET.to_owned(),
            isa: isa.name().to_owned(),
            precision,
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            started: humantime::format_rfc3339_seconds(started.clamp(SystemTime::UNIX_EPOCH, last)).to_string(),
            model_sha256,
            stages,
        }
    }

    /// The seconds that a stage took; 0 where there is no such stage.
    pub fn seconds_of(&self, stage: &str) -> f64 {
        self.stages.iter().filter(|of| of.name == stage).map(|of| of.seconds.max(0.0)).sum()
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) with `path`.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write_json(path, self)
    }

    /// Reads a record that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read;
    /// [`Error::Data`](crate::Error::Data) if it is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        read_json(path)
    }
}

/// The processor's name as the system tells it, or that of its architecture.
fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == "model name"));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
