//! Products, normalisation, softmax and reductions.

use super::maps::{batch, conv, pool};
use super::reader::{Op, Reader};
use super::value::{self, Value};
use super::Node;
use kpflow_core::model::functions::{Activation, Arithmetic};
use kpflow_core::model::mixing::{Along, LogSoftmax, Normalize, Product, Softmax};
use kpflow_core::model::{Form, Operand};
use kpflow_core::Scalar;

/// Applies a node of this kind; `None` if it is of another.
pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Option<Vec<Value>>> {
    let one = |v: Value| Ok(Some(vec![v]));
    match n.kind() {
        "MatMul" => one(matmul(reader, n.input(0)?, n.input(1)?)?),
        "Gemm" => one(gemm(reader, n)?),
        "Conv" => one(conv(reader, n)?),
        "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" => one(pool(reader, n)?),
        "BatchNormalization" => one(batch(reader, n)?),
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => one(layer_norm(reader, n)?),
        "InstanceNormalization" | "GroupNormalization" => one(group_norm(reader, n)?),
        "Softmax" | "LogSoftmax" => {
            let x = n.input(0)?;
            let axis = n.axis(if n.opset >= 13 { -1 } else { 1 }, x.shape().len())?;
            let group = match n.opset >= 13 {
                true => x.shape()[axis],
                // Older ones flatten all that follows the axis.
                false => x.shape()[axis..].iter().product(),
            };
            let along = |reader: &mut Reader<T>, x: &Value| {
                let input = reader.rows(x, group)?;
                match n.kind() {
                    "LogSoftmax" => reader.mixing(LogSoftmax { group }, &[input], x.shape().to_vec()),
                    _ => {
                        let f = Softmax { group, scale: 1.0, masked: false };
                        reader.mixing(f, &[input], x.shape().to_vec())
                    }
                }
            };
            one(if n.opset >= 13 { last(reader, x, axis, along)? } else { along(reader, x)? })
        }
        kind if kind.starts_with("Reduce") => one(super::reduce::reduce(reader, n)?),
        "Mean" => {
            let mut sum = n.input(0)?.clone();
            for i in 1..n.node.input.len() {
                sum = reader.binary(Arithmetic::Add, &sum, n.input(i)?)?;
            }
            one(reader.unary(Activation::Affine(1.0 / n.node.input.len() as f64, 0.0), &sum)?)
        }
        _ => Ok(None),
    }
}

/// Moves an axis to the end, applies `f`, moves it back.
pub(super) fn last<T: Scalar>(
    reader: &mut Reader<T>,
    x: &Value,
    axis: usize,
    f: impl FnOnce(&mut Reader<T>, &Value) -> Op<Value>,
) -> Op<Value> {
    let rank = x.shape().len();
    if axis + 1 == rank {
        return f(reader, x);
    }
    let mut order: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
    order.push(axis);
    let moved = permuted(reader, x, &order)?;
    let y = f(reader, &moved)?;
    let back: Vec<usize> = (0..rank).map(|a| order.iter().position(|&o| o == a).unwrap_or(0)).collect();
    permuted(reader, &y, &back)
}

pub(super) fn permuted<T: Scalar>(reader: &mut Reader<T>, x: &Value, order: &[usize]) -> Op<Value> {
    let moves = value::transpose(x.shape(), order).ok_or("permutes axes, which it cannot")?;
    reader.moved(std::slice::from_ref(x), moves)
}

pub(super) fn swapped<T: Scalar>(reader: &mut Reader<T>, x: &Value) -> Op<Value> {
    let rank = x.shape().len();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 1, rank - 2);
    permuted(reader, x, &order)
}

/// Whether a product of `x` with this is a weight site: a matrix of parameters, or a fixed one that data goes through.
fn is_weight(v: &Value, x: &Value) -> bool {
    let fixed = |v: &Value| matches!(v, Value::Known(_));
    v.shape().len() == 2 && (matches!(v, Value::Parameter(_)) || fixed(v) && !fixed(x))
}

/// x W for W `[n_in, n_out]`, fixed or a parameter.
fn linear<T: Scalar>(reader: &mut Reader<T>, x: &Value, w: &Value, bias: Option<&Value>) -> Op<Value> {
    let (n_in, n_out) = (w.shape()[0], w.shape()[1]);
    if x.shape().last() != Some(&n_in) {
        return Err(format!("multiplies shapes {:?} and {:?}, which it cannot", x.shape(), w.shape()));
    }
    let matrix = swapped(reader, w)?;
    let weight = reader.weight(&matrix, bias, n_out, n_in)?;
    let input = reader.rows(x, n_in)?;
    let y = reader.network.dense(weight, input);
    let shape = [&x.shape()[..x.shape().len() - 1], &[n_out]].concat();
    Ok(reader.computed(shape, y).typed(x.element()))
}

pub(super) fn matmul<T: Scalar>(reader: &mut Reader<T>, a: &Value, b: &Value) -> Op<Value> {
    let wrong = || format!("multiplies shapes {:?} and {:?}, which it cannot", a.shape(), b.shape());
    // A vector is a matrix of one row or column.
    if a.shape().len() == 1 || b.shape().len() == 1 {
        let (first, second) = (a.shape().len() == 1, b.shape().len() == 1);
        let wide = |v: &Value, front: bool| {
            let n = v.shape().first().copied().unwrap_or(1);
            v.clone().reshaped(if front { vec![1, n] } else { vec![n, 1] })
        };
        let a = if first { wide(a, true) } else { a.clone() };
        let b = if second { wide(b, false) } else { b.clone() };
        let y = matmul(reader, &a, &b)?;
        let mut shape = y.shape().to_vec();
        let rank = shape.len();
        if second {
            shape.remove(rank - 1);
        }
        if first {
            shape.remove(rank - 2);
        }
        return Ok(y.reshaped(shape));
    }
    let (&[.., m, k], &[.., k2, p]) = (a.shape(), b.shape()) else { return Err(wrong()) };
    if k != k2 || k == 0 {
        return Err(wrong());
    }
    if let (Value::Known(x), Value::Known(y)) = (a, b) {
        if x.shape.len() == 2 && y.shape.len() == 2 && m.saturating_mul(k).saturating_mul(p) < 1 << 28 {
            let entry = |i: usize| (0..k).map(|j| x.data[i / p * k + j] * y.data[j * p + i % p]).sum();
            let data = (0..m * p).map(entry).collect();
            return Ok(Value::Known(super::file::Array { shape: vec![m, p], data, element: x.element }));
        }
    }
    if is_weight(b, a) {
        return linear(reader, a, b, None);
    }
    if is_weight(a, b) && b.shape().len() == 2 {
        // W x = (xᵀ Wᵀ)ᵀ
        let (x, w) = (swapped(reader, b)?, swapped(reader, a)?);
        let y = linear(reader, &x, &w, None)?;
        return swapped(reader, &y);
    }
    let (ab, bb) = (&a.shape()[..a.shape().len() - 2], &b.shape()[..b.shape().len() - 2]);
    let batch = value::broadcast(&[ab, bb]).ok_or_else(wrong)?;
    let groups: usize = batch.iter().product();
    let side = |reader: &mut Reader<T>, v: &Value, own: &[usize], rows: usize, cols: usize| -> Op<(Operand, Along)> {
        if own.iter().product::<usize>() == 1 && groups > 1 {
            return Ok((reader.rows(v, cols)?, Along::Shared));
        }
        let shape = [&batch[..], &[rows, cols]].concat();
        let v = reader.expanded(v, &shape)?;
        Ok((reader.rows(&v, cols)?, Along::Rows))
    };
    let (x, along_a) = side(reader, a, ab, m, k)?;
    let (y, along_b) = side(reader, b, bb, k, p)?;
    let product = Product { groups, along: [along_a, along_b, Along::Rows], transposed: false };
    Ok(reader.mixing(product, &[x, y], [&batch[..], &[m, p]].concat())?.typed(a.element()))
}

fn gemm<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let flip = |reader: &mut Reader<T>, v: &Value, name: &str| match n.integer(name, 0) {
        0 => Ok(v.clone()),
        _ if v.shape().len() == 2 => swapped(reader, v),
        _ => Err(format!("transposes a tensor of shape {:?}", v.shape())),
    };
    let (a, b) = (flip(reader, n.input(0)?, "transA")?, flip(reader, n.input(1)?, "transB")?);
    let (alpha, beta, c) = (n.float("alpha", 1.0), n.float("beta", 1.0), n.optional(2)?);
    // Old opsets say that C may be broadcast; where its shape is the result's, nothing is.
    n.without_effect(&["broadcast"]);
    let width = b.shape().last().copied().unwrap_or(0);
    let row = c
        .filter(|c| matches!(c, Value::Parameter(_) | Value::Known(_)) && c.shape().iter().product::<usize>() == width);
    if let (true, Some(row), 1.0, 1.0) = (is_weight(&b, &a), row, alpha, beta) {
        return linear(reader, &a, &b, Some(row));
    }
    let mut y = matmul(reader, &a, &b)?;
    if alpha != 1.0 {
        y = reader.unary(Activation::Affine(alpha, 0.0), &y)?;
    }
    match c {
        None => Ok(y),
        Some(c) if beta == 1.0 => reader.binary(Arithmetic::Add, &y, c),
        Some(c) => reader.clustered(Arithmetic::Step(beta), [&y, c]),
    }
}

/// Gain and bias of a normalised row, as a site where they are a row of parameters or numbers.
fn gained<T: Scalar>(reader: &mut Reader<T>, y: Value, gain: Option<&Value>, bias: Option<&Value>) -> Op<Value> {
    let width = y.shape().last().copied().unwrap_or(1);
    let row = |v: &&Value| !matches!(v, Value::Computed(_)) && v.shape().iter().product::<usize>() == width;
    match gain {
        Some(gain) if row(&gain) && bias.iter().all(row) => {
            let weight = reader.weight(gain, bias, width, 1)?;
            let (input, shape) = (reader.rows(&y, width)?, y.shape().to_vec());
            let y = reader.network.site(Form::Gain, weight, input);
            Ok(reader.computed(shape, y))
        }
        _ => {
            let mut y = y;
            if let Some(gain) = gain {
                y = reader.binary(Arithmetic::Mul, &y, gain)?;
            }
            match bias {
                Some(bias) => reader.binary(Arithmetic::Add, &y, bias),
                None => Ok(y),
            }
        }
    }
}

fn layer_norm<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    // In which precision moments are taken: it is the job's here.
    if n.integer("stash_type", 1) != 1 {
        return Err("has another stash_type than 1, which is not in this version".into());
    }
    let x = n.input(0)?;
    let axis = n.axis(-1, x.shape().len())?;
    let group: usize = x.shape()[axis..].iter().product();
    let norm = Normalize { group, eps: n.float("epsilon", 1e-5), centered: n.kind() == "LayerNormalization" };
    let input = reader.rows(x, group)?;
    let flat = [&x.shape()[..axis], &[group]].concat();
    let y = reader.mixing(norm, &[input], flat)?;
    let row = |v: Option<&Value>| v.map(|v| v.clone().reshaped(vec![v.shape().iter().product()]));
    let (gain, bias) = (row(n.optional(1)?), row(n.optional(2)?));
    Ok(gained(reader, y, gain.as_ref(), bias.as_ref())?.reshaped(x.shape().to_vec()))
}

fn group_norm<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let (x, gain, bias) = (n.input(0)?, n.input(1)?, n.input(2)?);
    let shape = x.shape().to_vec();
    let c = shape.get(1).copied().unwrap_or(0);
    let groups =
        if n.kind() == "GroupNormalization" { usize::try_from(n.integer("num_groups", 0)).unwrap_or(0) } else { c };
    if groups == 0 || c % groups != 0 || shape.contains(&0) || gain.shape() != [c] || bias.shape() != [c] {
        return Err(format!("normalises {c} channels in {groups} groups"));
    }
    let group = shape.iter().product::<usize>() / (shape[0] * groups);
    let input = reader.rows(x, group)?;
    let norm = Normalize { group, eps: n.float("epsilon", 1e-5), centered: true };
    let y = reader.mixing(norm, &[input], shape.clone())?;
    let mut column = vec![c];
    column.resize(shape.len() - 1, 1);
    let y = reader.binary(Arithmetic::Mul, &y, &gain.clone().reshaped(column.clone()))?;
    reader.binary(Arithmetic::Add, &y, &bias.clone().reshaped(column))
}
