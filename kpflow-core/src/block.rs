//! Blocks of vectors: what every operator reads and writes.
//!
//! A block of m vectors of shape `[B, T, N]` lies in memory as `[trajectory][vector][step][unit]`,
//! unit fastest. The trajectory comes first because trajectories are what is divided, over tiles, threads
//! and ranks: a group of them is one piece of memory. A block of one vector is that vector in C order.

use crate::error::{at_most, below, length};
use crate::{Error, Scalar, Shape};
use core::ops::Range;

/// A borrowed block of m vectors, read only.
#[derive(Clone, Copy, Debug)]
pub struct BlockRef<'a, T> {
    shape: Shape,
    vectors: usize,
    data: &'a [T],
}

/// A borrowed block of m vectors, to be written.
#[derive(Debug)]
pub struct BlockMut<'a, T> {
    shape: Shape,
    vectors: usize,
    data: &'a mut [T],
}

/// Where a part of a block lies in its data; anywhere if that is empty.
fn place(shape: Shape, vectors: usize, trajectory: usize, vector: usize) -> Result<Range<usize>, Error> {
    below(shape.trajectories, trajectory)?;
    below(vectors, vector)?;
    let n = shape.per_trajectory();
    let start = trajectory.saturating_mul(vectors).saturating_add(vector).saturating_mul(n);
    Ok(start..start.saturating_add(n))
}

impl<'a, T: Scalar> BlockRef<'a, T> {
    /// Views `data`, laid out `[trajectory][vector][step][unit]`, as `vectors` vectors of `shape`.
    ///
    /// **Errors**: unless `data.len() == vectors · shape.len()`.
    pub fn new(shape: Shape, vectors: usize, data: &'a [T]) -> Result<Self, Error> {
        length(vectors.saturating_mul(shape.len()), data.len())?;
        Ok(Self { shape, vectors, data })
    }
    /// The same where the length is known.
    pub(crate) fn of(shape: Shape, vectors: usize, data: &'a [T]) -> Self {
        debug_assert_eq!(data.len(), vectors * shape.len());
        Self { shape, vectors, data }
    }
    /// The shape of each vector.
    pub fn shape(&self) -> Shape {
        self.shape
    }
    /// m, the number of vectors.
    pub fn vectors(&self) -> usize {
        self.vectors
    }
    /// All numbers, `[trajectory][vector][step][unit]`.
    pub fn data(&self) -> &'a [T] {
        self.data
    }
    /// The `[step][unit]` numbers of one vector in one trajectory.
    ///
    /// **Errors**: if there is no such trajectory or vector.
    pub fn part(&self, trajectory: usize, vector: usize) -> Result<&'a [T], Error> {
        let place = place(self.shape, self.vectors, trajectory, vector)?;
        Ok(self.data.get(place).unwrap_or(&[]))
    }
    /// The same where there is such a part.
    #[inline]
    pub(crate) fn at(&self, trajectory: usize, vector: usize) -> &'a [T] {
        let n = self.shape.per_trajectory();
        &self.data[(trajectory * self.vectors + vector) * n..][..n]
    }
    /// The block of the trajectories in `range` alone.
    ///
    /// **Errors**: if the range does not lie within the trajectories.
    pub fn trajectories(&self, range: Range<usize>) -> Result<BlockRef<'a, T>, Error> {
        at_most(self.shape.trajectories, range.end)?;
        at_most(range.end, range.start)?;
        Ok(if self.data.is_empty() {
            BlockRef { shape: self.shape.with_trajectories(range.len()), ..*self }
        } else {
            self.tile(range)
        })
    }
    /// The same where there are such trajectories.
    pub(crate) fn tile(&self, range: Range<usize>) -> BlockRef<'a, T> {
        let n = self.shape.per_trajectory() * self.vectors;
        BlockRef {
            shape: self.shape.with_trajectories(range.len()),
            vectors: self.vectors,
            data: &self.data[range.start * n..range.end * n],
        }
    }
}

impl<'a, T: Scalar> BlockMut<'a, T> {
    /// Views `data`, laid out `[trajectory][vector][step][unit]`, as `vectors` vectors of `shape`.
    ///
    /// **Errors**: unless `data.len() == vectors · shape.len()`.
    pub fn new(shape: Shape, vectors: usize, data: &'a mut [T]) -> Result<Self, Error> {
        length(vectors.saturating_mul(shape.len()), data.len())?;
        Ok(Self { shape, vectors, data })
    }
    /// The same where the length is known.
    pub(crate) fn of(shape: Shape, vectors: usize, data: &'a mut [T]) -> Self {
        debug_assert_eq!(data.len(), vectors * shape.len());
        Self { shape, vectors, data }
    }
    /// The shape of each vector.
    pub fn shape(&self) -> Shape {
        self.shape
    }
    /// m, the number of vectors.
    pub fn vectors(&self) -> usize {
        self.vectors
    }
    /// All numbers, `[trajectory][vector][step][unit]`.
    pub fn data(&mut self) -> &mut [T] {
        self.data
    }
    /// The `[step][unit]` numbers of one vector in one trajectory.
    ///
    /// **Errors**: if there is no such trajectory or vector.
    pub fn part(&mut self, trajectory: usize, vector: usize) -> Result<&mut [T], Error> {
        let place = place(self.shape, self.vectors, trajectory, vector)?;
        Ok(self.data.get_mut(place).unwrap_or(&mut []))
    }
    /// The same where there is such a part.
    #[inline]
    pub(crate) fn at(&mut self, trajectory: usize, vector: usize) -> &mut [T] {
        let n = self.shape.per_trajectory();
        &mut self.data[(trajectory * self.vectors + vector) * n..][..n]
    }
    /// The same block, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> BlockMut<'_, T> {
        BlockMut { shape: self.shape, vectors: self.vectors, data: self.data }
    }
    /// The same block, read only.
    pub fn as_ref(&self) -> BlockRef<'_, T> {
        BlockRef { shape: self.shape, vectors: self.vectors, data: self.data }
    }
    /// Gives the numbers back with the lifetime of the block.
    pub fn into_data(self) -> &'a mut [T] {
        self.data
    }
}
