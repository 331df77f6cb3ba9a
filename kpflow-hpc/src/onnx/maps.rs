//! Convolutions, pooling and BatchNormalization: on maps `[1, C, (H,) W]`, inside as pixels of channels.

use super::products::{matmul, permuted};
use super::reader::{Op, Reader};
use super::value::{self, Value};
use super::Node;
use crate::job::Window;
use crate::kinds::conv::{batch_norm, convolved, depthwise, is_depthwise, max_pool, mean_pool, patches, Map};
use kpflow_core::model::functions::Arithmetic;
use kpflow_core::model::{Form, VariableId};
use kpflow_core::Scalar;

/// A map `[1, C, (H,) W]` as pixels of channels, and its shape.
fn to_map<T: Scalar>(reader: &mut Reader<T>, x: &Value) -> Op<Map> {
    let (channels, height, width) = match *x.shape() {
        [1, c, h, w] => (c, h, w),
        [1, c, w] => (c, 1, w),
        _ => return Err(format!("reads a map of shape {:?}; maps are [1, C, W] or [1, C, H, W]", x.shape())),
    };
    if x.shape().contains(&0) {
        return Err(format!("reads a map of shape {:?}", x.shape()));
    }
    Ok(Map { variable: reader.columns(x, height * width)?, channels, height, width })
}

/// A map as the tensor that it is in the graph.
fn from_map<T: Scalar>(reader: &Reader<T>, map: Map, rank: usize) -> Value {
    let shape = match rank {
        3 => vec![1, map.channels, map.width],
        _ => vec![1, map.channels, map.height, map.width],
    };
    reader.flipped(shape, map.variable)
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
    if !matches!(auto, "NOTSET" | "VALID" | "SAME_UPPER" | "SAME_LOWER") {
        return Err(format!("has auto_pad = {auto}, which is not in this version"));
    }
    if auto == "VALID" {
        pads.fill(0);
    }
    if auto.starts_with("SAME") {
        for i in 0..axes {
            let span = (size[i] - 1) * dilation[i] + 1;
            let total = ((input[i].div_ceil(stride[i]) - 1) * stride[i] + span).saturating_sub(input[i]);
            let small = total / 2;
            (pads[i], pads[i + axes]) =
                if auto == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
        }
    }
    let mut overhang = vec![0; axes];
    if n.integer("ceil_mode", 0) != 0 {
        // The last window may hang over the end.
        for i in 0..axes {
            let span = (size[i] - 1) * dilation[i] + 1;
            let over = (input[i] + pads[i] + pads[i + axes]).checked_sub(span).map_or(0, |r| r % stride[i]);
            let more = if over == 0 { 0 } else { stride[i] - over };
            let starts_inside =
                (input[i] + pads[i]).saturating_sub(1) + span >= input[i] + pads[i] + pads[i + axes] + more;
            overhang[i] = if starts_inside { more } else { 0 };
        }
    }
    Ok(Window {
        size: pair(size.to_vec(), 1),
        stride: pair(stride, 1),
        padding: pair(pads[..axes].to_vec(), 0),
        padding_end: pair(pads[axes..].to_vec(), 0),
        dilation: pair(dilation, 1),
        overhang: pair(overhang, 0),
    })
}

pub(super) fn conv<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let (x, w, b) = (n.input(0)?, n.input(1)?, n.optional(2)?);
    let (rank, groups) = (x.shape().len(), usize::try_from(n.integer("group", 1)).unwrap_or(0));
    let map = to_map(reader, x)?;
    let (n_out, per) = match *w.shape() {
        [n_out, per, ..] if w.shape().len() == rank => (n_out, per),
        _ => return Err(format!("has weights of shape {:?} for a map of shape {:?}", w.shape(), x.shape())),
    };
    let fits = groups > 0 && n_out % groups == 0 && per.checked_mul(groups) == Some(map.channels) && n_out > 0;
    if b.is_some_and(|b| b.shape() != [n_out]) {
        return Err("has a bias that does not fit".into());
    }
    if !fits || w.shape().contains(&0) {
        return Err(format!("has weights of shape {:?} for {} channels in {groups} groups", w.shape(), map.channels));
    }
    let size =
        n.integers("kernel_shape").map(|s| s.iter().map(|&i| usize::try_from(i).unwrap_or(0)).collect::<Vec<_>>());
    if size.is_some_and(|size| size != w.shape()[2..]) {
        return Err(format!("has a kernel_shape that is not that of its weights, {:?}", &w.shape()[2..]));
    }
    let window = window(n, &w.shape()[2..], &x.shape()[2..])?;
    let places = window.size[0] * window.size[1];
    let is_computed = [Some(w), b].into_iter().flatten().any(|v| matches!(v, Value::Computed(_)));
    let alone = !is_computed && is_depthwise(map.channels, groups, n_out);
    let cut = if alone { 1 } else { groups };
    let (reads, parts) =
        (patches(&mut reader.network, map, &window, cut).ok_or("has a window larger than its map")?, n_out / groups);
    if alone {
        let matrix = permuted(reader, &w.clone().reshaped(vec![n_out, places]), &[1, 0])?;
        let weight = reader.weight(&matrix, b, n_out, places)?;
        let map = depthwise(&mut reader.network, reads, weight);
        return Ok(from_map(reader, map, rank));
    }
    if is_computed {
        let map = computed(reader, (w, b), reads, (groups, parts, per, places))?;
        return Ok(from_map(reader, map, rank));
    }
    // Each group is a weight of its own, its columns in the order of a patch: [place][channel].
    let mut weights = Vec::new();
    for g in 0..groups {
        let part = |reader: &mut Reader<T>, v: &Value| {
            let rows =
                value::slice(v.shape(), &[(0, (g * parts) as i64, 1, parts)]).ok_or("does not split into groups")?;
            reader.moved(std::slice::from_ref(v), rows)
        };
        let matrix = part(reader, w)?.reshaped(vec![parts, per, places]);
        let matrix = permuted(reader, &matrix, &[0, 2, 1])?;
        let bias = b.map(|b| part(reader, b)).transpose()?;
        weights.push(reader.weight(&matrix, bias.as_ref(), parts, per * places)?);
    }
    let map = convolved(&mut reader.network, reads, &weights);
    Ok(from_map(reader, map, rank))
}

/// A convolution whose weights are computed (weight_norm, say): products of patches, `[pixels, group · place · channel]`, with them.
fn computed<T: Scalar>(
    reader: &mut Reader<T>,
    (w, b): (&Value, Option<&Value>),
    patches: Map,
    (groups, parts, per, places): (usize, usize, usize, usize),
) -> Op<Map> {
    let (pixels, columns) = (patches.height * patches.width, per * places);
    let rows = reader.computed(vec![pixels, groups * columns], patches.variable);
    let mut outputs = Vec::new();
    for g in 0..groups {
        let cut = |reader: &mut Reader<T>, v: &Value, axis: usize, first: usize, count: usize| {
            let moves =
                value::slice(v.shape(), &[(axis, first as i64, 1, count)]).ok_or("does not split into groups")?;
            reader.moved(std::slice::from_ref(v), moves)
        };
        let x = cut(reader, &rows, 1, g * columns, columns)?;
        let matrix = cut(reader, w, 0, g * parts, parts)?.reshaped(vec![parts, per, places]);
        let matrix = permuted(reader, &matrix, &[2, 1, 0])?.reshaped(vec![columns, parts]);
        outputs.push(matmul(reader, &x, &matrix)?);
    }
    let shapes: Vec<&[usize]> = outputs.iter().map(Value::shape).collect();
    let joined = value::concat(&shapes, 1).ok_or("does not split into groups")?;
    let mut y = reader.moved(&outputs, joined)?;
    if let Some(b) = b {
        y = reader.binary(Arithmetic::Add, &y, b)?;
    }
    Ok(Map { variable: reader.rows(&y, groups * parts)?.variable, channels: groups * parts, ..patches })
}

pub(super) fn pool<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let rank = x.shape().len();
    let map = to_map(reader, x)?;
    // In which order a second output would count places, which is not made.
    n.without_effect(&["storage_order"]);
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
    Ok(from_map(reader, map.ok_or("has a window larger than its map")?, rank))
}

pub(super) fn batch<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let (scale, bias) = (n.input(1)?, n.input(2)?);
    // How fast moments would follow the batches is about training.
    n.without_effect(&["momentum", "is_test"]);
    let training = match n.opset {
        ..=6 => n.integer("is_test", 0) == 0 && n.node.output.len() > 1,
        _ => n.integer("training_mode", 0) != 0,
    };
    if training {
        let what = "normalises by the moments of its own batch (training_mode = 1), in which trajectories are not \
                    independent; export the model in evaluation mode";
        return Err(what.into());
    }
    let (mean, variance) =
        (n.known(3, "moments")?.ok_or("has no mean")?, n.known(4, "moments")?.ok_or("has no variance")?);
    let numbers = |a: &super::file::Array| -> Vec<T> { a.data.iter().map(|&x| T::of(x)).collect() };
    let c = x.shape().get(1).copied().unwrap_or(0);
    if mean.data.len() != c || variance.data.len() != c || c == 0 {
        return Err(format!("has {} moments for {c} channels", mean.data.len()));
    }
    let gained = |reader: &mut Reader<T>, variable: VariableId| {
        let eps = n.float("epsilon", 1e-5);
        let u = batch_norm(&mut reader.network, variable, &numbers(mean), &numbers(variance), eps);
        let (weight, input) = (reader.weight(scale, Some(bias), c, 1)?, reader.network.read(u));
        Op::Ok(reader.network.site(Form::Gain, weight, input))
    };
    if x.shape().len() == 2 {
        let variable = reader.rows(x, c)?.variable;
        let y = gained(reader, variable)?;
        return Ok(reader.computed(x.shape().to_vec(), y));
    }
    let map = to_map(reader, x)?;
    let variable = gained(reader, map.variable)?;
    Ok(from_map(reader, Map { variable, ..map }, x.shape().len()))
}
