//! onesheet: learns film genres from posters, on CPUs.
//!
//! Two things in one crate. [`nn`] is a small framework for convolutional networks, which stands alone:
//! `default-features = false` leaves the rest out. The feature `posters`, on by default, is the road from
//! a folder of posters to trained classifiers:
//!
//! ```no_run
//! use onesheet::classifier::Classifier;
//! use onesheet::nn::Isa;
//! use std::path::Path;
//!
//! let mut classifier = Classifier::open(Path::new("runs/1/multi-label"), Isa::available()[0])?;
//! let answer = classifier.predict(Path::new("poster.jpg"), 3)?;
//! println!("{:?}", answer.predictions);
//! # Ok::<(), onesheet::Error>(())
//! ```
//!
//! Data flows one way, and a module imports only from those above it in this list. The list is the map:
//!
//! | module | its job |
//! |---|---|
//! | [`error`] | what can go wrong, with file, row and remedy |
//! | [`files`] | files are written whole or not at all |
//! | [`rng`] | random streams as pure functions of (seed, purpose, position) |
//! | [`nn`] | the framework: models, their training, their files |
//! | [`progress`] | where long work tells how far it is |
//! | [`data`] | labels -> films -> frames -> split -> decode -> cache -> batches |
//! | [`report`] | what answers are worth, and the files that say so |
//! | [`classifier`] | a network with its genres and thresholds: what a run leaves and all else uses |
//! | [`run`] | options and recipes; a run from folder to results; sweeps over many runs |
//! | [`doctor`] | what a folder holds, what is wrong with it, what a run would cost |
//!
//! The command line is outside, in `src/bin/train`.

#![deny(unsafe_code)]

pub mod error;
pub mod files;
pub mod nn;
pub mod rng;

#[cfg(feature = "posters")]
pub mod classifier;
#[cfg(feature = "posters")]
pub mod data;
#[cfg(feature = "posters")]
pub mod doctor;
#[cfg(feature = "posters")]
pub mod progress;
#[cfg(feature = "posters")]
pub mod report;
#[cfg(feature = "posters")]
pub mod run;

pub use error::{Error, Result};
