//! The threads of the process: two pools, both of the number that `--threads` names.
//!
//! The compute pool trains and answers. Rayon's global pool decodes posters meanwhile; were they
//! one, a step of training would now and then wait for a poster that its thread had taken up.

use onesheet::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::error::Error as _;
use std::io;
use std::sync::Once;

/// The number of cores that the process may use.
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts rayon's global pool with that many threads, unless it runs already.
///
/// # Errors
/// [`Error::Io`] if they do not start.
pub fn start_decoding(threads: usize) -> Result<()> {
    static STARTED: Once = Once::new();
    let mut result = Ok(());
    STARTED.call_once(|| result = ThreadPoolBuilder::new().num_threads(threads).build_global());
    result.map_err(|error| refused(threads, &error))
}

/// A pool of that many threads to compute on.
///
/// # Errors
/// [`Error::Io`] if they do not start.
pub fn compute_pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| refused(threads, &error))
}

/// Does `work` on a pool of that many threads, with as many for decoding beside it.
///
/// # Errors
/// [`Error::Io`] if the threads do not start, else those of the work.
pub fn compute<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    start_decoding(threads)?;
    compute_pool(threads)?.install(work)
}

fn refused(threads: usize, error: &ThreadPoolBuildError) -> Error {
    let system = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let kind = system.map_or(io::ErrorKind::Other, io::Error::kind);
    let text = system.map_or_else(|| error.to_string(), io::Error::to_string);
    Error::thread(format!("--threads {threads}"))(io::Error::new(kind, text))
}
