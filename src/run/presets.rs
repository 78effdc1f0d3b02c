//! The recipes that have names. What differs from another one stands here; the rest is taken over.

use crate::data::decode::ImageSpec;
use crate::data::labels::beside::Topics;
use crate::data::transform::Views;
use crate::nn::{Decay, Padding, Rule};
use crate::report::Monitor;
use crate::run::recipe::{Balance, Keep, Pooling, PrecisionOption, Recipe};

impl Recipe {
    /// The recipe of the starting report: what Keras does when nothing is asked of it.
    pub fn report() -> Self {
        Self {
            input: ImageSpec::POSTER,
            filters: vec![16, 32, 64],
            residual: 0,
            squeeze_excite: 0,
            stem: 1,
            pooling: Pooling::Flatten,
            dense: 64,
            dropout: 0.5,
            bn_momentum: 0.99,
            padding: Padding::Valid,
            epochs: 10,
            steps: None,
            progressive: Vec::new(),
            batch: Self::BATCH,
            rule: Rule::adam(1e-3),
            warmup: 0.0,
            schedule: Decay::Constant,
            clip_norm: 0.0,
            plateau: 0,
            plateau_factor: 0.1,
            patience: 0,
            ema: 0.0,
            precision: PrecisionOption::F32,
            flip: false,
            crop: 1.0,
            jitter: 0.0,
            randaugment: 0,
            magnitude: 0.5,
            cutout: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            balance: Balance::None,
            focal: 0.0,
            label_smoothing: 0.0,
            auxiliary: Topics::default(),
            auxiliary_weight: AUXILIARY_WEIGHT,
            keep: Keep::Last,
            monitor: Monitor::Auto,
            tune_thresholds: false,
            views: Views::One,
            transfer: 0.0,
        }
    }

    /// The recipe that learns most in minutes from the sample of real posters that it was chosen on.
    pub fn best() -> Self {
        Self {
            input: ImageSpec::square(128),
            filters: vec![32, 64, 128, 256, 256],
            pooling: Pooling::Average,
            dense: 0,
            dropout: 0.2,
            bn_momentum: 0.9,
            padding: Padding::Same,
            epochs: 24,
            rule: Rule::adamw(2e-3, 0.05),
            warmup: 0.2,
            schedule: Decay::Cosine,
            flip: true,
            crop: 0.6,
            jitter: 0.2,
            balance: Balance::Auto,
            keep: Keep::Best,
            tune_thresholds: true,
            views: Views::Flip,
            transfer: 0.25,
            ..Self::report()
        }
    }

    /// The recipe that learns more, in about three times as long: a larger network, posters varied more
    /// strongly, and more epochs of them. It is meant to start from what [`patterns`](Self::patterns) has
    /// learned.
    pub fn long() -> Self {
        Self {
            residual: 1,
            squeeze_excite: 8,
            dropout: 0.4,
            epochs: 40,
            rule: Rule::adamw(2e-3, 0.3),
            ema: 0.998,
            precision: PrecisionOption::Auto,
            crop: 0.4,
            jitter: 0.4,
            cutout: 0.4,
            mixup: 0.4,
            views: Views::Crops,
            ..Self::best()
        }
    }

    /// The recipe that learns shapes and textures for [`long`](Self::long) to start from, on the patterns
    /// that [`demo::draw_patterns`](crate::data::demo::draw_patterns) draws: the same network, smaller
    /// pictures.
    pub fn patterns() -> Self {
        Self {
            input: ImageSpec::square(96),
            dropout: 0.0,
            epochs: 12,
            rule: Rule::adamw(1.5e-3, 0.05),
            warmup: 0.1,
            ema: 0.0,
            crop: 0.5,
            jitter: 0.3,
            cutout: 0.2,
            mixup: 0.0,
            keep: Keep::Last,
            views: Views::One,
            ..Self::long()
        }
    }
}

/// The default of [`Recipe::auxiliary_weight`]: what is asked for in the end counts most, and two or
/// three heads teach as much together. That of the auxiliary classifiers in GoogLeNet, too.
///
/// Szegedy et al. 2015, Going Deeper with Convolutions, <https://arxiv.org/abs/1409.4842>, section 5.
const AUXILIARY_WEIGHT: f32 = 0.3;
