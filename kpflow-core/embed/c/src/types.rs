//! What crosses the boundary: plain structs and numbers, valid whatever bits they hold.

use core::ffi::CStr;

/// What a call returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All went well.
    Ok = 0,
    /// A pointer is null that must not be.
    Null = 1,
    /// A pointer is not aligned for what it points to.
    Alignment = 2,
    /// Memory that is written overlaps other memory of the same call.
    Overlap = 3,
    /// A cell, activation, operator or distribution is none of those there are.
    Choice = 4,
    /// A size is 0, or so large that its arrays fit no memory.
    Size = 5,
    /// An array is shorter than needed, or not exactly as long where it must be.
    Length = 6,
    /// A coordinate of a probe is beyond what the generator has.
    Probe = 7,
    /// Something else that the core refused.
    Refused = 8,
    /// A defect of the library: it panicked. What was to be written may be written in part.
    Panic = 9,
}

const MESSAGES: [&CStr; 10] = [
    c"ok",
    c"a pointer is null",
    c"a pointer is not aligned for its type",
    c"memory that is written overlaps other memory of the call",
    c"the cell, activation, operator or distribution is not known",
    c"a size is 0 or too large",
    c"an array has a wrong length",
    c"a probe has no such vector, trajectory, step, unit or stream",
    c"the core refused the arguments",
    c"the library panicked: please report it",
];

pub(crate) fn message(code: i32) -> &'static CStr {
    usize::try_from(code).ok().and_then(|i| MESSAGES.get(i)).unwrap_or(&c"unknown status")
}

/// A recurrent cell, in PyTorch's conventions.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// h = activation(W_ih x + b_ih + W_hh h + b_hh); 1 gate, N = hidden.
    Rnn = 0,
    /// 3 gates, N = hidden.
    Gru = 1,
    /// 4 gates, N = 2 hidden: h, then c.
    Lstm = 2,
}

/// The function of an RNN's cell.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// tanh x.
    Tanh = 0,
    /// max(x, 0).
    Relu = 1,
    /// x.
    Linear = 2,
}

/// An operator on states.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// P, the propagator.
    P = 0,
    /// Its transpose.
    PTransposed = 1,
    /// Its inverse.
    PInverse = 2,
    /// The transpose of its inverse.
    PInverseTransposed = 3,
    /// K, the parameter operator.
    K = 4,
    /// NTK = P K Pᵀ.
    Ntk = 5,
}

/// The distribution of a probe's numbers, of mean 0 and variance 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// ±1.
    Rademacher = 0,
    /// Standard normal.
    Gaussian = 1,
}

/// Numbers to read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slice<T> {
    /// The first.
    pub data: *const T,
    /// How many.
    pub len: usize,
}

/// Numbers to write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SliceMut<T> {
    /// The first.
    pub data: *mut T,
    /// How many.
    pub len: usize,
}

/// A recurrent layer and the size of what it runs on. All sizes are 1 or more.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Model<T> {
    /// A `kpflow_cell`.
    pub cell: u32,
    /// A `kpflow_activation`, of which only an RNN takes notice.
    pub activation: u32,
    /// The numbers of an input.
    pub n_in: usize,
    /// H, the hidden units.
    pub hidden: usize,
    /// T, the steps of a trajectory.
    pub steps: usize,
    /// B, the trajectories.
    pub trajectories: usize,
    /// `[gates·H, n_in]`.
    pub w_ih: Slice<T>,
    /// `[gates·H, H]`.
    pub w_hh: Slice<T>,
    /// `[gates·H]`, or null and 0.
    pub b_ih: Slice<T>,
    /// `[gates·H]`, or null and 0.
    pub b_hh: Slice<T>,
}

/// How many numbers (not bytes) each array of a model has.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// N, the units of the state: hidden, for an LSTM twice that.
    pub units: usize,
    /// One state vector `[B, T, N]`; a block of m vectors, `[B, m, T, N]`, has m times as many.
    pub state: usize,
    /// Inputs, `[B, T, n_in]`.
    pub inputs: usize,
    /// Initial state, `[B, N]`.
    pub initial: usize,
    /// Trainable parameters.
    pub parameters: usize,
    /// What linearising fills, to be kept: at least so many.
    pub arena: usize,
    /// Scratch of linearising: at least so many.
    pub linearize_scratch: usize,
    /// Scratch of a product, by any operator, with the block asked about: at least so many.
    pub apply_scratch: usize,
    /// Scratch of a trace, by blocks as asked about: at least so many.
    pub trace_scratch: usize,
}

/// An estimate of a trace.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trace {
    /// The estimate.
    pub value: f64,
    /// Its standard error; infinite with one probe.
    pub standard_error: f64,
}
