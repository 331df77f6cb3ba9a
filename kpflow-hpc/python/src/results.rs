//! Result files.

use crate::error::raised;
use kpflow_hpc::journal::bytes;
use kpflow_hpc::results::read::{Array, Results};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::{json, Value};
use std::path::PathBuf;

/// An array: its name, its shape, its numbers as bytes of float64.
type Named<'py> = (String, Vec<usize>, Bound<'py, PyBytes>);
/// An analysis: its fields as JSON, and its arrays but those of the state's size, which the fields name.
type Analysis<'py> = (String, Vec<Named<'py>>);

fn named<'py>(py: Python<'py>, name: &str, array: &Array) -> Named<'py> {
    (name.into(), array.shape.clone(), PyBytes::new(py, bytes(&array.data)))
}

/// Reads a result file: what it says of the run as JSON, and its analyses.
#[pyfunction]
pub fn results(py: Python<'_>, path: PathBuf) -> PyResult<(String, Vec<Analysis<'_>>)> {
    let results = py.detach(|| Results::open(&path)).map_err(|e| raised(&e))?;
    let r = &results;
    let variables: Vec<Value> = r.variables.iter().map(|v| json!([v.name, v.layout])).collect();
    let about = json!({
        "job": r.job, "model": r.model, "parameters": r.parameters, "shape": r.shape, "seed": r.seed,
        "precision": r.precision, "kpflow_version": r.kpflow_version, "ranks": r.ranks, "threads": r.threads,
        "started": r.started, "wall_seconds": r.wall_seconds, "complete": r.complete, "stage": r.stage,
        "stage_index": r.stage_index, "warnings": r.warnings, "variables": variables,
    });
    let one = |a: &kpflow_hpc::results::read::Analysis| {
        let tensors: Vec<Value> = a.tensors.iter().map(|(name, shape)| json!([name, shape])).collect();
        let fields = json!({
            "name": a.name, "operator": a.operator, "quantity": a.quantity, "method": a.method, "status": a.status,
            "converged": a.converged, "matvecs": a.matvecs, "seconds": a.seconds, "with_stage": a.with_stage,
            "tensors": tensors, "options": a.options,
        });
        let mut arrays: Vec<Named<'_>> = a.arrays().map(|(name, array)| named(py, name, array)).collect();
        if !a.history.is_empty() {
            arrays.push((
                "history".into(),
                vec![a.history.len(), 3],
                PyBytes::new(py, bytes(a.history.as_flattened())),
            ));
        }
        (fields.to_string(), arrays)
    };
    Ok((about.to_string(), r.analyses.iter().map(one).collect()))
}

/// Reads one of the arrays of the state's size.
#[pyfunction]
pub fn results_array<'py>(py: Python<'py>, path: PathBuf, analysis: &str, name: &str) -> PyResult<Named<'py>> {
    let read = || Results::open(&path)?.tensor(analysis, name);
    let array = py.detach(read).map_err(|e| raised(&e))?;
    Ok(named(py, name, &array))
}
