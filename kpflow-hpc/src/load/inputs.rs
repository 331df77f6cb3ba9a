//! Arrays of inputs in HDF5, .npy and safetensors files, read a few trajectories at a time.

use super::format::{format_of, Format};
use super::hdf5_array::{self, Dataset};
use super::npy::Plain;
use super::{require_finite, safetensors_file};
use crate::error::{some_of, Error, Result};
use crate::held;
use crate::spelling;
use kpflow_core::Scalar;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file and, perhaps, the dataset in it: `FILE[:DATASET]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The dataset or tensor in it.
    pub dataset: Option<String>,
}

impl Source {
    /// What a text names; relative to a directory.
    pub fn named(directory: &Path, text: &str) -> Self {
        // A path may hold a colon itself: only what follows the last one, behind a name with an ending, is a dataset.
        match text.rsplit_once(':') {
            Some((file, dataset)) if file.contains('.') && !dataset.is_empty() => {
                Source { path: directory.join(file), dataset: Some(dataset.into()) }
            }
            _ => Source { path: directory.join(text), dataset: None },
        }
    }
}

/// Bytes of numbers that [`Array::in_parts`] reads at once, or a row.
const PART: usize = 4 << 20;

enum Data {
    Hdf5(Dataset),
    Plain(Plain),
    /// Those that were read, and are let go of.
    Nothing,
}

/// An array in a file; its first axis is the trajectory.
pub struct Array {
    path: PathBuf,
    label: String,
    shape: Vec<usize>,
    data: Data,
    warnings: Vec<String>,
}

impl Array {
    /// Opens an array: a dataset of HDF5, a .npy file, or a tensor of safetensors.
    pub fn open(source: &Source) -> Result<Self> {
        let (path, name) = (source.path.as_path(), source.dataset.as_deref());
        spelling::open(path)?;
        let mut warnings = Vec::new();
        let (label, shape, data) = match format_of(path)? {
            Format::Hdf5 => {
                let (name, set, found) = hdf5_array::open(path, name)?;
                warnings = found;
                (format!("dataset {name}"), set.shape().to_vec(), Data::Hdf5(set))
            }
            Format::Npy => {
                let array = Plain::npy(path)?;
                ("the array".into(), array.shape().to_vec(), Data::Plain(array))
            }
            Format::Safetensors => tensor(path, name)?,
        };
        Ok(Self { path: path.into(), label, shape, data, warnings })
    }

    /// What the user should know of it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The array, unless some of its numbers were never written.
    pub fn written(self) -> Result<Self> {
        match self.warnings.first() {
            Some(what) => Err(Error::input(&self.path, format!("{what}; write all of them"))),
            None => Ok(self),
        }
    }

    /// The shape of the whole array.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Lets go of the numbers: its shape and name stay, for errors.
    pub fn forget(&mut self) {
        self.data = Data::Nothing;
    }

    /// An error about this array.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::input(&self.path, format!("{} {message}", self.label))
    }

    /// Reads the rows in `range` of the first axis. Every number must be finite.
    pub fn read_rows<T: Scalar>(&self, range: Range<usize>) -> Result<Vec<T>> {
        self.read_until(range, None)
    }

    /// The same where row b has `lengths[b]` steps only, its second axis: behind them there are zeros, whatever the file has.
    pub fn read_until<T: Scalar>(&self, range: Range<usize>, lengths: Option<&[usize]>) -> Result<Vec<T>> {
        self.read_of(None, range, lengths)
    }

    /// The same of the second axis, `within` a row of the first, if one is given.
    pub fn read_of<T: Scalar>(
        &self,
        within: Option<usize>,
        range: Range<usize>,
        lengths: Option<&[usize]>,
    ) -> Result<Vec<T>> {
        let axis = usize::from(within.is_some());
        let per: usize = self.shape[axis + 1..].iter().product();
        let mut data: Vec<T> = if range.is_empty() || per == 0 {
            Vec::new()
        } else {
            match &self.data {
                Data::Nothing => return Err(self.error("was read, and let go of")),
                Data::Plain(array) => {
                    array.read(within, range.clone()).map_err(|e| self.error(format!("cannot be read: {e}")))?
                }
                Data::Hdf5(set) => set.read(&self.path, within, range.clone()).map_err(|e| self.error(e))?,
            }
        };
        if let (Some(lengths), Some(&steps)) = (lengths, self.shape.get(axis + 1)) {
            zero_behind(&mut data, steps, &lengths[range.clone()]);
        }
        let first = within.map_or(0, |v| v * self.shape[1]) + range.start;
        require_finite(&self.path, &self.label, &self.shape, first * per, &data)?;
        Ok(data)
    }

    /// Reads all rows of the first axis, a few at a time.
    pub fn in_parts<T: Scalar>(&self, mut each: impl FnMut(&[T])) -> Result<()> {
        // Rows of an array of four axes are as long as all trajectories together.
        let (axis, outer) = if self.shape.len() == 4 { (1, self.shape[0]) } else { (0, 1) };
        let Some(&rows) = self.shape.get(axis) else { return Ok(()) };
        let per: usize = self.shape[axis + 1..].iter().product();
        let step = (PART / (std::mem::size_of::<T>() * per).max(1)).max(1);
        for v in 0..outer {
            for first in (0..rows).step_by(step) {
                let range = first..(first + step).min(rows);
                each(&self.read_of::<T>((axis == 1).then_some(v), range, None)?);
            }
        }
        Ok(())
    }
}

fn tensor(path: &Path, name: Option<&str>) -> Result<(String, Vec<usize>, Data)> {
    let wrong = |m: String| Error::input(path, m);
    let mut file = spelling::open(path)?;
    let tensors = safetensors_file::read(path, &mut file)?;
    let names: Vec<&str> = tensors.entries.keys().map(String::as_str).collect();
    let name = match (name, &names[..]) {
        (Some(name), _) => name.trim_start_matches('/'),
        (None, [only]) => only,
        (None, _) => return Err(wrong(format!("has several tensors; name one as FILE:TENSOR of {}", some_of(&names)))),
    };
    let missing = || wrong(format!("has no tensor {name}; it has {}", some_of(&names)));
    let entry = tensors.entries.get(name).ok_or_else(missing)?;
    let kind = entry.dtype;
    let array = Plain::tensor(file, entry)
        .ok_or_else(|| wrong(format!("tensor {name} is of type {kind:?}; it should hold numbers")))?;
    // What is in memory alone is known by its name there.
    let label = held::name_of(path).unwrap_or_else(|| format!("tensor {name}"));
    Ok((label, entry.shape.clone(), Data::Plain(array)))
}

/// Sets to zero what is behind the end of trajectories of these lengths, `[b][step][…]` of so many steps each.
pub fn zero_behind<T: Scalar>(data: &mut [T], steps: usize, lengths: &[usize]) {
    let row = data.len() / (lengths.len() * steps).max(1);
    for (part, length) in data.chunks_mut((steps * row).max(1)).zip(lengths) {
        part[length * row..].fill(T::zero());
    }
}
