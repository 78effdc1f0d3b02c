//! Inverted dropout as its definition reads.

/// `y = x * kept / (1 - rate)`; its own backward, since it is linear and diagonal.
pub fn apply(rate: f64, kept: &[bool], x: &[f64]) -> Vec<f64> {
    x.iter().zip(kept).map(|(x, kept)| if *kept { x / (1.0 - rate) } else { 0.0 }).collect()
}
