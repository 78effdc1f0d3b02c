//! Recipes: what a model is and how it is trained, in one value whose fields are the options of the
//! command line.
//!
//! An option is a field of [`Recipe`], with its help and its bounds beside it, and its values in
//! the [presets](super::presets); nothing else has to know of it but the code that uses it.

use crate::classifier::experiment::Experiment;
use crate::data::auxiliary::Taught;
use crate::data::decode::ImageSpec;
use crate::data::frames::Frame;
use crate::data::labels::beside::Topics;
use crate::data::transform::{Augment, Views};
use crate::nn::{AuxiliaryHeads, Decay, Head, ModelSpec, Padding, Rule};
use crate::report::Monitor;
use crate::run::course::Course;
use crate::run::recipe::headings::{AUXILIARY, KEPT, LOSS, MODEL, TRAINING, VARIATIONS};
use crate::run::values::{
    at_least_one, at_most, choice, filters, image_size, image_size_text, image_sizes, image_sizes_text, not_negative,
    part, positive, share, share_up_to_one, up_to, up_to_one,
};
use clap::{ArgAction, Args, ValueEnum};
use serde::{Deserialize, Serialize, Serializer};

/// The headings that the options stand under in the help text.
pub(super) mod headings {
    pub const MODEL: &str = "Model";
    pub const TRAINING: &str = "Training";
    pub const VARIATIONS: &str = "Variations of the posters";
    pub const LOSS: &str = "Rare genres and the loss";
    pub const AUXILIARY: &str = "Auxiliary heads";
    pub const KEPT: &str = "What is kept and used";
}

/// A model, its training and its use.
#[derive(Clone, Debug, PartialEq, Serialize, Args)]
pub struct Recipe {
    /// Size that posters are brought to: N pixels high and wide, or height and width; each at most 256.
    /// Posters are about 3 high and 2 wide, which 160x112 keeps.
    #[serde(serialize_with = "number_or_sides")]
    #[arg(long, value_name = "N|HxW", value_parser = image_size, help_heading = MODEL)]
    pub input: ImageSpec,
    /// Filters of the convolutions, one block each.
    // The path in full keeps clap from taking one value for several.
    #[arg(long, value_name = "N,N,..", value_parser = filters, help_heading = MODEL)]
    pub filters: ::std::vec::Vec<usize>,
    /// Side of the squares of pixels that become one pixel with all their channels before the first block;
    /// 1 leaves the pixels as they are. 2 shows a network details of twice the size for hardly more time.
    #[arg(long, value_name = "N", value_parser = up_to(16), help_heading = MODEL)]
    pub stem: usize,
    /// Convolutions of a residual branch after each block but the first, each with ReLU and batch norm,
    /// whose result is added to the block's; 0 is no branch.
    #[arg(long, value_name = "N", value_parser = at_most(16), help_heading = MODEL)]
    pub residual: usize,
    /// Squeeze-and-excite at the end of each branch, or of each block where there are none: as many
    /// channels share a unit of its hidden layer; 0 is none.
    #[arg(long, value_name = "N", value_parser = at_most(1_024), help_heading = MODEL)]
    pub squeeze_excite: usize,
    /// How the last block's image becomes a vector: all its values, or the mean of its pixels.
    #[arg(long, help_heading = MODEL)]
    pub pooling: Pooling,
    /// Units of a dense layer before the last one; 0 is none.
    #[arg(long, value_name = "N", value_parser = at_most(16_384), help_heading = MODEL)]
    pub dense: usize,
    /// The fraction of its input that dropout drops before the last layer.
    #[arg(long, value_name = "F", value_parser = share::<f32>, help_heading = MODEL)]
    pub dropout: f32,
    /// Momentum of batch norm's moving statistics, in Keras' sense: nearer to 1 is slower.
    #[arg(long, value_name = "F", value_parser = share::<f32>, help_heading = MODEL)]
    pub bn_momentum: f32,
    /// Border of the convolutions: none, or zeros that keep the size.
    #[arg(long, value_parser = choice(&PADDINGS), help_heading = MODEL)]
    pub padding: Padding,
    /// Passes over the training films.
    #[arg(long, value_name = "N", value_parser = at_least_one(), help_heading = TRAINING)]
    pub epochs: usize,
    /// Steps of the training, in place of --epochs: the last epoch ends with them, wherever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(
        long,
        value_name = "N",
        value_parser = at_least_one(),
        conflicts_with = "epochs",
        help_heading = TRAINING
    )]
    pub steps: Option<usize>,
    /// Smaller sizes of posters that the training begins with: each, and then --input, is that of an equal
    /// part of the epochs; `none` trains at --input alone.
    #[serde(serialize_with = "list_of_sizes")]
    #[arg(long, value_name = "N,N,..", value_parser = image_sizes, help_heading = TRAINING)]
    pub progressive: ::std::vec::Vec<ImageSpec>,
    /// Batch size: films per step.
    #[arg(long, value_name = "N", value_parser = up_to(4_096), visible_alias = "batch-size", help_heading = TRAINING)]
    pub batch: usize,
    /// The update rule; on the command line those of
    /// [`RuleOptions`](crate::run::recipe_options::RuleOptions).
    #[serde(flatten)]
    #[arg(skip = Rule::adam(1e-3))]
    pub rule: Rule,
    /// The share of all steps in which the learning rate rises from 0.
    #[arg(long, value_name = "SHARE", value_parser = share::<f64>, help_heading = TRAINING)]
    pub warmup: f64,
    /// The learning rate after its rise: it stays, or falls to 0 along a cosine.
    #[arg(long, value_parser = choice(&DECAYS), help_heading = TRAINING)]
    pub schedule: Decay,
    /// Shorten gradients to this norm, all parameters together, where they are longer; 0 leaves
    /// them as they are.
    #[arg(long, value_name = "F", value_parser = not_negative::<f32>, help_heading = TRAINING)]
    pub clip_norm: f32,
    /// Lower the learning rate after this many epochs without a better one, and again after as many
    /// more; 0 never does.
    #[arg(long, value_name = "N", value_parser = at_most(1 << 32), help_heading = TRAINING)]
    pub plateau: usize,
    /// The factor of the learning rate on such a plateau.
    #[arg(long, value_name = "F", value_parser = part::<f64>, help_heading = TRAINING)]
    pub plateau_factor: f64,
    /// Early stopping: end the training after this many epochs without a better one; 0 never does.
    #[arg(long, value_name = "N", value_parser = at_most(1 << 32), help_heading = TRAINING)]
    pub patience: usize,
    /// Keep a moving average of the weights, of which a step keeps this share, and use it; 0 keeps
    /// none.
    #[arg(long, value_name = "SHARE", value_parser = share::<f64>, help_heading = TRAINING)]
    pub ema: f64,
    /// What the convolutions of a training step multiply: f32, or bf16, of which some processors multiply
    /// twice as many; auto takes bf16 where a short measurement says that it is faster. All else is f32.
    #[arg(long, help_heading = TRAINING)]
    pub precision: PrecisionOption,
    /// Mirror every other poster.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, help_heading = VARIATIONS)]
    pub flip: bool,
    /// Show a random part of each poster, of at least this share of its area; 1 shows all.
    #[arg(long, value_name = "SHARE", value_parser = share_up_to_one::<f32>, help_heading = VARIATIONS)]
    pub crop: f32,
    /// Change brightness, contrast and saturation by up to this share.
    #[arg(long, value_name = "SHARE", value_parser = share::<f32>, help_heading = VARIATIONS)]
    pub jitter: f32,
    /// Apply N operations to each poster, drawn from the list of RandAugment: turn, shear, move, colours,
    /// sharpness, fewer levels, and the like; 0 applies none.
    #[arg(long, value_name = "N", value_parser = at_most(10), help_heading = VARIATIONS)]
    pub randaugment: usize,
    /// The greatest strength of the operations of --randaugment, as a share of what each can do; theirs is
    /// drawn from 0 to this.
    #[arg(long, value_name = "SHARE", value_parser = share_up_to_one::<f32>, help_heading = VARIATIONS)]
    pub magnitude: f32,
    /// Grey a square at a random place, its side this share of the poster's.
    #[arg(long, value_name = "SHARE", value_parser = share::<f32>, help_heading = VARIATIONS)]
    pub cutout: f32,
    /// Mix posters and their genres in pairs, by shares from Beta(F, F).
    #[arg(long, value_name = "F", value_parser = not_negative::<f32>, help_heading = VARIATIONS)]
    pub mixup: f32,
    /// Take a rectangle of each poster, and a share of its genres, from another poster, by shares from
    /// Beta(F, F); with --mixup each poster draws one of the two.
    #[arg(long, value_name = "F", value_parser = not_negative::<f32>, help_heading = VARIATIONS)]
    pub cutmix: f32,
    /// What to do about rare genres: what suits the experiment; nothing; cut train and val to the
    /// smallest (top-6); weigh them more in the loss, by number of films or by their effective
    /// number; draw them more often.
    #[arg(long, help_heading = LOSS)]
    pub balance: Balance,
    /// Focal loss: how much less a genre counts that is known already; 0 is cross-entropy.
    #[arg(long, value_name = "F", value_parser = not_negative::<f32>, help_heading = LOSS)]
    pub focal: f32,
    /// Spread this share of each label evenly.
    #[arg(long, value_name = "SHARE", value_parser = share::<f32>, help_heading = LOSS)]
    pub label_smoothing: f32,
    /// What multi-label learns to tell beside the genres, from files beside genres.csv, and from posters
    /// without genres, too: some of themes,countries,languages,decade,studios, or none. Nothing of it
    /// is in the saved model.
    #[arg(long, value_name = "LIST", help_heading = AUXILIARY)]
    pub auxiliary: Topics,
    /// The factor of the loss of each of them, beside that of the genres.
    #[arg(long, value_name = "F", value_parser = positive::<f32>, help_heading = AUXILIARY)]
    pub auxiliary_weight: f32,
    /// Which weights to keep: the last, or the best checkpoint, that of the epoch which was best on
    /// the validation films.
    #[arg(long, help_heading = KEPT)]
    pub keep: Keep,
    /// The metric on the validation films that says which epoch is better: for --keep best,
    /// --patience and --plateau, and for a sweep.
    #[arg(long, help_heading = KEPT)]
    pub monitor: Monitor,
    /// Give each genre the threshold with the best F1 on the validation films, in place of 0.5
    /// (multi-label alone).
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, help_heading = KEPT)]
    pub tune_thresholds: bool,
    /// Views of a poster that a trained model's answers are averaged over: one, with its mirror
    /// image, with crops.
    #[arg(long, help_heading = KEPT)]
    pub views: Views,
    /// In a run of all experiments, start single-genre and top-6 from the weights that multi-label
    /// ended with, and train them for this share of the epochs at this share of the learning rate;
    /// 0 starts them afresh.
    // The films with one genre are too few to learn from alone, and are among those of multi-label.
    #[arg(
        long,
        value_name = "SHARE",
        value_parser = up_to_one::<f64>,
        help_heading = TRAINING
    )]
    pub transfer: f64,
}

const PADDINGS: [(&str, &str, Padding); 2] = [
    ("valid", "The window stays inside the image", Padding::Valid),
    ("same", "Zeros around the image, so that it keeps its size", Padding::Same),
];

const DECAYS: [(&str, &str, Decay); 2] = [
    ("constant", "It stays", Decay::Constant),
    ("cosine", "It falls to 0 along half a cosine that ends with the training", Decay::Cosine),
];

/// The precision that a training step multiplies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionOption {
    /// f32.
    F32,
    /// Operands are rounded to bf16, sums are f32.
    Bf16,
    /// bf16 where this machine multiplies it faster, else f32.
    Auto,
}

/// How the image that the last block leaves becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// All its values.
    Flatten,
    /// The mean of its pixels.
    Average,
}

/// What is done about genres that are rarer than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The sampler in top-6, whose question is a balanced one; nothing in the others.
    Auto,
    /// Nothing.
    None,
    /// In top-6, train and validation are cut to the smallest genre.
    Undersample,
    /// A genre's share of the loss is weighted by one over its number of films.
    Weights,
    /// A genre's share of the loss is weighted by one over its effective number of films, which
    /// grows ever more slowly with their number.
    ///
    /// Cui et al. 2019, Class-Balanced Loss, <https://arxiv.org/abs/1901.05555>, with beta = 0.999.
    EffectiveWeights,
    /// Films are drawn so that every genre comes up equally often, or nearly so where films have several.
    Sampler,
}

/// Which epoch's weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those of the last epoch.
    Last,
    /// Those of the best epoch on the validation films, of equally good ones the last.
    Best,
}

/// A square as the number of its pixels a side, another size as text.
fn number_or_sides<S: Serializer>(size: &ImageSpec, to: S) -> Result<S::Ok, S::Error> {
    match size.height == size.width {
        true => size.height.serialize(to),
        false => image_size_text(*size).serialize(to),
    }
}

fn list_of_sizes<S: Serializer>(sizes: &[ImageSpec], to: S) -> Result<S::Ok, S::Error> {
    image_sizes_text(sizes).serialize(to)
}

impl Recipe {
    /// The size of the batches that the learning rates of all presets are meant for.
    pub const BATCH: usize = 32;

    /// The recipe of the experiment in position `turn` of a run, counted from 0. The experiments
    /// after the first start from its weights and take a share of its training; see
    /// [`transfer`](Self::transfer).
    pub fn of_turn(&self, turn: usize) -> Self {
        if turn == 0 || self.transfer == 0.0 {
            return self.clone();
        }
        let epochs = (self.epochs as f64 * self.transfer).ceil() as usize;
        let steps = self.steps.map(|steps| (steps as f64 * self.transfer).ceil() as usize);
        Self { epochs, steps, rule: self.rule.slowed(self.transfer as f32), ..self.clone() }
    }

    /// How long the training on so many films is.
    pub fn course(&self, train: usize) -> Course {
        match self.steps {
            Some(steps) => Course::of_steps(train, self.batch, steps),
            None => Course::of_epochs(train, self.batch, self.epochs),
        }
    }

    /// The recipe with what an experiment uses of it.
    pub fn of_experiment(&self, experiment: &Experiment) -> Self {
        let auxiliary = if experiment.takes_auxiliary() { self.auxiliary.clone() } else { Topics::default() };
        Self { auxiliary, ..self.clone() }
    }

    /// What the auxiliary heads of a training are.
    pub fn auxiliary_heads(&self, taught: &Taught) -> AuxiliaryHeads {
        let outputs = taught.heads.all.iter().map(|head| head.classes.len()).collect();
        AuxiliaryHeads { outputs, weight: self.auxiliary_weight }
    }

    /// The size of posters in an epoch of a training, counted from 1; that of the last epoch is the
    /// model's own.
    ///
    /// Tan and Le 2021, EfficientNetV2, <https://arxiv.org/abs/2104.00298>, section 4, without what it does
    /// about regularisation.
    pub fn size_in(&self, epoch: usize, epochs: usize) -> ImageSpec {
        let part = (epoch * (self.progressive.len() + 1)).div_ceil(epochs.max(1));
        self.progressive.get(part - 1).copied().unwrap_or(self.input)
    }

    /// The pixels of a poster, over all of a training, as a share of those at the model's size.
    pub fn share_of_pixels(&self) -> f64 {
        let sizes = self.progressive.iter().chain([&self.input]);
        let all: usize = sizes.map(|size| size.bytes()).sum();
        all as f64 / (self.input.bytes() * (self.progressive.len() + 1)) as f64
    }

    /// What varies from one showing of a poster to the next.
    pub fn augment(&self) -> Augment {
        let &Self { flip, crop, jitter, randaugment, magnitude, cutout, mixup, cutmix, .. } = self;
        Augment { flip, crop, jitter, randaugment, magnitude, cutout, mixup, cutmix }
    }

    /// What is done about rare genres in an experiment.
    pub fn balance_of(&self, experiment: &Experiment) -> Balance {
        match self.balance {
            Balance::Auto if experiment.is_of_top_genres() => Balance::Sampler,
            Balance::Auto => Balance::None,
            asked => asked,
        }
    }

    /// Blocks of convolution + ReLU, batch norm and max-pooling, each with its residual branch, then
    /// dense layers.
    pub fn model(&self, classes: usize) -> ModelSpec {
        let Self { input, filters, pooling, dense, dropout, bn_momentum, padding, .. } = self;
        let normalised =
            |spec: ModelSpec, filters, padding| spec.conv2d(filters, 3, padding).relu().batch_norm(*bn_momentum);
        let excited = |spec: ModelSpec, filters: usize| match self.squeeze_excite {
            0 => spec,
            channels => spec.squeeze_excite(filters.div_ceil(channels)),
        };
        let branch = |spec: ModelSpec, filters| {
            let convolved = (0..self.residual).fold(spec, |spec, _| normalised(spec, filters, Padding::Same));
            excited(convolved, filters)
        };
        let mut spec = ModelSpec::input(&[input.height, input.width, 3]);
        if self.stem > 1 {
            spec = spec.space_to_depth(self.stem);
        }
        for (i, &filters) in filters.iter().enumerate() {
            spec = normalised(spec, filters, *padding).max_pool2d(2);
            spec = match self.residual {
                0 => excited(spec, filters),
                _ if i == 0 => spec,
                _ => spec.residual(|spec| branch(spec, filters)),
            };
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

    /// The weights of the classes in the loss, for the training films of a frame; `None` where all
    /// weigh the same. Their mean, over the classes of a sigmoid or the films of a softmax, is 1,
    /// and so is the weight of a class without films.
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
        // That a genre has no films is to be learned, too, and is learned easily.
        Some(films.iter().map(|&films| if films > 0.0 { (weight(films) / mean) as f32 } else { 1.0 }).collect())
    }
}

/// The beta of [`Balance::EffectiveWeights`].
const EFFECTIVE: f64 = 0.999;
