//! The command `train predict`.

use crate::args::PredictArgs;
use crate::{print_json, say};
use onesheet::classifier::Classifier;
use onesheet::classifier::answers::Prediction;
use onesheet::nn::Isa;
use onesheet::{Error, Result};

/// Prints the most probable genres of each poster. Posters that do not decode do not stop the
/// others: their errors follow at the end, the last of them as the error that is returned.
pub fn predict(args: &PredictArgs, isa: Isa) -> Result<()> {
    let mut classifier = Classifier::open(&args.run, isa)?;
    let (mut predictions, mut failed) = (Vec::new(), Vec::new());
    for poster in &args.posters {
        match classifier.predict(poster, args.top) {
            Ok(prediction) if args.json => predictions.push(prediction),
            Ok(prediction) => say(&line(&prediction)),
            Err(error) => failed.push(error),
        }
    }
    if args.json {
        print_json(&predictions);
    }
    let last: Option<Error> = failed.pop();
    failed.iter().for_each(|error| eprintln!("error: {error}"));
    last.map_or(Ok(()), Err)
}

fn line(prediction: &Prediction) -> String {
    let mark = |predicted| if predicted == Some(true) { "*" } else { "" };
    let genres = prediction.predictions.iter();
    let genres = genres.map(|of| format!("{} {:.1}%{}", of.genre, 100.0 * of.probability, mark(of.predicted)));
    format!("{}: {}", prediction.poster, genres.collect::<Vec<_>>().join(", "))
}
