//! All tests in one binary; its modules mirror the two source trees.

mod cli;
mod data;
mod files;
mod golden;
mod kernels;
mod metrics;
mod nn;
mod report;
