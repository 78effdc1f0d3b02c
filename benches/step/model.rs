//! The model of the three experiments, its arithmetic, and a batch for it in memory.

use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Pass, Rule, Sequential, Trainer};
use onesheet::run::recipe::Recipe;
use rand::{RngExt, SeedableRng};
use std::hint::black_box;

/// The number of the model's outputs.
const GENRES: usize = 19;

/// The models that can be measured.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub enum Model {
    /// Conv3x3(16) + ReLU, batch norm, max-pooling; the same with 32 and with 64; Dense(64) + ReLU,
    /// dropout, Dense(19).
    Report,
    /// The model of the recipe that learns most.
    Best,
}

impl Model {
    /// The layers of the model.
    pub fn spec(self) -> ModelSpec {
        match self {
            Self::Report => Recipe::report().model(GENRES),
            Self::Best => Recipe::best().model(GENRES),
        }
    }
}

/// Floating-point operations per image in the convolutions and dense layers; a multiply-add counts
/// as two. All other layers together are below 1 % of that.
pub struct Flops {
    /// The operations of a prediction: the forward pass.
    pub forward: f64,
    /// The operations of a training step: the forward pass and both gradients, which cost as much
    /// each, except that the images have no gradient.
    pub step: f64,
}

impl Flops {
    /// Counts the operations of a model.
    pub fn of(spec: &ModelSpec) -> Self {
        let plan = spec.plan().expect("the model's shapes fit");
        let layers: Vec<f64> = plan.iter().map(|layer| layer.flops as f64).filter(|&flops| flops > 0.0).collect();
        let forward: f64 = layers.iter().sum();
        Self { forward, step: 3.0 * forward - layers[0] }
    }
}

/// A model in training and one batch of random images and labels.
pub struct Step {
    model: Sequential,
    trainer: Trainer,
    images: Vec<u8>,
    labels: Vec<f32>,
}

impl Step {
    /// Builds the model with fresh weights, and buffers for `batch` images.
    pub fn new(isa: Isa, model: Model, batch: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let spec = model.spec();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let images = (0..batch * spec.input.iter().product::<usize>()).map(|_| rng.random()).collect();
        let labels = (0..batch * GENRES).map(|_| f32::from(rng.random_bool(0.1))).collect();
        let mut model = Sequential::build(spec, isa, 1)?;
        model.reserve(batch);
        let optimizer = Optimizer::new(Rule::adam(1e-3), &mut model);
        Ok(Self { model, trainer: Trainer::new(Head::Sigmoid, optimizer, 1), images, labels })
    }

    /// Runs one training step: conversion, forward with dropout, binary cross-entropy, backward,
    /// Adam.
    pub fn train(&mut self) {
        let loss = self.trainer.step(&mut self.model, Input::U8(black_box(&self.images)), &self.labels);
        assert!(loss.is_finite(), "the loss is {loss}");
    }

    /// Runs one prediction: conversion and forward with the moving statistics, without dropout.
    pub fn predict(&mut self) {
        black_box(self.model.forward(Input::U8(black_box(&self.images)), Pass::Inference).values());
    }
}
