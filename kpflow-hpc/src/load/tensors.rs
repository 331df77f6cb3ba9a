//! The tensors of a checkpoint, whatever files they are in: names, types, shapes and places. Numbers are read when they are asked for.

use super::numbers::numbers;
use crate::error::{Error, Result};
use crate::progress;
use kpflow_core::Scalar;
use safetensors::Dtype;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where a tensor is, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The number of its file.
    pub file: usize,
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its first number is, in bytes.
    pub at: u64,
    /// The distance between neighbours along each axis, in numbers; `None` in C order.
    pub strides: Option<Vec<usize>>,
    /// Whether the bytes of a number begin with the highest.
    pub big_endian: bool,
}

/// All tensors of a checkpoint.
pub struct Tensors {
    /// The files that they are in.
    pub files: Vec<PathBuf>,
    /// By name.
    pub entries: BTreeMap<String, Entry>,
    /// What has a name but is no tensor that can be read: its class.
    pub others: BTreeMap<String, String>,
    /// Dictionaries at the top that hold tensors: where there is one, its names are the tensors' names.
    pub inner: Vec<String>,
    /// What is noted beside them.
    pub notes: HashMap<String, String>,
    /// What the format is called.
    pub format: &'static str,
}

impl Tensors {
    /// The tensors of one file.
    pub fn of(path: &Path, entries: BTreeMap<String, Entry>) -> Self {
        let (files, others, inner, notes) = (vec![path.into()], BTreeMap::new(), Vec::new(), HashMap::new());
        Self { files, entries, others, inner, notes, format: "safetensors" }
    }

    /// Reads a tensor's numbers in C order; `None` if their type is none of floating point.
    pub fn read<T: Scalar>(&self, entry: &Entry) -> Result<Option<Vec<T>>> {
        let path = &self.files[entry.file];
        let len = entry.shape.iter().product::<usize>();
        let contiguous = entry.strides.as_ref().is_none_or(|s| *s == c_order(&entry.shape));
        let held = match &entry.strides {
            _ if len == 0 => 0,
            Some(strides) if !contiguous => {
                1 + entry.shape.iter().zip(strides).map(|(d, s)| (d - 1) * s).sum::<usize>()
            }
            _ => len,
        };
        let width = entry.dtype.bitsize() / 8;
        let mut bytes = vec![0; held * width];
        let mut read = || -> std::io::Result<()> {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(entry.at))?;
            file.read_exact(&mut bytes)
        };
        read().map_err(|e| Error::input(path, format!("cannot be read: {e}")))?;
        progress::did(bytes.len() as u64);
        if entry.big_endian {
            bytes.chunks_exact_mut(width.max(1)).for_each(<[u8]>::reverse);
        }
        let Some(numbers) = numbers(entry.dtype, &bytes) else { return Ok(None) };
        Ok(Some(match &entry.strides {
            Some(strides) if !contiguous => (0..len).map(|i| numbers[place(i, &entry.shape, strides)]).collect(),
            _ => numbers,
        }))
    }
}

/// The strides of an array in C order.
fn c_order(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// Where number `i` of an array of these strides is.
fn place(mut i: usize, shape: &[usize], strides: &[usize]) -> usize {
    let mut at = 0;
    for (&d, &s) in shape.iter().zip(strides).rev() {
        at += i % d * s;
        i /= d;
    }
    at
}
