//! The process grid, trajectories × probes.

use super::{shard, Comm, Number, Traffic};
use crate::error::{Error, Result};
use std::ops::Range;

/// The processes of a job, as rows of a grid: each row, a group, holds all trajectories, and groups share the vectors of a block among them.
///
/// A product is made by all groups, each for its vectors, and told to the others, so that every group has all of them. All else each group does for
/// itself, with the sums of the first: every process has the same bits and takes the same decisions. Operators sum within their
/// [group](Self::group) instead, as their vectors are not those of another.
///
/// All methods that are not about numbers of processes are collective.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    world: Comm,
    /// The processes of this group: the other trajectories.
    group: Comm,
    /// The processes that hold the same trajectories, one of each group.
    across: Comm,
}

impl From<Comm> for Grid {
    /// One group of all processes.
    fn from(world: Comm) -> Self {
        Self { world, group: world, across: Comm::alone() }
    }
}

/// Ranks along either side of a grid, at most.
pub const MOST_RANKS: usize = 1 << 20;

/// Vectors of a block where a job leaves it open, when processes are divided.
const BLOCK: usize = 16;
/// A product with few vectors is slow: as if it had so many more.
const FEW: usize = 2;
/// More groups have to lighten the load by this much: each does the small dense work again.
const WORTH: f64 = 0.9;

impl Grid {
    /// Divides all processes into `groups`. Collective.
    pub fn new(world: Comm, groups: usize) -> Result<Self> {
        if groups == 0 || world.size() % groups != 0 {
            return Err(Error::usage(format!("{} processes cannot be divided into {groups} groups", world.size())));
        }
        if groups == 1 {
            return Ok(world.into());
        }
        let width = world.size() / groups;
        Ok(Self { world, group: world.split(world.rank() / width), across: world.split(world.rank() % width) })
    }

    /// The number of groups that leaves the busiest of so many processes least to do: one, unless that wastes processes.
    pub fn groups(processes: usize, trajectories: usize, block: Option<usize>) -> usize {
        let block = block.unwrap_or(BLOCK);
        let load = |groups: usize| trajectories.div_ceil(processes / groups) * (block.div_ceil(groups) + FEW);
        let worth = |best: usize, groups: usize| (load(groups) as f64) < WORTH * load(best) as f64;
        (2..=processes.min(block)).filter(|groups| processes % groups == 0).fold(1, |best, groups| {
            if worth(best, groups) {
                groups
            } else {
                best
            }
        })
    }

    /// All processes.
    pub fn world(&self) -> Comm {
        self.world
    }
    /// The processes of this group, which hold the trajectories among them.
    pub fn group(&self) -> Comm {
        self.group
    }
    /// This process's number in its group.
    pub fn rank(&self) -> usize {
        self.group.rank()
    }
    /// How many processes a group has.
    pub fn size(&self) -> usize {
        self.group.size()
    }
    /// How many groups there are.
    pub fn probes(&self) -> usize {
        self.across.size()
    }
    /// Whether this process is of the first group: of what every group has, that one's counts.
    pub fn is_first(&self) -> bool {
        self.across.is_root()
    }
    /// Whether this is the process that speaks, and writes.
    pub fn is_root(&self) -> bool {
        self.world.is_root()
    }

    /// Replaces `values` by the sum over the first group, the same on all processes.
    pub fn sum<T: Number>(&self, values: &mut [T]) {
        if self.is_first() {
            self.group.sum(values);
        }
        self.across.share(values);
    }
    /// The sum of one number.
    pub fn sum_one(&self, value: f64) -> f64 {
        let mut v = [value];
        self.sum(&mut v);
        v[0]
    }
    /// Concatenates the `local` of every process of this group ([`Comm::gather`]).
    pub fn gather<T: Number>(&self, local: &[T], all: &mut [T]) {
        self.group.gather(local, all);
    }
    /// Goes on only if no process of any group failed ([`Comm::agree`]).
    pub fn agree<R>(&self, result: Result<R>) -> Result<R> {
        self.world.agree(result)
    }
    /// Sends the root's bytes to all.
    pub fn broadcast(&self, bytes: &mut Vec<u8>) {
        self.world.broadcast(bytes, 0);
    }
    /// What this process has sent so far. Not collective.
    pub fn traffic(&self) -> Traffic {
        self.world.traffic()
    }

    /// Of so many vectors, or other pieces of work that every group could do, those that are this group's.
    pub fn share(&self, pieces: usize) -> Range<usize> {
        shard(pieces, self.probes(), self.across.rank())
    }

    /// Gives every group what the others made of their [shares](Self::share) of some `columns`: `values` is a block `[trajectory][vector][number]`, a vector having
    /// so many `numbers` in a trajectory.
    pub fn exchange<T: Number>(&self, values: &mut [T], columns: Range<usize>, vectors: usize, numbers: usize) {
        if self.probes() == 1 || values.is_empty() {
            return;
        }
        for group in 0..self.probes() {
            let own = shard(columns.len(), self.probes(), group);
            let own = (columns.start + own.start) * numbers..(columns.start + own.end) * numbers;
            self.across.broadcast_columns(values, own, vectors * numbers, group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_only_where_processes_would_idle() {
        assert_eq!(Grid::groups(1, 15, None), 1);
        assert_eq!(Grid::groups(4, 64, None), 1);
        assert_eq!(Grid::groups(8, 2, Some(16)), 4);
        assert_eq!(Grid::groups(6, 1, Some(16)), 6);
        assert_eq!(Grid::groups(5, 1, Some(3)), 1);
        assert_eq!(Grid::groups(64, 100, Some(32)), 1);
    }

    #[test]
    fn alone() {
        let grid = Grid::from(Comm::alone());
        assert_eq!((grid.rank(), grid.size(), grid.probes(), grid.is_first(), grid.is_root()), (0, 1, 1, true, true));
        assert_eq!(grid.sum_one(2.5), 2.5);
        assert_eq!(grid.share(7), 0..7);
        assert!(Grid::new(Comm::alone(), 0).is_err() && Grid::new(Comm::alone(), 2).is_err());
    }
}
