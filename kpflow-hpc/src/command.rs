//! From a command line to what it asks for.

use crate::cli::{self, Command};
use crate::comm::{launcher, Comm, World};
use crate::error::Result;
use crate::{check, compare, demo, events, info, plan, report, run, shell, train};
use std::ffi::OsString;
use std::time::Duration;

/// How much later than the root the other ranks leave after an error.
const LATER: Duration = Duration::from_millis(100);

/// The whole of the program: does what a command line says, the program's name first, and gives the status that the
/// process ends with. Collective.
pub fn program(words: &[OsString]) -> u8 {
    if cli::asks_for_json(words) {
        events::as_json();
    }
    let world = match World::new() {
        Ok(world) => world,
        Err(e) => {
            // There is no communicator to ask which of several processes this is.
            if launcher::rank() == 0 {
                events::error(&e);
            }
            return e.exit_code();
        }
    };
    let comm = world.comm();
    comm.abort_on_panic();
    let Err(e) = main(words, comm) else { return 0 };
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
    e.exit_code()
}

/// Does what a command line says. Collective.
fn main(words: &[OsString], comm: Comm) -> Result<()> {
    cli::parse(words, comm.is_root())?.map_or(Ok(()), |command| perform(command, comm))
}

/// Does what a command says. Collective.
pub fn perform(command: Command, comm: Comm) -> Result<()> {
    match command {
        Command::Run(options) => run::run(&options, comm),
        Command::Plan(options) => plan::plan(&options, comm),
        Command::Report(options) => report::report(&options, comm),
        Command::Compare(options) => compare::compare(&options, comm),
        Command::Train(options) => train::train(&options, comm),
        Command::Demo(options) => demo::demo(&options, comm),
        Command::Check { job, threads } => check::check(&job, threads, comm),
        Command::Info { file, json } => info::info(&file, json, comm),
        Command::Completions { shell } => shell::completions(shell, comm),
        Command::Man { directory } => shell::man(directory.as_deref(), comm),
    }
}
