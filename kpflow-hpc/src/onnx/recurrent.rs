//! `RNN`, `GRU` and `LSTM`: the native layers, their gates put in PyTorch's order.
//!
//! The states of a node whose first output is named Y are the variables `Y.h` and `Y.c` (`Y.h_reverse`, … of the other direction).

use super::reader::{Op, Reader};
use super::value::{self, Value};
use super::Node;
use crate::kinds::recurrent::{add_layer, Layer};
use kpflow_core::model::{Activation, Cell, Operand};
use kpflow_core::Scalar;

/// The cell, and which of the graph's gates is each of PyTorch's.
fn cell(n: &Node<'_>, directions: usize) -> Op<(Cell, &'static [usize])> {
    let functions: Vec<String> = match n.attribute("activations") {
        Some(a) => a.strings.iter().map(|s| s.to_lowercase()).collect(),
        None => Vec::new(),
    };
    let fits = |allowed: &[&str]| {
        let count = functions.is_empty() || functions.len() == allowed.len() * directions;
        count && functions.chunks(allowed.len()).all(|f| f == allowed)
    };
    let only = |allowed: &[&str]| match fits(allowed) {
        true => Ok(()),
        false => Err(format!("has activations {functions:?}; {allowed:?} are in this version")),
    };
    if n.attribute("clip").is_some() || n.integer("input_forget", 0) != 0 {
        return Err("clips its cell or couples its gates, which is not in this version".into());
    }
    match n.kind() {
        "GRU" => {
            only(&["sigmoid", "tanh"])?;
            if n.integer("linear_before_reset", 0) == 0 {
                return Err(
                    "resets before the product (linear_before_reset = 0); PyTorch's cell, after it, is in this version"
                        .into(),
                );
            }
            Ok((Cell::gru(), &[1, 0, 2]))
        }
        "LSTM" => {
            only(&["sigmoid", "tanh", "tanh"])?;
            Ok((Cell::lstm(), &[0, 2, 3, 1]))
        }
        _ => match functions.first().map(String::as_str) {
            None | Some("tanh") => only(&["tanh"]).map(|()| (Cell::rnn(Activation::Tanh), &[0][..])),
            Some("relu") => only(&["relu"]).map(|()| (Cell::rnn(Activation::Relu), &[0][..])),
            _ => only(&["tanh"]).map(|()| (Cell::rnn(Activation::Tanh), &[0][..])),
        },
    }
}

/// One direction's part of a tensor `[directions, gates · rest…]`, its gates in PyTorch's order.
fn gates<T: Scalar>(
    reader: &mut Reader<T>,
    v: &Value,
    d: usize,
    first: usize,
    hidden: usize,
    order: &[usize],
) -> Op<Value> {
    let part = value::slice(v.shape(), &[(0, d as i64, 1, 1)]).ok_or("has weights of too few directions")?;
    let part = reader.moved(std::slice::from_ref(v), part)?;
    let shape = part.shape()[1..].to_vec();
    let part = part.reshaped(shape);
    let pieces = order.iter().map(|&gate| {
        let start = first + gate * hidden;
        let rows = value::slice(part.shape(), &[(0, start as i64, 1, hidden)]).ok_or("has weights of another size")?;
        reader.moved(std::slice::from_ref(&part), rows)
    });
    let pieces = pieces.collect::<Op<Vec<Value>>>()?;
    let shapes: Vec<&[usize]> = pieces.iter().map(Value::shape).collect();
    let joined = value::concat(&shapes, 0).ok_or("has weights of another size")?;
    reader.moved(&pieces, joined)
}

/// Which directions there are, and whether the only one is the reverse.
fn direction(n: &Node<'_>) -> Op<(usize, bool)> {
    match n.text("direction") {
        // The first version of GRU's default has a letter less.
        None | Some("forward" | "foward") => Ok((1, false)),
        Some("reverse") => Ok((1, true)),
        Some("bidirectional") => Ok((2, false)),
        Some(other) => Err(format!("has direction = {other}; forward, reverse and bidirectional are known")),
    }
}

pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Vec<Value>> {
    let (directions, reverse_only) = direction(n)?;
    let (cell, order) = cell(n, directions)?;
    let (x, w, r, b) = (n.input(0)?, n.input(1)?, n.input(2)?, n.optional(3)?);
    let batch_first = n.integer("layout", 0) != 0;
    let steps = match (x.shape(), batch_first) {
        (&[steps, 1, _], false) | (&[1, steps, _], true) if steps > 0 => steps,
        _ => return Err(format!("reads a sequence of shape {:?}; with a batch of one it is [T, 1, n_in]", x.shape())),
    };
    if let Some(lengths) = n.known(4, "lengths")? {
        if lengths.data.iter().any(|&l| l != steps as f64) {
            return Err("has sequences of different lengths, which is not in this version".into());
        }
    }
    let (&[_, rows, n_in], &[_, _, hidden]) = (w.shape(), r.shape()) else {
        return Err(format!("has weights of shapes {:?} and {:?}", w.shape(), r.shape()));
    };
    let expected = (hidden.checked_mul(cell.gates()), vec![directions, rows, hidden]);
    let width = x.shape()[2];
    if expected.0 != Some(rows)
        || r.shape() != expected.1
        || w.shape()[0] != directions
        || n_in != width
        || usize::try_from(n.integer("hidden_size", hidden as i64)) != Ok(hidden)
        || hidden == 0
    {
        let (w, r) = (w.shape(), r.shape());
        let way = n.text("direction").unwrap_or("forward");
        return Err(format!(
            "has weights of shapes {w:?} and {r:?} for inputs of width {width}, direction = {way}, or another hidden_size"
        ));
    }
    if b.is_some_and(|b| b.shape() != [directions, 2 * rows]) || n.optional(7)?.is_some() {
        return Err("has biases of another size, or peepholes, which are not in this version".into());
    }
    for i in [5, 6] {
        let zero = |v: &Value| matches!(v, Value::Known(a) if a.data.iter().all(|&x| x == 0.0));
        if n.optional(i)?.is_some_and(|v| !zero(v)) {
            return Err("begins from a state that is not zero, which is not in this version (leave it away: [data] initial_state gives it)".into());
        }
    }
    let input = reader.rows(x, width)?;
    let y = n.node.output.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default();
    let (mut hs, mut cs) = (Vec::new(), Vec::new());
    for d in 0..directions {
        let ih = gates(reader, w, d, 0, hidden, order)?;
        let hh = gates(reader, r, d, 0, hidden, order)?;
        let bias =
            |reader: &mut Reader<T>, first: usize| b.map(|b| gates(reader, b, d, first, hidden, order)).transpose();
        let (b_ih, b_hh) = (bias(reader, 0)?, bias(reader, rows)?);
        let ih = reader.weight(&ih, b_ih.as_ref(), rows, n_in)?;
        let hh = reader.weight(&hh, b_hh.as_ref(), rows, hidden)?;
        let reverse = reverse_only || d == 1;
        let initial = reader.network.initial_width();
        let names = ["h", "c"].map(|s| format!("{y}.{s}{}", if reverse { "_reverse" } else { "" }));
        let layer = Layer { ih, hh, hidden, reverse, initial };
        let (h, c) = add_layer(&mut reader.network, cell, layer, input, (&names[0], &names[1]));
        hs.push(reader.network.read(h));
        cs.extend(c.map(|c| reader.network.read(c)));
    }
    let all = match hs[..] {
        [one] => one.variable,
        _ => reader.network.concat(&hs),
    };
    // Y is [T, directions, 1, H], or [1, T, directions, H] batch first.
    let shape = if batch_first { vec![1, steps, directions, hidden] } else { vec![steps, directions, 1, hidden] };
    let sequence = reader.computed(shape, all);
    let mut out = vec![sequence];
    for states in [hs, cs].into_iter().filter(|s| !s.is_empty()) {
        let values: Vec<Value> =
            states.iter().map(|o: &Operand| reader.computed(vec![steps, hidden], o.variable)).collect();
        let from = (0..directions).flat_map(|d| {
            let last = if reverse_only || d == 1 { 0 } else { steps - 1 };
            (0..hidden).map(move |j| value::Origin::of(d, last * hidden + j))
        });
        let shape = if batch_first { vec![1, directions, hidden] } else { vec![directions, 1, hidden] };
        out.push(reader.moved(&values, value::Moves { shape, from: from.collect() })?);
    }
    Ok(out)
}
