//! A checkpoint: tensors, and which model they may be.

use super::guess::{guess, Guess};
use super::trial;
use super::{some, table, thousands, Told};
use crate::error::Result;
use crate::load::Checkpoint;
use serde_json::json;
use std::path::Path;

pub(super) fn checkpoint(path: &Path) -> Result<Told> {
    let checkpoint = Checkpoint::open(path, "")?;
    let named = |n: &String| (n.clone(), checkpoint.shape(n).unwrap_or_default());
    let tensors: Vec<(String, Vec<usize>)> = checkpoint.names().iter().map(named).collect();
    let dtype = |n: &str| checkpoint.dtype(n).map_or(String::new(), |d| format!("{d:?}"));
    let size = |s: &[usize]| s.iter().product::<usize>();
    let numbers: usize = tensors.iter().map(|t| size(&t.1)).sum();
    let views: Vec<(&str, &[usize])> = tensors.iter().map(|(n, s)| (n.as_str(), s.as_slice())).collect();
    let (guesses, readouts) = guess(&views);
    // What leaves a tensor unread is no recommendation, however alike it looks.
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for g in guesses {
        let mut kinds = Vec::new();
        for kind in g.kinds.iter().copied() {
            match trial::parameters(&checkpoint, kind, &g) {
                Ok(parameters) => kinds.push((kind, parameters)),
                Err(why) => refused.push((kind, why)),
            }
        }
        if let Some(&(_, parameters)) = kinds.first() {
            let size = |n: &String| checkpoint.shape(n).map_or(0, |s| s.iter().product());
            let parameters = parameters.unwrap_or_else(|| g.tensors.iter().map(size).sum());
            found.push((Guess { kinds: kinds.into_iter().map(|(kind, _)| kind).collect(), ..g }, parameters));
        }
    }
    let mut text = format!("{}: {}, {}\n", path.display(), some(tensors.len(), "tensor"), some(numbers, "number"));
    text += &table(&tensors.iter().map(|(n, s)| vec![n.clone(), dtype(n), format!("{s:?}")]).collect::<Vec<_>>());
    for (g, parameters) in &found {
        let prefix = if g.prefix.is_empty() { String::new() } else { format!(", prefix = \"{}\"", g.prefix) };
        let also: String = g.also.iter().map(|a| format!(", {a}")).collect();
        let kinds = g.kinds.iter().map(|k| format!("kind = \"{k}\"")).collect::<Vec<_>>().join(" or ");
        text += &format!("{}, {}: {kinds}{prefix}{also}; {} parameters\n", g.kinds[0], g.what, thousands(*parameters));
    }
    match found.first().map(|f| &f.0) {
        Some(g) if g.kinds.contains(&"leaky_rnn") => text += "leaky_rnn needs dt too\n",
        Some(g) if g.kinds.contains(&"neural_ode") => text += "neural_ode needs dt too, and activation where it is not tanh\n",
        None if !refused.is_empty() => {}
        None => text += "no kind of model is known by these names; kpflow-hpc/MODELS.md has the names of each, and any graph can be exported to ONNX\n",
        _ => {}
    }
    for (kind, why) in &refused {
        text += &format!("not {kind}: {why}\n");
    }
    if !readouts.is_empty() {
        text += &format!(
            "beside it: readout = \"{}\" watches what that layer makes of the state\n",
            readouts.join("\" or \"")
        );
    }
    let guesses = found.iter().map(|(g, parameters)| {
        json!({ "kinds": g.kinds, "prefix": g.prefix, "what": g.what, "parameters": parameters, "also": g.also })
    });
    let json = json!({
        "file": path.display().to_string(), "format": checkpoint.format(), "numbers": numbers,
        "tensors": tensors.iter().map(|(n, s)| json!({ "name": n, "dtype": dtype(n), "shape": s })).collect::<Vec<_>>(),
        "guesses": guesses.collect::<Vec<_>>(), "readouts": readouts,
        "not": refused.iter().map(|(kind, why)| json!({ "kind": kind, "why": why })).collect::<Vec<_>>(),
    });
    Ok(Told { text, json })
}
