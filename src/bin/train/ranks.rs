//! The command under a launcher of MPI: joining the job, and leaving it so that no other rank waits for
//! ever.

use crate::args::{Args, Command};
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

    pub fn join(patience: u64) -> Result<Team> {
        let job = Job::begin(Duration::from_secs(patience))?;
        let team = job.team();
        if !team.is_first() {
            output::leave_to_first(team.name(team.rank()));
        }
        JOB.set(Some(job));
        Ok(team)
    }

    pub fn end(code: u8) {
        let Some(job) = JOB.take() else { return };
        if code == 0 {
            return job.end();
        }
        if !job.team().is_first() {
            // What ends all of them is told by rank 0, which ends the job with it.
            std::thread::sleep(Duration::from_secs(1));
        }
        mpi::abort(code);
    }
}

/// The ranks that do the command together: this process alone, unless a launcher of MPI started it.
///
/// # Errors
/// Those of joining the job; [`Error::Usage`](onesheet::Error::Usage) for a command that is for one
/// process, or a program that was built without MPI.
pub fn begin(args: &Args) -> Result<Team> {
    const SHARED: &str = "run, evaluate, predict, doctor and cache build";
    let is_shared = matches!(
        args.command,
        Some(Command::Run(_) | Command::Evaluate(_) | Command::Predict(_) | Command::Doctor(_) | Command::Cache(_))
    );
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
        true => job::join(args.rank_timeout),
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

/// Leaves the job, or ends it where the command has failed.
pub fn end(code: u8) {
    #[cfg(feature = "mpi")]
    job::end(code);
    #[cfg(not(feature = "mpi"))]
    let _ = code;
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
