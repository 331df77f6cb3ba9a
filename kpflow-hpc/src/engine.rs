//! The machine that operators run on: BLAS kernels, rayon threads, sums over ranks.

use crate::blas::{self, Blas};
use crate::comm::{self, Grid, Number};
use crate::error::{Error, Result};
use kpflow_core::machine::{Diagonals, Gemm, Kernel, Portions, Reduce, Slab, Tasks};
use kpflow_core::Scalar;
use kpflow_estimate::Decompose;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A number that the runner computes with: f32 or f64.
pub trait Real: Blas + Number + hdf5::H5Type {}
impl<T: Blas + Number + hdf5::H5Type> Real for T {}

/// Whether these are numbers in single precision.
pub fn is_single<T: Real>() -> bool {
    T::epsilon().f64() > f64::from(f32::EPSILON) / 2.0
}

/// Fails where this many bytes on this rank are more than the machine has: a rank that swaps or is killed tells nobody why.
pub fn require_memory(bytes: f64) -> Result<()> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    match total.map(|kib| kib * 1024.0) {
        Some(there) if bytes > there => Err(Error::run(format!(
            "needs about {:.1} GiB on this rank and the machine has {:.1}; take precision = \"f32\", a smaller block or max_matvecs, fewer trajectories, or more nodes",
            gib(bytes),
            gib(there)
        ))),
        _ => Ok(()),
    }
}

/// Returns freed blocks of 256 KiB or more to the system, always: glibc would soon keep those below 32 MiB, in pieces that fit nothing, and
/// no estimate of memory could be right.
fn return_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) takes two numbers, from any thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 18);
    }
}

/// Has what a result file is written with in memory: a job whose files are not HDF5 would else have it there at its end
/// alone. Of a file that is none.
fn touch_hdf5() {
    hdf5::silence_errors(true);
    // Nothing can be of this name: libhdf5 looks whether something is.
    let nowhere = hdf5::File::with_options().with_fapl(|p| p.core_filebacked(false)).create("/dev/null/none");
    let written = nowhere.and_then(|file| file.new_dataset_builder().with_data(&[0.0f64]).create("x"));
    // Whether a file can be written is said where one is.
    drop(written);
}

static AT_START: OnceLock<usize> = OnceLock::new();

/// Bytes of this process when its first engine was made, with MPI, BLAS and HDF5 in it.
pub fn bytes_at_start() -> usize {
    let measure = || {
        touch_hdf5();
        status_bytes("VmRSS").unwrap_or(0) as usize
    };
    *AT_START.get_or_init(measure)
}

/// What the system says of this process: `VmRSS`, its memory now, or `VmHWM`, at its worst moment, in bytes.
pub fn status_bytes(what: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = text.lines().find_map(|l| l.strip_prefix(what)?.strip_prefix(':')?.trim().strip_suffix("kB"))?;
    kib.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// BLAS inside a tile, rayon over tiles, [`Grid`] over ranks.
///
/// Only the thread that applies an operator talks to other ranks; the pool's threads do arithmetic alone.
pub struct Engine {
    grid: Grid,
    pool: rayon::ThreadPool,
    /// Whether sums are under way, which go on only if this thread calls MPI now and then.
    summing: AtomicBool,
}

/// How often MPI is let go on while the pool works: often enough for what is under way, seldom enough to leave the cores to their work (kpflow-bench/DevNotes.md).
const POLL: Duration = Duration::from_millis(1);

impl Engine {
    /// Makes an engine of `threads` threads; of a communicator's processes alone, all share the trajectories.
    pub fn new(grid: impl Into<Grid>, threads: usize) -> Result<Self> {
        return_memory();
        Self::within(grid, threads)
    }
    /// Makes one within a program that sees to its memory itself: how the process returns what is freed is left as it is.
    pub fn within(grid: impl Into<Grid>, threads: usize) -> Result<Self> {
        blas::initialize();
        bytes_at_start();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(Self {
            grid: grid.into(),
            pool: pool.map_err(|e| Error::run(format!("threads could not be started: {e}")))?,
            summing: AtomicBool::new(false),
        })
    }
    /// The processes that share the job.
    pub fn grid(&self) -> Grid {
        self.grid
    }
}

impl<T: Blas> Kernel<T> for Engine {
    #[inline]
    fn gemm(&self, alpha: T, gemm: Gemm<'_, T>, beta: T) {
        T::gemm(alpha, gemm, beta);
    }
    #[inline]
    fn combine(&self, sum: Diagonals<'_, T>) {
        blas::combine(sum);
    }
    fn prefers_plain(&self, inner: usize, cols: usize) -> bool {
        blas::prefers_plain(inner, cols)
    }
}

impl Decompose for Engine {
    fn symmetric(&self, a: &mut [f64], n: usize, vectors: bool) -> Option<Vec<f64>> {
        blas::symmetric(a, n, vectors, self.lanes())
    }
}

impl<T: Real> Reduce<T> for Engine {
    fn sum(&self, values: &mut [T]) {
        self.grid.group().sum(values);
    }
    fn sum_pieces<L, F, G>(&self, values: &mut [T], pieces: usize, length: L, make: F, take: G)
    where
        L: Fn(usize) -> usize,
        F: FnMut(usize, &mut [T]),
        G: FnMut(usize, &[T]),
    {
        let (mut make, overlaps) = (make, self.grid.group().overlaps());
        let made = |i: usize, piece: &mut [T]| {
            // Only now is there a sum under way.
            self.summing.store(overlaps && i > 0, Ordering::Relaxed);
            make(i, piece);
            self.summing.store(overlaps, Ordering::Relaxed);
        };
        self.grid.group().sum_pieces(values, pieces, length, made, take);
        self.summing.store(false, Ordering::Relaxed);
    }
    fn gather(&self, local: &[T], all: &mut [T]) -> std::result::Result<(), kpflow_core::Error> {
        self.grid.group().gather(local, all);
        Ok(())
    }
    fn sum_count(&self, count: usize) -> usize {
        let mut total = [count as u64];
        self.grid.group().sum(&mut total);
        total[0] as usize
    }
}

impl Tasks for Engine {
    fn lanes(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn for_each<T: Scalar, F>(&self, count: usize, a: &mut [T], a_len: usize, b: &mut [T], b_len: usize, task: F)
    where
        F: Fn(usize, &mut [T], &mut [T]) + Sync,
    {
        let (mut a, mut b) = (a, b);
        let mut pieces = Vec::with_capacity(count);
        for i in 0..count {
            let (ai, rest_a) = a.split_at_mut(a_len.min(a.len()));
            let (bi, rest_b) = b.split_at_mut(b_len.min(b.len()));
            pieces.push((i, ai, bi));
            (a, b) = (rest_a, rest_b);
        }
        self.all(pieces, |(i, a, b)| task(i, a, b));
    }

    fn for_each_in_turn<T: Scalar, F>(
        &self,
        count: usize,
        out: &mut [T],
        out_len: usize,
        work: &mut [T],
        work_len: usize,
        task: F,
    ) where
        F: Fn(usize, &mut [T], &mut [T]) + Sync,
    {
        let (mut own, mut rest) = (Vec::with_capacity(self.lanes()), work);
        for _ in 0..self.lanes() {
            let (work, next) = rest.split_at_mut(work_len.min(rest.len()));
            own.push(work);
            rest = next;
        }
        let pieces = out.chunks_mut(out_len.max(1)).take(count).enumerate();
        self.all_with(pieces.collect(), &mut own, |(i, out), work| task(i, work, out));
    }

    fn for_each_portion<T: Scalar, F>(&self, portions: &Portions, work: &mut [T], work_len: usize, y: &mut [T], task: F)
    where
        F: Fn(usize, &mut [T], Slab<'_, '_, T>) + Sync,
    {
        let (count, stride) = (portions.count(), portions.all * portions.numbers);
        if stride == 0 {
            let pieces = work.chunks_mut(work_len.max(1)).take(count).enumerate();
            return self.all(pieces.collect(), |(i, work)| task(i, work, Slab::nothing()));
        }
        let mut runs: Vec<Vec<&mut [T]>> = (0..count).map(|_| Vec::with_capacity(y.len() / stride)).collect();
        for trajectory in y.chunks_mut(stride) {
            let (_, mut rest) = trajectory.split_at_mut(portions.run(0).start);
            for (i, runs) in runs.iter_mut().enumerate() {
                let (run, next) = rest.split_at_mut(portions.run(i).len());
                runs.push(run);
                rest = next;
            }
        }
        let pieces = runs.into_iter().zip(work.chunks_mut(work_len.max(1))).enumerate();
        self.all(pieces.collect(), |(i, (mut runs, work))| task(i, work, Slab::Runs(&mut runs)));
    }
}

impl Engine {
    /// [`Engine::all_with`] where threads need nothing of their own.
    fn all<P: Send>(&self, pieces: Vec<P>, task: impl Fn(P) + Sync) {
        self.all_with(pieces, &mut vec![(); self.lanes()], |piece, ()| task(piece));
    }

    /// Does something with every piece, on all threads, each with what is its `own`. Each takes the next piece when it is done with one: a thread that is held
    /// up, by another program on its core, holds up no piece but its own.
    fn all_with<P: Send, W: Send>(&self, pieces: Vec<P>, own: &mut [W], task: impl Fn(P, &mut W) + Sync) {
        let lanes = own.len().min(pieces.len());
        let summing = self.summing.load(Ordering::Relaxed);
        if lanes <= 1 && !summing {
            return pieces.into_iter().for_each(|piece| task(piece, &mut own[0]));
        }
        let left = Mutex::new(pieces.into_iter());
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = |_working: Sender<()>, own: &mut W| {
            while let Some(piece) = next() {
                task(piece, own);
            }
        };
        let (working, done) = channel();
        self.pool.in_place_scope(|scope| {
            for (working, own) in vec![working; lanes].into_iter().zip(own) {
                let work = &work;
                scope.spawn(move |_| work(working, own));
            }
            // The channel closes when the work has ended, by a panic too.
            while summing && done.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                comm::progress();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Engine, Portions, Slab, Tasks};
    use crate::comm::Comm;
    use kpflow_core::machine::Portable;

    #[test]
    fn pieces_are_cut_as_promised() {
        for threads in [1, 3] {
            let engine = Engine::new(Comm::alone(), threads).unwrap();
            let (mut a, mut b) = (vec![0.0; 10], vec![0.0; 3]);
            engine.for_each(5, &mut a, 4, &mut b, 1, |i, a, b| {
                a.fill(i as f64 + 1.0);
                b.fill(a.len() as f64);
            });
            assert_eq!(a, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0]);
            assert_eq!(b, [4.0, 4.0, 2.0]);
        }
    }

    #[test]
    fn a_lane_keeps_its_work() {
        for threads in [1, 3] {
            let engine = Engine::new(Comm::alone(), threads).unwrap();
            let (mut out, mut work) = (vec![0.0; 19], vec![0.0; 2 * threads]);
            engine.for_each_in_turn(10, &mut out, 2, &mut work, 2, |i, work, out| {
                out.fill(i as f64);
                work[1] += 1.0;
            });
            let expected: Vec<f64> = (0..19).map(|k| f64::from(k / 2)).collect();
            assert_eq!(out, expected);
            assert_eq!(work.iter().sum::<f64>(), 10.0);
            engine
                .for_each_in_turn(0, &mut [], 2, &mut work, 2, |_, _, _: &mut [f64]| panic!("there is nothing to do"));
        }
    }

    #[test]
    fn portions_are_cut_as_the_core_cuts_them() {
        // Vectors 1 to 5 of 6, two at a time, of three numbers in each of four trajectories.
        let portions = Portions { vectors: 1..6, per: 2, halved: 0, all: 6, numbers: 3 };
        let write = |machine: &dyn Fn(&mut [f64], &mut [f64])| {
            let (mut work, mut y) = (vec![0.0; 6], vec![0.0; 4 * 6 * 3]);
            machine(&mut work, &mut y);
            (work, y)
        };
        let task = |i: usize, work: &mut [f64], mut y: Slab<'_, '_, f64>| {
            work.fill(i as f64);
            for b in 0..4 {
                let mut y = y.trajectories(b..b + 1);
                let run = y.run(0);
                assert_eq!(run.len(), if i == 2 { 3 } else { 6 });
                run.iter_mut().enumerate().for_each(|(j, y)| *y = (100 * (i + 1) + 10 * b + j) as f64);
            }
        };
        let serial = write(&|work, y| Portable.for_each_portion(&portions, work, 2, y, task));
        assert_eq!(serial.0, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(
            serial.1[18..36],
            [0, 0, 0, 110, 111, 112, 113, 114, 115, 210, 211, 212, 213, 214, 215, 310, 311, 312].map(f64::from)
        );
        for threads in [1, 2, 3] {
            let engine = Engine::new(Comm::alone(), threads).unwrap();
            assert_eq!(write(&|work, y| engine.for_each_portion(&portions, work, 2, y, task)), serial);
        }
    }
}
