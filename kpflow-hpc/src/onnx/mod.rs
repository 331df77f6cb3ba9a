//! `onnx`: any exported graph of the common operators.
//!
//! A trajectory is one run of the graph with a batch of one. Shapes are followed through the graph while it is read, so that what only
//! depends on shapes is known when the network is built; initialisers are the parameters.

mod arithmetic;
mod attributes;
mod cast;
mod control;
mod einsum;
mod element;
mod file;
mod gather;
mod layers;
mod logic;
mod maps;
mod node;
mod operators;
mod pixels;
mod products;
mod reader;
mod recurrent;
mod reduce;
mod resize;
mod shapes;
mod slots;
mod theta;
mod turns;
mod unrolled;
mod value;

use crate::error::{Error, Result};
use crate::network::FromFiles;
use element::Element;
use file::Array;
use kpflow_core::model::VariableId;
use kpflow_core::Scalar;
use node::Node;
use reader::{Op, Reader};
use rten_onnx::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use theta::{Role, Theta};
use value::Value;

/// Tensors by name. Graphs inside graphs see those outside.
type Scope = HashMap<String, Value>;

/// What is fixed while a graph is read.
struct Context<'a> {
    path: &'a Path,
    opset: i64,
    /// Constants that the user names as parameters.
    chosen: &'a HashSet<String>,
    /// Parameters that are variables of their own.
    free: &'a HashSet<String>,
    /// Tensors that the turns of unrolled loops hand on.
    carried: &'a HashSet<&'a str>,
}

/// Reads a model for inputs whose trajectories have these shapes, in the order of the slots. `names` says which graph input each is;
/// `parameters` is what the user chooses as θ, by patterns.
pub fn build<T: Scalar>(
    path: &Path,
    names: &[Option<String>],
    shapes: &[&[usize]],
    parameters: &[String],
) -> Result<FromFiles<T>> {
    let mut model = file::open(path)?;
    let theta = theta::theta(path, &model, parameters)?;
    let trained = theta.initialisers.iter().filter(|(_, _, role)| *role != Role::Fixed);
    let trained: HashSet<&str> = trained.map(|(name, ..)| name.as_str()).collect();
    let loops = unrolled::loops(&mut model.graph, |name| trained.contains(name));
    // A parameter that is used in two ways, say as a matrix and squared, is a variable of its own from the beginning.
    let mut free = HashSet::new();
    loop {
        let mut reader = Reader::<T>::new();
        match read(path, &model, (&theta, &loops), (names, shapes), &free, &mut reader) {
            Err(e) => match reader.conflict.take() {
                Some(name) if free.insert(name.clone()) => {}
                _ => return Err(e),
            },
            Ok(warning) => {
                let mut network = FromFiles::from(reader.network);
                network.reading = bytes(path, &theta);
                warning.into_iter().for_each(|sentence| network.warn(sentence));
                return Ok(network);
            }
        }
    }
}

/// Bytes that reading takes beside the weights: the file and what it says, the numbers in double precision twice, of each number its place and whether it is taken, and
/// of the largest tensor where every number comes from, as it is moved (twice each).
fn bytes(path: &Path, theta: &Theta) -> usize {
    let file = std::fs::metadata(path).map_or(0, |m| m.len() as usize);
    let (all, largest) = theta
        .initialisers
        .iter()
        .map(|(_, array, _)| array.data.len())
        .fold((0, 0), |(all, most), n| (all + n, most.max(n)));
    2 * file + (2 * 8 + 8 + 1) * all + 2 * (8 + 8) * largest
}

/// Reads all of a model into `reader`; returns what the user should know of θ.
fn read<T: Scalar>(
    path: &Path,
    model: &file::Model,
    (theta, loops): (&Theta, &[unrolled::Loop]),
    (names, shapes): (&[Option<String>], &[&[usize]]),
    free: &HashSet<String>,
    reader: &mut Reader<T>,
) -> Result<Option<String>> {
    let wrong = |m: String| Error::input(path, m);
    let mut scope = Scope::new();
    for (name, array, role) in &theta.initialisers {
        let value = match role {
            Role::Parameter => reader.parameter(name, array.clone()),
            Role::Fixed | Role::Same(_) => Value::Known(array.clone()),
        };
        let value = if free.contains(name) { reader.freed(&value).map_err(wrong)? } else { value };
        scope.insert(name.clone(), value);
    }
    for (name, array, role) in &theta.initialisers {
        if let Role::Same(other) = role {
            let value = scope.get(other).cloned().unwrap_or(Value::Known(array.clone()));
            scope.insert(name.clone(), value.reshaped(array.shape.clone()));
        }
    }
    give_inputs(path, &model.graph, (names, shapes), reader, &mut scope)?;
    let carried = loops.iter().flat_map(|l| l.turns.iter().flatten().map(String::as_str)).collect();
    let context = Context { path, opset: model.opset, chosen: &theta.chosen, free, carried: &carried };
    run(reader, &context, &model.graph.node, &mut scope)?;
    if !reader.has_parameters() {
        return Err(wrong(theta::without(&theta.initialisers, &reader.constants)));
    }
    let warning = theta.warning(&reader.constants).filter(|_| model.parameters.is_none());
    for unrolled::Loop { turns, missing, .. } in loops {
        // What cannot be read of a turn that is not there was a guess: the loop is one turn shorter.
        let whole = run(reader, &context, missing, &mut scope).is_ok();
        reader.keep_unrolled(&turns[..turns.len() - usize::from(!whole)], &scope);
    }
    let outputs = outputs(path, &model.graph, reader, &scope)?;
    reader.network.output(reader.network.read(outputs[0]));
    match reader.states() {
        Some((states, turns)) => reader.network.default_state_of_turns(states, turns),
        None => reader.network.default_state(outputs, false),
    }
    Ok(warning)
}

/// Adds the inputs of a graph, as the job gives them.
fn give_inputs<T: Scalar>(
    path: &Path,
    graph: &GraphProto,
    (names, shapes): (&[Option<String>], &[&[usize]]),
    reader: &mut Reader<T>,
    scope: &mut Scope,
) -> Result<()> {
    let wrong = |m: String| Error::input(path, m);
    let inputs: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|i| !scope.contains_key(i.name.as_deref().unwrap_or_default())).collect();
    let have: Vec<&str> = inputs.iter().map(|i| i.name.as_deref().unwrap_or_default()).collect();
    if inputs.len() != shapes.len() {
        let what = format!(
            "has inputs {}; the job gives {} (inputs = {{ NAME = \"FILE:DATASET\", … }})",
            have.join(", "),
            shapes.len()
        );
        return Err(wrong(what));
    }
    for (slot, (name, shape)) in names.iter().zip(shapes).enumerate() {
        let input = match name {
            None => inputs.first(),
            Some(name) => inputs.iter().find(|i| i.name.as_ref() == Some(name)),
        };
        let missing =
            || wrong(format!("has no input {}; it has {}", name.as_deref().unwrap_or_default(), have.join(", ")));
        let input = input.ok_or_else(missing)?;
        let full = input_shape(input, shape)
            .map_err(|e| wrong(format!("input {} {e}", input.name.as_deref().unwrap_or_default())))?;
        let width = full.last().copied().unwrap_or(1);
        let variable = reader.network.input(slot, full.iter().product::<usize>() / width.max(1), width);
        let kind = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.elem_type);
        let element = kind.and_then(Element::of).unwrap_or(Element::Float);
        scope.insert(input.name.clone().unwrap_or_default(), reader.computed(full, variable).typed(element));
    }
    Ok(())
}

/// The variables of a graph's outputs. An input that is handed through is no state.
fn outputs<T: Scalar>(
    path: &Path,
    graph: &GraphProto,
    reader: &mut Reader<T>,
    scope: &Scope,
) -> Result<Vec<VariableId>> {
    let wrong = |m: String| Error::input(path, m);
    let mut outputs = Vec::new();
    for output in &graph.output {
        let name = output.name.clone().unwrap_or_default();
        match scope.get(&name) {
            Some(value @ Value::Computed(c)) if !reader.network.is_data(c.variable) => {
                let variable = reader.variable(value).map_err(wrong)?;
                if !outputs.contains(&variable) {
                    outputs.push(variable);
                }
                if reader.network.name_of(variable).is_empty() {
                    reader.network.name(variable, name);
                }
            }
            Some(_) => {}
            None => return Err(wrong(format!("has an output {name} that nothing makes"))),
        }
    }
    match outputs.is_empty() {
        true => Err(wrong("has no output that it computes from its inputs; one that is an input is no state".into())),
        false => Ok(outputs),
    }
}

/// The inputs of a model: names, and shapes as far as they are fixed.
pub fn inputs(path: &Path) -> Result<Vec<(String, Vec<Option<usize>>)>> {
    Ok(free_inputs(&file::open(path)?.graph))
}

/// The inputs of a graph that are no initialisers.
fn free_inputs(graph: &GraphProto) -> Vec<(String, Vec<Option<usize>>)> {
    let fixed = |t: &TensorProto, i: &ValueInfoProto| t.name == i.name;
    let free = graph.input.iter().filter(|i| !graph.initializer.iter().any(|t| fixed(t, i)));
    let shape = |i: &ValueInfoProto| -> Option<Vec<Option<usize>>> {
        let dims = &i.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim;
        Some(dims.iter().map(|d| d.dim_value.and_then(|v| usize::try_from(v).ok())).collect())
    };
    free.map(|i| (i.name.clone().unwrap_or_default(), shape(i).unwrap_or_default())).collect()
}

/// What a file tells of itself, whether or not all of it can be read.
pub struct Summary {
    /// The version of the operator set.
    pub opset: i64,
    /// The inputs: names, and shapes as far as they are fixed.
    pub inputs: Vec<(String, Vec<Option<usize>>)>,
    /// The outputs' names.
    pub outputs: Vec<String>,
    /// How many nodes of each operator, those of graphs inside the graph included.
    pub operators: BTreeMap<String, usize>,
}

/// Reads what a file tells of itself.
pub fn summary(path: &Path) -> Result<Summary> {
    fn count(graph: &GraphProto, operators: &mut BTreeMap<String, usize>) {
        for node in &graph.node {
            *operators.entry(node.op_type.clone().unwrap_or_default()).or_default() += 1;
            node.attribute.iter().filter_map(|a| a.g.as_ref()).for_each(|g| count(g, operators));
        }
    }
    let (model, mut operators) = (file::open(path)?, BTreeMap::new());
    count(&model.graph, &mut operators);
    let outputs = model.graph.output.iter().map(|o| o.name.clone().unwrap_or_default()).collect();
    Ok(Summary { opset: model.opset, inputs: free_inputs(&model.graph), outputs, operators })
}

/// The whole shape of an input for one trajectory: its batch axis is one long.
fn input_shape(input: &ValueInfoProto, given: &[usize]) -> Op<Vec<usize>> {
    let kind = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let Some(shape) = kind.and_then(|t| t.shape.as_ref()) else {
        return Ok([&[1], given].concat());
    };
    // A number a trajectory.
    if shape.dim.is_empty() && given.iter().all(|&d| d == 1) {
        return Ok(Vec::new());
    }
    let dims: Vec<Option<usize>> =
        shape.dim.iter().map(|d| d.dim_value.and_then(|v| usize::try_from(v).ok())).collect();
    let free = |axis: usize| {
        let rest = dims.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, d)| d);
        dims[axis].is_none_or(|d| d == 1)
            && rest.clone().count() == given.len()
            && rest.zip(given).all(|(d, g)| d.is_none_or(|d| d == *g))
    };
    let shown = |d: &Option<usize>| d.map_or("?".into(), |d| d.to_string());
    let text = dims.iter().map(shown).collect::<Vec<String>>().join(", ");
    match (0..dims.len()).find(|&a| free(a)) {
        Some(axis) => Ok([&given[..axis], &[1], &given[axis..]].concat()),
        None => Err(format!(
            "has shape [{text}]; a trajectory of shape {given:?} does not fit with a batch of one (export it with a batch of one, or a free one)"
        )),
    }
}

/// Reads nodes.
fn run<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, nodes: &[NodeProto], scope: &mut Scope) -> Result<()> {
    for (i, node) in nodes.iter().enumerate() {
        let name = node.name.clone().filter(|n| !n.is_empty()).unwrap_or(format!("number {i}"));
        let kind = node.op_type.as_deref().unwrap_or_default();
        let wrong = |e: String| Error::input(context.path, format!("node {name} ({kind}) {e}"));
        let known = reader.network.next();
        let label = format!("node {name} ({kind})");
        let outputs = match node.domain.as_deref().unwrap_or_default() {
            "" | "ai.onnx" | "com.microsoft" => {
                let n = Node::new(node, scope, context.opset);
                let values = operators::apply(reader, context, &n).map_err(wrong)?;
                n.all_seen().map_err(wrong)?;
                values
            }
            other => return Err(wrong(format!("is of the domain {other}; only ai.onnx is in this version"))),
        };
        reader.network.label(known, label);
        for (name, value) in node.output.iter().zip(outputs) {
            if name.is_empty() {
                continue;
            }
            let value = match context.carried.contains(name.as_str()) {
                true => reader.as_state(value, known).map_err(wrong)?,
                false => value,
            };
            if let Value::Computed(c) = &value {
                // The states of a recurrent node have names of their own.
                let own = reader.network.name_of(c.variable).starts_with(&format!("{name}."));
                if c.variable >= known && !own {
                    let width = c.shape.last().copied().unwrap_or(1);
                    let variable = if c.flipped { reader.network.mirror(c.variable, width) } else { c.variable };
                    reader.network.name(variable, name);
                }
            }
            scope.insert(name.clone(), value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
