//! Patches that sweeps pass by: which blocks only gather what sites read, so that these can read the map itself.

use super::node::{Form, Node, Segment, Weight};
use super::variable::{Operand, Scan, Variable, VariableId};
use crate::Scalar;

/// Marks the patches that only sites read, and lets these read the map itself.
pub(super) fn read_through<T: Scalar>(
    variables: &mut [Variable],
    nodes: &mut [Node<'_, T>],
    segments: &[Segment],
    weights: &[Weight<'_, T>],
) {
    let parallel =
        |n: usize| segments.iter().any(|s| s.scan == Scan::Parallel && s.nodes.start <= n && n < s.nodes.end);
    for n in 0..nodes.len() {
        let Node::Mixing { function, inputs, output } = nodes[n] else { continue };
        let Some(windows) = function.windows().filter(|_| parallel(n) && variables[output].watch.is_none()) else {
            continue;
        };
        let group = inputs[0].width / windows.groups * windows.places;
        let reads = |node: &Node<'_, T>| node.operands().iter().any(|o| o.variable == output);
        let fits = |node: &Node<'_, T>| match node {
            Node::Site { form, input, weight, .. } if !input.delayed => match form {
                Form::Dense => input.width == group && input.offset % group.max(1) == 0,
                Form::Gain => windows.groups == 1 && weights[*weight].n_in == windows.places,
                Form::Embedding => false,
            },
            Node::Site { .. }
            | Node::Input { .. }
            | Node::Constant { .. }
            | Node::Cluster { .. }
            | Node::Mixing { .. } => false,
        };
        let readers = || nodes.iter().enumerate().filter(|(_, node)| reads(node));
        if inputs[0].delayed || group == 0 || !readers().all(|(k, node)| parallel(k) && fits(node)) {
            continue;
        }
        variables[output].passed = true;
        for node in nodes.iter_mut() {
            if let Node::Site { input: Operand { variable, .. }, link, .. } = node {
                link.through = if *variable == output { Some(n) } else { link.through };
            }
        }
    }
}

/// What perturbations of a node's output come from: what it reads or, through windows, the map.
pub(super) fn carried<'n, T: Scalar>(nodes: &'n [Node<'_, T>], node: &'n Node<'_, T>) -> &'n [Operand] {
    match node {
        Node::Site { link, .. } => link.through.map_or(node.operands(), |n| nodes[n].operands()),
        Node::Input { .. } | Node::Constant { .. } | Node::Cluster { .. } | Node::Mixing { .. } => node.operands(),
    }
}

/// A variable that sweeps carry nothing of, since all that read it read through it.
pub(super) fn is_passed(variables: &[Variable], outputs: &[VariableId]) -> bool {
    outputs.iter().any(|&o| variables[o].passed)
}
