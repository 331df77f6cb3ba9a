//! Building a graph, node after node, in memory that the caller lends; and checking it.

use super::check::{activate, check, require_memory};
use super::error::BuildError;
use super::graph::Graph;
use super::link::link;
use super::node::{Link, Node, Segment, Weight, WeightId, MAX_INPUTS, MAX_OUTPUTS};
use super::passed::read_through;
use super::variable::{Edge, Operand, Scan, Variable, VariableId, Watch};
use super::{Cluster, Form, Mixing};
use crate::Scalar;

/// Memory for a graph of at most `N` nodes, on the stack.
pub struct GraphBuffer<'a, T, const N: usize> {
    variables: [Variable; N],
    nodes: [Node<'a, T>; N],
    segments: [Segment; N],
    weights: [Weight<'a, T>; N],
}

impl<T: Scalar, const N: usize> Default for GraphBuffer<'_, T, N> {
    fn default() -> Self {
        Self {
            variables: [Variable::EMPTY; N],
            nodes: [Node::Input { slot: 0, output: VariableId(0) }; N],
            segments: core::array::from_fn(|_| Segment { nodes: 0..0, scan: Scan::Parallel }),
            weights: [Weight::new(&[], None, 0, 0); N],
        }
    }
}

impl<'a, T: Scalar, const N: usize> GraphBuffer<'a, T, N> {
    /// Starts to build a graph in this memory.
    pub fn builder(&mut self) -> GraphBuilder<'_, 'a, T> {
        GraphBuilder::new(&mut self.variables, &mut self.nodes, &mut self.segments, &mut self.weights)
    }
}

/// Writes a graph, node after node, into memory that the caller lends.
pub struct GraphBuilder<'s, 'a, T> {
    variables: &'s mut [Variable],
    nodes: &'s mut [Node<'a, T>],
    segments: &'s mut [Segment],
    weights: &'s mut [Weight<'a, T>],
    used: [usize; 4],
    coefficients: usize,
    initial_width: Option<usize>,
    error: Option<BuildError>,
}

impl<'s, 'a: 's, T: Scalar> GraphBuilder<'s, 'a, T> {
    /// Starts with empty memory; what the slices hold does not matter.
    pub fn new(
        variables: &'s mut [Variable],
        nodes: &'s mut [Node<'a, T>],
        segments: &'s mut [Segment],
        weights: &'s mut [Weight<'a, T>],
    ) -> Self {
        Self { variables, nodes, segments, weights, used: [0; 4], coefficients: 0, initial_width: None, error: None }
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    /// Adds a variable and returns its number.
    pub fn variable(&mut self, positions: usize, width: usize, edge: Edge, watch: Option<Watch>) -> VariableId {
        let i = self.used[0];
        let given = self.variables.len();
        match self.variables.get_mut(i) {
            Some(v) => *v = Variable { positions, width, edge, watch, ..Variable::EMPTY },
            None => self.fail(BuildError::Capacity { needed: i + 1, given }),
        }
        self.used[0] += 1;
        VariableId(i)
    }

    /// Says where in a trajectory's row of the initial state a variable's initial row stands: without this, where it is watched.
    pub fn initial(&mut self, variable: VariableId, offset: usize) {
        if let Some(v) = self.variables.get_mut(variable.0) {
            v.initial = Some(offset);
        }
    }

    /// Says how many numbers a trajectory's row of the initial state has: without this, those that are read.
    pub fn initial_width(&mut self, width: usize) {
        self.initial_width = Some(width);
    }

    /// Adds a weight and returns its number. θ is all weights in this order, each its matrix and then its bias.
    pub fn weight(&mut self, weight: Weight<'a, T>) -> WeightId {
        let i = self.used[3];
        let given = self.weights.len();
        match self.weights.get_mut(i) {
            Some(w) => *w = weight,
            None => self.fail(BuildError::Capacity { needed: i + 1, given }),
        }
        self.used[3] += 1;
        WeightId(i)
    }

    fn node(&mut self, node: Node<'a, T>) {
        let given = self.nodes.len();
        match self.nodes.get_mut(self.used[1]) {
            Some(n) => *n = node,
            None => self.fail(BuildError::Capacity { needed: self.used[1] + 1, given }),
        }
        self.used[1] += 1;
        if let Some(s) = self.used[2].checked_sub(1).and_then(|i| self.segments.get_mut(i)) {
            s.nodes.end = self.used[1];
        }
    }

    /// Begins a new segment: the nodes that follow go through the positions in this way.
    pub fn segment(&mut self, scan: Scan) {
        let given = self.segments.len();
        match self.segments.get_mut(self.used[2]) {
            Some(s) => *s = Segment { nodes: self.used[1]..self.used[1], scan },
            None => self.fail(BuildError::Capacity { needed: self.used[2] + 1, given }),
        }
        self.used[2] += 1;
    }

    /// The positions of a variable.
    pub(super) fn positions(&self, variable: VariableId) -> usize {
        self.variables.get(variable.0).map_or(0, |v| v.positions)
    }

    /// Reads all columns of a variable, at the same position.
    pub fn read(&self, variable: VariableId) -> Operand {
        let width = self.variables.get(variable.0).map_or(0, |v| v.width);
        Operand { variable, offset: 0, width, delayed: false }
    }

    /// Reads all columns of a variable, at the position before in time.
    pub fn delayed(&self, variable: VariableId) -> Operand {
        Operand { delayed: true, ..self.read(variable) }
    }

    /// Reads piece `i` of a variable that is cut into pieces of `width` columns.
    pub fn piece(&self, variable: VariableId, i: usize, width: usize) -> Operand {
        Operand { variable, offset: i.saturating_mul(width), width, delayed: false }
    }

    /// Adds fixed data.
    pub fn input(&mut self, slot: usize, output: VariableId) {
        self.node(Node::Input { slot, output });
    }

    /// Adds fixed data `[positions, width]` that is the same for all trajectories.
    pub fn constant(&mut self, data: &'a [T], output: VariableId) {
        self.node(Node::Constant { data, output });
    }

    /// Adds a weight site `output = W input (+ b)`. Several into the same output are summed.
    pub fn site(&mut self, weight: WeightId, input: Operand, output: VariableId) {
        self.site_rows(weight, 0, input, output);
    }

    /// Adds a site of the weight's rows from `row` on, as many as the output has columns.
    pub fn site_rows(&mut self, weight: WeightId, row: usize, input: Operand, output: VariableId) {
        self.node(Node::Site { weight, row, form: Form::Dense, input, output, link: Link::NONE });
    }

    /// Adds a weight site of any form.
    pub fn site_of(&mut self, form: Form, weight: WeightId, input: Operand, output: VariableId) {
        self.node(Node::Site { weight, row: 0, form, input, output, link: Link::NONE });
    }

    /// Asks for the values of `right` to stand beside those of `left`, so that what both operands read at a position is one row: summed
    /// sites that read them become one product. Ignored where one of the two has another neighbour already.
    pub fn beside(&mut self, left: Operand, right: Operand) {
        let n = self.variables.len();
        let (l, r) = (left.variable, right.variable);
        if l == r
            || l.0 >= n
            || r.0 >= n
            || self.variables[l].panel.right.is_some()
            || self.variables[r].panel.left.is_some()
        {
            return;
        }
        let mut last = r;
        while let Some(next) = self.variables[last].panel.right {
            last = next;
        }
        if last == l {
            return;
        }
        let row = |v: &Variable, o: Operand| v.row(0, o.delayed) as isize;
        self.variables[r].panel.shift = row(&self.variables[l], left) - row(&self.variables[r], right);
        self.variables[l].panel.right = Some(r);
        self.variables[r].panel.left = Some(l);
    }

    /// Adds a mixing block.
    pub fn mixing(&mut self, function: &'a dyn Mixing<T>, reads: &[Operand], output: VariableId) {
        if reads.len() != function.inputs() || reads.len() > MAX_INPUTS {
            let (expected, found) = (function.inputs().min(MAX_INPUTS), reads.len());
            return self.fail(BuildError::Size { node: self.used[1], expected, found });
        }
        let mut inputs = [Operand::default(); MAX_INPUTS];
        inputs[..reads.len()].copy_from_slice(reads);
        self.node(Node::Mixing { function, inputs, output });
    }

    /// Adds a unit-wise cluster.
    pub fn cluster(&mut self, function: &'a dyn Cluster<T>, reads: &[Operand], writes: &[VariableId]) {
        let node = self.used[1];
        for (expected, found) in [(function.inputs(), reads.len()), (function.outputs(), writes.len())] {
            if expected != found {
                return self.fail(BuildError::Size { node, expected, found });
            }
        }
        for (needed, given) in [(reads.len(), MAX_INPUTS), (writes.len(), MAX_OUTPUTS), (1, writes.len())] {
            if needed > given {
                return self.fail(BuildError::Capacity { needed, given });
            }
        }
        let mut inputs = [Operand::default(); MAX_INPUTS];
        inputs[..reads.len()].copy_from_slice(reads);
        let mut outputs = [VariableId(0); MAX_OUTPUTS];
        outputs[..writes.len()].copy_from_slice(writes);
        let first = self.variables.get(writes[0].0).copied().unwrap_or(Variable::EMPTY);
        let coefficients = self.coefficients;
        let more = first.positions.saturating_mul(first.width).saturating_mul(reads.len() * writes.len());
        self.coefficients = self.coefficients.saturating_add(more);
        self.node(Node::Cluster { function, inputs, outputs, coefficients, first: [0; MAX_INPUTS] });
    }

    /// Checks the graph and works out what every sweep needs. The state has `steps` × `units` numbers a trajectory.
    pub fn finish(self, steps: usize, units: usize) -> Result<Graph<'s, T>, BuildError> {
        if let Some(e) = self.error {
            return Err(e);
        }
        let [v, n, s, w] = self.used;
        let (variables, nodes) = (&mut self.variables[..v], &mut self.nodes[..n]);
        let (segments, weights) = (&self.segments[..s], &self.weights[..w]);
        check(variables, nodes, segments, weights, steps.saturating_mul(units))?;
        require_memory(variables, self.coefficients)?;
        read_through(variables, nodes, segments, weights);
        activate(variables, nodes, weights);
        let (kept, running) = link(variables, nodes, segments, weights)?;
        let given = |v: &&Variable| v.edge != Edge::None && v.initial.is_some();
        let read = variables.iter().filter(given).map(|v| v.initial.unwrap_or(0).saturating_add(v.width)).max();
        let mut sizes = [kept, 0, 0, 0];
        for variable in variables.iter_mut() {
            if read.is_none() {
                variable.initial =
                    variable.watch.filter(|_| variable.edge != Edge::None).map(|w| w.offset % units.max(1));
            }
            for (i, size) in sizes.iter_mut().enumerate().skip(1) {
                variable.place[i] = *size;
                if variable.active & (1 << (i - 1)) != 0 {
                    *size += variable.rows() * variable.width;
                }
            }
        }
        let initial = self.initial_width.or(read).unwrap_or(units);
        let beyond = |v: &Variable| v.initial.filter(|_| v.edge != Edge::None).map(|at| at.saturating_add(v.width));
        if let Some(found) = variables.iter().filter_map(beyond).find(|end| *end > initial) {
            return Err(BuildError::Initial { expected: initial, found });
        }
        let Self { variables, nodes, segments, weights, coefficients, .. } = self;
        Ok(Graph {
            variables: &variables[..v],
            nodes: &nodes[..n],
            segments: &segments[..s],
            weights: &weights[..w],
            steps,
            units,
            sizes,
            running,
            coefficients,
            initial,
        })
    }
}
