//! What Python hands over: arrays and files, held under names as if they were files.

use crate::error::raised;
use kpflow_hpc::held::Held;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;
use std::path::Path;

/// An array: its name, the type of its numbers as safetensors call it, its shape, its bytes.
pub type Tensor<'py> = (String, String, Vec<usize>, Bound<'py, PyBytes>);

/// A file: as it is, or of arrays. Bytes come first: as a list they would be asked for memory for a tensor a byte.
#[derive(FromPyObject)]
pub enum File<'py> {
    /// Bytes.
    #[pyo3(transparent)]
    Bytes(Bound<'py, PyBytes>),
    /// Arrays.
    #[pyo3(transparent)]
    Tensors(Vec<Tensor<'py>>),
}

/// Holds a file under a name.
pub fn hold(directory: &Path, name: &str, file: &File<'_>) -> PyResult<Held> {
    let made = match file {
        File::Bytes(bytes) => Held::new(directory, name, |w| w.write_all(bytes.as_bytes())),
        File::Tensors(tensors) => Held::new(directory, name, |w| {
            // The format of safetensors: the length of a JSON header, it, and the numbers one after the other.
            let (mut header, mut at) = (serde_json::Map::new(), 0);
            for (name, dtype, shape, bytes) in tensors {
                let end = at + bytes.as_bytes().len();
                header.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] }));
                at = end;
            }
            let header = serde_json::Value::from(header).to_string();
            w.write_all(&(header.len() as u64).to_le_bytes())?;
            w.write_all(header.as_bytes())?;
            tensors.iter().try_for_each(|tensor| w.write_all(tensor.3.as_bytes()))
        }),
    };
    made.map_err(|e| raised(&e))
}
