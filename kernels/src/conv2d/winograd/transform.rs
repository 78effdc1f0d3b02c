//! The transformations of minimal filtering along one dimension, for `N` points: 4 or 6.
//!
//! A correlation of `N` inputs with `K` weights to `M = N + 1 - K` outputs is a product of
//! polynomials read backwards (Toom and Cook): evaluate at `N` points, multiply value by value, and
//! go back. The points are 0, infinity and pairs `+p`, `-p`; in this order they make the lines of
//! all arrays here. A pair shares its even and its odd part.
//!
//! - [`data`]: `B^T d`, the coefficients of `(x^N - ..) / (x - point)` along the inputs;
//! - [`evaluate`]: `E_K g`, a polynomial of `K` coefficients at the points;
//! - [`combine`]: `E_M^T m`, its transpose, from the points to `M` outputs;
//! - [`scale`]: what is left, one factor per point. It goes where it costs least: into the weights
//!   of a correlation, or once into the sums of a weight gradient.
//!
//! # Points
//! `N = 4`: 1. `N = 6`: 5/8 and 3/2, which are exact and, with about as much below 1 as above,
//! keep the powers near 1: with random operands the root mean square error of `F(4x4, 3x3)` is
//! 5.4e-8 of the sum of the terms' magnitudes, where the points 1 and 2 of the textbooks give
//! 1.2e-7, and 1/2 and 1 give 1.0e-7.
//!
//! # Source
//! Winograd 1980, "Arithmetic Complexity of Computations"; Lavin and Gray 2015,
//! <https://arxiv.org/abs/1509.09308>; Barabasz et al. 2020, "Error Analysis and Improving the
//! Accuracy of Winograd Convolution for Deep Neural Networks", <https://arxiv.org/abs/1803.10986>.

use super::super::tap_tile::each;
use crate::simd::Simd;

/// The pairs of points for `N = 6`.
const P: f32 = 0.625;
const Q: f32 = 1.5;

/// Pair `k` of the points, from 1 on: `+p` and `-p`.
#[inline(always)]
const fn point(n: usize, k: usize) -> f32 {
    match (n, k) {
        (4, _) => 1.0,
        (_, 1) => P,
        _ => Q,
    }
}

/// The factor of a point, in the order of the lines.
pub(super) fn scale(n: usize, point: usize) -> f64 {
    let [p2, q2] = [P, Q].map(|p| f64::from(p) * f64::from(p));
    match (n, point) {
        (_, 1) => 1.0,
        (4, 0) => -1.0,
        (4, _) => 0.5,
        (_, 0) => 1.0 / (p2 * q2),
        (_, 2 | 3) => 0.5 / (p2 * (p2 - q2)),
        _ => 0.5 / (q2 * (q2 - p2)),
    }
}

/// `y + factor * x`; where the factor is 1, an addition, for which some processors have other units
/// than for FMAs.
#[inline(always)]
fn add_times<S: Simd>(s: S, factor: f32, x: S::F32, y: S::F32) -> S::F32 {
    match factor {
        1.0 => s.add(y, x),
        -1.0 => s.sub(y, x),
        _ => s.mul_add(s.splat(factor), x, y),
    }
}

/// A polynomial at `+p` and `-p`, from its even part and its odd part divided by `p`.
#[inline(always)]
fn at_pair<S: Simd>(s: S, p: f32, even: S::F32, odd: S::F32) -> [S::F32; 2] {
    [add_times(s, p, odd, even), add_times(s, -p, odd, even)]
}

/// Pair `k` of `B^T d`: for 0 and infinity, or for `+p` and `-p`.
#[inline(always)]
pub(super) fn data<S: Simd, const N: usize>(s: S, d: [S::F32; N], k: usize) -> [S::F32; 2] {
    const { assert!(N == 4 || N == 6) };
    match (N, k) {
        // x^2 - 1, and x times that.
        (4, 0) => [s.sub(d[2], d[0]), s.sub(d[3], d[1])],
        // x (x + 1) and x (x - 1).
        (4, _) => at_pair(s, 1.0, d[2], d[1]),
        // (x^2 - p^2)(x^2 - q^2), and x times that.
        (_, 0) => {
            let (product, sum) = (P * P * Q * Q, -(P * P + Q * Q));
            let ends = |i: usize| add_times(s, product, d[i], add_times(s, sum, d[i + 2], d[i + 4]));
            [ends(0), ends(1)]
        }
        // x (x + p) (x^2 - q^2) and x (x - p) (x^2 - q^2), where q is the other pair.
        _ => {
            let (p, q) = if k == 1 { (P, Q) } else { (Q, P) };
            at_pair(s, p, add_times(s, -q * q, d[2], d[4]), add_times(s, -q * q, d[1], d[3]))
        }
    }
}

/// Pair `k` of `E_K g`: the first and the last coefficient, or the polynomial at `+p` and `-p`.
#[inline(always)]
pub(super) fn evaluate<S: Simd, const N: usize, const K: usize>(s: S, g: [S::F32; K], k: usize) -> [S::F32; 2] {
    const { assert!(K >= 2 && K <= 4) };
    if k == 0 {
        return [g[0], g[K - 1]];
    }
    let p = point(N, k);
    let part = |i: usize| if i + 2 < K { add_times(s, p * p, g[i + 2], g[i]) } else { g[i] };
    at_pair(s, p, part(0), part(1))
}

/// Outputs `h` and `h + 2` of `E_M^T m`, the even ones or the odd ones, for `M = outputs`: 2, 3 or 4.
/// What lies beyond them has no meaning.
#[inline(always)]
pub(super) fn combine<S: Simd, const N: usize>(s: S, m: [S::F32; N], outputs: usize, h: usize) -> [S::F32; 2] {
    let at_infinity = |output: usize| if output == outputs - 1 { m[1] } else { s.zero() };
    let mut y = [if h == 0 { m[0] } else { at_infinity(1) }, at_infinity(h + 2)];
    each!(k in [1 2] if 2 * k < N => {
        let p = point(N, k);
        let (plus, minus) = (m[2 * k], m[2 * k + 1]);
        let (part, power) = if h == 0 { (s.add(plus, minus), 1.0) } else { (s.sub(plus, minus), p) };
        y = [add_times(s, power, part, y[0]), add_times(s, power * p * p, part, y[1])];
    });
    y
}

/// A transformation `along` both dimensions of a tile, `IN` values to a side: the columns first,
/// two lines of results at a time, so that registers hold them.
///
/// `along(line, k)` is pair `k` of a transformed line, of `pairs`; `store(r, c, value)` gets the
/// results in the order of pairs: line `2k + j` is member `j` of pair `k`.
#[inline(always)]
pub(super) fn both_ways<S: Simd, const IN: usize>(
    s: S,
    pairs: usize,
    along: impl Fn([S::F32; IN], usize) -> [S::F32; 2],
    load: impl Fn(usize, usize) -> S::F32,
    mut store: impl FnMut(usize, usize, S::F32),
) {
    const { assert!(IN <= 6) };
    each!(k in [0 1 2] if k < pairs => {
        let mut lines = [[s.zero(); IN]; 2];
        each!(c in [0 1 2 3 4 5] if c < IN => {
            let mut column = [s.zero(); IN];
            each!(r in [0 1 2 3 4 5] if r < IN => { column[r] = load(r, c); });
            [lines[0][c], lines[1][c]] = along(column, k);
        });
        each!(j in [0 1] if true => {
            each!(l in [0 1 2] if l < pairs => {
                let pair = along(lines[j], l);
                store(2 * k + j, 2 * l, pair[0]);
                store(2 * k + j, 2 * l + 1, pair[1]);
            });
        });
    });
}

/// The output that is member `j` of pair `h` of [`combine`], by its line `2h + j`.
#[inline(always)]
pub(super) fn output(line: usize) -> usize {
    line / 2 + line % 2 * 2
}
