//! Trained classifiers as files that other programs run.
//!
//! A file imports only from those above it in this list:
//!
//! | file | its job |
//! |---|---|
//! | [`proto`] | the messages of ONNX, as far as they are written |
//! | `resample` | the resizing of posters as matrices, to the bit |
//! | `chain` | a network as ONNX computes it: channels first, without what is for training alone |
//! | `fold` | batch norm as a part of the layers around it |
//! | `graph` | nodes and tensors, as they are added one by one |
//! | `front` | from posters to what the network sees, as nodes |
//! | [`onnx`] | a classifier as an ONNX model |

mod chain;
mod fold;
mod front;
mod graph;
pub mod onnx;
pub mod proto;
mod resample;
