//! A model as its owner holds it: an owned step graph, built node after node, from which the borrowed one is made.
//!
//! Variables have names, by which the state can be chosen ([`Network::watch`]) and found again ([`Network::watched`]). Nothing here runs a model or
//! applies an operator otherwise than the borrowed [`Graph`](crate::model::Graph) and [`Linearization`](crate::model::Linearization) do: what is owned gives a view of itself.
//!
//! ```
//! use kpflow_core::machine::Portable;
//! use kpflow_core::model::{Activation, Cell, Edge, Layer, Run, Scan};
//! use kpflow_core::network::{Network, OwnedWeight, State};
//! use kpflow_core::{ntk::Ntk, BlockMut, BlockRef, LinearOperator};
//! // A GRU of two units that reads one number a step, five steps long, and a layer with a tanh above it.
//! let mut network = Network::<f64>::default();
//! network.segment(Scan::Parallel);
//! let x = network.input(0, 5, 1);
//! let ih = network.weight(OwnedWeight::new("weight_ih", vec![0.3, -0.2, 0.5, 0.1, 0.7, -0.4], 6, 1));
//! let hh = network.weight(OwnedWeight::new("weight_hh", vec![0.1; 12], 6, 2));
//! let h = network.variable(5, 2);
//! network.initial_row(h, Edge::First, 0);
//! let input = network.read(x);
//! Cell::gru().wire(&mut network, Layer { ih, hh, input, hidden: 2, h, c: None, reverse: false });
//! network.segment(Scan::Parallel);
//! let above = network.weight(OwnedWeight::new("above", vec![1.0, -1.0], 1, 2));
//! let s = network.dense(above, network.read(h));
//! let y = network.cluster(Activation::Tanh, [network.read(s)]);
//! network.watch(State::Variables(&[h, y]))?;
//!
//! // Run on two trajectories, linearised; and a product with its NTK.
//! let graph = network.graph(network.weights())?;
//! let inputs: [&[f64]; 1] = [&[0.1, 0.4, -0.2, 0.3, 0.0, 1.0, 0.5, -0.7, 0.2, 0.9]];
//! let lin = graph.linearize(&Run::new(&inputs, 2), &Portable)?;
//! let (lin, machine) = (lin.view(), Portable);
//! let ntk = Ntk::new(&lin, &machine);
//! assert_eq!((ntk.domain().to_string(), ntk.properties().rank_bound), ("[2, 5, 3]".into(), 20));
//! let (x, mut y, mut scratch) = ([1.0; 30], [0.0; 30], vec![0.0; ntk.scratch_len(1)]);
//! ntk.apply(BlockRef::new(lin.shape(), 1, &x)?, BlockMut::new(lin.shape(), 1, &mut y)?, &mut scratch)?;
//! assert!(x.iter().zip(&y).map(|(x, y)| x * y).sum::<f64>() > 0.0); // xᵀ NTK x
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod direct;
mod finite;
mod mirror;
mod owned;
mod state;
mod weight;

pub use build::columns;
pub use owned::{OwnedGraph, OwnedLinearization};
pub use state::{State, WatchError};
pub use weight::{Numbers, OwnedWeight};

use self::mirror::Mirror;
use crate::model::functions::Arithmetic;
use crate::model::mixing::Run;
use crate::model::{
    BuildError, Cluster, Edge, Form, GraphBuilder, Mixing, Operand, Scan, Unitwise, VariableId, Watch, Weight, WeightId,
};
use crate::Scalar;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

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

impl Index<VariableId> for Vec<OwnedVariable> {
    type Output = OwnedVariable;
    fn index(&self, variable: VariableId) -> &OwnedVariable {
        &self[variable.0]
    }
}

impl IndexMut<VariableId> for Vec<OwnedVariable> {
    fn index_mut(&mut self, variable: VariableId) -> &mut OwnedVariable {
        &mut self[variable.0]
    }
}

impl<T> Index<WeightId> for Vec<OwnedWeight<T>> {
    type Output = OwnedWeight<T>;
    fn index(&self, weight: WeightId) -> &OwnedWeight<T> {
        &self[weight.0]
    }
}

impl<T> Index<WeightId> for [OwnedWeight<T>] {
    type Output = OwnedWeight<T>;
    fn index(&self, weight: WeightId) -> &OwnedWeight<T> {
        &self[weight.0]
    }
}

/// A node, owned.
#[derive(Clone)]
enum OwnedNode<T> {
    Input { slot: usize, output: VariableId },
    Constant { data: Vec<T>, output: VariableId },
    Site { weight: WeightId, row: usize, form: Form, input: Operand, output: VariableId },
    Sum { reads: [Operand; 2], output: VariableId },
    Cluster { function: Arc<dyn Cluster<T> + Send>, reads: Vec<Operand>, writes: Vec<VariableId> },
    Mixing { function: Arc<dyn Mixing<T> + Send>, reads: Vec<Operand>, output: VariableId },
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
    fn reads_mut(&mut self) -> &mut [Operand] {
        match self {
            OwnedNode::Input { .. } | OwnedNode::Constant { .. } => &mut [],
            OwnedNode::Site { input, .. } => core::slice::from_mut(input),
            OwnedNode::Sum { reads, .. } => reads,
            OwnedNode::Cluster { reads, .. } | OwnedNode::Mixing { reads, .. } => reads,
        }
    }
    fn writes(&self) -> &[VariableId] {
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
    default_state: Vec<VariableId>,
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
    labels: Vec<(VariableId, String)>,
    /// Variables that lie transposed.
    mirrors: Vec<Mirror>,
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
            mirrors: Vec::new(),
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
    /// The turns of the loop whose states are watched, if they are: T.
    pub fn turns(&self) -> Option<usize> {
        self.turns
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

    /// Makes the graph, with these weights (this network's own, or others of the same sizes).
    ///
    /// **Errors**: [`BuildError`] if something in it does not fit, or the state that is watched does not fill the state.
    pub fn graph<'a>(&'a self, weights: &'a [OwnedWeight<T>]) -> Result<OwnedGraph<'a, T>, BuildError> {
        let [v, n, s] = [self.variables.len(), self.nodes.len(), self.segments.len()];
        OwnedGraph::new([v, n, s, weights.len()], |g| self.write(weights, g), (self.steps, self.units))
    }

    /// Writes all of it with a builder.
    fn write<'a>(&'a self, weights: &'a [OwnedWeight<T>], g: &mut GraphBuilder<'_, 'a, T>) {
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
    }
}
