//! What a classifier looked at: which parts of a poster speak for a genre.
//!
//! Three methods, each with a claim of its own. Occlusion hides a part of the poster and looks how
//! the answer changes; it works for every model. Class activation maps split the answer of a model
//! that ends in the mean of its last images' pixels among these pixels, and leave nothing out.
//! Grad-CAM does the same for other models, to first order and channel by channel.

use crate::classifier::Classifier;
use crate::classifier::answers::BATCH;
use crate::data::decode::ImageSpec;
use crate::data::transform::{Look, Transform, Transformer, View};
use crate::error::{Error, Result};
use crate::nn::{FeatureMaps, Head, Input, LayerSpec, Sequential};
use serde::Serialize;

/// How it is found out what a classifier looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A square of the poster's mean colour is laid over it, place by place: a value is the loss of
    /// log-odds that hiding the place costs the genre. For every model.
    ///
    /// Zeiler and Fergus 2014, <https://arxiv.org/abs/1311.2901>, section 4.2.
    #[value(help = "hide the poster place by place; for every model")]
    Occlusion,
    /// Class activation map: a value is what the place adds to the genre's logit, so that the mean of
    /// the map and the bias make the logit. For models that end in the mean of pixels and one dense
    /// layer.
    ///
    /// Zhou et al. 2016, <https://arxiv.org/abs/1512.04150>.
    #[value(help = "what each place adds to the answer; for models that end in the mean of pixels")]
    Cam,
    /// Grad-CAM: the last images, each channel weighted by the gradient of the genre's logit, summed
    /// over the pixels; the same values as [`Cam`](Self::Cam) where there is one. The paper takes the
    /// mean of the gradient, which differs by a factor, and leaves out what is negative, which is left
    /// to the drawing here.
    ///
    /// Selvaraju et al. 2017, <https://arxiv.org/abs/1610.02391>.
    #[value(help = "the last layer of images, weighted by its gradient; the same as cam where that is possible")]
    GradCam,
}

/// Which parts of a poster speak for a genre, and which against it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// The genre, as an index into those of the classifier.
    pub genre: usize,
    /// How the map was made.
    pub method: Method,
    /// The number of rows; each is an equal part of the poster's height.
    pub height: usize,
    /// The number of columns; each is an equal part of the poster's width.
    pub width: usize,
    /// `[height, width]`: how much the place speaks for the genre (above 0) or against it (below 0),
    /// as a difference of log-odds or of logits; see [`Method`]. Not normalised: maps of one method
    /// and classifier can be compared.
    pub values: Vec<f32>,
}

/// The rows and columns of a map by occlusion.
const PLACES: usize = 16;
/// The side of the square in pixels of [`ImageSpec::POSTER`]: a fifth of the poster's.
const SQUARE: usize = 52;

impl Classifier {
    /// The method that says most about the classifier's network: CAM, else Grad-CAM, else occlusion.
    pub fn best_method(&self) -> Method {
        let is_possible = |method: &Method| self.check_method(*method).is_ok();
        [Method::Cam, Method::GradCam].into_iter().find(is_possible).unwrap_or(Method::Occlusion)
    }

    /// Refuses a method that the network does not allow.
    ///
    /// # Errors
    /// [`Error::Usage`], with the methods that it does allow.
    pub fn check_method(&self, method: Method) -> Result<()> {
        match method {
            Method::Cam if !ends_in_mean(&self.network.spec().layers) => {
                let what = "the model has no class activation maps: it does not end in the mean of pixels";
                Err(Error::usage(what, "choose grad-cam or occlusion"))
            }
            Method::Cam | Method::GradCam if self.network.feature_shape().is_none() => {
                Err(Error::usage("no layer of the model gives images", "choose occlusion"))
            }
            _ => Ok(()),
        }
    }

    /// Which parts of a poster speak for a genre: the mean over the classifier's views, without its
    /// corners where the method looks into the network. Of an ensemble, occlusion watches the answer of
    /// all, and the others are the mean of the members' maps.
    ///
    /// # Shapes
    /// `poster`: u8 `[256, 256, 3]`, RGB; see [`ImageSpec::POSTER`]
    /// # Errors
    /// Those of [`check_method`](Self::check_method).
    /// # Panics
    /// If the poster has another length, or there is no such genre.
    pub fn explain(&mut self, poster: &[u8], genre: usize, method: Method) -> Result<HeatMap> {
        assert_eq!(poster.len(), ImageSpec::POSTER.bytes(), "it is not one poster");
        assert!(genre < self.meta.genres.len(), "genre {genre} of {}", self.meta.genres.len());
        self.check_method(method)?;
        let (height, width, values) = match method {
            Method::Occlusion => (PLACES, PLACES, self.occlude(poster, genre)),
            Method::Cam | Method::GradCam => self.weigh_features(poster, genre, method),
        };
        Ok(HeatMap { genre, method, height, width, values })
    }

    /// The values of a map by occlusion.
    fn occlude(&mut self, poster: &[u8], genre: usize) -> Vec<f32> {
        let (head, views, genres, mean) =
            (self.meta.head, self.meta.views, self.meta.genres.len(), mean_colour(poster));
        let whole = log_odds(head, &self.logits_about(poster, ImageSpec::POSTER, views), genre);
        let places: Vec<[usize; 2]> = (0..PLACES * PLACES).map(|at| [at / PLACES, at % PLACES]).collect();
        let mut values = Vec::with_capacity(places.len());
        for places in places.chunks(BATCH) {
            let mut posters = poster.repeat(places.len());
            for (poster, &place) in posters.chunks_exact_mut(poster.len()).zip(places) {
                hide(poster, place, mean);
            }
            let logits = self.logits_about(&posters, ImageSpec::POSTER, views);
            values.extend(logits.chunks_exact(genres).map(|logits| (whole - log_odds(head, logits, genre)) as f32));
        }
        values
    }

    /// The height, the width and the values of a map from the last images of the networks, whose
    /// channels have the weights of the last layer, or else the sums of their gradients.
    fn weigh_features(&mut self, poster: &[u8], genre: usize, method: Method) -> (usize, usize, Vec<f32>) {
        let (size, members) = (self.input(), self.members());
        let views: Vec<View> = self.meta.views.all().into_iter().filter(|view| view.corner.is_none()).collect();
        let mut images = vec![0; views.len() * size.bytes()];
        for (&view, image) in views.iter().zip(images.chunks_exact_mut(size.bytes())) {
            Transformer::new(Transform { size, look: Look::View(view) }).apply(poster, ImageSpec::POSTER, 0, image);
        }
        let [height, width, channels] = self.network.feature_shape().expect("the method was checked");
        let (item, maps) = (height * width * channels, (views.len() * members) as f32);
        let mut mean = vec![0.0; height * width];
        for network in self.networks_mut() {
            let of_last = (method == Method::Cam).then(|| weights_of(network, genre));
            let maps_of = network.feature_maps(Input::U8(&images), genre).expect("the method was checked");
            let FeatureMaps { values, gradient, .. } = maps_of;
            for ((view, image), gradient) in
                views.iter().zip(values.chunks_exact(item)).zip(gradient.chunks_exact(item))
            {
                let weights = of_last.clone().unwrap_or_else(|| sum_of_pixels(gradient, channels));
                for (at, pixel) in image.chunks_exact(channels).enumerate() {
                    let (row, column) = (at / width, at % width);
                    let column = if view.mirrored { width - 1 - column } else { column };
                    let value: f32 = pixel.iter().zip(&weights).map(|(value, weight)| value * weight).sum();
                    mean[row * width + column] += value / maps;
                }
            }
        }
        (height, width, mean)
    }
}

/// The weights of the last dense layer for a genre, one per input.
fn weights_of(network: &Sequential, genre: usize) -> Vec<f32> {
    let parameters = network.parameters();
    let [.., kernel, _bias] = &parameters[..] else { unreachable!("the model ends in a dense layer") };
    kernel.value.iter().skip(genre).step_by(network.outputs()).copied().collect()
}

/// Whether the model gives one dense layer the mean of its last images' pixels; dropout does nothing
/// in inference.
fn ends_in_mean(layers: &[LayerSpec]) -> bool {
    let mut from_the_end = layers.iter().rev();
    matches!(from_the_end.next(), Some(LayerSpec::Dense { .. }))
        && from_the_end.find(|layer| !matches!(layer, LayerSpec::Dropout { .. }))
            == Some(&LayerSpec::GlobalAveragePooling2d)
}

/// `[pixels, channels]` to `[channels]`.
fn sum_of_pixels(image: &[f32], channels: usize) -> Vec<f32> {
    let mut sum = vec![0.0; channels];
    for pixel in image.chunks_exact(channels) {
        sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
    sum
}

/// `ln(p / (1 - p))` of a genre's probability, from the logits of all genres. It does not saturate
/// where the probability does; with a sigmoid it is the logit.
fn log_odds(head: Head, logits: &[f32], genre: usize) -> f64 {
    let logit = f64::from(logits[genre]);
    match head {
        Head::Sigmoid => logit,
        // Of the only genre there is, nothing can be lost.
        Head::Softmax if logits.len() == 1 => 0.0,
        Head::Softmax => {
            let others =
                || logits.iter().enumerate().filter(|(at, _)| *at != genre).map(|(_, &logit)| f64::from(logit));
            let largest = others().fold(f64::NEG_INFINITY, f64::max);
            logit - largest - others().map(|other| (other - largest).exp()).sum::<f64>().ln()
        }
    }
}

fn mean_colour(poster: &[u8]) -> [u8; 3] {
    let (pixels, _) = poster.as_chunks::<3>();
    [0, 1, 2].map(|c| {
        let sum: u64 = pixels.iter().map(|pixel| u64::from(pixel[c])).sum();
        (sum as f64 / pixels.len() as f64).round() as u8
    })
}

/// Fills the square whose centre is that of a place, as far as it lies in the poster.
fn hide(poster: &mut [u8], place: [usize; 2], colour: [u8; 3]) {
    let ImageSpec { height, width } = ImageSpec::POSTER;
    let range = |place: usize, len: usize| {
        let centre = (2 * place + 1) * len / (2 * PLACES);
        centre.saturating_sub(SQUARE / 2)..(centre + SQUARE / 2).min(len)
    };
    let (rows, columns) = (range(place[0], height), range(place[1], width));
    for row in poster.chunks_exact_mut(3 * width).take(rows.end).skip(rows.start) {
        row[3 * columns.start..3 * columns.end].as_chunks_mut().0.fill(colour);
    }
}
