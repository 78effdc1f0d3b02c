//! Recipes: what a model is and how it is trained, in one value.

use crate::data::decode::ImageSpec;
use crate::data::frames::Frame;
use crate::data::transform::{Augment, Views};
use crate::loss::Head;
use crate::nn::ModelSpec;
use crate::nn::spec::Padding;
use crate::optim::{Decay, Rule};
use serde::{Deserialize, Serialize};

/// A model, its training and its use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// Height and width of the model's input; posters are kept in 256x256.
    pub input: usize,
    /// Filters of the convolutions, one block each.
    pub filters: Vec<usize>,
    /// How the last block's image becomes a vector.
    pub pooling: Pooling,
    /// Units of a dense layer before the last one; 0 is none.
    pub dense: usize,
    /// The fraction that dropout drops before the last layer.
    pub dropout: f32,
    /// Momentum of the moving statistics.
    pub bn_momentum: f32,
    /// Border treatment of the convolutions.
    pub padding: Padding,
    /// Passes over the training films.
    pub epochs: usize,
    /// Films a step.
    pub batch: usize,
    /// Update rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// The share of all steps in which the learning rate rises from 0.
    pub warmup: f64,
    /// What the learning rate does then.
    pub schedule: Decay,
    /// The share of the weights' average that a step keeps; 0 keeps no average.
    pub ema: f64,
    /// What varies from one showing of a poster to the next.
    #[serde(flatten)]
    pub augment: Augment,
    /// What is done about genres that are rarer than others.
    pub balance: Balance,
    /// Focal loss' power; 0 is cross-entropy.
    pub focal: f32,
    /// The share of each label that is spread evenly.
    pub label_smoothing: f32,
    /// Which epoch's weights are kept.
    pub keep: Keep,
    /// Whether each genre gets the threshold with the highest F1 on the validation films, in place of 0.5.
    pub tune_thresholds: bool,
    /// Over which views a trained model's answers are averaged.
    pub views: Views,
    /// The experiments after a run's first start from the weights that the first ended with, and take this share of its epochs and
    /// of its learning rate: the films with one genre, too few to learn from alone, are among those of the first. 0 starts each
    /// afresh.
    pub transfer: f64,
}

/// How the image that the last block leaves becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// All its values.
    Flatten,
    /// The mean of its pixels.
    Average,
}

/// What is done about genres that are rarer than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In top-6, whose question is a balanced one, as sampler; in the others nothing.
    Auto,
    /// Nothing.
    None,
    /// top-6: train and validation are cut to the smallest genre.
    Undersample,
    /// A genre's share of the loss is weighted by one by its number of films.
    Weights,
    /// It is weighted by one by its effective number of films, which grows ever more slowly.
    ///
    /// Cui et al. 2019, Class-Balanced Loss, <https://arxiv.org/abs/1901.05555>, with their beta = 0.999.
    EffectiveWeights,
    /// Films are drawn so that every genre comes up equally often.
    Sampler,
}

/// Which epoch's weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The last one's.
    Last,
    /// Those of the best epoch on the validation films: by macro AP in multi-label, by the loss where a film has one genre.
    Best,
}

impl Recipe {
    /// The starting report's: what Keras does when nothing is asked of it.
    pub fn report() -> Self {
        Self {
            input: ImageSpec::POSTER.height,
            filters: vec![16, 32, 64],
            pooling: Pooling::Flatten,
            dense: 64,
            dropout: 0.5,
            bn_momentum: 0.99,
            padding: Padding::Valid,
            epochs: 10,
            batch: 32,
            rule: Rule::adam(1e-3),
            warmup: 0.0,
            schedule: Decay::Constant,
            ema: 0.0,
            augment: Augment::NONE,
            balance: Balance::None,
            focal: 0.0,
            label_smoothing: 0.0,
            keep: Keep::Last,
            tune_thresholds: false,
            views: Views::One,
            transfer: 0.0,
        }
    }

    /// What learns most from the sample of real posters that it was chosen on.
    pub fn best() -> Self {
        Self {
            input: 128,
            filters: vec![32, 64, 128, 256, 256],
            pooling: Pooling::Average,
            dense: 0,
            dropout: 0.2,
            bn_momentum: 0.9,
            padding: Padding::Same,
            epochs: 24,
            batch: 32,
            rule: Rule::adamw(2e-3, 0.05),
            warmup: 0.2,
            schedule: Decay::Cosine,
            ema: 0.0,
            augment: Augment { flip: true, crop: 0.6, jitter: 0.2, cutout: 0.0, mixup: 0.0 },
            balance: Balance::Auto,
            keep: Keep::Best,
            tune_thresholds: true,
            views: Views::Flip,
            transfer: 0.25,
            ..Self::report()
        }
    }

    /// What it is for an experiment that starts from the weights of the run's first; see [`transfer`](Self::transfer).
    pub fn transferred(self) -> Self {
        let epochs = (self.epochs as f64 * self.transfer).ceil() as usize;
        Self { epochs, rule: self.rule.slowed(self.transfer as f32), ..self }
    }

    /// The size of the model's input.
    pub fn size(&self) -> ImageSpec {
        ImageSpec { height: self.input, width: self.input }
    }

    /// Blocks of convolution + ReLU, batch norm and max-pooling, then dense layers.
    pub fn model(&self, classes: usize) -> ModelSpec {
        let Self { input, filters, pooling, dense, dropout, bn_momentum, padding, .. } = self;
        let mut spec = ModelSpec::input(&[*input, *input, 3]);
        for &filters in filters {
            spec = spec.conv2d(filters, 3, *padding).relu().batch_norm(*bn_momentum).max_pool2d(2);
        }
        spec = match pooling {
            Pooling::Flatten => spec.flatten(),
            Pooling::Average => spec.global_average_pool2d(),
        };
        if *dense > 0 {
            spec = spec.dense(*dense).relu();
        }
        if *dropout > 0.0 {
            spec = spec.dropout(*dropout);
        }
        spec.dense(classes)
    }

    /// The weights of the classes in the loss, for the training films of a frame; none where all weigh the same. Their mean, over
    /// the classes of a sigmoid or the films of a softmax, is 1, and so is the weight of a class without films.
    pub fn class_weights(&self, head: Head, frame: &Frame) -> Option<Vec<f32>> {
        let mut films = vec![0.0f64; frame.genres.len()];
        frame.train.iter().flat_map(|film| &film.genres).for_each(|&genre| films[genre] += 1.0);
        let weight = |films: f64| match self.balance {
            Balance::EffectiveWeights => (1.0 - EFFECTIVE) / (1.0 - EFFECTIVE.powf(films)),
            _ => 1.0 / films,
        };
        if !matches!(self.balance, Balance::Weights | Balance::EffectiveWeights) {
            return None;
        }
        let present = films.iter().copied().filter(|&films| films > 0.0);
        let mean = match head {
            Head::Sigmoid => present.clone().map(weight).sum::<f64>() / present.count() as f64,
            Head::Softmax => present.clone().map(|films| weight(films) * films).sum::<f64>() / present.sum::<f64>(),
        };
        // That no film has a genre is to be learned, too, and is learned easily.
        Some(films.iter().map(|&films| if films > 0.0 { (weight(films) / mean) as f32 } else { 1.0 }).collect())
    }
}

/// Beta of [`Balance::EffectiveWeights`].
const EFFECTIVE: f64 = 0.999;
