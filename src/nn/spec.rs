//! What a model is, as data: written into every model file, read back to rebuild the model.

use super::layers::{
    Description, LARGEST, MOST_ACTIVATIONS, batch_norm, conv2d, dense, dropout, global_average_pool2d, join::Join,
    max_pool2d, relu, sigmoid, space_to_depth, values,
};
use super::parameter::Role;
use crate::error::{Error, Result};
use onesheet_kernels::conv2d::Padding;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The most layers of a model. A plain chain that is much deeper does not train, and a description
/// of some kilobytes is not to keep a machine busy.
const MOST_LAYERS: usize = 1_000;

/// The most values of all parameters together: 4 GiB.
const MOST_PARAMETERS: usize = 1 << 30;

/// A chain of layers, some of which join what an earlier one gives.
///
/// ```
/// use onesheet::nn::{ModelSpec, Padding};
///
/// let spec = ModelSpec::input(&[32, 32, 3])
///     .conv2d(16, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2)
///     .flatten()
///     .dense(10);
/// assert_eq!(spec.plan()?.last().unwrap().output, [10]);
/// # Ok::<(), onesheet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The shape of one item of the input: `[h, w, c]` or `[inputs]`.
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
    /// Each square of `block` x `block` pixels becomes one pixel with all of their channels, row by row:
    /// `[h, w, c]` to `[h / block, w / block, block * block * c]`. The first layer of a model, if it has
    /// one: a stem that gives up no pixel, and leaves the convolution behind it fewer places.
    ///
    /// ONNX's and TensorFlow's `SpaceToDepth`. As a stem: Ridnik et al. 2020, TResNet,
    /// <https://arxiv.org/abs/2003.13630>, section 2.1.
    SpaceToDepth {
        /// Side of the square.
        block: usize,
    },
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Batch normalisation over all but the last axis.
    BatchNormalization {
        /// `moving = momentum * moving + (1 - momentum) * batch`: Keras' sense; PyTorch's momentum
        /// is one minus this.
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
    /// The sum of its input and of what came into the `layers` layers before it: the end of a residual
    /// branch.
    ///
    /// He et al. 2015, Deep Residual Learning, <https://arxiv.org/abs/1512.03385>.
    Add {
        /// How many layers the branch has.
        layers: usize,
    },
    /// The images that came into the `layers` layers before it, times its input, one factor for each
    /// channel: the end of squeeze-and-excite.
    ///
    /// Hu et al. 2017, Squeeze-and-Excitation Networks, <https://arxiv.org/abs/1709.01507>.
    Multiply {
        /// How many layers the factors are made by.
        layers: usize,
    },
}

impl LayerSpec {
    /// Keras' name of the layer's class in snake case; the n-th of a class gets `_n` after it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::SpaceToDepth { .. } => "space_to_depth",
            Self::Relu => "re_lu",
            Self::Sigmoid => "sigmoid",
            Self::BatchNormalization { .. } => "batch_normalization",
            Self::MaxPooling2d { .. } => "max_pooling2d",
            Self::GlobalAveragePooling2d => "global_average_pooling2d",
            Self::Flatten => "flatten",
            Self::Dense { .. } => "dense",
            Self::Dropout { .. } => "dropout",
            Self::Add { .. } => "add",
            Self::Multiply { .. } => "multiply",
        }
    }

    /// How many layers before it what it joins came in, if it joins an earlier value.
    pub fn joins(&self) -> Option<usize> {
        self.join().map(|(_, layers)| layers)
    }

    /// How the layer joins an earlier value, if it does, and how many layers lie between.
    pub(super) fn join(&self) -> Option<(Join, usize)> {
        match *self {
            Self::Add { layers } => Some((Join::Add, layers)),
            Self::Multiply { layers } => Some((Join::Multiply, layers)),
            _ => None,
        }
    }

    /// What the layer makes of an input, or why it cannot take it; `before` are the layers before it.
    fn describe(&self, input: &[usize], before: &[PlannedLayer]) -> Result<Description, &'static str> {
        match *self {
            Self::Conv2d { filters, kernel, stride, padding } => {
                conv2d::Options { filters, kernel, stride, padding }.describe(input)
            }
            Self::SpaceToDepth { block } => space_to_depth::describe(input, block, before.is_empty()),
            Self::Relu => Ok(relu::describe(input)),
            Self::Sigmoid => Ok(sigmoid::describe(input)),
            Self::BatchNormalization { momentum, epsilon } => batch_norm::describe(input, momentum, epsilon),
            Self::MaxPooling2d { size } => max_pool2d::describe(input, size),
            Self::GlobalAveragePooling2d => global_average_pool2d::describe(input),
            Self::Flatten => {
                let values = values(input).ok_or("there are more values than memory can hold")?;
                Ok(Description::of_output(vec![values]))
            }
            Self::Dense { units } => dense::describe(input, units),
            Self::Dropout { rate } => dropout::describe(input, rate),
            Self::Add { layers } => Join::Add.describe(input, earlier(before, layers)?),
            Self::Multiply { layers } => Join::Multiply.describe(input, earlier(before, layers)?),
        }
    }
}

/// The shape of what came into the last `layers` of the layers; a layer has given it.
fn earlier(before: &[PlannedLayer], layers: usize) -> Result<&[usize], &'static str> {
    match before.len().checked_sub(layers) {
        Some(at) if layers > 0 && at > 0 => Ok(&before[at].input),
        _ => Err("it joins what one of the layers before gives"),
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

    /// Makes one pixel of each square of `block` x `block` pixels, as the first layer of the model.
    pub fn space_to_depth(self, block: usize) -> Self {
        self.layer(LayerSpec::SpaceToDepth { block })
    }

    /// Adds a convolution with a square window of stride 1.
    pub fn conv2d(self, filters: usize, kernel: usize, padding: Padding) -> Self {
        self.layer(LayerSpec::Conv2d { filters, kernel: [kernel; 2], stride: 1, padding })
    }

    /// Adds a ReLU; one that follows a convolution or a dense layer becomes part of it.
    pub fn relu(self) -> Self {
        self.layer(LayerSpec::Relu)
    }

    /// Adds batch normalisation with Keras' epsilon.
    pub fn batch_norm(self, momentum: f32) -> Self {
        self.layer(LayerSpec::BatchNormalization { momentum, epsilon: 1e-3 })
    }

    /// Adds max-pooling.
    pub fn max_pool2d(self, size: usize) -> Self {
        self.layer(LayerSpec::MaxPooling2d { size })
    }

    /// Adds a layer that turns images into vectors of all their values.
    pub fn flatten(self) -> Self {
        self.layer(LayerSpec::Flatten)
    }

    /// Adds a layer that turns images into vectors of the means of their pixels.
    pub fn global_average_pool2d(self) -> Self {
        self.layer(LayerSpec::GlobalAveragePooling2d)
    }

    /// Adds a dense layer.
    pub fn dense(self, units: usize) -> Self {
        self.layer(LayerSpec::Dense { units })
    }

    /// Adds dropout.
    pub fn dropout(self, rate: f32) -> Self {
        self.layer(LayerSpec::Dropout { rate })
    }

    /// Adds a residual branch: what the layers of `branch` make of their input is added to it.
    pub fn residual(self, branch: impl FnOnce(Self) -> Self) -> Self {
        let begin = self.layers.len();
        let spec = branch(self);
        let layers = spec.layers.len() - begin;
        spec.layer(LayerSpec::Add { layers })
    }

    /// Adds squeeze-and-excite: the channels of images, each times a factor that two dense layers make
    /// of the means of all channels, with `units` values between them.
    pub fn squeeze_excite(self, units: usize) -> Self {
        let channels = self.plan().ok().and_then(|plan| plan.last()?.output.last().copied());
        // Without images before it the plan refuses the pooling.
        let spec = self.global_average_pool2d().dense(units).relu().dense(channels.unwrap_or(1));
        spec.layer(LayerSpec::Sigmoid).layer(LayerSpec::Multiply { layers: 5 })
    }

    /// What each layer is called and makes of what comes in, without building anything.
    ///
    /// A model is bounded, so that a small file cannot fill a machine: 1,000 layers, 2^24 for any
    /// size, 2^26 values that all layers together give for one item (256 MiB), 2^30 values of all
    /// parameters (4 GiB).
    ///
    /// # Errors
    /// [`Error::Shape`], naming the layer, where a layer cannot take what the one before gives, or
    /// the model grows beyond these bounds.
    pub fn plan(&self) -> Result<Vec<PlannedLayer>> {
        if ![1, 3].contains(&self.input.len()) {
            let what = format!("an input of {} axes; it is [height, width, channels] or [inputs]", self.input.len());
            return Err(Error::Shape(what));
        }
        if !self.input.iter().all(|axis| (1..=LARGEST).contains(axis)) {
            return Err(Error::Shape(format!("an input of {:?}; an axis is 1 to 2^24", self.input)));
        }
        if self.layers.len() > MOST_LAYERS {
            return Err(Error::Shape(format!("{} layers; there are at most {MOST_LAYERS}", self.layers.len())));
        }
        let mut sizes = Sizes::default();
        sizes.add_output(&self.input).map_err(|why| Error::Shape(format!("an input of {:?}: {why}", self.input)))?;
        let (mut plan, mut of_class) = (Vec::<PlannedLayer>::new(), HashMap::new());
        for layer in &self.layers {
            let before = of_class.entry(layer.class()).or_insert(0);
            let name = match *before {
                0 => layer.class().to_owned(),
                before => format!("{}_{before}", layer.class()),
            };
            *before += 1;
            let input = plan.last().map_or(&self.input, |before| &before.output).clone();
            let described = layer.describe(&input, &plan);
            let described = described.and_then(|described| sizes.add(&described).map(|()| described));
            let Description { output, parameters, flops } =
                described.map_err(|why| Error::Shape(format!("{name} after a shape of {input:?}: {why}")))?;
            plan.push(PlannedLayer { name, input, output, parameters, flops });
        }
        Ok(plan)
    }
}

/// How large a model is so far.
#[derive(Default)]
struct Sizes {
    /// Values that the input and the layers have for one item.
    activations: usize,
    parameters: usize,
}

impl Sizes {
    fn add(&mut self, layer: &Description) -> Result<(), &'static str> {
        for (_, shape) in &layer.parameters {
            let more = values(shape).ok_or("its weights have more values than memory can hold")?;
            self.parameters = self.parameters.saturating_add(more);
        }
        if self.parameters > MOST_PARAMETERS {
            return Err("the weights so far have more than 2^30 values");
        }
        self.add_output(&layer.output)
    }

    fn add_output(&mut self, shape: &[usize]) -> Result<(), &'static str> {
        let more = values(shape).ok_or("there are more values than memory can hold")?;
        self.activations = self.activations.saturating_add(more);
        if self.activations > MOST_ACTIVATIONS {
            return Err("the layers so far give more than 2^26 values for one item");
        }
        Ok(())
    }
}

/// A layer's place in a model: its name, and what it makes of what comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLayer {
    /// The layer's name as Keras gives it, such as `conv2d_1`.
    pub name: String,
    /// The shape of one item of its input.
    pub input: Vec<usize>,
    /// The shape of one item of its output.
    pub output: Vec<usize>,
    /// The roles and shapes of its parameters, in Keras' order.
    pub parameters: Vec<(Role, Vec<usize>)>,
    /// Multiply-adds of one item's forward pass, times two; 0 where the arithmetic is small beside
    /// moving the data.
    pub flops: u64,
}

impl PlannedLayer {
    /// How many values its parameters have.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}
