//! MPI by rsmpi: the communicator of all processes, and those that it was divided into.
//!
//! Only the thread that initialised MPI calls it (funneled), and it alone keeps the handles: an index is what others pass around.

use super::launcher;
use mpi::collective::SystemOperation;
use mpi::datatype::{MutView, PartitionMut, UserDatatype};
use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::*;
use mpi::Threading;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

pub trait Sendable: Equivalence + Default + Copy {}
impl<T: Equivalence + Default + Copy> Sendable for T {}

thread_local! {
    /// Communicators by index; the first has all processes.
    static COMMUNICATORS: RefCell<Vec<SimpleCommunicator>> = const { RefCell::new(Vec::new()) };
    /// One of all processes on which nothing but [`meet`] happens.
    static END: RefCell<Option<SimpleCommunicator>> = const { RefCell::new(None) };
    /// That of this node, once it is made.
    static NODE: Cell<Option<(usize, usize, usize)>> = const { Cell::new(None) };
}

/// Finalises MPI when dropped, after the communicators are freed.
pub struct Guard(#[allow(dead_code)] Option<mpi::environment::Universe>);

impl Drop for Guard {
    fn drop(&mut self) {
        COMMUNICATORS.with_borrow_mut(Vec::clear);
        END.take();
    }
}

/// How Open MPI is to sum without blocking; what the user sets stays.
///
/// In a ring: left alone it has fewer than four processes send everything to one of them and back, twice as long as the blocking sum takes. And pieces of half a
/// megabyte are sent at once, without asking first: between two questions is a whole turn of the work that they go on beside.
const SETTINGS: [(&str, &str); 2] =
    [("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "ring"), ("OMPI_MCA_btl_tcp_eager_limit", "524288")];

/// The library and its version, of all that it says of itself (`MPI_Get_library_version`, MPI-4.1 § 9.1.1; before MPI is started, too).
pub fn version() -> String {
    let said = mpi::environment::library_version().unwrap_or_default();
    let first = said.split(['\n', ',']).next().unwrap_or_default();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Starts MPI if a launcher started this process. A process that was started by hand is alone: MPI would start a daemon for it, a third of a second that may outlive it.
pub fn initialize() -> Result<Guard, String> {
    if !launcher::is_there() {
        return Ok(Guard(None));
    }
    for (name, value) in SETTINGS.iter().filter(|(name, _)| std::env::var_os(name).is_none()) {
        std::env::set_var(name, value);
    }
    let started = mpi::initialize_with_threading(Threading::Funneled).map(|(universe, _)| Guard(Some(universe)));
    let guard = started.ok_or("MPI could not be initialised")?;
    if SimpleCommunicator::world().size() == 1 {
        launcher::require_connected(
            "it does not speak with the MPI that kpflow was built with; start it with that one's mpirun, or with srun --mpi=pmix",
        )?;
    }
    COMMUNICATORS.with_borrow_mut(|all| *all = vec![SimpleCommunicator::world()]);
    END.set(Some(SimpleCommunicator::world().duplicate()));
    Ok(guard)
}

/// Whether this process talks to MPI.
fn alone() -> bool {
    COMMUNICATORS.with_borrow(Vec::is_empty)
}

pub fn is_connected() -> bool {
    !alone()
}

pub fn rank_and_size() -> (usize, usize) {
    if alone() {
        return (0, 1);
    }
    with(0, |comm| (comm.rank() as usize, comm.size() as usize))
}

fn with<R>(comm: usize, f: impl FnOnce(&SimpleCommunicator) -> R) -> R {
    COMMUNICATORS.with_borrow(|all| f(&all[comm]))
}

/// Processes of one color make a new communicator, in the order of their ranks; returns (index, rank, size).
pub fn split(comm: usize, color: usize) -> (usize, usize, usize) {
    let made = with(comm, |c| c.split_by_color(Color::with_value(color as i32)));
    // Every process has a color, so every one is in a communicator.
    keep(made.unwrap_or_else(SimpleCommunicator::world))
}

fn keep(made: SimpleCommunicator) -> (usize, usize, usize) {
    COMMUNICATORS.with_borrow_mut(|all| {
        let (rank, size) = (made.rank() as usize, made.size() as usize);
        all.push(made);
        (all.len() - 1, rank, size)
    })
}

/// The processes of this node: (index, rank, size).
pub fn node() -> (usize, usize, usize) {
    if alone() {
        return (0, 0, 1);
    }
    let node = NODE.get().unwrap_or_else(|| {
        let made = with(0, |comm| comm.split_shared(comm.rank()));
        keep(made)
    });
    NODE.set(Some(node));
    node
}

/// Whether all processes of a communicator are on this node. Collective.
pub fn on_one_node(comm: usize) -> bool {
    with(comm, |comm| comm.split_shared(comm.rank()).size() == comm.size())
}

/// A window of shared memory; of one process alone, memory.
#[derive(Debug)]
pub enum Memory {
    Shared(mpi::ffi::MPI_Win),
    Own(#[allow(dead_code)] Vec<u128>),
}

/// Memory of so many bytes, held by the first of these processes for all: where it lies in this one.
pub fn window(comm: usize, bytes: usize) -> (Memory, *mut u8) {
    if alone() {
        let mut memory = vec![0u128; bytes.div_ceil(16)];
        let base = memory.as_mut_ptr().cast();
        return (Memory::Own(memory), base);
    }
    with(comm, |comm| {
        let own = if comm.rank() == 0 { bytes } else { 0 };
        let (mut win, mut size, mut unit) = (std::mem::MaybeUninit::uninit(), 0, 0);
        let mut base: *mut u8 = std::ptr::null_mut();
        // SAFETY: all processes of the communicator are here; what MPI writes to is valid. An error ends the job, as all of MPI's do.
        unsafe {
            mpi::ffi::MPI_Win_allocate_shared(
                own as mpi::ffi::MPI_Aint,
                1,
                mpi::ffi::RSMPI_INFO_NULL,
                comm.as_raw(),
                (&raw mut base).cast(),
                win.as_mut_ptr(),
            );
            let win = win.assume_init();
            mpi::ffi::MPI_Win_fence(0, win);
            mpi::ffi::MPI_Win_shared_query(win, 0, &mut size, &mut unit, (&raw mut base).cast());
            (Memory::Shared(win), base)
        }
    })
}

impl Memory {
    /// Ends an epoch: what one process has written all others see (`MPI_Win_fence`, MPI-4.1 § 12.5.1).
    pub fn fence(&self) {
        if let Self::Shared(win) = self {
            // SAFETY: the window is there until this is dropped.
            unsafe { mpi::ffi::MPI_Win_fence(0, *win) };
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A process that panics ends the others; it must not wait for them.
        let Self::Shared(win) = self else { return };
        if !std::thread::panicking() {
            // SAFETY: made once, freed once, before MPI is finalised.
            unsafe { mpi::ffi::MPI_Win_free(win) };
        }
    }
}

pub fn sum<T: Sendable>(comm: usize, values: &mut [T], same_bits: bool) {
    let mine = values.to_vec();
    with(comm, |comm| {
        if same_bits {
            let root = comm.process_at_rank(0);
            if comm.rank() == 0 {
                root.reduce_into_root(&mine[..], values, SystemOperation::sum());
            } else {
                root.reduce_into(&mine[..], SystemOperation::sum());
            }
            root.broadcast_into(values);
        } else {
            comm.all_reduce_into(&mine[..], values, SystemOperation::sum());
        }
    });
}

/// A sum over all processes that is under way, with the numbers that are sent.
///
/// What it was started with must stay where it is, and untouched, until this is dropped, which waits for it.
pub struct Pending<T> {
    request: mpi::ffi::MPI_Request,
    _sent: Vec<T>,
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        // SAFETY: the request was made by MPI_Iallreduce and is waited for once.
        unsafe { mpi::ffi::MPI_Wait(&mut self.request, mpi::ffi::RSMPI_STATUS_IGNORE) };
    }
}

/// Starts a sum (`MPI_Iallreduce`, MPI-4.1 § 6.12.8).
///
/// # Safety
/// Nobody may read, write or free `values` before what is returned is dropped.
pub unsafe fn start_sum<T: Sendable>(comm: usize, values: &mut [T]) -> Pending<T> {
    let sent = values.to_vec();
    let mut request = std::mem::MaybeUninit::uninit();
    with(comm, |comm| {
        // SAFETY: both buffers hold as many numbers of this type, and outlive the request.
        unsafe {
            mpi::ffi::MPI_Iallreduce(
                sent.as_ptr().cast(),
                values.as_mut_ptr().cast(),
                values.len() as i32,
                T::equivalent_datatype().as_raw(),
                SystemOperation::sum().as_raw(),
                comm.as_raw(),
                request.as_mut_ptr(),
            );
        }
    });
    // SAFETY: MPI has written the request.
    Pending { request: unsafe { request.assume_init() }, _sent: sent }
}

/// Lets MPI go on with what is under way: it does so only inside of its calls.
pub fn progress() {
    if !alone() {
        with(0, |comm| _ = comm.any_process().immediate_probe());
    }
}

pub fn gather<T: Sendable>(comm: usize, local: &[T], all: &mut [T], counts: &[i32]) {
    let starts: Vec<i32> = counts.iter().scan(0, |at, &c| Some(std::mem::replace(at, *at + c))).collect();
    with(comm, |comm| comm.all_gather_varcount_into(local, &mut PartitionMut::new(all, counts, starts)));
}

pub fn broadcast<T: Sendable>(comm: usize, values: &mut [T], root: usize) {
    with(comm, |comm| comm.process_at_rank(root as i32).broadcast_into(values));
}

/// Broadcasts `rows` pieces of `len` numbers that lie `width` apart.
pub fn broadcast_strided<T: Sendable>(comm: usize, values: &mut [T], [rows, len, width]: [usize; 3], root: usize) {
    let pieces = UserDatatype::vector(rows as i32, len as i32, width as i32, &T::equivalent_datatype());
    // SAFETY: the last piece ends within `values`, and no reference to what lies between the pieces is used meanwhile.
    let mut view = unsafe { MutView::with_count_and_datatype(values, 1, &pieces) };
    with(comm, |comm| comm.process_at_rank(root as i32).broadcast_into(&mut view));
}

/// Whether all processes have come here (`MPI_Ibarrier`, MPI-4.1 § 6.12.1) before the time is up. Called at most once: a barrier that is not met stays open.
pub fn meet(limit: Duration) -> bool {
    let begun = Instant::now();
    END.with_borrow(|end| {
        let Some(end) = end else { return true };
        let (mut request, mut met) = (std::mem::MaybeUninit::uninit(), 0);
        // SAFETY: what MPI writes to is valid; the request is made before it is asked for, and of a barrier, which has no buffers.
        unsafe { mpi::ffi::MPI_Ibarrier(end.as_raw(), request.as_mut_ptr()) };
        loop {
            // SAFETY: as above; a request that has completed is null, and is not asked for again.
            unsafe { mpi::ffi::MPI_Test(request.as_mut_ptr(), &mut met, mpi::ffi::RSMPI_STATUS_IGNORE) };
            if met != 0 || begun.elapsed() > limit {
                return met != 0;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

pub fn abort(code: i32) {
    SimpleCommunicator::world().abort(code);
}
