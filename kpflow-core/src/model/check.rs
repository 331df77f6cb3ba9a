//! What must hold of a graph before it runs, and which variables a sweep reaches.

use super::error::BuildError;
use super::flow::Flow;
use super::node::{Form, Node, Segment, Weight, MAX_INPUTS};
use super::passed::{carried, is_passed};
use super::variable::{Edge, Scan, Variable, VariableId};
use crate::Scalar;

/// Checks sizes, delays and that the watched variables fill the state.
pub(super) fn check<T: Scalar>(
    variables: &[Variable],
    nodes: &[Node<'_, T>],
    segments: &[Segment],
    weights: &[Weight<'_, T>],
    state: usize,
) -> Result<(), BuildError> {
    for (weight, w) in weights.iter().enumerate() {
        let bias = w.bias.map(|b| (w.n_out, b.len()));
        for (expected, found) in [Some((w.n_out.saturating_mul(w.n_in), w.matrix.len())), bias].into_iter().flatten() {
            if expected != found {
                return Err(BuildError::Weight { weight, expected, found });
            }
        }
    }
    // A node before the first segment would belong to none.
    if segments.first().map_or(nodes.len(), |s| s.nodes.start) > 0 {
        return Err(BuildError::Missing { node: 0, there_are: segments.len(), found: 0 });
    }
    for segment in segments {
        let steps =
            |node: usize| nodes[node].outputs().first().and_then(|&o| variables.get(o.0)).map_or(0, |v| v.positions);
        for node in segment.nodes.clone() {
            check_node(variables, &nodes[node], segment.scan, weights, node)?;
            check_sum(variables, nodes, node)?;
            if segment.scan != Scan::Parallel {
                equal(node, steps(segment.nodes.start), steps(node))?;
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
    for &o in nodes[index].outputs() {
        let Some(first) = nodes[..index].iter().position(|n| n.outputs().contains(&o)) else { continue };
        let early = nodes[first..index].iter().any(|n| n.operands().iter().any(|r| r.variable == o && !r.delayed));
        if !dense(&nodes[index]) || !dense(&nodes[first]) || variables[o].watch.is_some() || early {
            return Err(BuildError::Twice { node: index, first });
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
    let variable = |v: VariableId| {
        variables.get(v.0).ok_or(BuildError::Missing { node: index, there_are: variables.len(), found: v.0 })
    };
    let output = node.outputs().first().copied().unwrap_or(VariableId(usize::MAX));
    let first = variable(output)?;
    for operand in node.operands() {
        let v = variable(operand.variable)?;
        // A mixing block goes across positions, but not where time runs through it.
        let across = matches!(node, Node::Mixing { .. }) && scan == Scan::Parallel;
        let end = operand.offset.saturating_add(operand.width);
        equal(index, v.width.min(end), end)?;
        if !across {
            equal(index, first.positions, v.positions)?;
        }
        let right = matches!((scan, v.edge), (Scan::Forward, Edge::First) | (Scan::Backward, Edge::Last));
        if operand.delayed && !right {
            return Err(BuildError::Delay { node: index });
        }
    }
    match node {
        Node::Input { .. } | Node::Constant { .. } if first.watch.is_some() => {
            Err(BuildError::Watched { node: index, variable: output.0 })
        }
        Node::Input { .. } => Ok(()),
        Node::Constant { data, .. } => equal(index, first.positions.saturating_mul(first.width), data.len()),
        Node::Site { weight, row, form, input, .. } => {
            let missing = BuildError::Missing { node: index, there_are: weights.len(), found: weight.0 };
            let w = weights.get(weight.0).ok_or(missing)?;
            equal(index, first.width.max(1), first.width)?;
            let end = row.saturating_add(first.width);
            let sizes = match form {
                Form::Dense => [(w.n_in, input.width), (w.n_out.min(end), end), (0, 0)],
                Form::Gain => [(w.n_in.max(1), w.n_in), (w.n_in.saturating_mul(w.n_out), input.width), (w.n_out, end)],
                Form::Embedding => [(1, input.width), (w.n_in, end), (0, w.bias.map_or(0, <[T]>::len))],
            };
            sizes.into_iter().try_for_each(|(expected, found)| equal(index, expected, found))?;
            if *form == Form::Dense {
                Ok(())
            } else {
                equal(index, 0, *row)
            }
        }
        Node::Cluster { .. } => {
            node.operands().iter().try_for_each(|o| equal(index, first.width, o.width))?;
            node.outputs().iter().try_for_each(|&o| {
                equal(index, first.width, variable(o)?.width)?;
                equal(index, first.positions, variable(o)?.positions)
            })
        }
        Node::Mixing { function, .. } => {
            let (mut sizes, reads) = ([(0, 0); MAX_INPUTS], node.operands());
            let rows = |positions: usize| if scan == Scan::Parallel { positions } else { 1 };
            for (size, o) in sizes.iter_mut().zip(reads) {
                *size = (rows(variables[o.variable].positions), o.width);
            }
            let (expected, found) = (function.size(&sizes[..reads.len()]), (rows(first.positions), first.width));
            if expected == Some(found) {
                Ok(())
            } else {
                Err(BuildError::Mixing { node: index, expected, found })
            }
        }
    }
}

/// Fails unless a size of a node is the one expected.
fn equal(node: usize, expected: usize, found: usize) -> Result<(), BuildError> {
    if expected == found {
        Ok(())
    } else {
        Err(BuildError::Size { node, expected, found })
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
                let reads = || carried(nodes, node).iter();
                let reached = source || reads().any(|o| flow.carries(&variables[o.variable]));
                if is_passed(variables, node.outputs()) {
                    continue;
                }
                for &o in node.outputs() {
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
