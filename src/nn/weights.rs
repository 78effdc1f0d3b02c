//! Models on disk: the weights under Keras' names and layouts in one safetensors file, with the
//! model's description beside them.
//!
//! The file's metadata has a single key, `onesheet`, which holds a JSON object with sorted keys:
//! safetensors writes several keys in a random order, and the same model is to give the same bytes.
//! The object's field `model` is the [`ModelSpec`]; whoever saves a model may add fields of their
//! own.

use super::{Isa, ModelSpec, Parameter, Sequential};
use crate::error::{Error, Result};
use crate::files::{open_if_regular, write_atomically};
use safetensors::tensor::{Dtype, Metadata, TensorView, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const KEY: &str = "onesheet";
/// The field of the description that holds the spec.
const MODEL: &str = "model";
const REMEDY: &str = "name a model file that onesheet wrote, or write this one again";

/// The most bytes of a header: the names and shapes of the weights, and the description. A model of
/// the most layers has some 300 kB; the rest is for what others add.
const MOST_HEADER: u64 = 16 << 20;

/// The description of a file that has no other fields, and the part of any that is read first.
#[derive(Deserialize)]
struct Description {
    model: ModelSpec,
}

impl Sequential {
    /// Writes the model to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Data`] where [`load`](Self::load) would refuse the weights: one is not a number, or
    /// infinite, or a variance is negative. [`Error::Io`] where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = to_bytes(self, &Map::new(), path)?;
        write_atomically(path, |file| file.write_all(&bytes))
    }

    /// Reads a model that [`save`](Self::save) wrote, for the instruction set `isa`. Fields that
    /// others have added to the description are passed over.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Data`], naming the file and what is
    /// wrong, for what is no regular file, or is truncated, not safetensors, not of onesheet, beyond
    /// the bounds of [`ModelSpec::plan`], or has weights that do not fit its own description. All of
    /// that is checked by the file's header; the memory for the weights is claimed, and they are
    /// read, only then.
    pub fn load(path: &Path, isa: Isa) -> Result<Self> {
        let (_, model) = read::<Map<String, Value>>(path, isa)?;
        Ok(model)
    }
}

/// The bytes of a model file whose description has the fields of `more` beside the spec; `path` is
/// where they will be written.
///
/// # Errors
/// [`Error::Data`], naming `path`, for what [`read`] would refuse.
///
/// # Panics
/// If `more` is not an object with text keys, or has a field `model`.
pub(crate) fn to_bytes(model: &Sequential, more: &impl Serialize, path: &Path) -> Result<Vec<u8>> {
    let refuse = |what, remedy| Error::data(path, format!("the model cannot be saved: {what}"), remedy);
    let parameters = model.parameters();
    parameters
        .iter()
        .try_for_each(|parameter| check_values(parameter))
        .map_err(|what| refuse(what, "the training has run away: train again with a lower learning rate"))?;
    // A `Value` keeps its keys sorted.
    let Value::Object(mut description) = serde_json::to_value(more).expect("plain data") else {
        panic!("the description of a model is an object");
    };
    let spec = serde_json::to_value(model.spec()).expect("plain data");
    assert!(description.insert(MODEL.to_owned(), spec).is_none(), "the field `{MODEL}` is the spec's");
    let tensors = parameters.into_iter().map(|parameter| {
        let bytes = bytemuck::cast_slice(&parameter.value);
        let view = TensorView::new(Dtype::F32, parameter.shape.clone(), bytes).expect("a parameter fits its shape");
        (parameter.name(), view)
    });
    let metadata = HashMap::from([(KEY.to_owned(), Value::Object(description).to_string())]);
    let bytes = serialize(tensors, Some(metadata)).expect("names are unique");
    let (header, _) = bytes.split_first_chunk().expect("a file begins with the length of its header");
    check_header(u64::from_le_bytes(*header)).map_err(|what| refuse(what, "shorten its description"))?;
    Ok(bytes)
}

/// Why a model file is not read.
enum Refusal {
    /// The system refused.
    Io(io::Error),
    /// What is wrong with the file.
    File(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Self::File(what)
    }
}

/// Reads a model file: the other fields of its description, and the model.
///
/// # Errors
/// Those of [`Sequential::load`], and [`Error::Data`] where the description lacks a field of `M`.
pub(crate) fn read<M: DeserializeOwned>(path: &Path, isa: Isa) -> Result<(M, Sequential)> {
    read_file(path, isa).map_err(|refusal| match refusal {
        Refusal::Io(error) => Error::io(path, "read the model")(error),
        Refusal::File(what) => Error::data(path, what, REMEDY),
    })
}

fn read_file<M: DeserializeOwned>(path: &Path, isa: Isa) -> Result<(M, Sequential), Refusal> {
    let mut file = open_if_regular(path)?.ok_or_else(|| Refusal::File("not a regular file".to_owned()))?;
    let (header, weights_at) = read_header(&mut file)?;
    let description = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let description = description.ok_or_else(|| "a safetensors file, but not of onesheet".to_owned())?;
    let broken = |e| format!("its description is broken ({e})");
    let Description { model: spec } = serde_json::from_str(description).map_err(broken)?;
    let more = serde_json::from_str(description).map_err(broken)?;

    check_shapes(&spec, &header)?;
    let mut model = Sequential::build(spec, isa, 0).map_err(|e| e.to_string())?;
    fill(&mut model, &header, weights_at, &mut file)?;
    Ok((more, model))
}

/// Reads the header of a safetensors file, and where the weights begin; refuses a file whose length
/// is not what its header says.
fn read_header(file: &mut File) -> Result<(Metadata, u64), Refusal> {
    let file_len = file.metadata()?.len();
    let no_whole = |why: &dyn std::fmt::Display| format!("not a whole safetensors file ({why})");
    let mut len = [0; 8];
    if file_len < len.len() as u64 {
        return Err(no_whole(&format!("{file_len} bytes")).into());
    }
    file.read_exact(&mut len)?;
    let header_len = u64::from_le_bytes(len);
    check_header(header_len).map_err(|what| no_whole(&what))?;
    let weights_at = len.len() as u64 + header_len;
    if file_len < weights_at {
        return Err(no_whole(&"it ends in its header").into());
    }
    let mut bytes = vec![0; header_len as usize];
    file.read_exact(&mut bytes)?;
    let header: Metadata = serde_json::from_slice(&bytes).map_err(|why| no_whole(&why))?;
    match weights_at.checked_add(header.data_len() as u64) {
        Some(expected) if expected == file_len => Ok((header, weights_at)),
        _ => Err(no_whole(&format!("weights of {} bytes in a file of {file_len}", header.data_len())).into()),
    }
}

fn check_header(len: u64) -> Result<(), String> {
    match len {
        0..=MOST_HEADER => Ok(()),
        _ => Err(format!("a header of {len} bytes, where {MOST_HEADER} are the most")),
    }
}

/// Refuses weights that are not those of the spec.
fn check_shapes(spec: &ModelSpec, header: &Metadata) -> Result<(), String> {
    let plan = spec.plan().map_err(|e| e.to_string())?;
    let expected = plan.iter().map(|layer| layer.parameters.len()).sum::<usize>();
    let found = header.tensors().len();
    if found != expected {
        return Err(format!("{found} weights instead of {expected}"));
    }
    for layer in &plan {
        for (role, shape) in &layer.parameters {
            let name = format!("{}/{}", layer.name, role.name());
            let info = header.info(&name).ok_or_else(|| format!("the weights {name} are missing"))?;
            if info.dtype != Dtype::F32 || info.shape != *shape {
                // A shape of more axes than weights have may be long.
                let found = (info.dtype, &info.shape[..info.shape.len().min(8)]);
                return Err(format!("the weights {name} are {found:?} instead of F32 {shape:?}"));
            }
        }
    }
    Ok(())
}

/// Reads the weights, whose shapes have been checked, into the model; refuses values that no
/// training leaves.
fn fill(model: &mut Sequential, header: &Metadata, weights_at: u64, file: &mut File) -> Result<(), Refusal> {
    let mut read = |parameter: &mut Parameter| -> Result<(), Refusal> {
        let info = header.info(&parameter.name()).expect("the shapes were checked");
        file.seek(SeekFrom::Start(weights_at + info.data_offsets.0 as u64))?;
        file.read_exact(bytemuck::cast_slice_mut(&mut parameter.value))?;
        for value in &mut *parameter.value {
            *value = f32::from_bits(u32::from_le(value.to_bits()));
        }
        Ok(check_values(parameter)?)
    };
    let mut result = Ok(());
    model.each_parameter_mut(|parameter| {
        if result.is_ok() {
            result = read(parameter);
        }
    });
    result
}

/// Refuses values that no training leaves, and that nothing can be computed with.
fn check_values(parameter: &Parameter) -> Result<(), String> {
    match parameter.value.iter().find(|&&value| !parameter.role.allows(value)) {
        Some(value) => Err(format!("the weights {} hold {value}", parameter.name())),
        None => Ok(()),
    }
}
