//! Every layer of the poster model except its convolutions, on its own and on one thread: plain
//! loops in f32 and the kernels on every instruction set that the machine has, in images per second
//! at the model's sizes.
//!
//! `cargo bench --bench layers`; a filter such as `batch_norm1/backward` runs a part of the
//! benchmarks. The convolutions are in `conv2d`, the whole step is in `step`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onesheet_kernels::batch_norm::{Gradients, Normalization, Workspace};
use onesheet_kernels::dense::{self, BackwardW, BackwardX, DenseShape, DenseSizes, Forward};
use onesheet_kernels::loss::CrossEntropy;
use onesheet_kernels::max_pool2d::{MaxPool2dShape, MaxPool2dSizes};
use onesheet_kernels::optim::{Rule, Sgd, Step};
use onesheet_kernels::simd::Isa;
use onesheet_kernels::{activation, batch_norm, dropout, loss, max_pool2d};
use rand::{RngExt, SeedableRng};
use std::hint::black_box;
use std::time::Duration;

/// Images for the layers that work image by image.
const IMAGES: usize = 4;
/// Images for the layers whose work is shared by a batch.
const BATCH: usize = 32;

/// The formulas in f32, as a programmer would first write them.
mod naive {
    use super::{DenseShape, MaxPool2dShape};

    pub fn relu_backward(y: &[f32], dy: &mut [f32]) {
        for (y, dy) in y.iter().zip(dy) {
            *dy = if *y > 0.0 { *dy } else { 0.0 };
        }
    }

    /// Mean and variance of each channel, then
    /// `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`.
    pub fn batch_norm_forward(x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]) {
        let (c, m) = (gamma.len(), (x.len() / gamma.len()) as f32);
        for o in 0..c {
            let channel = || x.iter().skip(o).step_by(c);
            let mean = channel().sum::<f32>() / m;
            let variance = channel().map(|x| (x - mean) * (x - mean)).sum::<f32>() / m;
            for (x, y) in channel().zip(y.iter_mut().skip(o).step_by(c)) {
                *y = gamma[o] * (x - mean) / (variance + 1e-3).sqrt() + beta[o];
            }
        }
    }

    pub fn batch_norm_backward(x: &[f32], dy: &[f32], gamma: &[f32], mean: &[f32], variance: &[f32], dx: &mut [f32]) {
        let (c, m) = (gamma.len(), (x.len() / gamma.len()) as f32);
        for o in 0..c {
            let inv_std = 1.0 / (variance[o] + 1e-3).sqrt();
            let channel = || x.iter().zip(dy).skip(o).step_by(c);
            let dbeta = channel().map(|(_, dy)| dy).sum::<f32>();
            let dgamma = channel().map(|(x, dy)| dy * (x - mean[o]) * inv_std).sum::<f32>();
            for ((x, dy), dx) in channel().zip(dx.iter_mut().skip(o).step_by(c)) {
                *dx = gamma[o] * inv_std * (dy - dbeta / m - (x - mean[o]) * inv_std * dgamma / m);
            }
        }
    }

    /// Calls `window(index in y, indices in x)` for every window of 2 x 2.
    fn each_window(s: &MaxPool2dShape, mut window: impl FnMut(usize, [usize; 4])) {
        for n in 0..s.n {
            for y in 0..s.oh() {
                for x in 0..s.ow() {
                    for c in 0..s.c {
                        let at = |u, v| ((n * s.h + 2 * y + u) * s.w + 2 * x + v) * s.c + c;
                        let to = ((n * s.oh() + y) * s.ow() + x) * s.c + c;
                        window(to, [at(0, 0), at(0, 1), at(1, 0), at(1, 1)]);
                    }
                }
            }
        }
    }

    pub fn max_pool2d_forward(s: &MaxPool2dShape, x: &[f32], y: &mut [f32], argmax: &mut [u8]) {
        each_window(s, |to, window| {
            let mut winner = 0;
            for i in 1..4 {
                if x[window[i]] > x[window[winner]] {
                    winner = i;
                }
            }
            y[to] = x[window[winner]];
            argmax[to] = winner as u8;
        });
    }

    pub fn max_pool2d_backward(s: &MaxPool2dShape, argmax: &[u8], dy: &[f32], dx: &mut [f32]) {
        dx.fill(0.0);
        each_window(s, |from, window| dx[window[usize::from(argmax[from])]] = dy[from]);
    }

    /// Calls `term(index in x, index in w, index in y)` for every product.
    fn each_product(s: &DenseShape, mut term: impl FnMut(usize, usize, usize)) {
        for n in 0..s.n {
            for i in 0..s.inputs {
                for o in 0..s.outputs {
                    term(n * s.inputs + i, i * s.outputs + o, n * s.outputs + o);
                }
            }
        }
    }

    pub fn dense_forward(s: &DenseShape, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
        y.chunks_exact_mut(s.outputs).for_each(|y| y.copy_from_slice(bias));
        each_product(s, |i, j, k| y[k] += x[i] * w[j]);
    }

    pub fn dense_backward_x(s: &DenseShape, dy: &[f32], w: &[f32], dx: &mut [f32]) {
        dx.fill(0.0);
        each_product(s, |i, j, k| dx[i] += dy[k] * w[j]);
    }

    pub fn dense_backward_w(s: &DenseShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        each_product(s, |i, j, k| dw[j] += x[i] * dy[k]);
    }

    pub fn dropout(random: &mut impl rand::RngExt, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = if random.random_bool(0.5) { x * 2.0 } else { 0.0 };
        }
    }

    pub fn sigmoid_cross_entropy(logits: &[f32], labels: &[f32], dlogits: &mut [f32]) -> f32 {
        let count = logits.len() as f32;
        let mut sum = 0.0;
        for ((z, t), d) in logits.iter().zip(labels).zip(dlogits) {
            let p = 1.0 / (1.0 + (-z).exp());
            sum -= t * p.ln() + (1.0 - t) * (1.0 - p).ln();
            *d = (p - t) / count;
        }
        sum / count
    }

    pub fn adam(g: &[f32], m: &mut [f32], v: &mut [f32], w: &mut [f32]) {
        for i in 0..g.len() {
            m[i] += (g[i] - m[i]) * 0.1;
            v[i] += (g[i] * g[i] - v[i]) * 0.001;
            w[i] -= 1e-3 * m[i] / (v[i].sqrt() + 1e-7);
        }
    }

    pub fn sgd(g: &[f32], velocity: &mut [f32], w: &mut [f32]) {
        for i in 0..g.len() {
            velocity[i] = 0.9 * velocity[i] - 1e-2 * g[i];
            w[i] += velocity[i];
        }
    }
}

/// Measures one pass of a layer over `images`: the naive version, then the kernel with each
/// instruction set.
fn compare<B>(
    c: &mut Criterion,
    name: &str,
    images: usize,
    buffers: &mut B,
    mut naive: impl FnMut(&mut B),
    mut kernel: impl FnMut(Isa, &mut B),
) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(images as u64)).sample_size(10);
    group.bench_function("naive", |b| b.iter(|| naive(black_box(buffers))));
    for isa in Isa::available() {
        group.bench_function(isa.name(), |b| b.iter(|| kernel(isa, black_box(buffers))));
    }
    group.finish();
}

fn random(len: usize) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(len as u64);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// ReLU, batch normalisation and max-pooling after each convolution. The forward pass of ReLU is
/// part of the convolution.
fn blocks(c: &mut Criterion) {
    for (block, side, channels) in [(1, 254, 16), (2, 125, 32), (3, 60, 64)] {
        let pool = MaxPool2dShape::new(MaxPool2dSizes { n: IMAGES, h: side, w: side, c: channels, size: 2 });
        let (gamma, beta) = (random(channels), random(channels));
        let x = random(pool.x_len());
        let dy = x.iter().rev().copied().collect::<Vec<_>>();

        compare(
            c,
            &format!("relu{block}/backward"),
            IMAGES,
            &mut dy.clone(),
            |dy| naive::relu_backward(&x, dy),
            |isa, dy| activation::relu_backward(isa, &x, dy),
        );

        let mut workspace = Workspace::default();
        let mut statistics = (vec![0.0; channels], vec![0.0; channels]);
        let mut y = x.clone();
        compare(
            c,
            &format!("batch_norm{block}/forward"),
            IMAGES,
            &mut y,
            |y| naive::batch_norm_forward(&x, &gamma, &beta, y),
            |isa, y| {
                let (mean, variance) = &mut statistics;
                batch_norm::statistics(isa, &x, None, mean, variance, &mut workspace);
                let by = Normalization { gamma: &gamma, beta: &beta, mean, variance, epsilon: 1e-3 };
                batch_norm::forward(isa, &by, &x, y, &mut workspace);
            },
        );
        let (mean, variance) = &statistics;
        let (mut dgamma, mut dbeta) = (random(channels), random(channels));
        compare(
            c,
            &format!("batch_norm{block}/backward"),
            IMAGES,
            &mut y,
            |dx| naive::batch_norm_backward(&x, &dy, &gamma, mean, variance, dx),
            |isa, dx| {
                let by = Normalization { gamma: &gamma, beta: &beta, mean, variance, epsilon: 1e-3 };
                let to = Gradients { dx: Some(dx), dgamma: &mut dgamma, dbeta: &mut dbeta };
                batch_norm::backward(isa, &by, &x, &dy, None, to, &mut workspace);
            },
        );

        let mut pooled = (random(pool.y_len()), vec![0; pool.y_len()]);
        compare(
            c,
            &format!("max_pool2d{block}/forward"),
            IMAGES,
            &mut pooled,
            |(y, argmax)| naive::max_pool2d_forward(&pool, &x, y, argmax),
            |isa, (y, argmax)| max_pool2d::forward(isa, &pool, &x, y, argmax),
        );
        let (dy, argmax) = &pooled;
        compare(
            c,
            &format!("max_pool2d{block}/backward"),
            IMAGES,
            &mut y,
            |dx| naive::max_pool2d_backward(&pool, argmax, dy, dx),
            |isa, dx| max_pool2d::backward(isa, &pool, argmax, dy, dx),
        );
    }
}

/// The dense layers, dropout between them, and the loss.
fn head(c: &mut Criterion) {
    for (layer, inputs, outputs) in [(1, 30 * 30 * 64, 64), (2, 64, 19)] {
        let shape = &DenseShape::new(DenseSizes { n: BATCH, inputs, outputs });
        let (x, w, bias) = (random(BATCH * inputs), random(inputs * outputs), random(outputs));
        let (mut y, mut workspace) = (random(BATCH * outputs), dense::Workspace::default());
        compare(
            c,
            &format!("dense{layer}/forward"),
            BATCH,
            &mut y,
            |y| naive::dense_forward(shape, &x, &w, &bias, y),
            |isa, y| {
                let workspace = &mut workspace;
                Forward { shape, x: &x, w: &w, bias: &bias, relu: false, y, workspace }.run(isa);
            },
        );
        let dy = y;
        compare(
            c,
            &format!("dense{layer}/backward_x"),
            BATCH,
            &mut random(BATCH * inputs),
            |dx| naive::dense_backward_x(shape, &dy, &w, dx),
            |isa, dx| BackwardX { shape, dy: &dy, w: &w, dx, workspace: &mut workspace }.run(isa),
        );
        let mut db = random(outputs);
        compare(
            c,
            &format!("dense{layer}/backward_w"),
            BATCH,
            &mut random(inputs * outputs),
            |dw| naive::dense_backward_w(shape, &x, &dy, dw),
            |isa, dw| BackwardW { shape, x: &x, dy: &dy, dw, db: &mut db }.run(isa),
        );
    }

    let x = random(BATCH * 64);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    compare(
        c,
        "dropout",
        BATCH,
        &mut x.clone(),
        |y| naive::dropout(&mut rng, &x, y),
        |_, y| dropout::apply(0.5, 1, 0, 64, &x, y),
    );

    let logits = random(BATCH * 19);
    let labels: Vec<f32> = logits.iter().rev().map(|&z| f32::from(z > 0.8)).collect();
    let mut probabilities = logits.clone();
    compare(
        c,
        "sigmoid_cross_entropy",
        BATCH,
        &mut logits.clone(),
        |dlogits| {
            black_box(naive::sigmoid_cross_entropy(&logits, &labels, dlogits));
        },
        |_, dlogits| {
            let of = CrossEntropy::plain(19, &logits, &labels);
            black_box(loss::sigmoid_cross_entropy(&of, &mut probabilities, dlogits));
        },
    );
}

/// The optimisers on as many weights as the first dense layer has, nearly all of the model's.
fn optimizers(c: &mut Criterion) {
    let g = random(30 * 30 * 64 * 64);
    let zeros = vec![0.0; g.len()];
    compare(
        c,
        "adam",
        BATCH,
        &mut [zeros.clone(), zeros.clone(), g.clone()],
        |[m, v, w]| naive::adam(&g, m, v, w),
        |isa, [m, v, w]| {
            Step { rule: Rule::adam(1e-3), number: 1 }.run(isa, &g, [m, v], w);
        },
    );
    compare(
        c,
        "sgd",
        BATCH,
        &mut [zeros, g.clone()],
        |[velocity, w]| naive::sgd(&g, velocity, w),
        |isa, [velocity, w]| {
            let rule = Rule::Sgd(Sgd { momentum: 0.9, ..Sgd::new(1e-2) });
            Step { rule, number: 1 }.run(isa, &g, [velocity, &mut []], w);
        },
    );
}

fn layers(c: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is not built yet");
    blocks(c);
    head(c);
    optimizers(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = layers
}
criterion_main!(benches);
