//! What flows along the edges of an ONNX graph, and the operators that only move numbers about.
//!
//! A tensor of the graph, run for one trajectory, is known beforehand (a constant, a shape), is made of parameters alone, or is computed.
//! An operator that moves numbers is, for all of them, one list: where each number of the result comes from.

use super::element::Element;
use super::file::count;
pub use super::file::Array;
use kpflow_core::model::VariableId;

/// The number of a parameter and a place in it.
pub type Place = (u32, u32);

/// A tensor made of parameters: where each of its numbers comes from.
#[derive(Clone, Debug)]
pub struct View {
    /// Its shape.
    pub shape: Vec<usize>,
    /// (parameter, flat index) of each number.
    pub places: Vec<Place>,
}

/// A tensor that is computed: a variable whose numbers, row after row, are the tensor's in C order; or column after column.
#[derive(Clone, Debug)]
pub struct Computed {
    /// Its shape.
    pub shape: Vec<usize>,
    /// The variable.
    pub variable: VariableId,
    /// The type of its numbers.
    pub element: Element,
    /// Whether it is the transpose of the variable: then the tensor's numbers in C order are the variable's column after column.
    pub flipped: bool,
}

/// A tensor.
#[derive(Clone, Debug)]
pub enum Value {
    /// Known.
    Known(Array),
    /// Parameters.
    Parameter(View),
    /// Computed.
    Computed(Computed),
    /// Several tensors, of which one is picked.
    Sequence(Vec<Value>),
}

impl Value {
    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        match self {
            Value::Known(a) => &a.shape,
            Value::Parameter(v) => &v.shape,
            Value::Computed(c) => &c.shape,
            Value::Sequence(_) => &[],
        }
    }
    /// The type of its numbers.
    pub fn element(&self) -> Element {
        match self {
            Value::Known(a) => a.element,
            Value::Parameter(_) => Element::Float,
            Value::Computed(c) => c.element,
            Value::Sequence(all) => all.first().map_or(Element::Float, Value::element),
        }
    }
    /// The same numbers as of another type.
    pub fn typed(mut self, element: Element) -> Self {
        match &mut self {
            Value::Known(a) => a.element = element,
            Value::Computed(c) => c.element = element,
            Value::Parameter(_) | Value::Sequence(_) => {}
        }
        self
    }
    /// The same numbers in another shape.
    pub fn reshaped(mut self, shape: Vec<usize>) -> Self {
        match &mut self {
            Value::Known(a) => a.shape = shape,
            Value::Parameter(v) => v.shape = shape,
            Value::Computed(c) => c.shape = shape,
            Value::Sequence(_) => {}
        }
        self
    }
}

/// Where a number comes from: an input and a flat index in it; or nowhere, which is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(u32, u32);

impl Origin {
    /// Zero.
    pub const NOWHERE: Self = Self(u32::MAX, 0);
    /// Number `index` of an input. Tensors are small enough for it ([`MOST`](super::file::MOST)).
    pub fn of(input: usize, index: usize) -> Self {
        Self(input as u32, index as u32)
    }
    /// (input, index).
    pub fn get(self) -> Option<(usize, usize)> {
        (self != Self::NOWHERE).then_some((self.0 as usize, self.1 as usize))
    }
}

/// Where every number of a result comes from.
pub struct Moves {
    /// The shape of the result.
    pub shape: Vec<usize>,
    /// One for each number of it.
    pub from: Vec<Origin>,
}

/// Distances in memory between neighbours along each axis.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1];
    }
    strides
}

/// Calls `f(index)` for every index of a shape, in C order.
pub fn each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let mut index = vec![0; shape.len()];
    for _ in 0..shape.iter().product() {
        f(&index);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// An axis that may count from the end.
pub fn axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|&a| a < rank)
}

/// The moves of one input by a function from an index of the result to one of the input; `None` is zero.
fn moves(from: &[usize], shape: Vec<usize>, f: impl Fn(&[usize], &mut Vec<usize>) -> bool) -> Option<Moves> {
    count(&shape)?;
    let (strides, mut source, mut out) = (strides(from), Vec::new(), Vec::new());
    let mut within = true;
    each_index(&shape, |index| {
        source.clear();
        out.push(if f(index, &mut source) {
            let there = source.iter().zip(from).all(|(i, n)| i < n);
            within &= there;
            Origin::of(0, if there { source.iter().zip(&strides).map(|(i, s)| i * s).sum() } else { 0 })
        } else {
            Origin::NOWHERE
        });
    });
    within.then_some(Moves { shape, from: out })
}

/// The shape that several shapes broadcast to.
pub fn broadcast(shapes: &[&[usize]]) -> Option<Vec<usize>> {
    let rank = shapes.iter().map(|s| s.len()).max()?;
    let mut out = vec![1; rank];
    for shape in shapes {
        for (o, &d) in out[rank - shape.len()..].iter_mut().zip(*shape) {
            if d != 1 && *o != 1 && *o != d {
                return None;
            }
            *o = if *o == 1 { d } else { *o };
        }
    }
    Some(out)
}

/// Broadcasts to a shape.
pub fn expand(from: &[usize], shape: &[usize]) -> Option<Moves> {
    let skip = shape.len().checked_sub(from.len())?;
    moves(from, shape.to_vec(), |index, source| {
        source.extend(index[skip..].iter().zip(from).map(|(&i, &n)| if n == 1 { 0 } else { i }));
        true
    })
}

/// Permutes the axes.
pub fn transpose(from: &[usize], order: &[usize]) -> Option<Moves> {
    let mut seen = vec![false; from.len()];
    let once = order.iter().all(|&a| a < from.len() && !std::mem::replace(&mut seen[a], true));
    if !once || order.len() != from.len() {
        return None;
    }
    let shape = order.iter().map(|&a| from[a]).collect();
    moves(from, shape, |index, source| {
        source.resize(from.len(), 0);
        order.iter().zip(index).for_each(|(&a, &i)| source[a] = i);
        true
    })
}

/// One range of an axis: (axis, start, step, count).
pub type Range = (usize, i64, i64, usize);

/// Cuts ranges out of axes.
pub fn slice(from: &[usize], ranges: &[Range]) -> Option<Moves> {
    let mut shape = from.to_vec();
    for &(axis, _, _, n) in ranges {
        *shape.get_mut(axis)? = n;
    }
    moves(from, shape, |index, source| {
        source.extend_from_slice(index);
        for &(axis, start, step, _) in ranges {
            source[axis] = usize::try_from(start + step * index[axis] as i64).unwrap_or(usize::MAX);
        }
        true
    })
}

/// Picks indices along an axis.
pub fn gather(from: &[usize], axis: usize, indices: &Array) -> Option<Moves> {
    let n = from.get(axis).copied()? as i64;
    let picks: Option<Vec<usize>> =
        indices.integers().into_iter().map(|i| usize::try_from(if i < 0 { i + n } else { i }).ok()).collect();
    let (picks, rank) = (picks?, indices.shape.len());
    let shape = [&from[..axis], &indices.shape, &from[axis + 1..]].concat();
    let steps = strides(&indices.shape);
    moves(from, shape, |index, source| {
        let flat: usize = index[axis..axis + rank].iter().zip(&steps).map(|(i, s)| i * s).sum();
        source.extend_from_slice(&index[..axis]);
        source.push(picks[flat]);
        source.extend_from_slice(&index[axis + rank..]);
        true
    })
}

/// Adds zeros before and after each axis (or takes away, where negative).
pub fn pad(from: &[usize], before: &[i64], after: &[i64]) -> Option<Moves> {
    let size = |i: usize| usize::try_from(from[i] as i64 + before.get(i)? + after.get(i)?).ok();
    let shape: Option<Vec<usize>> = (0..from.len()).map(size).collect();
    moves(from, shape?, |index, source| {
        for (axis, &i) in index.iter().enumerate() {
            match usize::try_from(i as i64 - before[axis]).ok().filter(|&i| i < from[axis]) {
                Some(i) => source.push(i),
                None => return false,
            }
        }
        true
    })
}

/// Repeats along each axis.
pub fn tile(from: &[usize], repeats: &[usize]) -> Option<Moves> {
    if repeats.len() != from.len() {
        return None;
    }
    let shape: Option<Vec<usize>> = from.iter().zip(repeats).map(|(d, r)| d.checked_mul(*r)).collect();
    moves(from, shape?, |index, source| {
        source.extend(index.iter().zip(from).map(|(i, n)| i % (*n).max(1)));
        true
    })
}

/// Joins along an axis.
pub fn concat(shapes: &[&[usize]], axis: usize) -> Option<Moves> {
    let first = shapes.first()?;
    let alike = |s: &&&[usize]| s.len() == first.len() && (0..s.len()).all(|i| i == axis || s[i] == first[i]);
    if axis >= first.len() || !shapes.iter().all(|s| alike(&s)) {
        return None;
    }
    let mut shape = first.to_vec();
    shape[axis] = shapes.iter().map(|s| s[axis]).sum();
    count(&shape)?;
    let (inner, outer): (usize, usize) = (shape[axis + 1..].iter().product(), shape[..axis].iter().product());
    let mut from = Vec::new();
    for o in 0..outer {
        for (which, s) in shapes.iter().enumerate() {
            let n = s[axis] * inner;
            from.extend((0..n).map(|i| Origin::of(which, o * n + i)));
        }
    }
    Some(Moves { shape, from })
}
