//! Reductions over axes.

use super::cast::cast;
use super::element::Element;
use super::file::Array;
use super::products::{matmul, permuted};
use super::reader::{Op, Reader};
use super::value::{self, Value};
use super::Node;
use crate::kinds::conv::largest;
use kpflow_core::model::functions::{Activation, Arithmetic};
use kpflow_core::model::mixing::{LogSumExp, Run};
use kpflow_core::model::{Operand, VariableId};
use kpflow_core::Scalar;

/// What is to be reduced as a matrix: a row for each number that is left, the numbers it is made of in its columns. And the shape that is left.
fn gathered<T: Scalar>(reader: &mut Reader<T>, x: &Value, axes: &[usize]) -> Op<(Value, Vec<usize>)> {
    let keep: Vec<usize> = (0..x.shape().len()).filter(|a| !axes.contains(a)).collect();
    let size = |axes: &[usize]| axes.iter().map(|&a| x.shape()[a]).collect::<Vec<usize>>();
    let (kept, count) = (size(&keep), size(axes).iter().product());
    if count == 0 {
        return Err("reduces no numbers".into());
    }
    let order: Vec<usize> = keep.iter().chain(axes).copied().collect();
    let matrix = permuted(reader, x, &order)?.reshaped(vec![kept.iter().product(), count]);
    Ok((matrix, kept))
}

/// The sum over some axes, which are then gone.
pub(super) fn summed<T: Scalar>(reader: &mut Reader<T>, x: &Value, axes: &[usize]) -> Op<Value> {
    let (x, kept) = gathered(reader, x, axes)?;
    let count = x.shape()[1];
    let row = Array { shape: vec![count, 1], data: vec![1.0; count], element: x.element() };
    Ok(matmul(reader, &x, &Value::Known(row))?.reshaped(kept))
}

pub(super) fn reduce<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let (shape, rank) = (x.shape().to_vec(), x.shape().len());
    let axes = n.list(1, "axes")?.unwrap_or_default();
    let noop = n.integer("noop_with_empty_axes", 0) != 0;
    let mut axes: Vec<usize> = match axes.is_empty() {
        // Over no axis: what is done with single numbers is done all the same.
        true if noop => Vec::new(),
        true => (0..rank).collect(),
        false => axes
            .iter()
            .map(|&a| value::axis(a, rank))
            .collect::<Option<_>>()
            .ok_or("reduces an axis that is not there")?,
    };
    axes.sort_unstable();
    axes.dedup();
    if let Some(row) = over_pixels(reader, n.kind(), x, &axes) {
        let shape: Vec<usize> = if n.integer("keepdims", 1) == 0 {
            shape[..2].to_vec()
        } else {
            (0..rank).map(|a| if a < 2 { shape[a] } else { 1 }).collect()
        };
        return Ok(reader.computed(shape, row).typed(x.element()));
    }
    let (x, kept) = gathered(reader, x, &axes)?;
    let (rows, count) = (x.shape()[0], x.shape()[1]);
    let out: Vec<usize> = match n.integer("keepdims", 1) {
        0 => kept,
        _ => (0..rank).map(|a| if axes.contains(&a) { 1 } else { shape[a] }).collect(),
    };
    let element = x.element();
    if let Value::Known(a) = &x {
        let data = a.data.chunks(count).map(|row| of_known(n.kind(), row)).collect::<Op<Vec<f64>>>()?;
        let y = Value::Known(Array { shape: out, data, element: Element::Double });
        // A mean of whole numbers is cut.
        return cast(reader, &y, element);
    }
    let squares = reader.is_square(n.input(0)?);
    // Roots and logarithms of whole numbers are cut.
    let whole = |reader: &mut Reader<T>, y: Value| match element {
        Element::Integer { .. } => cast(reader, &y.typed(Element::Double), element),
        Element::Float | Element::Double | Element::Bool => Ok(y.typed(element)),
    };
    let x = match n.kind() {
        "ReduceSumSquare" | "ReduceL2" => reader.unary(Activation::Pow(2.0), &x)?,
        "ReduceL1" => reader.unary(Activation::Abs, &x)?,
        "ReduceMin" => reader.unary(Activation::Affine(-1.0, 0.0), &x)?,
        "ReduceLogSumExp" | "ReduceLogSum" | "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceProd" => x,
        other => return Err(format!("reduces by {other}, which is not in this version")),
    };
    let input = reader.rows(&x, count)?;
    let columns = || (0..count).map(|i| Operand { offset: i, width: 1, ..input });
    if matches!(n.kind(), "ReduceMax" | "ReduceMin") {
        // A column at a time, so that every row has its own.
        let y = largest(&mut reader.network, columns().collect());
        let y = if count == 1 { reader.network.concat(&[Operand { width: 1, ..input }]) } else { y };
        let y = reader.computed(out, y);
        let y = if n.kind() == "ReduceMin" { reader.unary(Activation::Affine(-1.0, 0.0), &y)? } else { y };
        return Ok(y.typed(element));
    }
    if n.kind() == "ReduceProd" {
        let mut product = reader.network.concat(&[Operand { width: 1, ..input }]);
        for column in columns().skip(1) {
            product = reader.network.cluster(Arithmetic::Mul, [reader.network.read(product), column]);
        }
        return Ok(reader.computed(out, product).typed(element));
    }
    if n.kind() == "ReduceLogSumExp" {
        let y = reader.mixing(LogSumExp { group: count }, &[input], out)?;
        return whole(reader, y);
    }
    let mean = n.kind() == "ReduceMean";
    let scale = T::of(if mean && !element.is_integer() { 1.0 / count as f64 } else { 1.0 });
    let width = out.last().copied().unwrap_or(1).max(1);
    let run = |i: usize| {
        let r = i / count;
        Run { input: 0, from: (r, i % count), to: (r / width, r % width), len: 1, scale }
    };
    let y = reader.network.sparse((0..rows * count).map(run).collect(), &[input], (rows / width, width));
    let y = reader.computed(out, y);
    if matches!(n.kind(), "ReduceSumSquare" | "ReduceL2") || n.kind() == "ReduceSum" && squares {
        reader.square(&y);
    }
    let y = match n.kind() {
        "ReduceL2" => reader.root(&y)?,
        "ReduceLogSum" => reader.unary(Activation::Ln, &y)?,
        _ if mean && element.is_integer() => {
            let count = Value::Known(Array { shape: vec![], data: vec![count as f64], element });
            return reader.binary(Arithmetic::Div, &y.typed(element), &count);
        }
        _ => y,
    };
    whole(reader, y)
}

/// The sum or mean over all pixels of a map that lies as pixels of channels: row upon row.
fn over_pixels<T: Scalar>(reader: &mut Reader<T>, kind: &str, x: &Value, axes: &[usize]) -> Option<VariableId> {
    let Value::Computed(c) = x else { return None };
    let (pixels, channels) = reader.network.size(c.variable);
    let spatial = x.shape().len() > 2 && axes.iter().copied().eq(2..x.shape().len());
    let scale = match kind {
        "ReduceMean" => 1.0 / pixels as f64,
        "ReduceSum" => 1.0,
        _ => return None,
    };
    let fits = c.flipped && spatial && x.shape()[..2] == [1, channels] && x.element().is_float();
    if !fits || reader.is_square(x) {
        return None;
    }
    let run = |p| Run { input: 0, from: (p, 0), to: (0, 0), len: channels, scale: T::of(scale) };
    let input = reader.network.read(c.variable);
    Some(reader.network.sparse((0..pixels).map(run).collect(), &[input], (1, channels)))
}

/// A reduction of numbers that are known.
fn of_known(kind: &str, row: &[f64]) -> Op<f64> {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let squares = || row.iter().map(|x| x * x).sum::<f64>();
    Ok(match kind {
        "ReduceSum" => row.iter().sum(),
        "ReduceMean" => row.iter().sum::<f64>() / row.len() as f64,
        "ReduceMax" => most,
        "ReduceMin" => row.iter().copied().fold(f64::INFINITY, f64::min),
        "ReduceProd" => row.iter().product(),
        "ReduceL1" => row.iter().map(|x| x.abs()).sum(),
        "ReduceL2" => squares().sqrt(),
        "ReduceSumSquare" => squares(),
        "ReduceLogSum" => row.iter().sum::<f64>().ln(),
        "ReduceLogSumExp" if most.is_infinite() => most,
        "ReduceLogSumExp" => most + row.iter().map(|x| (x - most).exp()).sum::<f64>().ln(),
        other => return Err(format!("reduces by {other}, which is not in this version")),
    })
}
