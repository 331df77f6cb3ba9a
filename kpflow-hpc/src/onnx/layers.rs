//! `Gemm`, normalisation and softmax, and which file reads the other layers.

use super::maps::{batch, conv, pool};
use super::products::{is_weight, last, linear, matmul, swapped};
use super::reader::{Op, Reader};
use super::value::Value;
use super::Node;
use kpflow_core::model::functions::{Activation, Arithmetic};
use kpflow_core::model::mixing::{LogSoftmax, Normalize, Softmax};
use kpflow_core::model::Form;
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
