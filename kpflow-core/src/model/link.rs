//! What a finished graph knows about its sites: which share rows of values, which are summed, what the Kronecker core makes of them,
//! and which passes of a sweep are the first to write.

use super::error::BuildError;
use super::flow::Flow;
use super::node::{Coupled, Form, Link, Node, Part, Segment, Weight};
use super::panel::lay_out;
use super::passed::carried as carried_by;
use super::variable::{Operand, Scan, Variable};
use crate::Scalar;

/// Works out everything that [`Link`] and [`Panel`](super::variable::Panel) hold; returns the numbers of a trajectory's values that are
/// kept, and of all of them.
pub(super) fn link<T: Scalar>(
    variables: &mut [Variable],
    nodes: &mut [Node<'_, T>],
    segments: &[Segment],
    weights: &[Weight<'_, T>],
) -> Result<(usize, usize), BuildError> {
    let values = lay_out(variables, nodes, weights);
    couple(variables, nodes, weights)?;
    for flow in Flow::ALL {
        open(variables, nodes, flow);
        first(variables, nodes, segments, flow);
    }
    Ok(values)
}

/// A trained site by itself, as the Kronecker core sees it; `None` for any other node.
fn alone<T: Scalar>(variables: &[Variable], node: &Node<'_, T>, weights: &[Weight<'_, T>]) -> Option<Coupled> {
    let Node::Site { weight, form, input, output, .. } = *node else { return None };
    let (w, read) = (&weights[weight], &variables[input.variable]);
    if w.parameters() == 0 {
        return None;
    }
    let (width, positions) = (variables[output].width, variables[output].positions);
    let whole = Coupled {
        form,
        weight,
        input,
        output,
        width,
        positions,
        rows: 0,
        bias: false,
        place: 0,
        units: w.n_out,
        adds: false,
        part: Part::default(),
    };
    let bias = w.bias_parameters() > 0;
    Some(match form {
        Form::Dense => {
            let ones = bias && read.panel.ones && input.width > 0 && input.offset + input.width == read.width;
            let start = if w.train_matrix { input.offset } else { input.offset + input.width };
            let rows = w.columns() + usize::from(ones);
            let input = Operand { offset: start, width: rows, ..input };
            Coupled { input, rows, bias: bias && !ones, units: width, ..whole }
        }
        Form::Gain => Coupled { rows: w.columns(), bias, ..whole },
        Form::Embedding => Coupled { rows: w.n_in, ..whole },
    })
}

/// Whether what `right` reads stands right of what `left` reads, in the same rows.
fn adjacent(variables: &[Variable], left: &Operand, right: &Operand) -> bool {
    let (l, r) = (&variables[left.variable], &variables[right.variable]);
    let row = |v: &Variable, o: &Operand| v.row(0, o.delayed) as isize + v.panel.shift;
    let column = |v: &Variable, o: &Operand| v.panel.column + o.offset;
    (l.place[0], l.panel.ld, row(l, left)) == (r.place[0], r.panel.ld, row(r, right))
        && column(l, left) + left.width == column(r, right)
}

/// Gives every trained site its part of δW: its own, the one of an earlier site of the same weight, or a part of a joined one.
fn couple<T: Scalar>(
    variables: &[Variable],
    nodes: &mut [Node<'_, T>],
    weights: &[Weight<'_, T>],
) -> Result<(), BuildError> {
    let rows = |node: &Node<'_, T>| match *node {
        Node::Site { weight, row, form, output, .. } => {
            let count = if form == Form::Dense { variables[output].width } else { weights[weight].n_out };
            Some((weight, row..row + count))
        }
        Node::Input { .. } | Node::Constant { .. } | Node::Cluster { .. } | Node::Mixing { .. } => None,
    };
    for n in 0..nodes.len() {
        let (Some(own), Some((weight, range))) = (alone(variables, &nodes[n], weights), rows(&nodes[n])) else {
            continue;
        };
        // The same weight elsewhere: all of these rows or none of them.
        let (mut shares, mut once) = (None, true);
        for (k, other) in nodes.iter().enumerate().filter(|(k, _)| *k != n) {
            let Some((_, r)) = rows(other).filter(|(w, r)| *w == weight && r.start < range.end && range.start < r.end)
            else {
                continue;
            };
            if r != range {
                return Err(BuildError::Size { node: n, expected: r.end - r.start, found: range.end - range.start });
            }
            once = false;
            shares = shares.or(Some(k).filter(|&k| k < n));
        }
        if let Node::Site { link, .. } = &mut nodes[n] {
            *link = Link { coupled: Some((own, 0)), once, shares, ..*link };
        }
    }
    join(variables, nodes);
    gather_parts(nodes);
    Ok(())
}

/// Joins sites whose inputs stand side by side and whose outputs are one (one product for all of them), and gives everything its place.
fn join<T: Scalar>(variables: &[Variable], nodes: &mut [Node<'_, T>]) {
    let dense = |node: &Node<'_, T>| {
        let link = node.link().filter(|l| l.once)?;
        link.coupled.map(|(c, _)| c).filter(|c| c.form == Form::Dense && !c.bias)
    };
    for n in 0..nodes.len() {
        let Some(own) = dense(&nodes[n]) else { continue };
        let is_left = |c: Coupled| c.output == own.output && adjacent(variables, &c.input, &own.input);
        let left = (0..nodes.len()).find(|&k| k != n && dense(&nodes[k]).is_some_and(is_left));
        if let Node::Site { link, .. } = &mut nodes[n] {
            link.left = left;
        }
    }
    let right =
        |nodes: &[Node<'_, T>], n: usize| nodes.iter().position(|k| k.link().is_some_and(|l| l.left == Some(n)));
    let mut used = 0;
    for head in 0..nodes.len() {
        let Some(link) = nodes[head].link().filter(|l| l.left.is_none()) else { continue };
        let Some((mut all, _)) = link.coupled else { continue };
        let heads = || nodes[..head].iter().filter_map(|n| n.link().filter(|l| l.left.is_none())?.coupled);
        all.adds = heads().any(|(c, _)| c.output == all.output);
        let shared = link.shares.and_then(|k| nodes[k].link()?.coupled);
        all.place = shared.map_or(used, |(first, _)| first.place);
        let mut at = right(nodes, head);
        while let Some(n) = at {
            let rows = nodes[n].link().and_then(|l| l.coupled).map_or(0, |(c, _)| c.rows);
            all.rows += rows;
            all.input.width += rows;
            at = right(nodes, n);
        }
        used += if shared.is_none() { all.len() } else { 0 };
        let (mut at, mut row) = (Some(head), 0);
        while let Some(n) = at {
            if let Node::Site { link, .. } = &mut nodes[n] {
                let own = link.coupled.map_or(0, |(c, _)| c.rows);
                link.coupled = Some((all, row));
                row += own;
            }
            at = right(nodes, n);
        }
    }
}

/// Tells every use of a part of δW what all of them are together.
fn gather_parts<T: Scalar>(nodes: &mut [Node<'_, T>]) {
    let site = |node: &Node<'_, T>| node.link().and_then(|l| Some((l.coupled?.0, l.left, l.shares)));
    for head in 0..nodes.len() {
        let Some((first, None, None)) = site(&nodes[head]) else { continue };
        let mut part = Part { head, has_gram: true, ..Part::default() };
        for (c, left, _) in nodes[head..].iter().filter_map(site).filter(|(c, ..)| c.place == first.place) {
            if left.is_none() {
                part = part.with(&c);
                part.has_gram &= c.form == first.form && c.form != Form::Gain;
            }
        }
        for node in &mut nodes[head..] {
            match node {
                Node::Site { link: Link { coupled: Some((c, _)), .. }, .. } if c.place == first.place => c.part = part,
                Node::Site { .. }
                | Node::Input { .. }
                | Node::Constant { .. }
                | Node::Cluster { .. }
                | Node::Mixing { .. } => {}
            }
        }
    }
}

/// Which site is the first to write each sum of a sweep forward: the first one that the flow passes, or the first at all.
fn open<T: Scalar>(variables: &[Variable], nodes: &mut [Node<'_, T>], flow: Flow) {
    for n in 0..nodes.len() {
        let Node::Site { output, .. } = nodes[n] else { continue };
        let of_output = |node: &Node<'_, T>, carried: bool| match *node {
            Node::Site { input, output: o, .. } => {
                let from = carried_by(nodes, node).first().unwrap_or(&input);
                o == output && (!carried || flow.carries(&variables[from.variable]))
            }
            Node::Input { .. } | Node::Constant { .. } | Node::Cluster { .. } | Node::Mixing { .. } => false,
        };
        let carried = nodes.iter().position(|node| of_output(node, true));
        let own = nodes.iter().position(|node| of_output(node, false)) == Some(n);
        let trained = |node: &Node<'_, T>| of_output(node, false) && node.link().is_some();
        let injected = nodes.iter().any(trained);
        let opens = carried.or_else(|| nodes.iter().position(|node| of_output(node, false))) == Some(n);
        if let Node::Site { link, .. } = &mut nodes[n] {
            (link.opens_values, link.injected) = (own, injected);
            link.opens |= if opens { flow.bit() } else { 0 };
        }
    }
}

/// Which pass is the first to write each cotangent of a sweep back. At the step before come those that read with a delay.
fn first<T: Scalar>(variables: &mut [Variable], nodes: &mut [Node<'_, T>], segments: &[Segment], flow: Flow) {
    variables.iter_mut().for_each(|v| v.covered = (0, 0));
    for segment in segments.iter().rev() {
        for delayed in if segment.scan == Scan::Parallel { &[false][..] } else { &[true, false] } {
            for n in segment.nodes.clone().rev() {
                let passed = nodes[n].outputs().iter().any(|&o| variables[o].active & flow.bit() != 0);
                for i in 0..if passed { nodes[n].operands().len() } else { 0 } {
                    let o = carried_by(nodes, &nodes[n])[i];
                    if o.delayed != *delayed || !flow.carries(&variables[o.variable]) {
                        continue;
                    }
                    let adds = nodes[n].adds_to_operands();
                    let first = cover(&mut variables[o.variable], &o, adds, flow);
                    match &mut nodes[n] {
                        Node::Site { link, .. } if first => link.first |= flow.bit(),
                        Node::Cluster { first: firsts, .. } if first => firsts[i] |= flow.bit(),
                        Node::Input { .. }
                        | Node::Constant { .. }
                        | Node::Site { .. }
                        | Node::Cluster { .. }
                        | Node::Mixing { .. } => {}
                    }
                }
            }
        }
    }
    for v in variables.iter_mut().filter(|v| v.active & flow.bit() != 0) {
        let given = flow == Flow::Immediate && v.watch.is_some();
        if v.covered != (0, v.width) && !given {
            v.cleared |= flow.bit();
        }
    }
}

/// Whether an operand's columns are written here for the first time. What is written must be one run of columns, or all is cleared before.
fn cover(v: &mut Variable, o: &Operand, mixing: bool, flow: Flow) -> bool {
    let (low, high) = v.covered;
    let (from, to) = (o.offset, o.offset + o.width);
    if mixing || (low < high && from < high && low < to && (from < low || high < to)) {
        // A mixing block adds; and what overlaps is neither first nor second.
        v.cleared |= flow.bit();
        v.covered = (0, v.width);
        return false;
    }
    if low < high && low <= from && to <= high {
        return false;
    }
    if low == high || from == high || to == low {
        v.covered = if low == high { (from, to) } else { (low.min(from), high.max(to)) };
        return true;
    }
    v.cleared |= flow.bit();
    false
}
