//! Blocks of vectors between Python's arrays and the library's `[trajectory][vector][step, unit]`.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::ops::Range;
use std::ptr::NonNull;

/// Vectors of so many trajectories, each of so many numbers.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Trajectories.
    pub trajectories: usize,
    /// Numbers of one, of a vector.
    pub each: usize,
    /// All vectors of the array.
    pub vectors: usize,
    /// Whether a vector is a column, `[n, m]`; else a row, `[m, n]`.
    pub columns: bool,
}

/// Numbers of a column that are moved at once: what is read and what is written stay in the first cache.
const TILE: usize = 32;

impl Layout {
    /// Where number `i` of trajectory `b` of a vector is in the array.
    fn place(self, vector: usize, b: usize, i: usize) -> usize {
        let (flat, n) = (b * self.each + i, self.trajectories * self.each);
        if self.columns {
            flat * self.vectors + vector
        } else {
            vector * n + flat
        }
    }

    /// Goes through all numbers of some vectors: their places in the array and in the library's block.
    fn walk(self, part: &Range<usize>, mut each: impl FnMut(usize, usize)) {
        let m = part.len();
        for b in 0..self.trajectories {
            for first in (0..self.each).step_by(TILE) {
                for v in 0..m {
                    for i in first..(first + TILE).min(self.each) {
                        each(self.place(part.start + v, b, i), (b * m + v) * self.each + i);
                    }
                }
            }
        }
    }

    /// Copies some vectors of an array into a block.
    pub fn read<T: Element + Copy>(self, array: &Numbers<T>, part: &Range<usize>, block: &mut [T]) {
        if self.columns {
            return self.walk(part, |from, to| block[to] = array.get(from));
        }
        for (k, row) in block.chunks_exact_mut(self.each.max(1)).enumerate() {
            array.read(self.place(part.start + k % part.len(), k / part.len(), 0), row);
        }
    }

    /// Copies a block into some vectors of an array.
    pub fn write<T: Element + Copy>(self, array: &Numbers<T>, part: &Range<usize>, block: &[T]) {
        if self.columns {
            return self.walk(part, |to, from| array.write(to, &block[from..=from]));
        }
        for (k, row) in block.chunks_exact(self.each.max(1)).enumerate() {
            array.write(self.place(part.start + k % part.len(), k / part.len(), 0), row);
        }
    }
}

/// The numbers of an array of Python's, one after the other.
pub struct Numbers<T: Element> {
    first: NonNull<T>,
    len: usize,
    /// As long as it is there, the numbers are.
    _buffer: PyBuffer<T>,
}

impl<T: Element + Copy> Numbers<T> {
    /// Those of an array that has so many, perhaps to write to.
    pub fn of(array: &Bound<'_, PyAny>, count: usize, write: bool) -> PyResult<Self> {
        let buffer = PyBuffer::<T>::get(array)?;
        match buffer.as_slice_ptr().filter(|all| all.len() == count && !(write && buffer.readonly())) {
            Some(all) => Ok(Self { first: all.cast(), len: count, _buffer: buffer }),
            None => Err(PyValueError::new_err(format!("an array is not of {count} numbers in C order"))),
        }
    }

    fn get(&self, i: usize) -> T {
        assert!(i < self.len);
        // SAFETY: within the buffer, whose numbers are T. Who changes an array while it is multiplied gets the
        // product of either.
        unsafe { self.first.add(i).read() }
    }

    fn read(&self, from: usize, to: &mut [T]) {
        assert!(from + to.len() <= self.len);
        // SAFETY: as above; a block of the library's own is no part of an array.
        unsafe { self.first.add(from).as_ptr().copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) }
    }

    fn write(&self, to: usize, from: &[T]) {
        assert!(to + from.len() <= self.len);
        // SAFETY: as above; the buffer may be written to.
        unsafe { self.first.add(to).as_ptr().copy_from_nonoverlapping(from.as_ptr(), from.len()) }
    }
}
