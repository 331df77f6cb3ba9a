//! The step graph: variables, the nodes that compute them, and the order in which they do.

use super::check::outputs;
use super::Cluster;
use crate::Scalar;
use core::ops::Range;

/// The most inputs that a unit-wise cluster may have.
pub const MAX_INPUTS: usize = 12;
/// The most outputs that a unit-wise cluster may have.
pub const MAX_OUTPUTS: usize = 4;

/// Whether a variable has one more row, before its first position or after its last: what a delay reads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// No delay reads the variable.
    None,
    /// The initial row lies before position 0 (time runs forward).
    First,
    /// The initial row lies after the last position (time runs backward).
    Last,
}

/// Where a variable stands in the state that is watched: element (p, j) is the trajectory's number `offset + p·stride + j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The place of the element (0, 0) within a trajectory's T·N numbers.
    pub offset: usize,
    /// The distance between positions.
    pub stride: usize,
}

/// Something that the model computes: for each trajectory, `positions` rows of `width` numbers.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Rows of a trajectory.
    pub positions: usize,
    /// Numbers of a row.
    pub width: usize,
    /// The extra row, if a delay reads this variable.
    pub edge: Edge,
    /// Where it stands in the state, if it is watched.
    pub watch: Option<Watch>,
    /// Which sweeps reach it: bit i for flow i.
    pub(super) active: u8,
    /// Its place in a trajectory's memory: `[0]` among the values, `[1 + flow]` among that flow's tangents.
    pub(super) place: [usize; 4],
}

impl Variable {
    pub(super) const EMPTY: Self =
        Self { positions: 0, width: 0, edge: Edge::None, watch: None, active: 0, place: [0; 4] };

    /// Rows in memory, the extra one included.
    pub fn rows(&self) -> usize {
        self.positions + usize::from(self.edge != Edge::None)
    }
    /// The row in memory that a read at position `p` finds.
    #[inline]
    pub fn row(&self, p: usize, delayed: bool) -> usize {
        p + usize::from(matches!((self.edge, delayed), (Edge::First, false) | (Edge::Last, true)))
    }
    /// The row in memory that holds the initial values, if there is one.
    pub fn edge_row(&self) -> Option<usize> {
        match self.edge {
            Edge::None => None,
            Edge::First => Some(0),
            Edge::Last => Some(self.positions),
        }
    }
}

/// What a node reads: a range of a variable's columns, at the same position or, delayed, at the one before it in time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Operand {
    /// The variable.
    pub variable: usize,
    /// The first column.
    pub offset: usize,
    /// The number of columns.
    pub width: usize,
    /// Whether the position before is read.
    pub delayed: bool,
}

/// A weight: the matrix `[n_out, n_in]` in PyTorch's layout and, perhaps, a bias `[n_out]`.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a, T> {
    /// Row-major `[n_out, n_in]`.
    pub matrix: &'a [T],
    /// `[n_out]`.
    pub bias: Option<&'a [T]>,
    /// Rows.
    pub n_out: usize,
    /// Columns.
    pub n_in: usize,
}

impl<T> Weight<'_, T> {
    /// The trainable numbers, bias included.
    pub fn parameters(&self) -> usize {
        self.matrix.len() + self.bias.map_or(0, <[T]>::len)
    }
}

/// One step of a model's computation. Its output variables belong to it alone.
#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant)] // there is no heap to box on
pub enum Node<'a, T> {
    /// Fixed data: external input number `slot`.
    Input {
        /// Which of the inputs given to the linearisation.
        slot: usize,
        /// The variable that it fills.
        output: usize,
    },
    /// A weight site `s = W u (+ b)`, the same W at every position.
    Site {
        /// Which weight.
        weight: usize,
        /// u.
        input: Operand,
        /// s, all columns of the variable.
        output: usize,
    },
    /// A unit-wise cluster: every unit of the outputs from the same unit of the inputs.
    Cluster {
        /// The function.
        function: &'a dyn Cluster<T>,
        /// Its inputs, of which `function.inputs()` count.
        inputs: [Operand; MAX_INPUTS],
        /// Its output variables, of which `function.outputs()` count.
        outputs: [usize; MAX_OUTPUTS],
        /// Its coefficients' place in a trajectory's memory.
        coefficients: usize,
    },
}

/// Whether a run of nodes is computed for all positions at once, or position by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All positions at once.
    Parallel,
    /// Position 0 first.
    Forward,
    /// The last position first.
    Backward,
}

/// A run of consecutive nodes and how they go through the positions.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The nodes.
    pub nodes: Range<usize>,
    /// Their order in time.
    pub scan: Scan,
}

/// Why a graph is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The buffers are too small for this model.
    Capacity,
    /// A node reads columns that its variable does not have, or sizes that must agree do not.
    Size {
        /// Which node.
        node: usize,
    },
    /// A delayed read of a variable without an initial row, or across directions of time.
    Delay {
        /// Which node.
        node: usize,
    },
    /// The watched variables do not fill the state exactly.
    State {
        /// Numbers in a trajectory's state.
        expected: usize,
        /// Numbers watched.
        found: usize,
    },
}

impl core::fmt::Display for BuildError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Capacity => write!(f, "the graph's buffers are too small for this model"),
            Self::Size { node } => write!(f, "node {node} reads or writes sizes that do not agree"),
            Self::Delay { node } => write!(f, "node {node} reads a variable delayed that has no initial row"),
            Self::State { expected, found } => {
                write!(f, "the watched variables hold {found} numbers; the state has {expected}")
            }
        }
    }
}

impl core::error::Error for BuildError {}

/// A model: a slice of nodes, and of everything that they refer to.
#[derive(Clone, Copy)]
pub struct Graph<'a, T> {
    pub(super) variables: &'a [Variable],
    pub(super) nodes: &'a [Node<'a, T>],
    pub(super) segments: &'a [Segment],
    pub(super) weights: &'a [Weight<'a, T>],
    pub(super) steps: usize,
    pub(super) units: usize,
    /// Numbers a trajectory: values, and each flow's tangents.
    pub(super) sizes: [usize; 4],
    pub(super) coefficients: usize,
}

impl<'a, T: Scalar> Graph<'a, T> {
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
        self.weights.iter().map(Weight::parameters).sum()
    }
    /// All sites: (weight, input, output variable).
    pub fn sites(&self) -> impl Iterator<Item = (usize, Operand, usize)> + 'a {
        self.nodes.iter().filter_map(|n| match *n {
            Node::Site { weight, input, output } => Some((weight, input, output)),
            _ => None,
        })
    }

    /// Calls `visit(node, positions)` for everything that there is to compute, in order or in the opposite order.
    pub(super) fn schedule(&self, backwards: bool, mut visit: impl FnMut(usize, Range<usize>)) {
        for s in 0..self.segments.len() {
            let segment = &self.segments[if backwards { self.segments.len() - 1 - s } else { s }];
            let (first, count) = (segment.nodes.start, segment.nodes.len());
            let node = |i: usize| first + if backwards { count - 1 - i } else { i };
            let positions = |n: usize| self.variables[outputs(&self.nodes[n])[0]].positions;
            if segment.scan == Scan::Parallel {
                (0..count).for_each(|i| visit(node(i), 0..positions(node(i))));
                continue;
            }
            let steps = if count == 0 { 0 } else { positions(first) };
            for k in 0..steps {
                let p = if backwards == (segment.scan == Scan::Forward) { steps - 1 - k } else { k };
                (0..count).for_each(|i| visit(node(i), p..p + 1));
            }
        }
    }
}
