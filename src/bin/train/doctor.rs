//! The command `train doctor`.

use crate::args::DoctorArgs;
use crate::progress::Terminal;
use crate::{print_json, run, say};
use onesheet::Result;
use onesheet::nn::Isa;

/// Examines a folder of posters and prints what it finds.
pub fn doctor(args: &DoctorArgs, isa: Isa) -> Result<()> {
    let pool = run::pool(args.threads.unwrap_or_else(run::all_cores))?;
    let report = pool.install(|| onesheet::doctor::examine(&args.data, &args.cache, isa, &Terminal::on_stderr()))?;
    if args.json {
        print_json(&report);
    } else {
        say(&report.to_string());
    }
    Ok(())
}
