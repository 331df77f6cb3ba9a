//! The processes that share a job: MPI ranks, or one process alone.

mod grid;
pub mod launcher;
#[cfg(feature = "mpi")]
mod mpi_world;
#[cfg(not(feature = "mpi"))]
#[path = "alone.rs"]
mod mpi_world;
mod node;
mod pieces;
mod shared;

pub use grid::{Grid, MOST_RANKS};
pub use node::{Closed, Window};
pub use pieces::{calls_of_piece, progress, UNDER_WAY};
pub use shared::left as shared_memory_left;

use crate::error::{Error, Result};
use crate::events;
use crate::signals::asked_to_end;
use mpi_world as world;
use std::ops::{AddAssign, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Numbers that can be sent and summed.
pub trait Number: Copy + Default + AddAssign + world::Sendable {}
impl<T: Copy + Default + AddAssign + world::Sendable> Number for T {}

/// Keeps MPI initialised; finalises it when dropped.
pub struct World {
    _guard: world::Guard,
    comm: Comm,
}

impl Drop for World {
    fn drop(&mut self) {
        shared::clear();
    }
}

impl World {
    /// Initialises MPI (MPI-4.1 § 11.2.2; funneled threads), or nothing in a program without it.
    pub fn new() -> Result<Self> {
        let guard = world::initialize().map_err(Error::usage)?;
        let (rank, size) = world::rank_and_size();
        Ok(Self { _guard: guard, comm: Comm { id: 0, rank, size } })
    }
    /// The communicator of all processes.
    pub fn comm(&self) -> Comm {
        self.comm
    }
}

/// The MPI that this program was built with; "none" of one that is without.
pub fn version() -> String {
    world::version()
}

/// Whether MPI was started in this process.
pub fn is_connected() -> bool {
    world::is_connected()
}

/// A communicator: processes that talk to each other. Every method but `rank` and `size` is collective: all of them call it in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Comm {
    id: usize,
    rank: usize,
    size: usize,
}

/// Arrays up to this length are summed at the root and broadcast, so that every rank has the same bits and takes the same decisions.
const SHORT: usize = 1 << 16;
/// How long the root has to say what all say.
const AFTER_ROOT: Duration = Duration::from_millis(300);
/// How long a process that failed waits for the others to fail as well.
const ALONE: Duration = Duration::from_secs(2);
/// Counts are C ints (MPI-4.1 § 2.5.8): longer arrays go in pieces.
const CHUNK: usize = 1 << 28;
/// Sums go in shorter pieces: each is copied before it is sent, and a piece of 2²⁰ numbers is far beyond what latency matters to.
const SUM_CHUNK: usize = 1 << 20;

/// What this process has given to collective calls, and how many they were, as if all went by MPI's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of its own numbers; what MPI makes of them on the way depends on its algorithms.
    pub bytes: u64,
    /// Calls of MPI.
    pub messages: u64,
    /// Nanoseconds that it waited for sums within operators.
    pub waited: u64,
}

static WAITED: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static MESSAGES: AtomicU64 = AtomicU64::new(0);

fn count<T>(numbers: usize, messages: usize) {
    BYTES.fetch_add((numbers * std::mem::size_of::<T>()) as u64, Ordering::Relaxed);
    MESSAGES.fetch_add(messages as u64, Ordering::Relaxed);
}

/// MPI calls that a sum of so many numbers takes.
pub fn calls_of_sum(numbers: usize) -> usize {
    if numbers <= SHORT {
        2
    } else {
        numbers.div_ceil(SUM_CHUNK)
    }
}

/// MPI calls that [`Grid::sum`] adds to share a sum with other groups.
pub fn calls_of_share(numbers: usize) -> usize {
    numbers.div_ceil(CHUNK)
}

impl Comm {
    /// One process, without MPI.
    pub fn alone() -> Self {
        Self { id: 0, rank: 0, size: 1 }
    }
    /// Divides the processes: those of one color make a communicator, in the order of their ranks (`MPI_Comm_split`, MPI-4.1 § 7.4.2). Collective.
    pub fn split(&self, color: usize) -> Self {
        if self.size == 1 {
            return Self::alone();
        }
        let (id, rank, size) = world::split(self.id, color);
        Self { id, rank, size }
    }
    /// This process's number.
    pub fn rank(&self) -> usize {
        self.rank
    }
    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.size
    }
    /// Whether this is the process that speaks.
    pub fn is_root(&self) -> bool {
        self.rank == 0
    }

    /// Replaces `values` by their sum over processes: `MPI_Reduce` and `MPI_Bcast` for short arrays, `MPI_Allreduce` for long ones
    /// (MPI-4.1 § 6.4, 6.9), or, on one node, memory that all share.
    pub fn sum<T: Number>(&self, values: &mut [T]) {
        if self.size > 1 {
            let short = values.len() <= SHORT;
            count::<T>(values.len(), calls_of_sum(values.len()));
            match self.shared().filter(|_| !short) {
                Some(shared) => shared.sum(values),
                None => values.chunks_mut(SUM_CHUNK).for_each(|chunk| world::sum(self.id, chunk, short)),
            }
        }
    }

    /// The sum of one number.
    pub fn sum_one(&self, value: f64) -> f64 {
        let mut v = [value];
        self.sum(&mut v);
        v[0]
    }

    /// Concatenates every process's `local` in the order of ranks (`MPI_Allgatherv`, § 6.7; as broadcasts where a count passes a C int).
    ///
    /// # Panics
    /// Unless `all` is as long as all the locals together.
    pub fn gather<T: Number>(&self, local: &[T], all: &mut [T]) {
        if self.size == 1 {
            return all.copy_from_slice(local);
        }
        let mut counts = vec![0u64; self.size];
        counts[self.rank] = local.len() as u64;
        self.sum(&mut counts);
        assert_eq!(counts.iter().sum::<u64>(), all.len() as u64, "what is gathered must fill the array");
        count::<T>(local.len(), if all.len() <= CHUNK { 1 } else { self.size });
        if all.len() <= CHUNK {
            let counts: Vec<i32> = counts.iter().map(|&c| c as i32).collect();
            return world::gather(self.id, local, all, &counts);
        }
        let mut rest = all;
        for (rank, &count) in counts.iter().enumerate() {
            let (piece, next) = rest.split_at_mut(count as usize);
            if rank == self.rank {
                piece.copy_from_slice(local);
            }
            piece.chunks_mut(CHUNK).for_each(|chunk| world::broadcast(self.id, chunk, rank));
            rest = next;
        }
    }

    /// Sends some columns of a matrix with rows of `width` numbers from one rank to all.
    fn broadcast_columns<T: Number>(&self, values: &mut [T], columns: Range<usize>, width: usize, root: usize) {
        let (rows, len) = (values.len() / width.max(1), columns.len());
        if len == 0 {
            return;
        }
        let at_once = rows * len <= CHUNK && rows * width <= i32::MAX as usize;
        let sent = if self.rank == root { rows * len } else { 0 };
        count::<T>(sent, if at_once { 1 } else { rows * len.div_ceil(CHUNK) });
        if self.shared().is_some_and(|s| s.broadcast_rows(&mut values[columns.start..], len, width, root)) {
            return;
        }
        if at_once {
            return world::broadcast_strided(self.id, &mut values[columns.start..], [rows, len, width], root);
        }
        for row in values.chunks_exact_mut(width) {
            row[columns.clone()].chunks_mut(CHUNK).for_each(|chunk| world::broadcast(self.id, chunk, root));
        }
    }

    /// Sends bytes from one rank to all.
    pub fn broadcast(&self, bytes: &mut Vec<u8>, root: usize) {
        if self.size > 1 {
            let mut len = [bytes.len() as u64];
            count::<u8>(if self.rank == root { bytes.len() + 8 } else { 0 }, 2);
            world::broadcast(self.id, &mut len, root);
            bytes.resize(len[0] as usize, 0);
            bytes.chunks_mut(CHUNK).for_each(|chunk| world::broadcast(self.id, chunk, root));
        }
    }

    /// Sends the first process's numbers to all, each of which knows how many they are.
    fn share<T: Number>(&self, values: &mut [T]) {
        if self.size > 1 {
            let calls = calls_of_share(values.len());
            count::<T>(if self.rank == 0 { values.len() } else { 0 }, calls);
            values.chunks_mut(CHUNK).for_each(|chunk| world::broadcast(self.id, chunk, 0));
        }
    }

    /// Goes on only if no process failed; otherwise every process gets the error of the lowest that did.
    pub fn agree<R>(&self, result: Result<R>) -> Result<R> {
        let mut failed = vec![0u64; self.size];
        failed[self.rank] = u64::from(result.is_err());
        self.sum(&mut failed);
        let Some(root) = failed.iter().position(|&f| f > 0) else { return result };
        let mut bytes = result.as_ref().err().map(Error::to_bytes).unwrap_or_default();
        self.broadcast(&mut bytes, root);
        Err(Error::from_bytes(&bytes))
    }

    /// What this process has sent so far. Not collective.
    pub fn traffic(&self) -> Traffic {
        let [bytes, messages, waited] = [&BYTES, &MESSAGES, &WAITED].map(|n| n.load(Ordering::Relaxed));
        Traffic { bytes, messages, waited }
    }

    /// The largest of every process's numbers, each for itself.
    pub fn most<const K: usize>(&self, values: [u64; K]) -> [u64; K] {
        let mut all = vec![0; K * self.size];
        self.gather(&values, &mut all);
        std::array::from_fn(|k| all.iter().skip(k).step_by(K).copied().max().unwrap_or(0))
    }

    /// Returns if all processes fail. Otherwise this one tells its error and ends the job: the others would wait for it forever.
    pub fn fail_together(&self, error: &Error) {
        if self.size == 1 || world::meet(ALONE) {
            return;
        }
        // Of several that fail while others work the first is heard.
        std::thread::sleep(self.rank.min(10) as u32 * AFTER_ROOT / 10);
        events::error(error);
        world::abort(i32::from(error.exit_code()));
    }

    /// Ends the whole job at once if a process panics: the others would wait for it forever.
    pub fn abort_on_panic(&self) {
        let Self { rank, size, .. } = *self;
        std::panic::set_hook(Box::new(move |info| {
            // What fails on all ranks alike is said by the root, which ends the others while they wait.
            if rank > 0 {
                std::thread::sleep(AFTER_ROOT);
                if asked_to_end() {
                    std::thread::sleep(10 * AFTER_ROOT);
                }
            }
            let text = info.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            events::error(&Error::run(format!("internal: {text}; please report this")));
            if size > 1 {
                world::abort(1);
            }
            std::process::exit(1);
        }));
    }
}

/// The part of `total` things that belongs to `rank`: contiguous, as even as can be, perhaps empty.
pub fn shard(total: usize, ranks: usize, rank: usize) -> Range<usize> {
    let at = |r: usize| total / ranks * r + (total % ranks).min(r);
    at(rank)..at(rank + 1)
}

#[cfg(test)]
mod tests {
    use super::{shard, Comm};
    use crate::error::Error;

    #[test]
    fn shards_cover_everything_once() {
        for total in 0..20 {
            for ranks in 1..8 {
                let mut next = 0;
                for r in 0..ranks {
                    let s = shard(total, ranks, r);
                    assert_eq!(s.start, next);
                    assert!(s.len() >= total / ranks && s.len() <= total.div_ceil(ranks));
                    next = s.end;
                }
                assert_eq!(next, total);
            }
        }
    }

    #[test]
    fn alone() {
        let comm = Comm::alone();
        let mut all = [0.0; 2];
        comm.gather(&[1.0, 2.0], &mut all);
        assert_eq!((all, comm.sum_one(3.0)), ([1.0, 2.0], 3.0));
        assert_eq!(comm.agree(Err::<(), _>(Error::run("x"))), Err(Error::run("x")));
        assert_eq!(comm.agree(Ok(1)), Ok(1));
    }
}
