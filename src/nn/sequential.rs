//! A chain of layers, with every buffer it needs.

use super::activation::Relu;
use super::batch_norm::BatchNorm;
use super::conv2d::Conv2d;
use super::dense::Dense;
use super::dropout::Dropout;
use super::flatten::Flatten;
use super::max_pool2d::MaxPool2d;
use super::spec::{LayerSpec, ModelSpec};
use super::{Layer, Parameter, Pass};
use crate::error::Result;
use crate::rng::{Purpose, stream};
use crate::tensor::Tensor;
use onesheet_kernels::image;
use onesheet_kernels::simd::Isa;

/// A built model: a chain of layers, their parameters and the buffers between them.
pub struct Sequential {
    spec: ModelSpec,
    isa: Isa,
    pub(super) layers: Vec<Named>,
    /// `activations[i]` is the input of layer i; the last one is the model's output.
    activations: Vec<Tensor>,
    /// The gradients of a layer's output and input, in turn.
    gradients: [Tensor; 2],
    /// The largest batch that the buffers hold.
    capacity: usize,
    /// Values of one item between the two layers where there are most.
    largest: usize,
}

/// A layer under its name.
pub(super) struct Named {
    pub name: String,
    pub layer: Box<dyn Layer>,
}

/// A batch for the input of a model, `[n, input shape...]`.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Images as they lie in the cache; scaled by 1/255.
    U8(&'a [u8]),
    /// Values as they are.
    F32(&'a [f32]),
}

impl Sequential {
    /// Builds the layers of a spec, with initial weights drawn from `seed`. The instruction set is `isa`.
    ///
    /// A ReLU that follows a convolution or a dense layer becomes part of it, as Keras' `activation="relu"`: it is applied
    /// to the results before they are stored.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a layer cannot take what the one before gives.
    pub fn build(spec: ModelSpec, isa: Isa, seed: u64) -> Result<Self> {
        let (names, shapes) = spec.plan()?;
        let mut layers = Vec::new();
        let mut i = 0;
        while i < spec.layers.len() {
            let rng = &mut stream(seed, Purpose::Init, i as u64);
            let relu = spec.layers.get(i + 1) == Some(&LayerSpec::Relu);
            let (layer, taken): (Box<dyn Layer>, _) = match (&spec.layers[i], shapes[i].as_slice()) {
                (&LayerSpec::Conv2d { filters, kernel, stride, padding }, &[h, w, c]) => {
                    let conv = Conv2d::new([h, w, c], filters, kernel, stride, padding, relu, rng);
                    (Box::new(conv), 1 + usize::from(relu))
                }
                (&LayerSpec::Dense { units }, &[inputs]) => {
                    (Box::new(Dense::new(inputs, units, relu, rng)), 1 + usize::from(relu))
                }
                (&LayerSpec::MaxPooling2d { size }, &[h, w, c]) => (Box::new(MaxPool2d::new([h, w, c], size)), 1),
                (&LayerSpec::BatchNormalization { momentum, epsilon }, shape) => {
                    (Box::new(BatchNorm::new(shape, momentum, epsilon)), 1)
                }
                (&LayerSpec::Dropout { rate }, shape) => (Box::new(Dropout::new(shape, rate, i)), 1),
                (LayerSpec::Flatten, shape) => (Box::new(Flatten::new(shape)), 1),
                (LayerSpec::Relu, shape) => (Box::new(Relu::new(shape)), 1),
                (layer, shape) => unreachable!("plan() refuses {layer:?} after {shape:?}"),
            };
            layers.push(Named { name: names[i].clone(), layer });
            i += taken;
        }
        let activations = vec![Tensor::default(); layers.len() + 1];
        Ok(Self { spec, isa, layers, activations, gradients: Default::default(), capacity: 0, largest: 0 })
    }

    /// What the model was built from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The instruction set that the model runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Values of the output for one item.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(self.spec.input.clone(), |last| last.layer.output_shape()).iter().product()
    }

    /// All parameters under their full names, such as `conv2d_1/kernel`, in the order of the layers.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &Parameter)> {
        self.layers.iter().flat_map(|named| {
            named.layer.parameters().iter().map(|parameter| (format!("{}/{}", named.name, parameter.name), parameter))
        })
    }

    /// All parameters, to change, in the order of [`parameters`](Self::parameters).
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.layers.iter_mut().flat_map(|named| named.layer.parameters_mut())
    }

    /// Claims and touches the buffers for batches of up to `n`: fresh pages cost more than a step's arithmetic.
    pub fn reserve(&mut self, n: usize) {
        if n <= self.capacity {
            return;
        }
        self.capacity = n;
        let mut shape = self.spec.input.clone();
        self.activations[0].reshape(n, &shape);
        for (i, named) in self.layers.iter_mut().enumerate() {
            named.layer.reserve(n);
            shape = named.layer.output_shape();
            self.activations[i + 1].reshape(n, &shape);
            self.largest = self.largest.max(self.activations[i + 1].item_len());
        }
    }

    /// The model's output, `[n, outputs]`, for a batch.
    ///
    /// # Panics
    /// If the input does not hold whole items.
    pub fn forward(&mut self, input: Input, pass: Pass) -> &Tensor {
        let item: usize = self.spec.input.iter().product();
        let len = match input {
            Input::U8(values) => values.len(),
            Input::F32(values) => values.len(),
        };
        assert!(len > 0 && len.is_multiple_of(item), "{len} values of items of {item}");
        let n = len / item;
        self.reserve(n);
        self.activations[0].reshape(n, &self.spec.input);
        match input {
            Input::U8(values) => image::u8_to_f32(self.isa, values, 1.0 / 255.0, self.activations[0].values_mut()),
            Input::F32(values) => self.activations[0].values_mut().copy_from_slice(values),
        }
        for (i, named) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.activations.split_at_mut(i + 1);
            let (x, y) = (&before[i], &mut after[0]);
            y.reshape(n, &named.layer.output_shape());
            named.layer.forward(self.isa, x, y, pass);
        }
        &self.activations[self.layers.len()]
    }

    /// Adds the gradient of the loss to every parameter's, given the gradient of the output of the last training
    /// [`forward`](Self::forward).
    ///
    /// # Panics
    /// If `d_output` is not as long as that output.
    pub fn backward(&mut self, d_output: &[f32]) {
        let n = self.activations[0].n();
        // Claimed here, so that a model that only predicts does without.
        self.gradients.iter_mut().for_each(|gradient| gradient.reshape(self.capacity, &[self.largest]));
        let [dy, dx] = &mut self.gradients;
        dy.reshape(n, self.activations[self.layers.len()].shape());
        dy.values_mut().copy_from_slice(d_output);
        for (i, named) in self.layers.iter_mut().enumerate().rev() {
            let (x, y) = (&self.activations[i], &self.activations[i + 1]);
            // Nobody asks for the gradient of the images.
            let wanted = i > 0;
            if wanted {
                dx.reshape(n, x.shape());
            }
            named.layer.backward(self.isa, x, y, dy, wanted.then_some(&mut *dx));
            std::mem::swap(dy, dx);
        }
    }
}
