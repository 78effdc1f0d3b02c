//! Model files: the weights under Keras' names and layouts, and what is needed to use them, in one safetensors file.
//!
//! The file's metadata has a single key, `onesheet`, which holds [`ModelMeta`] as JSON with sorted keys: safetensors writes several
//! keys in a random order, and the same run is to give the same bytes. There is no time, path or thread count in it.

use crate::data::transform::Views;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::loss::Head;
use crate::nn::{ModelSpec, Sequential};
use onesheet_kernels::simd::Isa;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

const KEY: &str = "onesheet";
const REMEDY: &str = "name the folder of a run's experiment, which holds its `model.safetensors`";

/// What a model file says of its model beside the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelMeta {
    /// Name of the experiment.
    pub experiment: String,
    /// Last activation and loss.
    pub head: Head,
    /// Names of the outputs, in order.
    pub genres: Vec<String>,
    /// Films with more genres than this were not trained on.
    pub max_genres: usize,
    /// After which epoch, counted from 1, the weights were as they are here.
    #[serde(default)]
    pub epoch: Option<usize>,
    /// What made that epoch the best of its run, such as the lowest loss on val; none where it was the last.
    #[serde(default)]
    pub best: Option<String>,
    /// For each genre the probability above which it counts as predicted, tuned for F1 on the validation films; none is 0.5 for
    /// all.
    #[serde(default)]
    pub thresholds: Option<Vec<f32>>,
    /// Over which views of a poster the answers are to be averaged.
    #[serde(default = "one_view")]
    pub views: Views,
    /// The layers.
    pub model: ModelSpec,
}

fn one_view() -> Views {
    Views::One
}

/// Writes the model file, whole or not at all, and returns the SHA-256 of its bytes in hexadecimal.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn save(path: &Path, meta: &ModelMeta, model: &Sequential) -> Result<String> {
    let tensors = model.parameters().map(|(name, parameter)| {
        let bytes = bytemuck::cast_slice(&parameter.value);
        let view = TensorView::new(Dtype::F32, parameter.shape.clone(), bytes).expect("a parameter fits its shape");
        (name, view)
    });
    // A `Value` keeps its keys sorted.
    let meta = serde_json::to_value(meta).expect("plain data").to_string();
    let bytes = serialize(tensors, Some(HashMap::from([(KEY.to_string(), meta)]))).expect("names are unique");
    write_atomically(path, |file| file.write_all(&bytes))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Reads a model file and builds its model.
///
/// # Errors
/// [`Error::Data`], naming the file and what is wrong, for a file that is truncated, not safetensors, not ours, or whose
/// weights do not fit its own description; nothing is allocated by that description before it is checked.
pub fn load(path: &Path, isa: Isa) -> Result<(ModelMeta, Sequential)> {
    let refuse = |what: String| Error::data(path, what, REMEDY);
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the model"))?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|e| refuse(format!("not a whole safetensors file ({e})")))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| refuse(format!("a bad header ({e})")))?;
    let meta = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let meta = meta.ok_or_else(|| refuse("a safetensors file, but not of onesheet".into()))?;
    let meta: ModelMeta = serde_json::from_str(meta).map_err(|e| refuse(format!("its description is broken ({e})")))?;

    let expected = meta.model.parameter_shapes().map_err(|e| refuse(e.to_string()))?;
    if tensors.len() != expected.len() {
        return Err(refuse(format!("{} weights instead of {}", tensors.len(), expected.len())));
    }
    for (name, shape) in &expected {
        let view = tensors.tensor(name).map_err(|_| refuse(format!("the weights {name} are missing")))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            let found = (view.dtype(), view.shape());
            return Err(refuse(format!("the weights {name} are {found:?} instead of F32 {shape:?}")));
        }
    }
    let mut model = Sequential::build(meta.model.clone(), isa, 0)?;
    if model.outputs() != meta.genres.len() {
        return Err(refuse(format!("{} outputs for {} genres", model.outputs(), meta.genres.len())));
    }
    if let Some(thresholds) = &meta.thresholds
        && thresholds.len() != meta.genres.len()
    {
        return Err(refuse(format!("{} thresholds for {} genres", thresholds.len(), meta.genres.len())));
    }
    for ((name, _), parameter) in expected.iter().zip(model.parameters_mut()) {
        let view = tensors.tensor(name).expect("checked above");
        for (value, bytes) in parameter.value.iter_mut().zip(view.data().chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().expect("4 bytes"));
            if !value.is_finite() || name.ends_with("moving_variance") && *value < 0.0 {
                return Err(refuse(format!("the weights {name} hold {value}")));
            }
        }
    }
    Ok((meta, model))
}
