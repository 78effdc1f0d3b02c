//! A model's arithmetic, and a training step of it on a batch in memory.

use crate::models::{self, GENRES, Model};
use onesheet::nn::{Head, Input, Isa, LayerSpec, ModelSpec, Optimizer, Pass, Rule, Sequential, Trainer};
use onesheet_kernels::conv2d::{self, Conv2dShape};
use rand::{RngExt, SeedableRng};
use std::hint::black_box;

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
    /// Counts the operations of a model by the direct sum.
    pub fn of(spec: &ModelSpec) -> Self {
        Self::count(spec, |_, _| 1.0)
    }

    /// Counts the operations that the chosen algorithms really issue.
    pub fn issued(isa: Isa, spec: &ModelSpec) -> Self {
        Self::count(spec, |shape, pass| models::issued(isa, shape, pass))
    }

    /// Counts what `share` says of each pass of a convolution, and all of the dense layers.
    fn count(spec: &ModelSpec, share: impl Fn(&Conv2dShape, conv2d::Pass) -> f64) -> Self {
        let plan = spec.plan().expect("the model's shapes fit");
        let mut shapes = models::convolutions(spec, 1).into_iter();
        let (mut forward, mut step) = (0.0, 0.0);
        let layers = spec.layers.iter().zip(&plan).filter(|(_, planned)| planned.flops > 0);
        for (i, (layer, planned)) in layers.enumerate() {
            let shape = matches!(layer, LayerSpec::Conv2d { .. }).then(|| shapes.next().expect("one each"));
            let flops = |pass| planned.flops as f64 * shape.as_ref().map_or(1.0, |shape| share(shape, pass));
            let input = if i == 0 { 0.0 } else { flops(conv2d::Pass::BackwardX) };
            forward += flops(conv2d::Pass::Forward);
            step += flops(conv2d::Pass::Forward) + input + flops(conv2d::Pass::BackwardW);
        }
        Self { forward, step }
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
    /// Builds the model with fresh weights, and buffers for `batch` images; it trains and predicts in the
    /// precision of `isa`.
    pub fn new(isa: Isa, model: Model, batch: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let spec = model.spec();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let images = (0..batch * spec.input.iter().product::<usize>()).map(|_| rng.random()).collect();
        let labels = (0..batch * GENRES).map(|_| f32::from(rng.random_bool(0.1))).collect();
        let mut model = Sequential::build(spec, isa, 1)?;
        model.train_in(isa.precision());
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
