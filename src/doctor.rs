//! What a folder of posters holds, what is wrong with it, and what a run on it would cost: everything is read once, and
//! nothing is written.

use crate::data::cache::{Cache, PIXEL_RULES};
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::duplicates::duplicates;
use crate::data::films::{Films, poster_name};
use crate::data::frames::{Frame, Limits};
use crate::data::labels::Labels;
use crate::data::ledger::Ledger;
use crate::data::refusal::Refusal;
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::experiments::{Experiment, Options};
use crate::nn::{Input, Sequential};
use crate::optim::Optimizer;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::train::Trainer;
use onesheet_kernels::simd::Isa;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What was found. Serialises to what `train doctor --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Rows of `genres.csv` below its header.
    pub rows: usize,
    /// Films with a genre.
    pub films: usize,
    /// Files `posters/<id>.jpg`: `accepted + refused`.
    pub posters: usize,
    /// Posters that decode.
    pub accepted: usize,
    /// Posters that do not, ordered by id.
    pub refused: Vec<RefusedPoster>,
    /// Films of each genre, those with posters alone, in the order of the names.
    pub genres: Vec<GenreCount>,
    /// Number of genres of a film -> films with posters that have so many.
    pub genres_per_film: BTreeMap<usize, usize>,
    /// Of the accepted posters, in pixels, upright; none where there are none.
    pub sizes: Option<Sizes>,
    /// Groups of posters with the same bytes.
    pub duplicates: Vec<Vec<String>>,
    /// What each experiment would train on.
    pub experiments: Vec<ExperimentPlan>,
    /// What a run would cost on this machine.
    pub plan: Plan,
    /// What cleaning leaves out, by reason, each with examples.
    pub ledger: Ledger,
}

/// A poster that does not decode.
#[derive(Debug, Serialize)]
pub struct RefusedPoster {
    /// The name of its file.
    pub poster: String,
    /// In words.
    pub reason: String,
}

/// A genre and its films.
#[derive(Debug, Serialize)]
pub struct GenreCount {
    /// Its name.
    pub genre: String,
    /// Films with posters that have it.
    pub films: usize,
}

/// Sizes of posters in pixels.
#[derive(Debug, Serialize)]
pub struct Sizes {
    /// Smallest, median and largest.
    pub width: [usize; 3],
    /// Smallest, median and largest.
    pub height: [usize; 3],
    /// The commonest sizes, at most five: width, height, posters.
    pub commonest: Vec<[usize; 3]>,
}

/// An experiment's films.
#[derive(Debug, Serialize)]
pub struct ExperimentPlan {
    /// Its name.
    pub experiment: &'static str,
    /// Its classes.
    pub genres: Vec<String>,
    /// Films to train on.
    pub train: usize,
    /// Films to validate with.
    pub val: usize,
    /// Films to test with.
    pub test: usize,
    /// Passes over the films to train on, by default in a run of all experiments.
    pub epochs: usize,
    /// Seconds that an epoch takes, validation not included.
    pub seconds_an_epoch: f64,
}

/// Costs, measured on a sample where they are times.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Bytes of a cache of all posters whose film has a genre.
    pub cache_bytes: u64,
    /// Bytes that are free on the disk that it would be made on.
    pub free_bytes: u64,
    /// Seconds to decode them all, by the time it took now.
    pub seconds_to_build: f64,
    /// Posters decoded a second, all threads together.
    pub posters_per_second: f64,
    /// Images trained on a second, by a few steps of the multi-label model.
    pub images_per_second: f64,
    /// Peak memory of this process, which has trained those steps; none where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// Threads that all this was measured with.
    pub threads: usize,
}

/// Films a step of the measured training.
const BATCH: usize = 32;

/// Reads all of `data` on the current rayon pool; `cache` is the folder whose disk a cache would be made on.
///
/// # Errors
/// If the folder has not the layout, or `genres.csv` cannot be read.
pub fn examine(data: &Path, cache: &Path, isa: Isa, progress: &dyn Progress) -> Result<Report> {
    let films = Films::open(data, usize::MAX)?;
    let labels = Labels::read_csv(&data.join("genres.csv"))?;
    let rows = labels.films.values().map(Vec::len).sum::<usize>() + labels.repeats.len() + malformed(&labels);
    let found: Vec<u64> = crate::data::films::list(&films.posters, &mut Ledger::default())?.into_iter().collect();

    progress.start("reading", found.len());
    let begin = Instant::now();
    let done = AtomicUsize::new(0);
    let read = |(decoder, image): &mut (Decoder, Vec<u8>), &id: &u64| {
        let result = decoder.decode_poster(&films.posters.join(poster_name(id)), ImageSpec::POSTER, image);
        progress.at(done.fetch_add(1, Ordering::Relaxed) + 1, None);
        result.map(|()| decoder.size())
    };
    let start = || (Decoder::new(), vec![0; ImageSpec::POSTER.bytes()]);
    let results: Vec<Result<(usize, usize), Refusal>> = found.par_iter().map_init(start, read).collect();
    let posters_per_second = found.len() as f64 / begin.elapsed().as_secs_f64();
    progress.finish();

    let (mut sizes, mut refused, mut bad) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (&id, result) in found.iter().zip(results) {
        match result {
            Ok(size) => sizes.push(size),
            Err(refusal) => {
                bad.insert(id);
                refused.push(RefusedPoster { poster: poster_name(id), reason: refusal.to_string() });
            }
        }
    }
    let genres = (0..films.genres.len()).map(|genre| GenreCount {
        genre: films.genres[genre].clone(),
        films: films.films.iter().filter(|film| film.genres.contains(&genre)).count(),
    });
    let mut genres_per_film = BTreeMap::new();
    for film in &films.films {
        *genres_per_film.entry(film.genres.len()).or_default() += 1;
    }

    let images_per_second = training_speed(films.genres.len(), isa)?;
    let usable = Films::open(data, Options::MAX_GENRES)?;
    let experiments = Experiment::ALL.iter().enumerate().map(|(turn, experiment)| {
        let recipe = if turn == 0 { Recipe::best() } else { Recipe::best().transferred() };
        let rule = experiment.film_rule(Options::PER_GENRE, false);
        let (mut frame, _) = Frame::new(&usable, &rule, Limits::default());
        frame.without(|id| bad.contains(&id));
        ExperimentPlan {
            experiment: experiment.name,
            train: frame.side(Split::Train).len(),
            val: frame.side(Split::Val).len(),
            test: frame.side(Split::Test).len(),
            epochs: recipe.epochs,
            seconds_an_epoch: frame.train.len() as f64 / images_per_second,
            genres: frame.genres,
        }
    });
    let with_genre = found.iter().filter(|id| labels.films.contains_key(id)).count();
    let plan = Plan {
        cache_bytes: Cache::bytes_for(with_genre, ImageSpec::POSTER),
        free_bytes: fs4::available_space(cache).map_err(Error::io(cache, "ask for the free space"))?,
        seconds_to_build: with_genre as f64 / posters_per_second,
        posters_per_second,
        images_per_second,
        memory_bytes: peak_memory(),
        threads: rayon::current_num_threads(),
    };
    Ok(Report {
        rows,
        films: labels.films.len(),
        posters: found.len(),
        accepted: sizes.len(),
        refused,
        genres: genres.collect(),
        genres_per_film,
        sizes: Sizes::of(sizes),
        duplicates: groups(duplicates(&films.posters, &found)),
        experiments: experiments.collect(),
        plan,
        ledger: usable.ledger.clone(),
    })
}

fn malformed(labels: &Labels) -> usize {
    labels.ledger.count(crate::data::ledger::MALFORMED_ROWS) as usize
}

/// Groups of the same bytes, each with its first poster first.
fn groups(duplicates: Vec<(u64, u64)>) -> Vec<Vec<String>> {
    let mut groups = BTreeMap::<u64, Vec<String>>::new();
    for (id, first) in duplicates {
        groups.entry(first).or_insert_with(|| vec![poster_name(first)]).push(poster_name(id));
    }
    groups.into_values().collect()
}

/// Images a second of a few training steps of the default recipe on grey images, which cost as much as any.
fn training_speed(classes: usize, isa: Isa) -> Result<f64> {
    let recipe = Recipe::best();
    let mut model = Sequential::build(recipe.model(classes), isa, 1)?;
    model.reserve(BATCH);
    let optimizer = Optimizer::new(recipe.rule, &model);
    let mut trainer = Trainer::new(model, Experiment::ALL[0].head, optimizer, 1);
    let (images, labels) = (vec![128; BATCH * recipe.size().bytes()], vec![0.0; BATCH * classes]);
    let mut seconds: Vec<f64> = (0..5)
        .map(|_| {
            let begin = Instant::now();
            trainer.step(Input::U8(&images), &labels);
            begin.elapsed().as_secs_f64()
        })
        .collect();
    // The first steps touch their memory for the first time.
    seconds.sort_by(f64::total_cmp);
    Ok(BATCH as f64 / seconds[seconds.len() / 2])
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

impl Sizes {
    fn of(sizes: Vec<(usize, usize)>) -> Option<Self> {
        let range = |mut values: Vec<usize>| {
            values.sort_unstable();
            Some([*values.first()?, values[values.len() / 2], *values.last()?])
        };
        let mut counts = BTreeMap::<(usize, usize), usize>::new();
        for &size in &sizes {
            *counts.entry(size).or_default() += 1;
        }
        let mut commonest: Vec<[usize; 3]> = counts.into_iter().map(|((w, h), count)| [w, h, count]).collect();
        commonest.sort_by_key(|&[.., count]| std::cmp::Reverse(count));
        commonest.truncate(5);
        Some(Self {
            width: range(sizes.iter().map(|size| size.0).collect())?,
            height: range(sizes.iter().map(|size| size.1).collect())?,
            commonest,
        })
    }
}

/// What `train doctor` prints.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { rows, films, posters, accepted, refused, plan, .. } = self;
        writeln!(f, "{rows} rows, {films} films, {posters} posters: {accepted} accepted, {} refused", refused.len())?;
        writeln!(f, "\nLeft out before decoding:\n{}", self.ledger)?;
        if !refused.is_empty() {
            writeln!(f, "Refused:")?;
            for RefusedPoster { poster, reason } in refused.iter().take(20) {
                writeln!(f, "  {poster:<14} {reason}")?;
            }
            if refused.len() > 20 {
                writeln!(f, "  and {} more, which --json names", refused.len() - 20)?;
            }
        }
        if !self.duplicates.is_empty() {
            writeln!(f, "Same bytes under several ids, of which the first is used:")?;
            for group in self.duplicates.iter().take(10) {
                writeln!(f, "  {}", group.join(", "))?;
            }
            if self.duplicates.len() > 10 {
                writeln!(f, "  and {} more groups, which --json names", self.duplicates.len() - 10)?;
            }
        }
        writeln!(f, "\nGenres (films with a poster):")?;
        for GenreCount { genre, films } in &self.genres {
            writeln!(f, "{films:>9}  {genre}")?;
        }
        writeln!(f, "\nGenres of a film:")?;
        for (genres, films) in &self.genres_per_film {
            writeln!(f, "{films:>9}  with {genres}")?;
        }
        if let Some(Sizes { width, height, commonest }) = &self.sizes {
            let [least_w, median_w, most_w] = width;
            let [least_h, median_h, most_h] = height;
            writeln!(
                f,
                "\nWidth {least_w} to {most_w} (median {median_w}), height {least_h} to {most_h} ({median_h})"
            )?;
            for [w, h, count] in commonest {
                writeln!(f, "{count:>9}  {w}x{h}")?;
            }
        }
        writeln!(f, "\n| experiment | classes | train | val | test | epochs | seconds an epoch |")?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
        for of in &self.experiments {
            let ExperimentPlan { experiment, genres, train, val, test, epochs, seconds_an_epoch } = of;
            let classes = genres.len();
            writeln!(f, "| {experiment} | {classes} | {train} | {val} | {test} | {epochs} | {seconds_an_epoch:.0} |")?;
        }
        let gb = |bytes: u64| bytes as f64 / 1e9;
        writeln!(
            f,
            "\nA cache of all posters: {:.2} GB, {:.2} GB are free",
            gb(plan.cache_bytes),
            gb(plan.free_bytes)
        )?;
        writeln!(
            f,
            "{:.0} s to build it at {:.0} posters/s; training by default {:.0} min at {:.0} images/s ({} threads)",
            plan.seconds_to_build,
            plan.posters_per_second,
            self.experiments.iter().map(|of| of.epochs as f64 * of.seconds_an_epoch).sum::<f64>() / 60.0,
            plan.images_per_second,
            plan.threads
        )?;
        if let Some(memory) = plan.memory_bytes {
            writeln!(
                f,
                "Memory: {:.2} GB, the cache not included, which the system keeps as far as it has room",
                gb(memory)
            )?;
        }
        write!(f, "Pixels: {PIXEL_RULES}")
    }
}
