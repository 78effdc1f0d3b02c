//! The command under a launcher of MPI: joining the job, and leaving it so that no other rank waits for
//! ever.

use crate::args::{Args, CacheCommand, Command};
use crate::threads;
use onesheet::Result;
use onesheet::ranks::Team;

#[cfg(feature = "mpi")]
mod job {
    use crate::output;
    use onesheet::Result;
    use onesheet::ranks::Team;
    use onesheet::ranks::mpi::{self, Job};
    use std::time::Duration;

    thread_local! {
        /// The job that this process has joined, on its main thread.
        static JOB: std::cell::RefCell<Option<Job>> = const { std::cell::RefCell::new(None) };
    }

    pub fn join(patience: u64, overlaps: bool) -> Result<Team> {
        let job = Job::begin(Duration::from_secs(patience), overlaps)?;
        let team = job.team();
        if !team.is_first() {
            output::leave_to_first(team.name(team.rank()));
        }
        JOB.set(Some(job));
        Ok(team)
    }

    pub fn end(failure: Option<u8>) {
        let Some(job) = JOB.take() else { return };
        match failure {
            None => job.end(),
            Some(code) => mpi::abort(code),
        }
    }

    pub fn leave_it_to_first() {
        if JOB.with_borrow(|job| job.as_ref().is_some_and(|job| !job.team().is_first())) {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// The ranks that do the command together: this process alone, unless a launcher of MPI started it.
///
/// # Errors
/// Those of joining the job; [`Error::Usage`](onesheet::Error::Usage) for a command that is for one
/// process, or a program that was built without MPI.
pub fn begin(args: &Args) -> Result<Team> {
    const SHARED: &str = "run, evaluate, predict, doctor and cache build";
    let is_shared = match &args.command {
        Some(Command::Run(_) | Command::Evaluate(_) | Command::Predict(_) | Command::Doctor(_)) => true,
        Some(Command::Cache(command)) => matches!(command, CacheCommand::Build(_)),
        _ => false,
    };
    let many = onesheet::ranks::launched().filter(|&count| count > 1);
    match (many, is_shared) {
        (Some(count), false) => {
            let what = format!("{count} processes were started for a command that is for one");
            Err(onesheet::Error::usage(what, format!("those that ranks share are {SHARED}")))
        }
        _ => joined(args, many),
    }
}

#[cfg(feature = "mpi")]
fn joined(args: &Args, _many: Option<usize>) -> Result<Team> {
    match onesheet::ranks::mpi::is_launched() {
        true => job::join(args.rank_timeout, !args.no_overlap),
        false => Ok(Team::default()),
    }
}

#[cfg(not(feature = "mpi"))]
fn joined(_args: &Args, many: Option<usize>) -> Result<Team> {
    match many {
        Some(count) => {
            let what = format!("{count} processes were started, and this program was built without MPI");
            Err(onesheet::Error::usage(what, "build it with `cargo build --release --features mpi`"))
        }
        None => Ok(Team::default()),
    }
}

/// Lets rank 0 tell of an error that all ranks have, and end the job with it: the others wait a moment.
pub fn leave_it_to_first() {
    #[cfg(feature = "mpi")]
    job::leave_it_to_first();
}

/// Leaves the job, or ends it where the command has failed, with that exit code.
pub fn end(failure: Option<u8>) {
    #[cfg(feature = "mpi")]
    job::end(failure);
    #[cfg(not(feature = "mpi"))]
    let _ = failure;
}

/// Ends the job at once, as where this process has panicked.
pub fn abort(code: u8) {
    #[cfg(feature = "mpi")]
    onesheet::ranks::mpi::abort(code);
    #[cfg(not(feature = "mpi"))]
    let _ = code;
}

/// The cores that a rank takes where nothing else is said: those that its launcher has bound it to. Ranks
/// that were bound to none share out those of their host.
pub fn cores(team: &Team) -> usize {
    let cores = threads::all_cores();
    let of_host = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of_host = of_host.lines().filter(|line| line.starts_with("processor")).count();
    if team.is_alone() || cores < of_host { cores } else { (cores / team.on_this_host()).max(1) }
}
