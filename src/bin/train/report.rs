//! The command `train report`.

use crate::args::ReportArgs;
use crate::output::say;
use crate::threads;
use onesheet::nn::Isa;
use onesheet::{Result, page};
use std::path::{Path, PathBuf};

/// The file of a comparison that no option names.
const COMPARISON: &str = "comparison.html";

/// Writes the reports of a run or of a sweep again, or compares runs.
pub fn report(args: &ReportArgs, threads: usize, isa: Isa) -> Result<()> {
    let written = threads::compute(threads, || match (&args.runs[..], &args.out) {
        ([run], None) if page::is_sweep(run) => Ok(vec![page::write_sweep(run)?]),
        ([run], None) => of_run(run, isa),
        (runs, to) => Ok(vec![page::write_comparison(runs, to.as_deref().unwrap_or(Path::new(COMPARISON)))?]),
    })?;
    written.iter().for_each(|path| say(&path.display().to_string()));
    Ok(())
}

/// Writes the report of an experiment, or those of a run's experiments and that of the run.
fn of_run(run: &Path, isa: Isa) -> Result<Vec<PathBuf>> {
    let folders = page::experiments(run);
    let mut written = folders.iter().map(|folder| page::write_experiment(folder, isa)).collect::<Result<Vec<_>>>()?;
    if folders.first().is_none_or(|folder| folder != run) {
        written.push(page::write_run(run)?);
    }
    Ok(written)
}
