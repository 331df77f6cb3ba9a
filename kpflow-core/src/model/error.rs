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
            Self::Capacity { needed, given } => {
                write!(f, "the graph's buffers hold {given} of what the model needs {needed} of")
            }
            Self::Overflow { rows, columns } => {
                write!(f, "the variables have {rows} rows and {columns} columns in all: more than memory can hold")
            }
            Self::Size { node } => write!(f, "node {node} reads or writes sizes that do not agree"),
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
            Self::Token { weight, trajectory, token, rows } => {
                write!(f, "token {token} of trajectory {trajectory} is none of the {rows} rows of weight {weight}")
            }
        }
    }
}

impl core::error::Error for LinearizeError {}
