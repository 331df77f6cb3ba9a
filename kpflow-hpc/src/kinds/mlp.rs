//! `mlp`: a_l = φ(W_l a_{l−1} + b_l).
//!
//! Weights: `layers.l.weight`, `layers.l.bias`, or the two-dimensional `….weight` tensors there are, in the order of the numbers in their
//! names (`0.weight`, `2.weight` of an nn.Sequential); names whose numbers do not order them are refused. State: all a_l; where they have one width, the step is the layer.

use super::{dense, Source};
use crate::error::Result;
use crate::network::Network;
use kpflow_core::model::{Activation, Scan};
use kpflow_core::Scalar;

/// The names of the layers (without `.weight`), in order.
pub fn layer_names(source: &Source<'_>) -> Result<Vec<String>> {
    let (spec, checkpoint) = (source.spec, source.checkpoint);
    let names = checkpoint.names().iter().filter_map(|n| {
        let layer = n.strip_suffix(".weight")?;
        (checkpoint.shape(n)?.len() == 2).then(|| layer.to_string())
    });
    let mut names: Vec<String> = names.collect();
    // A readout without a number is a layer after the net, not one of its own.
    let readout = |n: &str| spec.readout.as_ref().is_some_and(|r| *r == format!("{}{n}", spec.prefix));
    if names.len() > 1 {
        names.retain(|n| n.contains(|c: char| c.is_ascii_digit()) || !readout(n));
    }
    names.sort_by_key(|n| natural(n));
    if names.is_empty() {
        return checkpoint.required::<f32>(&["layers.0.weight"], &[]).map(|_| Vec::new());
    }
    if let Some(pair) = names.windows(2).find(|pair| !counted(&pair[0], &pair[1])) {
        let (prefix, [a, b]) = (&spec.prefix, [0, 1].map(|i| &pair[i]));
        let what = "their numbers do not say which comes first (a prefix leaves others away, readout = \"NAME\" is one after the last)";
        return Err(source.wrong(format!("has layers {prefix}{a}.weight and {prefix}{b}.weight; {what}")));
    }
    if let Some(asked) = spec.layers.filter(|&asked| asked != names.len()) {
        return Err(source.wrong(super::other_layers(names.len(), asked)));
    }
    Ok(names)
}

/// Whether two names differ in a number first: only then is their order known.
fn counted(a: &str, b: &str) -> bool {
    let (a, b) = (natural(a), natural(b));
    let first = a.iter().zip(&b).find(|(a, b)| a != b);
    first.is_some_and(|(a, b)| a.0 == b.0 && a.1 != usize::MAX && b.1 != usize::MAX)
}

/// A name as it is counted: every run of digits is a number. `fc2` comes before `fc10`, `0.2` before `1.0`.
fn natural(name: &str) -> Vec<(String, usize)> {
    let (mut parts, mut rest) = (Vec::new(), name);
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(text);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        parts.push((word.to_string(), after[..digits].parse().unwrap_or(usize::MAX)));
        rest = &after[digits..];
    }
    parts
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

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_counted() {
        let mut names = ["fc10", "1.0", "fc2", "0.2", "fc1", "0.0"];
        names.sort_by_key(|n| super::natural(n));
        assert_eq!(names, ["0.0", "0.2", "1.0", "fc1", "fc2", "fc10"]);
        for (a, b, known) in
            [("0.2", "1.0", true), ("fc2", "fc10", true), ("1.0", "2", true), ("net.1.fc", "net.3.fc", true)]
        {
            assert_eq!(super::counted(a, b), known, "{a} {b}");
        }
        for (a, b) in [("1.0", "fc1"), ("layers.3", "readout"), ("fc", "fc2"), ("net.0", "head.0"), ("0", "0.1")] {
            assert!(!super::counted(a, b), "{a} {b}");
        }
    }
}
