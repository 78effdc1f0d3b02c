//! The road from a folder of posters to answers, in code: synthetic posters are drawn, a classifier
//! is trained on them, measured and asked. `cargo run --release --example posters`

use onesheet::classifier::Classifier;
use onesheet::classifier::evaluate::{Examination, Which};
use onesheet::classifier::experiment::Experiment;
use onesheet::classifier::seen::Seen;
use onesheet::data::decode::ImageSpec;
use onesheet::data::demo;
use onesheet::data::split::Split;
use onesheet::nn::Isa;
use onesheet::progress::Progress;
use onesheet::report::Table;
use onesheet::run::options::Options;
use onesheet::run::recipe::Recipe;
use std::error::Error;

/// A listener that prints notes and shows no bars.
struct Notes;

impl Progress for Notes {
    fn note(&self, line: &str) {
        println!("{line}");
    }
    fn start(&self, _what: &str, _total: usize) {}
    fn at(&self, _done: usize, _loss: Option<f64>) {}
    fn finish(&self) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let isa = Isa::choose()?;
    let folder = tempfile::tempdir()?;
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    println!("{}", demo::draw(&data, 240, 1)?);

    // Any field of a recipe can be changed; what is small here is small for the sake of time.
    let recipe =
        Recipe { input: ImageSpec::square(64), filters: vec![8, 16, 32], epochs: 6, batch: 16, ..Recipe::best() };
    let options = Options { cache: Some(out.join("cache")), ..Options::new(&data, &out, recipe) };
    let experiment = Experiment::named("top-6").expect("one of the three");
    let outcomes = onesheet::run::run(&options, &[experiment], isa, &Notes)?;
    print!("{}", Table(outcomes[0].metrics.as_slice()));

    let mut classifier = Classifier::open(&out.join("top-6"), isa)?;
    let seen = Seen::by(&Classifier::file_of(&out.join("top-6")))?;
    let on_val = Examination { data: &data, films: Which::Side(Split::Val), seen: seen.as_ref(), views: None };
    println!("top-1 on the validation films: {:.3}", classifier.evaluate(on_val, &Notes)?.top1_hit);
    let poster = data.join("posters").join(&outcomes[0].examples[0].poster);
    println!("{:?}", classifier.predict(&poster, 3)?);
    Ok(())
}
