//! `onnx`: any exported graph of the common operators.
//!
//! A trajectory is one run of the graph with a batch of one. Shapes are followed through the graph while it is read, so that what only
//! depends on shapes is known when the network is built; initialisers are the parameters.

mod control;
mod einsum;
mod file;
mod layers;
mod maps;
mod operators;
mod reader;
mod recurrent;
mod resize;
mod shapes;
mod value;

use crate::error::{Error, Result};
use crate::network::Network;
use file::Array;
use kpflow_core::Scalar;
use reader::{Op, Reader};
use rten_onnx::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use value::Value;

/// Tensors by name. Graphs inside graphs see those outside.
type Scope = HashMap<String, Value>;

/// What is fixed while a graph is read.
struct Context<'a> {
    path: &'a Path,
    opset: i64,
}

/// Reads a model for inputs whose trajectories have these shapes, in the order of the slots. `names` says which graph input each is.
pub fn build<T: Scalar>(path: &Path, names: &[Option<String>], shapes: &[&[usize]]) -> Result<Network<T>> {
    let model = file::open(path)?;
    let wrong = |m: String| Error::input(path, m);
    let mut reader = Reader::<T>::new();
    let mut scope = Scope::new();
    let fixed = fixed_initialisers(&model.graph);
    let trained = |t: &TensorProto| {
        let name = t.name.clone().unwrap_or_default();
        match &model.parameters {
            Some(listed) => listed.contains(&name),
            None => !t.dims.is_empty() && !fixed.contains(name.as_str()),
        }
    };
    for t in &model.graph.initializer {
        let name = t.name.clone().unwrap_or_default();
        let array = if trained(t) { file::parameter(path, t)? } else { file::tensor(path, t)? };
        let value = match trained(t) && !array.integer {
            true => reader.parameter(&name, array),
            false => Value::Known(array),
        };
        scope.insert(name, value);
    }
    if let Some(missing) = model.parameters.iter().flatten().find(|p| !scope.contains_key(*p)) {
        return Err(wrong(format!("lists the parameter {missing} (kpflow.parameters), which is no initialiser")));
    }
    let inputs: Vec<&ValueInfoProto> =
        model.graph.input.iter().filter(|i| !scope.contains_key(i.name.as_deref().unwrap_or_default())).collect();
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
        scope.insert(input.name.clone().unwrap_or_default(), reader.computed(full, variable));
    }
    let context = Context { path, opset: model.opset };
    run(&mut reader, &context, &model.graph, &mut scope)?;
    let mut outputs = Vec::new();
    for output in &model.graph.output {
        let name = output.name.clone().unwrap_or_default();
        match scope.get(&name) {
            Some(Value::Computed(c)) => {
                if !outputs.contains(&c.variable) {
                    outputs.push(c.variable);
                }
                if reader.network.name_of(c.variable).is_empty() {
                    reader.network.name(c.variable, name);
                }
            }
            Some(_) => {}
            None => return Err(wrong(format!("has an output {name} that nothing makes"))),
        }
    }
    if outputs.is_empty() {
        return Err(wrong("has no output that depends on its inputs".into()));
    }
    let Reader { mut network, .. } = reader;
    network.output(network.read(outputs[0]));
    network.default_state(outputs, false);
    Ok(network)
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

/// Initialisers that are never trained, whatever their type: the moments of BatchNorm, and what stands for a shape or a step.
fn fixed_initialisers(graph: &GraphProto) -> HashSet<&str> {
    let mut fixed = HashSet::new();
    for node in &graph.node {
        if node.op_type.as_deref() == Some("BatchNormalization") {
            fixed.extend(node.input.iter().skip(3).map(String::as_str));
        }
    }
    fixed
}

/// The whole shape of an input for one trajectory: its batch axis is one long.
fn input_shape(input: &ValueInfoProto, given: &[usize]) -> Op<Vec<usize>> {
    let kind = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let Some(shape) = kind.and_then(|t| t.shape.as_ref()) else {
        return Ok([&[1], given].concat());
    };
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

/// Reads all nodes of a graph.
fn run<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, graph: &GraphProto, scope: &mut Scope) -> Result<()> {
    for (i, node) in graph.node.iter().enumerate() {
        let name = node.name.clone().filter(|n| !n.is_empty()).unwrap_or(format!("number {i}"));
        let kind = node.op_type.as_deref().unwrap_or_default();
        let wrong = |e: String| Error::input(context.path, format!("node {name} ({kind}) {e}"));
        let known = reader.network.len();
        let outputs = match node.domain.as_deref().unwrap_or_default() {
            "" | "ai.onnx" | "com.microsoft" => {
                let n = Node { node, scope, opset: context.opset };
                operators::apply(reader, context, &n).map_err(wrong)?
            }
            other => return Err(wrong(format!("is of the domain {other}; only ai.onnx is in this version"))),
        };
        for (name, value) in node.output.iter().zip(outputs) {
            if name.is_empty() {
                continue;
            }
            if let Value::Computed(c) = &value {
                // The states of a recurrent node have names of their own.
                let own = reader.network.name_of(c.variable).starts_with(&format!("{name}."));
                if c.variable >= known && !own {
                    reader.network.name(c.variable, name);
                }
            }
            scope.insert(name.clone(), value);
        }
    }
    Ok(())
}

/// A node and the tensors that it can read.
struct Node<'a> {
    node: &'a NodeProto,
    scope: &'a Scope,
    opset: i64,
}

impl<'a> Node<'a> {
    fn kind(&self) -> &'a str {
        self.node.op_type.as_deref().unwrap_or_default()
    }
    /// Input number i, if it is there.
    fn optional(&self, i: usize) -> Op<Option<&'a Value>> {
        match self.node.input.get(i).filter(|n| !n.is_empty()) {
            None => Ok(None),
            Some(name) => match self.scope.get(name) {
                Some(value) => Ok(Some(value)),
                None => Err(format!("reads {name}, which nothing before it makes")),
            },
        }
    }
    fn input(&self, i: usize) -> Op<&'a Value> {
        self.optional(i)?.ok_or_else(|| format!("has no input number {i}"))
    }
    /// All inputs.
    fn inputs(&self) -> Op<Vec<Value>> {
        self.inputs_from(0)
    }
    /// All inputs from number i on.
    fn inputs_from(&self, i: usize) -> Op<Vec<Value>> {
        (i..self.node.input.len()).map(|i| self.input(i).cloned()).collect()
    }
    /// Input number i, whose numbers have to be known.
    fn known(&self, i: usize, what: &str) -> Op<Option<&'a Array>> {
        match self.optional(i)? {
            None => Ok(None),
            Some(Value::Known(a)) => Ok(Some(a)),
            Some(_) => Err(format!(
                "has {what} that depend on the data or the parameters; only fixed ones are in this version"
            )),
        }
    }
    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }
    fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|a| a.i).unwrap_or(default)
    }
    fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).and_then(|a| a.f).map_or(default, f64::from)
    }
    fn text(&self, name: &str) -> Option<&'a str> {
        self.attribute(name).and_then(|a| a.s.as_deref())
    }
    fn integers(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }
    /// A list that newer opsets give as input number i and older ones as an attribute.
    fn list(&self, i: usize, name: &str) -> Op<Option<Vec<i64>>> {
        Ok(match self.known(i, name)? {
            Some(a) => Some(a.integers()),
            None => self.integers(name).map(<[i64]>::to_vec),
        })
    }
    /// An axis of a tensor.
    fn axis(&self, default: i64, rank: usize) -> Op<usize> {
        let axis = self.integer("axis", default);
        value::axis(axis, rank).ok_or_else(|| format!("has axis {axis} of a tensor of {rank} axes"))
    }
}
