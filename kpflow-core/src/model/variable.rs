//! Variables: what a model computes, where it stands in memory and in time, and what reads of it.

use core::ops::{Index, IndexMut, Range};

/// A variable of a graph, as its builder has numbered it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariableId(pub usize);

impl Index<VariableId> for [Variable] {
    type Output = Variable;
    #[inline]
    fn index(&self, variable: VariableId) -> &Variable {
        &self[variable.0]
    }
}

impl IndexMut<VariableId> for [Variable] {
    #[inline]
    fn index_mut(&mut self, variable: VariableId) -> &mut Variable {
        &mut self[variable.0]
    }
}

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
    /// Whether sweeps carry nothing of it, since all sites that read it read through it.
    pub(super) passed: bool,
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
        passed: false,
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
            Scan::Forward | Scan::Backward => (at.range.start, 1),
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
    pub variable: VariableId,
    /// The first column.
    pub offset: usize,
    /// The number of columns.
    pub width: usize,
    /// Whether the position before is read.
    pub delayed: bool,
}

/// How values of several variables share rows: what one weight site reads and what another one reads, side by side, are the input of one
/// product for both.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// The neighbours to the left and to the right.
    pub left: Option<VariableId>,
    pub right: Option<VariableId>,
    /// How many rows below the left neighbour's first row its own first row lies; after the graph is finished, below the panel's.
    pub shift: isize,
    /// Numbers between rows, and the first of its own columns.
    pub ld: usize,
    pub column: usize,
    /// Whether a column of ones follows its own: what a bias reads.
    pub ones: bool,
    /// Whether its values are read after the inference.
    pub kept: bool,
}

impl Panel {
    pub(super) const ALONE: Self =
        Self { left: None, right: None, shift: 0, ld: 0, column: 0, ones: false, kept: false };
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
