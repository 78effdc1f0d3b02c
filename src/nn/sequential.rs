//! A chain of layers, with every buffer it needs.

use super::activation::Relu;
use super::batch_norm::BatchNorm;
use super::conv_blocks::{self, ConvBlocks};
use super::conv2d::Conv2d;
use super::dense::Dense;
use super::dropout::Dropout;
use super::global_average_pool2d::GlobalAveragePool2d;
use super::max_pool2d::MaxPool2d;
use super::spec::{LayerSpec, ModelSpec, conv_shape};
use super::{BYTE_SCALE, Backward, Layer, Parameter, Pass, Update};
use crate::error::Result;
use crate::rng::{Purpose, stream};
use crate::tensor::Tensor;
use onesheet_kernels::buffer::Buffer;
use onesheet_kernels::image;
use onesheet_kernels::optim::Step;
use onesheet_kernels::simd::Isa;

/// A built model: a chain of layers, their parameters and the buffers between them.
pub struct Sequential {
    spec: ModelSpec,
    isa: Isa,
    layers: Vec<Box<dyn Layer>>,
    /// The shapes of one item of the `activations`.
    shapes: Vec<Vec<usize>>,
    /// How many blocks run fused, each from its convolution to its pooling.
    pub(super) fused_blocks: usize,
    /// `activations[i]` is the input of layer i; the last one is the model's output.
    activations: Vec<Tensor>,
    /// The gradients of a layer's output and input, in turn.
    gradients: [Tensor; 2],
    /// The largest batch that the buffers hold.
    capacity: usize,
    /// Values of one item between the two layers where there are most.
    largest: usize,
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
    /// A run of 3x3 convolution, ReLU, batch norm and 2x2 max-pooling becomes one operation; else a ReLU that follows a
    /// convolution or a dense layer becomes part of it, as Keras' `activation="relu"`. Flatten is no operation at all.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a layer cannot take what the one before gives.
    pub fn build(spec: ModelSpec, isa: Isa, seed: u64) -> Result<Self> {
        Self::build_with(spec, isa, seed, true)
    }

    /// [`build`](Self::build), with each layer an operation of its own: what the fused ones are compared with.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_unfused(spec: ModelSpec, isa: Isa, seed: u64) -> Result<Self> {
        Self::build_with(spec, isa, seed, false)
    }

    fn build_with(spec: ModelSpec, isa: Isa, seed: u64, fuse: bool) -> Result<Self> {
        let (names, planned) = spec.plan()?;
        let mut shapes = vec![spec.input.clone()];
        let mut layers = Vec::<Box<dyn Layer>>::new();
        let mut fused_blocks = 0;
        let rng = |i: usize| stream(seed, Purpose::Init, i as u64);
        let mut i = 0;
        while i < spec.layers.len() {
            let name = &names[i];
            let relu = spec.layers.get(i + 1) == Some(&LayerSpec::Relu);
            let mut taken = 1;
            match (&spec.layers[i], planned[i].as_slice()) {
                (LayerSpec::Conv2d { .. }, _) if fuse && conv_blocks::begins_with_block(&spec.layers[i..]) => {
                    let mut blocks = ConvBlocks::default();
                    taken = 0;
                    while let (layers, &[h, w, c]) = (&spec.layers[i + taken..], planned[i + taken].as_slice())
                        && conv_blocks::begins_with_block(layers)
                    {
                        blocks.push(layers, &names[i + taken..], [h, w, c], &mut rng(i + taken));
                        taken += conv_blocks::LAYERS;
                        fused_blocks += 1;
                    }
                    layers.push(Box::new(blocks));
                }
                (&LayerSpec::Conv2d { filters, kernel, stride, padding }, &[h, w, c]) => {
                    let shape = conv_shape(1, [h, w, c], filters, kernel, stride, padding);
                    layers.push(Box::new(Conv2d::new(name, shape, relu, &mut rng(i))));
                    taken += usize::from(relu);
                }
                (&LayerSpec::Dense { units }, &[inputs]) => {
                    layers.push(Box::new(Dense::new(name, inputs, units, relu, &mut rng(i))));
                    taken += usize::from(relu);
                }
                (&LayerSpec::MaxPooling2d { size }, &[h, w, c]) => {
                    layers.push(Box::new(MaxPool2d::new([h, w, c], size)));
                }
                (&LayerSpec::BatchNormalization { momentum, epsilon }, shape) => {
                    layers.push(Box::new(BatchNorm::new(name, shape, momentum, epsilon)));
                }
                (&LayerSpec::Dropout { rate }, _) => layers.push(Box::new(Dropout::new(rate, i))),
                (LayerSpec::GlobalAveragePooling2d, _) => layers.push(Box::new(GlobalAveragePool2d)),
                (LayerSpec::Relu, _) => layers.push(Box::new(Relu)),
                // NHWC is contiguous: the values stay as they are.
                (LayerSpec::Flatten, _) => {}
                (layer, shape) => unreachable!("plan() refuses {layer:?} after {shape:?}"),
            }
            i += taken;
            // Flatten changes how the output before it is seen.
            shapes.truncate(layers.len());
            shapes.push(planned[i].clone());
        }
        let activations = vec![Tensor::default(); layers.len() + 1];
        Ok(Self {
            spec,
            isa,
            layers,
            shapes,
            fused_blocks,
            activations,
            gradients: Default::default(),
            capacity: 0,
            largest: 0,
        })
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
        self.shapes[self.layers.len()].iter().product()
    }

    /// All parameters under their full names, such as `conv2d_1/kernel`, in the order of the layers.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &Parameter)> {
        self.layers.iter().flat_map(|layer| layer.parameters().iter().map(|p| (p.name.clone(), p)))
    }

    /// All parameters, to change, in the order of [`parameters`](Self::parameters).
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.layers.iter_mut().flat_map(|layer| layer.parameters_mut())
    }

    /// Claims and touches the buffers for batches of up to `n`: fresh pages cost more than a step's arithmetic.
    pub fn reserve(&mut self, n: usize) {
        if n <= self.capacity {
            return;
        }
        self.capacity = n;
        for (i, layer) in self.layers.iter_mut().enumerate() {
            layer.reserve(n);
            self.activations[i + 1].reshape(n, &self.shapes[i + 1]);
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
        let (input_shape, first) = (&self.spec.input, &mut self.activations[0]);
        match input {
            Input::U8(bytes) if self.layers.first().is_some_and(|layer| layer.takes_bytes()) => {
                first.set_bytes(n, input_shape, bytes);
            }
            Input::U8(bytes) => {
                first.reshape(n, input_shape);
                image::u8_to_f32(self.isa, bytes, BYTE_SCALE, first.values_mut());
            }
            Input::F32(values) => {
                first.reshape(n, input_shape);
                first.values_mut().copy_from_slice(values);
            }
        }
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.activations.split_at_mut(i + 1);
            let (x, y) = (&before[i], &mut after[0]);
            y.reshape(n, &self.shapes[i + 1]);
            layer.forward(self.isa, x, y, pass);
        }
        &self.activations[self.layers.len()]
    }

    /// Adds the gradient of the loss to every parameter's, given the gradient of the output of the last training
    /// [`forward`](Self::forward).
    ///
    /// # Panics
    /// If `d_output` is not as long as that output.
    pub fn backward(&mut self, d_output: &[f32]) {
        self.each_layer_backward(d_output, |layer, isa, Backward { x, y, dy, dx }| layer.backward(isa, x, y, dy, dx));
    }

    /// [`backward`](Self::backward) and an optimiser's step, layer by layer, so that the gradient of all weights need never
    /// exist at once. `state` is what the optimiser remembers of each trained parameter, in the order of
    /// [`parameters`](Self::parameters); the gradients are zero before and after.
    ///
    /// # Panics
    /// As [`backward`](Self::backward), and if there are not as many states as trained parameters.
    pub(crate) fn backward_and_step(&mut self, d_output: &[f32], step: Step, state: &mut [[Buffer; 2]]) {
        let mut rest = state;
        self.each_layer_backward(d_output, |layer, isa, io| {
            let trained = layer.parameters().iter().filter(|parameter| parameter.is_trained()).count();
            let all = std::mem::take(&mut rest);
            let (before, state) = all.split_at_mut(all.len() - trained);
            rest = before;
            layer.backward_and_step(isa, io, &mut Update { step, state });
        });
    }

    /// Calls `backward` for every layer, the last one first.
    fn each_layer_backward(&mut self, d_output: &[f32], mut backward: impl FnMut(&mut dyn Layer, Isa, Backward)) {
        let n = self.activations[0].n();
        // Claimed here, so that a model that only predicts does without.
        self.gradients.iter_mut().for_each(|gradient| gradient.reshape(self.capacity, &[self.largest]));
        let [dy, dx] = &mut self.gradients;
        dy.reshape(n, self.activations[self.layers.len()].shape());
        dy.values_mut().copy_from_slice(d_output);
        for (i, layer) in self.layers.iter_mut().enumerate().rev() {
            let (x, y) = (&self.activations[i], &self.activations[i + 1]);
            // Nobody asks for the gradient of the images.
            let wanted = i > 0;
            if wanted {
                dx.reshape(n, x.shape());
            }
            backward(&mut **layer, self.isa, Backward { x, y, dy, dx: wanted.then_some(&mut *dx) });
            std::mem::swap(dy, dx);
        }
    }
}
