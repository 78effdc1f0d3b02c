//! The compute kernels of onesheet: slices in, slices out.
//!
//! A kernel is written once, against the trait [`Simd`](simd::Simd), and runs on whichever
//! instruction set the machine has:
//!
//! ```
//! use onesheet_kernels::simd::{Isa, Kernel, Simd};
//!
//! /// `y = y * y`.
//! struct Square<'a> {
//!     y: &'a mut [f32],
//! }
//!
//! impl Kernel for Square<'_> {
//!     type Output = ();
//!
//!     #[inline(always)]
//!     fn run<S: Simd>(self, s: S) {
//!         for y in self.y.chunks_mut(S::LANES) {
//!             let x = s.load_part(y);
//!             s.store_part(y, s.mul(x, x));
//!         }
//!     }
//! }
//!
//! let isa = Isa::choose().expect("ONESHEET_ISA names an instruction set of this machine");
//! let mut y: Vec<f32> = (0..100u8).map(f32::from).collect();
//! isa.run(Square { y: &mut y });
//! assert_eq!(y[99], 9801.0);
//! ```
//!
//! # Conventions
//! - Images are NHWC (`[n][h][w][c]`, channels innermost), convolution weights HWIO
//!   (`[kh][kw][ic][oc]`), dense weights `[in][out]`: Keras' own layouts. All slices are contiguous
//!   `f32` unless a docstring says otherwise.
//! - `forward` computes `y`. `dy` comes in; `backward_x` overwrites `dx`; `backward_w` adds to `dw`
//!   and `db`.
//! - Nothing divides by the batch size except the losses: every gradient has the units of its `dy`.
//! - Arguments are checked by `assert!`: a wrong length is a bug in the calling code, never a
//!   user's mistake.
//! - A shape is made by a constructor that multiplies its sizes with checks; holding one proves
//!   that no product of them wraps. [`ShapeError`] says why sizes are no shape.
//! - Every function takes the [`Isa`](simd::Isa) to run on and works on rayon's current pool. Sums
//!   are taken in an order that depends on the shape alone, so the same input gives the same bits
//!   for any number of threads.
//! - An operation that needs memory takes the `Workspace` of its module, which grows on demand;
//!   `reserve` claims ahead what all batches up to a size need.
//! - [`reference`](mod@reference) holds each operation once more, naive and in f64: the
//!   specification that the tests compare with.
//!
//! | module | its job |
//! |---|---|
//! | [`simd`] | the trait that kernels are written against, its instruction sets, their choice |
//! | [`buffer`] | memory aligned to cache lines |
//! | [`image`] | bytes to numbers |
//! | [`conv2d`] | convolution: shapes, algorithms, forward, both gradients |
//! | [`conv_block`] | convolution + bias + ReLU + batch norm + max-pooling in one |
//! | [`matrix`] | products of blocks of bf16, as matrix units make them |
//! | [`dense`] | fully connected layer: forward, both gradients |
//! | [`activation`] | ReLU; the sigmoid's gradient |
//! | [`batch_norm`] | batch normalisation: statistics, forward, backward |
//! | [`max_pool2d`] | max-pooling |
//! | [`global_average_pool2d`] | the mean of an image's pixels |
//! | [`join`] | where two paths meet: sums, scaled channels |
//! | [`dropout`] | inverted dropout from a seed |
//! | [`loss`] | sigmoid and softmax cross-entropy from logits |
//! | [`gradient`] | the norm of a gradient, and its clipping |
//! | [`optim`] | Adam and SGD: rules, and steps by them |
//! | [`precision`] | f32 or bf16, and how fast this machine multiplies in either |
//! | [`reference`](mod@reference) | all of the above in f64, as the formulas read |

pub mod activation;
pub mod batch_norm;
pub mod buffer;
pub mod conv2d;
pub mod conv_block;
pub mod dense;
pub mod dropout;
mod gemm;
pub mod global_average_pool2d;
pub mod gradient;
pub mod image;
pub mod join;
pub mod loss;
pub mod matrix;
pub mod max_pool2d;
pub mod optim;
pub mod precision;
pub mod reference;
mod scratch;
mod shape;
pub mod simd;
mod tasks;

pub use shape::ShapeError;
