//! `mlp`: a_l = φ(W_l a_{l−1} + b_l).
//!
//! Weights: `layers.l.weight`, `layers.l.bias`, or any two-dimensional `….weight` tensors, in the order of the numbers in their names
//! (`0.weight`, `2.weight` of an nn.Sequential). State: all a_l; where they have one width, the step is the layer.

use super::{dense, Source};
use crate::error::Result;
use crate::network::Network;
use kpflow_core::model::{Activation, Scan};
use kpflow_core::Scalar;

/// The names of the layers (without `.weight`), in order.
pub fn layer_names(source: &Source<'_>) -> Result<Vec<String>> {
    let names = source.checkpoint.names().iter().filter_map(|n| {
        let layer = n.strip_suffix(".weight")?;
        (source.checkpoint.shape(n)?.len() == 2).then(|| layer.to_string())
    });
    let number = |name: &str| -> Option<usize> { name.split('.').rev().find_map(|part| part.parse().ok()) };
    let mut names: Vec<String> = names.collect();
    names.sort_by_key(|n| (number(n).unwrap_or(usize::MAX), n.clone()));
    if names.is_empty() {
        return source.checkpoint.required::<f32>(&["layers.0.weight"], &[]).map(|_| Vec::new());
    }
    if let Some(asked) = source.spec.layers.filter(|&asked| asked != names.len()) {
        return Err(source.wrong(format!("has {} layers and the job says layers = {asked}", names.len())));
    }
    Ok(names)
}

/// Builds the network.
pub fn build<T: Scalar>(source: &Source<'_>) -> Result<Network<T>> {
    let names = layer_names(source)?;
    let n_in = source.axis(&format!("{}.weight", names[0]), 1)?;
    let shape = source.input.unwrap_or(&[]);
    // [B, n_in] and [B, 1, n_in] are the same.
    if shape.iter().product::<usize>() != n_in || shape.last() != Some(&n_in) {
        return Err(source.wrong_input(&format!("[B, 1, {n_in}]")));
    }
    let activation = source.spec.activation.unwrap_or(Activation::Tanh);
    let last = source.spec.output_activation.unwrap_or(activation);
    let mut network = Network::default();
    network.segment(Scan::Parallel);
    let mut a = network.input(0, 1, n_in);
    let mut state = Vec::new();
    for (l, name) in names.iter().enumerate() {
        let (n_out, n_in) = (source.axis(&format!("{name}.weight"), 0)?, network.size(a).1);
        let input = network.read(a);
        let s = dense(&mut network, source.linear(name, n_out, n_in)?, input);
        let phi = if l + 1 == names.len() { last } else { activation };
        a = network.cluster(phi, [network.read(s)]);
        network.name(a, format!("a_{l}"));
        state.push(a);
    }
    network.output(network.read(a));
    network.default_state(state, true);
    Ok(network)
}
