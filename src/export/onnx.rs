//! A classifier as an ONNX model: its network, and as much of what is before and after it as is
//! asked for.

use super::chain::{self, Operation, Step};
use super::fold::fold;
use super::front::front;
use super::graph::{Graph, int, ints};
use super::proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::classifier::ensemble::member_folder;
use crate::classifier::{Classifier, sha256};
use crate::data::transform::Views;
use crate::error::{Error, Result};
use crate::files::{check_own, write_atomically};
use crate::nn::Head;
use crate::version::VERSION;
use prost::Message;
use serde_json::json;
use std::path::Path;

pub use super::front::Input;

/// The version of ONNX's operators, of June 2022, which is old enough for every runtime.
pub const OPSET: i64 = 17;
/// The version of ONNX's messages that came with them.
const IR_VERSION: i64 = 8;
/// What files of ours begin with: the IR version and the producer. Protobuf writes fields in the
/// order of their numbers.
const MARK: &[u8] = b"\x08\x08\x12\x08onesheet";
/// Protobuf's own bound.
const MOST_BYTES: usize = i32::MAX as usize;

/// How a classifier becomes an ONNX model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the model is given.
    pub input: Input,
    /// What it answers.
    pub output: Output,
    /// The views that its answers are averaged over; `None` is those of the classifier.
    pub views: Option<Views>,
    /// Whether batch norm becomes part of the layers around it, as far as that is exact.
    pub fold: bool,
}

/// What an ONNX model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// The probability of each genre.
    Probabilities,
    /// What the probabilities are made of.
    Logits,
}

impl Output {
    /// The name of the model's output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probabilities => "probabilities",
            Self::Logits => "logits",
        }
    }
}

/// A classifier as an ONNX model. `model_sha256` is that of the classifier's file, which the model names.
/// The same classifier and options give the same model.
///
/// # Errors
/// [`Error::Usage`] for views of parts of a poster where the model is not given whole posters, for the
/// logits of an ensemble, and for weights that folding makes infinite.
pub fn model(of: &Classifier, options: Options, model_sha256: &str) -> Result<ModelProto> {
    let views = options.views.unwrap_or(of.meta.views);
    if views == Views::Crops && options.input != Input::Poster {
        let what = format!("crops are cut from whole posters, which --input {} does not give", options.input.name());
        return Err(Error::usage(what, "name --input poster, or --views one or flip"));
    }
    if of.members() > 1 && options.output == Output::Logits {
        let what = "an ensemble averages probabilities, and has no logits of its own";
        return Err(Error::usage(what, "name --output probabilities, or export one of its members"));
    }
    let mut members: Vec<Vec<Step>> = of.networks().map(chain::of).collect();
    if options.fold {
        members = members.into_iter().map(fold).collect();
        members.iter().try_for_each(|steps| check_finite(steps))?;
    }
    let graph = graph(of, options, views, members);
    let property = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    let text = |value: serde_json::Value| value.to_string();
    let views = json!(views).as_str().expect("views have names").to_owned();
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "onesheet".to_owned(),
        producer_version: VERSION.to_owned(),
        doc_string: format!(
            "The genres of a film from its poster ({}). The metadata name the genres in the order of the outputs, \
             the thresholds above which they count as predicted (null is 0.5 for all), and how pixels are made.",
            of.meta.experiment
        ),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: vec![
            property("experiment", of.meta.experiment.clone()),
            property("genres", text(json!(of.meta.genres))),
            property("head", head(of).to_owned()),
            property("model_sha256", model_sha256.to_owned()),
            property("pixels", text(json!(of.pixels()))),
            property("thresholds", text(json!(of.meta.thresholds))),
            property("views", views),
        ],
    })
}

/// Writes a model to a file, whole or not at all, and returns the SHA-256 of its bytes. A file that
/// is no model of ours is replaced only where `overwrite` says so.
///
/// # Errors
/// [`Error::Data`] if such a file or a folder is there, or the model is too large for a file of
/// protobuf; [`Error::Io`] if the file cannot be written.
pub fn write(model: &ModelProto, path: &Path, overwrite: bool) -> Result<String> {
    if path.is_dir() {
        return Err(Error::data(path, "it is a folder", "name a file in it, such as model.onnx"));
    }
    let theirs = |error| match error {
        Error::Data { .. } => {
            let what = "what is there is no ONNX model of onesheet";
            Error::data(path, what, "name another file, or --overwrite to replace it")
        }
        other => other,
    };
    if !overwrite {
        check_own(path, &[MARK]).map_err(theirs)?;
    }
    if model.encoded_len() > MOST_BYTES {
        let what = format!("the model would take {} bytes, and an ONNX file at most 2 GiB", model.encoded_len());
        return Err(Error::data(path, what, "train one with fewer weights"));
    }
    let bytes = model.encode_to_vec();
    write_atomically(path, |file| file.write_all(&bytes))?;
    Ok(sha256(&bytes))
}

fn head(of: &Classifier) -> &'static str {
    match of.meta.head {
        Head::Sigmoid => "sigmoid",
        Head::Softmax => "softmax",
    }
}

fn graph(of: &Classifier, options: Options, views: Views, members: Vec<Vec<Step>>) -> GraphProto {
    let (mut graph, classes) = (Graph::default(), of.meta.genres.len());
    let images = front(&mut graph, of.input(), options.input, views);
    let (count, output) = (members.len(), options.output.name());
    let mut answers = Vec::new();
    for (i, steps) in members.into_iter().enumerate() {
        // One network has no need of a name.
        let part = |name: &str| if count == 1 { name.to_owned() } else { format!("{}/{name}", member_folder(i + 1)) };
        let mut x = images.clone();
        for step in steps {
            x = graph.step(&Step { name: part(&step.name), ..step }, &x);
        }
        x = mean_of_views(&mut graph, &x, views, classes, part);
        answers.push(match (options.output, of.meta.head) {
            (Output::Logits, _) => graph.node(&part(output), "Identity", &[&x], Vec::new()),
            (Output::Probabilities, Head::Sigmoid) => graph.node(&part(output), "Sigmoid", &[&x], Vec::new()),
            (Output::Probabilities, Head::Softmax) => graph.node(&part(output), "Softmax", &[&x], vec![int("axis", 1)]),
        });
    }
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let name = match answers[..] {
        [only] => only.to_owned(),
        _ => graph.node(output, "Mean", &answers, Vec::new()),
    };
    graph.output(&name, &[classes], &format!("The {name} of the genres, in the order of the metadata"));
    graph.finish(&of.meta.experiment)
}

/// Adds the mean over views, where there are several, and returns the name of its result.
fn mean_of_views(graph: &mut Graph, x: &str, views: Views, classes: usize, part: impl Fn(&str) -> String) -> String {
    let count = views.all().len();
    if count == 1 {
        return x.to_owned();
    }
    // The views of all posters lie one after the other.
    let shape = graph.whole_numbers(&part("views/shape"), &[count as i64, -1, classes as i64]);
    let by_view = graph.node(&part("views/logits"), "Reshape", &[x, &shape], Vec::new());
    graph.node(&part("views/mean"), "ReduceMean", &[&by_view], vec![ints("axes", &[0]), int("keepdims", 0)])
}

/// Refuses weights that a factor of batch norm has made infinite.
fn check_finite(steps: &[Step]) -> Result<()> {
    let is_finite = |step: &&Step| match &step.operation {
        Operation::Conv(conv) => conv.kernel.iter().chain(&conv.bias).all(|value| value.is_finite()),
        Operation::Gemm(gemm) => gemm.kernel.iter().chain(&gemm.bias).all(|value| value.is_finite()),
        Operation::Affine { scale, shift, .. } => scale.iter().chain(shift).all(|&value| (value as f32).is_finite()),
        _ => true,
    };
    match steps.iter().find(|step| !is_finite(step)) {
        Some(step) => Err(Error::usage(format!("folding makes weights of {} infinite", step.name), "leave --fold out")),
        None => Ok(()),
    }
}
