//! Models on disk: the weights under Keras' names and layouts in one safetensors file, with the
//! model's description beside them.
//!
//! The file's metadata has a single key, `onesheet`, which holds a JSON object with sorted keys:
//! safetensors writes several keys in a random order, and the same model is to give the same bytes.
//! The object's field `model` is the [`ModelSpec`]; whoever saves a model may add fields of their
//! own.

use super::{Isa, ModelSpec, Sequential};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;

const KEY: &str = "onesheet";
/// The field of the description that holds the spec.
const MODEL: &str = "model";
const REMEDY: &str = "name a model file that onesheet wrote, or write this one again";

/// The description of a file that has no other fields, and the part of any that is read first.
#[derive(Deserialize)]
struct Description {
    model: ModelSpec,
}

impl Sequential {
    /// Writes the model to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = to_bytes(self, &Map::new());
        write_atomically(path, |file| file.write_all(&bytes))
    }

    /// Reads a model that [`save`](Self::save) wrote, for the instruction set `isa`. Fields that
    /// others have added to the description are passed over.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Data`], naming the file and what is
    /// wrong, for a file that is truncated, not safetensors, not of onesheet, or whose weights do
    /// not fit its own description. Nothing is allocated by that description before it is checked.
    pub fn load(path: &Path, isa: Isa) -> Result<Self> {
        let (_, model) = read::<Map<String, Value>>(path, isa)?;
        Ok(model)
    }
}

/// The bytes of a model file whose description has the fields of `more` beside the spec.
///
/// # Panics
/// If `more` is not an object with text keys, or has a field `model`.
pub(crate) fn to_bytes(model: &Sequential, more: &impl Serialize) -> Vec<u8> {
    // A `Value` keeps its keys sorted.
    let Value::Object(mut description) = serde_json::to_value(more).expect("plain data") else {
        panic!("the description of a model is an object");
    };
    let spec = serde_json::to_value(model.spec()).expect("plain data");
    assert!(description.insert(MODEL.to_owned(), spec).is_none(), "the field `{MODEL}` is the spec's");
    let tensors = model.parameters().into_iter().map(|parameter| {
        let bytes = bytemuck::cast_slice(&parameter.value);
        let view = TensorView::new(Dtype::F32, parameter.shape.clone(), bytes).expect("a parameter fits its shape");
        (parameter.name(), view)
    });
    let metadata = HashMap::from([(KEY.to_owned(), Value::Object(description).to_string())]);
    serialize(tensors, Some(metadata)).expect("names are unique")
}

/// Reads a model file: the other fields of its description, and the model.
///
/// # Errors
/// Those of [`Sequential::load`], and [`Error::Data`] where the description lacks a field of `M`.
pub(crate) fn read<M: DeserializeOwned>(path: &Path, isa: Isa) -> Result<(M, Sequential)> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the model"))?;
    parse(&bytes, isa).map_err(|what| Error::data(path, what, REMEDY))
}

/// [`read`], from bytes; what is wrong with them where something is.
fn parse<M: DeserializeOwned>(bytes: &[u8], isa: Isa) -> Result<(M, Sequential), String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| format!("not a whole safetensors file ({e})"))?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format!("a bad header ({e})"))?;
    let description = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let description = description.ok_or("a safetensors file, but not of onesheet")?;
    let broken = |e| format!("its description is broken ({e})");
    let Description { model: spec } = serde_json::from_str(description).map_err(broken)?;
    let more = serde_json::from_str(description).map_err(broken)?;

    // Before anything is built: a damaged description may ask for more memory than there is.
    check_shapes(&spec, &tensors)?;
    let mut model = Sequential::build(spec, isa, 0).map_err(|e| e.to_string())?;
    fill(&mut model, &tensors)?;
    Ok((more, model))
}

/// Refuses weights that are not those of the spec.
fn check_shapes(spec: &ModelSpec, tensors: &SafeTensors) -> Result<(), String> {
    let plan = spec.plan().map_err(|e| e.to_string())?;
    let expected = plan.iter().map(|layer| layer.parameters.len()).sum::<usize>();
    if tensors.len() != expected {
        return Err(format!("{} weights instead of {expected}", tensors.len()));
    }
    for layer in &plan {
        for (role, shape) in &layer.parameters {
            let name = format!("{}/{}", layer.name, role.name());
            let view = tensors.tensor(&name).map_err(|_| format!("the weights {name} are missing"))?;
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                let found = (view.dtype(), view.shape());
                return Err(format!("the weights {name} are {found:?} instead of F32 {shape:?}"));
            }
        }
    }
    Ok(())
}

/// Copies the weights, whose shapes have been checked, into the model; refuses values that no
/// training leaves.
fn fill(model: &mut Sequential, tensors: &SafeTensors) -> Result<(), String> {
    let mut result = Ok(());
    model.each_parameter_mut(|parameter| {
        let name = parameter.name();
        let view = tensors.tensor(&name).expect("the shapes were checked");
        let (bytes, _) = view.data().as_chunks::<4>();
        for (value, &bytes) in parameter.value.iter_mut().zip(bytes) {
            *value = f32::from_le_bytes(bytes);
            if result.is_ok() && !parameter.role.allows(*value) {
                result = Err(format!("the weights {name} hold {value}"));
            }
        }
    });
    result
}
