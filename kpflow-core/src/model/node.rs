//! What a graph is made of: weights, and the nodes that use them or compute without.

use super::flow::Flow;
use super::variable::{Operand, Scan, VariableId};
use super::{Cluster, Mixing};
use crate::Scalar;
use core::ops::{Index, Range};

/// The most inputs that a unit-wise cluster may have.
pub const MAX_INPUTS: usize = 12;
/// The most outputs that a unit-wise cluster may have.
pub const MAX_OUTPUTS: usize = 4;

/// A weight of a graph, as its builder has numbered it: its place in θ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightId(pub usize);

impl<'a, T> Index<WeightId> for [Weight<'a, T>] {
    type Output = Weight<'a, T>;
    #[inline]
    fn index(&self, weight: WeightId) -> &Weight<'a, T> {
        &self[weight.0]
    }
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
    /// `s = Σ_k w_k ⊙ u_k (+ b)`: W has n_in rows w_k of n_out numbers and lies so, `[n_in, n_out]`; u is n_in rows u_k, side by side, s n_out wide.
    /// With n_in = 1 a gain; over the patches of a map, with a row a place, a depthwise convolution.
    Gain,
    /// `s = W[u]`: row number u (one column of fixed data) of W, n_in wide.
    Embedding,
}

/// One use of a weight, or of some of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Which weight.
    pub weight: WeightId,
    /// The first row of the weight that is used; how many follows from the width of s.
    pub row: usize,
    /// How it acts.
    pub form: Form,
    /// u.
    pub input: Operand,
    /// s, all columns of the variable.
    pub output: VariableId,
    /// The positions of a trajectory at which it acts.
    pub positions: usize,
}

/// What the Kronecker core sees of one trained site, or of several whose inputs stand side by side and whose outputs are summed.
///
/// Its δW has a row for every column of u, then one for a bias that no column of ones stands for; each row `[vector][unit of s]`.
#[derive(Clone, Copy, Debug)]
pub struct Coupled {
    pub form: Form,
    /// The weight (the first of several).
    pub weight: WeightId,
    /// All that is read: of several sites, all of their columns, and the ones of their biases.
    pub input: Operand,
    /// s.
    pub output: VariableId,
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
    /// What all uses of its part of δW are together.
    pub part: Part,
}

/// The sums over all uses of a part of δW, by which it is chosen how K goes through it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    /// The node of the first use.
    pub head: usize,
    /// How many uses there are.
    pub uses: usize,
    /// Their positions.
    pub positions: usize,
    /// Numbers that they write.
    pub outputs: usize,
    /// Numbers that they read and write.
    pub rows: usize,
    /// Products of a number with one of δW, in one of the two halves of K.
    pub products: usize,
    /// Whether all are dense, or all embeddings: G is then a matrix times I.
    pub has_gram: bool,
}

impl Part {
    /// The sums with one use more.
    pub(super) fn with(self, c: &Coupled) -> Self {
        let times = |numbers: usize| c.positions.saturating_mul(numbers);
        let products = if c.form == Form::Dense { c.len() } else { c.width };
        Self {
            uses: self.uses + 1,
            positions: self.positions.saturating_add(c.positions),
            outputs: self.outputs.saturating_add(times(c.width)),
            rows: self.rows.saturating_add(times(c.input.width.saturating_add(c.width))),
            products: self.products.saturating_add(times(products)),
            ..self
        }
    }
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
    pub(super) once: bool,
    /// The first site that does.
    pub(super) shares: Option<usize>,
    /// The site that it is joined to, on its left.
    pub(super) left: Option<usize>,
    /// The block of patches through which its perturbations come from a map.
    pub(super) through: Option<usize>,
    /// Whether an inference finds nothing in s yet.
    pub(super) opens_values: bool,
    /// Whether some site of the same sum is trained.
    pub(super) injected: bool,
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
        through: None,
        opens_values: false,
        injected: false,
    };
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
        output: VariableId,
    },
    /// Fixed data that is the same for all trajectories.
    Constant {
        /// `[positions, width]`.
        data: &'a [T],
        /// The variable that it fills.
        output: VariableId,
    },
    /// A weight site, the same weight at every position. Dense sites of the same output are summed.
    Site {
        /// Which weight.
        weight: WeightId,
        /// The first of its rows that are used.
        row: usize,
        /// How it acts.
        form: Form,
        /// u.
        input: Operand,
        /// s, all columns of the variable.
        output: VariableId,
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
        outputs: [VariableId; MAX_OUTPUTS],
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
        output: VariableId,
    },
}

impl<T: Scalar> Node<'_, T> {
    /// The operands that the node reads.
    pub(super) fn operands(&self) -> &[Operand] {
        match self {
            Node::Input { .. } | Node::Constant { .. } => &[],
            Node::Site { input, .. } => core::slice::from_ref(input),
            Node::Mixing { function, inputs, .. } => &inputs[..function.inputs()],
            Node::Cluster { function, inputs, .. } => &inputs[..function.inputs()],
        }
    }

    /// The variables that the node writes.
    pub(super) fn outputs(&self) -> &[VariableId] {
        match self {
            Node::Input { output, .. }
            | Node::Constant { output, .. }
            | Node::Site { output, .. }
            | Node::Mixing { output, .. } => core::slice::from_ref(output),
            Node::Cluster { function, outputs, .. } => &outputs[..function.outputs()],
        }
    }

    /// Whether a sweep back adds to the cotangents of what it reads, row by row, and never overwrites them.
    pub(super) fn adds_to_operands(&self) -> bool {
        match self {
            Node::Mixing { .. } => true,
            Node::Site { link, .. } => link.through.is_some(),
            Node::Input { .. } | Node::Constant { .. } | Node::Cluster { .. } => false,
        }
    }

    /// What the graph knows of a trained site; `None` of any other node.
    pub(super) fn link(&self) -> Option<&Link> {
        match self {
            Node::Site { link, .. } if link.coupled.is_some() => Some(link),
            Node::Site { .. }
            | Node::Input { .. }
            | Node::Constant { .. }
            | Node::Cluster { .. }
            | Node::Mixing { .. } => None,
        }
    }
}

/// A run of consecutive nodes and how they go through the positions.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The nodes.
    pub nodes: Range<usize>,
    /// Their order in time.
    pub scan: Scan,
}
