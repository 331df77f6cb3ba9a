//! Safetensors files: the header is read and checked, as the safetensors crate checks that of a whole file in memory.

use super::tensors::{Entry, Tensors};
use crate::error::{Error, Result};
use safetensors::tensor::Metadata;
use safetensors::SafeTensorError;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The tensors of an opened file.
pub(super) fn read(path: &Path, file: &mut File) -> Result<Tensors> {
    let (start, metadata) = header(file).map_err(|e| Error::input(path, not_safetensors(path, &e)))?;
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (dtype, shape, at) = (info.dtype, info.shape.clone(), (start + info.data_offsets.0) as u64);
        (name, Entry { file: 0, dtype, shape, at, strides: None, big_endian: false })
    };
    let entries = metadata.tensors().into_iter().map(entry).collect();
    Ok(Tensors { notes: metadata.metadata().clone().unwrap_or_default(), ..Tensors::of(path, entries) })
}

/// What is said of a file that is none of safetensors.
// Another library's names, of which there may be more.
#[allow(clippy::wildcard_enum_match_arm)]
fn not_safetensors(path: &Path, e: &SafeTensorError) -> String {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match e {
        _ if ending == "onnx" => {
            "is an ONNX graph; kind = \"onnx\" reads it, the other kinds a safetensors file".into()
        }
        _ if ["pt", "pth", "ckpt", "bin"].contains(&ending) => {
            "is neither an archive of torch.save nor a safetensors file; save the state_dict by one of them".into()
        }
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            "is a safetensors file cut short, or is none; copy or save it again".into()
        }
        _ => format!("is not a safetensors file ({e}); save it with safetensors.torch.save_file"),
    }
}

/// Reads and checks a file's header: where the numbers begin, and what they are.
///
/// What the safetensors crate checks of a whole file in memory is checked here of its header and its length.
fn header(file: &mut File) -> std::result::Result<(usize, Metadata), SafeTensorError> {
    const LONGEST: usize = 100_000_000;
    let len = file.metadata()?.len() as usize;
    let mut n = [0; 8];
    file.read_exact(&mut n).map_err(|_| SafeTensorError::HeaderTooSmall)?;
    let n = usize::try_from(u64::from_le_bytes(n)).unwrap_or(usize::MAX);
    if n > LONGEST {
        return Err(SafeTensorError::HeaderTooLarge);
    }
    if n + 8 > len {
        return Err(SafeTensorError::InvalidHeaderLength);
    }
    let mut text = vec![0; n];
    file.read_exact(&mut text)?;
    let text = std::str::from_utf8(&text).map_err(SafeTensorError::InvalidHeader)?;
    let read: Metadata = serde_json::from_str(text).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    // Made anew, since that alone checks that the tensors lie one after the other and are as long as they say.
    let mut tensors: Vec<_> = read.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
    tensors.sort_by_key(|t| t.1.data_offsets);
    let metadata = Metadata::new(read.metadata().clone(), tensors)?;
    match metadata.data_len() + n + 8 == len {
        true => Ok((n + 8, metadata)),
        false => Err(SafeTensorError::MetadataIncompleteBuffer),
    }
}
