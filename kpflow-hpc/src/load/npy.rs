//! Arrays whose numbers lie in a file as they are, in .npy and safetensors: read a few rows at a time.

use super::numbers::numbers_or_integers;
use super::tensors::Entry;
use crate::error::{Error, Result};
use kpflow_core::Scalar;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use safetensors::Dtype;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// The header of a .npy file, what follows it, and the length of the file.
pub fn header(path: &Path) -> std::io::Result<(NpyHeader, BufReader<File>, u64)> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    // The header's own length comes after six bytes of magic and two of version: what the file
    // cannot hold is not allocated.
    if let [.., version, _, a, b, c, d] = *reader.fill_buf()?.get(..12).unwrap_or_default() {
        if version >= 2 && u64::from(u32::from_le_bytes([a, b, c, d])) > len {
            return Err(std::io::Error::other("its header is cut short"));
        }
    }
    Ok((NpyHeader::from_reader(&mut reader)?, reader, len))
}

/// An array in a file, whose header was read.
pub(super) struct Plain {
    file: File,
    /// Where its numbers begin.
    start: u64,
    dtype: Dtype,
    big: bool,
    fortran: bool,
    shape: Vec<usize>,
}

impl Plain {
    /// An array of a file of safetensors, in which it begins at this byte; `None` if it is not of numbers.
    pub fn tensor(file: File, entry: &Entry) -> Option<Self> {
        let Entry { dtype, shape, at: start, .. } = entry;
        numbers_or_integers(*dtype, &[])?;
        Some(Self { file, start: *start, dtype: *dtype, big: false, fortran: false, shape: shape.clone() })
    }

    /// The array of a .npy file.
    pub fn npy(path: &Path) -> Result<Self> {
        let wrong = |m: String| Error::input(path, m);
        let (header, mut reader, len) =
            header(path).map_err(|e| wrong(format!("is not a .npy file ({e}); save it with numpy.save")))?;
        let (dtype, big) = element(&header.dtype()).map_err(|e| wrong(format!("is of {e}")))?;
        let shape: Vec<usize> = header.shape().iter().map(|&d| d as usize).collect();
        let start = reader.stream_position().map_err(|e| wrong(e.to_string()))?;
        let size = shape.iter().try_fold(dtype.bitsize() as u64 / 8, |p, &d| p.checked_mul(d as u64));
        if size.and_then(|s| s.checked_add(start)).is_none_or(|end| end > len) {
            return Err(wrong(format!("is cut short: its header says {shape:?}; copy or save it again")));
        }
        // A header of one axis says "Fortran" of what is both.
        let fortran = header.order() == Order::Fortran && shape.len() > 1;
        Ok(Self { file: reader.into_inner(), start, dtype, big, fortran, shape })
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads rows of the first axis, or, `within` one of them, of the second, in C order.
    pub fn read<T: Scalar>(&self, within: Option<usize>, range: Range<usize>) -> std::io::Result<Vec<T>> {
        if self.fortran {
            return match within {
                Some(v) => self.read_fortran(v..v + 1, range),
                None => self.read_fortran(range, 0..self.shape[1]),
            };
        }
        let per: usize = self.shape[usize::from(within.is_some()) + 1..].iter().product();
        let first = within.map_or(0, |v| v * self.shape[1]);
        let mut numbers = Vec::with_capacity(range.len() * per);
        let range = (first + range.start) * per..(first + range.end) * per;
        self.blocks(range, 1, |block| numbers.extend(block.iter().map(|&x| T::of(x))))?;
        Ok(numbers)
    }

    /// The first axis is the fastest: what lies between two of its ends has these rows of one place
    /// of the others, of which the second axis has these.
    fn read_fortran<T: Scalar>(&self, range: Range<usize>, second: Range<usize>) -> std::io::Result<Vec<T>> {
        let rows = self.shape[0];
        // The place in C order, counted up with the second axis first.
        let (mut index, mut strides) = (vec![0; self.shape.len()], vec![1; self.shape.len()]);
        for axis in (1..self.shape.len() - 1).rev() {
            strides[axis] = strides[axis + 1] * self.shape[axis + 1];
        }
        let (all, per, first) = (self.shape.iter().product(), second.len() * strides[1], second.start * strides[1]);
        let mut numbers = vec![T::zero(); range.len() * per];
        let mut place = 0;
        self.blocks(0..all, rows, |block| {
            for column in block.chunks_exact(rows) {
                if second.contains(&index[1]) {
                    for (i, x) in column[range.clone()].iter().enumerate() {
                        numbers[i * per + place - first] = T::of(*x);
                    }
                }
                for axis in 1..index.len() {
                    (index[axis], place) = (index[axis] + 1, place + strides[axis]);
                    if index[axis] < self.shape[axis] {
                        break;
                    }
                    (index[axis], place) = (0, place - strides[axis] * self.shape[axis]);
                }
            }
        })?;
        Ok(numbers)
    }

    /// Reads elements as they lie in the file, a multiple of `unit` at once.
    fn blocks(&self, range: Range<usize>, unit: usize, mut each: impl FnMut(&[f64])) -> std::io::Result<()> {
        let width = self.dtype.bitsize() / 8;
        let step = unit * (BLOCK / (width * unit)).max(1);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start + (range.start * width) as u64))?;
        for at in range.clone().step_by(step) {
            let mut bytes = vec![0; step.min(range.end - at) * width];
            file.read_exact(&mut bytes)?;
            if self.big {
                bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
            }
            let numbers = numbers_or_integers(self.dtype, &bytes);
            each(&numbers.ok_or_else(|| std::io::Error::other("is of no known type"))?);
        }
        Ok(())
    }
}

/// The type of an array's elements, and whether their first byte is the highest; or what they are
/// instead of numbers, and what is right.
fn element(dtype: &DType) -> std::result::Result<(Dtype, bool), String> {
    let kind = match dtype {
        DType::Plain(kind) => kind,
        DType::Record(fields) => {
            let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            let first = names.first().copied().unwrap_or_default();
            return Err(format!(
                "structured type with the fields {}; save one of them, x[\"{first}\"]",
                names.join(", ")
            ));
        }
        DType::Array(..) => return Err(format!("type {}; save a plain array of numbers", dtype.descr())),
    };
    let number = match (kind.type_char(), kind.size_field()) {
        (TypeChar::Float, 8) => Dtype::F64,
        (TypeChar::Float, 4) => Dtype::F32,
        (TypeChar::Float, 2) => Dtype::F16,
        (TypeChar::Bool, 1) => Dtype::BOOL,
        (TypeChar::Uint, 1) => Dtype::U8,
        (TypeChar::Int, 1) => Dtype::I8,
        (TypeChar::Uint, 2) => Dtype::U16,
        (TypeChar::Int, 2) => Dtype::I16,
        (TypeChar::Uint, 4) => Dtype::U32,
        (TypeChar::Int, 4) => Dtype::I32,
        (TypeChar::Uint, 8) => Dtype::U64,
        (TypeChar::Int, 8) => Dtype::I64,
        (other, size) => return Err(no_number(other, size, &dtype.descr())),
    };
    Ok((number, kind.endianness() == Endianness::Big))
}

// Another library's names, of which there may be more.
#[allow(clippy::wildcard_enum_match_arm)]
fn no_number(kind: TypeChar, size: u64, descr: &str) -> String {
    let descr = descr.trim_matches('\'');
    match kind {
        TypeChar::Object => super::ragged::objects(),
        TypeChar::Float => {
            format!("type {descr}, long double, whose bytes differ between machines; save x.astype(\"float64\")")
        }
        TypeChar::Complex => {
            format!("complex numbers ({descr}); save real and imaginary parts as two inputs, or as an axis of one")
        }
        TypeChar::RawData if size <= 2 => {
            format!("type {descr}, as numpy saves the small types of ml_dtypes (bfloat16, float8); save x.astype(\"float32\")")
        }
        _ => format!("type {descr}; save it as float32, float64, int32 or int64"),
    }
}
