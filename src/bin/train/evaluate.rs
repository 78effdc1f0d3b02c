//! The command `train evaluate`.

use crate::args::EvaluateArgs;
use crate::checks::check_data;
use crate::output::{print_json, say};
use crate::progress::Terminal;
use crate::threads;
use onesheet::Result;
use onesheet::classifier::Classifier;
use onesheet::classifier::evaluate::Examination;
use onesheet::nn::Isa;
use onesheet::ranks::Team;
use onesheet::report::Table;
use onesheet::run::{precision, seen_by};

/// Measures a classifier on a folder of posters and prints the metrics.
pub fn evaluate(args: &EvaluateArgs, threads: usize, isa: Isa, team: &Team) -> Result<()> {
    check_data(&args.data)?;
    let isa = precision::in_precision(args.precision, isa, &Terminal::on_stderr());
    let mut classifier = Classifier::open(&args.run, isa)?;
    let seen = seen_by(&Classifier::file_of(&args.run))?;
    let on = Examination { data: &args.data, films: args.split, seen: seen.as_ref(), views: args.views };
    let metrics = threads::compute(threads, || classifier.evaluate_among(team, on, &Terminal::on_stderr()))?;
    if args.json {
        print_json(&metrics);
    } else {
        say(Table(&[metrics]).to_string().trim_end());
    }
    Ok(())
}
