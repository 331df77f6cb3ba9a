//! What the Python package `kpflow` is made of: models on threads of their own, result files, the program.
//!
//! It holds no mathematics, and nothing of it is for users: `kpflow/*.py` makes of it what they see.

mod block;
mod error;
mod held;
mod model;
mod page;
mod progress;
mod results;

use pyo3::prelude::*;
use std::ffi::OsString;
use std::io::Write;

/// Blocks begin at a line of the cache: products are faster so. It is the memory of this library alone, not of
/// the process.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

/// What is known of operators and quantities, as JSON.
#[pyfunction]
fn quantities() -> String {
    kpflow_hpc::analysis::json::all().to_string()
}

/// What would be right in the place of a word that is none of these.
#[pyfunction]
fn would_be_right(word: &str, words: Vec<String>) -> String {
    kpflow_hpc::spelling::would_be_right(word, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Does what a command line says, the program's name first; gives the status that the process should end with.
#[pyfunction]
fn program(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| {
        let status = kpflow_hpc::command::program(&words);
        // Rust's own end of a program, which this is not, would see to it; a closed pipe is no error any more.
        let _ = std::io::stdout().flush();
        status
    })
}

#[pymodule]
mod _kpflow {
    #[pymodule_export]
    use super::model::Model;
    #[pymodule_export]
    use super::page::{html, results_html};
    #[pymodule_export]
    use super::results::{axes, results, results_array};
    #[pymodule_export]
    use super::{program, quantities, would_be_right};
}
