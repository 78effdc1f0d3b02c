//! All tests but those of the kernels and of allocations, whose allocators need processes of their own;
//! the modules mirror the source tree.

#[path = "../common/mod.rs"]
mod common;

mod auxiliary;
mod cache_command;
mod card;
mod checkpoints;
mod cli;
mod compare;
mod course;
mod cross_fit;
mod curve;
mod data;
mod distillation;
mod documents;
mod ensembles;
mod explain;
mod export;
mod files;
mod golden;
mod heads;
mod help;
mod inference;
mod keras;
mod layering;
mod metrics;
mod mistakes;
mod nn;
mod onnx_nodes;
mod page;
mod plan;
mod precision;
mod predict;
mod progress;
mod ranks;
mod recipes;
mod report;
mod resume;
mod run;
mod streams;
mod text;
mod training;
mod weights;
