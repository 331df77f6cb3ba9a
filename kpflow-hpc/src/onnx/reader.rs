//! From tensors to variables: what every operator builds with.

use super::element::Element;
use super::file::Array;
use super::value::{expand, Computed, Moves, Origin, Place, Value, View};
use crate::network::{Network, OwnedWeight};
use kpflow_core::model::mixing::Run;
use kpflow_core::model::{Mixing, Operand, VariableId, WeightId, MAX_INPUTS};
use kpflow_core::Scalar;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What an operator gives, or why it cannot be read.
pub type Op<R> = Result<R, String>;

/// An initialiser that is trained.
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its numbers.
    pub data: Vec<f64>,
    /// Which of them a weight holds already.
    taken: Vec<bool>,
}

/// A list of places, short: its length and two hashes of it.
pub(super) type Key = (usize, u64, u64);

pub(super) fn key(places: &[Place]) -> Key {
    let hash = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        // Many at a time: a parameter has millions.
        let mut bytes = [0; 512];
        for some in places.chunks(bytes.len() / 8) {
            for (to, &(p, i)) in bytes.chunks_exact_mut(8).zip(some) {
                to[..4].copy_from_slice(&p.to_le_bytes());
                to[4..].copy_from_slice(&i.to_le_bytes());
            }
            hasher.write(&bytes[..8 * some.len()]);
        }
        hasher.finish()
    };
    (places.len(), hash(0), hash(1))
}

/// The network that is being built from a graph.
pub struct Reader<T> {
    /// The network.
    pub network: Network<T>,
    pub(super) parameters: Vec<Parameter>,
    /// Weights by their matrix and bias.
    weights: HashMap<(Key, Key), WeightId>,
    /// Parameters that are variables.
    pub(super) free: HashMap<Key, VariableId>,
    /// Variables that are sums of squares.
    pub(super) squares: HashSet<VariableId>,
    /// Constants that could be parameters, if the user named them.
    pub(super) constants: Vec<String>,
    /// The parameter that was used in two ways.
    pub(super) conflict: Option<String>,
    /// For each loop its turns, and the states of each.
    pub(super) loops: Vec<Vec<Vec<VariableId>>>,
    /// How many loops are around what is read.
    pub(super) depth: usize,
}

impl<T: Scalar> Reader<T> {
    /// An empty network.
    pub fn new() -> Self {
        let mut network = Network::default();
        network.segment(kpflow_core::model::Scan::Parallel);
        let (parameters, weights, free) = (Vec::new(), HashMap::new(), HashMap::new());
        let (squares, constants, loops) = (HashSet::new(), Vec::new(), Vec::new());
        Self { network, parameters, weights, free, squares, constants, conflict: None, loops, depth: 0 }
    }

    /// Adds an initialiser that is trained.
    pub fn parameter(&mut self, name: &str, array: Array) -> Value {
        let which = self.parameters.len() as u32;
        let places = (0..array.data.len() as u32).map(|i| (which, i)).collect();
        let taken = vec![false; array.data.len()];
        self.parameters.push(Parameter { name: name.into(), data: array.data, taken });
        Value::Parameter(View { shape: array.shape, places })
    }

    /// Whether any initialiser or constant is trained.
    pub fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }

    /// A parameter as a variable of its own, which may be used in any way.
    pub fn freed(&mut self, value: &Value) -> Op<Value> {
        let variable = self.variable(value)?;
        Ok(self.computed(value.shape().to_vec(), variable))
    }

    fn numbers(&self, places: &[Place]) -> Vec<T> {
        places.iter().map(|&(p, i)| T::of(self.parameters[p as usize].data[i as usize])).collect()
    }

    /// The name of the parameter that a view is of.
    pub fn name_of(&self, places: &[Place]) -> String {
        places.first().map_or(String::new(), |&(p, _)| self.parameters[p as usize].name.clone())
    }

    /// Whether no number occurs twice.
    fn distinct(&self, places: &[Place]) -> bool {
        let mut seen: HashMap<u32, Vec<bool>> = HashMap::new();
        places.chunk_by(|a, b| a.0 == b.0).all(|run| {
            let p = run[0].0;
            let seen = seen.entry(p).or_insert_with(|| vec![false; self.parameters[p as usize].data.len()]);
            run.iter().all(|&(_, i)| !std::mem::replace(&mut seen[i as usize], true))
        })
    }

    /// Every number of θ is held once.
    fn take(&mut self, places: &[Place]) -> Op<()> {
        for &(p, i) in places {
            let parameter = &mut self.parameters[p as usize];
            if std::mem::replace(&mut parameter.taken[i as usize], true) {
                self.conflict = Some(parameter.name.clone());
                return Err(format!("uses the parameter {} in another way than it was used before", parameter.name));
            }
        }
        Ok(())
    }

    /// A weight `[n_out, n_in]`, trained where it is made of parameters; the same one if it was asked for before.
    pub fn weight(&mut self, matrix: &Value, bias: Option<&Value>, n_out: usize, n_in: usize) -> Op<WeightId> {
        fn places(v: Option<&Value>) -> &[Place] {
            match v {
                Some(Value::Parameter(v)) => &v.places,
                _ => &[],
            }
        }
        if n_out == 0 {
            return Err("has a weight without rows".into());
        }
        let both = (places(Some(matrix)), places(bias));
        let trained = !both.0.is_empty() || !both.1.is_empty();
        // Numbers that are fixed are no part of the key: a weight that has any is not looked up again.
        let fixed = |v: Option<&Value>| matches!(v, Some(Value::Known(a)) if !a.data.is_empty());
        let shared = trained && !fixed(Some(matrix)) && !fixed(bias);
        let key = (key(both.0), key(both.1));
        if let Some(&weight) = self.weights.get(&key).filter(|_| shared) {
            let known = &self.network.weights()[weight];
            return match (known.n_out, known.n_in) == (n_out, n_in) {
                true => Ok(weight),
                false => {
                    let name = self.name_of(both.0);
                    let what = format!("uses the parameter {name} in another way than it was used before");
                    self.conflict = Some(name);
                    Err(what)
                }
            };
        }
        let (names, mut data) = ([self.name_of(both.0), self.name_of(both.1)], Vec::new());
        for value in [Some(matrix), bias].into_iter().flatten() {
            data.push(match value {
                Value::Known(a) => a.data.iter().map(|&x| T::of(x)).collect(),
                Value::Parameter(v) => {
                    self.take(&v.places)?;
                    self.numbers(&v.places)
                }
                Value::Computed(_) | Value::Sequence(_) => return Err("has a weight that is computed".into()),
            });
        }
        let bias_data = bias.and_then(|_| data.pop());
        let matrix_data: Vec<T> = data.pop().unwrap_or_default();
        if matrix_data.len() != n_out * n_in || bias_data.as_ref().is_some_and(|b| b.len() != n_out) {
            return Err(format!("has a weight or bias that is not [{n_out}, {n_in}]"));
        }
        let [name, bias_name] = names;
        let mut weight = OwnedWeight::new(name, matrix_data, n_out, n_in).with_bias(bias_name, bias_data);
        (weight.train_matrix, weight.train_bias) = (!both.0.is_empty(), !both.1.is_empty());
        let weight = self.network.weight(weight);
        if shared {
            self.weights.insert(key, weight);
        }
        Ok(weight)
    }

    /// Whatever it is, as a variable.
    pub fn variable(&mut self, value: &Value) -> Op<VariableId> {
        let width = value.shape().last().copied().unwrap_or(1).max(1);
        let positions = value.shape().iter().product::<usize>() / width;
        match value {
            Value::Computed(c) if c.flipped => Ok(self.network.mirrored(c.variable, width)),
            Value::Computed(c) => Ok(c.variable),
            Value::Sequence(_) => Err("reads a sequence of tensors".into()),
            Value::Known(a) => Ok(self.network.constant(a.data.iter().map(|&x| T::of(x)).collect(), positions, width)),
            Value::Parameter(v) => {
                if v.places.is_empty() {
                    return Err("reads a parameter without numbers".into());
                }
                if let Some(&variable) = self.free.get(&key(&v.places)) {
                    return Ok(variable);
                }
                self.take(&v.places)?;
                let (name, data) = (self.name_of(&v.places), self.numbers(&v.places));
                let variable = self.network.parameter(name, data);
                self.free.insert(key(&v.places), variable);
                Ok(variable)
            }
        }
    }

    /// A variable with rows of this width.
    pub fn rows(&mut self, value: &Value, width: usize) -> Op<Operand> {
        let variable = self.variable(value)?;
        let (positions, now) = self.network.size(variable);
        if now == width {
            return Ok(self.network.read(variable));
        }
        let n = positions * now;
        if width == 0 || n % width != 0 {
            return Err(format!("cuts {n} numbers into rows of {width}"));
        }
        let identity: Vec<_> = (0..n).map(|i| Origin::of(0, i)).collect();
        let variable = self.sparse(&[variable], &identity, (n / width, width));
        Ok(self.network.read(variable))
    }

    /// A computed tensor of this shape that is a variable, of floating-point numbers.
    pub fn computed(&self, shape: Vec<usize>, variable: VariableId) -> Value {
        Value::Computed(Computed { shape, variable, element: Element::Float, flipped: false })
    }

    /// The same of the numbers of a variable column after column.
    pub fn flipped(&self, shape: Vec<usize>, variable: VariableId) -> Value {
        let (positions, width) = self.network.size(variable);
        let flipped = positions > 1 && width > 1;
        Value::Computed(Computed { shape, variable, element: Element::Float, flipped })
    }

    /// A sparse map that moves single numbers, put together to runs.
    pub(super) fn sparse(&mut self, inputs: &[VariableId], from: &[Origin], size: (usize, usize)) -> VariableId {
        let widths: Vec<usize> = inputs.iter().map(|&v| self.network.size(v).1.max(1)).collect();
        let mut runs: Vec<Run<T>> = Vec::new();
        let mut next = None;
        for (o, from) in from.iter().enumerate() {
            let Some((input, f)) = from.get() else {
                next = None;
                continue;
            };
            let (to, at) = ((o / size.1, o % size.1), (f / widths[input], f % widths[input]));
            match runs.last_mut() {
                Some(run) if next == Some((input, f)) && to.1 != 0 && at.1 != 0 => run.len += 1,
                _ => runs.push(Run { input, from: at, to, len: 1, scale: T::one() }),
            }
            next = Some((input, f + 1));
        }
        let reads: Vec<Operand> = inputs.iter().map(|&v| self.network.read(v)).collect();
        self.network.sparse(runs, &reads, size)
    }

    /// A block reads a limited number of variables: of more, some at a time are put one behind the other in a row.
    fn joined(&mut self, variables: Vec<VariableId>, from: Vec<Origin>) -> (Vec<VariableId>, Vec<Origin>) {
        if variables.len() <= MAX_INPUTS {
            return (variables, from);
        }
        let sizes: Vec<usize> = variables.iter().map(|&v| self.network.size(v)).map(|(p, w)| p * w).collect();
        let mut starts = Vec::new();
        let mut rows = Vec::new();
        for (some, sizes) in variables.chunks(MAX_INPUTS).zip(sizes.chunks(MAX_INPUTS)) {
            let all = sizes.iter().enumerate().flat_map(|(i, &n)| (0..n).map(move |f| Origin::of(i, f)));
            let mut at = 0;
            for n in sizes {
                starts.push((rows.len(), at));
                at += n;
            }
            rows.push(self.sparse(some, &all.collect::<Vec<_>>(), (1, at)));
        }
        let moved = |o: Origin| o.get().map_or(o, |(input, f)| Origin::of(starts[input].0, starts[input].1 + f));
        let from = from.into_iter().map(moved).collect();
        self.joined(rows, from)
    }

    /// Moves numbers of the inputs to where they are asked for.
    pub fn moved(&mut self, inputs: &[Value], moves: Moves) -> Op<Value> {
        let Moves { shape, from } = moves;
        let same = |n: usize| from.len() == n && from.iter().enumerate().all(|(i, f)| *f == Origin::of(0, i));
        if let [only] = inputs {
            if same(only.shape().iter().product()) {
                return Ok(only.clone().reshaped(shape));
            }
            if let Some(map) = self.by_rows(only, &shape, &from) {
                return Ok(map);
            }
        }
        let known: Option<Vec<&Array>> =
            inputs.iter().map(|v| if let Value::Known(a) = v { Some(a) } else { None }).collect();
        if let Some(arrays) = known {
            let data = from.iter().map(|f| f.get().map_or(0.0, |(which, i)| arrays[which].data[i])).collect();
            let element = arrays.first().map_or(Element::Float, |a| a.element);
            return Ok(Value::Known(Array { shape, data, element }));
        }
        let views: Option<Vec<&View>> =
            inputs.iter().map(|v| if let Value::Parameter(v) = v { Some(v) } else { None }).collect();
        if let Some(views) = views {
            let places: Option<Vec<Place>> =
                from.iter().map(|f| f.get().map(|(which, i)| views[which].places[i])).collect();
            // A number that stands in a tensor twice is not two parameters.
            if let Some(places) = places.filter(|p| self.distinct(p)) {
                return Ok(Value::Parameter(View { shape, places }));
            }
        }
        let variables = inputs.iter().map(|v| self.variable(v)).collect::<Op<Vec<VariableId>>>()?;
        let (variables, from) = self.joined(variables, from);
        let width = shape.last().copied().unwrap_or(1).max(1);
        let size = (from.len() / width, width);
        let variable = self.sparse(&variables, &from, size);
        let element = inputs.first().map_or(Element::Float, Value::element);
        Ok(self.computed(shape, variable).typed(element))
    }

    /// Broadcasts to a shape.
    pub fn expanded(&mut self, value: &Value, shape: &[usize]) -> Op<Value> {
        if value.shape() == shape {
            return Ok(value.clone());
        }
        let moves = expand(value.shape(), shape);
        let moves = moves.ok_or_else(|| format!("broadcasts {:?} to {shape:?}, which it cannot", value.shape()))?;
        self.moved(std::slice::from_ref(value), moves)
    }

    /// Adds a mixing block.
    pub fn mixing(&mut self, f: impl Mixing<T> + Send + 'static, reads: &[Operand], shape: Vec<usize>) -> Op<Value> {
        let y = self.network.mixing(f, reads).ok_or("has inputs that do not fit")?;
        let (positions, width) = self.network.size(y);
        if positions * width != shape.iter().product::<usize>() {
            return Err("has inputs that do not fit".into());
        }
        Ok(self.computed(shape, y))
    }
}
