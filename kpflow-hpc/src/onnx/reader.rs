//! From tensors to variables: what every operator builds with.

use super::file::{count, Array};
use super::value::{broadcast, expand, Computed, Moves, Origin, Place, Value, View};
use crate::network::{Network, OwnedWeight};
use kpflow_core::model::functions::Arithmetic;
use kpflow_core::model::mixing::Run;
use kpflow_core::model::{Activation, Form, Mixing, Operand, Real, UnitWise, MAX_INPUTS};
use kpflow_core::Scalar;
use std::collections::HashMap;
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
type Key = (usize, u64, u64);

fn key(places: &[Place]) -> Key {
    let hash = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, places).hash(&mut hasher);
        hasher.finish()
    };
    (places.len(), hash(0), hash(1))
}

/// The network that is being built from a graph.
pub struct Reader<T> {
    /// The network.
    pub network: Network<T>,
    parameters: Vec<Parameter>,
    /// Weights by their matrix and bias.
    weights: HashMap<(Key, Key), usize>,
    /// Parameters that are variables.
    free: HashMap<Key, usize>,
}

impl<T: Scalar> Reader<T> {
    /// An empty network.
    pub fn new() -> Self {
        let mut network = Network::default();
        network.segment(kpflow_core::model::Scan::Parallel);
        Self { network, parameters: Vec::new(), weights: HashMap::new(), free: HashMap::new() }
    }

    /// Adds an initialiser that is trained.
    pub fn parameter(&mut self, name: &str, array: Array) -> Value {
        let which = self.parameters.len() as u32;
        let places = (0..array.data.len() as u32).map(|i| (which, i)).collect();
        let taken = vec![false; array.data.len()];
        self.parameters.push(Parameter { name: name.into(), data: array.data, taken });
        Value::Parameter(View { shape: array.shape, places })
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
        places.iter().all(|&(p, i)| {
            let seen = seen.entry(p).or_insert_with(|| vec![false; self.parameters[p as usize].data.len()]);
            !std::mem::replace(&mut seen[i as usize], true)
        })
    }

    /// Every number of θ is held once.
    fn take(&mut self, places: &[Place]) -> Op<()> {
        for &(p, i) in places {
            let parameter = &mut self.parameters[p as usize];
            if std::mem::replace(&mut parameter.taken[i as usize], true) {
                return Err(format!("uses the parameter {} in another way than it was used before", parameter.name));
            }
        }
        Ok(())
    }

    /// A weight `[n_out, n_in]`, trained where it is made of parameters; the same one if it was asked for before.
    pub fn weight(&mut self, matrix: &Value, bias: Option<&Value>, n_out: usize, n_in: usize) -> Op<usize> {
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
                false => Err(format!("uses the parameter {} in another way than it was used before", known.name)),
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
                _ => return Err("has a weight that is computed".into()),
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
    pub fn variable(&mut self, value: &Value) -> Op<usize> {
        let width = value.shape().last().copied().unwrap_or(1).max(1);
        let positions = value.shape().iter().product::<usize>() / width;
        match value {
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

    /// A computed tensor of this shape that is a variable.
    pub fn computed(&self, shape: Vec<usize>, variable: usize) -> Value {
        Value::Computed(Computed { shape, variable })
    }

    /// A sparse map that moves single numbers, put together to runs.
    fn sparse(&mut self, inputs: &[usize], from: &[Origin], size: (usize, usize)) -> usize {
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
    fn joined(&mut self, variables: Vec<usize>, from: Vec<Origin>) -> (Vec<usize>, Vec<Origin>) {
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
        }
        let known: Option<Vec<&Array>> =
            inputs.iter().map(|v| if let Value::Known(a) = v { Some(a) } else { None }).collect();
        if let Some(arrays) = known {
            let data = from.iter().map(|f| f.get().map_or(0.0, |(which, i)| arrays[which].data[i])).collect();
            return Ok(Value::Known(Array { shape, data, integer: arrays.iter().all(|a| a.integer) }));
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
        let variables = inputs.iter().map(|v| self.variable(v)).collect::<Op<Vec<usize>>>()?;
        let (variables, from) = self.joined(variables, from);
        let width = shape.last().copied().unwrap_or(1).max(1);
        let size = (from.len() / width, width);
        let variable = self.sparse(&variables, &from, size);
        Ok(self.computed(shape, variable))
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

    /// Applies a function of one number.
    pub fn unary(&mut self, f: Activation, value: &Value) -> Op<Value> {
        if let Value::Known(a) = value {
            let data = a.data.iter().map(|&x| f.of(x)).collect();
            return Ok(Value::Known(Array { data, shape: a.shape.clone(), integer: false }));
        }
        self.unit(f, value)
    }

    /// Applies a unit-wise function of one number that has no constant form.
    pub fn unit<F: UnitWise<1, 1> + Send + 'static>(&mut self, f: F, value: &Value) -> Op<Value> {
        let input = self.variable(value)?;
        let y = self.network.cluster(f, [self.network.read(input)]);
        Ok(self.computed(value.shape().to_vec(), y))
    }

    /// Applies a unit-wise function of several tensors, broadcast.
    pub fn clustered<F, const I: usize>(&mut self, f: F, values: [&Value; I]) -> Op<Value>
    where
        F: UnitWise<I, 1> + Send + 'static,
    {
        let shape = self.broadcast(&values)?;
        let width = shape.last().copied().unwrap_or(1).max(1);
        let mut reads = [Operand::default(); I];
        for (read, value) in reads.iter_mut().zip(values) {
            let value = self.expanded(value, &shape)?;
            *read = self.rows(&value, width)?;
        }
        let y = self.network.cluster(f, reads);
        Ok(self.computed(shape, y))
    }

    /// The shape that these broadcast to.
    pub fn broadcast(&self, values: &[&Value]) -> Op<Vec<usize>> {
        let shapes: Vec<&[usize]> = values.iter().map(|v| v.shape()).collect();
        let shape = broadcast(&shapes).filter(|s| count(s).is_some());
        shape.ok_or_else(|| format!("has inputs of shapes {shapes:?}, which do not broadcast"))
    }

    /// Applies an operation of two tensors.
    pub fn binary(&mut self, op: Arithmetic, a: &Value, b: &Value) -> Op<Value> {
        if let (Value::Known(x), Value::Known(y)) = (a, b) {
            return self.known(a, b, x.integer && y.integer, |x, y, integer| number(op, x, y, integer));
        }
        if let Some(f) = one_sided(op, a, b) {
            // A number that is known needs no variable; the result has the shape of both.
            let (other, shape) = (if matches!(a, Value::Known(_)) { b } else { a }, self.broadcast(&[a, b])?);
            let y = self.unit(f, other)?;
            return Ok(y.reshaped(shape));
        }
        // A gain: x ⊙ w along the last axis.
        for (x, w) in [(a, b), (b, a)] {
            if let (Arithmetic::Mul, Value::Computed(_), Value::Parameter(w)) = (op, x, w) {
                let width = x.shape().last().copied().unwrap_or(1);
                let row = w.shape.iter().rev().skip(1).all(|&d| d == 1) && w.shape.last() == Some(&width);
                if row && w.shape.len() <= x.shape().len() && !self.free.contains_key(&key(&w.places)) {
                    let shape = x.shape().to_vec();
                    let weight = self.weight(&Value::Parameter(w.clone()), None, width, 1)?;
                    let input = self.rows(x, width)?;
                    let y = self.network.site(Form::Gain, weight, input);
                    return Ok(self.computed(shape, y));
                }
            }
        }
        self.clustered(op, [a, b])
    }

    /// An operation of two known tensors.
    pub fn known(&mut self, a: &Value, b: &Value, integer: bool, f: impl Fn(f64, f64, bool) -> f64) -> Op<Value> {
        let shape = self.broadcast(&[a, b])?;
        let (a, b) = (self.expanded(a, &shape)?, self.expanded(b, &shape)?);
        let (Value::Known(a), Value::Known(b)) = (a, b) else { return Err("is not known".into()) };
        let data = a.data.iter().zip(&b.data).map(|(&x, &y)| f(x, y, integer)).collect();
        Ok(Value::Known(Array { shape, data, integer }))
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

/// What an operation does with numbers.
fn number(op: Arithmetic, x: f64, y: f64, integer: bool) -> f64 {
    match op {
        Arithmetic::Add => x + y,
        Arithmetic::Sub => x - y,
        Arithmetic::Mul => x * y,
        Arithmetic::Div if integer && y == 0.0 => 0.0,
        Arithmetic::Div if integer => (x / y).trunc(),
        Arithmetic::Div => x / y,
        Arithmetic::Max => Real::max(x, y),
        Arithmetic::Min => -Real::max(-x, -y),
        Arithmetic::Pow => x.powf(y),
        Arithmetic::Step(s) => x + s * y,
    }
}

/// An operation with one known number as a function of the other.
fn one_sided(op: Arithmetic, a: &Value, b: &Value) -> Option<Activation> {
    let single = |v: &Value| match v {
        Value::Known(k) if k.data.len() == 1 => Some(k.data[0]),
        _ => None,
    };
    match (op, single(a), single(b)) {
        (Arithmetic::Add, Some(c), _) | (Arithmetic::Add, _, Some(c)) => Some(Activation::Affine(1.0, c)),
        (Arithmetic::Sub, _, Some(c)) => Some(Activation::Affine(1.0, -c)),
        (Arithmetic::Sub, Some(c), _) => Some(Activation::Affine(-1.0, c)),
        (Arithmetic::Mul, Some(c), _) | (Arithmetic::Mul, _, Some(c)) => Some(Activation::Affine(c, 0.0)),
        (Arithmetic::Div, _, Some(c)) => Some(Activation::Affine(c.recip(), 0.0)),
        (Arithmetic::Pow, _, Some(p)) => Some(Activation::Pow(p)),
        (Arithmetic::Max, _, Some(c)) | (Arithmetic::Max, Some(c), _) => Some(Activation::Clip(c, f64::INFINITY)),
        (Arithmetic::Min, _, Some(c)) | (Arithmetic::Min, Some(c), _) => Some(Activation::Clip(f64::NEG_INFINITY, c)),
        _ => None,
    }
}
