//! Models on disk: the weights under Keras' names and layouts in one safetensors file, with the
//! model's description beside them.
//!
//! The description's field `model` is the [`ModelSpec`]; whoever saves a model may add fields of
//! their own. A file can hold several models of one spec, the members of an ensemble: then the field
//! `members` says how many, and the weights of each are called `member-1/..`, `member-2/..`.

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
/// The field that says how many models there are, where there are several.
const MEMBERS: &str = "members";
/// The most models in a file.
pub(crate) const MOST_MEMBERS: usize = 100;
const REMEDY: &str = "name a model file that onesheet wrote, or write this one again";

/// The description of a file that has no other fields, and the part of any that is read first.
#[derive(Deserialize)]
struct Description {
    model: ModelSpec,
    #[serde(default = "one")]
    members: usize,
}

fn one() -> usize {
    1
}

impl Sequential {
    /// Writes the model to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Data`] where [`load`](Self::load) would refuse the weights: one is not a number, or
    /// infinite, or a variance is negative. [`Error::Io`] where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = to_bytes(&[self], &Map::new(), path)?;
        write_atomically(path, |file| file.write_all(&bytes))
    }

    /// Reads a model that [`save`](Self::save) wrote, for the instruction set `isa`. Fields that
    /// others have added to the description are passed over.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Data`], naming the file and what is
    /// wrong, for what is no regular file, or is truncated, not safetensors, not of onesheet, beyond
    /// the bounds of [`ModelSpec::plan`], has weights that do not fit its own description, or is not
    /// what its checksum says. The memory for the weights is claimed only after all that.
    pub fn load(path: &Path, isa: Isa) -> Result<Self> {
        let (_, mut models) = read::<Map<String, Value>>(path, isa)?;
        match models.len() {
            1 => Ok(models.remove(0)),
            count => {
                Err(Error::data(path, format!("it holds {count} models, an ensemble"), "name the file of one model"))
            }
        }
    }
}

/// The bytes of a file of one model, or of several of the same spec, whose description has the fields
/// of `more` beside the spec; `path` is where they will be written.
///
/// # Errors
/// [`Error::Data`], naming `path`, for what [`read`] would refuse.
///
/// # Panics
/// If there is no model, or they differ in their specs; if `more` is not an object with text keys, or
/// has a field `model`, `members` or `checksum`.
pub(crate) fn to_bytes(models: &[&Sequential], more: &impl Serialize, path: &Path) -> Result<Vec<u8>> {
    let refuse = |what, remedy| Error::data(path, format!("the model cannot be saved: {what}"), remedy);
    let spec = models[0].spec();
    assert!(models.iter().all(|model| model.spec() == spec), "the models of a file have one spec");
    let mut tensors = Vec::new();
    for (i, model) in models.iter().enumerate() {
        let prefix = prefix(i, models.len());
        for of in model.parameters() {
            let name = format!("{prefix}{}", of.name());
            check_values(&name, &of.value, |value| of.role.allows(value))
                .map_err(|what| refuse(what, "the training has run away: train again with a lower learning rate"))?;
            tensors.push(Named { name, shape: &of.shape, values: &of.value });
        }
    }
    let mut description = object(more);
    let spec = serde_json::to_value(spec).expect("plain data");
    assert!(description.insert(MODEL.to_owned(), spec).is_none(), "the field `{MODEL}` is the spec's");
    if models.len() > 1 {
        let other = description.insert(MEMBERS.to_owned(), models.len().into());
        assert!(other.is_none(), "the field `{MEMBERS}` is the number of models");
    }
    file_of(tensors, description).map_err(|what| refuse(what, "shorten its description"))
}

/// What stands before the names of the weights of a model: nothing where the file holds no other.
fn prefix(model: usize, models: usize) -> String {
    if models == 1 { String::new() } else { format!("member-{}/", model + 1) }
}

/// Reads a model file: the other fields of its description, and its models, of which there is one at
/// least.
///
/// # Errors
/// Those of [`Sequential::load`], and [`Error::Data`] where the description lacks a field of `M`.
pub(crate) fn read<M: DeserializeOwned>(path: &Path, isa: Isa) -> Result<(M, Vec<Sequential>)> {
    read_file(path, isa).map_err(|refusal| refusal.at(path, "read the model", REMEDY))
}

fn read_file<M: DeserializeOwned>(path: &Path, isa: Isa) -> Result<(M, Vec<Sequential>), Refusal> {
    let mut file = TensorFile::open(path)?;
    let Description { model: spec, members } = file.description()?;
    let more = file.description()?;
    check_shapes(&spec, members, &file)?;
    file.verify()?;
    let mut models = Vec::new();
    for i in 0..members {
        let mut model = Sequential::build(spec.clone(), isa, 0).map_err(|e| e.to_string())?;
        let (prefix, mut result) = (prefix(i, members), Ok(()));
        model.each_parameter_mut(|of| {
            if result.is_ok() {
                let role = of.role;
                result = file.read(&format!("{prefix}{}", of.name()), &mut of.value, |value| role.allows(value));
            }
        });
        result?;
        models.push(model);
    }
    Ok((more, models))
}

/// Refuses weights that are not those of so many models of the spec.
fn check_shapes(spec: &ModelSpec, members: usize, file: &TensorFile) -> Result<(), String> {
    let plan = spec.plan().map_err(|e| e.to_string())?;
    if !(1..=MOST_MEMBERS).contains(&members) {
        return Err(format!("it is said to hold {members} models, where 1 to {MOST_MEMBERS} are possible"));
    }
    let expected = members * plan.iter().map(|layer| layer.parameters.len()).sum::<usize>();
    let found = file.len();
    if found != expected {
        return Err(format!("{found} weights instead of {expected}"));
    }
    for prefix in (0..members).map(|i| prefix(i, members)) {
        for layer in &plan {
            for (role, shape) in &layer.parameters {
                file.check(&format!("{prefix}{}/{}", layer.name, role.name()), shape)?;
            }
        }
    }
    Ok(())
}
