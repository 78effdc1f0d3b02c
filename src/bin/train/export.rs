//! The command `train export`.

use crate::args::ExportArgs;
use crate::output::say;
use onesheet::classifier::Classifier;
use onesheet::export::onnx::{self, OPSET, Options};
use onesheet::export::proto::{DimensionValue, ModelProto, ValueInfoProto, data_type};
use onesheet::nn::Isa;
use onesheet::{Error, Result};
use std::path::Path;

/// Writes a classifier as a model for other programs, and says what it takes and gives.
pub fn export(args: &ExportArgs, isa: Isa) -> Result<()> {
    let &ExportArgs { ref run, onnx: ref path, input, output, views, fold, overwrite } = args;
    let classifier = Classifier::open(run, isa)?;
    if is_same_file(&Classifier::file_of(run), path) {
        return Err(Error::data(path, "it is the model that is to be exported", "name another file"));
    }
    let options = Options { input, output, views, fold };
    let model = onnx::model(&classifier, options, &Classifier::sha256_of(run)?)?;
    let sha256 = onnx::write(&model, path, overwrite)?;
    say(&format!("{}\n    sha256 {sha256}\n{}", path.display(), described(&model)));
    Ok(())
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What a model takes and gives, and what is in it, in lines.
fn described(model: &ModelProto) -> String {
    let graph = model.graph.as_ref().expect("a model has a graph");
    let property = |name| model.metadata_props.iter().find(|of| of.key == name).map_or("", |of| &of.value);
    let operations = graph.node.iter().map(|node| &node.op_type[..]).collect::<Vec<_>>().join(" ");
    let values = |of: &[ValueInfoProto]| of.iter().map(value).collect::<Vec<_>>().join(", ");
    format!(
        "    ONNX opset {OPSET}, IR version {}\n    takes   {}\n    answers {}; views: {}\n    computes {operations}",
        model.ir_version,
        values(&graph.input),
        values(&graph.output),
        property("views"),
    )
}

/// A value such as `poster: uint8 [N, 256, 256, 3]`.
fn value(of: &ValueInfoProto) -> String {
    let tensor = of.r#type.as_ref().and_then(|of| of.tensor_type.as_ref()).expect("a value has a type");
    let axis = |value: &DimensionValue| match value {
        DimensionValue::DimValue(length) => length.to_string(),
        DimensionValue::DimParam(name) => name.clone(),
    };
    let axes = tensor.shape.iter().flat_map(|shape| &shape.dim).filter_map(|dim| dim.value.as_ref());
    let axes = axes.map(axis).collect::<Vec<_>>().join(", ");
    let name = if tensor.elem_type == data_type::UINT8 { "uint8" } else { "float32" };
    format!("{}: {name} [{axes}]", of.name)
}
