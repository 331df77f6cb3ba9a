//! Every collective of [`kpflow_hpc::comm`], on any number of ranks: `scripts/mpirun.sh -n 3 target/debug/examples/comm_selftest`.
//!
//! Prints one line from one rank. A rank that finds something wrong panics, which must end all of them.

use kpflow_hpc::comm::{shard, Comm, World};
use kpflow_hpc::error::Error;

/// Numbers whose sum depends on the order of adding.
fn awkward(rank: usize, len: usize) -> Vec<f64> {
    (0..len).map(|i| ((i * 7 + rank * 13 + 1) as f64).sin() * 10f64.powi((i + rank) as i32 % 9)).collect()
}

/// Short, long, and longer than one message: right, and the same bits on every rank where it is promised.
fn sums(comm: Comm) {
    for len in [0, 1, 1000, 1 << 16, (1 << 16) + 1, (1 << 20) + 5] {
        let mut sum = awkward(comm.rank(), len);
        comm.sum(&mut sum);
        let expected =
            (0..comm.size()).map(|r| awkward(r, len)).reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect());
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6;
        assert!(sum.iter().zip(&expected.unwrap()).all(near), "a sum of {len} numbers");
        if len <= 1 << 16 {
            let mut root: Vec<u8> = sum.iter().flat_map(|x| x.to_bits().to_le_bytes()).collect();
            let mine = root.clone();
            comm.broadcast(&mut root, 0);
            assert_eq!(mine, root, "every rank has the root's bits");
        }
    }
    let mut single = [1.5f32; 3];
    comm.sum(&mut single);
    let mut count = [u64::from(u32::MAX)];
    comm.sum(&mut count);
    assert_eq!((single[2], count[0]), (1.5 * comm.size() as f32, comm.size() as u64 * u64::from(u32::MAX)));
}

/// Uneven and empty parts.
fn gathers(comm: Comm) {
    for total in [0, 1, 2, 7, 100_003] {
        let part: Vec<f64> = shard(total, comm.size(), comm.rank()).map(|i| i as f64).collect();
        let mut all = vec![f64::NAN; total];
        comm.gather(&part, &mut all);
        assert!(all.iter().enumerate().all(|(i, &x)| x == i as f64), "{total} numbers gathered");
    }
}

/// The error of the lowest rank that failed reaches all.
fn agreement(comm: Comm) {
    assert_eq!(comm.agree(Ok(comm.rank())), Ok(comm.rank()));
    for first in 0..comm.size() {
        let mine =
            if comm.rank() < first { Ok(()) } else { Err(Error::input("a file", format!("rank {}", comm.rank()))) };
        assert_eq!(comm.agree(mine), Err(Error::input("a file", format!("rank {first}"))));
    }
    for root in 0..comm.size() {
        let mut bytes = if comm.rank() == root { vec![root as u8; root + 1] } else { vec![9; 100] };
        comm.broadcast(&mut bytes, root);
        assert_eq!(bytes, vec![root as u8; root + 1]);
    }
}

fn main() {
    let world = World::new().expect("MPI");
    let comm = world.comm();
    comm.abort_on_panic();
    sums(comm);
    gathers(comm);
    agreement(comm);
    if std::env::args().any(|a| a == "--panic") && comm.rank() + 1 == comm.size() {
        panic!("asked for");
    }
    assert!(!std::env::args().any(|a| a == "--panic-all"), "asked for");
    let ranks = comm.sum_one(1.0);
    if comm.is_root() {
        println!("all collectives agree on {ranks} ranks");
    }
}
