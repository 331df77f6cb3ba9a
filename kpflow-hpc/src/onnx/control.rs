//! `If`, `Loop` and `Scan`: unrolled, where what they depend on is known.

use super::element::Element;
use super::reader::{Op, Reader};
use super::value::{self, Value};
use super::{run, Context, Node, Scope};
use kpflow_core::Scalar;
use rten_onnx::onnx::GraphProto;

/// The most turns that are unrolled.
const TURNS: usize = 4096;

/// Runs a graph inside the graph with these inputs; its outputs.
fn body<T: Scalar>(
    reader: &mut Reader<T>,
    context: &Context<'_>,
    n: &Node<'_>,
    graph: &GraphProto,
    inputs: &[Value],
) -> Op<Vec<Value>> {
    let mut scope: Scope = n.scope.clone();
    for t in &graph.initializer {
        let array = super::file::tensor(context.path, t).map_err(|e| e.message)?;
        scope.insert(t.name.clone().unwrap_or_default(), Value::Known(array));
    }
    if graph.input.len() != inputs.len() {
        return Err(format!("gives {} inputs to a graph that has {}", inputs.len(), graph.input.len()));
    }
    for (input, value) in graph.input.iter().zip(inputs) {
        scope.insert(input.name.clone().unwrap_or_default(), value.clone());
    }
    reader.depth += 1;
    let read = run(reader, context, &graph.node, &mut scope).map_err(|e| format!("has inside: {}", e.message));
    reader.depth -= 1;
    read?;
    let output = |o: &rten_onnx::onnx::ValueInfoProto| {
        let name = o.name.clone().unwrap_or_default();
        scope.get(&name).cloned().ok_or_else(|| format!("has inside an output {name} that nothing makes"))
    };
    graph.output.iter().map(output).collect()
}

fn graph<'a>(n: &Node<'a>, name: &str) -> Op<&'a GraphProto> {
    n.attribute(name).and_then(|a| a.g.as_ref()).ok_or_else(|| format!("has no graph {name}"))
}

fn known(value: &Value) -> Option<f64> {
    let Value::Known(a) = value else { return None };
    a.data.first().copied()
}

/// Joins what every turn gave, along a new axis.
fn stacked<T: Scalar>(reader: &mut Reader<T>, turns: &[Value]) -> Op<Value> {
    let parts: Vec<Value> = turns.iter().map(|v| v.clone().reshaped([&[1], v.shape()].concat())).collect();
    let shapes: Vec<&[usize]> = parts.iter().map(Value::shape).collect();
    let moves = value::concat(&shapes, 0).ok_or("gives something of another shape at every turn, or makes none")?;
    reader.moved(&parts, moves)
}

pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, n: &Node<'_>) -> Op<Vec<Value>> {
    match n.kind() {
        "If" => {
            let choice = known(n.input(0)?).ok_or("chooses by data; only a fixed choice is in this version")?;
            n.without_effect(&["then_branch", "else_branch"]);
            let branch = graph(n, if choice != 0.0 { "then_branch" } else { "else_branch" })?;
            body(reader, context, n, branch, &[])
        }
        "Loop" => unroll_loop(reader, context, n),
        _ => unroll_scan(reader, context, n),
    }
}

/// What a turn hands on, outputs of its graph from `first` on: copies of what it reads itself, so that P is how a whole turn moves the next.
fn handed_on<T: Scalar>(
    reader: &mut Reader<T>,
    inside: &GraphProto,
    first: usize,
    outputs: impl Iterator<Item = Value>,
) -> Op<Vec<Value>> {
    let handed = outputs.zip(&inside.output[first.min(inside.output.len())..]).map(|(value, output)| {
        let is_it = |name: &String| Some(name) == output.name.as_ref();
        let read = matches!(value, Value::Computed(_)) && inside.node.iter().any(|n| n.input.iter().any(is_it));
        let next = reader.network.next();
        if read {
            reader.as_state(value, next)
        } else {
            Ok(value)
        }
    });
    handed.collect()
}

fn unroll_loop<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, n: &Node<'_>) -> Op<Vec<Value>> {
    let inside = graph(n, "body")?;
    let fixed = "ends by data; only a loop whose turns are known is in this version";
    let most = n.optional(0)?.map(|v| known(v).ok_or(fixed)).transpose()?.unwrap_or(f64::INFINITY);
    let mut going = n.optional(1)?.map(|v| known(v).ok_or(fixed)).transpose()?.unwrap_or(1.0) != 0.0;
    let mut carried = n.inputs_from(2)?;
    let mut collected: Vec<Vec<Value>> = Vec::new();
    let (mut history, before) = (Vec::new(), reader.network.next());
    let mut turn = 0;
    while going && (turn as f64) < most {
        if turn == TURNS {
            return Err(format!("makes more than {TURNS} turns"));
        }
        let scalar = |x: f64, element| Value::Known(super::Array { shape: vec![], data: vec![x], element });
        let inputs: Vec<Value> = [scalar(turn as f64, Element::LONG), scalar(1.0, Element::Bool)]
            .into_iter()
            .chain(carried.iter().cloned())
            .collect();
        let mut outputs = body(reader, context, n, inside, &inputs)?.into_iter();
        going = known(&outputs.next().ok_or("has no condition")?).ok_or(fixed)? != 0.0;
        carried = handed_on(reader, inside, 1, outputs.by_ref().take(carried.len()))?;
        history.push(carried.iter().map(|v| reader.state(v)).collect());
        for (i, v) in outputs.enumerate() {
            if collected.len() <= i {
                collected.push(Vec::new());
            }
            collected[i].push(v);
        }
        turn += 1;
    }
    // A loop without weights of its own, variables from `before` on, is no recurrent net.
    if reader.depth == 0 && reader.network.has_weights_from(before) {
        reader.keep(&history);
    }
    for turns in &collected {
        carried.push(stacked(reader, turns)?);
    }
    Ok(carried)
}

fn unroll_scan<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, n: &Node<'_>) -> Op<Vec<Value>> {
    if n.opset < 9 {
        return Err("scans as it did before opset 9, which is not in this version".into());
    }
    let inside = graph(n, "body")?;
    let scanned = usize::try_from(n.integer("num_scan_inputs", 0)).unwrap_or(0);
    let all = n.inputs_from(0)?;
    let first = all.len().checked_sub(scanned).filter(|_| scanned > 0).ok_or("scans nothing")?;
    let reversed = |name: &str, i: usize| n.integers(name).and_then(|d| d.get(i).copied()).unwrap_or(0) != 0;
    for name in ["scan_input_axes", "scan_output_axes"] {
        if n.integers(name).is_some_and(|a| a.iter().any(|&a| a != 0)) {
            return Err("scans along another axis than the first, which is not in this version".into());
        }
    }
    let turns = all[first].shape().first().copied().unwrap_or(0);
    if turns == 0 || turns > TURNS || all[first..].iter().any(|v| v.shape().first() != Some(&turns)) {
        return Err(format!(
            "scans {turns} turns; 1 to {TURNS} are in this version, of the same number in every input"
        ));
    }
    let mut carried = all[..first].to_vec();
    let mut collected: Vec<Vec<Value>> = Vec::new();
    let (mut history, before) = (Vec::new(), reader.network.next());
    for turn in 0..turns {
        let mut inputs = carried.clone();
        for (i, v) in all[first..].iter().enumerate() {
            let at = if reversed("scan_input_directions", i) { turns - 1 - turn } else { turn };
            let moves = value::slice(v.shape(), &[(0, at as i64, 1, 1)]).ok_or("scans beyond its input")?;
            let shape = v.shape()[1..].to_vec();
            inputs.push(reader.moved(std::slice::from_ref(v), moves)?.reshaped(shape));
        }
        let mut outputs = body(reader, context, n, inside, &inputs)?.into_iter();
        carried = handed_on(reader, inside, 0, outputs.by_ref().take(first))?;
        history.push(carried.iter().map(|v| reader.state(v)).collect());
        for (i, v) in outputs.enumerate() {
            if collected.len() <= i {
                collected.push(Vec::new());
            }
            collected[i].push(v);
        }
    }
    // A loop without weights of its own, variables from `before` on, is no recurrent net.
    if reader.depth == 0 && reader.network.has_weights_from(before) {
        reader.keep(&history);
    }
    for (i, mut turns) in collected.into_iter().enumerate() {
        if reversed("scan_output_directions", i) {
            turns.reverse();
        }
        carried.push(stacked(reader, &turns)?);
    }
    Ok(carried)
}
