//! onesheet: learns film genres from posters, on CPUs.
//!
//! Data flows one way, and a module imports only from those above it in this list. The list is the map:
//!
//! | module | its job |
//! |---|---|
//! | [`error`] | what can go wrong, with file, row and remedy |
//! | [`files`] | files are written whole or not at all |
//! | [`progress`] | where long work tells how far it is |
//! | [`rng`] | random streams as pure functions of (seed, purpose, position) |
//! | [`data`] | labels -> frames -> split -> decode -> cache -> batches |
//! | [`tensor`] | a batch of values |
//! | [`nn`] | layers, and the chain that owns their buffers |
//! | [`loss`] | the last activation and its cross-entropy |
//! | [`optim`] | Adam, SGD, learning rates |
//! | [`average`] | the moving average of a model's weights |
//! | [`metrics`] | what a model's answers are worth, beside trivial ones |
//! | [`report`] | `metrics.json`, `history.csv`, `predictions.csv`, the table of results |
//! | [`checkpoint`] | model files |
//! | [`train`] | batches through a model |
//! | [`recipe`] | what a model is and how it is trained |
//! | [`experiments`] | the three experiments, the options of a run |
//! | [`evaluate`] | a trained model on other posters |
//! | [`posters`] | where a run's posters come from, and which it has to do without |
//! | [`fit`] | one experiment, trained, measured and written down |
//! | [`run`] | a run from folder to results |
//! | [`sweep`] | a grid of runs, and what each brought |
//! | [`doctor`] | what a folder holds, what is wrong with it, what a run would cost |

#![deny(unsafe_code)]

pub mod error;
pub mod files;
pub mod progress;
pub mod rng;

pub mod data;

pub mod tensor;

pub mod nn;

pub mod average;
pub mod loss;
pub mod optim;

pub mod metrics;
pub mod report;

pub mod checkpoint;
pub mod train;

pub mod recipe;

pub mod experiments;

pub mod evaluate;
pub mod fit;
pub mod posters;
pub mod run;

pub mod doctor;
pub mod sweep;

pub use error::{Error, Result};
