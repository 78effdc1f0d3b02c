//! What a classifier says of poster files, be they one or a hundred thousand: they are decoded on
//! all threads while the classifier answers about those before them, and its memory does not grow
//! with their number.

use crate::classifier::Classifier;
use crate::classifier::answers::BATCH;
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::refusal::{Reason, Refusal};
use crate::error::{Error, Result};
use crate::nn::metrics::top_k;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Decoded batches that wait to be answered.
const AHEAD: usize = 1;

/// A poster and its most probable genres.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prediction {
    /// The poster's file.
    pub poster: String,
    /// The genres whose probability is above their threshold, the most probable first; `None` where
    /// the classifier has no thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Vec<String>>,
    /// The genres, the most probable first.
    pub predictions: Vec<GenreProbability>,
}

/// A genre and its probability.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GenreProbability {
    /// The name of the genre.
    pub genre: String,
    /// The probability of the genre, from 0 to 1.
    pub probability: f32,
    /// Whether the probability is above the genre's threshold; `None` where the classifier has no
    /// thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<bool>,
}

impl Classifier {
    /// The `top` most probable genres of the poster in a file.
    ///
    /// # Errors
    /// [`Error::Data`], naming the file and the reason, if it does not decode; [`Error::Io`] if this
    /// process can read no file at all.
    pub fn predict(&mut self, poster: &Path, top: usize) -> Result<Prediction> {
        let pixels = decode(&mut Decoder::new(), poster, ImageSpec::POSTER)?;
        let probabilities = self.answer(&pixels);
        Ok(self.prediction(poster, &probabilities, top))
    }

    /// The `top` most probable genres of many posters. `each` is given them in the order of the
    /// files, batch by batch, with an error for each that does not decode, and says whether to go
    /// on.
    ///
    /// Posters are decoded on rayon's global pool, and answered on its current pool. The answers
    /// are those of [`predict`](Self::predict), to the bit.
    ///
    /// # Errors
    /// [`Error::Io`] if a thread does not start or this process can read no file, and those that `posters` yields, which end the
    /// work after the posters before them.
    pub fn predict_all(
        &mut self,
        posters: impl Iterator<Item = Result<PathBuf>> + Send,
        top: usize,
        mut each: impl FnMut(Result<Prediction>) -> ControlFlow<()>,
    ) -> Result<()> {
        let (to_consumer, decoded) = sync_channel(AHEAD);
        let (home, returned) = channel();
        thread::scope(|scope| {
            let producer = move || decode_batches(posters, &returned, &to_consumer);
            let started = thread::Builder::new().spawn_scoped(scope, producer);
            started.map_err(Error::thread("decoding posters"))?;
            // It takes the receiver, so that the producer does not wait for ever where it ends early.
            self.answer_batches(decoded, &home, top, &mut each)
        })
    }

    fn answer_batches(
        &mut self,
        decoded: Receiver<Result<Decoded>>,
        home: &Sender<Decoded>,
        top: usize,
        each: &mut dyn FnMut(Result<Prediction>) -> ControlFlow<()>,
    ) -> Result<()> {
        for batch in decoded {
            let batch = batch?;
            let probabilities = self.answers_about(&batch.pixels[..batch.whole() * ImageSpec::POSTER.bytes()]);
            let mut rows = probabilities.chunks_exact(self.meta.genres.len());
            for (poster, refusal) in batch.files.iter().zip(&batch.refusals) {
                let prediction = match refusal {
                    Some(why) => Err(refused(poster, why)),
                    None => Ok(self.prediction(poster, rows.next().expect("a row per whole poster"), top)),
                };
                if each(prediction).is_break() {
                    return Ok(());
                }
            }
            // Where the producer has ended, nobody takes it.
            let _ = home.send(batch);
        }
        Ok(())
    }

    pub(super) fn prediction(&self, poster: &Path, probabilities: &[f32], top: usize) -> Prediction {
        let thresholds = self.meta.thresholds.as_deref();
        let is_above = |genre: usize| thresholds.map(|thresholds| probabilities[genre] > thresholds[genre]);
        let named = |genre: usize| GenreProbability {
            genre: self.meta.genres[genre].clone(),
            probability: probabilities[genre],
            predicted: is_above(genre),
        };
        let predicted = thresholds.map(|_| {
            let ranked = top_k(probabilities, probabilities.len()).into_iter();
            ranked.filter(|&genre| is_above(genre) == Some(true)).map(|genre| self.meta.genres[genre].clone()).collect()
        });
        let predictions = top_k(probabilities, top).into_iter().map(named).collect();
        Prediction { poster: poster.to_string_lossy().into_owned(), predicted, predictions }
    }
}

/// The pixels of the poster in a file, `[spec.height, spec.width, 3]`.
///
/// # Errors
/// Those of [`Classifier::predict`].
pub(super) fn decode(decoder: &mut Decoder, poster: &Path, spec: ImageSpec) -> Result<Vec<u8>> {
    let mut pixels = vec![0; spec.bytes()];
    decoder.decode_poster(poster, spec, &mut pixels)?.map_err(|why| refused(poster, &why))?;
    Ok(pixels)
}

fn refused(poster: &Path, why: &Refusal) -> Error {
    let remedy = match why.reason {
        Reason::Unreadable => "check the path and the permissions",
        reason => reason.remedy(),
    };
    Error::data(poster, why.to_string(), remedy)
}

/// A batch of posters; its buffers are used again for later ones.
#[derive(Default)]
struct Decoded {
    files: Vec<PathBuf>,
    /// The reason for each file, if it did not decode.
    refusals: Vec<Option<Refusal>>,
    /// The posters that decoded, first: u8 `[n, 256, 256, 3]`, RGB.
    pixels: Vec<u8>,
}

impl Decoded {
    /// The number of posters that decoded.
    fn whole(&self) -> usize {
        self.refusals.iter().filter(|refusal| refusal.is_none()).count()
    }

    /// Decodes the files on rayon's current pool, each of whose threads has a decoder.
    ///
    /// # Errors
    /// [`Error::Io`] if this process can read no file at all.
    fn decode(&mut self, decoders: &[Mutex<Decoder>]) -> Result<()> {
        let bytes = ImageSpec::POSTER.bytes();
        self.pixels.resize(self.files.len() * bytes, 0);
        let decode = |(file, pixels): (&PathBuf, &mut [u8])| {
            let thread = rayon::current_thread_index().unwrap_or(0);
            // A decoder that panicked begins afresh with each poster.
            let mut decoder = decoders[thread].lock().unwrap_or_else(PoisonError::into_inner);
            Ok(decoder.decode_poster(file, ImageSpec::POSTER, pixels)?.err())
        };
        let posters = self.files.par_iter().zip(self.pixels.par_chunks_exact_mut(bytes)).with_max_len(1);
        self.refusals = posters.map(decode).collect::<Result<_>>()?;
        // The posters that remain move up to close the gaps.
        let whole = (0..self.files.len()).filter(|&at| self.refusals[at].is_none());
        for (to, from) in whole.enumerate() {
            self.pixels.copy_within(from * bytes..(from + 1) * bytes, to * bytes);
        }
        Ok(())
    }
}

/// The work of the thread that decodes: until there are no more posters, one of their names cannot
/// be had, or nobody wants them any more.
fn decode_batches(
    mut posters: impl Iterator<Item = Result<PathBuf>>,
    returned: &Receiver<Decoded>,
    to_consumer: &SyncSender<Result<Decoded>>,
) {
    let mut decoders: Vec<Mutex<Decoder>> = Vec::new();
    loop {
        let mut batch = returned.try_recv().unwrap_or_default();
        batch.files.clear();
        let mut end = None;
        while batch.files.len() < BATCH && end.is_none() {
            match posters.next() {
                Some(Ok(file)) => batch.files.push(file),
                Some(Err(error)) => end = Some(Some(error)),
                None => end = Some(None),
            }
        }
        if !batch.files.is_empty() {
            // This thread is in no pool, so that the work goes to the global one.
            decoders.resize_with(rayon::current_num_threads(), Mutex::default);
            let decoded = batch.decode(&decoders);
            let failed = decoded.is_err();
            if to_consumer.send(decoded.map(|()| batch)).is_err() || failed {
                return;
            }
        }
        match end {
            None => {}
            Some(None) => return,
            Some(Some(error)) => {
                // If nobody listens, nobody misses it.
                let _ = to_consumer.send(Err(error));
                return;
            }
        }
    }
}
