//! Errors of the library as Python's, with its own line.

use kpflow_hpc::error::{Error, Kind};
use kpflow_hpc::held;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::PyErr;

/// What the job of a model in memory is called, which nobody has written.
pub const JOB: &str = "job";

/// What the user brought is wrong, or the work failed.
pub fn raised(e: &Error) -> PyErr {
    match e.kind {
        Kind::Input => PyValueError::new_err(said(e)),
        Kind::Run | Kind::Halted(_) => PyRuntimeError::new_err(said(e)),
    }
}

/// The line of an error: what is in memory alone goes by its name, and an analysis that is one call has none.
fn said(e: &Error) -> String {
    let Some(name) = e.file.as_deref().and_then(held::name_of) else { return e.to_string() };
    let line = e.one_line();
    let behind = line.strip_prefix("in [[analysis]] ").and_then(|rest| rest.split_once(": "));
    let line = behind.map_or(line.as_str(), |(_, rest)| rest);
    match name == JOB || line.starts_with(&format!("{name} ")) {
        true => line.into(),
        false => format!("{name}: {line}"),
    }
}
