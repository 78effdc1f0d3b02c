//! `train evaluate`.

use crate::args::EvaluateArgs;
use crate::progress::Terminal;
use crate::{print_json, say};
use onesheet::Result;
use onesheet::report::Table;
use onesheet_kernels::simd::Isa;

/// Measures a model on a folder.
pub fn evaluate(args: EvaluateArgs, isa: Isa) -> Result<()> {
    let (mut experiment, mut model) = onesheet::evaluate::open_run(&args.run, isa)?;
    experiment.views = args.views.unwrap_or(experiment.views);
    let folder = onesheet::evaluate::Folder { data: &args.data, split: args.split.0 };
    let metrics = folder.evaluate(&experiment, &mut model, &Terminal::on_stderr())?;
    if args.json {
        print_json(&metrics);
    } else {
        say(&Table(&[metrics]).to_string());
    }
    Ok(())
}
