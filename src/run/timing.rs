//! How fast this machine takes the first steps of a run, on its own posters.

use crate::classifier::experiment::Experiment;
use crate::data::auxiliary::Taught;
use crate::data::batches::{Batch, Batches, Batching, Order, Source};
use crate::data::cache::Cache;
use crate::data::decode::ImageSpec;
use crate::data::films::{Film, Films};
use crate::data::frames::Frame;
use crate::data::transform::{Look, Transform};
use crate::error::{Error, Result};
use crate::nn::{Isa, Objective};
use crate::progress::Progress;
use crate::ranks::Place;
use crate::run::options::Options;
use crate::run::speed::Speed;
use crate::run::teaching;
use std::sync::Arc;
use std::time::Instant;

/// The speed of the first steps, by a model that is thrown away, and the seconds that a poster takes to
/// be decoded where a cache has to be made. Nothing is written.
///
/// # Errors
/// Those of the posters, or that none of them decodes.
pub(crate) fn measure(
    options: &Options,
    (experiment, frame): (Experiment, &Frame),
    taught: Option<&Taught>,
    films: &Films,
    isa: Isa,
    progress: &dyn Progress,
) -> Result<(Speed, Option<f64>)> {
    let recipe = &options.recipe;
    let taught = taught.filter(|_| experiment.takes_auxiliary());
    let classes = frame.genres.len();
    let steps = Speed::steps(recipe.batch);
    let look = Look::Varied { augment: recipe.augment(), seed: options.seed, epoch: 1 };
    let transform = Transform { size: recipe.input, look };
    let order = Order::Shuffled { seed: options.seed, epoch: 1 };
    let batching = Batching { classes, order, skip: 0, size: recipe.batch, transform, place: Place::ALONE };

    let bar = progress.bar("the first steps", steps * recipe.batch);
    let mut done = 0;
    let mut count = |batch: Result<Batch>| {
        done += recipe.batch;
        bar.at(done, None);
        batch
    };
    let auxiliary = taught.map(|taught| recipe.auxiliary_heads(taught));
    let objective = Objective { auxiliary, ..experiment.head.into() };
    let of = (objective, classes + taught.map_or(0, |taught| taught.heads.classes()));
    let mut teacher = teaching::teacher_of(options, &experiment, &frame.genres, isa)?;
    // The time of a step is from one batch to the next.
    let through_teacher = |batch: Result<Batch>| {
        let batch = batch?;
        if let Some(teacher) = &mut teacher {
            teacher.targets(&batch.images, &batch.labels);
        }
        Ok(batch)
    };
    let (source, train, is_as_in_the_run) = source(options, films, Taught::films(taught, frame));
    let heads = taught.map(|taught| Arc::clone(&taught.heads));
    let batches = Batches::with_heads(source, &train, batching, heads)?;
    let (speed, decoding) = match is_as_in_the_run {
        true => (Speed::measure(recipe, of, isa, batches.map(count).map(through_teacher), parts)?, None),
        false => {
            // The run will find its posters decoded: so are these before the steps are timed.
            let begin = Instant::now();
            let decoded = batches.take(steps).map(&mut count).collect::<Result<Vec<Batch>>>()?;
            let posters: usize = decoded.iter().map(Batch::len).sum();
            let seconds = begin.elapsed().as_secs_f64() / posters.max(1) as f64;
            (Speed::measure(recipe, of, isa, decoded.into_iter().map(Ok).map(through_teacher), parts)?, Some(seconds))
        }
    };
    // An average over the sizes: a film takes about as long as it has pixels.
    let speed = speed.map(|speed| Speed { train: speed.train * recipe.share_of_pixels(), ..speed });
    let none = || Error::data(&options.data, "none of the first training posters decodes", "see `train doctor`");
    Ok((speed.ok_or_else(none)?, decoding))
}

/// The images and labels of a batch.
fn parts(batch: &Batch) -> (&[u8], &[f32]) {
    (&batch.images, &batch.labels)
}

/// Where posters come from now, those of which films, and whether the run's will come from there.
fn source(options: &Options, films: &Films, train: &[Film]) -> (Source, Vec<Film>, bool) {
    let spec = ImageSpec::POSTER;
    if let Some(folder) = &options.cache
        && let Ok(cache) = Cache::open(&Cache::path_in(folder, spec), spec)
        && train.iter().all(|film| cache.knows(film.id))
    {
        let is_refused = |film: &&Film| cache.refused().binary_search_by_key(&film.id, |of| of.0).is_ok();
        let train = train.iter().filter(|film| !is_refused(film)).cloned().collect();
        return (Source::Cache(Arc::new(cache)), train, true);
    }
    let files = Source::Files { posters: films.posters.clone(), spec, on_bad_image: options.on_bad_image };
    (files, train.to_vec(), options.cache.is_none())
}
