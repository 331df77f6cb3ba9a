//! What a finished graph knows about its sites: which share rows of values, which are summed, what the Kronecker core makes of them,
//! and which passes of a sweep are the first to write.

use super::check::{operands, outputs};
use super::error::BuildError;
use super::graph::{Form, Graph, Node, Operand, Scan, Segment, Variable, Weight};
use super::panel::lay_out;
use super::Flow;
use crate::Scalar;

/// What the Kronecker core sees of one trained site, or of several whose inputs stand side by side and whose outputs are summed.
///
/// Its δW has a row for every column of u, then one for a bias that no column of ones stands for; each row `[vector][unit of s]`.
#[derive(Clone, Copy, Debug)]
pub struct Coupled {
    pub form: Form,
    /// The weight (the first of several).
    pub weight: usize,
    /// All that is read: of several sites, all of their columns, and the ones of their biases.
    pub input: Operand,
    /// s.
    pub output: usize,
    /// The units of s.
    pub width: usize,
    pub positions: usize,
    /// Rows of δW for the columns of u (of an embedding, for those of s).
    pub rows: usize,
    /// Whether a last row of δW belongs to a bias that is not read as a column of ones.
    pub bias: bool,
    /// Numbers of δW of one vector before its own.
    pub place: usize,
    /// Units of δW: those of s, or of an embedding its rows.
    pub units: usize,
    /// Whether others have written s before it.
    pub adds: bool,
}

impl Coupled {
    /// Numbers of its δW for one vector.
    pub fn len(&self) -> usize {
        (self.rows + usize::from(self.bias)) * self.units
    }
}

/// What the graph works out about a site when it is finished.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Which sweeps forward find nothing in s yet: bit i for flow i.
    pub(super) opens: u8,
    /// Which sweeps back find nothing in u's cotangent yet.
    pub(super) first: u8,
    /// The δW that it is part of, and its first row there; `None` if it is not trained.
    pub(super) coupled: Option<(Coupled, usize)>,
    /// Whether no other site uses these rows of the weight.
    once: bool,
    /// The first site that does.
    shares: Option<usize>,
    /// The site that it is joined to, on its left.
    left: Option<usize>,
    /// Whether an inference finds nothing in s yet.
    opens_values: bool,
    /// Whether some site of the same sum is trained.
    injected: bool,
}

impl Link {
    /// Whether an inference finds nothing in s yet.
    pub(super) fn opens_values(&self) -> bool {
        self.opens_values
    }
    /// Whether a sweep forward finds nothing in s yet.
    pub(super) fn opens(&self, flow: Flow) -> bool {
        self.opens & flow.bit() != 0
    }
    /// Whether a sweep back finds nothing in u's cotangent yet.
    pub(super) fn first(&self, flow: Flow) -> bool {
        self.first & flow.bit() != 0
    }
    /// Whether a sweep from the sites finds perturbations in s: of this site's weight, or of another's in the same sum.
    pub(super) fn sum_is_injected(&self) -> bool {
        self.injected
    }
    pub(super) const NONE: Self = Self {
        opens: 0,
        first: 0,
        coupled: None,
        once: false,
        shares: None,
        left: None,
        opens_values: false,
        injected: false,
    };
}

/// Works out everything that [`Link`] and [`Panel`](super::graph::Panel) hold; returns the numbers of a trajectory's values that are
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
        _ => None,
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
            *link = Link { coupled: Some((own, 0)), once, shares, ..Link::NONE };
        }
    }
    join(variables, nodes);
    Ok(())
}

fn link_of<'n, T>(node: &'n Node<'_, T>) -> Option<&'n Link> {
    match node {
        Node::Site { link, .. } if link.coupled.is_some() => Some(link),
        _ => None,
    }
}

/// Joins sites whose inputs stand side by side and whose outputs are one (one product for all of them), and gives everything its place.
fn join<T: Scalar>(variables: &[Variable], nodes: &mut [Node<'_, T>]) {
    let dense = |node: &Node<'_, T>| {
        let link = link_of(node).filter(|l| l.once)?;
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
        |nodes: &[Node<'_, T>], n: usize| nodes.iter().position(|k| link_of(k).is_some_and(|l| l.left == Some(n)));
    let mut used = 0;
    for head in 0..nodes.len() {
        let Some(link) = link_of(&nodes[head]).filter(|l| l.left.is_none()) else { continue };
        let Some((mut all, _)) = link.coupled else { continue };
        let heads = || nodes[..head].iter().filter_map(|n| link_of(n).filter(|l| l.left.is_none())?.coupled);
        all.adds = heads().any(|(c, _)| c.output == all.output);
        let shared = link.shares.and_then(|k| link_of(&nodes[k])?.coupled);
        all.place = shared.map_or(used, |(first, _)| first.place);
        let mut at = right(nodes, head);
        while let Some(n) = at {
            let rows = link_of(&nodes[n]).and_then(|l| l.coupled).map_or(0, |(c, _)| c.rows);
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

/// Which site is the first to write each sum of a sweep forward: the first one that the flow passes, or the first at all.
fn open<T: Scalar>(variables: &[Variable], nodes: &mut [Node<'_, T>], flow: Flow) {
    for n in 0..nodes.len() {
        let Node::Site { output, .. } = nodes[n] else { continue };
        let of_output = |node: &Node<'_, T>, carried: bool| match *node {
            Node::Site { input, output: o, .. } => {
                o == output && (!carried || flow.carries(&variables[input.variable]))
            }
            _ => false,
        };
        let carried = nodes.iter().position(|node| of_output(node, true));
        let own = nodes.iter().position(|node| of_output(node, false)) == Some(n);
        let trained = |node: &Node<'_, T>| of_output(node, false) && link_of(node).is_some();
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
                let passed = outputs(&nodes[n]).iter().any(|&o| variables[o].active & flow.bit() != 0);
                for i in 0..if passed { operands(&nodes[n]).len() } else { 0 } {
                    let o = operands(&nodes[n])[i];
                    if o.delayed != *delayed || !flow.carries(&variables[o.variable]) {
                        continue;
                    }
                    let first = cover(&mut variables[o.variable], &o, matches!(nodes[n], Node::Mixing { .. }), flow);
                    match &mut nodes[n] {
                        Node::Site { link, .. } if first => link.first |= flow.bit(),
                        Node::Cluster { first: firsts, .. } if first => firsts[i] |= flow.bit(),
                        _ => {}
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

impl<'a, T: Scalar> Graph<'a, T> {
    /// What the Kronecker core is made of: every trained site, those that are joined as one.
    pub(crate) fn coupled(&self) -> impl Iterator<Item = Coupled> + Clone + 'a {
        self.nodes.iter().filter_map(|n| link_of(n).filter(|l| l.left.is_none())?.coupled.map(|(c, _)| c))
    }

    /// The same, each part of δW once: the site of the first use.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Coupled> + 'a {
        let own = |l: &&Link| l.left.is_none() && l.shares.is_none();
        self.nodes.iter().filter_map(move |n| link_of(n).filter(own)?.coupled.map(|(c, _)| c))
    }

    /// Calls `f(weight, first row of the weight, what its δW is part of, first row there)` for every trained weight or some rows of it.
    pub(crate) fn each_weight(&self, mut f: impl FnMut(usize, usize, &Coupled, usize)) {
        for node in self.nodes {
            let Node::Site { weight, row, link, .. } = node else { continue };
            if let (Some((c, at)), None) = (&link.coupled, link.shares) {
                f(*weight, *row, c, *at);
            }
        }
    }

    /// Numbers of δW of one vector.
    pub(crate) fn coupled_len(&self) -> usize {
        self.parts().map(|c| c.len()).sum()
    }
}
