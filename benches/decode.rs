//! The steps from posters to batches: decoding, resizing, building a cache, and reading batches
//! from it.
//!
//! `cargo bench --bench decode -- --data DIR` measures with the posters of a folder in the
//! Letterboxd layout, which are read into memory first; without `--data`, it draws posters, which
//! are simpler than real ones. A cold read starts with the cache's pages dropped from the system's
//! memory, so it measures the disk.

use clap::Parser;
use onesheet::data::batches::{Batches, Batching, Order, Source};
use onesheet::data::cache::Cache;
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::demo;
use onesheet::data::films::{Film, Films};
use onesheet::data::layout::PosterFolder;
use onesheet::data::refusal::OnBadImage;
use onesheet::data::transform::{Look, Transform, View};
use onesheet::ranks::Place;
use rayon::prelude::*;
use rustix::fs::{Advice, fadvise};
use serde::Serialize;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Measures decoding, the cache and the reading of batches.
#[derive(Parser)]
struct Options {
    /// Folder with `genres.csv` and `posters/<id>.jpg` [default: posters drawn for the purpose]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use at most N posters
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    posters: usize,
    /// Number of threads that "all threads" stands for [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Rounds of measuring, of which the medians are reported
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Write the results to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Passed by Cargo
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

/// The results: medians, in posters per second.
#[derive(Serialize)]
struct Speed {
    name: &'static str,
    threads: usize,
    posters_per_second: f64,
    least: f64,
    most: f64,
}

const SPEC: ImageSpec = ImageSpec::POSTER;
const PLAIN: Transform = Transform { size: SPEC, look: Look::View(View::WHOLE) };
/// Films per batch.
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let scratch = tempfile::tempdir()?;
    let data = match &options.data {
        Some(data) => data.clone(),
        None => {
            let folder = scratch.path().join("posters");
            demo::draw(&folder, options.posters, 1)?;
            folder
        }
    };
    let (posters, mut ids) = Films::posters(&data)?;
    ids.truncate(options.posters);
    let files: Vec<Vec<u8>> = ids.iter().map(|&id| fs::read(posters.file(id))).collect::<Result<_, _>>()?;
    let all = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut threads = vec![1, all];
    threads.dedup();

    let mut samples: Vec<(&'static str, usize, Vec<f64>)> = Vec::new();
    for _ in 0..options.rounds {
        for &threads in &threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let mut measure = |name, work: &mut dyn FnMut() -> usize| {
                let begin = Instant::now();
                let speed = work() as f64 / begin.elapsed().as_secs_f64();
                match samples.iter_mut().find(|of| (of.0, of.1) == (name, threads)) {
                    Some((.., speeds)) => speeds.push(speed),
                    None => samples.push((name, threads, vec![speed])),
                }
            };
            measure("decode", &mut || pool.install(|| decode(&files)));
            measure("decode and resize", &mut || pool.install(|| decode_and_resize(&files)));
            let folder = scratch.path().join("cache");
            measure("cache build", &mut || pool.install(|| build(&folder, &posters, &ids)));
        }
        let folder = scratch.path().join("cache");
        let path = Cache::path_in(&folder, SPEC);
        // One thread copies batches, whatever the pool.
        let mut read = |name| {
            let cache = Arc::new(Cache::open(&path, SPEC).expect("a cache was built"));
            let refused: Vec<u64> = cache.refused().iter().map(|(id, _)| *id).collect();
            let kept = ids.iter().filter(|id| !refused.contains(id));
            let films: Vec<Film> = kept.map(|&id| Film { id, genres: vec![0] }).collect();
            let begin = Instant::now();
            let read = shuffled(&cache, &films);
            let speed = read as f64 / begin.elapsed().as_secs_f64();
            match samples.iter_mut().find(|of| of.0 == name) {
                Some((.., speeds)) => speeds.push(speed),
                None => samples.push((name, 1, vec![speed])),
            }
        };
        fadvise(File::open(&path)?, 0, None, Advice::DontNeed)?;
        read("shuffled batches, cold");
        read("shuffled batches, warm");
        fs::remove_dir_all(&folder)?;
    }

    let results: Vec<Speed> = samples
        .into_iter()
        .map(|(name, threads, mut speeds)| {
            speeds.sort_by(f64::total_cmp);
            let posters_per_second = speeds[speeds.len() / 2];
            Speed { name, threads, posters_per_second, least: speeds[0], most: speeds[speeds.len() - 1] }
        })
        .collect();
    println!(
        "{} posters, {:.1} kB each on average, medians of {} rounds\n",
        files.len(),
        mean_kb(&files),
        options.rounds
    );
    println!("| | threads | posters/s | min | max |\n|---|--:|--:|--:|--:|");
    for Speed { name, threads, posters_per_second, least, most } in &results {
        println!("| {name} | {threads} | {posters_per_second:.0} | {least:.0} | {most:.0} |");
    }
    if let Some(file) = options.json {
        fs::write(file, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

fn mean_kb(files: &[Vec<u8>]) -> f64 {
    files.iter().map(Vec::len).sum::<usize>() as f64 / files.len() as f64 / 1e3
}

/// Decodes files and counts them; refused posters count, since they have to be looked at, too.
fn decode(files: &[Vec<u8>]) -> usize {
    let decode = |decoder: &mut Decoder, file: &Vec<u8>| decoder.decode_pixels(file).map_or(0, <[u8]>::len);
    files.par_iter().map_init(Decoder::new, decode).map(std::hint::black_box).count()
}

fn decode_and_resize(files: &[Vec<u8>]) -> usize {
    let start = || (Decoder::new(), vec![0; SPEC.bytes()]);
    let decode = |(decoder, out): &mut (Decoder, Vec<u8>), file: &Vec<u8>| {
        let _ = decoder.decode_bytes(file, SPEC, out);
        out[0]
    };
    files.par_iter().map_init(start, decode).map(std::hint::black_box).count()
}

fn build(folder: &Path, posters: &PosterFolder, ids: &[u64]) -> usize {
    // The build starts from nothing, so that the remains of another measurement do not count.
    let _ = fs::remove_dir_all(folder);
    Cache::open_or_build(folder, posters, ids, SPEC, OnBadImage::Skip, &|_| Ok(())).expect("the cache is built").len()
}

fn shuffled(cache: &Arc<Cache>, films: &[Film]) -> usize {
    let order = Order::Shuffled { seed: 1, epoch: 1 };
    let batching = Batching { classes: 1, order, skip: 0, size: BATCH, transform: PLAIN, place: Place::ALONE };
    let batches = Batches::new(Source::Cache(cache.clone()), films, batching).expect("a thread is started");
    batches.map(|batch| batch.expect("every film is in the cache").len()).sum()
}
