//! What must hold of a graph before it runs, and which variables a sweep reaches.

use super::error::BuildError;
use super::graph::{Edge, Form, Node, Operand, Scan, Segment, Variable, Weight, MAX_INPUTS};
use super::Flow;
use crate::Scalar;

/// The operands that a node reads.
pub(super) fn operands<'n, T>(node: &'n Node<'_, T>) -> &'n [Operand]
where
    T: Scalar,
{
    match node {
        Node::Input { .. } | Node::Constant { .. } => &[],
        Node::Site { input, .. } => core::slice::from_ref(input),
        Node::Mixing { function, inputs, .. } => &inputs[..function.inputs()],
        Node::Cluster { function, inputs, .. } => &inputs[..function.inputs()],
    }
}

/// The variables that a node writes.
pub(super) fn outputs<'n, T: Scalar>(node: &'n Node<'_, T>) -> &'n [usize] {
    match node {
        Node::Input { output, .. }
        | Node::Constant { output, .. }
        | Node::Site { output, .. }
        | Node::Mixing { output, .. } => core::slice::from_ref(output),
        Node::Cluster { function, outputs, .. } => &outputs[..function.outputs()],
    }
}

/// Checks sizes, delays and that the watched variables fill the state.
pub(super) fn check<T: Scalar>(
    variables: &[Variable],
    nodes: &[Node<'_, T>],
    segments: &[Segment],
    weights: &[Weight<'_, T>],
    state: usize,
) -> Result<(), BuildError> {
    for weight in weights {
        let fits = weight.matrix.len() == weight.n_out.saturating_mul(weight.n_in);
        if !fits || weight.bias.is_some_and(|b| b.len() != weight.n_out) {
            return Err(BuildError::Size { node: 0 });
        }
    }
    // A node before the first segment would belong to none.
    if segments.first().map_or(nodes.len(), |s| s.nodes.start) > 0 {
        return Err(BuildError::Size { node: 0 });
    }
    for segment in segments {
        let steps = |node: usize| outputs(&nodes[node]).first().and_then(|&o| variables.get(o)).map(|v| v.positions);
        for node in segment.nodes.clone() {
            check_node(variables, &nodes[node], segment.scan, weights, node)?;
            check_sum(variables, nodes, node)?;
            if segment.scan != Scan::Parallel && steps(node) != steps(segment.nodes.start) {
                return Err(BuildError::Size { node });
            }
        }
    }
    let numbers = |v: &Variable| v.watch.map_or(0, |_| v.positions.saturating_mul(v.width));
    let end = |v: &Variable| match v.watch {
        Some(w) if numbers(v) > 0 => {
            (v.positions - 1).saturating_mul(w.stride).saturating_add(w.offset).saturating_add(v.width)
        }
        _ => 0,
    };
    let found = variables.iter().map(numbers).fold(0, usize::saturating_add);
    let furthest = variables.iter().map(end).max().unwrap_or(0);
    if found != state || furthest > state {
        return Err(BuildError::State { expected: state, found: found.max(furthest) });
    }
    Ok(())
}

/// Fails if some place in memory could be beyond what a number can say.
pub(super) fn require_memory(variables: &[Variable], coefficients: usize) -> Result<(), BuildError> {
    let rows = variables.iter().map(Variable::rows).fold(0, usize::saturating_add);
    let columns = variables.iter().map(|v| v.width.saturating_add(1)).fold(0, usize::saturating_add);
    let most = isize::MAX as usize;
    // Even without a row: sweeps of one step have two for every variable.
    if rows.max(2).saturating_mul(columns) >= most || coefficients >= most {
        return Err(BuildError::Overflow { rows, columns });
    }
    Ok(())
}

/// Only dense sites may write what another node has written, and nobody may watch or read it before the sum is whole.
fn check_sum<T: Scalar>(variables: &[Variable], nodes: &[Node<'_, T>], index: usize) -> Result<(), BuildError> {
    let dense = |n: &Node<'_, T>| matches!(n, Node::Site { form: Form::Dense, .. });
    for &o in outputs(&nodes[index]) {
        let Some(first) = nodes[..index].iter().position(|n| outputs(n).contains(&o)) else { continue };
        let early = nodes[first..index].iter().any(|n| operands(n).iter().any(|r| r.variable == o && !r.delayed));
        if !dense(&nodes[index]) || !dense(&nodes[first]) || variables[o].watch.is_some() || early {
            return Err(BuildError::Size { node: index });
        }
    }
    Ok(())
}

fn check_node<T: Scalar>(
    variables: &[Variable],
    node: &Node<'_, T>,
    scan: Scan,
    weights: &[Weight<'_, T>],
    index: usize,
) -> Result<(), BuildError> {
    let size = BuildError::Size { node: index };
    let first = outputs(node).first().and_then(|&o| variables.get(o)).ok_or(size)?;
    for operand in operands(node) {
        let v = variables.get(operand.variable).ok_or(size)?;
        // A mixing block goes across positions, but not where time runs through it.
        let across = matches!(node, Node::Mixing { .. }) && scan == Scan::Parallel;
        if operand.offset.saturating_add(operand.width) > v.width || (v.positions != first.positions && !across) {
            return Err(size);
        }
        let right = matches!((scan, v.edge), (Scan::Forward, Edge::First) | (Scan::Backward, Edge::Last));
        if operand.delayed && !right {
            return Err(BuildError::Delay { node: index });
        }
    }
    let fits = match node {
        Node::Input { .. } => first.watch.is_none(),
        Node::Constant { data, .. } => {
            first.watch.is_none() && data.len() == first.positions.saturating_mul(first.width)
        }
        Node::Site { weight, row, form, input, .. } => {
            weights.get(*weight).filter(|_| first.width > 0).is_some_and(|w| match form {
                Form::Dense => w.n_in == input.width && row.saturating_add(first.width) <= w.n_out,
                Form::Gain => *row == 0 && w.n_in == 1 && w.n_out == input.width && w.n_out == first.width,
                Form::Embedding => *row == 0 && input.width == 1 && w.n_in == first.width && w.bias.is_none(),
            })
        }
        Node::Cluster { .. } => {
            operands(node).iter().all(|o| o.width == first.width)
                && outputs(node).iter().all(|&o| {
                    variables.get(o).is_some_and(|v| v.width == first.width && v.positions == first.positions)
                })
        }
        Node::Mixing { function, .. } => {
            let (mut sizes, reads) = ([(0, 0); MAX_INPUTS], operands(node));
            let rows = |positions: usize| if scan == Scan::Parallel { positions } else { 1 };
            for (size, o) in sizes.iter_mut().zip(reads) {
                *size = (rows(variables[o.variable].positions), o.width);
            }
            function.size(&sizes[..reads.len()]) == Some((rows(first.positions), first.width))
        }
    };
    if fits {
        Ok(())
    } else {
        Err(size)
    }
}

/// Marks, for every flow, the variables that it reaches: a fixed point, since delays close loops.
pub(super) fn activate<T: Scalar>(variables: &mut [Variable], nodes: &[Node<'_, T>], weights: &[Weight<'_, T>]) {
    for flow in Flow::ALL {
        if flow == Flow::State {
            variables.iter_mut().filter(|v| v.watch.is_some()).for_each(|v| v.active |= flow.bit());
        }
        loop {
            let mut changed = false;
            for node in nodes {
                let trained = matches!(node, Node::Site { weight, .. } if weights[*weight].parameters() > 0);
                let source = trained && flow != Flow::State;
                let reached = source || operands(node).iter().any(|o| flow.carries(&variables[o.variable]));
                for &o in outputs(node) {
                    if reached && variables[o].active & flow.bit() == 0 {
                        variables[o].active |= flow.bit();
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
    }
}
