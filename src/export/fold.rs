//! Batch norm as a part of the layers around it.
//!
//! Once it is trained, batch norm is a factor and a summand for each channel. In this program it
//! comes after the ReLU, so that it is no part of the convolution before it as a whole. But
//!
//! - a ReLU lets factors through that are not negative: they become part of the convolution or the
//!   dense layer before it;
//! - what is left moves on past max-pooling (where no factor is negative), the mean of the pixels
//!   and flattening, and becomes part of the convolution or the dense layer there, factor and
//!   summand;
//! - unless that convolution pads with zeros: zeros at the border are not the zeros of the values
//!   before batch norm. Then it stays as an operation of its own, on the smaller image;
//! - nothing moves past a value that is kept for a join.
//!
//! All of this is exact but for rounding, and is computed in f64.

use super::chain::{Conv, Gemm, Operation, Step};

/// Folds every batch norm as far as that is exact.
pub fn fold(steps: Vec<Step>) -> Vec<Step> {
    forwards(backwards(steps))
}

/// Moves what batch norms do into the layers before them.
fn backwards(steps: Vec<Step>) -> Vec<Step> {
    let mut folded: Vec<Step> = Vec::new();
    for Step { name, operation } in steps {
        let Operation::BatchNormalization { gamma, beta, mean, variance, epsilon } = operation else {
            folded.push(Step { name, operation });
            continue;
        };
        let factor = |at: usize| f64::from(gamma[at]) / (f64::from(variance[at]) + f64::from(epsilon)).sqrt();
        let mut scale: Vec<f64> = (0..gamma.len()).map(factor).collect();
        let shift: Vec<f64> =
            (0..gamma.len()).map(|at| f64::from(beta[at]) - scale[at] * f64::from(mean[at])).collect();
        if let [.., before] = &mut folded[..]
            && before.operation.scale_outputs(&scale)
        {
            before.operation.shift_outputs(&shift);
            continue;
        }
        if let [.., before, Step { operation: Operation::Relu, .. }] = &mut folded[..]
            && is_not_negative(&scale)
            && before.operation.scale_outputs(&scale)
        {
            scale.fill(1.0);
        }
        let of_images = is_of_images(&folded);
        folded.push(Step { name, operation: Operation::Affine { scale, shift, of_images } });
    }
    folded
}

/// Moves what is left of batch norms on to the layers after them.
fn forwards(steps: Vec<Step>) -> Vec<Step> {
    let mut folded = Vec::new();
    let mut waiting: Option<Step> = None;
    for mut step in steps {
        if let Some(Step { operation: Operation::Affine { scale, shift, of_images }, .. }) = &mut waiting {
            match &mut step.operation {
                Operation::MaxPool(_) if is_not_negative(scale) => {
                    folded.push(step);
                    continue;
                }
                Operation::GlobalAveragePool => {
                    *of_images = false;
                    folded.push(step);
                    continue;
                }
                Operation::Flatten { pixels } => {
                    (*scale, *shift, *of_images) = (scale.repeat(*pixels), shift.repeat(*pixels), false);
                    folded.push(step);
                    continue;
                }
                Operation::Conv(conv) if conv.pads == [0; 4] => {
                    conv.take_inputs(scale, shift);
                    waiting = None;
                }
                Operation::Gemm(gemm) => {
                    gemm.take_inputs(scale, shift);
                    waiting = None;
                }
                _ => {}
            }
        }
        folded.extend(waiting.take());
        match step.operation {
            Operation::Affine { .. } => waiting = Some(step),
            _ => folded.push(step),
        }
    }
    folded.extend(waiting);
    folded
}

fn is_not_negative(scale: &[f64]) -> bool {
    scale.iter().all(|&factor| factor >= 0.0)
}

/// Whether what comes out of the steps is images; a network begins with images.
fn is_of_images(steps: &[Step]) -> bool {
    let says = |step: &Step| match step.operation {
        Operation::GlobalAveragePool | Operation::Flatten { .. } | Operation::Gemm(_) => Some(false),
        Operation::Multiply => Some(true),
        _ => None,
    };
    steps.iter().rev().find_map(says).unwrap_or(true)
}

impl Operation {
    /// Multiplies each output by its factor, where the operation has weights that can take it.
    fn scale_outputs(&mut self, by: &[f64]) -> bool {
        let (kernel, bias, output): (_, _, &dyn Fn(usize) -> usize) = match self {
            Self::Conv(Conv { shape: [_, inputs, kh, kw], kernel, bias, .. }) => {
                let each = *inputs * *kh * *kw;
                (kernel, bias, &move |at| at / each)
            }
            Self::Gemm(Gemm { shape: [_, outputs], kernel, bias }) => {
                let outputs = *outputs;
                (kernel, bias, &move |at| at % outputs)
            }
            _ => return false,
        };
        kernel.iter_mut().enumerate().for_each(|(at, weight)| *weight = (f64::from(*weight) * by[output(at)]) as f32);
        bias.iter_mut().zip(by).for_each(|(bias, by)| *bias = (f64::from(*bias) * by) as f32);
        true
    }

    /// Adds to each output of an operation that [`scale_outputs`](Self::scale_outputs) has scaled.
    fn shift_outputs(&mut self, by: &[f64]) {
        if let Self::Conv(Conv { bias, .. }) | Self::Gemm(Gemm { bias, .. }) = self {
            bias.iter_mut().zip(by).for_each(|(bias, by)| *bias = (f64::from(*bias) + by) as f32);
        }
    }
}

impl Conv {
    /// Does to each input what is done to it before.
    fn take_inputs(&mut self, scale: &[f64], shift: &[f64]) {
        let [outputs, inputs, kh, kw] = self.shape;
        let window = kh * kw;
        for output in 0..outputs {
            let kernel = &mut self.kernel[output * inputs * window..][..inputs * window];
            let weights = kernel.chunks_exact_mut(window);
            self.bias[output] = taken(f64::from(self.bias[output]), weights, scale, shift);
        }
    }
}

impl Gemm {
    /// Does to each input what is done to it before.
    fn take_inputs(&mut self, scale: &[f64], shift: &[f64]) {
        let [_, outputs] = self.shape;
        let mut bias: Vec<f64> = self.bias.iter().copied().map(f64::from).collect();
        for (weights, (scale, shift)) in self.kernel.chunks_exact_mut(outputs).zip(scale.iter().zip(shift)) {
            for (weight, bias) in weights.iter_mut().zip(&mut bias) {
                *bias += f64::from(*weight) * shift;
                *weight = (f64::from(*weight) * scale) as f32;
            }
        }
        self.bias = bias.into_iter().map(|bias| bias as f32).collect();
    }
}

/// Scales the weights of each input, and returns the bias with what the inputs' shifts add to it.
fn taken<'a>(bias: f64, weights: impl Iterator<Item = &'a mut [f32]>, scale: &[f64], shift: &[f64]) -> f32 {
    let mut bias = bias;
    for (weights, (scale, shift)) in weights.zip(scale.iter().zip(shift)) {
        for weight in weights {
            bias += f64::from(*weight) * shift;
            *weight = (f64::from(*weight) * scale) as f32;
        }
    }
    bias as f32
}
