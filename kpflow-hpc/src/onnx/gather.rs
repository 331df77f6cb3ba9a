//! `Gather` and `GatherElements`: numbers picked by indices, known or computed.

use super::element::Element;
use super::file::Array;
use super::reader::{Op, Reader};
use super::value::{self, each_index, Moves, Origin, Value};
use super::Node;
use kpflow_core::model::{Form, Real, UnitWise, WeightId};
use kpflow_core::Scalar;

/// What is said of a tensor that something cannot be done with.
pub(super) fn impossible(what: &str, shape: &[usize]) -> String {
    format!("{what} a tensor of shape {shape:?}, which it cannot")
}

/// A computed index that may count from the end, of so many rows.
struct FromEnd(f64);

impl UnitWise<1, 1> for FromEnd {
    fn eval<R: Real>(&self, [x]: [R; 1]) -> [R; 1] {
        let i = x.value().f64();
        [R::constant(if i < 0.0 { i + self.0 } else { i })]
    }
}

/// Numbers by an index for each, along an axis.
pub(super) fn elements<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let (x, indices) = (n.input(0)?, n.known(1, "indices")?.ok_or("has no indices")?);
    let axis = n.axis(0, x.shape().len())?;
    let (from, strides) = (x.shape(), value::strides(x.shape()));
    if indices.shape.len() != from.len() {
        return Err("has indices of another rank".into());
    }
    let (mut places, mut at, mut within) = (Vec::new(), 0, true);
    each_index(&indices.shape, |index| {
        let i = indices.data[at] as i64;
        let pick = usize::try_from(if i < 0 { i + from[axis] as i64 } else { i }).unwrap_or(usize::MAX);
        let mut index = index.to_vec();
        index[axis] = pick;
        within &= index.iter().zip(from).all(|(i, d)| i < d);
        let flat = index.iter().zip(&strides).fold(0usize, |s, (i, d)| s.saturating_add(i.saturating_mul(*d)));
        places.push(Origin::of(0, flat));
        at += 1;
    });
    if !within {
        return Err(impossible("gathers beyond", from));
    }
    reader.moved(std::slice::from_ref(x), Moves { shape: indices.shape.clone(), from: places })
}

/// Rows of a tensor; an embedding where the indices are data and the tensor is a parameter.
pub(super) fn gather<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let (x, indices) = (n.input(0)?, n.input(1)?);
    let axis = n.axis(0, x.shape().len())?;
    if let (Value::Parameter(view), Value::Known(known)) = (x, indices) {
        // Rows that are read more than once are an embedding's, not parameters of their own.
        let mut seen = std::collections::HashSet::new();
        if axis == 0 && view.shape.len() == 2 && !known.data.iter().all(|i| seen.insert(*i as i64)) {
            // As ONNX has it, a negative index counts from the end.
            let row = |&i: &f64| if i < 0.0 { i + view.shape[0] as f64 } else { i };
            let data: Vec<f64> = known.data.iter().map(row).collect();
            if data.iter().any(|&i| i < 0.0 || i >= view.shape[0] as f64) {
                return Err(impossible("gathers beyond the ends of", x.shape()));
            }
            return embedding(reader, x, &Value::Known(Array { data, ..known.clone() }));
        }
    }
    match indices {
        Value::Known(indices) => {
            let moves = value::gather(x.shape(), axis, indices);
            let moves = moves.ok_or_else(|| impossible("gathers beyond the ends of", x.shape()))?;
            reader.moved(std::slice::from_ref(x), moves)
        }
        Value::Computed(_) if axis == 0 && x.shape().len() == 2 => embedding(reader, x, indices),
        Value::Parameter(_) | Value::Computed(_) | Value::Sequence(_) => {
            Err("gathers by computed indices along another axis than the first of a table".into())
        }
    }
}

fn embedding<T: Scalar>(reader: &mut Reader<T>, table: &Value, indices: &Value) -> Op<Value> {
    let &[rows, width] = table.shape() else { return Err("has a table that is not [rows, width]".into()) };
    if rows == 0 || width == 0 {
        return Err("has a table without numbers".into());
    }
    if rows > 1 << 24 {
        return Err(format!("has a table of {rows} rows; 2²⁴ can be told apart"));
    }
    if matches!(table, Value::Computed(_)) {
        return Err("has a table that is computed and indices that are data".into());
    }
    let weight = reader.weight(table, None, rows, width)?;
    let Value::Computed(c) = indices else { return embedded(reader, weight, indices, (width, table.element())) };
    // Tokens that a user gives count from 0, and a negative one is a mistake or a padding; an index that the graph computes may count
    // from the end, as ONNX has it.
    if reader.network.is_given(c.variable) {
        return embedded(reader, weight, indices, (width, table.element()));
    }
    let counted = reader.unit(FromEnd(rows as f64), indices)?;
    embedded(reader, weight, &counted, (width, table.element()))
}

/// The rows of a table that indices from 0 name.
fn embedded<T: Scalar>(
    reader: &mut Reader<T>,
    weight: WeightId,
    indices: &Value,
    (width, element): (usize, Element),
) -> Op<Value> {
    let input = reader.rows(indices, 1)?;
    let y = reader.network.site(Form::Embedding, weight, input);
    let shape = [indices.shape(), &[width]].concat();
    Ok(reader.computed(shape, y).typed(element))
}
