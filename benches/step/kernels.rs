//! The convolution kernels of the model, each on its own, and the blocks around them as a step runs
//! them, on operands that are allocated and touched beforehand.

use crate::models;
use crate::peak::{Effort, Pool, median};
use onesheet::nn::ModelSpec;
use onesheet_kernels::batch_norm::Normalization;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::conv_block::{self, Affine, ConvBlockShape, Source, Workspace};
use onesheet_kernels::conv2d::{self, BackwardW, BackwardX, Forward, Pass};
use onesheet_kernels::simd::Isa;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// Images in the operands: more than the L1 and L2 caches hold, and enough work for several
/// threads.
const IMAGES: usize = 4;

/// The speed of a kernel on a pool of threads.
#[derive(Serialize)]
pub struct KernelSpeed {
    /// The layer and the pass, such as `block1.forward`.
    pub name: String,
    /// The number of threads in the pool.
    pub threads: usize,
    /// The median speed in GFLOP/s.
    pub gflops: f64,
    /// The median share of the FMA peak on as many threads, measured beside the kernel, by the
    /// arithmetic of the direct sum.
    pub fraction_of_peak: f64,
    /// The same by the multiply-adds that are really issued.
    pub issued_fraction_of_peak: f64,
}

impl KernelSpeed {
    /// Measures `call` and prints a line. By the direct sum it performs `flops` operations; of
    /// these it issues the share `issued`.
    fn measure(
        name: String,
        pool: &mut Pool,
        effort: Effort,
        [flops, issued]: [f64; 2],
        call: &mut (dyn FnMut() + Send),
    ) -> Self {
        let samples = pool.measure(effort, flops, call);
        let (gflops, fraction_of_peak) = (median(&samples.rates) * flops / 1e9, median(&samples.of_peak));
        let issued_fraction_of_peak = issued * fraction_of_peak;
        let [direct, issued] = [fraction_of_peak, issued_fraction_of_peak].map(|share| 100.0 * share);
        println!("| {name:<17} | {:>7} | {gflops:>7.1} | {direct:>13.1} % | {issued:>6.1} % |", pool.threads);
        Self { name, threads: pool.threads, gflops, fraction_of_peak, issued_fraction_of_peak }
    }

    /// Prints the head of the table.
    pub fn print_head() {
        println!("| kernel            | threads | GFLOP/s | of the FMA peak | issued   |");
        println!("|-------------------|--------:|--------:|----------------:|---------:|");
    }
}

/// Measures forward, backward_x and backward_w of each convolution of `spec` on each pool. The
/// first convolution has backward_w alone: its input has no gradient, and its forward pass starts
/// from bytes, as a block.
pub fn measure(isa: Isa, spec: &ModelSpec, pools: &mut [Pool], effort: Effort) -> Vec<KernelSpeed> {
    let mut speeds = Vec::new();
    for (i, shape) in models::convolutions(spec, IMAGES).iter().enumerate() {
        let (oc, flops) = (shape.oc, models::flops(shape));
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(i as u64);
        let mut random = |len: usize| {
            let mut values = Buffer::new(len);
            values.fill_with(|| rng.random_range(-1.0..1.0));
            values
        };
        let (x, w, bias, dy) = (random(shape.x_len()), random(shape.w_len()), random(oc), random(shape.y_len()));
        let (mut y, mut dx) = (random(shape.y_len()), random(shape.x_len()));
        let (mut dw, mut db) = (random(shape.w_len()), random(oc));
        let mut workspace = conv2d::Workspace::default();

        let mut measure = |pass: Pass, call: &mut (dyn FnMut() + Send)| {
            let flops = [flops, models::issued(isa, shape, pass)];
            for pool in &mut *pools {
                let name = format!("conv{}.{}", i + 1, models::name(pass));
                speeds.push(KernelSpeed::measure(name, pool, effort, flops, call));
            }
        };
        if i > 0 {
            measure(Pass::Forward, &mut || {
                let (y, workspace) = (&mut y, &mut workspace);
                Forward { shape, x: &x, w: &w, bias: &bias, relu: true, y, workspace }.run(isa);
            });
            measure(Pass::BackwardX, &mut || {
                BackwardX { shape, dy: &dy, w: &w, dx: &mut dx, workspace: &mut workspace }.run(isa);
            });
        }
        measure(Pass::BackwardW, &mut || {
            let (dw, db, workspace) = (&mut dw, &mut db, &mut workspace);
            BackwardW { shape, x: &x, dy: &dy, dw, db, workspace }.run(isa);
        });
    }
    speeds
}

/// Measures forward and backward of each block of `spec` on each pool: the convolution, from bytes
/// or from the pooled values of the block below, with ReLU, batch norm and pooling. Only the
/// arithmetic of the convolutions is counted.
pub fn measure_blocks(
    isa: Isa,
    spec: &ModelSpec,
    batch: usize,
    pools: &mut [Pool],
    effort: Effort,
) -> Vec<KernelSpeed> {
    let mut speeds = Vec::new();
    for (i, conv) in models::convolutions(spec, batch).into_iter().enumerate() {
        let shape = &ConvBlockShape::new(conv);
        let conv = shape.conv();
        let (ic, oc, flops) = (conv.ic, conv.oc, models::flops(conv));
        let issued = |pass| models::issued(isa, conv, pass);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(i as u64);
        let mut random = |len: usize| {
            let mut values = Buffer::new(len);
            values.fill_with(|| rng.random_range(-1.0..1.0));
            values
        };
        let (x, w, dp) = (random(conv.x_len()), random(conv.w_len()), random(shape.p_len()));
        let (below, bias) = (random(ic), random(oc));
        let (mut a, mut p, mut dx) = (random(conv.y_len()), random(shape.p_len()), random(conv.x_len()));
        let [mut dw, mut db, mut dgamma, mut dbeta] = [conv.w_len(), oc, oc, oc].map(Buffer::new);
        let bytes: Vec<u8> = x.iter().map(|x| (x.abs() * 255.0) as u8).collect();
        let (dp_sums, mut dx_sums) = (vec![1.0; 2 * oc], vec![0.0; if i == 0 { 0 } else { 2 * ic }]);
        let (gamma, mut mean, mut variance) = (vec![1.0; oc], vec![0.0; oc], vec![0.0; oc]);
        let mut workspace = Workspace::default();
        let x = match i {
            0 => Source::U8(&bytes, 1.0 / 255.0),
            _ => Source::Normalised(&x, Affine { mean: &below, scale: &below, beta: &below }),
        };

        let mut measure = |pass: &str, flops: [f64; 2], call: &mut (dyn FnMut() + Send)| {
            for pool in &mut *pools {
                speeds.push(KernelSpeed::measure(format!("block{}.{pass}", i + 1), pool, effort, flops, call));
            }
        };
        measure("forward", [flops, issued(Pass::Forward)], &mut || {
            let a = shape.keeps_a(isa).then_some(&mut *a);
            let (p, mean, variance, workspace) = (&mut p, &mut mean, &mut variance, &mut workspace);
            conv_block::Forward {
                shape,
                x,
                w: &w,
                bias: &bias,
                gamma: &gamma,
                a,
                p,
                others: None,
                mean,
                variance,
                workspace,
            }
            .run(isa);
        });
        let norm = Normalization { gamma: &gamma, beta: &bias, mean: &mean, variance: &variance, epsilon: 1e-3 };
        let backward = match i {
            0 => [flops, issued(Pass::BackwardW)],
            _ => [2.0 * flops, (issued(Pass::BackwardX) + issued(Pass::BackwardW)) / 2.0],
        };
        measure("backward", backward, &mut || {
            conv_block::Backward {
                shape,
                x,
                w: &w,
                bias: &bias,
                a: shape.keeps_a(isa).then_some(&*a),
                p: &p,
                norm,
                dp: &dp,
                dp_sums: &dp_sums,
                others: None,
                dw: &mut dw,
                db: &mut db,
                dgamma: &mut dgamma,
                dbeta: &mut dbeta,
                dx: (i > 0).then_some(&mut *dx),
                dx_sums: &mut dx_sums,
                workspace: &mut workspace,
            }
            .run(isa);
        });
    }
    speeds
}
