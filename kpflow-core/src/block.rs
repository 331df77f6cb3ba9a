//! Blocks of vectors: what every operator reads and writes.
//!
//! A block of m vectors of shape `[B, T, N]` lies in memory as `[trajectory][vector][step][unit]`,
//! unit fastest. The trajectory comes first because trajectories are what is divided, over tiles, threads
//! and ranks: a group of them is one piece of memory. A block of one vector is that vector in C order.

use crate::{Scalar, Shape};
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

impl<'a, T: Scalar> BlockRef<'a, T> {
    /// Views `data`, laid out `[trajectory][vector][step][unit]`, as `vectors` vectors of `shape`.
    ///
    /// # Panics
    /// Unless `data.len() == vectors · shape.len()`.
    pub fn new(shape: Shape, vectors: usize, data: &'a [T]) -> Self {
        assert_eq!(data.len(), vectors * shape.len(), "a block's data must be vectors · B · T · N long");
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
    pub fn part(&self, trajectory: usize, vector: usize) -> &'a [T] {
        let n = self.shape.per_trajectory();
        &self.data[(trajectory * self.vectors + vector) * n..][..n]
    }
    /// The block of the trajectories in `range` alone.
    pub fn trajectories(&self, range: Range<usize>) -> BlockRef<'a, T> {
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
    /// # Panics
    /// Unless `data.len() == vectors · shape.len()`.
    pub fn new(shape: Shape, vectors: usize, data: &'a mut [T]) -> Self {
        assert_eq!(data.len(), vectors * shape.len(), "a block's data must be vectors · B · T · N long");
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
    pub fn part(&mut self, trajectory: usize, vector: usize) -> &mut [T] {
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
