//! `rnn`, `leaky_rnn`, `gru`, `lstm`: one layer or several, in one direction or both, by PyTorch's names.
//!
//! State of a step: layer after layer, forward before reverse, each h and then, for an LSTM, c. The layer above reads h as it was
//! recorded (φ(z), for a leaky integrator). θ: layer after layer, direction after direction, W_ih, b_ih, W_hh, b_hh.

use super::{number, Source};
use crate::error::Result;
use crate::job::Kind;
use crate::network::{Network, OwnedWeight};
use kpflow_core::model::{self, Activation, Cell, Edge, Operand, Scan, VariableId, WeightId};
use kpflow_core::Scalar;

/// The cell of a kind.
pub fn cell(kind: Kind, activation: Option<Activation>, dt: Option<f64>) -> Cell {
    let activation = activation.unwrap_or(Activation::Tanh);
    match kind {
        Kind::Rnn => Cell::rnn(activation),
        Kind::LeakyRnn => Cell::leaky(activation, dt.unwrap_or(1.0)),
        Kind::Lstm => Cell::lstm(),
        Kind::Gru
        | Kind::Mlp
        | Kind::Conv
        | Kind::NeuralOde
        | Kind::Transformer
        | Kind::Gpt2
        | Kind::Bert
        | Kind::Onnx => Cell::gru(),
    }
}

/// One layer in one direction.
pub struct Layer {
    /// The weight W_ih, b_ih.
    pub ih: WeightId,
    /// The weight W_hh, b_hh.
    pub hh: WeightId,
    /// The hidden units.
    pub hidden: usize,
    /// Whether time runs backward.
    pub reverse: bool,
    /// Where its state begins in the initial state.
    pub initial: usize,
}

/// Adds a layer; returns the variables h and, for an LSTM, c.
pub fn add_layer<T: Scalar>(
    network: &mut Network<T>,
    cell: Cell,
    layer: Layer,
    input: Operand,
    names: (&str, &str),
) -> (VariableId, Option<VariableId>) {
    let Layer { ih, hh, hidden, reverse, initial } = layer;
    let steps = network.size(input.variable).0;
    let mut state = |offset, name: &str| {
        let v = network.variable(steps, hidden);
        network.initial_row(v, if reverse { Edge::Last } else { Edge::First }, offset);
        network.name(v, name);
        v
    };
    let h = state(initial, names.0);
    let c = (cell.states() == 2).then(|| state(initial + hidden, names.1));
    cell.wire(network, model::Layer { ih, hh, input, hidden, h, c, reverse });
    network.segment(Scan::Parallel);
    (h, c)
}

/// Builds the network.
pub fn build<T: Scalar>(source: &Source<'_>) -> Result<Network<T>> {
    let cell = cell(source.spec.kind, source.spec.activation, source.spec.dt);
    let checkpoint = source.checkpoint;
    if let Some(name) = checkpoint.names().iter().find(|n| n.starts_with("weight_hr_l")) {
        return Err(
            source.wrong(format!("has {name}: projected LSTM layers are not in this version; plain layers are"))
        );
    }
    let has = |name: &str| checkpoint.shape(name).is_some();
    let found = (0..).take_while(|l| has(&format!("weight_hh_l{l}"))).count();
    // A cell's tensors have no numbers.
    let layers = if has("weight_hh") { found.max(1) } else { found };
    let directions = if has("weight_hh_l0_reverse") { 2 } else { 1 };
    source.no_gap(layers, &format!("weight_hh_l{found}"), |n| layer_of(n).map(|(l, _)| l))?;
    source.no_gap(directions, "weight_hh_l0_reverse", |n| layer_of(n).map(|(_, reverse)| usize::from(reverse)))?;
    let layers = layers.max(1);
    if let Some(asked) = source.spec.layers.filter(|&asked| asked != layers) {
        return Err(source.wrong(super::other_layers(layers, asked)));
    }
    if let Some(asked) = source.spec.bidirectional.filter(|&asked| asked != (directions == 2)) {
        let (has, way) = (directions == 2, if directions == 2 { "both directions" } else { "one direction" });
        return Err(source.wrong(format!("has weights of {way} and the job says bidirectional = {asked}; it is {has}")));
    }
    let mut network = Network::default();
    let (mut input, mut state, mut initial) = (None, Vec::new(), 0);
    for l in 0..layers {
        let mut outputs = Vec::new();
        for d in 0..directions {
            let suffix = format!("_l{l}{}", if d == 1 { "_reverse" } else { "" });
            let (ih, hh, hidden) = load(source, cell, &suffix)?;
            let n_in = ih.n_in;
            let x = match input {
                Some(x) => x,
                None => {
                    let [steps, width] = source.input_shape(&format!("[B, T, {n_in}]"))?;
                    if width != n_in {
                        return Err(source.wrong_input(&format!("[B, T, {n_in}]")));
                    }
                    network.segment(Scan::Parallel);
                    let x = network.input(0, steps, width);
                    network.read(x)
                }
            };
            input = Some(x);
            if x.width != n_in {
                return Err(
                    source.wrong(format!("weight_ih{suffix} reads {n_in} units; the layer below has {}", x.width))
                );
            }
            let only = layers * directions == 1;
            let name = |v: &str| if only { v.to_string() } else { format!("{v}{suffix}") };
            let (ih, hh) = (network.weight(ih), network.weight(hh));
            let layer = Layer { ih, hh, hidden, reverse: d == 1, initial };
            let (h, c) = add_layer(&mut network, cell, layer, x, (&name("h"), &name("c")));
            initial += cell.states() * hidden;
            state.extend([h].into_iter().chain(c));
            let recorded = network.read(h);
            outputs.push(if l + 1 < layers { cell.read_above(&mut network, recorded) } else { recorded });
        }
        input = Some(match outputs[..] {
            [one] => one,
            _ => {
                let both = network.concat(&outputs);
                network.read(both)
            }
        });
    }
    if let Some(output) = input {
        network.output(output);
    }
    network.default_state(state, false);
    Ok(network)
}

/// The layer that a tensor's name tells, and whether it is of the reverse direction.
fn layer_of(name: &str) -> Option<(usize, bool)> {
    let starts = ["weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"];
    let rest = starts.iter().find_map(|s| name.strip_prefix(s))?;
    Some((number(rest)?, rest.ends_with("_reverse")))
}

/// The weights of a layer and direction: `weight_ih_l0` or, of a cell, `weight_ih`.
fn load<T: Scalar>(source: &Source<'_>, cell: Cell, suffix: &str) -> Result<(OwnedWeight<T>, OwnedWeight<T>, usize)> {
    let (checkpoint, gates) = (source.checkpoint, cell.gates());
    let names = |what: &str| [format!("{what}{suffix}"), what.to_string()];
    let find = |what: &str| -> Result<(String, Vec<usize>)> {
        let [layer, plain] = names(what);
        let candidates: &[&String] = if suffix == "_l0" { &[&layer, &plain] } else { &[&layer] };
        match candidates.iter().find_map(|n| Some((n.to_string(), checkpoint.shape(n)?))) {
            Some(found) => Ok(found),
            None => {
                let list: Vec<&str> = candidates.iter().map(|n| n.as_str()).collect();
                checkpoint.required::<T>(&list, &[]).map(|t| (t.name, t.shape))
            }
        }
    };
    let (hh_name, hh_shape) = find("weight_hh")?;
    let hidden = hh_shape.last().copied().unwrap_or(0);
    if hidden == 0 || hh_shape != [gates * hidden, hidden] {
        let kind = source.spec.kind.name();
        return Err(
            source.wrong(format!("tensor {hh_name} has shape {hh_shape:?}; kind = \"{kind}\" has [{gates}·H, H]"))
        );
    }
    let (ih_name, ih_shape) = find("weight_ih")?;
    let n_in = ih_shape.get(1).copied().unwrap_or(0);
    let weight = |name: &str, n_in: usize| -> Result<OwnedWeight<T>> {
        let matrix = source.tensor(name, &[gates * hidden, n_in])?;
        let weight = OwnedWeight::new(matrix.name, matrix.data, gates * hidden, n_in);
        source.with_bias(weight, &name.replace("weight_", "bias_"))
    };
    Ok((weight(&ih_name, n_in)?, weight(&hh_name, hidden)?, hidden))
}
