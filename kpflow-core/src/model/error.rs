//! Why a graph cannot be built, or not be run.

/// Why a graph is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The buffers are too small for this model, or a node has too many operands.
    Capacity {
        /// How many there would have to be.
        needed: usize,
        /// How many there can be.
        given: usize,
    },
    /// The model has more numbers than memory can have.
    Overflow {
        /// Rows of all variables together.
        rows: usize,
        /// Columns of all variables together.
        columns: usize,
    },
    /// Sizes that must agree do not: those of a node and of what it reads, or of a weight's uses.
    Size {
        /// Which node.
        node: usize,
        /// The size that it would have to be.
        expected: usize,
        /// The size that it is.
        found: usize,
    },
    /// A node reads or writes what there is not, or its segment does not exist.
    Missing {
        /// Which node.
        node: usize,
        /// How many there are: of variables, of weights, of segments.
        there_are: usize,
        /// The number that is named.
        found: usize,
    },
    /// A weight's matrix or bias is not as long as its sizes say.
    Weight {
        /// Which weight.
        weight: usize,
        /// The numbers that it must hold.
        expected: usize,
        /// The numbers that it holds.
        found: usize,
    },
    /// A node writes what another has written, is watched or has been read, and they are not the sites of one sum.
    Twice {
        /// Which node.
        node: usize,
        /// The one that wrote first.
        first: usize,
    },
    /// Fixed data is watched: nothing moves it.
    Watched {
        /// Which node.
        node: usize,
        /// The variable that is watched.
        variable: usize,
    },
    /// A mixing block does not take inputs of these sizes, or does not give this output.
    Mixing {
        /// Which node.
        node: usize,
        /// The (positions, width) that it gives; `None` if it refuses its inputs.
        expected: Option<(usize, usize)>,
        /// The output's.
        found: (usize, usize),
    },
    /// The initial row of a variable lies beyond the initial state.
    Initial {
        /// The numbers of a trajectory's initial state.
        expected: usize,
        /// Where the row ends.
        found: usize,
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
            Self::Capacity { needed, given } => {
                write!(f, "the graph's buffers hold {given} of what the model needs {needed} of")
            }
            Self::Overflow { rows, columns } => {
                write!(f, "the variables have {rows} rows and {columns} columns in all: more than memory can hold")
            }
            Self::Size { node, expected, found } => {
                write!(f, "node {node} has a size of {found} where {expected} is expected")
            }
            Self::Missing { node, there_are, found } => {
                write!(f, "node {node} names number {found} of something of which there are {there_are}")
            }
            Self::Weight { weight, expected, found } => {
                write!(f, "weight {weight} holds {found} numbers; its sizes say {expected}")
            }
            Self::Twice { node, first } => write!(f, "node {node} writes what node {first} has written already"),
            Self::Watched { node, variable } => {
                write!(f, "node {node} is fixed data, and its variable {variable} is watched")
            }
            Self::Mixing { node, expected: Some((p, w)), found: (positions, width) } => {
                write!(f, "node {node} gives [{p}, {w}], and its output is [{positions}, {width}]")
            }
            Self::Mixing { node, expected: None, found: (positions, width) } => {
                write!(f, "node {node} does not take inputs of these sizes for an output of [{positions}, {width}]")
            }
            Self::Initial { expected, found } => {
                write!(f, "the initial state has {expected} numbers, and {found} are read")
            }
            Self::Delay { node } => write!(f, "node {node} reads a variable delayed that has no initial row"),
            Self::State { expected, found } => {
                write!(f, "the watched variables hold {found} numbers; the state has {expected}")
            }
        }
    }
}

impl core::error::Error for BuildError {}

/// Why a model cannot be run on these inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum LinearizeError {
    /// The arena is too short.
    Arena {
        /// The numbers needed.
        needed: usize,
        /// The numbers given.
        given: usize,
    },
    /// The scratch is too short.
    Scratch {
        /// The numbers needed.
        needed: usize,
        /// The numbers given.
        given: usize,
    },
    /// An input is not `[trajectories, positions, width]` long, or there is none for a slot.
    Input {
        /// Which input.
        slot: usize,
        /// The numbers that it must hold.
        expected: usize,
        /// The numbers that it holds.
        found: usize,
    },
    /// The initial state is not `[trajectories, units]` long.
    InitialState {
        /// The numbers that it must hold.
        expected: usize,
        /// The numbers that it holds.
        found: usize,
    },
    /// The trajectories' lengths do not fit: not one for each, not from 1 to T, or of a graph whose variables do not all have T positions.
    Lengths {
        /// The trajectories.
        expected: usize,
        /// The lengths.
        found: usize,
        /// The first trajectory whose length is not from 1 to T; `found` where all are.
        trajectory: usize,
        /// T.
        steps: usize,
    },
    /// An embedding is asked for a row that it does not have: below 0, beyond the last one, or no whole number.
    Token {
        /// Which weight.
        weight: usize,
        /// Which trajectory.
        trajectory: usize,
        /// What should have been a row.
        token: f64,
        /// The rows there are.
        rows: usize,
    },
}

impl core::fmt::Display for LinearizeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Arena { needed, given } => write!(f, "the arena holds {given} numbers; {needed} are needed"),
            Self::Scratch { needed, given } => write!(f, "the scratch holds {given} numbers; {needed} are needed"),
            Self::Input { slot, expected, found } => {
                write!(f, "input {slot} holds {found} numbers; the model reads {expected}")
            }
            Self::InitialState { expected, found } => {
                write!(f, "the initial state holds {found} numbers; the model reads {expected}")
            }
            Self::Lengths { expected, found, .. } if expected != found => {
                write!(f, "there are {found} lengths of {expected} trajectories")
            }
            Self::Lengths { found, trajectory, steps, .. } if trajectory < found => {
                write!(f, "the length of trajectory {trajectory} is not from 1 to {steps}")
            }
            Self::Lengths { steps, .. } => {
                write!(f, "trajectories have lengths of their own where all variables have {steps} positions")
            }
            Self::Token { weight, trajectory, token, rows } => {
                write!(f, "token {token} of trajectory {trajectory} is none of the {rows} rows of weight {weight}")
            }
        }
    }
}

impl core::error::Error for LinearizeError {}
