//! Result files.

use crate::error::raised;
use crate::model::table;
use kpflow_hpc::analysis::outputs_of;
use kpflow_hpc::journal::bytes;
use kpflow_hpc::results::axes::{asked, Axes, Ticks};
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
        "stage_index": r.stage_index, "stage_number": r.stage_number, "warnings": r.warnings, "variables": variables,
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

/// The names of an analysis' axes as its file has them, as JSON: those of each dataset, what each axis is counted by,
/// and numbers beside an axis. `options` are its keys in a job, as JSON; of each dataset there is name and shape.
#[pyfunction]
pub fn axes(
    quantity: &str,
    options: &str,
    shape: [usize; 3],
    variables: Vec<String>,
    datasets: Vec<(String, Vec<usize>)>,
) -> PyResult<String> {
    let (part, onto) = asked(&table(options)?);
    let known = outputs_of(quantity);
    let there = |(name, shape): (String, Vec<usize>)| Some((*known.iter().find(|o| o.name == name)?, shape));
    let there: Vec<_> = datasets.into_iter().filter_map(there).collect();
    let names = Axes { quantity, part: &part, onto: &onto, shape, variables: &variables }.names(&there);
    let called = |&i: &usize| names.scales[i].0.as_str();
    let one = |(name, axes): &(String, Vec<usize>)| (name.clone(), axes.iter().map(called).collect::<Vec<_>>().into());
    let itself = names.scales.iter().filter(|s| s.2 == Ticks::Itself);
    let itself = itself.map(|s| (s.0.clone(), vec![s.0.as_str()].into()));
    let datasets: serde_json::Map<String, Value> = names.datasets.iter().map(one).chain(itself).collect();
    let counted = |(name, _, ticks): &(String, usize, Ticks)| match ticks {
        Ticks::Numbers(numbers) => Some((name.clone(), json!([[name], numbers]))),
        Ticks::Words(words) => Some((name.clone(), json!([[name], words]))),
        Ticks::Itself => None,
    };
    let beside = names.beside.iter().map(|(name, at, numbers)| (name.to_string(), json!([[called(at)], numbers])));
    let coordinates: serde_json::Map<String, Value> = names.scales.iter().filter_map(counted).chain(beside).collect();
    Ok(json!({ "datasets": datasets, "coordinates": coordinates }).to_string())
}
