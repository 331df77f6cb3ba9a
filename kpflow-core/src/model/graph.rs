//! The step graph: variables, the nodes that compute them, and the order in which they do.

use super::check::outputs;
use super::link::Link;
use super::panel::Panel;
use super::{Cluster, Flow, Mixing};
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
    /// Its columns' place in a trajectory's row of the initial state, if the initial row is given there.
    pub initial: Option<usize>,
    /// Which sweeps reach it: bit i for flow i.
    pub(super) active: u8,
    /// Which sweeps back have to clear its cotangents, since no pass is the first to write all of them: bit i for flow i.
    pub(super) cleared: u8,
    /// While that is found out: the columns that are written.
    pub(super) covered: (usize, usize),
    /// Its place in a trajectory's memory: `[0]` among the values, `[1 + flow]` among that flow's tangents.
    pub(super) place: [usize; 4],
    /// Where its values stand beside others'.
    pub(super) panel: Panel,
}

impl Variable {
    /// A variable without numbers: what memory lent to a builder may be filled with.
    pub const EMPTY: Self = Self {
        positions: 0,
        width: 0,
        edge: Edge::None,
        watch: None,
        initial: None,
        active: 0,
        cleared: 0,
        covered: (0, 0),
        place: [0; 4],
        panel: Panel::ALONE,
    };

    /// Columns among the values, the ones included.
    pub(super) fn columns(&self) -> usize {
        self.width + usize::from(self.panel.ones)
    }
    /// Rows in memory, the extra one included.
    pub fn rows(&self) -> usize {
        self.positions.saturating_add(usize::from(self.edge != Edge::None))
    }
    /// The row in memory that a read at position `p` finds.
    #[inline]
    pub fn row(&self, p: usize, delayed: bool) -> usize {
        p.saturating_add(usize::from(matches!((self.edge, delayed), (Edge::First, false) | (Edge::Last, true))))
    }
    /// Where the row that a read at position `p` finds begins, among the values of a tile of `count` trajectories; the rows of the
    /// trajectories follow each other `panel.ld` apart.
    #[inline]
    pub(super) fn value_place(&self, p: usize, delayed: bool, count: usize) -> usize {
        self.row_place(self.row(p, delayed), count)
    }
    /// The same for a row in memory.
    #[inline]
    pub(super) fn row_place(&self, row: usize, count: usize) -> usize {
        let row = (row as isize + self.panel.shift) as usize;
        (self.place[0] + row * self.panel.ld) * count + self.panel.column
    }
    /// What a mixing block reads: the first position and their number. All of them or, in a scan, the one at which it is.
    pub(super) fn window(&self, at: &At) -> (usize, usize) {
        match at.scan {
            Scan::Parallel => (0, self.positions),
            _ => (at.range.start, 1),
        }
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

/// A weight: a matrix `[n_out, n_in]` in PyTorch's layout and, perhaps, a bias `[n_out]`; each of the two may be trained or frozen.
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
    /// Whether the matrix is part of θ.
    pub train_matrix: bool,
    /// Whether the bias, if there is one, is part of θ.
    pub train_bias: bool,
}

impl<'a, T> Weight<'a, T> {
    /// A weight that is trained, bias included.
    pub fn new(matrix: &'a [T], bias: Option<&'a [T]>, n_out: usize, n_in: usize) -> Self {
        Self { matrix, bias, n_out, n_in, train_matrix: true, train_bias: true }
    }
    /// The columns of a dense site's u that G is made of: n_in, or none where the matrix is frozen.
    pub fn columns(&self) -> usize {
        if self.train_matrix {
            self.n_in
        } else {
            0
        }
    }
    /// The trainable numbers of the matrix.
    pub fn matrix_parameters(&self) -> usize {
        self.columns().saturating_mul(self.n_out)
    }
    /// The trainable numbers of the bias.
    pub fn bias_parameters(&self) -> usize {
        self.bias.filter(|_| self.train_bias).map_or(0, <[T]>::len)
    }
    /// The trainable numbers, bias included.
    pub fn parameters(&self) -> usize {
        self.matrix_parameters().saturating_add(self.bias_parameters())
    }
}

impl<T: Scalar> Weight<'_, T> {
    /// The row that a token names; `None` if it is not a whole number from 0 to n_out − 1.
    pub fn row(&self, token: T) -> Option<usize> {
        token.to_usize().filter(|&k| k < self.n_out && T::of(k as f64) == token)
    }
}

/// How a weight acts at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `s = W u (+ b)`: u is n_in wide, s n_out. A convolution is one over the patches of its input. With n_in = 0 the bias alone: s = b.
    Dense,
    /// `s = w ⊙ u (+ b)`: W is `[n_out, 1]`; u and s are n_out wide.
    Gain,
    /// `s = W[u]`: row number u (one column of fixed data) of W, n_in wide.
    Embedding,
}

/// One use of a weight, or of some of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Which weight.
    pub weight: usize,
    /// The first row of the weight that is used; how many follows from the width of s.
    pub row: usize,
    /// How it acts.
    pub form: Form,
    /// u.
    pub input: Operand,
    /// s, all columns of the variable.
    pub output: usize,
    /// The positions of a trajectory at which it acts.
    pub positions: usize,
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
    /// Fixed data that is the same for all trajectories.
    Constant {
        /// `[positions, width]`.
        data: &'a [T],
        /// The variable that it fills.
        output: usize,
    },
    /// A weight site, the same weight at every position. Dense sites of the same output are summed.
    Site {
        /// Which weight.
        weight: usize,
        /// The first of its rows that are used.
        row: usize,
        /// How it acts.
        form: Form,
        /// u.
        input: Operand,
        /// s, all columns of the variable.
        output: usize,
        /// What follows from the graph around it.
        link: Link,
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
        /// Which sweeps back find nothing yet in the cotangent of each input.
        first: [u8; MAX_INPUTS],
    },
    /// A mixing block: its output's rows and columns may depend on all rows and columns of its inputs.
    Mixing {
        /// The block.
        function: &'a dyn Mixing<T>,
        /// Its inputs, of which `function.inputs()` count.
        inputs: [Operand; MAX_INPUTS],
        /// Its output, all columns of the variable.
        output: usize,
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

/// Where in time a node is computed: all positions of its output, or one.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub range: Range<usize>,
    pub scan: Scan,
}

/// A run of consecutive nodes and how they go through the positions.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The nodes.
    pub nodes: Range<usize>,
    /// Their order in time.
    pub scan: Scan,
}

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

impl<'a, T: Scalar> Graph<'a, T> {
    /// The numbers of a trajectory's initial state.
    pub fn initial_width(&self) -> usize {
        self.initial
    }
    /// Whether perturbations of a flow reach a variable.
    pub fn reaches(&self, flow: Flow, variable: usize) -> bool {
        self.variables.get(variable).is_some_and(|v| v.active & flow.bit() != 0)
    }
    /// Flops of one product of NTK with one vector and trajectory: the weight sites' part of it, on the weight side.
    pub fn product_flops(&self) -> f64 {
        let site = |s: Site| {
            let w = &self.weights[s.weight];
            let sweeps = if self.reaches(Flow::Total, s.input.variable) { 4.0 } else { 0.0 };
            let core = if w.train_matrix { 4.0 } else { 0.0 };
            let size = if s.form == Form::Embedding { w.n_in } else { w.n_in * self.variables[s.output].width };
            (sweeps + core) * s.positions as f64 * size as f64
        };
        self.sites().map(site).sum()
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
        let (weights, variables) = (self.weights, self.variables);
        self.nodes.iter().filter_map(move |n| match *n {
            Node::Site { weight, row, form, input, output, .. } if weights[weight].parameters() > 0 => {
                Some(Site { weight, row, form, input, output, positions: variables[output].positions })
            }
            _ => None,
        })
    }

    /// Calls `visit(node, where)` for everything that there is to compute, in order or in the opposite order.
    pub(super) fn schedule(&self, backwards: bool, mut visit: impl FnMut(usize, At)) {
        for s in 0..self.segments.len() {
            let segment = &self.segments[if backwards { self.segments.len() - 1 - s } else { s }];
            let (first, count, scan) = (segment.nodes.start, segment.nodes.len(), segment.scan);
            let node = |i: usize| first + if backwards { count - 1 - i } else { i };
            let positions = |n: usize| self.variables[outputs(&self.nodes[n])[0]].positions;
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
}
