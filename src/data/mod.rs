//! From a folder of posters to batches: labels -> frames -> split -> decode -> cache -> batches.
pub mod demo;
