//! What a kernel of bf16 operands computes: that of f64 on operands that are rounded first.

/// The smallest number above 0 that a bf16 is here, and the first that is too large for one.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;
const TOO_LARGE: f64 = f32::MAX_EXP as f64;

/// The nearest number of 8 significant bits, ties to even: 0 where `|x| < 2^-126`, infinite from
/// `2^128` on.
///
/// `x`: an f32; of other numbers the nearest f32 may be another one's tie
pub fn round(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    if x.abs() < SMALLEST {
        return 0f64.copysign(x);
    }
    // x = m * 2^e with 1 <= m < 2.
    let e = (x.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    let unit = 2f64.powi(e - 7);
    let rounded = (x / unit).round_ties_even() * unit;
    if rounded.abs() < 2f64.powf(TOO_LARGE) { rounded } else { f64::INFINITY.copysign(x) }
}

/// `acc + a1 * b1 + a0 * b0`, the operands rounded first.
pub fn dot(a: [f64; 2], b: [f64; 2], acc: f64) -> f64 {
    acc + round(a[1]) * round(b[1]) + round(a[0]) * round(b[0])
}
