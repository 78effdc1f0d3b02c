//! The models that are measured, their convolutions, and how many multiply-adds an algorithm makes
//! of what the direct sum asks for.

use onesheet::nn::{LayerSpec, ModelSpec};
use onesheet::run::recipe::Recipe;
use onesheet_kernels::conv2d::{Algorithm, Conv2dShape, Conv2dSizes, Pass};
use onesheet_kernels::simd::Isa;

/// The number of the models' outputs.
pub const GENRES: usize = 19;

/// The models that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Model {
    /// Conv3x3(16) + ReLU, batch norm, max-pooling; the same with 32 and with 64; Dense(64) + ReLU,
    /// dropout, Dense(19).
    Report,
    /// The model of the recipe that learns most.
    Best,
}

impl Model {
    /// The layers of the model.
    pub fn spec(self) -> ModelSpec {
        match self {
            Self::Report => Recipe::report().model(GENRES),
            Self::Best => Recipe::best().model(GENRES),
        }
    }
}

/// The shapes of a model's convolutions for a batch of `images`.
pub fn convolutions(spec: &ModelSpec, images: usize) -> Vec<Conv2dShape> {
    let plan = spec.plan().expect("the model's shapes fit");
    let layers = spec.layers.iter().zip(&plan).filter_map(|(layer, planned)| match *layer {
        LayerSpec::Conv2d { filters, kernel: [kh, kw], stride, padding } => Some(Conv2dShape::new(Conv2dSizes {
            n: images,
            h: planned.input[0],
            w: planned.input[1],
            ic: planned.input[2],
            oc: filters,
            kh,
            kw,
            stride,
            padding,
        })),
        _ => None,
    });
    layers.collect()
}

/// The name of a pass, as the kernels' modules have it.
pub fn name(pass: Pass) -> &'static str {
    match pass {
        Pass::Forward => "forward",
        Pass::BackwardX => "backward_x",
        Pass::BackwardW => "backward_w",
    }
}

/// The operations of a pass by the direct sum, in which a multiply-add counts as two and the zeros
/// of a border count as numbers: each pass has as many.
pub fn flops(shape: &Conv2dShape) -> f64 {
    let Conv2dSizes { ic, kh, kw, .. } = **shape;
    2.0 * (shape.y_len() * kh * kw * ic) as f64
}

/// The multiply-adds that the algorithm chosen for a pass issues, as a multiple of the direct
/// sum's: below 1 for minimal filtering, above it where the input gradient of an image without a
/// border is computed with zeros around `dy`. The transformations of minimal filtering are
/// additions and do not count, nor do the lanes of a vector that is not full.
pub fn issued(isa: Isa, shape: &Conv2dShape, pass: Pass) -> f64 {
    let algorithm = Algorithm::choose(isa, shape, pass).to_string();
    let (oh, ow) = (shape.oh(), shape.ow());
    let (rows, columns) = match pass {
        Pass::BackwardX if algorithm != "im2col" => (shape.h, shape.w),
        _ => (oh, ow),
    };
    // A tile of m x m sums of 3x3 products takes (m + 2)^2 multiplications, at an edge as well.
    let multiplications = |m: usize| rows.div_ceil(m) * columns.div_ceil(m) * (m + 2).pow(2);
    let issued = match algorithm.strip_prefix("winograd") {
        Some("4x4") => multiplications(4),
        Some(_) => multiplications(2),
        None => rows * columns * shape.kh * shape.kw,
    };
    issued as f64 / (oh * ow * shape.kh * shape.kw) as f64
}
