//! From a command line to what it asks for.

use crate::cli::{self, Command};
use crate::comm::Comm;
use crate::error::Result;
use crate::{check, compare, demo, info, plan, report, run, shell, train};

/// Does what this process's command line says. Collective.
pub fn main(comm: Comm) -> Result<()> {
    cli::parse(comm.is_root())?.map_or(Ok(()), |command| perform(command, comm))
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
