//! The tensors of a checkpoint, whatever files they are in: names, types, shapes and places. Numbers are read when they are asked for.

use super::numbers::numbers;
use crate::error::{Error, Result};
use crate::held;
use crate::progress;
use kpflow_core::Scalar;
use safetensors::Dtype;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

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
        let len = entry.shape.iter().product::<usize>();
        match &entry.strides {
            Some(strides) if len > 0 && *strides != c_order(&entry.shape) => {
                let held = 1 + entry.shape.iter().zip(strides).map(|(d, s)| (d - 1) * s).sum::<usize>();
                let Some(numbers) = self.places::<T>(entry, std::iter::once(0..held))? else { return Ok(None) };
                Ok(Some((0..len).map(|i| numbers[place(i, &entry.shape, strides)]).collect()))
            }
            Some(_) | None => self.places(entry, std::iter::once(0..len)),
        }
    }

    /// Reads these rows of a tensor's first axis, in their order, and no others where they lie one behind another;
    /// `None` as above.
    pub fn read_rows<T: Scalar>(&self, entry: &Entry, rows: &[usize]) -> Result<Option<Vec<T>>> {
        let per: usize = entry.shape[1..].iter().product();
        if entry.strides.as_ref().is_some_and(|s| *s != c_order(&entry.shape)) {
            let all = self.read::<T>(entry)?;
            return Ok(all.map(|all| rows.iter().flat_map(|r| &all[r * per..(r + 1) * per]).copied().collect()));
        }
        // Neighbours are read at once.
        let together = rows.chunk_by(|a, b| a + 1 == *b);
        self.places(entry, together.map(|run| run[0] * per..(run[0] + run.len()) * per))
    }

    /// Reads the numbers at these places behind a tensor's first, as they lie in the file.
    fn places<T: Scalar>(
        &self,
        entry: &Entry,
        ranges: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<Option<Vec<T>>> {
        let (path, width) = (&self.files[entry.file], (entry.dtype.bitsize() / 8).max(1));
        let ranges: Vec<Range<usize>> = ranges.into_iter().collect();
        if numbers::<T>(entry.dtype, &[]).is_none() {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(ranges.iter().map(Range::len).sum());
        let read = || -> std::io::Result<()> {
            let mut file = File::open(held::place(path))?;
            for range in ranges {
                file.seek(SeekFrom::Start(entry.at + (range.start * width) as u64))?;
                for first in range.clone().step_by(BLOCK / width) {
                    let mut bytes = vec![0; (BLOCK / width).min(range.end - first) * width];
                    file.read_exact(&mut bytes)?;
                    progress::did(bytes.len() as u64);
                    if entry.big_endian {
                        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                    }
                    found.extend(numbers::<T>(entry.dtype, &bytes).unwrap_or_default());
                }
            }
            Ok(())
        };
        read().map_err(|e| Error::input(path, format!("cannot be read: {e}")))?;
        Ok(Some(found))
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
