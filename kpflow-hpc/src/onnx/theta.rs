//! Which initialisers of a graph are its parameters, and how sure that is.
//!
//! A file says it by the property `kpflow.parameters`, or by the signature that torch's exporter leaves. Where neither is there, names,
//! shapes and readers tell, and what is doubtful is told to the user: an exporter folds, merges and renames.

use super::file::{self, Array, Model};
use super::slots::{anonymous, is_modules, is_operators, Readers};
use crate::error::{Error, Result};
use crate::network::select::chosen;
use crate::spelling::number_of;
use rten_onnx::onnx::{GraphProto, TensorProto};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// The most suspects that a warning names.
const MOST: usize = 40;

/// What an initialiser is.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// A parameter.
    Parameter,
    /// Numbers that are fixed.
    Fixed,
    /// The parameter of this name, under another one.
    Same(String),
}

/// The parameters of a graph.
pub struct Theta {
    /// The initialisers of the graph, in its order, with their numbers.
    pub initialisers: Vec<(String, Array, Role)>,
    /// Constants inside the graph that the user names as parameters.
    pub chosen: HashSet<String>,
    suspects: Suspects,
    /// Constants of nodes that stand where operators have their weights.
    weights: HashSet<String>,
}

impl Theta {
    /// What is to be said of it; `constants` are the numbers of nodes that could be weights.
    pub fn warning(&self, constants: &[String]) -> Option<String> {
        let mut suspects = self.suspects.clone();
        for name in constants.iter().filter(|n| self.weights.contains(*n)) {
            suspects.say(name, "a Constant node where weights are: not counted");
        }
        suspects.warning()
    }
}

/// What is said of a graph without parameters.
pub fn without(all: &[(String, Array, Role)], constants: &[String]) -> String {
    let fixed = all.iter().filter(|(_, a, role)| *role == Role::Fixed && a.element.is_float()).map(|(n, ..)| n);
    let names: Vec<String> = fixed.chain(constants).map(|n| format!("\"{n}\"")).collect();
    match names.is_empty() {
        true => "has no floating-point initialisers: there are no parameters".into(),
        false => format!(
            "has no parameters: its numbers stand in constants; [model] parameters chooses some by name, of {}",
            crate::error::some_of(&names)
        ),
    }
}

fn name_of(t: &TensorProto) -> &str {
    t.name.as_deref().unwrap_or_default()
}

/// Initialisers that are never trained, whatever their type: the moments of BatchNorm.
fn moments(graph: &GraphProto) -> HashSet<&str> {
    let norms = graph.node.iter().filter(|n| n.op_type.as_deref() == Some("BatchNormalization"));
    norms.flat_map(|n| n.input.iter().skip(3).map(String::as_str)).collect()
}

/// Decides for every initialiser of a model. `patterns` is what the user chooses as parameters.
pub fn theta(path: &Path, model: &Model, patterns: &[String]) -> Result<Theta> {
    let graph = &model.graph;
    let fixed = moments(graph);
    let readers = Readers::of(graph);
    let mut suspects = Suspects::default();
    let mut initialisers = Vec::new();
    for t in &graph.initializer {
        let array = file::tensor(path, t)?;
        let name = name_of(t).to_string();
        let role = match (&model.parameters, &model.signature) {
            _ if !array.element.is_float() => Role::Fixed,
            (Some(listed), _) => if_so(listed.contains(&name)),
            _ if fixed.contains(name.as_str()) => Role::Fixed,
            (None, Some(s)) if s.parameters.contains(&name) => Role::Parameter,
            (None, Some(s)) if s.buffers.contains(&name) => Role::Fixed,
            (None, _) => suspects.judge(&name, &array, &readers),
        };
        initialisers.push((name, array, role));
    }
    let missing = |p: &&String| !initialisers.iter().any(|(n, ..)| n == *p);
    if let Some(missing) = model.parameters.iter().flatten().find(missing) {
        let what = format!("lists the parameter {missing} (kpflow.parameters), which is no initialiser");
        return Err(Error::input(path, what));
    }
    if model.parameters.is_none() {
        same(&mut initialisers, &mut suspects);
        suspects.lost(graph, model.signature.as_ref().map(|s| &s.parameters[..]), &initialisers);
    }
    let chosen = choose(graph, &mut initialisers, patterns);
    for (name, array, role) in &initialisers {
        if *role == Role::Parameter {
            crate::load::require_finite(path, &format!("tensor {name}"), &array.shape, 0, &array.data)?;
        }
    }
    let weights = constants(graph).filter(|o| readers.as_weight(o)).cloned().collect();
    Ok(Theta { initialisers, chosen, suspects, weights })
}

/// What the Constant nodes of a graph give, by name.
fn constants(graph: &GraphProto) -> impl Iterator<Item = &String> {
    graph.node.iter().filter(|n| n.op_type.as_deref() == Some("Constant")).filter_map(|n| n.output.first())
}

fn if_so(parameter: bool) -> Role {
    if parameter {
        Role::Parameter
    } else {
        Role::Fixed
    }
}

/// Constants that a pattern names which no parameter matches become parameters; those of the graph's nodes are given back.
fn choose(graph: &GraphProto, all: &mut [(String, Array, Role)], patterns: &[String]) -> HashSet<String> {
    let mut within = HashSet::new();
    for pattern in patterns.iter().filter(|p| !p.starts_with('!')) {
        let alone = [pattern.clone()];
        if all.iter().any(|(n, _, role)| *role == Role::Parameter && chosen(n, &alone)) {
            continue;
        }
        for (_, _, role) in all.iter_mut().filter(|(n, a, _)| a.element.is_float() && chosen(n, &alone)) {
            *role = Role::Parameter;
        }
        within.extend(constants(graph).filter(|o| chosen(o, &alone)).cloned());
    }
    within
}

/// What has no name of its own and is, number by number, a parameter that has one, is that parameter.
fn same(all: &mut [(String, Array, Role)], suspects: &mut Suspects) {
    let bits = |a: &Array, b: &Array| a.data.iter().map(|x| x.to_bits()).eq(b.data.iter().map(|x| x.to_bits()));
    let varied = |a: &Array| a.data.windows(2).any(|w| w[0] != w[1]);
    // By how many numbers there are: most differ in that, and none is copied.
    let mut named: HashMap<usize, Vec<usize>> = HashMap::new();
    for (i, (name, array, role)) in all.iter().enumerate() {
        if *role == Role::Parameter && is_modules(name) && varied(array) {
            named.entry(array.data.len()).or_default().push(i);
        }
    }
    for i in 0..all.len() {
        let (name, array, role) = &all[i];
        if *role != Role::Parameter || !(anonymous(name) || is_operators(name)) {
            continue;
        }
        let alike = named.get(&array.data.len()).into_iter().flatten();
        if let Some(other) = alike.map(|&j| &all[j]).find(|other| bits(&other.1, array)).map(|other| other.0.clone()) {
            suspects.forget(name);
            suspects.say(name, format!("the numbers of {other}: taken for it"));
            all[i].2 = Role::Same(other);
        }
    }
}

/// Initialisers of which it is doubtful what they are, by why.
#[derive(Clone, Default)]
struct Suspects {
    by_why: BTreeMap<String, Vec<String>>,
}

impl Suspects {
    fn say(&mut self, name: &str, why: impl Into<String>) {
        self.by_why.entry(why.into()).or_default().push(name.into());
    }

    fn forget(&mut self, name: &str) {
        self.by_why.values_mut().for_each(|names| names.retain(|n| n != name));
    }

    /// What an initialiser is, by its name, numbers and readers.
    fn judge(&mut self, name: &str, a: &Array, readers: &Readers<'_>) -> Role {
        let nameless = anonymous(name) || is_operators(name);
        let weight = readers.as_weight(name);
        let zeros = !a.data.is_empty() && a.data.iter().all(|&x| x == 0.0);
        if zeros && readers.as_initial_state(name) {
            self.say(name, "all zeros, an initial state: taken for a constant");
            return Role::Fixed;
        }
        if a.shape.is_empty() {
            self.say(name, "of shape []: taken for a constant");
            return Role::Fixed;
        }
        if a.data.len() == 1 && nameless && !weight {
            self.say(name, format!("one number of shape {:?} without a module's name: taken for a constant", a.shape));
            return Role::Fixed;
        }
        if zeros && nameless && !weight {
            self.say(name, "all zeros, without a module's name: taken for a constant");
            return Role::Fixed;
        }
        let count = readers.count(name);
        match () {
            () if nameless && readers.of_convolution(name) => {
                self.say(name, "without a module's name at a convolution: BatchNorm may be folded into it");
            }
            () if nameless => self.say(name, "without a module's name: parameters may be folded into it, or none"),
            () if a.data.len() == 1 && !is_modules(name) => self.say(name, format!("of shape {:?}", a.shape)),
            () if zeros && !is_modules(name) => self.say(name, "all zeros"),
            () if count > 1 => {
                self.say(name, format!("read by {}: tied, or equal ones merged", number_of(count, "node")));
            }
            () => {}
        }
        Role::Parameter
    }

    /// Parameters that are no longer there.
    fn lost(&mut self, graph: &GraphProto, signature: Option<&[String]>, all: &[(String, Array, Role)]) {
        if let Some(parameters) = signature {
            for p in parameters.iter().filter(|p| !all.iter().any(|(n, ..)| n == *p)) {
                self.say(p, "a parameter of the exported module that is no initialiser any more");
            }
        }
        for n in &graph.node {
            let (kind, output) = (n.op_type.as_deref().unwrap_or_default(), n.output.first());
            let weight = n.input.get(1).filter(|w| all.iter().any(|(n, ..)| n == *w));
            let (Some(weight), Some(output)) = (weight, output) else { continue };
            // torch names what a node gives after the operation that it was.
            let normed = output.starts_with("getitem") || output.contains("batch_norm");
            if matches!(kind, "Conv" | "ConvTranspose" | "Gemm") && normed && !anonymous(weight) {
                self.say(weight, format!("read by a {kind} that gives {output}: BatchNorm may be folded into it"));
            }
            let bare = n.input.get(2).is_none_or(String::is_empty);
            if kind == "Gemm" && bare && weight.ends_with(".weight") {
                self.say(weight, "read by a Gemm without a bias: one of zeros may be folded away");
            }
        }
    }

    fn warning(self) -> Option<String> {
        let count: usize = self.by_why.values().map(Vec::len).sum();
        if count == 0 {
            return None;
        }
        let mut left = MOST;
        let mut words = Vec::new();
        for (why, names) in &self.by_why {
            let shown: Vec<&str> = names.iter().take(left).map(String::as_str).collect();
            left -= shown.len();
            if !shown.is_empty() {
                words.push(format!("{} ({why})", shown.join(", ")));
            }
        }
        let more = if count > MOST { format!("; and {} more", count - MOST) } else { String::new() };
        Some(format!(
            "the graph does not say which of its tensors are parameters (kpflow.parameters), and these are doubtful: {}{more}; \
             scripts/export_torch.py writes a graph that says it, [model] parameters chooses by name",
            words.join("; ")
        ))
    }
}
