//! onesheet: learns film genres from posters, on CPUs.
//!
//! Two things in one crate. [`nn`] is a small framework for convolutional networks, which stands
//! alone: `default-features = false` leaves the rest out.
//!
//! ```
//! use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Pass, Rule, Sequential, Trainer};
//!
//! // A model of two inputs learns which of them is the larger.
//! let spec = ModelSpec::input(&[2]).dense(8).relu().dense(2);
//! let mut model = Sequential::build(spec, Isa::available()[0], 1)?;
//! let optimizer = Optimizer::new(Rule::adam(0.05), &mut model);
//! let mut trainer = Trainer::new(Head::Softmax, optimizer, 1);
//! let (pairs, labels) = ([0.1, 0.9, 0.8, 0.2, 0.4, 0.6, 0.7, 0.3], [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
//! for _ in 0..100 {
//!     trainer.step(&mut model, Input::F32(&pairs), &labels);
//! }
//! let logits = model.forward(Input::F32(&[0.2, 0.5]), Pass::Inference);
//! assert!(Head::Softmax.probabilities(logits)[1] > 0.9);
//! # Ok::<(), onesheet::Error>(())
//! ```
//!
//! The feature `posters`, on by default, is the road from a folder of posters to trained
//! classifiers; `examples/posters.rs` goes it in code. What it leaves is a
//! [`Classifier`](classifier::Classifier):
//!
//! ```no_run
//! use onesheet::{classifier::Classifier, nn::Isa};
//! use std::path::Path;
//!
//! let mut classifier = Classifier::open(Path::new("runs/1/multi-label"), Isa::available()[0])?;
//! println!("{:?}", classifier.predict(Path::new("poster.jpg"), 3)?.predictions);
//! # Ok::<(), onesheet::Error>(())
//! ```
//!
//! Data flows one way, and a module imports only from those above it in this list. The list is the
//! map:
//!
//! | module | its job |
//! |---|---|
//! | [`version`] | which build this is |
//! | [`text`] | text of others made safe to show |
//! | [`error`] | what can go wrong, with file, row and remedy |
//! | [`files`] | files are written whole or not at all |
//! | [`rng`] | random streams as pure functions of (seed, purpose, position) |
//! | [`ranks`] | the processes among which work is shared out |
//! | [`nn`] | the framework: models, their training, their files |
//! | [`progress`] | where long work tells how far it is |
//! | [`data`] | labels -> films -> frames -> split -> decode -> cache -> batches |
//! | [`report`] | what answers are worth, and the files that say so |
//! | [`classifier`] | a network with its genres and thresholds: what a run leaves and all else uses |
//! | [`export`] | classifiers as files that other programs run |
//! | [`page`] | `report.html`: a run in pictures, charts and tables |
//! | [`run`] | options and recipes; a run from folder to results; sweeps over many runs |
//! | [`doctor`] | what a folder holds, what is wrong with it, what a run would cost |
//!
//! The command line is outside, in `src/bin/train`.

#![deny(unsafe_code)]

pub mod error;
pub mod files;
pub mod nn;
pub mod ranks;
pub mod rng;
pub mod text;
pub mod version;

#[cfg(feature = "posters")]
pub mod classifier;
#[cfg(feature = "posters")]
pub mod data;
#[cfg(feature = "posters")]
pub mod doctor;
#[cfg(feature = "posters")]
pub mod export;
#[cfg(feature = "posters")]
pub mod page;
#[cfg(feature = "posters")]
pub mod progress;
#[cfg(feature = "posters")]
pub mod report;
#[cfg(feature = "posters")]
pub mod run;

pub use error::{Error, Result};
