//! A safetensors file of named f32 tensors, with one JSON object that describes them: what model
//! files and checkpoints are made of.
//!
//! The file's metadata has a single key, `onesheet`, which holds the object with sorted keys:
//! safetensors writes several keys in a random order, and the same tensors are to give the same
//! bytes. Its field `checksum` is a CRC-32 of the rest of the object and of all values: of a file
//! whose bits have changed, the format itself tells only what its header allows.

use crate::error::{Error, Result};
use crate::files::open_if_regular;
use crate::text::excerpt;
use safetensors::tensor::{Dtype, Metadata, TensorView, serialize};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const KEY: &str = "onesheet";
/// The field of the description that holds the checksum.
const CHECKSUM: &str = "checksum";

/// The most bytes of a header: the names and shapes of the tensors, and the description. A model of
/// the most layers has some 300 kB; the rest is for what others add.
const MOST_HEADER: u64 = 64 << 20;

/// A tensor to be written.
pub struct Named<'a> {
    pub name: String,
    pub shape: &'a [usize],
    pub values: &'a [f32],
}

/// The object that `value` is in JSON. A [`Value`] keeps its keys sorted.
///
/// # Panics
/// If it is no object with text keys.
pub fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value).expect("plain data") {
        Value::Object(object) => object,
        _ => panic!("a description is an object"),
    }
}

/// The bytes of a file.
///
/// # Errors
/// If [`TensorFile::open`] would refuse its header, which is too long.
///
/// # Panics
/// If two tensors have the same name, or one does not fit its shape; if the description has a field
/// `checksum`.
pub fn to_bytes(mut tensors: Vec<Named<'_>>, mut description: Map<String, Value>) -> Result<Vec<u8>, String> {
    // The order that tensors of one type have in a file.
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut checksum = checksum_of(&description);
    tensors.iter().for_each(|tensor| checksum.update(bytemuck::cast_slice(tensor.values)));
    let other = description.insert(CHECKSUM.to_owned(), checksum.finalize().into());
    assert!(other.is_none(), "the field `{CHECKSUM}` is the file's");
    let view = |Named { name, shape, values }| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytemuck::cast_slice(values));
        (name, view.expect("a tensor fits its shape"))
    };
    let metadata = HashMap::from([(KEY.to_owned(), Value::Object(description).to_string())]);
    let bytes = serialize(tensors.into_iter().map(view), Some(metadata)).expect("names are unique");
    let (header, _) = bytes.split_first_chunk().expect("a file begins with the length of its header");
    check_header(u64::from_le_bytes(*header))?;
    Ok(bytes)
}

/// A checksum that has seen the description, without a checksum, and no value yet.
fn checksum_of(description: &Map<String, Value>) -> crc32fast::Hasher {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(Value::Object(description.clone()).to_string().as_bytes());
    checksum
}

/// Why a file is not read.
pub enum Refusal {
    /// The system refused.
    Io(io::Error),
    /// What is wrong with the file.
    File(String),
}

impl Refusal {
    /// The error that names the file; `doing` says what was tried, `remedy` what to do about it.
    pub fn at(self, path: &Path, doing: &'static str, remedy: &str) -> Error {
        match self {
            Self::Io(error) => Error::io(path, doing)(error),
            Self::File(what) => Error::data(path, what, remedy),
        }
    }
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

/// An open file whose header has been read and fits the file's length. No tensor has been read yet.
pub struct TensorFile {
    file: File,
    header: Metadata,
    values_at: u64,
}

impl TensorFile {
    /// Opens a file.
    ///
    /// # Errors
    /// For what is no regular file, or truncated, or not safetensors, or has a header beyond 64 MiB.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let mut file = open_if_regular(path)?.ok_or_else(|| Refusal::File("not a regular file".to_owned()))?;
        let file_len = file.metadata()?.len();
        let no_whole =
            |why: &dyn std::fmt::Display| format!("not a whole safetensors file ({})", excerpt(&why.to_string()));
        let mut len = [0; 8];
        if file_len < len.len() as u64 {
            return Err(no_whole(&format!("{file_len} bytes")).into());
        }
        file.read_exact(&mut len)?;
        let header_len = u64::from_le_bytes(len);
        check_header(header_len).map_err(|what| no_whole(&what))?;
        let values_at = len.len() as u64 + header_len;
        if file_len < values_at {
            return Err(no_whole(&"it ends in its header").into());
        }
        let mut bytes = vec![0; header_len as usize];
        file.read_exact(&mut bytes)?;
        let header: Metadata = serde_json::from_slice(&bytes).map_err(|why| no_whole(&why))?;
        match values_at.checked_add(header.data_len() as u64) {
            Some(expected) if expected == file_len => Ok(Self { file, header, values_at }),
            _ => Err(no_whole(&format!("values of {} bytes in a file of {file_len}", header.data_len())).into()),
        }
    }

    /// What the description says.
    ///
    /// # Errors
    /// If there is none, or it lacks a field of `T`.
    pub fn description<T: DeserializeOwned>(&self) -> Result<T, String> {
        let description = self.header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let description = description.ok_or_else(|| "a safetensors file, but not of onesheet".to_owned())?;
        serde_json::from_str(description)
            .map_err(|e| format!("its description is broken ({})", excerpt(&e.to_string())))
    }

    /// Refuses the file if its description or its values are not those that were written. A file
    /// that says no checksum passes. Reads all values, and keeps none.
    pub fn verify(&mut self) -> Result<(), Refusal> {
        let mut description: Map<String, Value> = self.description()?;
        let Some(written) = description.remove(CHECKSUM) else { return Ok(()) };
        let mut checksum = checksum_of(&description);
        self.file.seek(SeekFrom::Start(self.values_at))?;
        let (mut rest, mut block) = (self.header.data_len(), [0; 1 << 16]);
        while rest > 0 {
            let part = &mut block[..rest.min(1 << 16)];
            self.file.read_exact(part)?;
            checksum.update(part);
            rest -= part.len();
        }
        match written.as_u64() == Some(checksum.finalize().into()) {
            true => Ok(()),
            false => Err(Refusal::File("it is not what was written: it is damaged".to_owned())),
        }
    }

    /// How many tensors the file has.
    pub fn len(&self) -> usize {
        self.header.tensors().len()
    }

    /// Refuses the file if it has not a tensor of that name and shape.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<(), String> {
        let info = self.header.info(name).ok_or_else(|| format!("the weights {name} are missing"))?;
        if info.dtype != Dtype::F32 || info.shape != *shape {
            // A shape of more axes than weights have may be long.
            let found = (info.dtype, &info.shape[..info.shape.len().min(8)]);
            return Err(format!("the weights {name} are {found:?} instead of F32 {shape:?}"));
        }
        Ok(())
    }

    /// Reads the values of a tensor that [`check`](Self::check) has passed, and refuses them if
    /// `allows` does not hold for one.
    ///
    /// # Panics
    /// If there is no such tensor.
    pub fn read(&mut self, name: &str, values: &mut [f32], allows: impl Fn(f32) -> bool) -> Result<(), Refusal> {
        let info = self.header.info(name).expect("the tensor was checked");
        self.file.seek(SeekFrom::Start(self.values_at + info.data_offsets.0 as u64))?;
        self.file.read_exact(bytemuck::cast_slice_mut(values))?;
        for value in &mut *values {
            *value = f32::from_bits(u32::from_le(value.to_bits()));
        }
        Ok(check_values(name, values, allows)?)
    }
}

/// Refuses values that no training leaves, and that nothing can be computed with.
pub fn check_values(name: &str, values: &[f32], allows: impl Fn(f32) -> bool) -> Result<(), String> {
    match values.iter().find(|&&value| !allows(value)) {
        Some(value) => Err(format!("the weights {name} hold {value}")),
        None => Ok(()),
    }
}

fn check_header(len: u64) -> Result<(), String> {
    match len {
        0..=MOST_HEADER => Ok(()),
        _ => Err(format!("a header of {len} bytes, where {MOST_HEADER} are the most")),
    }
}
