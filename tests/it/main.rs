//! All tests except the one of allocations, which needs a process of its own; the modules mirror
//! the two source trees.

mod cache_command;
mod card;
mod checkpoints;
mod cli;
mod compare;
mod course;
mod cross_fit;
mod data;
mod documents;
mod ensembles;
mod explain;
mod export;
mod files;
mod golden;
mod help;
mod inference;
mod keras;
mod kernels;
mod layering;
mod metrics;
mod mistakes;
mod nn;
mod page;
mod plan;
mod precision;
mod predict;
mod progress;
mod recipes;
mod report;
mod resume;
mod run;
mod streams;
mod text;
mod training;
mod weights;
