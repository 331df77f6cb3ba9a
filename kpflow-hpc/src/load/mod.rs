//! What the user brings: checkpoints and inputs.

mod checkpoint;
mod checkpoint_file;
mod element;
mod format;
mod hdf5_array;
mod inputs;
pub mod lengths;
mod npy;
mod numbers;
pub mod padding;
mod pickle;
mod pytorch;
mod ragged;
mod safetensors_file;
pub mod shards;
pub mod signal;
mod sources;
mod tensors;

pub use checkpoint::{config_beside, Checkpoint, Tensor};
pub use element::{element, Element};
pub use format::other as other_format;
pub use inputs::{zero_behind, Array, Source};
pub use npy::header as npy_header;

use crate::error::{Error, Result};
use kpflow_core::Scalar;
use std::path::Path;

/// Fails if a number is NaN or infinite, saying where: `what` and its index in `shape`.
pub(crate) fn require_finite<T: Scalar>(
    file: &Path,
    what: &str,
    shape: &[usize],
    first: usize,
    data: &[T],
) -> Result<()> {
    let Some(bad) = data.iter().position(|x| !x.is_finite()) else { return Ok(()) };
    let mut rest = first + bad;
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&d| {
            let i = rest % d.max(1);
            rest /= d.max(1);
            i
        })
        .collect();
    index.reverse();
    Err(Error::input(file, format!("{what} is {} at index {index:?}; every number must be finite", data[bad])))
}

#[cfg(test)]
mod formats_tests;
#[cfg(test)]
mod rows_tests;
#[cfg(test)]
mod tests;
