//! The one place that decides how a convolution is computed.

use super::{Conv2dShape, Conv2dSizes, blocks, gradient_tile, tap_tile, winograd};
use crate::gemm::tile_shape;
use crate::matrix::SIDE;
use crate::precision::Precision;
use crate::simd::Isa;
use std::fmt;

/// A way to compute a pass of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// A product with the explicit im2col matrix, written for a few output rows at a time. Takes
    /// any stride.
    Im2col,
    /// Products with the im2col matrix as a view of the image itself, which copies nothing. Every
    /// input is broadcast once for each tap that it feeds.
    View,
    /// Tiles of 3x3 windows that keep in registers what the windows of neighbouring pixels share.
    Taps,
    /// Winograd's minimal filtering of 3x3 windows in tiles of 2x2: 16 multiplications instead of 36.
    Winograd2x2,
    /// The same in tiles of 4x4: 36 multiplications instead of 144.
    Winograd4x4,
    /// Products of the view, of operands rounded to bf16, in blocks as matrix units make them.
    Blocks,
}

/// What a convolution computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The output: [`Forward`](super::Forward).
    Forward,
    /// The input gradient: [`BackwardX`](super::BackwardX).
    BackwardX,
    /// The weight gradient: [`BackwardW`](super::BackwardW).
    BackwardW,
}

impl Algorithm {
    /// All algorithms; of those that multiply the same, the fastest first, by their loads per FMA. A
    /// tap tile makes 0.34, a product of the view 0.57 or more, and the explicit matrix has to be
    /// written and read besides.
    const ALL: [Self; 6] = [Self::Winograd2x2, Self::Winograd4x4, Self::Taps, Self::View, Self::Im2col, Self::Blocks];

    /// In bf16, where there is a [matrix unit](Isa::has_matrix_unit), blocks: they multiply most, but
    /// ten times as fast (GFLOP/s of one core of a Xeon, 4x4 in f32 and blocks: 315 and 577 from 16 to
    /// 32 channels, 459 and 1016 from 32 to 64, 246 and 956 from 128 to 256). Else the algorithm that
    /// multiplies least, of those that [fit](Self::fits).
    ///
    /// Shares of the FMA peak by the arithmetic of the direct sum, one core of a Zen 4, AVX-512 (AVX2),
    /// images in memory; im2col is the explicit matrix with our matrix product:
    ///
    /// | | 4x4 | 2x2 | taps | view | im2col |
    /// |---|--:|--:|--:|--:|--:|
    /// | 3 to 16 on 254x254, forward | | | 81 (81) | 85 (75) | 33 (35) |
    /// | the same, backward_w | | | 82 (63) | 73 (60) | 32 (30) |
    /// | 16 to 32 on 125x125, forward | 160 (149) | 112 (119) | 94 (88) | 88 (96) | 73 (75) |
    /// | the same, backward_x | 178 (162) | 121 (124) | 84 (77) | 83 (84) | 63 (64) |
    /// | the same, backward_w | 150 (130) | 114 (109) | 90 (81) | 90 (83) | 72 (63) |
    /// | 128 to 256 on 16x16, forward | 308 (271) | 173 (169) | 97 (79) | 84 (74) | 93 (77) |
    pub fn choose(isa: Isa, shape: &Conv2dShape, pass: Pass) -> Self {
        if isa.has_matrix_unit() && Self::Blocks.fits(isa, shape, pass) {
            return Self::Blocks;
        }
        let fitting = Self::ALL.into_iter().filter(|algorithm| algorithm.fits(isa, shape, pass));
        fitting.min_by_key(|algorithm| algorithm.multiplications(shape, pass)).expect("im2col fits always")
    }

    /// All algorithms that [fit](Self::fits), in the order of choice.
    pub fn available(isa: Isa, shape: &Conv2dShape, pass: Pass) -> Vec<Self> {
        let fitting = Self::ALL.into_iter().filter(|algorithm| algorithm.fits(isa, shape, pass));
        let mut fitting: Vec<_> = fitting.collect();
        fitting.sort_by_key(|algorithm| algorithm.multiplications(shape, pass));
        fitting
    }

    /// The multiplications that the algorithm makes for each image, each pair of an input and an
    /// output channel: those of the products, not of the transformations around them.
    pub fn multiplications(self, shape: &Conv2dShape, pass: Pass) -> usize {
        let [rows, columns] = match pass {
            Pass::BackwardX if self.tile_inputs() > 0 => [shape.h, shape.w],
            _ => [shape.oh(), shape.ow()],
        };
        match self.tile_inputs() {
            0 => shape.kh * shape.kw * rows * columns,
            n => n * n * winograd::tiles(n - 2, rows, columns),
        }
    }

    /// Whether the algorithm computes this pass of such a convolution.
    ///
    /// The tiles are for 3x3 windows with stride 1. They take channels in whole vectors of every
    /// instruction set, so that all instruction sets with 16 registers or more choose the same
    /// algorithm and sum in the same order. With fewer registers, a tile would be too small to
    /// share anything.
    pub fn fits(self, isa: Isa, shape: &Conv2dShape, pass: Pass) -> bool {
        let Conv2dSizes { w, ic, oc, kh, kw, stride, .. } = **shape;
        let has_tiles = has_tiles(isa) && (kh, kw, stride) == (3, 3, 1);
        match (self, pass) {
            (Self::Im2col, _) => true,
            (Self::View, _) => stride == 1,
            (Self::Taps, Pass::Forward) => has_tiles && tap_tile::fits(oc),
            (Self::Taps, Pass::BackwardX) => has_tiles && tap_tile::fits(ic),
            (Self::Taps, Pass::BackwardW) => has_tiles && gradient_tile::fits(ic, oc),
            (Self::Winograd2x2 | Self::Winograd4x4, _) => {
                let outputs = if pass == Pass::BackwardX { w } else { shape.ow() };
                has_tiles && winograd::fits_channels([ic, oc]) && outputs + 2 >= self.tile_inputs()
            }
            (Self::Blocks, _) if isa.precision() == Precision::F32 || stride > 1 => false,
            (Self::Blocks, Pass::BackwardX) => blocks::fits_backward_x(ic, oc),
            (Self::Blocks, _) => blocks::fits(kw, ic, oc),
        }
    }

    /// Inputs to a side of a tile of minimal filtering; 0 for other algorithms.
    pub(super) fn tile_inputs(self) -> usize {
        match self {
            Self::Winograd2x2 => 4,
            Self::Winograd4x4 => 6,
            _ => 0,
        }
    }

    /// The register tile of an inner loop, as a product of its sizes: output rows x pixels x
    /// channels of [`Taps`](Self::Taps), for a weight gradient kernel rows x taps x input x output
    /// channels; tiles x channels of minimal filtering; rows x columns of a matrix
    /// product.
    ///
    /// # Panics
    /// If the algorithm does not [fit](Self::fits).
    pub fn tile(self, isa: Isa, shape: &Conv2dShape, pass: Pass) -> String {
        self.check(isa, shape, pass);
        let Conv2dSizes { h, w, ic, oc, .. } = **shape;
        let (registers, lanes) = (isa.registers(), isa.lanes());
        let (from, to, rows, width) = match pass {
            Pass::BackwardX => (oc, ic, h, w),
            Pass::Forward | Pass::BackwardW => (ic, oc, shape.oh(), shape.ow()),
        };
        let sizes = match (self, pass) {
            (Self::Taps, Pass::BackwardW) => {
                let [kernel_rows, inputs, vectors] = gradient_tile::tile(registers, lanes, ic, oc);
                vec![kernel_rows, 3, inputs, vectors * lanes]
            }
            (Self::Taps, _) => {
                let [rows, pixels, vectors] = tap_tile::tile(registers, rows.min(2), width);
                vec![rows, pixels, vectors * lanes]
            }
            (Self::Winograd2x2 | Self::Winograd4x4, Pass::BackwardW) => {
                let [inputs, vectors] = winograd::gradient_tile(registers, lanes, oc);
                vec![inputs, vectors * lanes]
            }
            (Self::Winograd2x2 | Self::Winograd4x4, _) => {
                let n = self.tile_inputs();
                let images = winograd::images_at_once(n, rows, width, from, to).min(shape.n);
                let rows = rows.min(winograd::rows_at_once(n, width, from, to));
                let tiles = images * winograd::tiles(n - 2, rows, width);
                let [tiles, vectors] = winograd::group(registers, lanes, to, tiles);
                vec![tiles, vectors * lanes]
            }
            (Self::Blocks, _) => vec![2 * SIDE, to.min(2 * SIDE)],
            (Self::Im2col, Pass::BackwardX) => product_tile(registers, lanes, shape.window()),
            (Self::View | Self::Im2col, _) => product_tile(registers, lanes, to),
        };
        sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
    }

    /// # Panics
    /// If the algorithm does not fit.
    pub(super) fn check(self, isa: Isa, shape: &Conv2dShape, pass: Pass) {
        assert!(self.fits(isa, shape, pass), "no {pass:?} by {self} on {}: {shape:?}", isa.name());
    }
}

/// Whether the instruction set has registers enough for the tiles of 3x3 windows.
fn has_tiles(isa: Isa) -> bool {
    isa.registers() >= 16
}

/// The rows and columns of the first tile of a product with that many columns.
fn product_tile(registers: usize, lanes: usize, columns: usize) -> Vec<usize> {
    match columns / lanes {
        0 => vec![1, columns],
        vectors => {
            let [rows, vectors] = tile_shape(registers, vectors);
            vec![rows, vectors * lanes]
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Im2col => "im2col",
            Self::View => "view",
            Self::Taps => "taps",
            Self::Winograd2x2 => "winograd2x2",
            Self::Winograd4x4 => "winograd4x4",
            Self::Blocks => "blocks",
        })
    }
}
