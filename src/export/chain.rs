//! A network as ONNX computes it: channels first, and without what is for training alone.

use crate::nn::{LayerSpec, Padding, Parameter, PlannedLayer, Role, Sequential};
use std::collections::HashMap;

/// What an earlier value is called after the name of the step that joins it.
pub const KEPT: &str = "earlier";

/// An operation, under the name of the layer that it computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub name: String,
    pub operation: Operation,
}

/// What is computed of a batch, `[n, c, h, w]` or `[n, values]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Squares of that side become pixels.
    SpaceToDepth(usize),
    Conv(Conv),
    Relu,
    Sigmoid,
    /// The value as it is, kept for a step that joins it: its name is that step's and [`KEPT`].
    Keep,
    /// The sum of the value and of that which was kept for the step.
    Add,
    /// The images that were kept for the step, times the value, a factor for each channel.
    Multiply,
    BatchNormalization {
        gamma: Vec<f32>,
        beta: Vec<f32>,
        mean: Vec<f32>,
        variance: Vec<f32>,
        epsilon: f32,
    },
    /// `scale * x + shift` for each channel: what batch norm does once it is trained.
    Affine {
        scale: Vec<f64>,
        shift: Vec<f64>,
        /// Whether `x` is images.
        of_images: bool,
    },
    /// Windows of that side, without padding.
    MaxPool(usize),
    GlobalAveragePool,
    /// `[n, c, h, w]` to `[n, h * w * c]`: the order of the values is that of the network.
    Flatten {
        pixels: usize,
    },
    Gemm(Gemm),
}

/// A convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// `[outputs, inputs, kh, kw]`
    pub shape: [usize; 4],
    pub kernel: Vec<f32>,
    pub bias: Vec<f32>,
    pub stride: usize,
    /// Rows and columns of zeros at the top, the left, the bottom and the right.
    pub pads: [usize; 4],
}

/// A dense layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// `[inputs, outputs]`
    pub shape: [usize; 2],
    pub kernel: Vec<f32>,
    pub bias: Vec<f32>,
}

/// The operations of a network, first to last.
pub fn of(network: &Sequential) -> Vec<Step> {
    let plan = network.spec().plan().expect("the network was built from it");
    let parameters = network.parameters().into_iter();
    let parameters: HashMap<_, _> = parameters.map(|of| ((&of.layer[..], of.role.name()), of)).collect();
    let layers = &network.spec().layers;
    let operation = |(layer, planned): (&LayerSpec, &PlannedLayer)| {
        let value = |role: Role| -> &Parameter { parameters[&(&planned.name[..], role.name())] };
        let values = |role| value(role).value.to_vec();
        Some(match *layer {
            LayerSpec::Conv2d { kernel: window, stride, padding, .. } => {
                let &[kh, kw, inputs, outputs] = &value(Role::Kernel).shape[..] else { unreachable!("HWIO") };
                let after = [0, 1].map(|axis| planned.output[axis]);
                let [top, left] = [0, 1].map(|axis| padded(planned.input[axis], window[axis], stride, padding) / 2);
                // The window of the last output ends where the padding does.
                let end = |axis: usize, before: usize| {
                    ((after[axis] - 1) * stride + window[axis]).saturating_sub(before + planned.input[axis])
                };
                Operation::Conv(Conv {
                    shape: [outputs, inputs, kh, kw],
                    kernel: channels_first(&values(Role::Kernel), kh * kw, inputs, outputs),
                    bias: values(Role::Bias),
                    stride,
                    pads: [top, left, end(0, top), end(1, left)],
                })
            }
            LayerSpec::SpaceToDepth { block } => Operation::SpaceToDepth(block),
            LayerSpec::Relu => Operation::Relu,
            LayerSpec::Sigmoid => Operation::Sigmoid,
            LayerSpec::Add { .. } => Operation::Add,
            LayerSpec::Multiply { .. } => Operation::Multiply,
            LayerSpec::BatchNormalization { epsilon, .. } => Operation::BatchNormalization {
                gamma: values(Role::Gamma),
                beta: values(Role::Beta),
                mean: values(Role::MovingMean),
                variance: values(Role::MovingVariance),
                epsilon,
            },
            LayerSpec::MaxPooling2d { size } => Operation::MaxPool(size),
            LayerSpec::GlobalAveragePooling2d => Operation::GlobalAveragePool,
            // A vector is flat already.
            LayerSpec::Flatten => match planned.input[..] {
                [height, width, _] => Operation::Flatten { pixels: height * width },
                _ => return None,
            },
            LayerSpec::Dense { .. } => {
                let &[inputs, outputs] = &value(Role::Kernel).shape[..] else { unreachable!("[in, out]") };
                Operation::Gemm(Gemm {
                    shape: [inputs, outputs],
                    kernel: values(Role::Kernel),
                    bias: values(Role::Bias),
                })
            }
            LayerSpec::Dropout { .. } => return None,
        })
    };
    let mut steps = Vec::new();
    for (i, (layer, planned)) in layers.iter().zip(&plan).enumerate() {
        let joins = layers.iter().zip(&plan).enumerate().skip(i);
        let joins = joins.filter(|(at, (layer, _))| layer.joins().is_some_and(|layers| at - layers == i));
        steps.extend(
            joins.map(|(_, (_, join))| Step { name: format!("{}/{KEPT}", join.name), operation: Operation::Keep }),
        );
        steps.extend(operation((layer, planned)).map(|operation| Step { name: planned.name.clone(), operation }));
    }
    steps
}

/// How many zeros an axis gets at both ends together.
fn padded(size: usize, window: usize, stride: usize, padding: Padding) -> usize {
    match padding {
        Padding::Valid => 0,
        Padding::Same => ((size.div_ceil(stride) - 1) * stride + window).saturating_sub(size),
    }
}

/// `[window, inputs, outputs]` to `[outputs, inputs, window]`
fn channels_first(kernel: &[f32], window: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let place = move |at: usize| {
        let (output, input, position) = (at / (inputs * window), at / window % inputs, at % window);
        (position * inputs + input) * outputs + output
    };
    (0..kernel.len()).map(|at| kernel[place(at)]).collect()
}
