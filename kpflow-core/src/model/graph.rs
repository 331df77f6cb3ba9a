//! The step graph: the nodes that compute variables, and the order in which they do.

use super::flow::Flow;
use super::node::{Coupled, Form, Link, Node, Segment, Site, Weight, WeightId};
use super::passed::carried;
use super::variable::{At, Scan, Variable, VariableId};
use crate::Scalar;

/// A model: a slice of nodes, and of everything that they refer to.
#[derive(Clone, Copy)]
pub struct Graph<'a, T> {
    pub(super) variables: &'a [Variable],
    pub(super) nodes: &'a [Node<'a, T>],
    pub(super) segments: &'a [Segment],
    pub(super) weights: &'a [Weight<'a, T>],
    pub(super) steps: usize,
    pub(super) units: usize,
    /// Numbers a trajectory: values that are kept, and each flow's tangents.
    pub(super) sizes: [usize; 4],
    /// Numbers of a trajectory's values while the model runs, those that are kept first.
    pub(super) running: usize,
    pub(super) coefficients: usize,
    pub(super) initial: usize,
}

/// All that a graph knows besides its parts, so that who owns these can make it again.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    steps: usize,
    units: usize,
    sizes: [usize; 4],
    running: usize,
    coefficients: usize,
    initial: usize,
    parts: [usize; 4],
}

#[cfg(feature = "alloc")]
impl<'a, T: Scalar> Graph<'a, T> {
    /// What [`of_parts`](Self::of_parts) needs.
    pub(crate) fn all_sizes(&self) -> Sizes {
        let Self { steps, units, sizes, running, coefficients, initial, .. } = *self;
        let parts = [self.variables.len(), self.nodes.len(), self.segments.len(), self.weights.len()];
        Sizes { steps, units, sizes, running, coefficients, initial, parts }
    }

    /// The graph that these parts have been, once finished.
    pub(crate) fn of_parts(
        variables: &'a [Variable],
        nodes: &'a [Node<'a, T>],
        segments: &'a [Segment],
        weights: &'a [Weight<'a, T>],
        of: &Sizes,
    ) -> Self {
        let Sizes { steps, units, sizes, running, coefficients, initial, parts: [v, n, s, w] } = *of;
        let (variables, nodes, segments, weights) = (&variables[..v], &nodes[..n], &segments[..s], &weights[..w]);
        Self { variables, nodes, segments, weights, steps, units, sizes, running, coefficients, initial }
    }
}

impl<'a, T: Scalar> Graph<'a, T> {
    /// The numbers of a trajectory's initial state.
    pub fn initial_width(&self) -> usize {
        self.initial
    }
    /// Whether perturbations of a flow reach a variable.
    pub fn reaches(&self, flow: Flow, variable: VariableId) -> bool {
        self.variables.get(variable.0).is_some_and(|v| v.active & flow.bit() != 0)
    }
    /// Flops of one product of NTK with one vector and trajectory: the weight sites' part of it, on the weight side.
    pub fn product_flops(&self) -> f64 {
        let site = |(node, s): (&Node<'a, T>, Site)| {
            let w = &self.weights[s.weight];
            let reached = carried(self.nodes, node).iter().any(|o| self.reaches(Flow::Total, o.variable));
            let sweeps = if reached { 4.0 } else { 0.0 };
            let core = if w.train_matrix { 4.0 } else { 0.0 };
            let size = if s.form == Form::Embedding { w.n_in } else { w.n_in * self.variables[s.output].width };
            (sweeps + core) * s.positions as f64 * size as f64
        };
        self.site_nodes().map(site).sum()
    }
    /// Numbers of work memory that a sweep needs for one trajectory and vector.
    pub fn sweep_len(&self, flow: Flow) -> usize {
        self.sizes[1 + flow as usize]
    }
    /// T, the steps of the state.
    pub fn steps(&self) -> usize {
        self.steps
    }
    /// N, the units of the state.
    pub fn units(&self) -> usize {
        self.units
    }
    /// The weights, in the order of the parameter vector θ.
    pub fn weights(&self) -> &'a [Weight<'a, T>] {
        self.weights
    }
    /// The variables.
    pub fn variables(&self) -> &'a [Variable] {
        self.variables
    }
    /// The nodes.
    pub fn nodes(&self) -> &'a [Node<'a, T>] {
        self.nodes
    }
    /// The segments.
    pub fn segments(&self) -> &'a [Segment] {
        self.segments
    }
    /// n_θ, the number of trainable numbers.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(Weight::parameters).fold(0, usize::saturating_add)
    }
    /// All sites whose weight is trained, at least in part.
    pub fn sites(&self) -> impl Iterator<Item = Site> + 'a {
        self.site_nodes().map(|(_, site)| site)
    }

    fn site_nodes(&self) -> impl Iterator<Item = (&'a Node<'a, T>, Site)> + 'a {
        let (weights, variables) = (self.weights, self.variables);
        self.nodes.iter().filter_map(move |n| match *n {
            Node::Site { weight, row, form, input, output, .. } if weights[weight].parameters() > 0 => {
                Some((n, Site { weight, row, form, input, output, positions: variables[output].positions }))
            }
            Node::Input { .. }
            | Node::Constant { .. }
            | Node::Site { .. }
            | Node::Cluster { .. }
            | Node::Mixing { .. } => None,
        })
    }

    /// Calls `visit(node, where)` for everything that there is to compute, in order or in the opposite order.
    pub(super) fn schedule(&self, backwards: bool, mut visit: impl FnMut(usize, At)) {
        for s in 0..self.segments.len() {
            let segment = &self.segments[if backwards { self.segments.len() - 1 - s } else { s }];
            let (first, count, scan) = (segment.nodes.start, segment.nodes.len(), segment.scan);
            let node = |i: usize| first + if backwards { count - 1 - i } else { i };
            let positions = |n: usize| self.variables[self.nodes[n].outputs()[0]].positions;
            if scan == Scan::Parallel {
                (0..count).for_each(|i| visit(node(i), At { range: 0..positions(node(i)), scan }));
                continue;
            }
            let steps = if count == 0 { 0 } else { positions(first) };
            for k in 0..steps {
                let p = if backwards == (scan == Scan::Forward) { steps - 1 - k } else { k };
                (0..count).for_each(|i| visit(node(i), At { range: p..p + 1, scan }));
            }
        }
    }
    /// What the Kronecker core is made of: every trained site, those that are joined as one.
    pub(crate) fn coupled(&self) -> impl Iterator<Item = Coupled> + Clone + 'a {
        self.coupled_from(0)
    }

    /// The same from a node on.
    pub(crate) fn coupled_from(&self, node: usize) -> impl Iterator<Item = Coupled> + Clone + 'a {
        let nodes = self.nodes.get(node..).unwrap_or(&[]);
        nodes.iter().filter_map(|n| n.link().filter(|l| l.left.is_none())?.coupled.map(|(c, _)| c))
    }

    /// The same, each part of δW once: the site of the first use.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Coupled> + 'a {
        let own = |l: &&Link| l.left.is_none() && l.shares.is_none();
        self.nodes.iter().filter_map(move |n| n.link().filter(own)?.coupled.map(|(c, _)| c))
    }

    /// Calls `f(weight, first row of the weight, what its δW is part of, first row there)` for every trained weight or some rows of it.
    pub(crate) fn each_weight(&self, mut f: impl FnMut(WeightId, usize, &Coupled, usize)) {
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
