//! A trained classifier, the central noun of the crate: a run makes it, and all else uses it.
//!
//! A file imports only from those above it in this list:
//!
//! | file | its job |
//! |---|---|
//! | [`experiment`] | the three questions that a classifier can be trained to answer |
//! | [`pixels`] | how the pixels of a poster become what a network sees, in words for its file |
//! | `mod` | [`Classifier`]: a network or several, and what is needed to use them; its file |
//! | [`ensemble`] | several classifiers as one, whose answers are averaged |
//! | [`seen`] | the films that a classifier was trained with, which it is not to be measured on |
//! | [`answers`] | what a classifier says of films and of posters in memory |
//! | [`teacher`] | what a classifier has another one learn, beside the labels |
//! | [`explain`] | which parts of a poster speak for a genre |
//! | [`heat_map`] | such an explanation as colours over the poster |
//! | [`predict`] | what a classifier says of poster files |
//! | [`picture`] | a poster beside its heat map, as a file |
//! | [`evaluate`] | what a classifier's answers on a folder of posters are worth |

pub mod answers;
pub mod ensemble;
pub mod evaluate;
pub mod experiment;
pub mod explain;
pub mod heat_map;
pub mod picture;
pub mod pixels;
pub mod predict;
pub mod seen;
pub mod teacher;

use crate::classifier::experiment::Experiment;
use crate::classifier::pixels::Pixels;
use crate::data::decode::ImageSpec;
use crate::data::transform::Views;
use crate::error::{Error, Result};
use crate::files::{self, write_atomically};
use crate::nn::{Head, Isa, Sequential, weights};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The name of a classifier's file in the folder of its experiment.
pub const MODEL_FILE: &str = "model.safetensors";

/// The most memory that answering takes, of all networks of a classifier: where a batch takes more, it is
/// answered in parts.
const MOST_MEMORY: u64 = 4 << 30;

/// A network that tells the genres of posters, or an ensemble of several, with all that is needed to
/// use it.
///
/// ```no_run
/// use onesheet::classifier::Classifier;
/// use onesheet::nn::Isa;
/// use std::path::Path;
///
/// let mut classifier = Classifier::open(Path::new("runs/1/multi-label"), Isa::available()[0])?;
/// for of in classifier.predict(Path::new("poster.jpg"), 3)?.predictions {
///     println!("{} {:.1} %", of.genre, 100.0 * of.probability);
/// }
/// # Ok::<(), onesheet::Error>(())
/// ```
pub struct Classifier {
    /// Everything about the classifier beside its networks.
    pub meta: Meta,
    /// The network, whose outputs are logits of the genres; of an ensemble, the first one.
    pub network: Sequential,
    /// The other networks of an ensemble, of the same spec; see [`ensemble`]. None of a plain
    /// classifier.
    pub others: Vec<Sequential>,
}

/// What a classifier's file holds beside the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The name of the experiment.
    pub experiment: String,
    /// The last activation and the loss.
    pub head: Head,
    /// The names of the outputs, in order.
    pub genres: Vec<String>,
    /// Films with more genres than this were not trained on.
    pub max_genres: usize,
    /// The epoch, counted from 1, at whose end the weights had their present values; `None` where
    /// it is not known.
    #[serde(default)]
    pub epoch: Option<usize>,
    /// What made that epoch the best of its run, such as the lowest loss on val; `None` where it
    /// was the last.
    #[serde(default)]
    pub best: Option<String>,
    /// The probability of each genre above which it counts as predicted, tuned for F1 on the
    /// validation films; `None` is 0.5 for all.
    #[serde(default)]
    pub thresholds: Option<Vec<f32>>,
    /// The views of a poster that the answers are averaged over.
    #[serde(default = "one_view")]
    pub views: Views,
}

/// A classifier's description in its file, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    meta: &'a Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pixels: Option<Pixels>,
}

/// A classifier's description in its file, as it is read.
#[derive(Deserialize)]
struct Read {
    #[serde(flatten)]
    meta: Meta,
    /// Absent from files of before, for which they are made in the same way.
    #[serde(default)]
    pixels: Option<Pixels>,
}

fn one_view() -> Views {
    Views::One
}

impl Classifier {
    /// Opens the classifier of an experiment's folder, or of a model file.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none (the folder of a whole run is answered with the names of
    /// its experiments), if it is damaged, or if it does not take posters; [`Error::Io`] if it
    /// cannot be read.
    pub fn open(run: &Path, isa: Isa) -> Result<Self> {
        let path = Self::file_of(run);
        if !path.exists() {
            return Err(Error::data(run, format!("there is no {MODEL_FILE}"), remedy_without_model(run)));
        }
        let (Read { meta, pixels }, mut networks) = weights::read(&path, isa)?;
        let network = networks.remove(0);
        let refuse = |what: String| Err(Error::data(&path, what, "name a model that `train run` made"));
        match network.spec().input[..] {
            [height, width, 3] if height <= ImageSpec::POSTER.height && width <= ImageSpec::POSTER.width => {}
            ref input => return refuse(format!("its input is {input:?}, which posters cannot be brought to")),
        }
        let classifier = Self { meta, network, others: networks };
        if pixels.is_some_and(|pixels| !pixels.are_made_as(&classifier.pixels())) {
            return refuse("its pixels are made in a way that is not known here".to_owned());
        }
        let Self { meta, network, .. } = &classifier;
        let (outputs, genres) = (network.output_shape(), meta.genres.len());
        if *outputs != [genres] {
            return refuse(format!("its output is {outputs:?} for {genres} genres"));
        }
        if classifier.memory(1, 1) > MOST_MEMORY {
            return refuse("it takes more than 4 GiB of memory for one poster".to_owned());
        }
        if Experiment::named(&meta.experiment).is_some_and(|experiment| experiment.head != meta.head) {
            let head = format!("{:?}", meta.head).to_lowercase();
            return refuse(format!("a {head} head does not answer {}", meta.experiment));
        }
        match &meta.thresholds {
            Some(thresholds) if thresholds.len() != genres => {
                refuse(format!("{} thresholds for {genres} genres", thresholds.len()))
            }
            _ => Ok(classifier),
        }
    }

    /// The model file that `run` names: `run` itself, or the model file in it where it is a folder.
    pub fn file_of(run: &Path) -> PathBuf {
        if run.is_dir() { run.join(MODEL_FILE) } else { run.to_path_buf() }
    }

    /// Writes the classifier to a file, whole or not at all, and returns the SHA-256 of its bytes
    /// in hexadecimal. There is no time, path or thread count in the file: the same training gives
    /// the same bytes.
    ///
    /// # Errors
    /// [`Error::Data`] where [`open`](Self::open) would refuse the weights, as after a training that
    /// has run away; [`Error::Io`] where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<String> {
        let bytes = self.to_bytes(path)?;
        write_atomically(path, |file| file.write_all(&bytes))?;
        Ok(sha256(&bytes))
    }

    /// The bytes of the file that [`save`](Self::save) would write.
    ///
    /// # Errors
    /// [`Error::Data`] as of [`save`](Self::save).
    pub(crate) fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        // What takes no images is not opened again, but is no reason to panic.
        let pixels = (self.network.spec().input.len() == 3).then(|| self.pixels());
        let networks: Vec<&Sequential> = self.networks().collect();
        weights::to_bytes(&networks, &Written { meta: &self.meta, pixels }, path)
    }

    /// The SHA-256 of the file of a classifier that was opened, in hexadecimal.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read any more.
    pub fn sha256_of(run: &Path) -> Result<String> {
        let path = Self::file_of(run);
        let hashed = files::open_regular(&path).and_then(files::hash);
        hashed.map(|(_, hash)| files::hex(&hash)).map_err(Error::io(&path, "read the model"))
    }

    /// All networks: one, or the members of an ensemble in their order.
    pub fn networks(&self) -> impl Iterator<Item = &Sequential> {
        std::iter::once(&self.network).chain(&self.others)
    }

    /// The same, to be computed with.
    pub fn networks_mut(&mut self) -> impl Iterator<Item = &mut Sequential> {
        std::iter::once(&mut self.network).chain(&mut self.others)
    }

    /// How many networks there are.
    pub fn members(&self) -> usize {
        1 + self.others.len()
    }

    /// The bytes that all networks claim to answer about so many posters at once.
    fn memory(&self, posters: usize, threads: usize) -> u64 {
        let of_one = self.network.spec().memory(self.network.isa(), posters, None);
        of_one.map_or(u64::MAX, |memory| memory.total(threads)).saturating_mul(self.members() as u64)
    }

    /// How many of `posters` are answered about at once, on rayon's current pool.
    fn at_once(&self, posters: usize) -> usize {
        let threads = rayon::current_num_threads();
        let halves = std::iter::successors(Some(posters), |&posters| Some(posters.div_ceil(2)));
        let mut halves = halves.take_while(|&posters| posters > 1);
        halves.find(|&posters| self.memory(posters, threads) <= MOST_MEMORY).unwrap_or(1)
    }

    /// The size that posters are brought to for the network.
    pub fn input(&self) -> ImageSpec {
        let input = &self.network.spec().input;
        ImageSpec { height: input[0], width: input[1] }
    }

    /// How the pixels of a poster become what the network sees.
    pub fn pixels(&self) -> Pixels {
        Pixels::of(self.input())
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    files::hex(&Sha256::digest(bytes))
}

fn remedy_without_model(run: &Path) -> String {
    let folders = Experiment::ALL.map(|experiment| run.join(experiment.name)).into_iter();
    let inside: Vec<String> =
        folders.filter(|folder| folder.join(MODEL_FILE).exists()).map(|folder| folder.display().to_string()).collect();
    match inside.is_empty() {
        true => "name the folder of a trained experiment, such as runs/1/multi-label".to_owned(),
        false => format!("name one of its experiments: {}", inside.join(", ")),
    }
}
