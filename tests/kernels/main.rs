//! Kernels against [`onesheet_kernels::reference`], on every instruction set that the machine has, and
//! between pages that nobody may touch: the [fence] ends the process where a kernel reads or writes
//! beside its slices.

#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)]
mod fence;

mod activation;
mod backward_golden;
mod batch_norm;
mod bf16;
mod conv2d;
mod conv_block;
mod dense;
mod dropout;
mod global_average_pool2d;
mod gradient;
mod hostile;
mod image;
mod join;
mod loss;
mod matrix;
mod max_pool2d;
mod optim;
mod reference;

use common::*;
use onesheet_kernels::matrix::Unit;
use onesheet_kernels::precision::Precision;
use onesheet_kernels::simd::Isa;
