//! `kpflow`: what can gradient descent learn in this model, and in which order?

use kpflow_hpc::cli::{self, Command};
use kpflow_hpc::comm::{Comm, World};
use kpflow_hpc::error::Result;
use kpflow_hpc::events;
use std::process::ExitCode;
use std::time::Duration;

/// How much later than the root the other ranks leave after an error.
const LATER: Duration = Duration::from_millis(100);

fn work(comm: Comm) -> Result<()> {
    match cli::parse(comm.is_root())? {
        None => Ok(()),
        Some(Command::Run(options)) => kpflow_hpc::run::run(&options, comm),
        Some(Command::Plan(options)) => kpflow_hpc::plan::plan(&options, comm),
        Some(Command::Report(options)) => kpflow_hpc::report::report(&options, comm),
        Some(Command::Compare(options)) => kpflow_hpc::compare::compare(&options, comm),
        Some(Command::Train(options)) => kpflow_hpc::train::train(&options, comm),
        Some(Command::Demo(options)) => kpflow_hpc::demo::demo(&options, comm),
        Some(Command::Check { job, threads }) => kpflow_hpc::check::check(&job, threads, comm),
        Some(Command::Info { file, json }) => kpflow_hpc::info::info(&file, json, comm),
        Some(Command::Completions { shell }) => kpflow_hpc::shell::completions(shell, comm),
        Some(Command::Man { directory }) => kpflow_hpc::shell::man(directory.as_deref(), comm),
    }
}

fn main() -> ExitCode {
    if cli::asks_for_json() {
        events::as_json();
    }
    let world = match World::new() {
        Ok(world) => world,
        Err(e) => {
            // There is no communicator to ask which of several processes this is.
            let rank = std::env::var("OMPI_COMM_WORLD_RANK").or(std::env::var("PMI_RANK")).unwrap_or_default();
            if rank.is_empty() || rank == "0" {
                events::error(&e);
            }
            return ExitCode::from(e.exit_code());
        }
    };
    let comm = world.comm();
    comm.abort_on_panic();
    let Err(e) = work(comm) else { return ExitCode::SUCCESS };
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
