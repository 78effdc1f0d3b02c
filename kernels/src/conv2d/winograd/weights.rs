//! The transformed weights of correlations, `U = G g G^T`.

use super::transform::{both_ways, evaluate, scale};
use super::{CHANNELS, precision, store_one_of_pair, words};
use crate::precision::Precision;
use crate::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Values of `U` from one point to the next: an odd number of lines, so that the points of a kernel
/// lie in different sets of a cache.
pub(super) fn u_point(bf16: bool, ic: usize) -> usize {
    (words(bf16, ic) | 1) * CHANNELS
}

/// Values of `U`.
pub(in super::super) fn u_len(bf16: bool, n: usize, ic: usize, oc: usize) -> usize {
    n * n * u_point(bf16, ic) * (oc / CHANNELS)
}

/// `U = G g G^T`, `[oc/16][N*N][ic|1][16]`; `g(u, v, i, o)` is the weight of a tap from an input to an
/// output channel.
pub(in super::super) fn transform_weights<const N: usize, const BF16: bool>(
    isa: Isa,
    ic: usize,
    oc: usize,
    g: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
    u: &mut [f32],
) {
    assert_eq!(u.len(), u_len(BF16, N, ic, oc));
    u.par_chunks_exact_mut(N * N * u_point(BF16, ic)).enumerate().for_each(|(block, u)| {
        for i in 0..ic {
            let taps = std::array::from_fn(|tap| std::array::from_fn(|o| g(tap / 3, tap % 3, i, block * CHANNELS + o)));
            let u = &mut u[words(BF16, i) * CHANNELS..];
            isa.run(TransformTaps::<N, BF16> { taps: &taps, u, point: u_point(BF16, ic), is_second: i % 2 == 1 });
        }
    });
}

/// The transformation of the weights from one input channel to some output channels.
struct TransformTaps<'a, const N: usize, const BF16: bool> {
    taps: &'a [[f32; CHANNELS]; 9],
    u: &'a mut [f32],
    /// Values from one point to the next.
    point: usize,
    /// Whether it is the second channel of a pair.
    is_second: bool,
}

impl<const N: usize, const BF16: bool> Kernel for TransformTaps<'_, N, BF16> {
    type Output = ();
    const PRECISION: Precision = precision(BF16);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for o in (0..CHANNELS).step_by(S::LANES) {
            both_ways::<S, 3>(
                s,
                N / 2,
                #[inline(always)]
                |line, k| evaluate::<S, N, 3>(s, line, k),
                #[inline(always)]
                |r, c| s.load(&self.taps[r * 3 + c][o..]),
                #[inline(always)]
                |r, c, value| {
                    let factor = s.splat((scale(N, r) * scale(N, c)) as f32);
                    let to = &mut self.u[(r * N + c) * self.point + o..][..S::LANES];
                    // SAFETY: `to` holds LANES values.
                    unsafe {
                        store_one_of_pair::<S, BF16>(s, to.as_mut_ptr(), s.mul(value, factor), self.is_second);
                    }
                },
            );
        }
    }
}
