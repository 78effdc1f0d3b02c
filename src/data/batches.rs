//! Images and labels for one step after the other, made by a separate thread while the previous
//! step is computed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::Rng;
use rayon::prelude::*;

use crate::data::auxiliary::Heads;
use crate::data::cache::Cache;
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::films::Film;
use crate::data::layout::PosterFolder;
use crate::data::refusal::{OnBadImage, Refusal};
use crate::data::transform::{Transform, Transformer};
use crate::error::{Error, Result};
use crate::ranks::Place;
use crate::rng::{self, Purpose};

/// The most finished batches that wait to be used: one would do if all took equally long to make.
const AHEAD: usize = 2;
/// The number of batches that are requested from the disk before the first of them is copied: in
/// random order a disk needs many requests at once to reach its throughput.
const ASKED_AHEAD: usize = 4;

/// Where the images of films come from.
#[derive(Clone)]
pub enum Source {
    /// A cache of posters that were decoded before. A film without an image in it is an error.
    Cache(Arc<Cache>),
    /// Poster files, which are decoded as they are needed, on rayon's global pool.
    Files {
        /// The posters.
        posters: PosterFolder,
        /// The size that the posters are brought to.
        spec: ImageSpec,
        /// Whether a film whose poster does not decode is left out and reported, or is an error.
        on_bad_image: OnBadImage,
    },
}

impl Source {
    /// The size of the images.
    pub fn spec(&self) -> ImageSpec {
        match self {
            Self::Cache(cache) => cache.spec(),
            Self::Files { spec, .. } => *spec,
        }
    }

    /// The cache file, or the folder of the posters.
    fn path(&self) -> &Path {
        match self {
            Self::Cache(cache) => cache.path(),
            Self::Files { posters, .. } => posters.path(),
        }
    }
}

/// The order of the films in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order in which the films are given.
    Sequential,
    /// A random permutation that depends on nothing but the seed and the epoch.
    Shuffled {
        /// The seed of the run.
        seed: u64,
        /// The epoch, counted from 1.
        epoch: u64,
    },
    /// As many films as are given, drawn with replacement so that every genre comes up equally
    /// often: a film's chance is proportional to the mean, over its genres, of one over the number
    /// of films that have the genre. One without genres has the mean chance of those that have some,
    /// so that these are drawn as often as they would be without it.
    Balanced {
        /// The seed of the run.
        seed: u64,
        /// The epoch, counted from 1.
        epoch: u64,
    },
}

impl Order {
    /// The indexes of `films`, in this order.
    pub fn indexes(self, films: &[Film]) -> Vec<usize> {
        let all = 0..films.len();
        match self {
            Self::Sequential => all.collect(),
            Self::Shuffled { seed, epoch } => {
                // Sorted by random keys: a library's shuffle may change from one version to the
                // next, this cannot.
                let mut stream = rng::stream(seed, Purpose::Shuffle, epoch);
                let mut keys: Vec<(u64, usize)> = all.map(|at| (stream.next_u64(), at)).collect();
                keys.sort_unstable();
                keys.into_iter().map(|(_, at)| at).collect()
            }
            Self::Balanced { seed, epoch } => {
                let up_to = cumulative_chances(films);
                let total = up_to.last().copied().unwrap_or_default();
                let mut stream = rng::stream(seed, Purpose::Shuffle, epoch);
                let mut draw = || total * (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                all.map(|_| draw()).map(|at| up_to.partition_point(|&up_to| up_to <= at)).collect()
            }
        }
    }
}

/// The running sums of the films' chances under [`Order::Balanced`], each including its own film.
fn cumulative_chances(films: &[Film]) -> Vec<f64> {
    let mut support = BTreeMap::<usize, f64>::new();
    films.iter().flat_map(|film| &film.genres).for_each(|&genre| *support.entry(genre).or_default() += 1.0);
    let chance = |film: &Film| {
        let sum = film.genres.iter().map(|genre| 1.0 / support[genre]).sum::<f64>();
        (!film.genres.is_empty()).then(|| sum / film.genres.len() as f64)
    };
    let known: Vec<f64> = films.iter().filter_map(chance).collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let mut sum = 0.0;
    films
        .iter()
        .map(|film| {
            sum += chance(film).unwrap_or(mean);
            sum
        })
        .collect()
}

/// The images and labels that one step is computed from. When a batch is dropped, its buffers go
/// back to be filled again.
#[derive(Debug)]
pub struct Batch {
    /// The images: u8 `[n, height, width, 3]`, RGB.
    pub images: Vec<u8>,
    /// The labels: `[n, classes]`, 1 where the film has the genre, else 0; where images are mixed,
    /// values between the two. With auxiliary heads, `[n, classes + heads.classes()]`: the labels of
    /// the heads follow, and those of a head that are not known, of the genres or another, are NaN.
    pub labels: Vec<f32>,
    /// The ids of the films: `[n]`.
    pub ids: Vec<u64>,
    /// The place of the first film in the batch of all ranks, which this is a share of.
    pub first: usize,
    /// The number of films in the batch of all ranks.
    pub of_all_ranks: usize,
    /// How many films of the epoch's order have been gone through with this batch, those left out
    /// included.
    pub end: usize,
    home: Sender<Buffers>,
}

impl Batch {
    /// The number of films in the batch, `n`.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the batch has no films; [`Batches`] never yields such a batch.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let buffers = Buffers {
            images: std::mem::take(&mut self.images),
            labels: std::mem::take(&mut self.labels),
            ids: std::mem::take(&mut self.ids),
        };
        // Once the epoch is over, nobody is there to take them.
        let _ = self.home.send(buffers);
    }
}

#[derive(Default)]
struct Buffers {
    images: Vec<u8>,
    labels: Vec<f32>,
    ids: Vec<u64>,
}

/// How films become batches.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// The number of classes: the films' genres are indexes below it.
    pub classes: usize,
    /// The order of the films.
    pub order: Order,
    /// How many films of that order are passed over, whole batches: those that an epoch which was
    /// broken off had gone through.
    pub skip: usize,
    /// Films per batch.
    pub size: usize,
    /// How a poster becomes the input of a model.
    pub transform: Transform,
    /// The rank whose share of each batch is made. The shares are those of one process's batches: what
    /// becomes of a film does not depend on how many ranks there are.
    pub place: Place,
}

/// A batch and the posters that were left out while it was made.
type Made = Result<(Batch, Vec<(u64, Refusal)>)>;

/// An iterator over the batches of one epoch, which a thread makes ahead of time. The last batch
/// may be shorter.
pub struct Batches {
    made: Option<Receiver<Made>>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
    refused: Vec<(u64, Refusal)>,
}

impl Batches {
    /// Starts to make batches of `films`. Where the thread for it does not start, the first batch
    /// is an [`Error::Io`].
    ///
    /// # Errors
    /// [`Error::Io`] if the thread cannot be started.
    /// # Panics
    /// If the size of the batches is 0, or there are not as many films as are to be passed over.
    pub fn new(source: Source, films: &[Film], batching: Batching) -> Result<Self> {
        Self::with_heads(source, films, batching, None)
    }

    /// Like [`new`](Self::new), with labels for auxiliary heads; films may then have no genre.
    ///
    /// # Errors
    /// [`Error::Io`] if the thread cannot be started.
    /// # Panics
    /// If the size of the batches is 0, or there are not as many films as are to be passed over.
    pub fn with_heads(source: Source, films: &[Film], batching: Batching, heads: Option<Arc<Heads>>) -> Result<Self> {
        let Batching { classes, order, skip, size, transform, place } = batching;
        assert!(size > 0, "batches of no films");
        assert!(skip <= films.len(), "{skip} of {} films are passed over", films.len());
        let films: Vec<Film> = order.indexes(films).into_iter().map(|at| films[at].clone()).collect();
        let (to_consumer, made) = sync_channel(AHEAD);
        let path = source.path().to_owned();
        let producer = Producer { source, classes, heads, transform, place };
        let work = move || producer.run(&films, skip, size, &to_consumer);
        let thread = thread::Builder::new().spawn(work);
        let thread = thread.map_err(Error::thread(path))?;
        Ok(Self { made: Some(made), thread: Some(thread), waited: Duration::ZERO, refused: Vec::new() })
    }

    /// The time that the consumer has waited for batches so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The ids of the posters left out so far, each with the reason, in the order of the films;
    /// always empty for a cache.
    pub fn refused(&self) -> &[(u64, Refusal)] {
        &self.refused
    }

    /// Ends the thread; a panic in it is resumed here.
    fn join(&mut self) {
        self.made = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let begin = Instant::now();
        loop {
            let made = self.made.as_ref()?.recv();
            match made {
                Ok(Ok((batch, refused))) => {
                    self.refused.extend(refused);
                    if !batch.is_empty() {
                        self.waited += begin.elapsed();
                        return Some(Ok(batch));
                    }
                }
                Ok(Err(error)) => {
                    self.join();
                    return Some(Err(error));
                }
                Err(_) => {
                    self.join();
                    return None;
                }
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.join();
    }
}

/// What the thread makes batches from.
struct Producer {
    source: Source,
    classes: usize,
    heads: Option<Arc<Heads>>,
    transform: Transform,
    place: Place,
}

impl Producer {
    /// The work of the thread: makes batches until all are made, one fails, or nobody wants them
    /// any more.
    fn run(&self, films: &[Film], skip: usize, size: usize, to_consumer: &SyncSender<Made>) {
        let films = &films[skip..];
        let (home, returned) = channel::<Buffers>();
        let ask = |films: &[Film]| {
            if let Source::Cache(cache) = &self.source {
                cache.will_need(films[self.place.share_of_batch(films.len())].iter().map(|film| film.id));
            }
        };
        films.chunks(size).take(ASKED_AHEAD).for_each(ask);
        let mut later = films.chunks(size).skip(ASKED_AHEAD);
        for (i, films) in films.chunks(size).enumerate() {
            later.next().into_iter().for_each(ask);
            let Buffers { images, labels, ids } = returned.try_recv().unwrap_or_default();
            let position = skip + i * size;
            let (first, of_all_ranks) = (self.place.share_of_batch(films.len()).start, films.len());
            let end = position + films.len();
            let mut batch = Batch { images, labels, ids, first, of_all_ranks, end, home: home.clone() };
            let made = self.fill(&mut batch, films, position).map(|refused| (batch, refused));
            let failed = made.is_err();
            if to_consumer.send(made).is_err() || failed {
                return;
            }
        }
    }

    /// Overwrites `batch` with the images and labels of this rank's share of `films`, the first of which
    /// stands at `position` in the epoch. Returns the posters that had to be left out.
    fn fill(&self, batch: &mut Batch, films: &[Film], position: usize) -> Result<Vec<(u64, Refusal)>> {
        let (from, bytes) = (self.source.spec(), self.transform.size.bytes());
        let share = self.place.share_of_batch(films.len());
        // Mixed with the last image of the share is the one after it, in the share of another rank.
        let is_mixed = self.transform.mixes() && share.len() < films.len();
        let next = is_mixed.then(|| share.end % films.len());
        let shown: Vec<(usize, &Film)> = share.clone().chain(next).map(|at| (position + at, &films[at])).collect();
        batch.images.resize(shown.len() * bytes, 0);
        batch.labels.clear();
        batch.ids.clear();
        let images = batch.images.par_chunks_exact_mut(bytes).zip(&shown);
        let mut refused = Vec::new();
        match &self.source {
            Source::Cache(cache) => {
                let transform = |transformer: &mut Transformer, (image, (at, film)): (&mut [u8], &(usize, &Film))| {
                    transformer.apply(&cache.image(film.id)?, from, *at as u64, image);
                    Ok(())
                };
                images.map_init(|| Transformer::new(self.transform), transform).collect::<Result<()>>()?;
                shown.iter().for_each(|(_, film)| self.label(film, batch));
                cache.drop_behind(films[share.clone()].iter().map(|film| film.id));
            }
            Source::Files { posters, on_bad_image, .. } => {
                let start = || (Decoder::new(), vec![0; from.bytes()], Transformer::new(self.transform));
                let decode = |(decoder, decoded, transformer): &mut (Decoder, Vec<u8>, Transformer),
                              (image, (at, film)): (&mut [u8], &(usize, &Film))| {
                    let result = decoder.decode_poster(&posters.file(film.id), from, decoded)?;
                    if result.is_ok() {
                        transformer.apply(decoded, from, *at as u64, image);
                    }
                    Ok(result)
                };
                let results: Vec<std::result::Result<(), Refusal>> =
                    images.map_init(start, decode).collect::<Result<_>>()?;
                for (at, ((_, film), result)) in shown.iter().zip(results).enumerate() {
                    match result {
                        Ok(()) => {
                            // The images that remain move up to close the gaps.
                            let to = batch.ids.len() * bytes;
                            batch.images.copy_within(at * bytes..(at + 1) * bytes, to);
                            self.label(film, batch);
                        }
                        // A share without it would not be that of the others' batch.
                        Err(refusal) if *on_bad_image == OnBadImage::Fail || self.place.count > 1 => {
                            return Err(refusal.into_error(&posters.file(film.id)));
                        }
                        Err(refusal) => refused.push((film.id, refusal)),
                    }
                }
                batch.images.truncate(batch.ids.len() * bytes);
            }
        }
        let (own, first) = (batch.ids.len() - usize::from(is_mixed), (position + share.start) as u64);
        Transformer::new(self.transform).mix(&mut batch.images, &mut batch.labels, own, first);
        if is_mixed {
            let labels = batch.labels.len() / batch.ids.len();
            batch.images.truncate(own * bytes);
            batch.labels.truncate(own * labels);
            batch.ids.truncate(own);
        }
        if self.place == Place::ALONE {
            batch.of_all_ranks = batch.ids.len();
        }
        Ok(refused)
    }

    /// Adds a film and its labels to a batch.
    fn label(&self, film: &Film, batch: &mut Batch) {
        batch.ids.push(film.id);
        let begin = batch.labels.len();
        batch.labels.resize(begin + self.classes, 0.0);
        let genres = &mut batch.labels[begin..];
        film.genres.iter().for_each(|&genre| genres[genre] = 1.0);
        if let Some(heads) = &self.heads {
            if film.genres.is_empty() {
                genres.fill(f32::NAN);
            }
            let begin = batch.labels.len();
            batch.labels.resize(begin + heads.classes(), 0.0);
            heads.label(film.id, &mut batch.labels[begin..]);
        }
    }
}
