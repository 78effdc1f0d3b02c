//! What a model is, as data: written into every model file, read back to rebuild the model.

use crate::error::{Error, Result};
use onesheet_kernels::conv2d::Padding as KernelPadding;
use serde::{Deserialize, Serialize};

/// A chain of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Shape of one item of the input: `[h, w, c]` or `[inputs]`.
    pub input: Vec<usize>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

/// One layer. The defaults are Keras'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum LayerSpec {
    /// 2-D convolution with bias; glorot_uniform kernel, zero bias.
    Conv2d {
        /// Output channels.
        filters: usize,
        /// Height and width of the window.
        kernel: [usize; 2],
        /// Step of the window in both directions.
        stride: usize,
        /// Border treatment.
        padding: Padding,
    },
    /// `max(x, 0)`.
    Relu,
    /// Batch normalisation over all but the last axis.
    BatchNormalization {
        /// `moving = momentum * moving + (1 - momentum) * batch`: Keras' sense; PyTorch's momentum is one minus this.
        momentum: f32,
        /// Added to the variance.
        epsilon: f32,
    },
    /// 2-D max-pooling, stride = size, no padding.
    MaxPooling2d {
        /// Side of the window.
        size: usize,
    },
    /// The mean of an image's pixels: `[h, w, c]` to `[c]`.
    GlobalAveragePooling2d,
    /// `[h, w, c]` to `[h * w * c]`.
    Flatten,
    /// Dense layer with bias; glorot_uniform kernel, zero bias.
    Dense {
        /// Outputs.
        units: usize,
    },
    /// Inverted dropout.
    Dropout {
        /// The fraction dropped.
        rate: f32,
    },
}

/// Border treatment of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// The window stays inside the image.
    Valid,
    /// Zeros around the image, so that stride 1 keeps its size.
    Same,
}

impl From<Padding> for KernelPadding {
    fn from(padding: Padding) -> Self {
        match padding {
            Padding::Valid => Self::Valid,
            Padding::Same => Self::Same,
        }
    }
}

impl LayerSpec {
    /// Keras' name of the layer's class in snake case; the n-th of a class gets `_n` after it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::Relu => "re_lu",
            Self::BatchNormalization { .. } => "batch_normalization",
            Self::MaxPooling2d { .. } => "max_pooling2d",
            Self::GlobalAveragePooling2d => "global_average_pooling2d",
            Self::Flatten => "flatten",
            Self::Dense { .. } => "dense",
            Self::Dropout { .. } => "dropout",
        }
    }
}

impl ModelSpec {
    /// A model without layers; the methods below add them.
    pub fn input(shape: &[usize]) -> Self {
        Self { input: shape.to_vec(), layers: Vec::new() }
    }

    /// Adds any layer.
    pub fn layer(mut self, layer: LayerSpec) -> Self {
        self.layers.push(layer);
        self
    }

    /// A square window, stride 1.
    pub fn conv2d(self, filters: usize, kernel: usize, padding: Padding) -> Self {
        self.layer(LayerSpec::Conv2d { filters, kernel: [kernel; 2], stride: 1, padding })
    }

    /// ReLU; one that follows a convolution or a dense layer becomes part of it.
    pub fn relu(self) -> Self {
        self.layer(LayerSpec::Relu)
    }

    /// Batch normalisation.
    pub fn batch_norm(self, momentum: f32) -> Self {
        self.layer(LayerSpec::BatchNormalization { momentum, epsilon: 1e-3 })
    }

    /// Max-pooling.
    pub fn max_pool2d(self, size: usize) -> Self {
        self.layer(LayerSpec::MaxPooling2d { size })
    }

    /// Flatten.
    pub fn flatten(self) -> Self {
        self.layer(LayerSpec::Flatten)
    }

    /// The mean of each image's pixels.
    pub fn global_average_pool2d(self) -> Self {
        self.layer(LayerSpec::GlobalAveragePooling2d)
    }

    /// Dense.
    pub fn dense(self, units: usize) -> Self {
        self.layer(LayerSpec::Dense { units })
    }

    /// Dropout.
    pub fn dropout(self, rate: f32) -> Self {
        self.layer(LayerSpec::Dropout { rate })
    }

    /// The layers' names as Keras gives them, and the shapes of one item between them: the input's first, then each
    /// layer's output.
    ///
    /// # Errors
    /// [`Error::Shape`], naming the layer, where a layer cannot take what the one before gives.
    pub fn plan(&self) -> Result<(Vec<String>, Vec<Vec<usize>>)> {
        let mut names = Vec::<String>::new();
        let mut shapes = vec![self.input.clone()];
        if self.input.is_empty() || self.input.contains(&0) || self.input.len() > 3 || self.input.len() == 2 {
            return Err(Error::Shape(format!(
                "an input of shape {:?}; it is [height, width, channels] or [inputs]",
                self.input
            )));
        }
        for layer in &self.layers {
            let before = self.layers[..names.len()].iter().filter(|l| l.class() == layer.class()).count();
            let class = layer.class();
            names.push(if before == 0 { class.into() } else { format!("{class}_{before}") });
            let input = shapes.last().expect("the input's shape is there");
            let shape = layer.output_shape(input).map_err(|why| {
                Error::Shape(format!("{} after a shape of {input:?}: {why}", names.last().expect("just pushed")))
            })?;
            shapes.push(shape);
        }
        Ok((names, shapes))
    }
}

impl ModelSpec {
    /// The full names and shapes of all parameters, in the order of the layers, without building anything.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn parameter_shapes(&self) -> Result<Vec<(String, Vec<usize>)>> {
        let (names, shapes) = self.plan()?;
        let mut all = Vec::new();
        for ((layer, name), input) in self.layers.iter().zip(&names).zip(&shapes) {
            let c = *input.last().expect("shapes have an axis");
            let parameters = match layer {
                LayerSpec::Conv2d { filters, kernel: [kh, kw], .. } => {
                    vec![("kernel", vec![*kh, *kw, c, *filters]), ("bias", vec![*filters])]
                }
                LayerSpec::Dense { units } => vec![("kernel", vec![c, *units]), ("bias", vec![*units])],
                LayerSpec::BatchNormalization { .. } => {
                    ["gamma", "beta", "moving_mean", "moving_variance"].map(|part| (part, vec![c])).to_vec()
                }
                LayerSpec::Relu
                | LayerSpec::MaxPooling2d { .. }
                | LayerSpec::GlobalAveragePooling2d
                | LayerSpec::Flatten
                | LayerSpec::Dropout { .. } => vec![],
            };
            all.extend(parameters.into_iter().map(|(part, shape)| (format!("{name}/{part}"), shape)));
        }
        Ok(all)
    }
}

impl LayerSpec {
    /// Multiply-adds, times two, of one item's forward pass; 0 where the arithmetic is a trifle beside moving the data.
    pub(super) fn flops(&self, input: &[usize], output: &[usize]) -> u64 {
        let c = *input.last().expect("shapes have an axis");
        let under_an_output = match self {
            Self::Conv2d { kernel: [kh, kw], .. } => kh * kw * c,
            Self::Dense { .. } => c,
            _ => 0,
        };
        2 * (under_an_output * output.iter().product::<usize>()) as u64
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, &'static str> {
        match (self, input) {
            (Self::Conv2d { filters, kernel: [kh, kw], stride, padding }, &[h, w, c]) => {
                if *filters == 0 || *kh == 0 || *kw == 0 || *stride == 0 {
                    return Err("filters, kernel and stride are at least 1");
                }
                let shape = conv_shape(0, [h, w, c], *filters, [*kh, *kw], *stride, *padding);
                match [shape.oh(), shape.ow()] {
                    [0, _] | [_, 0] => Err("the window is larger than the image"),
                    [oh, ow] => Ok(vec![oh, ow, *filters]),
                }
            }
            (Self::MaxPooling2d { size }, &[h, w, c]) => match [h.checked_div(*size), w.checked_div(*size)] {
                [None, _] | [_, None] => Err("the window's side is at least 1"),
                _ if *size > 16 => Err("the window's side is at most 16"),
                [Some(0), _] | [_, Some(0)] => Err("the window is larger than the image"),
                [Some(oh), Some(ow)] => Ok(vec![oh, ow, c]),
            },
            (Self::GlobalAveragePooling2d, &[_, _, c]) => Ok(vec![c]),
            (Self::Conv2d { .. } | Self::MaxPooling2d { .. } | Self::GlobalAveragePooling2d, _) => {
                Err("it takes [height, width, channels]")
            }
            (Self::Flatten, input) => Ok(vec![input.iter().product()]),
            (Self::Dense { units: 0 }, _) => Err("a dense layer has at least one unit"),
            (Self::Dense { units }, &[_]) => Ok(vec![*units]),
            (Self::Dense { .. }, _) => Err("it takes [inputs]; flatten first"),
            (Self::Dropout { rate }, _) if !(0.0..1.0).contains(rate) => Err("the rate is at least 0 and below 1"),
            (Self::BatchNormalization { momentum, .. }, _) if !(0.0..=1.0).contains(momentum) => {
                Err("the momentum is between 0 and 1")
            }
            (Self::BatchNormalization { epsilon, .. }, _) if !(*epsilon > 0.0 && epsilon.is_finite()) => {
                Err("epsilon is above 0")
            }
            (Self::Relu | Self::BatchNormalization { .. } | Self::Dropout { .. }, input) => Ok(input.to_vec()),
        }
    }
}

/// The kernels' description of a convolution over `n` images.
pub(super) fn conv_shape(
    n: usize,
    [h, w, ic]: [usize; 3],
    oc: usize,
    [kh, kw]: [usize; 2],
    stride: usize,
    padding: Padding,
) -> onesheet_kernels::conv2d::Conv2dShape {
    onesheet_kernels::conv2d::Conv2dShape { n, h, w, ic, oc, kh, kw, stride, padding: padding.into() }
}
