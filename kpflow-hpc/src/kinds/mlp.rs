//! `mlp`: a_l = φ(W_l a_{l−1} + b_l).
//!
//! Weights: `layers.l.weight`, `layers.l.bias`, or the two-dimensional `….weight` tensors there are, in the order of the numbers in their
//! names (`0.weight`, `2.weight` of an nn.Sequential); names whose numbers do not order them are refused. An nn.Sequential's LayerNorm, RMSNorm,
//! BatchNorm (inference) and PReLU are read where they stand ([`sequential`](super::sequential)). State: all a_l, what φ or a PReLU
//! writes; where they have one width, the step is the layer.

use super::conv::batch_norm;
use super::sequential::{layers, warning};
use super::{dense, Source};
use crate::error::Result;
use crate::job::Module;
use crate::network::{FromFiles, Network, OwnedWeight};
use kpflow_core::model::functions::Arithmetic;
use kpflow_core::model::mixing::{Normalize, Run};
use kpflow_core::model::{Activation, Form, Scan, VariableId};
use kpflow_core::Scalar;
use safetensors::Dtype;

/// Builds the network.
pub fn build<T: Scalar>(source: &Source<'_>) -> Result<FromFiles<T>> {
    let layers = layers(source)?;
    let n_in = source.axis(&format!("{}.weight", layers[0].name), 1)?;
    let shape = source.input.unwrap_or(&[]);
    // [B, n_in] and [B, 1, n_in] are the same.
    if shape.iter().product::<usize>() != n_in || shape.last() != Some(&n_in) {
        return Err(source.wrong_input(&format!("[B, 1, {n_in}]")));
    }
    let mut network = Network::default();
    network.segment(Scan::Parallel);
    let mut x = network.input(0, 1, n_in);
    let mut state = Vec::new();
    for (l, layer) in layers.iter().enumerate() {
        for (name, module) in &layer.before {
            x = apply(&mut network, source, x, name, *module)?;
        }
        let (n_out, n_in) = (source.axis(&format!("{}.weight", layer.name), 0)?, network.size(x).1);
        let input = network.read(x);
        x = dense(&mut network, source.linear(&layer.name, n_out, n_in)?, input);
        let mut a = x;
        for (name, module) in &layer.after {
            x = apply(&mut network, source, x, name, *module)?;
            if matches!(module, Module::Activation(_) | Module::Prelu) {
                a = x;
            }
        }
        network.name(a, format!("a_{l}"));
        state.push(a);
    }
    network.output(network.read(x));
    network.default_state(state, true);
    let mut network = FromFiles::from(network);
    if let Some(sentence) = warning(source, &layers) {
        network.warn(sentence);
    }
    Ok(network)
}

/// One module on rows `x`.
fn apply<T: Scalar>(
    network: &mut Network<T>,
    source: &Source<'_>,
    x: VariableId,
    name: &str,
    module: Module,
) -> Result<VariableId> {
    let (input, width) = (network.read(x), network.size(x).1);
    // torch's norms add 1e-5 unless told otherwise, but RMSNorm the smallest step of its numbers.
    let smallest = match source.checkpoint.dtype(&format!("{name}.weight")) {
        Some(Dtype::F64) => f64::EPSILON,
        Some(Dtype::F16) => 2f64.powi(-10),
        Some(Dtype::BF16) => 2f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    };
    let eps = |default: f64| source.spec.eps.unwrap_or(default);
    match module {
        Module::Identity => Ok(x),
        Module::Activation(phi) => Ok(network.cluster(phi, [input])),
        Module::LayerNorm | Module::RmsNorm => {
            let centered = module == Module::LayerNorm;
            let eps = eps(if centered { 1e-5 } else { smallest });
            let y = network.mixing(Normalize { group: width, eps, centered }, &[input]);
            let y = y.ok_or_else(|| source.wrong(format!("{name} does not fit rows of {width}")))?;
            gain(network, source, y, name)
        }
        Module::BatchNorm => {
            let mean = source.tensor::<T>(&format!("{name}.running_mean"), &[width])?.data;
            let variance = source.tensor::<T>(&format!("{name}.running_var"), &[width])?.data;
            let y = batch_norm(network, x, &mean, &variance, eps(1e-5));
            gain(network, source, y, name)
        }
        Module::Prelu => prelu(network, source, x, name),
    }
}

/// The trained gain and bias of a norm, where it has them.
fn gain<T: Scalar>(network: &mut Network<T>, source: &Source<'_>, y: VariableId, name: &str) -> Result<VariableId> {
    if source.checkpoint.shape(&format!("{name}.weight")).is_none() {
        return Ok(y);
    }
    let (weight, input) = (source.gain(name, network.size(y).1)?, network.read(y));
    let weight = network.weight(weight);
    Ok(network.site(Form::Gain, weight, input))
}

/// max(x, 0) + a min(x, 0), with one slope a or one a unit; at 0 its derivative is a, as torch's.
fn prelu<T: Scalar>(network: &mut Network<T>, source: &Source<'_>, x: VariableId, name: &str) -> Result<VariableId> {
    let (input, width) = (network.read(x), network.size(x).1);
    let negative = network.cluster(Activation::Clip(f64::NEG_INFINITY, 0.0), [input]);
    let read = network.read(negative);
    let tensor = format!("{name}.weight");
    let scaled = match source.axis(&tensor, 0)? {
        1 if width > 1 => {
            // One weight for all units: a row of each.
            let run = |i: usize, back: bool| {
                let (row, column) = ((0, i), (i, 0));
                let (from, to) = if back { (column, row) } else { (row, column) };
                Run { input: 0, from, to, len: 1, scale: T::one() }
            };
            let rows = network.sparse((0..width).map(|i| run(i, false)).collect(), &[read], (width, 1));
            let slope = source.tensor::<T>(&tensor, &[1])?;
            let (slope, rows) = (OwnedWeight::new(slope.name, slope.data, 1, 1), network.read(rows));
            let y = dense(network, slope, rows);
            let y = network.read(y);
            network.sparse((0..width).map(|i| run(i, true)).collect(), &[y], (1, width))
        }
        _ => {
            let slopes = source.tensor::<T>(&tensor, &[width])?;
            let slopes = network.weight(OwnedWeight::new(slopes.name, slopes.data, width, 1));
            network.site(Form::Gain, slopes, read)
        }
    };
    let positive = network.cluster(Activation::Relu, [input]);
    let reads = [network.read(positive), network.read(scaled)];
    Ok(network.cluster(Arithmetic::Add, reads))
}
