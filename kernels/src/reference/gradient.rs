//! A gradient as a whole.

/// The sum of `g^2`.
pub fn sum_of_squares(g: &[f64]) -> f64 {
    g.iter().map(|g| g * g).sum()
}

/// Gradients whose common norm, the root of the sum of all `g^2`, is at most `limit`: all of them
/// times `limit / norm` where it is more, else as they are.
///
/// Pascanu, Mikolov and Bengio 2013, <https://arxiv.org/abs/1211.5063>.
pub fn clipped(g: &[f64], limit: f64) -> Vec<f64> {
    let norm = sum_of_squares(g).sqrt();
    g.iter().map(|g| if norm > limit { g * (limit / norm) } else { *g }).collect()
}
