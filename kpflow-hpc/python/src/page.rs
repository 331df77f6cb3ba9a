//! What was found as a part of a page.

use crate::error::raised;
use crate::model::table;
use kpflow_hpc::analysis::tensors;
use kpflow_hpc::error::Result;
use kpflow_hpc::report::part;
use kpflow_hpc::results::read::{Analysis, Array, Results, Variable};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;

/// An array: its name, its shape, its numbers as bytes of float64.
type Named<'py> = (String, Vec<usize>, Bound<'py, PyBytes>);

/// What Python holds of an analysis beside its arrays.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Fields {
    name: String,
    operator: String,
    quantity: String,
    method: String,
    converged: bool,
    matvecs: usize,
    seconds: f64,
    status: String,
    /// The keys that were asked with, as JSON.
    options: String,
    /// [B, T, N].
    shape: [usize; 3],
    /// The variables of the state: name, and offset, stride, positions, width.
    variables: Vec<(String, [usize; 4])>,
    /// Arrays of the state's size, which are not handed over.
    tensors: Vec<(String, Vec<usize>)>,
}

/// An analysis, of which Python holds fields and arrays, as HTML: its numbers and its figures.
#[pyfunction]
pub fn html(py: Python<'_>, fields: Fields, arrays: Vec<Named<'_>>) -> PyResult<String> {
    let options = table(&fields.options)?;
    let number = |bytes: &[u8]| f64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let numbers = |bytes: &[u8]| bytes.chunks_exact(8).map(number).collect();
    let array = |(name, shape, bytes): Named<'_>| (name, Array { shape, data: numbers(bytes.as_bytes()) });
    let arrays = arrays.into_iter().map(array).collect();
    py.detach(|| results_of(fields, options, arrays).map(part)).map_err(|e| raised(&e))
}

/// A result file as HTML.
#[pyfunction]
pub fn results_html(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    py.detach(|| Results::open(&path).map(part)).map_err(|e| raised(&e))
}

/// As a file that has this one analysis.
fn results_of(fields: Fields, options: toml::Table, arrays: Vec<(String, Array)>) -> Result<Results> {
    let Fields { name, operator, quantity, method, converged, matvecs, seconds, status, .. } = fields;
    let known = tensors();
    let tensor = |(name, shape): (String, Vec<usize>)| Some((known.iter().find(|o| o.name == name)?.name, shape));
    let mut a = Analysis::default();
    (a.name, a.operator, a.quantity, a.options) = (name, operator, quantity, options);
    (a.method, a.converged, a.matvecs, a.seconds, a.status) = (method, converged, matvecs, seconds, status);
    a.tensors = fields.tensors.into_iter().filter_map(tensor).collect();
    let variables = fields.variables.into_iter().map(|(name, layout)| Variable { name, layout });
    Ok(Results {
        shape: fields.shape,
        variables: variables.collect(),
        analyses: vec![a.given(arrays)?],
        ..Results::default()
    })
}
