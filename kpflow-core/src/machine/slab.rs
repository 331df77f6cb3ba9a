//! Some vectors of a block, in all of its trajectories.

use core::ops::Range;

/// The numbers of some neighbouring vectors of a block `[trajectory][vector][step][unit]`: one run of numbers a trajectory.
///
/// What a lane writes when lanes share the vectors of a block.
#[derive(Debug)]
pub enum Slab<'s, 'a, T> {
    /// The run of trajectory b is `data[b · stride + start ..][.. len]`.
    Strided {
        /// All numbers of the block.
        data: &'s mut [T],
        /// Numbers of a trajectory.
        stride: usize,
        /// Where a run begins in it.
        start: usize,
        /// Numbers of a run.
        len: usize,
    },
    /// The runs, where others have what lies between them.
    Runs(&'s mut [&'a mut [T]]),
}

impl<'s, 'a, T> Slab<'s, 'a, T> {
    /// All vectors of a block, of `stride` numbers a trajectory.
    pub fn whole(data: &'s mut [T], stride: usize) -> Self {
        Self::Strided { data, stride, start: 0, len: stride }
    }
    /// No vectors.
    pub fn nothing() -> Self {
        Self::whole(&mut [], 0)
    }
    /// The run of a trajectory.
    ///
    /// # Panics
    /// If there is no such trajectory.
    #[inline]
    pub fn run(&mut self, trajectory: usize) -> &mut [T] {
        match self {
            Self::Strided { data, stride, start, len } => &mut data[trajectory * *stride + *start..][..*len],
            Self::Runs(runs) => runs[trajectory],
        }
    }
    /// The runs of some trajectories.
    ///
    /// # Panics
    /// If there are no such trajectories.
    pub fn trajectories(&mut self, range: Range<usize>) -> Slab<'_, 'a, T> {
        match self {
            Self::Strided { data, stride, start, len } => Slab::Strided {
                data: &mut data[range.start * *stride..range.end * *stride],
                stride: *stride,
                start: *start,
                len: *len,
            },
            Self::Runs(runs) => Slab::Runs(&mut runs[range]),
        }
    }
}

/// Some vectors of a block `[trajectory][vector][step][unit]`, a portion of them for each lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portions {
    /// Which vectors.
    pub vectors: Range<usize>,
    /// Vectors of a portion; the last may have fewer.
    pub per: usize,
    /// How many of the last ones come in two halves: the less is left, the less a lane that is late can keep the others waiting.
    pub halved: usize,
    /// Vectors of the block.
    pub all: usize,
    /// Numbers of a vector in one trajectory.
    pub numbers: usize,
}

impl Portions {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.whole() + self.halved
    }
    /// How many there would be without halves.
    fn whole(&self) -> usize {
        self.vectors.len().div_ceil(self.per.max(1))
    }
    /// The vectors of a portion.
    pub fn portion(&self, i: usize) -> Range<usize> {
        let full = self.whole().saturating_sub(self.halved);
        let before = |i: usize| i.min(full) * self.per + i.saturating_sub(full) * self.per.div_ceil(2);
        let at = |i: usize| (self.vectors.start + before(i)).min(self.vectors.end);
        at(i)..at(i + 1)
    }
    /// Its numbers of a trajectory.
    pub fn run(&self, i: usize) -> Range<usize> {
        let portion = self.portion(i);
        portion.start * self.numbers..portion.end * self.numbers
    }
    /// Its numbers of the block.
    pub fn slab<'s, T>(&self, i: usize, block: &'s mut [T]) -> Slab<'s, 's, T> {
        let run = self.run(i);
        Slab::Strided { data: block, stride: self.all * self.numbers, start: run.start, len: run.len() }
    }
}
