//! Arrays of inputs in HDF5, .npy and safetensors files, read a few trajectories at a time.

use super::checkpoint::{not_safetensors, numbers_or_integers};
use super::require_finite;
use crate::error::{some_of, Error, Result};
use crate::hdf5_file::{self, Watch};
use crate::job::Source;
use crate::spelling;
use hdf5::types::TypeDescriptor;
use hdf5::LocationType;
use kpflow_core::Scalar;
use npyz::{NpyHeader, Order};
use safetensors::{Dtype, SafeTensors};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

enum Data {
    Hdf5(hdf5::Dataset),
    Memory(Vec<f64>),
}

/// An array in a file; its first axis is the trajectory.
pub struct Array {
    path: PathBuf,
    label: String,
    shape: Vec<usize>,
    data: Data,
}

impl Array {
    /// Opens an array by the ending of its file's name: .h5, .hdf5, .npy or .safetensors.
    pub fn open(source: &Source) -> Result<Self> {
        let path = source.path.as_path();
        let wrong = |m: String| Error::input(path, m);
        spelling::open(path)?;
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let (label, shape, data) = match ending {
            "h5" | "hdf5" => hdf5_dataset(path, source.dataset.as_deref())?,
            "npy" => npy(path)?,
            "safetensors" => tensor(path, source.dataset.as_deref())?,
            "" => return Err(wrong("has no ending; inputs are .h5, .hdf5, .npy or .safetensors".into())),
            other => return Err(wrong(format!("ends with \".{other}\"; inputs are .h5, .hdf5, .npy or .safetensors"))),
        };
        Ok(Self { path: path.into(), label, shape, data })
    }

    /// The shape of the whole array.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Lets go of the numbers: its shape and name stay, for errors.
    pub fn forget(&mut self) {
        self.data = Data::Memory(Vec::new());
    }

    /// An error about this array.
    pub fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::input(&self.path, format!("{} {message}", self.label))
    }

    /// Reads the rows in `range` of the first axis. Every number must be finite.
    pub fn read_rows<T: Scalar>(&self, range: Range<usize>) -> Result<Vec<T>> {
        let per: usize = self.shape[1..].iter().product();
        let data: Vec<T> = if range.is_empty() || per == 0 {
            Vec::new()
        } else {
            match &self.data {
                Data::Memory(all) => all[range.start * per..range.end * per].iter().map(|&x| T::of(x)).collect(),
                Data::Hdf5(dataset) => self.read_hdf5(dataset, range.clone())?.into_iter().map(T::of).collect(),
            }
        };
        require_finite(&self.path, &self.label, &self.shape, range.start * per, &data)?;
        Ok(data)
    }

    fn read_hdf5(&self, dataset: &hdf5::Dataset, range: Range<usize>) -> Result<Vec<f64>> {
        let _watch = Watch::over(&self.path);
        use ndarray::s;
        macro_rules! read {
            ($d:ty, $($all:tt),*) => {
                dataset.read_slice::<f64, _, $d>(s![range, $($all),*]).map(|a| a.into_raw_vec_and_offset().0)
            };
        }
        let read = match self.shape.len() {
            1 => dataset.read_slice_1d::<f64, _>(s![range]).map(|a| a.into_raw_vec_and_offset().0),
            2 => read!(ndarray::Ix2, ..),
            3 => read!(ndarray::Ix3, .., ..),
            4 => read!(ndarray::Ix4, .., .., ..),
            5 => read!(ndarray::Ix5, .., .., .., ..),
            d => return Err(self.error(format!("has {d} axes; arrays of 1 to 5 can be read"))),
        };
        read.map_err(|e| self.error(format!("cannot be read: {e}")))
    }
}

fn hdf5_dataset(path: &Path, name: Option<&str>) -> Result<(String, Vec<usize>, Data)> {
    let wrong = |m: String| Error::input(path, m);
    let file = hdf5_file::open(path).map_err(|_| wrong("is not an HDF5 file; h5py.File writes one".into()))?;
    let there = hdf5_file::members(&file, LocationType::Dataset);
    let there: Vec<String> = there.iter().map(|n| format!("/{n}")).collect();
    let names: Vec<&str> = there.iter().map(|n| n.as_str()).collect();
    let name = match (name, &names[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, []) => return Err(wrong("has no dataset at its root; name one as FILE:DATASET".into())),
        (None, _) => {
            return Err(wrong(format!("has several datasets; name one as FILE:DATASET of {}", some_of(&names))))
        }
    };
    let missing = |_| wrong(format!("has no dataset {name}; at its root are {}", some_of(&names)));
    let dataset = file.dataset(name).map_err(missing)?;
    let kind = dataset.dtype().and_then(|t| t.to_descriptor()).map_err(|e| wrong(e.to_string()))?;
    if kind == TypeDescriptor::Boolean {
        // HDF5 itself makes no numbers of these.
        let all = dataset.read_raw::<bool>().map_err(|e| wrong(format!("dataset {name} cannot be read: {e}")))?;
        let data = all.into_iter().map(|b| f64::from(u8::from(b))).collect();
        return Ok((format!("dataset {name}"), dataset.shape(), Data::Memory(data)));
    }
    if !matches!(kind, TypeDescriptor::Float(_) | TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) {
        return Err(wrong(format!("dataset {name} is of type {kind}; it should hold numbers")));
    }
    Ok((format!("dataset {name}"), dataset.shape(), Data::Hdf5(dataset)))
}

/// The header of a .npy file, what follows it, and the length of the file.
pub fn npy_header(path: &Path) -> std::io::Result<(NpyHeader, BufReader<File>, u64)> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    // The header's own length comes after six bytes of magic and two of version: what the file cannot hold is not allocated.
    if let [.., version, _, a, b, c, d] = *reader.fill_buf()?.get(..12).unwrap_or_default() {
        if version >= 2 && u64::from(u32::from_le_bytes([a, b, c, d])) > len {
            return Err(std::io::Error::other("its header is cut short"));
        }
    }
    Ok((NpyHeader::from_reader(&mut reader)?, reader, len))
}

fn npy(path: &Path) -> Result<(String, Vec<usize>, Data)> {
    let wrong = |m: String| Error::input(path, m);
    let (header, mut reader, len) =
        npy_header(path).map_err(|e| wrong(format!("is not a .npy file ({e}); save it with numpy.save")))?;
    let shape: Vec<usize> = header.shape().iter().map(|&d| d as usize).collect();
    if header.order() != Order::C {
        return Err(wrong("is in Fortran order; save numpy.ascontiguousarray of it".into()));
    }
    let kind = header.dtype().descr();
    let dtype = match kind.trim_matches('\'').trim_start_matches(['<', '|']) {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "b1" => Dtype::BOOL,
        "u1" => Dtype::U8,
        "i1" => Dtype::I8,
        "u2" => Dtype::U16,
        "i2" => Dtype::I16,
        "u4" => Dtype::U32,
        "i4" => Dtype::I32,
        "u8" => Dtype::U64,
        "i8" => Dtype::I64,
        _ => return Err(wrong(format!("is of type {kind}; save it as float32, float64, int32 or int64"))),
    };
    // A header may claim any size: what the file cannot hold is not allocated.
    let size = shape.iter().try_fold(dtype.bitsize() as u64 / 8, |p, &d| p.checked_mul(d as u64));
    let cut = || wrong(format!("is cut short: its header says {shape:?}; copy or save it again"));
    let mut bytes = vec![0; size.filter(|&s| s <= len).ok_or_else(cut)? as usize];
    reader.read_exact(&mut bytes).map_err(|_| cut())?;
    let data = numbers_or_integers(dtype, &bytes).ok_or_else(|| wrong(format!("is of type {kind}")))?;
    Ok(("the array".into(), shape, Data::Memory(data)))
}

fn tensor(path: &Path, name: Option<&str>) -> Result<(String, Vec<usize>, Data)> {
    let wrong = |m: String| Error::input(path, m);
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(not_safetensors(path, &e)))?;
    let mut names: Vec<&str> = tensors.names().into_iter().collect();
    names.sort_unstable();
    let name = match (name, &names[..]) {
        (Some(name), _) => name.trim_start_matches('/'),
        (None, [only]) => only,
        (None, _) => return Err(wrong(format!("has several tensors; name one as FILE:TENSOR of {}", some_of(&names)))),
    };
    let view = tensors.tensor(name).map_err(|_| wrong(format!("has no tensor {name}; it has {}", some_of(&names))))?;
    let kind = view.dtype();
    let data = numbers_or_integers(kind, view.data())
        .ok_or_else(|| wrong(format!("tensor {name} is of type {kind:?}; it should hold numbers")))?;
    Ok((format!("tensor {name}"), view.shape().to_vec(), Data::Memory(data)))
}
