//! A spec as the operations that compute it: which layers run as one, and in what shapes.
//!
//! This is settled before anything is built, so that what a model will claim of memory is known
//! from its spec alone.

use super::layers::batch_norm::{self, BatchNorm};
use super::layers::conv_blocks::{self, BlockOptions, ConvBlocks};
use super::layers::conv2d::{self, Conv2d, Options};
use super::layers::dense::{self, Dense};
use super::layers::dropout::Dropout;
use super::layers::global_average_pool2d::GlobalAveragePool2d;
use super::layers::join::{self, Join, JoinLayer};
use super::layers::max_pool2d::{self, MaxPool2d};
use super::layers::relu::Relu;
use super::layers::sigmoid::Sigmoid;
use super::layers::{Claims, Layer};
use super::spec::{LayerSpec, ModelSpec, PlannedLayer};
use crate::error::Result;
use crate::rng::{Purpose, stream};
use onesheet_kernels::ShapeError;
use onesheet_kernels::conv_block::ConvBlockShape;
use onesheet_kernels::conv2d::Conv2dShape;
use onesheet_kernels::dense::DenseShape;
use onesheet_kernels::max_pool2d::MaxPool2dShape;
use onesheet_kernels::simd::Isa;

/// The operations of a model, in order.
pub struct Operations {
    /// What each layer of the spec is called and makes of what comes in.
    pub plan: Vec<PlannedLayer>,
    pub operations: Vec<Operation>,
    /// `shapes[i]` is that of one item of the input of operation i; the last one is the output's.
    pub shapes: Vec<Vec<usize>>,
}

/// An operation, and the layers of the spec that it computes.
pub struct Operation {
    /// The place of its first layer in the spec.
    first: usize,
    kind: Kind,
}

/// What is computed. The shapes are those of a batch of one.
enum Kind {
    ConvBlocks(Vec<BlockOptions>),
    Conv2d {
        shape: Conv2dShape,
        relu: bool,
    },
    Dense {
        shape: DenseShape,
        relu: bool,
    },
    MaxPool2d(MaxPool2dShape),
    BatchNorm {
        momentum: f32,
        epsilon: f32,
    },
    Dropout {
        rate: f32,
    },
    GlobalAveragePool2d,
    Relu,
    Sigmoid,
    /// Joins the value at the place `earlier` among the activations.
    Join {
        join: Join,
        earlier: usize,
    },
}

/// How many layers of a spec a fused block is made of.
const LAYERS_OF_A_BLOCK: usize = 4;

impl Operations {
    /// Those of a spec: with `fuse`, a run of blocks is one operation.
    ///
    /// # Errors
    /// Those of [`ModelSpec::plan`].
    pub fn of(spec: &ModelSpec, fuse: bool) -> Result<Self> {
        let plan = spec.plan()?;
        let joined = Joined::of(spec);
        let (mut operations, mut shapes, mut i) = (Vec::new(), vec![spec.input.clone()], 0);
        // The place among the activations of what comes into each layer, where it exists at all.
        let mut places = vec![None; plan.len()];
        while i < plan.len() {
            places[i] = Some(operations.len());
            let within = i..joined.next_after(i);
            let (layers, rest) = (&spec.layers[within.clone()], &plan[within]);
            let blocks = if fuse { blocks(layers, rest) } else { Vec::new() };
            let (kind, count) = match (spec.layers[i].join(), blocks.len()) {
                (Some((join, layers)), _) => {
                    let earlier = places[i - layers].expect("no operation goes past what is joined");
                    (Some(Kind::Join { join, earlier }), 1)
                }
                (None, 0) => single(layers, &rest[0]),
                (None, count) => (Some(Kind::ConvBlocks(blocks)), count * LAYERS_OF_A_BLOCK),
            };
            operations.extend(kind.map(|kind| Operation { first: i, kind }));
            i += count;
            // Flatten and space-to-depth are no operations: they change how the value before them is seen.
            shapes.truncate(operations.len());
            shapes.push(plan[i - 1].output.clone());
        }
        Ok(Self { plan, operations, shapes })
    }

    /// The last operation that gives images: its place among the `shapes`, and the height, width and
    /// channels of its images; `None` where no layer gives images.
    ///
    /// What follows it makes vectors of them, so that it ends at an operation, fused or not.
    pub fn last_images(&self) -> Option<(usize, [usize; 3])> {
        let last = self.plan.iter().rposition(|layer| layer.output.len() == 3)?;
        let at = self.operations.iter().take_while(|operation| operation.first <= last).count();
        Some((at, self.plan[last].output[..].try_into().expect("it has three axes")))
    }

    /// Whether the input may be images as bytes: the first of them takes such, and no other reads it.
    pub fn take_bytes(&self) -> bool {
        let joined = self.operations.iter().any(|of| matches!(of.kind, Kind::Join { earlier: 0, .. }));
        !joined && self.operations.first().is_some_and(|first| matches!(first.kind, Kind::ConvBlocks(_)))
    }
}

/// What is joined later on: values between layers that have to exist.
struct Joined {
    /// The layers that they come into, in order, and the end of the model.
    layers: Vec<usize>,
}

impl Joined {
    fn of(spec: &ModelSpec) -> Self {
        let joins = spec.layers.iter().enumerate();
        let mut layers: Vec<usize> = joins.filter_map(|(i, layer)| Some(i - layer.join()?.1)).collect();
        layers.push(spec.layers.len());
        layers.sort_unstable();
        Self { layers }
    }

    /// The next of these layers after layer `i`.
    fn next_after(&self, i: usize) -> usize {
        self.layers[self.layers.partition_point(|&layer| layer <= i)]
    }
}

/// The number of values of a shape of the plan.
pub fn item_len(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The most values of one item's output of an operation, given [`Operations::shapes`].
pub fn largest_output(shapes: &[Vec<usize>]) -> usize {
    shapes[1..].iter().map(|shape| item_len(shape)).max().unwrap_or(0)
}

/// Refuses batches without items, and those with more values than memory can hold, given
/// [`Operations::shapes`].
pub fn check_batch(n: usize, shapes: &[Vec<usize>]) -> Result<(), String> {
    // As the kernels have it: small multiples are numbers, too.
    const MOST_VALUES: usize = isize::MAX as usize / 64;
    let values = shapes.iter().map(|shape| item_len(shape)).sum::<usize>().checked_mul(n);
    match values.is_some_and(|values| (1..=MOST_VALUES).contains(&values)) {
        true => Ok(()),
        false => Err(format!("a batch of {n} items has no values, or more than memory can hold")),
    }
}

impl Operation {
    /// How many blocks run fused in it.
    pub fn fused_blocks(&self) -> usize {
        if let Kind::ConvBlocks(blocks) = &self.kind { blocks.len() } else { 0 }
    }

    /// What it claims of memory for batches of up to `n` items.
    ///
    /// # Errors
    /// If such a batch has more values than memory can hold.
    pub fn claims(&self, isa: Isa, of: &Operations, n: usize, training: bool) -> Result<Claims, ShapeError> {
        Ok(match &self.kind {
            Kind::ConvBlocks(blocks) => conv_blocks::claims(isa, blocks, n, training)?,
            Kind::Conv2d { shape, .. } => conv2d::claims(isa, &shape.of_batch(n)?, training),
            Kind::Dense { shape, .. } => dense::claims(&shape.of_batch(n)?, training),
            Kind::MaxPool2d(shape) => max_pool2d::claims(&shape.of_batch(n)?),
            Kind::BatchNorm { .. } => batch_norm::claims(n, &of.plan[self.first].input),
            Kind::Join { earlier, .. } => join::claims(n, &of.shapes[*earlier], training),
            Kind::Dropout { .. } | Kind::GlobalAveragePool2d | Kind::Relu | Kind::Sigmoid => Claims::default(),
        })
    }

    /// The layer that computes it, with initial weights drawn from `seed`.
    pub fn build(&self, of: &Operations, seed: u64) -> Box<dyn Layer> {
        let (i, plan) = (self.first, &of.plan);
        let (PlannedLayer { name, input, .. }, rng) = (&plan[i], &mut initial(seed, i));
        match &self.kind {
            Kind::ConvBlocks(blocks) => {
                let mut built = ConvBlocks::default();
                for (k, block) in blocks.iter().enumerate() {
                    let at = i + k * LAYERS_OF_A_BLOCK;
                    // The convolution and the batch norm have parameters.
                    let names = [&plan[at].name[..], &plan[at + 2].name[..]];
                    built.push(block, names, &mut initial(seed, at));
                }
                Box::new(built)
            }
            &Kind::Conv2d { shape, relu } => Box::new(Conv2d::new(name, shape, relu, rng)),
            &Kind::Dense { shape, relu } => Box::new(Dense::new(name, shape, relu, rng)),
            &Kind::MaxPool2d(shape) => Box::new(MaxPool2d::new(shape)),
            &Kind::BatchNorm { momentum, epsilon } => Box::new(BatchNorm::new(name, input, momentum, epsilon)),
            &Kind::Dropout { rate } => Box::new(Dropout::new(rate, i)),
            Kind::GlobalAveragePool2d => Box::new(GlobalAveragePool2d),
            Kind::Relu => Box::new(Relu),
            Kind::Sigmoid => Box::new(Sigmoid),
            &Kind::Join { join, earlier } => Box::new(JoinLayer::new(join, earlier, &of.shapes[earlier])),
        }
    }
}

/// The initial weights of the layer at that place of the spec.
fn initial(seed: u64, i: usize) -> impl rand::Rng {
    stream(seed, Purpose::Init, i as u64)
}

/// The run of fused blocks that the layers begin with; it may be empty. All layers are given that may
/// run as one.
fn blocks(layers: &[LayerSpec], plan: &[PlannedLayer]) -> Vec<BlockOptions> {
    let starts = (0..layers.len()).step_by(LAYERS_OF_A_BLOCK);
    starts.map_while(|at| block(&layers[at..], &plan[at])).collect()
}

/// The block that the layers begin with, if they do.
fn block(layers: &[LayerSpec], plan: &PlannedLayer) -> Option<BlockOptions> {
    match (layers, &plan.input[..]) {
        (
            &[
                LayerSpec::Conv2d { filters, kernel: kernel @ [3, 3], stride: stride @ 1, padding },
                LayerSpec::Relu,
                LayerSpec::BatchNormalization { momentum, epsilon },
                LayerSpec::MaxPooling2d { size: 2 },
                ..,
            ],
            &[h, w, c],
        ) => {
            let conv = checked(Options { filters, kernel, stride, padding }.shape([h, w, c]));
            Some(BlockOptions { shape: ConvBlockShape::new(conv), momentum, epsilon })
        }
        _ => None,
    }
}

/// What the first of the layers is as an operation of its own, with the ReLU that may follow it;
/// none where nothing is to be done. Also, how many layers that are.
fn single(layers: &[LayerSpec], plan: &PlannedLayer) -> (Option<Kind>, usize) {
    let takes_relu = matches!(layers[0], LayerSpec::Conv2d { .. } | LayerSpec::Dense { .. });
    let relu = takes_relu && layers.get(1) == Some(&LayerSpec::Relu);
    let kind = match (&layers[0], &plan.input[..]) {
        (&LayerSpec::Conv2d { filters, kernel, stride, padding }, &[h, w, c]) => {
            let shape = checked(Options { filters, kernel, stride, padding }.shape([h, w, c]));
            Some(Kind::Conv2d { shape, relu })
        }
        (&LayerSpec::Dense { units }, &[inputs]) => {
            Some(Kind::Dense { shape: checked(dense::shape(inputs, units)), relu })
        }
        (&LayerSpec::MaxPooling2d { size }, &[h, w, c]) => {
            Some(Kind::MaxPool2d(checked(max_pool2d::shape([h, w, c], size))))
        }
        (&LayerSpec::BatchNormalization { momentum, epsilon }, _) => Some(Kind::BatchNorm { momentum, epsilon }),
        (&LayerSpec::Dropout { rate }, _) => Some(Kind::Dropout { rate }),
        (LayerSpec::GlobalAveragePooling2d, _) => Some(Kind::GlobalAveragePool2d),
        (LayerSpec::Relu, _) => Some(Kind::Relu),
        (LayerSpec::Sigmoid, _) => Some(Kind::Sigmoid),
        // NHWC is contiguous: the values stay as they are.
        (LayerSpec::Flatten, _) => None,
        // The input is laid out so.
        (LayerSpec::SpaceToDepth { .. }, _) => None,
        (layer, shape) => unreachable!("plan() refuses {layer:?} after {shape:?}"),
    };
    (kind, 1 + usize::from(relu))
}

/// A shape that the plan has made before.
fn checked<T>(shape: Result<T, ShapeError>) -> T {
    shape.expect("the plan was checked")
}
