//! A model as its owner holds it: an owned step graph, built node after node, from which the borrowed one is made.
//!
//! Variables have names, by which the state can be chosen ([`Network::watch`]) and found again ([`Network::watched`]).

mod build;
mod direct;
mod finite;
mod state;
mod weight;

pub use build::columns;
pub use state::{State, WatchError};
pub use weight::{Numbers, OwnedWeight};

use crate::model::functions::Arithmetic;
use crate::model::mixing::Run;
use crate::model::{
    BuildError, Cluster, Edge, Form, Graph, GraphBuilder, Mixing, Node, Operand, Scan, Segment, Unitwise, Variable,
    Watch, Weight,
};
use crate::Scalar;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// A variable: `positions` rows of `width` numbers a trajectory.
#[derive(Clone, Debug)]
struct OwnedVariable {
    name: String,
    positions: usize,
    width: usize,
    edge: Edge,
    initial: Option<usize>,
    watch: Option<Watch>,
}

/// A node, owned.
#[derive(Clone)]
enum OwnedNode<T> {
    Input { slot: usize, output: usize },
    Constant { data: Vec<T>, output: usize },
    Site { weight: usize, row: usize, form: Form, input: Operand, output: usize },
    Sum { reads: [Operand; 2], output: usize },
    Cluster { function: Arc<dyn Cluster<T> + Send>, reads: Vec<Operand>, writes: Vec<usize> },
    Mixing { function: Arc<dyn Mixing<T> + Send>, reads: Vec<Operand>, output: usize },
}

impl<T> OwnedNode<T> {
    fn reads(&self) -> &[Operand] {
        match self {
            OwnedNode::Input { .. } | OwnedNode::Constant { .. } => &[],
            OwnedNode::Site { input, .. } => core::slice::from_ref(input),
            OwnedNode::Sum { reads, .. } => reads,
            OwnedNode::Cluster { reads, .. } | OwnedNode::Mixing { reads, .. } => reads,
        }
    }
    fn writes(&self) -> &[usize] {
        match self {
            OwnedNode::Input { output, .. }
            | OwnedNode::Constant { output, .. }
            | OwnedNode::Site { output, .. }
            | OwnedNode::Sum { output, .. }
            | OwnedNode::Mixing { output, .. } => core::slice::from_ref(output),
            OwnedNode::Cluster { writes, .. } => writes,
        }
    }
}

/// The runs of a sparse map, owned.
pub type Runs<T> = Vec<Run<T>>;

/// A model without its inputs: nodes, variables, weights, and what the user watches of it.
#[derive(Clone)]
pub struct Network<T> {
    weights: Vec<OwnedWeight<T>>,
    variables: Vec<OwnedVariable>,
    nodes: Vec<OwnedNode<T>>,
    /// The first node of each segment.
    segments: Vec<(usize, Scan)>,
    /// T and N of the state.
    steps: usize,
    units: usize,
    /// The kind's own state, in order.
    default_state: Vec<usize>,
    /// What a readout reads.
    output: Option<Operand>,
    /// Numbers of a trajectory's initial state.
    initial: usize,
    /// Operands that summed sites read, whose values stand side by side.
    beside: Vec<[Operand; 2]>,
    /// Whether a state of variables of one position and width has a step for each.
    layers_are_steps: bool,
    /// The turns of the loops whose states are the kind's own state, if it is that.
    turns_of_default: Option<usize>,
    /// The turns that are the steps of the state that was chosen.
    turns: Option<usize>,
    /// The first variable of each node of the graph that this was read from, and what the node is called.
    labels: Vec<(usize, String)>,
}

impl<T> Default for Network<T> {
    fn default() -> Self {
        Self {
            weights: Vec::new(),
            variables: Vec::new(),
            nodes: Vec::new(),
            segments: Vec::new(),
            steps: 0,
            units: 0,
            default_state: Vec::new(),
            output: None,
            initial: 0,
            beside: Vec::new(),
            layers_are_steps: false,
            turns_of_default: None,
            turns: None,
            labels: Vec::new(),
        }
    }
}

/// A watched variable, for those who look at the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// The place of its first number in a trajectory's T·N.
    pub offset: usize,
    /// The distance between positions.
    pub stride: usize,
    /// Its positions.
    pub positions: usize,
    /// Its width.
    pub width: usize,
}

/// Memory for the core's graph of a network.
pub struct GraphMemory<'a, T> {
    variables: Vec<Variable>,
    nodes: Vec<Node<'a, T>>,
    segments: Vec<Segment>,
    weights: Vec<Weight<'a, T>>,
}

impl<T: Scalar> Network<T> {
    /// The weights, in the order of θ.
    pub fn weights(&self) -> &[OwnedWeight<T>] {
        &self.weights
    }
    /// The arrays of all weights, to be moved elsewhere.
    pub fn arrays_mut(&mut self) -> impl Iterator<Item = &mut Numbers<T>> {
        self.weights.iter_mut().flat_map(OwnedWeight::arrays_mut)
    }
    /// T and N of the state.
    pub fn state_shape(&self) -> (usize, usize) {
        (self.steps, self.units)
    }
    /// The watched variables, in the order of the state.
    pub fn watched(&self) -> Vec<Watched> {
        let watched = self.variables.iter().filter_map(|v| {
            let watch = v.watch?;
            let (offset, stride) = (watch.offset, watch.stride);
            Some(Watched { name: v.name.clone(), offset, stride, positions: v.positions, width: v.width })
        });
        let mut watched: Vec<Watched> = watched.collect();
        watched.sort_by_key(|w| w.offset);
        if let Some(turns) = self.turns {
            // The states of a loop are one for the user, a row for each turn.
            watched.truncate(watched.len() / turns.max(1));
            for w in &mut watched {
                (w.width, w.stride, w.positions) = (w.width * w.positions, self.units, turns);
            }
            return watched;
        }
        // A site whose weight's rows are divided is one for the user.
        watched.dedup_by(|w, before| {
            let next = (&w.name, w.stride, w.positions, w.offset);
            let one = next == (&before.name, before.stride, before.positions, before.offset + before.width);
            before.width += if one { w.width } else { 0 };
            one
        });
        watched
    }
    /// (positions, width) of every input, by slot.
    pub fn slots(&self) -> Vec<(usize, usize)> {
        let mut slots = Vec::new();
        for node in &self.nodes {
            if let OwnedNode::Input { slot, output } = *node {
                if slots.len() <= slot {
                    slots.resize(slot + 1, (0, 0));
                }
                slots[slot] = (self.variables[output].positions, self.variables[output].width);
            }
        }
        slots
    }
    /// The numbers of a trajectory's initial state.
    pub fn initial_width(&self) -> usize {
        self.initial
    }
    /// All trained numbers.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(OwnedWeight::parameters).sum()
    }

    /// Memory in which [`graph`](Network::graph) builds.
    pub fn memory<'a>(&self) -> GraphMemory<'a, T> {
        GraphMemory {
            variables: vec![Variable::EMPTY; self.variables.len()],
            nodes: vec![Node::Input { slot: 0, output: 0 }; self.nodes.len()],
            segments: vec![Segment { nodes: 0..0, scan: Scan::Parallel }; self.segments.len()],
            weights: vec![Weight::new(&[], None, 0, 0); self.weights.len()],
        }
    }

    /// The core's graph with these weights (this network's own, or others of the same sizes).
    pub fn graph<'s, 'a: 's>(
        &'a self,
        weights: &'a [OwnedWeight<T>],
        memory: &'s mut GraphMemory<'a, T>,
    ) -> Result<Graph<'s, T>, BuildError> {
        let GraphMemory { variables, nodes, segments, weights: slots } = memory;
        let mut g = GraphBuilder::new(variables, nodes, segments, slots);
        for v in &self.variables {
            let i = g.variable(v.positions, v.width, v.edge, v.watch);
            if let Some(offset) = v.initial {
                g.initial(i, offset);
            }
        }
        self.beside.iter().for_each(|[left, right]| g.beside(*left, *right));
        g.initial_width(self.initial);
        for w in weights {
            let mut weight = Weight::new(&w.matrix, w.bias.as_deref(), w.n_out, w.n_in);
            (weight.train_matrix, weight.train_bias) = (w.train_matrix, w.train_bias);
            g.weight(weight);
        }
        let mut starts = self.segments.iter().peekable();
        for (n, node) in self.nodes.iter().enumerate() {
            while let Some((_, scan)) = starts.next_if(|(start, _)| *start <= n) {
                g.segment(*scan);
            }
            match node {
                OwnedNode::Input { slot, output } => g.input(*slot, *output),
                OwnedNode::Constant { data, output } => g.constant(data, *output),
                OwnedNode::Site { weight, row, form: Form::Dense, input, output } => {
                    g.site_rows(*weight, *row, *input, *output);
                }
                OwnedNode::Site { weight, form, input, output, .. } => g.site_of(*form, *weight, *input, *output),
                OwnedNode::Sum { reads, output } => g.cluster(&Unitwise(Arithmetic::Add), reads, &[*output]),
                OwnedNode::Cluster { function, reads, writes } => g.cluster(&**function, reads, writes),
                OwnedNode::Mixing { function, reads, output } => g.mixing(&**function, reads, *output),
            }
        }
        g.finish(self.steps, self.units)
    }
}
