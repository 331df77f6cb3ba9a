//! What a shell is given: completions and pages for `man`, made from the description of the command line.

use crate::cli;
use crate::comm::Comm;
use crate::error::{Error, Result};
use crate::replace::{begins_with, replaceable, Own};
use clap_complete::Shell;
use std::io::Write;
use std::path::Path;

/// Prints the completions for a shell.
pub fn completions(shell: Shell, comm: Comm) -> Result<()> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut cli::description(), "kpflow", &mut out);
    comm.agree(if comm.is_root() { print(&out) } else { Ok(()) })
}

/// Prints the page of the program, or writes one for it and each of its commands into a directory.
pub fn man(directory: Option<&Path>, comm: Comm) -> Result<()> {
    let work = || match directory {
        _ if !comm.is_root() => Ok(()),
        None => print(&page(cli::description())?),
        Some(directory) if !directory.is_dir() => Err(Error::input(directory, "is no directory; make it first")),
        Some(directory) => pages(directory).and_then(|()| {
            clap_mangen::generate_to(cli::description(), directory)
                .map_err(|e| Error::input(directory, format!("cannot be written: {e}")))
        }),
    };
    comm.agree(work())
}

/// A page of the manual that it wrote.
const PAGE: Own = Own {
    what: "a page of kpflow's manual",
    instead: "choose another directory",
    is: |path| Ok(begins_with(path, b".TH kpflow")),
    links: false,
};

/// Fails if one of the pages would replace something else.
fn pages(directory: &Path) -> Result<()> {
    let commands = cli::description();
    let names: Vec<String> = commands.get_subcommands().map(|c| format!("kpflow-{}.1", c.get_name())).collect();
    names.into_iter().chain(["kpflow.1".into()]).try_for_each(|name| replaceable(&directory.join(name), &PAGE))
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    clap_mangen::Man::new(command).render(&mut out).map_err(Error::run)?;
    Ok(out)
}

/// Writes to standard output; a reader that has seen enough is no error.
fn print(bytes: &[u8]) -> Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::run(e)),
        _ => Ok(()),
    }
}
