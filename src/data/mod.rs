//! The way from a folder of posters to batches of images and labels.
//!
//! A module imports only from those above it in this list:
//!
//! | module | its job |
//! |---|---|
//! | [`ledger`] | what was dropped, how much of it, and why |
//! | [`layout`] | the folder's layout: where labels and posters are, whose poster a file is |
//! | [`labels`] | `genres.csv` -> films and their genres; files beside it -> what else they say |
//! | [`split`] | film id -> train, val or test |
//! | [`refusal`] | the reasons for which a poster is left out |
//! | `poster` | the file of a poster: its bytes, and whether it has changed |
//! | [`duplicates`] | posters with the same bytes under several ids |
//! | [`films`] | labels and `posters/` -> the cleaned films |
//! | [`frames`] | cleaned films -> those of an experiment on each side |
//! | `frame_files` | the films of each side as CSV files |
//! | `jpeg` | the structure of a JPEG file: checked, and written anew for the decoder |
//! | [`decode`] | a poster's file -> pixels of one size, or the reason why it is refused |
//! | [`dhash`] | pixels -> a perceptual hash |
//! | [`twins`] | posters that show the same picture under several ids |
//! | [`auxiliary`] | what else than genres a network is taught, and by which posters |
//! | `mmap` | memory-mapped files: the only module of this folder with `unsafe` |
//! | [`cache`] | the decoded posters, all in one file |
//! | `cache_ledger` | what was refused, in a file beside the cache |
//! | `changes` | which posters of a cache are not as they were |
//! | `build` | how that file is made |
//! | [`retouch`] | what changes an image in place |
//! | [`transform`] | an image as a model sees it: a fixed view of it, or a random variation |
//! | [`batches`] | the images and labels of one step after the other, made ahead of time |
//!
//! [`demo`] stands apart: it draws a folder of synthetic posters.

pub mod auxiliary;
pub mod batches;
mod build;
pub mod cache;
mod cache_ledger;
mod changes;
pub mod decode;
pub mod demo;
pub mod dhash;
pub mod duplicates;
pub mod films;
pub(crate) mod frame_files;
pub mod frames;
mod jpeg;
pub mod labels;
pub mod layout;
pub mod ledger;
mod mmap;
pub(crate) mod poster;
pub mod refusal;
pub mod retouch;
pub mod split;
pub mod transform;
pub mod twins;
