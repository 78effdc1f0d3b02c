//! Pictures of what a classifier looked at: a poster and, beside it, its heat map over it.

use crate::classifier::Classifier;
use crate::classifier::explain::{HeatMap, Method};
use crate::classifier::predict::{Prediction, decode};
use crate::data::decode::{Decoder, ImageSpec};
use crate::data::transform::{Look, Transform, Transformer, View};
use crate::error::{Error, Result};
use crate::files::{REMEDY, is_absent, open_if_regular, write_atomically};
use crate::nn::metrics::top_k;
use jpeg_encoder::{ColorType, Encoder};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The height of a picture in pixels; a poster keeps the ratio of its sides.
const HEIGHT: usize = 480;
/// The most pixels that a poster is wide.
const WIDEST: usize = 2 * HEIGHT;
/// The pixels between the poster and its heat map.
const GAP: usize = 12;
/// The quality of the JPEG file, of 100.
const QUALITY: u8 = 90;
/// How the segment begins that tells our pictures from others.
const MARK: &str = "onesheet heat map ";
/// What a classifier says of a poster, and why.
pub struct Explained {
    /// The genres.
    pub prediction: Prediction,
    /// What speaks for one of them.
    pub map: HeatMap,
    /// The poster beside the map.
    pub picture: Picture,
}

/// A poster beside its heat map.
pub struct Picture {
    size: ImageSpec,
    /// u8 `[size.height, size.width, 3]`, RGB.
    pixels: Vec<u8>,
}

impl Classifier {
    /// The prediction of [`predict`](Self::predict), and what speaks for a genre on the poster: for
    /// the most probable one where `genre` is `None`.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict) and [`explain`](Self::explain).
    /// # Panics
    /// If there is no such genre.
    pub fn predict_and_explain(
        &mut self,
        poster: &Path,
        top: usize,
        genre: Option<usize>,
        method: Method,
    ) -> Result<Explained> {
        let decoder = &mut Decoder::new();
        let pixels = decode(decoder, poster, ImageSpec::POSTER)?;
        let (width, height) = decoder.size();
        let own_size = ImageSpec { height, width };
        let probabilities = self.answer(&pixels);
        let genre = genre.unwrap_or_else(|| top_k(&probabilities, 1)[0]);
        let map = self.explain(&pixels, genre, method)?;
        let picture = Picture::new(&decode(decoder, poster, own_size)?, own_size, &map);
        Ok(Explained { prediction: self.prediction(poster, &probabilities, top), map, picture })
    }
}

impl Picture {
    /// A poster of any size, beside a map of it.
    ///
    /// # Shapes
    /// `poster`: u8 `[from.height, from.width, 3]`, RGB
    /// # Panics
    /// If the poster has another length, or a side is 0.
    pub fn new(poster: &[u8], from: ImageSpec, map: &HeatMap) -> Self {
        let size = ImageSpec { height: HEIGHT, width: (HEIGHT * from.width / from.height).clamp(1, WIDEST) };
        let mut left = vec![0; size.bytes()];
        Transformer::new(Transform { size, look: Look::View(View::WHOLE) }).apply(poster, from, 0, &mut left);
        let right = map.over_image(&left, size);
        let [left, right] = [&left, &right].map(|half| half.chunks_exact(3 * size.width));
        let pixels = left.zip(right).flat_map(|(left, right)| [left, &[255; 3 * GAP], right].concat()).collect();
        Self { size: ImageSpec { width: 2 * size.width + GAP, ..size }, pixels }
    }

    /// Writes the picture into a folder as `<name of the poster>.<name of the genre>.jpg`, and returns
    /// the file. What file systems or shells could take amiss in the names becomes `-`.
    ///
    /// Only a picture that was made here of the same poster (by its path) and genre is replaced: where
    /// anything else has the name, that of the poster's folder is put before it, and where that is not
    /// enough, digits are put behind.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder does not take it, [`Error::Data`] where all these names are taken.
    pub fn write(&self, folder: &Path, poster: &Path, genre: &str) -> Result<PathBuf> {
        let from = std::path::absolute(poster).unwrap_or_else(|_| poster.to_owned());
        let digits = digits_of(&from, genre);
        let mark = format!("{MARK}{digits}").into_bytes();
        let jpeg = self.jpeg(&mark);
        let head = jpeg.windows(mark.len()).position(|bytes| bytes == mark).expect("it was encoded") + mark.len();

        let name_of = |path: Option<&OsStr>, most| plain(&path.unwrap_or_default().to_string_lossy(), most);
        let (stem, parent) = (name_of(from.file_stem(), 80), name_of(from.parent().and_then(Path::file_name), 50));
        let genre = plain(genre, 50);
        let mut path = PathBuf::new();
        for name in [stem.clone(), format!("{parent}-{stem}"), format!("{parent}-{stem}-{digits}")] {
            path = folder.join(format!("{name}.{genre}.jpg"));
            if is_free(&path, &jpeg[..head]).map_err(Error::io(&path, "read the file"))? {
                write_atomically(&path, |file| file.write_all(&jpeg))?;
                return Ok(path);
            }
        }
        Err(Error::data(&path, "is not a picture that onesheet made of this poster", REMEDY))
    }

    /// The picture as a JPEG file with a segment of its own near the beginning.
    fn jpeg(&self, segment: &[u8]) -> Vec<u8> {
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, QUALITY);
        let ImageSpec { height, width } = self.size;
        encoder.add_app_segment(15, segment.to_vec()).expect("a segment has room for it");
        let encoded = encoder.encode(&self.pixels, width as u16, height as u16, ColorType::Rgb);
        encoded.expect("the size is in bounds, and memory takes all");
        jpeg
    }
}

/// What tells the picture of a poster and a genre from those of others, without naming them.
fn digits_of(poster: &Path, genre: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(poster.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(genre);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether there is no file at `path`, or one that begins in this way.
fn is_free(path: &Path, head: &[u8]) -> io::Result<bool> {
    let file = match open_if_regular(path) {
        Err(error) if is_absent(&error) => return Ok(true),
        file => file?,
    };
    let Some(file) = file else { return Ok(false) };
    let mut found = Vec::new();
    file.take(head.len() as u64).read_to_end(&mut found)?;
    Ok(found == head)
}

/// A part of a file's name, of at most `most` bytes, so that no name grows beyond what file systems
/// allow: letters, digits and some marks of the text, and `-` for what else there is. It does not
/// begin with a mark and is not empty.
fn plain(text: &str, most: usize) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_ ()+&,'".contains(c);
    let name: String = text.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    let name = name.trim_matches(|c: char| !c.is_alphanumeric() && c != ')');
    let end = (0..=most.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    if end == 0 { "x".to_owned() } else { name[..end].trim_end().to_owned() }
}
