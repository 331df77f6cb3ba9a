//! Every attribute that the specification lists for an operator that is read is done or refused by name.
//!
//! The models and their outputs are of tests/reference/make_attributes.py.

use super::{attributes, build};
use crate::comm::Comm;
use crate::engine::Engine;
use crate::network::select::StateChoice;
use kpflow_core::model::Linearization;
use kpflow_core::{BlockMut, Shape};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A case of the file.
struct Case(Value);

impl Case {
    fn text(&self, key: &str) -> String {
        self.0[key].as_str().map_or_else(|| self.0[key].to_string(), String::from)
    }
    fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        let list = self.0[key].as_array()?;
        Some(list.iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect())
    }
    fn model(&self) -> Vec<u8> {
        let hex = self.text("model");
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    }
    fn name(&self) -> String {
        format!(
            "{} with {} = {} (opset {})",
            self.text("operator"),
            self.text("attribute"),
            self.0["value"],
            self.0["opset"]
        )
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/attributes.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| Case(serde_json::from_str(line).unwrap())).collect()
}

/// The state of a model on one trajectory, or why it is not read.
fn run(file: &Path, input: &[f64], shape: &[usize], engine: &Engine) -> Result<Vec<f64>, String> {
    // The axis of length one is the batch's, the first of them.
    let at = shape.iter().position(|&d| d == 1).unwrap();
    let one: Vec<usize> = [&shape[..at], &shape[at + 1..]].concat();
    let mut network = build::<f64>(file, &[None], &[&one], &[]).map_err(|e| e.to_string())?;
    network.watch(&StateChoice::Names(vec!["out".into()]))?;
    let graph = network.graph(network.weights()).map_err(|e| e.to_string())?;
    let graph = graph.view();
    let mut arena = vec![0.0; Linearization::arena_len(&graph, 1)];
    let mut scratch = vec![0.0; Linearization::scratch_len(&graph, 1, 1, engine)];
    let lin = Linearization::new(&graph, &[input], None, 1, 1, &mut arena, &mut scratch, engine);
    let (steps, units) = network.state_shape();
    let mut state = vec![0.0; steps * units];
    lin.map_err(|e| e.to_string())?.state(BlockMut::new(Shape::new(1, steps, units), 1, &mut state).unwrap()).unwrap();
    Ok(state)
}

#[test]
fn every_attribute_is_done_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("case.onnx");
    let engine = Engine::new(Comm::alone(), 1).unwrap();
    let (mut done, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut seen = BTreeSet::new();
    for case in cases() {
        seen.insert((case.text("operator"), case.text("attribute")));
        std::fs::write(&file, case.model()).unwrap();
        let shape: Vec<usize> = case.numbers("shape").unwrap().iter().map(|&d| d as usize).collect();
        match (run(&file, &case.numbers("input").unwrap(), &shape, &engine), case.numbers("output")) {
            (Ok(y), Some(expected)) => {
                let scale = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
                let near = |(y, e): (&f64, &f64)| {
                    (y - e).abs() < 2e-5 * scale || case.text("value") == "10" && (y - e).abs() < 1e-3 * scale
                };
                if y.len() != expected.len() || !y.iter().zip(&expected).all(near) {
                    wrong.push(format!("{}: {y:?} for {expected:?}", case.name()));
                }
                done += 1;
            }
            (Ok(_), None) => wrong.push(format!("{}: read, and nobody knows what is right", case.name())),
            (Err(e), _) => {
                // A refusal says what of the node it is about.
                let words =
                    [case.text("attribute"), case.text("value"), "not in this version".into(), "cannot be read".into()];
                if !words.iter().any(|w| e.contains(w.as_str())) {
                    wrong.push(format!("{}: {e}", case.name()));
                }
                refused += 1;
            }
        }
    }
    for l in attributes::listed() {
        if !seen.contains(&(l.operator.into(), l.name.into())) {
            wrong.push(format!("{} has {} (since opset {}), and no case", l.operator, l.name, l.since));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(done > 150 && refused > 40, "{done} done, {refused} refused");
}
