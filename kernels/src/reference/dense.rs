//! The fully connected layer as its definition reads. `n` rows; the other sizes follow from the
//! slices' lengths.

/// `y[n,o] = b[o] + sum over i of x[n,i] * w[i,o]`.
///
/// # Shapes
/// `x`: `[n, inputs]`; `w`: `[inputs, outputs]`; `b`: `[outputs]`; returns `[n, outputs]`
pub fn forward(n: usize, x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (x.len() / n, b.len());
    let mut y = b.repeat(n);
    for row in 0..n {
        for i in 0..inputs {
            for o in 0..outputs {
                y[row * outputs + o] += x[row * inputs + i] * w[i * outputs + o];
            }
        }
    }
    y
}

/// `dx[n,i] = sum over o of dy[n,o] * w[i,o]`.
///
/// # Shapes
/// `dy`: `[n, outputs]`; `w`: `[inputs, outputs]`; returns `[n, inputs]`
pub fn backward_x(n: usize, dy: &[f64], w: &[f64]) -> Vec<f64> {
    let outputs = dy.len() / n;
    let inputs = w.len() / outputs;
    let mut dx = vec![0.0; n * inputs];
    for row in 0..n {
        for i in 0..inputs {
            for o in 0..outputs {
                dx[row * inputs + i] += dy[row * outputs + o] * w[i * outputs + o];
            }
        }
    }
    dx
}

/// `dw[i,o] = sum over n of x[n,i] * dy[n,o]` and `db[o] = sum over n of dy[n,o]`.
///
/// # Shapes
/// `x`: `[n, inputs]`; `dy`: `[n, outputs]`; returns `[inputs, outputs]` and `[outputs]`
pub fn backward_w(n: usize, x: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (inputs, outputs) = (x.len() / n, dy.len() / n);
    let (mut dw, mut db) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
    for row in 0..n {
        for o in 0..outputs {
            db[o] += dy[row * outputs + o];
            for i in 0..inputs {
                dw[i * outputs + o] += x[row * inputs + i] * dy[row * outputs + o];
            }
        }
    }
    (dw, db)
}
