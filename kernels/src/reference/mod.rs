//! Each operation once more, naive and in f64: the specification.
//!
//! Nothing here is fast. Every function is the formula in its docstring, written as the loops that
//! the formula names, so that it can be checked by eye; every backward is checked against central
//! differences of its forward. The layouts and names are those of the crate ([`crate`]), but
//! results are returned instead of written, and gradients never accumulate. Wrong lengths panic, as
//! indexing does.

pub mod activation;
pub mod batch_norm;
pub mod bf16;
pub mod conv2d;
pub mod dense;
pub mod dropout;
pub mod global_average_pool2d;
pub mod gradient;
pub mod join;
pub mod loss;
pub mod max_pool2d;
pub mod optim;
