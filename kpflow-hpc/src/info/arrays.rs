//! Files of inputs: arrays, and what each could be.

use super::{some, table, Told};
use crate::error::Result;
use crate::hdf5_file;
use crate::job::Source;
use crate::load::{element, npy_header, Array};
use hdf5::LocationType;
use serde_json::json;
use std::path::Path;

/// Datasets of one file that are told, and groups that are looked into, at most.
const MOST: usize = 10_000;

/// What an array could be in `[data]`.
fn role(shape: &[usize], whole: bool) -> &'static str {
    match shape.len() {
        _ if shape.contains(&0) => "holds no numbers",
        2 if whole => "inputs [B, T], tokens of gpt2 and bert; mask [B, T]",
        2 => "inputs [B, n_in] of an mlp; initial_state [B, N]",
        3 => "inputs [B, T, n_in]; error signal [B, T, N]",
        4 => "inputs [B, C, H, W] of conv or onnx",
        0 => "a number",
        1 | 5 => "inputs of onnx, the first axis the trajectory",
        _ => "too many axes for inputs",
    }
}

pub(super) fn npy(path: &Path) -> Result<Told> {
    let array = Array::open(&Source { path: path.into(), dataset: None })?;
    let (shape, kind) = (array.shape(), npy_type(path));
    let role = role(shape, !kind.contains('f'));
    let text = format!("{}: NumPy array of {kind}, {shape:?}\n{role}\n", path.display());
    let json =
        json!({ "file": path.display().to_string(), "format": "npy", "dtype": kind, "shape": shape, "role": role });
    Ok(Told { text, json })
}

/// The type as NumPy writes it, such as `<f8`; the array was opened before.
fn npy_type(path: &Path) -> String {
    npy_header(path).map_or(String::new(), |(h, ..)| h.dtype().descr().trim_matches('\'').to_string())
}

pub(super) fn hdf5(path: &Path) -> Result<Told> {
    let file = hdf5_file::open(path, "h5py or kpflow run write one")?;
    let mut sets = collect(&file);
    sets.sort_by(|a, b| a.0.cmp(&b.0));
    let rows: Vec<Vec<String>> =
        sets.iter().map(|(n, k, s, r)| vec![n.clone(), k.clone(), format!("{s:?}"), r.to_string()]).collect();
    let text = format!("{}: HDF5, {}\n{}", path.display(), some(sets.len(), "dataset"), table(&rows));
    // By its name, or else the first that could be.
    let could = || sets.iter().filter(|s| s.3.starts_with("inputs"));
    let hint = could().find(|s| s.0.ends_with("inputs")).or_else(|| could().next());
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let text = match hint {
        Some((set, ..)) => format!("{text}for example: inputs = \"{name}:{set}\"\n"),
        None => format!("{text}none of them can be inputs\n"),
    };
    let json = json!({
        "file": path.display().to_string(), "format": "hdf5",
        "datasets": sets.iter().map(|(n, k, s, r)| json!({ "name": n, "dtype": k, "shape": s, "role": r })).collect::<Vec<_>>(),
    });
    Ok(Told { text, json })
}

type Set = (String, String, Vec<usize>, &'static str);

/// All datasets of a file. A group may have several links to it, also from within: it is visited once.
fn collect(file: &hdf5::File) -> Vec<Set> {
    let (mut sets, mut visited) = (Vec::new(), Vec::new());
    let mut left: Vec<(String, hdf5::Group)> = file.group("/").into_iter().map(|g| (String::new(), g)).collect();
    while let (Some((path, group)), true) = (left.pop(), visited.len().max(sets.len()) <= MOST) {
        let Ok(place) = group.loc_info().map(|i| (i.fileno, i.token)) else { continue };
        if visited.contains(&place) {
            continue;
        }
        visited.push(place);
        for name in hdf5_file::members(&group, LocationType::Dataset) {
            let Ok(set) = group.dataset(&name) else { continue };
            let found = set.dtype().map_err(|_| "an unknown type".to_string()).and_then(|t| element(&t));
            let role = found.as_ref().map_or("no numbers", |e| role(&set.shape(), e.whole));
            // What would be right is for those who give it as inputs.
            let word = found
                .map_or_else(|what| what.split(['(', ';', ',']).next().unwrap_or_default().trim().into(), |e| e.name);
            sets.push((format!("{path}/{name}"), word, set.shape(), role));
        }
        let groups = hdf5_file::members(&group, LocationType::Group).into_iter();
        left.extend(groups.filter_map(|n| Some((format!("{path}/{n}"), group.group(&n).ok()?))));
    }
    sets
}
