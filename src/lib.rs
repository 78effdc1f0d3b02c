//! onesheet: learns film genres from posters, on CPUs.
//!
//! Data flows one way, and a module imports only from those above it in this list. The list is the map:
//!
//! | module | its job |
//! |---|---|
//! | [`error`] | what can go wrong, with file, row and remedy |
//! | [`rng`] | random streams as pure functions of (seed, purpose, position) |
//! | [`data`] | labels -> frames -> split -> decode -> cache -> batches |

#![deny(unsafe_code)]

pub mod error;
pub mod rng;

pub mod data;

pub use error::{Error, Result};
