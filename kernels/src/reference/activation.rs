//! Rectified linear unit and the sigmoid's gradient as their definitions read.

/// `y = max(x, 0)`.
pub fn relu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|&x| if x > 0.0 { x } else { 0.0 }).collect()
}

/// `dx = dy` where `y > 0`, else 0; `y` is the output of [`relu`], positive just where its input
/// is.
pub fn relu_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    y.iter().zip(dy).map(|(&y, &dy)| if y > 0.0 { dy } else { 0.0 }).collect()
}

/// `dx = dy * y * (1 - y)`; `y` is the output of [`loss::sigmoid`](super::loss::sigmoid).
pub fn sigmoid_backward(y: &[f64], dy: &[f64]) -> Vec<f64> {
    y.iter().zip(dy).map(|(&y, &dy)| dy * y * (1.0 - y)).collect()
}
