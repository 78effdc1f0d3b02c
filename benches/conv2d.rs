//! The model's three convolutions, forward and backward, on one thread: the naive loops, and every
//! algorithm of the kernels on every instruction set that the machine has.
//!
//! `cargo bench --bench conv2d`; a filter such as `conv2/forward` runs a part of the benchmarks.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onesheet_kernels::conv2d::{
    Algorithm, BackwardW, BackwardX, Conv2dShape, Conv2dSizes, Forward, Padding, Pass, Workspace,
};
use onesheet_kernels::simd::Isa;
use rand::{RngExt, SeedableRng};
use std::hint::black_box;

/// The loops of the definition in f32, without any blocking, as a programmer would first write
/// them.
mod naive {
    use super::Conv2dShape;

    /// Calls `term(index in x, index in w, index in y)` for every product of a valid convolution
    /// with stride 1.
    fn each_product(s: &Conv2dShape, mut term: impl FnMut(usize, usize, usize)) {
        for n in 0..s.n {
            for y in 0..s.oh() {
                for x in 0..s.ow() {
                    for u in 0..s.kh {
                        for v in 0..s.kw {
                            for i in 0..s.ic {
                                for o in 0..s.oc {
                                    term(
                                        ((n * s.h + y + u) * s.w + x + v) * s.ic + i,
                                        ((u * s.kw + v) * s.ic + i) * s.oc + o,
                                        ((n * s.oh() + y) * s.ow() + x) * s.oc + o,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    pub fn forward(s: &Conv2dShape, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
        y.chunks_exact_mut(s.oc).for_each(|y| y.copy_from_slice(bias));
        each_product(s, |i, j, k| y[k] += x[i] * w[j]);
    }

    pub fn backward_x(s: &Conv2dShape, dy: &[f32], w: &[f32], dx: &mut [f32]) {
        dx.fill(0.0);
        each_product(s, |i, j, k| dx[i] += dy[k] * w[j]);
    }

    pub fn backward_w(s: &Conv2dShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        each_product(s, |i, j, k| dw[j] += x[i] * dy[k]);
    }
}

fn conv2d(c: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is not built yet");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut random = |len: usize| -> Vec<f32> { (0..len).map(|_| rng.random_range(-1.0..1.0)).collect() };
    for (name, side, ic, oc) in [("conv1", 256, 3, 16), ("conv2", 127, 16, 32), ("conv3", 62, 32, 64)] {
        let shape = Conv2dShape::new(Conv2dSizes {
            n: 1,
            h: side,
            w: side,
            ic,
            oc,
            kh: 3,
            kw: 3,
            stride: 1,
            padding: Padding::Valid,
        });
        let (x, w, bias) = (random(shape.x_len()), random(shape.w_len()), random(oc));
        let (mut y, mut dx) = (random(shape.y_len()), random(shape.x_len()));
        let (mut dw, mut db) = (random(shape.w_len()), random(oc));
        let dy = random(shape.y_len());
        let mut workspace = Workspace::default();
        let flops = 2 * (shape.y_len() * 9 * ic) as u64;

        let mut group = c.benchmark_group(format!("{name}/forward"));
        group.throughput(Throughput::Elements(flops)).sample_size(10);
        group.bench_function("naive", |b| b.iter(|| naive::forward(&shape, black_box(&x), &w, &bias, &mut y)));
        for isa in Isa::available() {
            for algorithm in Algorithm::available(isa, &shape, Pass::Forward) {
                group.bench_function(format!("{algorithm}/{}", isa.name()), |b| {
                    b.iter(|| {
                        let (x, y, workspace) = (black_box(&x), &mut y, &mut workspace);
                        let forward = Forward { shape: &shape, x, w: &w, bias: &bias, relu: false, y, workspace };
                        forward.run_with(isa, algorithm);
                    });
                });
            }
        }
        group.finish();

        let mut group = c.benchmark_group(format!("{name}/backward_x"));
        group.throughput(Throughput::Elements(flops)).sample_size(10);
        group.bench_function("naive", |b| b.iter(|| naive::backward_x(&shape, black_box(&dy), &w, &mut dx)));
        for isa in Isa::available() {
            for algorithm in Algorithm::available(isa, &shape, Pass::BackwardX) {
                group.bench_function(format!("{algorithm}/{}", isa.name()), |b| {
                    b.iter(|| {
                        let (dy, dx, workspace) = (black_box(&dy), &mut dx, &mut workspace);
                        BackwardX { shape: &shape, dy, w: &w, dx, workspace }.run_with(isa, algorithm);
                    });
                });
            }
        }
        group.finish();

        let mut group = c.benchmark_group(format!("{name}/backward_w"));
        group.throughput(Throughput::Elements(flops)).sample_size(10);
        group.bench_function("naive", |b| b.iter(|| naive::backward_w(&shape, black_box(&x), &dy, &mut dw)));
        for isa in Isa::available() {
            for algorithm in Algorithm::available(isa, &shape, Pass::BackwardW) {
                group.bench_function(format!("{algorithm}/{}", isa.name()), |b| {
                    b.iter(|| {
                        let (dw, db, workspace) = (&mut dw, &mut db, &mut workspace);
                        BackwardW { shape: &shape, x: black_box(&x), dy: &dy, dw, db, workspace }
                            .run_with(isa, algorithm);
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, conv2d);
criterion_main!(benches);
