//! What the program that started this process says of it.

/// Beginnings of the names that launchers set for every process they start: Open MPI and PRRTE, whatever speaks PMI (MPICH, Intel MPI, Cray), Slurm, Flux, jsrun,
/// MVAPICH.
#[cfg(feature = "mpi")]
const NAMES: [&str; 10] = [
    "OMPI_COMM_WORLD_",
    "PMIX_",
    "PMI_",
    "PMI2_",
    "SLURM_STEP_ID",
    "PALS_",
    "ALPS_",
    "FLUX_",
    "JSM_",
    "MV2_COMM_WORLD_",
];

/// How many processes were started, and which one this is.
const COUNTS: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("PALS_SIZE", "PALS_RANKID"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
];

/// Whether a launcher started this process.
#[cfg(feature = "mpi")]
pub fn is_there() -> bool {
    std::env::vars_os().any(|(name, _)| NAMES.iter().any(|n| name.to_string_lossy().starts_with(n)))
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Fails where the launcher started several processes of which each is alone: all would do the whole job, and write the same file.
pub fn require_connected(why: &str) -> Result<(), String> {
    match COUNTS.iter().find_map(|(name, _)| Some((name, number(name)?))) {
        Some((name, ranks)) if ranks > 1 => {
            Err(format!("the launcher started {ranks} processes ({name}), and each of them is alone: {why}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Which of the processes this is, as the launcher says.
pub fn rank() -> usize {
    COUNTS.iter().find_map(|(_, name)| number(name)).unwrap_or(0)
}
