//! `MPI_COMM_WORLD` by rsmpi. Handles are made anew for each call: they may not be kept where several threads can see them.

use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use mpi::Threading;

pub trait Sendable: Equivalence + Default + Copy {}
impl<T: Equivalence + Default + Copy> Sendable for T {}

pub struct Guard(#[allow(dead_code)] mpi::environment::Universe);

pub fn initialize() -> Result<Guard, String> {
    let started = mpi::initialize_with_threading(Threading::Funneled).map(|(universe, _)| Guard(universe));
    started.ok_or_else(|| "MPI could not be initialised".into())
}

pub fn rank_and_size() -> (usize, usize) {
    let world = SimpleCommunicator::world();
    (world.rank() as usize, world.size() as usize)
}

pub fn sum<T: Sendable>(values: &mut [T], same_bits: bool) {
    let world = SimpleCommunicator::world();
    let mine = values.to_vec();
    if same_bits {
        let root = world.process_at_rank(0);
        if world.rank() == 0 {
            root.reduce_into_root(&mine[..], values, SystemOperation::sum());
        } else {
            root.reduce_into(&mine[..], SystemOperation::sum());
        }
        root.broadcast_into(values);
    } else {
        world.all_reduce_into(&mine[..], values, SystemOperation::sum());
    }
}

pub fn gather<T: Sendable>(local: &[T], all: &mut [T], counts: &[i32]) {
    let starts: Vec<i32> = counts.iter().scan(0, |at, &c| Some(std::mem::replace(at, *at + c))).collect();
    SimpleCommunicator::world().all_gather_varcount_into(local, &mut PartitionMut::new(all, counts, starts));
}

pub fn broadcast<T: Sendable>(values: &mut [T], root: usize) {
    SimpleCommunicator::world().process_at_rank(root as i32).broadcast_into(values);
}

pub fn abort(code: i32) {
    SimpleCommunicator::world().abort(code);
}
