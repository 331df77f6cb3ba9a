//! `kpflow`: what can gradient descent learn in this model, and in which order?

use kpflow_hpc::{blas, command};
use std::process::ExitCode;

/// Blocks begin at a line of the cache: products are faster so.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

fn main() -> ExitCode {
    blas::choose_kernels();
    ExitCode::from(command::program(&std::env::args_os().collect::<Vec<_>>()))
}
