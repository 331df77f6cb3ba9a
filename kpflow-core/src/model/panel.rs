//! How the values of a graph's variables lie in memory.

use super::node::{Form, Node, Weight};
use super::variable::{Variable, VariableId};
use crate::Scalar;

/// Lays out all values; returns the numbers of a trajectory's values that are kept, and of all of them.
pub(super) fn lay_out<T: Scalar>(
    variables: &mut [Variable],
    nodes: &[Node<'_, T>],
    weights: &[Weight<'_, T>],
) -> (usize, usize) {
    ones(variables, nodes, weights);
    untangle(variables, nodes);
    keep(variables, nodes, weights);
    panels(variables)
}

/// Gives a column of ones to every variable that a trained bias can read it from.
fn ones<T: Scalar>(variables: &mut [Variable], nodes: &[Node<'_, T>], weights: &[Weight<'_, T>]) {
    variables.iter_mut().for_each(|v| v.panel.ones = false);
    for node in nodes {
        let Node::Site { weight, form: Form::Dense, input, .. } = *node else { continue };
        let v = &mut variables[input.variable];
        if weights[weight].bias_parameters() > 0 && input.width > 0 && input.offset + input.width == v.width {
            v.panel.ones = true;
        }
    }
}

/// Takes out of its panel what a site or a mixing block writes while it reads from the same panel: it borrows all rows at once.
fn untangle<T: Scalar>(variables: &mut [Variable], nodes: &[Node<'_, T>]) {
    let root = |variables: &[Variable], mut v: VariableId| {
        while let Some(left) = variables[v].panel.left {
            v = left;
        }
        v
    };
    for node in nodes.iter().filter(|n| matches!(n, Node::Site { .. } | Node::Mixing { .. })) {
        let own = node.outputs()[0];
        if node.operands().iter().all(|o| root(variables, o.variable) != root(variables, own)) {
            continue;
        }
        let (left, right) = (variables[own].panel.left.take(), variables[own].panel.right.take());
        left.into_iter().for_each(|l| variables[l].panel.right = None);
        right.into_iter().for_each(|r| variables[r].panel.left = None);
    }
}

/// Marks the variables whose values are read after the inference: what trained weights and mixing blocks read, tokens, and the state.
fn keep<T: Scalar>(variables: &mut [Variable], nodes: &[Node<'_, T>], weights: &[Weight<'_, T>]) {
    variables.iter_mut().for_each(|v| v.panel.kept = v.watch.is_some());
    for node in nodes {
        match *node {
            Node::Site { weight, form, input, .. } if weights[weight].parameters() > 0 || form == Form::Embedding => {
                variables[input.variable].panel.kept = true;
            }
            Node::Mixing { output, .. } => {
                node.operands().iter().for_each(|o| variables[o.variable].panel.kept = true);
                variables[output].panel.kept = true;
            }
            Node::Input { .. } | Node::Constant { .. } | Node::Site { .. } | Node::Cluster { .. } => {}
        }
    }
}

/// Lays the variables of each panel side by side: columns, shifts, and their place among the values. First come the panels of which
/// something is kept; returns where they end, and where all end.
fn panels(variables: &mut [Variable]) -> (usize, usize) {
    let (mut used, mut kept) = (0, 0);
    for keeps in [true, false] {
        for root in (0..variables.len()).map(VariableId) {
            if variables[root].panel.left.is_none() && panel_keeps(variables, root) == keeps {
                used += panel(variables, root, used);
            }
        }
        kept = if keeps { used } else { kept };
    }
    (kept, used)
}

fn panel_keeps(variables: &[Variable], root: VariableId) -> bool {
    let mut at = Some(root);
    while let Some(v) = at.map(|i| &variables[i]) {
        if v.panel.kept {
            return true;
        }
        at = v.panel.right;
    }
    false
}

/// Lays out one panel from `place` on and returns its numbers.
fn panel(variables: &mut [Variable], root: VariableId, place: usize) -> usize {
    let (mut at, mut columns, mut shift, mut low, mut high) = (Some(root), 0, 0, 0, 0);
    while let Some(i) = at {
        let v = &mut variables[i];
        shift += if i == root { 0 } else { v.panel.shift };
        v.panel.shift = shift;
        (low, high) = (low.min(shift), high.max(shift + v.rows() as isize));
        v.panel.column = columns;
        columns += v.columns();
        at = v.panel.right;
    }
    at = Some(root);
    while let Some(i) = at {
        let v = &mut variables[i];
        v.panel.shift -= low;
        v.panel.ld = columns;
        v.place[0] = place;
        at = v.panel.right;
    }
    (high - low) as usize * columns
}
