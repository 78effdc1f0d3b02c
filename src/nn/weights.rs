//! Models on disk: the weights under Keras' names and layouts in one safetensors file, with the
//! model's description beside them.
//!
//! The description's field `model` is the [`ModelSpec`]; whoever saves a model may add fields of
//! their own.

use super::tensors::{Named, Refusal, TensorFile, check_values, object, to_bytes as file_of};
use super::{Isa, ModelSpec, Sequential};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

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
        .try_for_each(|of| check_values(&of.name(), &of.value, |value| of.role.allows(value)))
        .map_err(|what| refuse(what, "the training has run away: train again with a lower learning rate"))?;
    let mut description = object(more);
    let spec = serde_json::to_value(model.spec()).expect("plain data");
    assert!(description.insert(MODEL.to_owned(), spec).is_none(), "the field `{MODEL}` is the spec's");
    let tensors = parameters.into_iter().map(|of| Named { name: of.name(), shape: &of.shape, values: &of.value });
    file_of(tensors, description).map_err(|what| refuse(what, "shorten its description"))
}

/// Reads a model file: the other fields of its description, and the model.
///
/// # Errors
/// Those of [`Sequential::load`], and [`Error::Data`] where the description lacks a field of `M`.
pub(crate) fn read<M: DeserializeOwned>(path: &Path, isa: Isa) -> Result<(M, Sequential)> {
    read_file(path, isa).map_err(|refusal| refusal.at(path, "read the model", REMEDY))
}

fn read_file<M: DeserializeOwned>(path: &Path, isa: Isa) -> Result<(M, Sequential), Refusal> {
    let mut file = TensorFile::open(path)?;
    let Description { model: spec } = file.description()?;
    let more = file.description()?;
    check_shapes(&spec, &file)?;
    let mut model = Sequential::build(spec, isa, 0).map_err(|e| e.to_string())?;
    let mut result = Ok(());
    model.each_parameter_mut(|of| {
        if result.is_ok() {
            let role = of.role;
            result = file.read(&of.name(), &mut of.value, |value| role.allows(value));
        }
    });
    result.map(|()| (more, model))
}

/// Refuses weights that are not those of the spec.
fn check_shapes(spec: &ModelSpec, file: &TensorFile) -> Result<(), String> {
    let plan = spec.plan().map_err(|e| e.to_string())?;
    let expected = plan.iter().map(|layer| layer.parameters.len()).sum::<usize>();
    let found = file.len();
    if found != expected {
        return Err(format!("{found} weights instead of {expected}"));
    }
    let parameters = plan.iter().flat_map(|layer| layer.parameters.iter().map(move |of| (&layer.name, of)));
    parameters.into_iter().try_for_each(|(layer, (role, shape))| file.check(&format!("{layer}/{}", role.name()), shape))
}
