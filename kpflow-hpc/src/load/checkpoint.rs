//! Checkpoints in safetensors files.

use super::require_finite;
use crate::error::{some_of, Error, Result};
use crate::progress;
use crate::spelling;
use half::{bf16, f16};
use kpflow_core::Scalar;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensorError};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A checkpoint: the tensors whose names begin with a prefix. Only its header is held; a tensor is read when it is asked for.
pub struct Checkpoint {
    path: PathBuf,
    prefix: String,
    metadata: Metadata,
    /// Where the numbers begin in the file.
    start: usize,
    outline: bool,
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
}

/// A tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T> {
    /// Its whole name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, in C order.
    pub data: Vec<T>,
}

impl Checkpoint {
    /// Opens a file and checks that it is whole.
    pub fn open(path: &Path, prefix: &str) -> Result<Self> {
        let mut file = spelling::open(path)?;
        let (start, metadata) = header(&mut file).map_err(|e| Error::input(path, not_safetensors(path, &e)))?;
        let all: Vec<(String, Vec<usize>)> =
            metadata.tensors().into_iter().map(|(n, t)| (n, t.shape.clone())).collect();
        let mut there: Vec<(String, Vec<usize>)> =
            all.iter().filter_map(|(n, shape)| Some((n.strip_prefix(prefix)?.to_string(), shape.clone()))).collect();
        there.sort();
        let (names, shapes): (Vec<String>, Vec<Vec<usize>>) = there.into_iter().unzip();
        if names.is_empty() {
            let mut there: Vec<&str> = all.iter().map(|(n, _)| n.as_str()).collect();
            there.sort();
            return Err(Error::input(
                path,
                format!("has no tensor that begins with \"{prefix}\"; it has {}", some_of(&there)),
            ));
        }
        Ok(Self { path: path.into(), prefix: prefix.into(), metadata, start, outline: false, names, shapes })
    }

    /// The same tensors without their numbers: all are zeros in memory that is never touched. For those who plan a run.
    pub fn outline(self) -> Self {
        Self { outline: true, ..self }
    }

    /// Opens the same file as this one, with all of its tensors.
    pub fn whole(&self) -> Result<Self> {
        Ok(Self { outline: self.outline, ..Self::open(&self.path, "")? })
    }

    /// The numbers of a tensor in another order: number i is what was number `from(i)`.
    pub fn reordered<T: Scalar>(&self, data: &[T], len: usize, from: impl Fn(usize) -> usize) -> Vec<T> {
        if self.outline {
            return vec![T::zero(); len];
        }
        (0..len).map(|i| data[from(i)]).collect()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A note of the file's metadata.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The names behind the prefix, sorted.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The shape of a tensor (without prefix), if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.names.binary_search_by(|n| n.as_str().cmp(name)).ok().map(|i| self.shapes[i].clone())
    }

    /// Reads the first tensor there is of several names (without prefix), as numbers of type T; `None` if there is none.
    pub fn tensor<T: Scalar>(&self, names: &[&str]) -> Result<Option<Tensor<T>>> {
        let Some(name) = names.iter().find(|n| self.names.iter().any(|m| m == *n)) else { return Ok(None) };
        let name = format!("{}{name}", self.prefix);
        let Some(info) = self.metadata.info(&name) else { return Ok(None) };
        let (kind, shape) = (info.dtype, info.shape.clone());
        let unknown = || {
            Error::input(&self.path, format!("tensor {name} is of type {kind:?}; F16, BF16, F32 and F64 can be read"))
        };
        if self.outline {
            numbers::<T>(kind, &[]).ok_or_else(unknown)?;
            let data = vec![T::zero(); shape.iter().product()];
            return Ok(Some(Tensor { name, shape, data }));
        }
        let data = numbers(kind, &self.bytes(info.data_offsets)?).ok_or_else(unknown)?;
        require_finite(&self.path, &format!("tensor {name}"), &shape, 0, &data)?;
        Ok(Some(Tensor { name, shape, data }))
    }

    /// Bytes of all tensors behind the prefix.
    pub fn len_bytes(&self) -> u64 {
        let infos = self.names.iter().filter_map(|n| self.metadata.info(&format!("{}{n}", self.prefix)));
        infos.map(|t| (t.data_offsets.1 - t.data_offsets.0) as u64).sum()
    }

    /// The type of a tensor's numbers (without prefix), if it is there.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.metadata.info(&format!("{}{name}", self.prefix)).map(|t| t.dtype)
    }

    /// A tensor's bytes.
    fn bytes(&self, (from, to): (usize, usize)) -> Result<Vec<u8>> {
        let mut bytes = vec![0; to - from];
        let mut read = || -> std::io::Result<()> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start((self.start + from) as u64))?;
            file.read_exact(&mut bytes)
        };
        read().map_err(|e| Error::input(&self.path, format!("cannot be read: {e}")))?;
        progress::did(bytes.len() as u64);
        Ok(bytes)
    }

    /// Like [`tensor`](Checkpoint::tensor), but the tensor must be there and of this shape.
    pub fn required<T: Scalar>(&self, names: &[&str], shape: &[usize]) -> Result<Tensor<T>> {
        let Some(tensor) = self.tensor(names)? else {
            let what = names.iter().map(|n| format!("{}{n}", self.prefix)).collect::<Vec<_>>().join(" or ");
            let right = match self.other_prefix(names) {
                Some(prefix) => format!("did you mean prefix = \"{prefix}\"?"),
                None => format!("it has {}", some_of(&self.names)),
            };
            return Err(Error::input(&self.path, format!("has no tensor {what}; {right}")));
        };
        if tensor.shape != shape {
            let (name, found) = (&tensor.name, &tensor.shape);
            return Err(Error::input(&self.path, format!("tensor {name} has shape {found:?}; it should be {shape:?}")));
        }
        Ok(tensor)
    }

    /// The prefix with which one of these tensors would be there.
    fn other_prefix(&self, names: &[&str]) -> Option<String> {
        let prefixes = |n: &&str| {
            let of =
                |whole: &String| Some(whole.strip_suffix(n)?.to_string()).filter(|p| p.is_empty() || p.ends_with('.'));
            self.metadata.tensors().keys().filter_map(of).min()
        };
        names.iter().find_map(prefixes)
    }
}

/// What is said of a file that is none of safetensors.
pub(super) fn not_safetensors(path: &Path, e: &SafeTensorError) -> String {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match e {
        _ if ending == "onnx" => {
            "is an ONNX graph; kind = \"onnx\" reads it, the other kinds a safetensors file".into()
        }
        _ if ["pt", "pth", "ckpt", "bin"].contains(&ending) => {
            let (load, save) = ("torch.load(FILE, weights_only=True)", "\"model.safetensors\"");
            format!("is not a safetensors file; make one by safetensors.torch.save_file({load}, {save})")
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

/// Numbers of a floating point type, in little endian order.
pub(super) fn numbers<T: Scalar>(dtype: Dtype, bytes: &[u8]) -> Option<Vec<T>> {
    fn each<T: Scalar, const W: usize>(bytes: &[u8], f: impl Fn([u8; W]) -> f64) -> Vec<T> {
        bytes.chunks_exact(W).map(|c| T::of(f(c.try_into().unwrap_or([0; W])))).collect()
    }
    Some(match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f32::from_le_bytes(b).into()),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        _ => return None,
    })
}

/// Whole numbers and truth values too: tokens and masks are inputs, never weights.
pub(super) fn numbers_or_integers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const W: usize>(bytes: &[u8], f: impl Fn([u8; W]) -> f64) -> Vec<f64> {
        bytes.chunks_exact(W).map(|c| f(c.try_into().unwrap_or([0; W]))).collect()
    }
    Some(match dtype {
        Dtype::BOOL => each(bytes, |[b]| f64::from(u8::from(b != 0))),
        Dtype::U8 => each(bytes, |[b]| b.into()),
        Dtype::I8 => each(bytes, |b| i8::from_le_bytes(b).into()),
        Dtype::U16 => each(bytes, |b| u16::from_le_bytes(b).into()),
        Dtype::I16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        Dtype::U32 => each(bytes, |b| u32::from_le_bytes(b).into()),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        Dtype::U64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        other => return numbers(other, bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
    }

    #[test]
    fn reads_every_float_type() {
        let values = [1.5, -2.0, 0.25];
        let bytes = |w: usize| -> Vec<u8> {
            values
                .iter()
                .flat_map(|&v: &f64| match w {
                    0 => f16::from_f64(v).to_le_bytes().to_vec(),
                    1 => bf16::from_f64(v).to_le_bytes().to_vec(),
                    2 => (v as f32).to_le_bytes().to_vec(),
                    _ => v.to_le_bytes().to_vec(),
                })
                .collect()
        };
        for (w, dtype) in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64].into_iter().enumerate() {
            assert_eq!(numbers::<f64>(dtype, &bytes(w)).unwrap(), values);
        }
        assert!(numbers::<f64>(Dtype::I32, &[0; 4]).is_none());
    }

    #[test]
    fn truncated_files_are_errors_at_every_length() {
        let whole = std::fs::read(golden("gru_h0.safetensors")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.safetensors");
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(Checkpoint::open(&path, "").err().unwrap().exit_code(), 2);
        }
    }

    #[test]
    fn says_what_is_missing() {
        let c = Checkpoint::open(&golden("memory_pro.init.safetensors"), "rnn.").unwrap();
        let e = c.required::<f32>(&["weight_xx_l0"], &[1]).unwrap_err().to_string();
        assert!(e.contains("no tensor rnn.weight_xx_l0; it has bias_hh_l0"), "{e}");
        let e = c.required::<f32>(&["bias_hh_l0"], &[1]).unwrap_err().to_string();
        assert!(e.contains("has shape [192]; it should be [1]"), "{e}");
        let e = Checkpoint::open(&golden("memory_pro.init.safetensors"), "gru.").err().unwrap().to_string();
        assert!(e.contains("begins with \"gru.\"; it has"), "{e}");
    }
}
