//! Products, convolutions, pooling, normalisation, softmax and reductions.

use super::reader::{Op, Reader};
use super::value::{self, Value};
use super::Node;
use crate::job::Window;
use crate::kinds::conv::{batch_norm, largest, max_pool, mean_pool, patches, Map};
use kpflow_core::model::functions::{Activation, Arithmetic};
use kpflow_core::model::mixing::{Along, Normalize, Product, Run, Softmax};
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
            let f = Softmax { group, scale: 1.0, masked: false };
            let along = |reader: &mut Reader<T>, x: &Value| {
                let input = reader.rows(x, group)?;
                let y = reader.mixing(f, &[input], x.shape().to_vec())?;
                if n.kind() == "LogSoftmax" {
                    reader.unary(Activation::Ln, &y)
                } else {
                    Ok(y)
                }
            };
            one(if n.opset >= 13 { last(reader, x, axis, along)? } else { along(reader, x)? })
        }
        kind if kind.starts_with("Reduce") => one(reduce(reader, n)?),
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
fn last<T: Scalar>(
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

fn permuted<T: Scalar>(reader: &mut Reader<T>, x: &Value, order: &[usize]) -> Op<Value> {
    let moves = value::transpose(x.shape(), order).ok_or("permutes axes, which it cannot")?;
    reader.moved(std::slice::from_ref(x), moves)
}

fn swapped<T: Scalar>(reader: &mut Reader<T>, x: &Value) -> Op<Value> {
    let rank = x.shape().len();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 1, rank - 2);
    permuted(reader, x, &order)
}

/// Whether a product with this is a weight site.
fn is_weight(v: &Value) -> bool {
    !matches!(v, Value::Computed(_)) && v.shape().len() == 2
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
    Ok(reader.computed(shape, y))
}

fn matmul<T: Scalar>(reader: &mut Reader<T>, a: &Value, b: &Value) -> Op<Value> {
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
            return Ok(Value::Known(super::file::Array { shape: vec![m, p], data, integer: x.integer && y.integer }));
        }
    }
    if is_weight(b) && !matches!(a, Value::Known(_)) {
        return linear(reader, a, b, None);
    }
    if is_weight(a) && b.shape().len() == 2 {
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
    reader.mixing(product, &[x, y], [&batch[..], &[m, p]].concat())
}

fn gemm<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let flip = |reader: &mut Reader<T>, v: &Value, name: &str| match n.integer(name, 0) {
        0 => Ok(v.clone()),
        _ if v.shape().len() == 2 => swapped(reader, v),
        _ => Err(format!("transposes a tensor of shape {:?}", v.shape())),
    };
    let (a, b) = (flip(reader, n.input(0)?, "transA")?, flip(reader, n.input(1)?, "transB")?);
    let (alpha, beta, c) = (n.float("alpha", 1.0), n.float("beta", 1.0), n.optional(2)?);
    let width = b.shape().last().copied().unwrap_or(0);
    let row = c
        .filter(|c| matches!(c, Value::Parameter(_) | Value::Known(_)) && c.shape().iter().product::<usize>() == width);
    if let (true, Some(row), 1.0, 1.0) = (is_weight(&b) && !matches!(a, Value::Known(_)), row, alpha, beta) {
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

/// A map `[1, C, (H,) W]` as pixels of channels, and its shape.
fn to_map<T: Scalar>(reader: &mut Reader<T>, x: &Value) -> Op<Map> {
    let (channels, height, width) = match *x.shape() {
        [1, c, h, w] => (c, h, w),
        [1, c, w] => (c, 1, w),
        _ => return Err(format!("reads a map of shape {:?}; maps are [1, C, W] or [1, C, H, W]", x.shape())),
    };
    let flat = x.clone().reshaped(vec![channels, height * width]);
    let pixels = swapped(reader, &flat)?;
    let input = reader.rows(&pixels, channels)?;
    Ok(Map { variable: input.variable, channels, height, width })
}

/// A map as the tensor that it is in the graph.
fn from_map<T: Scalar>(reader: &mut Reader<T>, map: Map, rank: usize) -> Op<Value> {
    let pixels = reader.computed(vec![map.height * map.width, map.channels], map.variable);
    let flat = swapped(reader, &pixels)?;
    Ok(flat.reshaped(match rank {
        3 => vec![1, map.channels, map.width],
        _ => vec![1, map.channels, map.height, map.width],
    }))
}

/// The window that a node's attributes describe.
fn window(n: &Node<'_>, size: &[usize], input: &[usize]) -> Op<Window> {
    let axes = size.len();
    let bad = |name: &str| format!("has {name} that do not fit its {axes} axes");
    let pair = |list: Vec<usize>, default: usize| match list[..] {
        [w] => [default, w],
        _ => [list[0], list[1]],
    };
    let read = |name: &str, default: usize, len: usize| -> Op<Vec<usize>> {
        let list = match n.integers(name) {
            None => return Ok(vec![default; len]),
            Some(list) => list,
        };
        let list: Option<Vec<usize>> = list.iter().map(|&i| usize::try_from(i).ok().filter(|&i| i < 1 << 24)).collect();
        list.filter(|l| l.len() == len).ok_or_else(|| bad(name))
    };
    let (stride, dilation) = (read("strides", 1, axes)?, read("dilations", 1, axes)?);
    if stride.contains(&0) || dilation.contains(&0) {
        return Err(bad("strides or dilations of 0"));
    }
    let mut pads = read("pads", 0, 2 * axes)?;
    let auto = n.text("auto_pad").unwrap_or("NOTSET");
    if auto.starts_with("SAME") {
        for i in 0..axes {
            let span = (size[i] - 1) * dilation[i] + 1;
            let total = ((input[i].div_ceil(stride[i]) - 1) * stride[i] + span).saturating_sub(input[i]);
            let small = total / 2;
            (pads[i], pads[i + axes]) =
                if auto == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
        }
    }
    if n.integer("ceil_mode", 0) != 0 {
        // The last window may hang over the end: as if more were padded there.
        for i in 0..axes {
            let span = (size[i] - 1) * dilation[i] + 1;
            let over = (input[i] + pads[i] + pads[i + axes]).checked_sub(span).map_or(0, |r| r % stride[i]);
            let more = if over == 0 { 0 } else { stride[i] - over };
            let starts_inside =
                (input[i] + pads[i]).saturating_sub(1) + span >= input[i] + pads[i] + pads[i + axes] + more;
            pads[i + axes] += if starts_inside { more } else { 0 };
        }
    }
    Ok(Window {
        size: pair(size.to_vec(), 1),
        stride: pair(stride, 1),
        padding: pair(pads[..axes].to_vec(), 0),
        padding_end: pair(pads[axes..].to_vec(), 0),
        dilation: pair(dilation, 1),
    })
}

fn conv<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let (x, w, b) = (n.input(0)?, n.input(1)?, n.optional(2)?);
    let (rank, groups) = (x.shape().len(), usize::try_from(n.integer("group", 1)).unwrap_or(0));
    let map = to_map(reader, x)?;
    let (n_out, per) = match *w.shape() {
        [n_out, per, ..] if w.shape().len() == rank => (n_out, per),
        _ => return Err(format!("has weights of shape {:?} for a map of shape {:?}", w.shape(), x.shape())),
    };
    let fits = groups > 0 && n_out % groups == 0 && per.checked_mul(groups) == Some(map.channels) && n_out > 0;
    if !fits || w.shape().contains(&0) {
        return Err(format!("has weights of shape {:?} for {} channels in {groups} groups", w.shape(), map.channels));
    }
    let window = window(n, &w.shape()[2..], &x.shape()[2..])?;
    let places = window.size[0] * window.size[1];
    // Each group is a weight of its own, its columns in the order of a patch: [place][channel].
    let (reads, parts) =
        (patches(&mut reader.network, map, &window, groups).ok_or("has a window larger than its map")?, n_out / groups);
    let mut outputs = Vec::new();
    for g in 0..groups {
        let rows = value::slice(w.shape(), &[(0, (g * parts) as i64, 1, parts)]).ok_or("does not split into groups")?;
        let part = reader.moved(std::slice::from_ref(w), rows)?.reshaped(vec![parts, per, places]);
        let part = permuted(reader, &part, &[0, 2, 1])?;
        let bias = match b {
            None => None,
            Some(b) => {
                let rows =
                    value::slice(b.shape(), &[(0, (g * parts) as i64, 1, parts)]).filter(|_| b.shape() == [n_out]);
                Some(reader.moved(std::slice::from_ref(b), rows.ok_or("has a bias that does not fit")?)?)
            }
        };
        let weight = reader.weight(&part, bias.as_ref(), parts, per * places)?;
        let input = reader.network.piece(reads.variable, g, per * places);
        let y = reader.network.dense(weight, input);
        outputs.push(reader.network.read(y));
    }
    let variable = if outputs.len() == 1 { outputs[0].variable } else { join(reader, &outputs) };
    from_map(reader, Map { variable, channels: n_out, ..reads }, rank)
}

/// Puts operands side by side, a few at a time.
fn join<T: Scalar>(reader: &mut Reader<T>, outputs: &[Operand]) -> usize {
    let mut parts = outputs.to_vec();
    while parts.len() > 1 {
        let joined: Vec<usize> =
            parts.chunks(kpflow_core::model::MAX_INPUTS).map(|c| reader.network.concat(c)).collect();
        parts = joined.into_iter().map(|v| reader.network.read(v)).collect();
    }
    parts[0].variable
}

fn pool<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let rank = x.shape().len();
    let map = to_map(reader, x)?;
    let window = match n.kind() {
        "GlobalAveragePool" | "GlobalMaxPool" => Window { size: [map.height, map.width], ..Window::default() },
        _ => {
            let size: Option<Vec<usize>> = n
                .integers("kernel_shape")
                .map(|s| s.iter().filter_map(|&i| usize::try_from(i).ok().filter(|&i| i > 0 && i < 1 << 24)).collect());
            let size = size.filter(|s| s.len() == rank - 2).ok_or("has no kernel_shape that fits")?;
            window(n, &size, &x.shape()[2..])?
        }
    };
    let map = match n.kind() {
        "MaxPool" | "GlobalMaxPool" => max_pool(&mut reader.network, map, &window),
        _ => mean_pool(&mut reader.network, map, &window, n.integer("count_include_pad", 0) != 0),
    };
    from_map(reader, map.ok_or("has a window larger than its map")?, rank)
}

fn batch<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let (scale, bias) = (n.input(1)?, n.input(2)?);
    let (mean, variance) =
        (n.known(3, "moments")?.ok_or("has no mean")?, n.known(4, "moments")?.ok_or("has no variance")?);
    let numbers = |a: &super::file::Array| -> Vec<T> { a.data.iter().map(|&x| T::of(x)).collect() };
    let c = x.shape().get(1).copied().unwrap_or(0);
    if mean.data.len() != c || variance.data.len() != c || c == 0 {
        return Err(format!("has {} moments for {c} channels", mean.data.len()));
    }
    let rank = x.shape().len();
    let row = rank == 2;
    let variable = if row { reader.rows(x, c)?.variable } else { to_map(reader, x)?.variable };
    let u =
        batch_norm(&mut reader.network, variable, (&numbers(mean), &numbers(variance), n.float("epsilon", 1e-5)), None);
    let weight = reader.weight(scale, Some(bias), c, 1)?;
    let input = reader.network.read(u);
    let y = reader.network.site(Form::Gain, weight, input);
    if row {
        return Ok(reader.computed(x.shape().to_vec(), y));
    }
    let (height, width) = if rank == 4 { (x.shape()[2], x.shape()[3]) } else { (1, x.shape()[2]) };
    from_map(reader, Map { variable: y, channels: c, height, width }, rank)
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
    if groups == 0 || c % groups != 0 || gain.shape() != [c] || bias.shape() != [c] {
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

fn reduce<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let (shape, rank) = (x.shape().to_vec(), x.shape().len());
    let axes = n.list(1, "axes")?.unwrap_or_default();
    let noop = n.integer("noop_with_empty_axes", 0) != 0;
    let mut axes: Vec<usize> = match axes.is_empty() {
        true if noop => return Ok(x.clone()),
        true => (0..rank).collect(),
        false => axes
            .iter()
            .map(|&a| value::axis(a, rank))
            .collect::<Option<_>>()
            .ok_or("reduces an axis that is not there")?,
    };
    axes.sort_unstable();
    axes.dedup();
    let keep: Vec<usize> = (0..rank).filter(|a| !axes.contains(a)).collect();
    let count: usize = axes.iter().map(|&a| shape[a]).product();
    let kept: Vec<usize> = keep.iter().map(|&a| shape[a]).collect();
    let order: Vec<usize> = keep.iter().chain(&axes).copied().collect();
    let out: Vec<usize> = match n.integer("keepdims", 1) {
        0 => kept.clone(),
        _ => (0..rank).map(|a| if axes.contains(&a) { 1 } else { shape[a] }).collect(),
    };
    if count == 0 {
        return Err("reduces no numbers".into());
    }
    let x = permuted(reader, x, &order)?;
    let rows: usize = kept.iter().product();
    if let Value::Known(a) = &x {
        let f = |c: &[f64]| match n.kind() {
            "ReduceSum" => c.iter().sum(),
            "ReduceMean" => c.iter().sum::<f64>() / count as f64,
            "ReduceMax" => c.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "ReduceMin" => c.iter().copied().fold(f64::INFINITY, f64::min),
            "ReduceProd" => c.iter().product(),
            _ => f64::NAN,
        };
        let data: Vec<f64> = a.data.chunks(count).map(f).collect();
        if data.iter().any(|x| x.is_nan()) {
            return Err("is of fixed numbers, which is not in this version".into());
        }
        return Ok(Value::Known(super::file::Array { shape: out, data, integer: a.integer }));
    }
    let x = match n.kind() {
        "ReduceSumSquare" | "ReduceL2" => reader.unary(Activation::Pow(2.0), &x)?,
        "ReduceL1" => reader.unary(Activation::Abs, &x)?,
        "ReduceMin" => reader.unary(Activation::Affine(-1.0, 0.0), &x)?,
        "ReduceLogSumExp" | "ReduceSum" | "ReduceMean" | "ReduceMax" => x,
        _ => return Err("of data is not in this version".into()),
    };
    let input = reader.rows(&x, count)?;
    if matches!(n.kind(), "ReduceMax" | "ReduceMin") {
        // A column at a time, so that every row has its own.
        let parts: Vec<Operand> = (0..count).map(|i| Operand { offset: i, width: 1, ..input }).collect();
        let y = largest(&mut reader.network, parts);
        let y = if count == 1 { reader.network.concat(&[Operand { width: 1, ..input }]) } else { y };
        let y = reader.computed(out, y);
        return if n.kind() == "ReduceMin" { reader.unary(Activation::Affine(-1.0, 0.0), &y) } else { Ok(y) };
    }
    let x = match n.kind() {
        "ReduceLogSumExp" => reader.unary(Activation::Exp, &x)?,
        _ => x,
    };
    let input = reader.rows(&x, count)?;
    let scale = T::of(if n.kind() == "ReduceMean" { 1.0 / count as f64 } else { 1.0 });
    let width = out.last().copied().unwrap_or(1).max(1);
    let run = |i: usize| {
        let r = i / count;
        Run { input: 0, from: (r, i % count), to: (r / width, r % width), len: 1, scale }
    };
    let y = reader.network.sparse((0..rows * count).map(run).collect(), &[input], (rows / width, width));
    let y = reader.computed(out, y);
    match n.kind() {
        "ReduceL2" => reader.unary(Activation::Sqrt, &y),
        "ReduceLogSumExp" => reader.unary(Activation::Ln, &y),
        _ => Ok(y),
    }
}
