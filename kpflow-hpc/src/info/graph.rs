//! An ONNX graph: inputs, operators, and whether all of it can be read.

use super::{some, table, thousands, Told};
use crate::error::{Error, Result};
use crate::network::select::StateChoice;
use crate::onnx;
use serde_json::json;
use std::path::Path;

/// The length of an axis that the graph leaves open, where it is tried out.
const OPEN: usize = 3;

pub(super) fn graph(path: &Path) -> Result<Told> {
    let summary = onnx::summary(path)?;
    let shape = |s: &[Option<usize>]| {
        let words: Vec<String> = s.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
        format!("[{}]", words.join(", "))
    };
    // As the first axis is the trajectory's, the rest is what one reads.
    let one: Vec<Vec<usize>> =
        summary.inputs.iter().map(|(_, s)| s.iter().skip(1).map(|d| d.unwrap_or(OPEN)).collect()).collect();
    let names: Vec<Option<String>> = summary.inputs.iter().map(|(n, _)| Some(n.clone())).collect();
    let shapes: Vec<&[usize]> = one.iter().map(Vec::as_slice).collect();
    let network = onnx::build::<f32>(path, &names, &shapes, &[]).and_then(|mut network| {
        let watched = network.watch(&StateChoice::Default);
        watched.map(|()| network).map_err(|e| Error::input(path, e))
    });
    let open = summary.inputs.iter().any(|(_, s)| s.iter().skip(1).any(Option::is_none));
    let mut text = format!(
        "{}: ONNX, opset {}, {}, {}\n",
        path.display(),
        summary.opset,
        some(summary.operators.values().sum(), "node"),
        some(summary.operators.len(), "operator")
    );
    let rows = summary.inputs.iter().map(|(n, s)| vec!["input".into(), n.clone(), shape(s)]);
    text += &table(&rows.chain(summary.outputs.iter().map(|n| vec!["output".into(), n.clone()])).collect::<Vec<_>>());
    let operators: Vec<String> = summary.operators.iter().map(|(n, c)| format!("{n} × {c}")).collect();
    text += &format!("operators: {}\n", operators.join(", "));
    let indirect = network.as_ref().ok().and_then(|n| n.indirect());
    let (parameters, why) = match &network {
        Ok(n) => (Some(n.parameters()), None),
        Err(e) => (None, Some(e.one_line())),
    };
    match (&network, &why) {
        (Ok(n), _) => {
            let (steps, units) = n.state_shape();
            let of = crate::network::names_of(&n.watched());
            let handed = n.turns().map_or(String::new(), |t| format!(", which the {t} turns of a loop hand on"));
            let tried = if open { format!(" (open axes tried as {OPEN})") } else { String::new() };
            text += &format!(
                "supported: kind = \"onnx\"; {} parameters, state of a trajectory [T, N] = [{steps}, {units}]{of}{handed}{tried}\n",
                thousands(n.parameters())
            );
            for warning in n.warnings().iter().chain(&indirect) {
                text += &format!("warning: {warning}\n");
            }
        }
        (Err(_), why) if open => {
            text += &format!("not read with open axes of {OPEN}: {}\n", why.as_deref().unwrap_or_default())
        }
        (Err(_), why) => text += &format!("not supported: {}\n", why.as_deref().unwrap_or_default()),
    }
    let inputs = summary.inputs.iter().map(|(n, s)| json!({ "name": n, "shape": s })).collect::<Vec<_>>();
    let json = json!({
        "file": path.display().to_string(), "format": "onnx", "opset": summary.opset, "inputs": inputs,
        "outputs": summary.outputs, "operators": summary.operators, "parameters": parameters,
        "supported": network.is_ok(), "why_not": why,
        "warnings": network.iter().flat_map(|n| n.warnings()).chain(&indirect).collect::<Vec<_>>(),
    });
    Ok(Told { text, json })
}
