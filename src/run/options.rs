//! The options of a run.

use crate::classifier::ensemble::member_folder;
use crate::data::refusal::OnBadImage;
use crate::data::split::Fold;
use crate::error::Result;
use crate::nn::{Rule, Statistics};
use crate::ranks::Team;
use crate::run::recipe::Recipe;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The name of the folder of a fold, counted from 1, in that of a cross-fitting.
pub fn fold_folder(number: usize) -> String {
    format!("fold-{number}")
}

/// What the films of folds are called in `metrics.json`.
pub const OUT_OF_FOLD: &str = "out-of-fold";

/// All effective options of a run; written to `config.toml`.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// The folder of the data, in the Letterboxd layout.
    #[serde(serialize_with = "lossy")]
    pub data: PathBuf,
    /// The folder of the results.
    #[serde(serialize_with = "lossy")]
    pub out: PathBuf,
    /// The folder of the cache of decoded posters; `None` where posters are decoded whenever they
    /// are needed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_or_none")]
    pub cache: Option<PathBuf>,
    /// What becomes of posters that do not decode.
    pub on_bad_image: OnBadImage,
    /// The share of films that may lack a poster that decodes.
    pub max_missing: f64,
    /// The most training films; `None` takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The most validation films; `None` takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_val: Option<usize>,
    /// The most genres that a film may have; films with more are dropped.
    pub max_genres: usize,
    /// The most training and validation films per genre in top-6.
    pub per_genre: usize,
    /// The name of the recipe that the options started from.
    pub recipe_name: &'static str,
    /// The model and its training.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// The hours that the run may take, from which the steps of its recipe are derived before it begins;
    /// `None` where the recipe says how long it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<f64>,
    /// The folder of a trained experiment whose weights the run starts from.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_or_none")]
    pub init_from: Option<PathBuf>,
    /// What the run learns from beside the labels; `None` where these are all.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub teaching: Option<Teaching>,
    /// The seed of everything random.
    pub seed: u64,
    /// The number of models that are trained, with seeds from `seed` on, and averaged; 1 is a plain
    /// model.
    #[serde(skip_serializing_if = "is_one")]
    pub members: usize,
    /// The number of folds into which the films of train and val fall; see
    /// [`cross_fit`](crate::run::cross_fit). `None` where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// The fold, counted from 1, that this run predicts; it learns from the others. `None` where it
    /// is a run for each of them, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// The number of worker threads, of each rank.
    pub threads: usize,
    /// The ranks that share the run.
    #[serde(skip)]
    pub team: Team,
    /// Whether the learning rate of the recipe is for batches of 32, and grows with those of this run.
    #[serde(skip_serializing_if = "is_false")]
    pub scale_lr: bool,
    /// Whether each rank normalises by the statistics of its own share of a batch.
    #[serde(skip_serializing_if = "is_false")]
    pub local_bn: bool,
    /// The most minutes between two checkpoints.
    pub checkpoint_every: f64,
    /// Whether the results of an earlier run may be replaced.
    #[serde(skip)]
    pub overwrite: bool,
    /// Whether a run that did not finish is taken up where its last checkpoint left it.
    #[serde(skip)]
    pub resume: bool,
    /// Whether the test films are left alone, as where recipes are compared.
    #[serde(skip_serializing_if = "is_false")]
    pub no_test: bool,
}

/// A trained classifier whose probabilities are learned beside the labels; see
/// [`teacher`](crate::classifier::teacher).
#[derive(Clone, Debug, Serialize)]
pub struct Teaching {
    /// The folder of its run or of its experiment.
    #[serde(rename = "teacher", serialize_with = "lossy")]
    pub run: PathBuf,
    /// The share of its probabilities in what is learned.
    #[serde(rename = "teacher_weight")]
    pub weight: f32,
    /// The SHA-256 of its models; see [`settled`](crate::run::teaching::settled), which also finds the
    /// next.
    #[serde(rename = "teacher_sha256")]
    pub sha256: Vec<String>,
    /// The memory that it takes to answer about a batch, in bytes.
    #[serde(skip)]
    pub bytes: u64,
}

impl Teaching {
    /// The default of `weight`.
    pub const WEIGHT: f32 = 0.7;
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A path that is not UTF-8 is shown as well as it can be.
fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

fn lossy_or_none<S: serde::Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(to)
}

impl Options {
    /// The default of `max_genres`, which is that of the starting report.
    pub const MAX_GENRES: usize = 3;
    /// The default of `per_genre`, which is that of the starting report.
    pub const PER_GENRE: usize = 25_000;

    /// The default of `checkpoint_every`.
    pub const CHECKPOINT_EVERY: f64 = 5.0;

    /// The options of a run with defaults for all but the arguments: all films, seed 1, the threads
    /// of the current pool, no cache; posters that do not decode are skipped.
    pub fn new(data: &Path, out: &Path, recipe: Recipe) -> Self {
        Self {
            data: data.to_path_buf(),
            out: out.to_path_buf(),
            cache: None,
            on_bad_image: OnBadImage::Skip,
            max_missing: 1.0,
            limit: None,
            limit_val: None,
            max_genres: Self::MAX_GENRES,
            per_genre: Self::PER_GENRE,
            recipe_name: "own",
            recipe,
            hours: None,
            init_from: None,
            teaching: None,
            seed: 1,
            members: 1,
            folds: None,
            fold: None,
            threads: rayon::current_num_threads(),
            team: Team::default(),
            scale_lr: false,
            local_bn: false,
            checkpoint_every: Self::CHECKPOINT_EVERY,
            overwrite: false,
            resume: false,
            no_test: false,
        }
    }

    /// The fold that this run keeps for its end.
    pub fn held_out(&self) -> Option<Fold> {
        let (number, of) = (self.fold?, self.folds?);
        Some(Fold { number, of })
    }

    /// The update rule and the share of warm-up of a training of so many epochs: those of the recipe, or
    /// scaled to the size of the batches. A batch that is k times as large takes k times the learning rate
    /// with SGD (Goyal et al. 2017, <https://arxiv.org/abs/1706.02677>, which also has five epochs of
    /// warm-up), and sqrt(k) times with Adam, whose steps do not shrink as gradients do (Malladi et al.
    /// 2022, <https://arxiv.org/abs/2205.10287>).
    pub fn rule(&self, epochs: usize) -> (Rule, f64) {
        let Recipe { rule, warmup, batch, .. } = self.recipe;
        if !self.scale_lr {
            return (rule, warmup);
        }
        let times = batch as f64 / Recipe::BATCH as f64;
        let factor = match rule {
            Rule::Sgd(_) => times,
            Rule::Adam(_) => times.sqrt(),
        };
        let five_epochs = (5.0 / epochs.max(1) as f64).min(0.5);
        (rule.slowed(factor as f32), if times > 1.0 { warmup.max(five_epochs) } else { warmup })
    }

    /// What batch norm takes mean and variance of.
    pub fn statistics(&self) -> Statistics {
        if self.local_bn { Statistics::OfOwnRank } else { Statistics::OfAllRanks }
    }

    /// Whether they ask for a run for each fold.
    pub fn is_cross_fit(&self) -> bool {
        self.folds.is_some() && self.fold.is_none()
    }

    /// The folders of the members in that of an ensemble; none of a plain run.
    pub fn member_folders(&self) -> Vec<PathBuf> {
        let count = if self.members == 1 { 0 } else { self.members };
        (1..=count).map(|number| self.out.join(member_folder(number))).collect()
    }

    /// The options of the experiment in position `turn` of the run, counted from 0. The results of
    /// the first experiment are in the folder `first`.
    pub fn of_turn(&self, turn: usize, first: &Path) -> Self {
        if turn == 0 || self.recipe.transfer == 0.0 {
            return self.clone();
        }
        Self { recipe: self.recipe.of_turn(turn), init_from: Some(first.to_path_buf()), ..self.clone() }
    }
}
