//! The forward pass with weights that stay: in the order that it reads them once and for all.

use super::correlation::arrange_forward;
use super::{Algorithm, Conv2dShape, Correlation, Forward, Pass, Staging, Workspace, im2col};
use crate::buffer::Buffer;
use crate::precision::Precision;
use crate::simd::Isa;

/// The weights of a convolution in the order that its forward pass reads them: transformed, where
/// that is minimal filtering.
///
/// To bring them into that order takes as long as the pass over an image or two, so that whoever
/// makes many passes with the same weights packs them once.
#[derive(Clone, Debug, Default)]
pub struct PackedWeights {
    values: Buffer,
    /// What the values are for; `None` where they are not valid.
    by: Option<Packing>,
}

/// What decides about the order of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Packing {
    algorithm: Algorithm,
    precision: Precision,
    /// That of one image.
    shape: Conv2dShape,
}

impl Packing {
    fn new(isa: Isa, shape: &Conv2dShape) -> Self {
        let algorithm = Algorithm::choose(isa, shape, Pass::Forward);
        Self { algorithm, precision: isa.precision(), shape: shape.of_batch(1).expect("no batch is smaller") }
    }
}

impl PackedWeights {
    /// Packs the weights for passes over batches of any size, by the algorithm that is
    /// [chosen](Algorithm::choose) for the shape. Allocates only where [`reserve`](Self::reserve)
    /// has not.
    ///
    /// # Shapes
    /// `w`: `[kh, kw, ic, oc]`
    /// # Panics
    /// If its length differs from that.
    pub fn pack(&mut self, isa: Isa, shape: &Conv2dShape, w: &[f32]) {
        assert_eq!(w.len(), shape.w_len(), "w is [kh, kw, ic, oc]: {shape:?}");
        let by = Packing::new(isa, shape);
        match by.algorithm {
            Algorithm::Im2col | Algorithm::View => self.values.sized(w.len()).copy_from_slice(w),
            algorithm => _ = arrange_forward(isa, algorithm, shape, w, &mut self.values),
        }
        self.by = Some(by);
    }

    /// Whether there are weights for such passes: those that were packed last, unless they have been
    /// [cleared](Self::clear) since.
    pub fn is_for(&self, isa: Isa, shape: &Conv2dShape) -> bool {
        self.by == Some(Packing::new(isa, shape))
    }

    /// Says that the weights are those of the layer no more.
    pub fn clear(&mut self) {
        self.by = None;
    }

    /// Claims what [`pack`](Self::pack) needs, so that it allocates nothing. The weights have to be
    /// packed afterwards.
    pub fn reserve(&mut self, isa: Isa, shape: &Conv2dShape) {
        self.clear();
        self.values.resize(Self::len(isa, shape));
    }

    /// The bytes that [`reserve`](Self::reserve) claims.
    pub fn bytes(isa: Isa, shape: &Conv2dShape) -> usize {
        Buffer::bytes(Self::len(isa, shape))
    }

    fn len(isa: Isa, shape: &Conv2dShape) -> usize {
        match Algorithm::choose(isa, shape, Pass::Forward) {
            Algorithm::Im2col | Algorithm::View => shape.w_len(),
            _ => shape.arranged_len(isa, Pass::Forward),
        }
    }

    /// The forward pass of a convolution with these weights.
    ///
    /// # Panics
    /// If they are not [for](Self::is_for) such passes, or the algorithm is im2col.
    pub(crate) fn correlation<'a>(
        &'a self,
        isa: Isa,
        shape: &Conv2dShape,
        bias: &'a [f32],
        relu: bool,
    ) -> Correlation<'a> {
        Correlation::arranged(isa, self.algorithm(isa, shape), shape, &self.values, bias, relu)
    }

    /// # Panics
    /// If the weights are not for such passes.
    fn algorithm(&self, isa: Isa, shape: &Conv2dShape) -> Algorithm {
        let by = Packing::new(isa, shape);
        assert_eq!(self.by, Some(by), "the weights are packed for such passes");
        by.algorithm
    }
}

/// [`Forward`] with weights that were packed before.
///
/// # Shapes (f32, contiguous, NHWC / HWIO)
/// `x`: `[n, h, w, ic]`; `bias`: `[oc]`; `y`: `[n, oh, ow, oc]`, overwritten
/// # Accuracy
/// The bits of [`Forward`].
/// # Panics
/// If a slice's length differs from its shape, or the weights are not [for](PackedWeights::is_for)
/// it.
pub struct Inference<'a> {
    /// Sizes.
    pub shape: &'a Conv2dShape,
    /// Input.
    pub x: &'a [f32],
    /// Weights.
    pub weights: &'a PackedWeights,
    /// One value per filter.
    pub bias: &'a [f32],
    /// Whether negative outputs become 0.
    pub relu: bool,
    /// Output.
    pub y: &'a mut [f32],
}

impl Inference<'_> {
    /// Computes `y`.
    pub fn run(self, isa: Isa) {
        let Self { shape, x, weights, bias, relu, y } = self;
        assert_eq!(x.len(), shape.x_len(), "x is [n, h, w, ic]: {shape:?}");
        assert_eq!(y.len(), shape.y_len(), "y is [n, oh, ow, oc]: {shape:?}");
        assert_eq!(bias.len(), shape.oc, "bias is [oc]: {shape:?}");
        if weights.algorithm(isa, shape) == Algorithm::Im2col {
            let (w, workspace) = (&weights.values, &mut Workspace::default());
            return im2col::forward(isa, Forward { shape, x, w, bias, relu, y, workspace });
        }
        let correlation = weights.correlation(isa, shape, bias, relu);
        correlation.run_images(&Staging::forward(shape), shape.band(), x, y);
    }
}
