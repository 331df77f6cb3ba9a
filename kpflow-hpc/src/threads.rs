//! How many threads a rank has.

use crate::error::{Error, Result};

/// Threads for this rank: what was asked for, or its share of the cores that it may run on.
pub fn threads(asked: Option<usize>) -> Result<usize> {
    if asked == Some(0) {
        return Err(Error::usage("--threads 0 leaves nobody to work; it is at least 1"));
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<usize>().ok());
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    // Open MPI and Slurm say how many ranks share this node; where they bind ranks to cores, fewer are available already.
    let ranks = number("OMPI_COMM_WORLD_LOCAL_SIZE").or(number("SLURM_NTASKS_PER_NODE")).unwrap_or(1).max(1);
    let online = std::fs::read_to_string("/proc/cpuinfo").map_or(cores, |t| t.matches("processor\t").count());
    let share = if cores < online { cores } else { (cores / ranks).max(1) };
    Ok(asked.or(number("SLURM_CPUS_PER_TASK")).unwrap_or(share).max(1))
}
