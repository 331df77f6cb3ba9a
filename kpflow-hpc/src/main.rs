//! `kpflow`: what can gradient descent learn in this model, and in which order?

use kpflow_hpc::comm::{launcher, World};
use kpflow_hpc::{blas, cli, command, events};
use std::process::ExitCode;
use std::time::Duration;

/// How much later than the root the other ranks leave after an error.
const LATER: Duration = Duration::from_millis(100);

/// Blocks begin at a line of the cache: products are faster so.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

fn main() -> ExitCode {
    blas::choose_kernels();
    if cli::asks_for_json() {
        events::as_json();
    }
    let world = match World::new() {
        Ok(world) => world,
        Err(e) => {
            // There is no communicator to ask which of several processes this is.
            if launcher::rank() == 0 {
                events::error(&e);
            }
            return ExitCode::from(e.exit_code());
        }
    };
    let comm = world.comm();
    comm.abort_on_panic();
    let Err(e) = command::main(comm) else { return ExitCode::SUCCESS };
    comm.fail_together(&e);
    drop(world);
    // All ranks have the same error; one says it and leaves first. Open MPI's mpirun then ends the others while they are there to be ended;
    // for those that leave of themselves at that very moment it may wait one to two seconds more (4.1: before, about every second run; so,
    // one run in twenty).
    if comm.is_root() {
        events::error(&e);
    } else {
        std::thread::sleep(LATER);
    }
    ExitCode::from(e.exit_code())
}
