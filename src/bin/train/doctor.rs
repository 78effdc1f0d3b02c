//! The command `train doctor`.

use crate::args::DoctorArgs;
use crate::checks::check_data;
use crate::output::{print_json, say};
use crate::progress::Terminal;
use crate::threads;
use onesheet::Result;
use onesheet::nn::Isa;
use onesheet::ranks::Team;

/// Examines a folder of posters and prints what it finds.
pub fn doctor(args: &DoctorArgs, threads: usize, isa: Isa, team: &Team) -> Result<()> {
    check_data(&args.data)?;
    let examine = || onesheet::doctor::examine(&args.data, &args.cache, isa, team, &Terminal::on_stderr());
    let report = threads::compute(threads, examine)?;
    if args.json {
        print_json(&report);
    } else {
        say(&report.to_string());
    }
    Ok(())
}
