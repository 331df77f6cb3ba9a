//! One file of a checkpoint, of any format, by what is in it.

use super::tensors::Tensors;
use super::{pytorch, safetensors_file};
use crate::error::{Error, Result};
use crate::spelling;
use std::io::{Read, Seek};
use std::path::Path;

/// What a file is.
pub(super) enum Found {
    /// A file of tensors.
    Tensors(Tensors),
    /// The index of a checkpoint in several files.
    Index,
}

/// Opens safetensors and what `torch.save` wrote, and knows an index.
pub(super) fn open(path: &Path) -> Result<Found> {
    let mut file = spelling::open(path)?;
    let mut start = [0; 8];
    let mut read = 0;
    while let Ok(n @ 1..) = file.read(&mut start[read..]) {
        read += n;
    }
    let wrong = |what: String| Error::input(path, what);
    // A safetensors file may begin so too, with the length of its header: that has bytes which are 0.
    if start[0] == b'{' && !start[..read].contains(&0) {
        return Ok(Found::Index);
    }
    if pytorch::is_pytorch(&start[..read]) {
        return pytorch::read(path, &start[..read]).map(Found::Tensors).map_err(wrong);
    }
    file.rewind().map_err(|e| wrong(format!("cannot be read: {e}")))?;
    safetensors_file::read(path, &mut file).map(Found::Tensors)
}
