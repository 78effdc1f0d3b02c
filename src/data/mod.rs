//! From a folder of posters to batches. A module imports only from those above it in this list:
//!
//! | module | its job |
//! |---|---|
//! | [`ledger`] | what was dropped, how much of it, why |
//! | [`layout`] | the grammar of the folder: where labels and posters are, whose poster a file is |
//! | [`labels`] | `genres.csv` -> films and their genres |
//! | [`split`] | film id -> train, val or test, the same for ever |
//! | [`duplicates`] | posters of the same bytes under several ids |
//! | [`films`] | labels + `posters/` -> the cleaned films |
//! | [`frames`] | cleaned films -> the three frames of an experiment, as CSV files too |
//! | [`refusal`] | why a poster is left out |
//! | [`decode`] | a poster's file -> pixels of one size, or the reason why not |
//! | `mmap` | files as memory: the one module with `unsafe` |
//! | [`cache`] | decoded posters in one file |
//! | `build` | makes that file |
//! | [`transform`] | an image as a model sees it: a view of it, or a random variation |
//! | [`batches`] | images and labels for a step, prefetched |
//!
//! Beside the road stands [`demo`], which draws a folder of synthetic posters.

pub mod batches;
mod build;
pub mod cache;
pub mod decode;
pub mod demo;
pub mod duplicates;
pub mod films;
pub mod frames;
pub mod labels;
pub mod layout;
pub mod ledger;
mod mmap;
pub mod refusal;
pub mod split;
pub mod transform;
