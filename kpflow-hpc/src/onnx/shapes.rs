//! Operators that move numbers about, or that are about shapes.

use super::cast::cast;
use super::element::Element;
use super::file::{count, Array, MOST};
use super::gather::impossible;
use super::products::{last, matmul};
use super::reader::{Op, Reader};
use super::value::{self, each_index, Moves, Origin, Range, Value};
use super::{Context, Node};
use kpflow_core::Scalar;
use rten_onnx::onnx::DataType;

/// Applies a node of this kind; `None` if it is of another.
pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, n: &Node<'_>) -> Op<Option<Vec<Value>>> {
    let one = |v: Value| Ok(Some(vec![v]));
    match n.kind() {
        "Identity" => one(n.input(0)?.clone()),
        "Dropout" => dropout(n).map(Some),
        "Cast" | "CastLike" => {
            let x = n.input(0)?;
            let to = match n.kind() {
                "CastLike" => n.input(1)?.element(),
                _ => {
                    let to = match n.text("to") {
                        // Before opset 6, by name.
                        Some(name) => (0..32).map(DataType).find(|t| t.to_string() == name).unwrap_or(DataType(0)),
                        None => DataType(i32::try_from(n.integer("to", 0)).unwrap_or(0)),
                    };
                    Element::of(to).ok_or_else(|| format!("casts to {to}, which is not in this version"))?
                }
            };
            // Both are about numbers of 8 bits, to which nothing is cast here.
            n.without_effect(&["saturate", "round_mode"]);
            one(cast(reader, x, to)?)
        }
        "Shape" => {
            let shape = n.input(0)?.shape();
            let at = |name: &str, default: usize| {
                let i = n.integer(name, default as i64);
                (if i < 0 { i + shape.len() as i64 } else { i }).clamp(0, shape.len() as i64) as usize
            };
            let (start, end) = (at("start", 0), at("end", shape.len()));
            let part = shape.get(start..end.max(start)).unwrap_or(&[]);
            one(Value::Known(Array::row(part.iter().map(|&d| d as f64).collect())))
        }
        "Size" => {
            let data = vec![n.input(0)?.shape().iter().product::<usize>() as f64];
            one(Value::Known(Array { shape: vec![], data, element: Element::LONG }))
        }
        "Reshape" => {
            let x = n.input(0)?;
            let asked = n.list(1, "shape")?.ok_or("has no shape")?;
            let shape = reshape(x.shape(), &asked, n.integer("allowzero", 0) != 0);
            one(x.clone().reshaped(shape.ok_or_else(|| impossible(&format!("reshapes to {asked:?}"), x.shape()))?))
        }
        "Flatten" => {
            let x = n.input(0)?;
            let rank = x.shape().len();
            let axis = n.integer("axis", 1);
            let axis = if axis < 0 { axis + rank as i64 } else { axis }.clamp(0, rank as i64) as usize;
            let (a, b) = x.shape().split_at(axis);
            let shape = vec![a.iter().product(), b.iter().product()];
            one(x.clone().reshaped(shape))
        }
        "Squeeze" | "Unsqueeze" => {
            let x = n.input(0)?;
            let axes = n.list(1, "axes")?;
            one(x.clone().reshaped(squeeze(x.shape(), axes.as_deref(), n.kind() == "Unsqueeze")?))
        }
        "Transpose" => {
            let x = n.input(0)?;
            let rank = x.shape().len();
            let order: Vec<usize> = match n.integers("perm") {
                Some(perm) => perm.iter().map(|&a| usize::try_from(a).unwrap_or(usize::MAX)).collect(),
                None => (0..rank).rev().collect(),
            };
            let moves = value::transpose(x.shape(), &order);
            one(reader.moved(
                std::slice::from_ref(x),
                moves.ok_or_else(|| impossible(&format!("permutes by {order:?}"), x.shape()))?,
            )?)
        }
        "Slice" => {
            let x = n.input(0)?;
            let ranges = ranges(n, x.shape())?;
            let moves = value::slice(x.shape(), &ranges).ok_or_else(|| impossible("slices", x.shape()))?;
            one(reader.moved(std::slice::from_ref(x), moves)?)
        }
        "Split" => split(reader, n).map(Some),
        "SplitToSequence" => one(Value::Sequence(split_to_sequence(reader, n)?)),
        "SequenceConstruct" => one(Value::Sequence(n.inputs()?)),
        "SequenceAt" => {
            let Value::Sequence(all) = n.input(0)? else { return Err("picks of what is no sequence".into()) };
            let at = n.known(1, "places")?.and_then(|a| value::axis(a.data.first().copied()? as i64, all.len()));
            one(all.get(at.unwrap_or(usize::MAX)).cloned().ok_or("picks beyond the end of a sequence")?)
        }
        "Concat" => {
            let inputs = n.inputs()?;
            let inputs: Vec<Value> = match inputs.iter().all(|v| v.shape().iter().product::<usize>() == 0) {
                true => inputs,
                false => inputs.into_iter().filter(|v| v.shape().iter().product::<usize>() > 0).collect(),
            };
            let shapes: Vec<&[usize]> = inputs.iter().map(Value::shape).collect();
            let rank = shapes.first().map_or(0, |s| s.len());
            let axis = n.axis(if n.opset < 4 { 1 } else { 0 }, rank)?;
            if let Some(joined) = reader.side_by_side(&inputs, axis)? {
                return one(joined);
            }
            let moves =
                value::concat(&shapes, axis).ok_or_else(|| format!("joins shapes {shapes:?}, which it cannot"))?;
            one(reader.moved(&inputs, moves)?)
        }
        "Gather" => one(super::gather::gather(reader, n)?),
        "GatherElements" => one(super::gather::elements(reader, n)?),
        "Expand" => {
            let x = n.input(0)?;
            let asked = n.known(1, "shapes")?.ok_or("has no shape")?;
            let asked: Option<Vec<usize>> = asked.integers().into_iter().map(|d| usize::try_from(d).ok()).collect();
            let shape = asked.and_then(|s| value::broadcast(&[x.shape(), &s])).filter(|s| count(s).is_some());
            let shape = shape.ok_or_else(|| impossible("expands", x.shape()))?;
            one(reader.expanded(x, &shape)?)
        }
        "Tile" => {
            let x = n.input(0)?;
            if n.opset < 6 {
                return Err("repeats as it did before opset 6, which is not in this version".into());
            }
            let repeats = n.known(1, "repeats")?.ok_or("has no repeats")?.integers();
            let repeats: Option<Vec<usize>> = repeats.into_iter().map(|r| usize::try_from(r).ok()).collect();
            let moves =
                repeats.and_then(|r| value::tile(x.shape(), &r)).ok_or_else(|| impossible("repeats", x.shape()))?;
            one(reader.moved(std::slice::from_ref(x), moves)?)
        }
        "Pad" => {
            let x = n.input(0)?;
            let value = n.known(2, "pads")?.and_then(|a| a.data.first().copied()).unwrap_or(n.float("value", 0.0));
            let mode = n.text("mode").unwrap_or("constant");
            if mode != "constant" || value != 0.0 {
                return Err(format!("pads with mode = {mode}, value = {value}; only zeros are in this version"));
            }
            let pads = match n.list(1, "pads")? {
                Some(pads) => pads,
                None => n.integers("paddings").ok_or("has no pads")?.to_vec(),
            };
            let rank = x.shape().len();
            let axes = n.list(3, "axes")?.unwrap_or((0..rank as i64).collect());
            let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
            for (i, &a) in axes.iter().enumerate() {
                let a = value::axis(a, rank).ok_or_else(|| impossible("pads", x.shape()))?;
                let at = |i: usize| pads.get(i).copied().filter(|p| p.unsigned_abs() < MOST as u64);
                let both = at(i).zip(at(i + axes.len())).ok_or_else(|| impossible("pads", x.shape()))?;
                (before[a], after[a]) = both;
            }
            let moves = value::pad(x.shape(), &before, &after).ok_or_else(|| impossible("pads", x.shape()))?;
            one(reader.moved(std::slice::from_ref(x), moves)?)
        }
        "Trilu" => {
            let x = n.input(0)?;
            let k = n.known(1, "diagonals")?.and_then(|a| a.data.first().copied()).unwrap_or(0.0) as i64;
            let (upper, rank) = (n.integer("upper", 1) != 0, x.shape().len());
            if rank < 2 {
                return Err(impossible("cuts a triangle of", x.shape()));
            }
            let (mut places, mut at) = (Vec::new(), 0);
            each_index(x.shape(), |index| {
                let above = index[rank - 1] as i64 - index[rank - 2] as i64;
                let keep = if upper { above >= k } else { above <= k };
                places.push(if keep { Origin::of(0, at) } else { Origin::NOWHERE });
                at += 1;
            });
            one(reader.moved(std::slice::from_ref(x), Moves { shape: x.shape().to_vec(), from: places })?)
        }
        "ConstantOfShape" => {
            let shape = n.known(0, "shapes")?.ok_or("has no shape")?.integers();
            let shape: Option<Vec<usize>> = shape.into_iter().map(|d| usize::try_from(d).ok()).collect();
            let sized = shape.and_then(|s| Some((count(&s)?, s)));
            let (len, shape) = sized.ok_or("makes a tensor of an impossible shape")?;
            let fill = n.attribute("value").and_then(|a| a.t.as_ref());
            let fill = fill.map(|t| super::file::tensor(context.path, t)).transpose().map_err(|e| e.message)?;
            let (value, element) =
                fill.map_or((0.0, Element::Float), |a| (a.data.first().copied().unwrap_or(0.0), a.element));
            one(Value::Known(Array { shape, data: vec![value; len], element }))
        }
        "Range" => {
            let part = |i: usize| -> Op<f64> {
                n.known(i, "bounds")?.and_then(|a| a.data.first().copied()).ok_or_else(|| "has no bounds".into())
            };
            let (start, limit, delta) = (part(0)?, part(1)?, part(2)?);
            let element = n.input(0)?.element();
            let len = element.rounded((limit - start) / delta).ceil().max(0.0);
            if len.is_nan() || len > MOST as f64 {
                return Err("makes a range without end".into());
            }
            let data: Vec<f64> = (0..len as usize).map(|i| start + i as f64 * delta).collect();
            one(Value::Known(Array { shape: vec![data.len()], data, element }))
        }
        "CumSum" => {
            let (x, rank) = (n.input(0)?, n.input(0)?.shape().len());
            let axis = n.known(1, "axes")?.and_then(|a| a.data.first().copied()).ok_or("has no axis")?;
            let axis = value::axis(axis as i64, rank).ok_or("sums up along an axis that is not there")?;
            let (reverse, exclusive) = (n.integer("reverse", 0) != 0, n.integer("exclusive", 0) != 0);
            one(last(reader, x, axis, |reader, x| summed_up(reader, x, reverse, exclusive))?)
        }
        _ => Ok(None),
    }
}

/// Sums along the last axis, each of all before it (after it, `reverse`), itself left out if `exclusive`.
fn summed_up<T: Scalar>(reader: &mut Reader<T>, x: &Value, reverse: bool, exclusive: bool) -> Op<Value> {
    let (shape, len) = (x.shape().to_vec(), x.shape().last().copied().unwrap_or(1));
    let taken = |from: usize, to: usize| match (reverse, exclusive) {
        (false, false) => from <= to,
        (false, true) => from < to,
        (true, false) => from >= to,
        (true, true) => from > to,
    };
    let data = (0..len * len).map(|i| f64::from(u8::from(taken(i / len, i % len)))).collect();
    let triangle = Array { shape: vec![len, len], data, element: x.element() };
    let rows = x.clone().reshaped(vec![shape.iter().product::<usize>() / len.max(1), len]);
    Ok(matmul(reader, &rows, &Value::Known(triangle))?.reshaped(shape))
}

/// Nothing is dropped in inference; the mask, if anybody reads it, is true everywhere.
fn dropout(n: &Node<'_>) -> Op<Vec<Value>> {
    let x = n.input(0)?.clone();
    // How much would be dropped, and how it is drawn, is about training.
    n.without_effect(&["ratio", "seed"]);
    n.optional(1)?;
    let training = match n.opset {
        ..=6 => n.integer("is_test", 0) == 0,
        _ => n.known(2, "modes")?.is_some_and(|a| a.data.iter().any(|&x| x != 0.0)),
    };
    if training {
        let what = if n.opset < 7 { "is_test = 0" } else { "training_mode = true" };
        return Err(format!("drops numbers at random ({what}); export the model in evaluation mode"));
    }
    let len = x.shape().iter().product();
    let mask = Value::Known(Array { shape: x.shape().to_vec(), data: vec![1.0; len], element: Element::Bool });
    Ok(vec![x, mask])
}

/// The shape that `asked` means: 0 keeps an axis, −1 takes what is left.
fn reshape(from: &[usize], asked: &[i64], zeros: bool) -> Option<Vec<usize>> {
    let total: usize = from.iter().product();
    let keep = |(i, &d): (usize, &i64)| match d {
        -1 => Some(1),
        0 if !zeros => from.get(i).copied(),
        d => usize::try_from(d).ok(),
    };
    let mut shape: Vec<usize> = asked.iter().enumerate().map(keep).collect::<Option<_>>()?;
    let known = count(&shape)?;
    match asked.iter().filter(|&&d| d == -1).count() {
        0 => {}
        1 if known > 0 && total % known == 0 => {
            let at = asked.iter().position(|&d| d == -1)?;
            shape[at] = total / known;
        }
        _ => return None,
    }
    (count(&shape)? == total).then_some(shape)
}

fn squeeze(from: &[usize], axes: Option<&[i64]>, add: bool) -> Op<Vec<usize>> {
    let wrong = || impossible(&format!("adds or removes axes {axes:?} of"), from);
    let Some(axes) = axes else {
        return Ok(from.iter().copied().filter(|&d| d != 1).collect());
    };
    let rank = if add { from.len() + axes.len() } else { from.len() };
    let axes: Option<Vec<usize>> = axes.iter().map(|&a| value::axis(a, rank)).collect();
    let mut axes = axes.ok_or_else(wrong)?;
    axes.sort_unstable();
    axes.dedup();
    let mut shape = from.to_vec();
    if add {
        axes.iter().for_each(|&a| shape.insert(a.min(shape.len()), 1));
    } else {
        for &a in axes.iter().rev() {
            if shape.remove(a) != 1 {
                return Err(wrong());
            }
        }
    }
    Ok(shape)
}

fn ranges(n: &Node<'_>, shape: &[usize]) -> Op<Vec<Range>> {
    let starts = n.list(1, "starts")?.ok_or("has no starts")?;
    let ends = n.list(2, "ends")?.ok_or("has no ends")?;
    let axes = n.list(3, "axes")?.unwrap_or((0..starts.len() as i64).collect());
    let steps = n.list(4, "steps")?.unwrap_or(vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("has starts, ends, axes and steps of different lengths".into());
    }
    let one = |i: usize| {
        let axis = value::axis(axes[i], shape.len())?;
        let (n, step) = (shape[axis] as i64, Some(steps[i]).filter(|&s| s != 0)?);
        let at = |x: i64, low: i64, high: i64| (if x < 0 { x.saturating_add(n) } else { x }).clamp(low, high);
        let (start, end) = match step > 0 {
            true => (at(starts[i], 0, n), at(ends[i], 0, n)),
            false => (at(starts[i], 0, n - 1), at(ends[i], -1, n - 1)),
        };
        let far = if step > 0 { end - start } else { start - end };
        let count = if far <= 0 { 0 } else { (far - 1) / step.saturating_abs() + 1 };
        Some((axis, start, step, count as usize))
    };
    (0..starts.len()).map(one).collect::<Option<_>>().ok_or_else(|| impossible("slices", shape))
}

fn split_to_sequence<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Vec<Value>> {
    let x = n.input(0)?;
    let axis = n.axis(0, x.shape().len())?;
    let length = x.shape()[axis];
    let parts: Vec<usize> = match n.known(1, "parts")? {
        // One number is the size of every part but the last.
        Some(a) if a.shape.is_empty() => {
            let size =
                usize::try_from(a.integers()[0]).ok().filter(|&s| s > 0).ok_or("splits into parts of no size")?;
            (0..length.div_ceil(size)).map(|i| size.min(length - i * size)).collect()
        }
        Some(a) => a.integers().iter().map(|&p| usize::try_from(p).unwrap_or(usize::MAX)).collect(),
        None => vec![1; length],
    };
    let split = n.known(1, "parts")?.is_some();
    let values = cut(reader, x, axis, parts)?;
    if split || n.integer("keepdims", 1) != 0 {
        return Ok(values);
    }
    let mut shape = x.shape().to_vec();
    shape.remove(axis);
    Ok(values.into_iter().map(|v| v.reshaped(shape.clone())).collect())
}

fn split<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Vec<Value>> {
    let x = n.input(0)?;
    let shape = x.shape();
    let axis = n.axis(0, shape.len())?;
    let parts: Vec<usize> = match n.list(1, "split")? {
        Some(list) => list.iter().map(|&p| usize::try_from(p).unwrap_or(usize::MAX)).collect(),
        None => {
            let count = n.integer("num_outputs", n.node.output.len() as i64);
            let most = shape[axis].max(n.node.output.len()).max(1);
            let count = usize::try_from(count).ok().filter(|c| (1..=most).contains(c));
            let count = count.ok_or_else(|| impossible("splits into impossible parts", shape))?;
            let size = shape[axis].div_ceil(count);
            (0..count).map(|i| size.min(shape[axis].saturating_sub(i * size))).collect()
        }
    };
    cut(reader, x, axis, parts)
}

/// Parts of these sizes along an axis.
fn cut<T: Scalar>(reader: &mut Reader<T>, x: &Value, axis: usize, parts: Vec<usize>) -> Op<Vec<Value>> {
    let shape = x.shape();
    if parts.iter().try_fold(0usize, |s, &p| s.checked_add(p)) != Some(shape[axis]) {
        return Err(impossible(&format!("splits into {parts:?}"), shape));
    }
    let mut start = 0;
    let mut out = Vec::new();
    for part in parts {
        let moves = value::slice(shape, &[(axis, start as i64, 1, part)]).ok_or_else(|| impossible("splits", shape))?;
        out.push(reader.moved(std::slice::from_ref(x), moves)?);
        start += part;
    }
    Ok(out)
}
