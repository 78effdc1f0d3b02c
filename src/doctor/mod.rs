//! What a folder of posters holds, what is wrong with it, and what a run on it would cost:
//! everything is read once, and nothing is written.

mod report;

pub use report::{ExperimentPlan, GenreCount, Plan, RefusedPoster, Report, Sizes};

use crate::classifier::experiment::Experiment;
use crate::data::cache::Cache;
use crate::data::decode::ImageSpec;
use crate::data::duplicates::duplicates;
use crate::data::films::Films;
use crate::data::frames::{Frame, Limits};
use crate::data::labels::Labels;
use crate::data::layout::{self, PosterFolder};
use crate::data::split::{Sides, Split};
use crate::data::twins::Twins;
use crate::error::Result;
use crate::nn::{Isa, Rates};
use crate::progress::Progress;
use crate::ranks::Team;
use crate::run::options::Options;
use crate::run::plan::free_space;
use crate::run::posters::{Decoded, decode_each};
use crate::run::recipe::Recipe;
use crate::run::speed::Speed;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Reads all of `data` on the current rayon pools of all ranks; `cache` is the folder in which a cache would
/// be made, whether there is one yet or not.
///
/// # Errors
/// If the folder does not have the layout, `genres.csv` cannot be read, no film is left after
/// cleaning, or the system does not tell the free space.
pub fn examine(data: &Path, cache: &Path, isa: Isa, team: &Team, progress: &dyn Progress) -> Result<Report> {
    let (csv, posters) = layout::parts(data)?;
    let labels = Labels::read_csv(&csv)?;
    let films = Films::clean(&labels, &posters, None)?;
    let found: Vec<u64> = films.posters.ids().iter().copied().collect();
    let begin = Instant::now();
    let decoded = decode_each(&films.posters, &found, team, progress)?;
    let posters_per_second = found.len() as f64 / begin.elapsed().as_secs_f64();

    let (mut sizes, mut hashes, mut refused) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (&id, result) in found.iter().zip(decoded) {
        match result {
            Ok(Decoded { size, hash }) => {
                sizes.push(size);
                hashes.insert(id, hash);
            }
            Err(refusal) => {
                refused.push(RefusedPoster { poster: films.posters.name(id), reason: refusal.to_string() });
            }
        }
    }
    let images_per_second = 1.0 / training_speed(films.genres.len(), isa)?.train;
    let usable = Films::clean(&labels, &posters, Some(Options::MAX_GENRES))?;
    let twins = Twins::among(usable.films.iter().filter_map(|film| Some((film.id, *hashes.get(&film.id)?))));
    let named = |group: &Vec<u64>| group.iter().map(|&id| films.posters.name(id)).collect();
    let with_genre = found.iter().filter(|id| labels.films.contains_key(id)).count();
    Ok(Report {
        rows: labels.rows,
        warnings: labels.warnings,
        films: labels.films.len(),
        posters: found.len(),
        accepted: sizes.len(),
        refused,
        genres: genre_counts(&films),
        genres_per_film: genres_per_film(&films),
        sizes: Sizes::of(sizes),
        duplicates: groups(&films.posters, &found)?,
        twins: twins.groups().iter().map(named).collect(),
        experiments: experiments(&usable, |id| hashes.contains_key(&id), &twins.sides(None), images_per_second),
        plan: Plan {
            cache_bytes: Cache::bytes_for(with_genre, ImageSpec::POSTER),
            free_bytes: free_space(cache)?,
            seconds_to_build: with_genre as f64 / posters_per_second,
            posters_per_second,
            images_per_second,
            bf16_gain: Rates::measure(isa).gain(),
            memory_bytes: peak_memory(),
            threads: rayon::current_num_threads(),
        },
        ledger: usable.ledger,
    })
}

fn genre_counts(films: &Films) -> Vec<GenreCount> {
    let counts = films.genres.iter().zip(films.support());
    counts.map(|(genre, films)| GenreCount { genre: genre.clone(), films }).collect()
}

fn genres_per_film(films: &Films) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    films.films.iter().for_each(|film| *counts.entry(film.genres.len()).or_default() += 1);
    counts
}

/// What each experiment of a default run would train on: films whose posters decode, with twins on
/// one side.
fn experiments(
    films: &Films,
    decodes: impl Fn(u64) -> bool,
    sides: &Sides,
    images_per_second: f64,
) -> Vec<ExperimentPlan> {
    let plan = |(turn, experiment): (usize, &Experiment)| {
        let rule = experiment.film_rule(Options::PER_GENRE, false);
        let (mut frame, mut left_out) = Frame::new(films, &rule, Limits::default());
        frame.without(|id| !decodes(id));
        frame.move_films(sides, &rule, Limits::default(), &mut left_out);
        ExperimentPlan {
            experiment: experiment.name,
            train: frame.side(Split::Train).len(),
            val: frame.side(Split::Val).len(),
            test: frame.side(Split::Test).len(),
            epochs: Recipe::best().of_turn(turn).epochs,
            seconds_an_epoch: frame.train.len() as f64 / images_per_second,
            rare: frame.rare(),
            genres: frame.genres,
        }
    };
    Experiment::ALL.iter().enumerate().map(plan).collect()
}

/// Groups of posters with the same bytes, the first poster of each group first.
fn groups(posters: &PosterFolder, found: &[u64]) -> Result<Vec<Vec<String>>> {
    let mut groups = BTreeMap::<u64, Vec<String>>::new();
    for (id, first) in duplicates(posters, found)? {
        groups.entry(first).or_insert_with(|| vec![posters.name(first)]).push(posters.name(id));
    }
    Ok(groups.into_values().collect())
}

/// The speed of a few steps of the default recipe. The images are grey, which cost as much as any.
fn training_speed(classes: usize, isa: Isa) -> Result<Speed> {
    let recipe = Recipe::best();
    let batch = recipe.batch;
    let (images, labels) = (vec![128; batch * recipe.input.bytes()], vec![0.0; batch * classes]);
    let batches = std::iter::repeat((&images[..], &labels[..])).map(Ok);
    let speed = Speed::measure(&recipe, (Experiment::ALL[0].head, classes), isa, batches, |batch| *batch);
    Ok(speed?.expect("there is no end of batches"))
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
