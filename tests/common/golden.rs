//! The files in `tests/golden`, which `tools/golden.py` and `tools/golden_torch.py` make.

use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A tensor of a golden file; all number types are read as f64, which holds each of them exactly.
#[derive(Debug)]
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Golden {
    /// The values as f32, the type in which all of them except `losses` were stored or are exact.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }

    /// Slice `i` of the first axis.
    pub fn row(&self, i: usize) -> &[f64] {
        let len = self.values.len() / self.shape[0];
        &self.values[i * len..(i + 1) * len]
    }
}

/// The metadata and the tensors of `tests/golden/<name>.safetensors`.
pub fn read(name: &str) -> (BTreeMap<String, String>, BTreeMap<String, Golden>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.safetensors"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
    let metadata = header.metadata().clone().expect("metadata").into_iter().collect();
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tensors = file.iter().map(|(name, view)| {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::U8 => data.iter().map(|&v| f64::from(v)).collect(),
            Dtype::F32 => data.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            other => panic!("{name}: type {other:?}"),
        };
        (name.to_string(), Golden { shape: view.shape().to_vec(), values })
    });
    (metadata, tensors.collect())
}

/// Asserts that `|ours - golden| <= tolerance * |golden|`, where both norms are the Euclidean norm
/// of the whole tensor (for a single number, its absolute value).
///
/// # Panics
/// If the inequality does not hold, with a message that names `what`; or if the lengths differ or a
/// number in `ours` is not finite.
pub fn assert_close(what: &str, ours: &[f32], golden: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), golden.len(), "{what}: length");
    assert!(ours.iter().all(|v| v.is_finite()), "{what}: a number that is not finite");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut ours.iter().zip(golden).map(|(&a, &b)| f64::from(a) - b));
    let size = norm(&mut golden.iter().copied());
    assert!(
        difference <= tolerance * size,
        "{what}: {:.2e} of its norm away, {tolerance:.0e} allowed",
        difference / size
    );
}
