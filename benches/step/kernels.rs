//! The convolution kernels of the model, each on its own, on operands that are claimed and touched beforehand.

use crate::peak::{Effort, Pool, median};
use onesheet::nn::{LayerSpec, ModelSpec};
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::conv_block::{self, ConvBlockShape, Source, Workspace};
use onesheet_kernels::conv2d::{BackwardW, BackwardX, Conv2dShape, Forward};
use onesheet_kernels::simd::Isa;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// Images in the operands: more than the L1 and L2 caches hold, and work for several threads.
const IMAGES: usize = 4;

/// A kernel's speed on so many threads.
#[derive(Serialize)]
pub struct KernelSpeed {
    /// Such as `conv1.forward`.
    pub name: String,
    /// Threads of the pool.
    pub threads: usize,
    /// Median.
    pub gflops: f64,
    /// By the FMA peak at as many threads, measured beside it; median.
    pub fraction_of_peak: f64,
}

/// Measures forward, backward_x and backward_w of each convolution of `spec` on each pool. The first has no backward_x, and its
/// forward is that of its whole block, from bytes to pooled values.
pub fn measure(isa: Isa, spec: &ModelSpec, pools: &mut [Pool], effort: Effort) -> Vec<KernelSpeed> {
    let mut speeds = Vec::new();
    for (i, shape) in convolutions(spec).iter().enumerate() {
        let Conv2dShape { oc, kh, kw, ic, .. } = *shape;
        let flops = 2.0 * (shape.y_len() * kh * kw * ic) as f64;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(i as u64);
        let mut random = |len: usize| {
            let mut values = Buffer::new(len);
            values.fill_with(|| rng.random_range(-1.0..1.0));
            values
        };
        let (x, w, bias, dy) = (random(shape.x_len()), random(shape.w_len()), random(oc), random(shape.y_len()));
        let (mut y, mut dx) = (random(shape.y_len()), random(shape.x_len()));
        let (mut dw, mut db) = (random(shape.w_len()), random(oc));
        let mut packed_w = random(shape.moved_w_len());
        let (mut turned_w, mut partials) = (random(shape.moved_w_len()), random(shape.partials_len()));

        let mut measure = |pass: &str, call: &mut (dyn FnMut() + Send)| {
            for pool in &mut *pools {
                let samples = pool.measure(effort, flops, &mut *call);
                let speed = KernelSpeed {
                    name: format!("conv{}.{pass}", i + 1),
                    threads: pool.threads,
                    gflops: median(&samples.rates) * flops / 1e9,
                    fraction_of_peak: median(&samples.of_peak),
                };
                let KernelSpeed { name, threads, gflops, fraction_of_peak } = &speed;
                println!("| {name:<17} | {threads:>7} | {gflops:>7.1} | {:>13.1} % |", 100.0 * fraction_of_peak);
                speeds.push(speed);
            }
        };
        if i == 0 {
            // As the model runs it: bytes to numbers, convolution, ReLU, sums and pooling in one.
            let block = &ConvBlockShape { conv: *shape };
            let bytes: Vec<u8> = x.iter().map(|x| (x.abs() * 255.0) as u8).collect();
            let gamma = &vec![1.0; oc];
            let (mut p, mut mean, mut variance) = (Buffer::new(block.p_len()), bias.clone(), bias.clone());
            let mut workspace = Workspace::default();
            measure("forward", &mut || {
                let x = Source::U8(&bytes, 1.0 / 255.0);
                let (w, bias, a, p, mean, variance) = (&w, &bias, &mut y, &mut p, &mut mean, &mut variance);
                let workspace = &mut workspace;
                conv_block::Forward { shape: block, x, w, bias, gamma, a, p, mean, variance, workspace }.run(isa);
            });
        } else {
            measure("forward", &mut || {
                Forward { shape, x: &x, w: &w, bias: &bias, relu: true, y: &mut y, packed_w: &mut packed_w }.run(isa);
            });
            measure("backward_x", &mut || {
                BackwardX { shape, dy: &dy, w: &w, dx: &mut dx, turned_w: &mut turned_w }.run(isa);
            });
        }
        measure("backward_w", &mut || {
            let (dw, db, partials) = (&mut dw, &mut db, &mut partials);
            BackwardW { shape, x: &x, dy: &dy, dw, db, partials }.run(isa);
        });
    }
    speeds
}

/// The shapes of a model's convolutions.
fn convolutions(spec: &ModelSpec) -> Vec<Conv2dShape> {
    let (_, shapes) = spec.plan().expect("the model's shapes fit");
    let layers = spec.layers.iter().zip(&shapes).filter_map(|(layer, input)| match *layer {
        LayerSpec::Conv2d { filters, kernel: [kh, kw], stride, padding } => Some(Conv2dShape {
            n: IMAGES,
            h: input[0],
            w: input[1],
            ic: input[2],
            oc: filters,
            kh,
            kw,
            stride,
            padding: padding.into(),
        }),
        _ => None,
    });
    layers.collect()
}
