//! The computation: a GRU runs, its Kronecker core is summed as it goes, and P, Pᵀ, K and NTK act on a probe.

use crate::model::{B_HH, B_IH, HIDDEN, INPUTS, N_IN, STEPS, W_HH, W_IH};
use core::fmt::{self, Write};
use kpflow_core::machine::Portable;
use kpflow_core::model::{BuildError, Cell, GraphBuffer, Linearization, LinearizeError, RecurrentWeights};
use kpflow_core::ntk::{Coupling, Features, Ntk, ParameterOperator, Propagator, Side};
use kpflow_core::operator::Adjoint;
use kpflow_core::probe::{hutchinson, Distribution, Probe};
use kpflow_core::{ApplyError, BlockMut, BlockRef, LinearOperator};

const STATE: usize = STEPS * HIDDEN;
const PROBES: usize = 16;
/// What the core says that it needs; less is an error of the run.
const ARENA: usize = 4000;
const SCRATCH: usize = 5000;

/// All the memory that the computation needs beside the stack.
pub struct Memory {
    arena: [f32; ARENA],
    scratch: [f32; SCRATCH],
    x: [f32; STATE],
    y: [f32; STATE],
}

impl Memory {
    /// Zeros.
    pub const EMPTY: Self = Self { arena: [0.0; ARENA], scratch: [0.0; SCRATCH], x: [0.0; STATE], y: [0.0; STATE] };
}

/// Why the computation stopped.
#[derive(Debug)]
#[allow(dead_code)] // read by Debug alone
pub enum Failure {
    Build(BuildError),
    Linearize(LinearizeError),
    Apply(ApplyError),
    Output,
    NoFeatures,
}

impl From<BuildError> for Failure {
    fn from(e: BuildError) -> Self {
        Self::Build(e)
    }
}
impl From<LinearizeError> for Failure {
    fn from(e: LinearizeError) -> Self {
        Self::Linearize(e)
    }
}
impl From<ApplyError> for Failure {
    fn from(e: ApplyError) -> Self {
        Self::Apply(e)
    }
}
impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}

fn weights() -> RecurrentWeights<'static, f32> {
    RecurrentWeights { n_in: N_IN, hidden: HIDDEN, w_ih: &W_IH, w_hh: &W_HH, b_ih: Some(&B_IH), b_hh: Some(&B_HH) }
}

/// A line: a name and numbers.
fn line<N: fmt::LowerExp>(out: &mut dyn Write, name: &str, numbers: &[N]) -> fmt::Result {
    write!(out, "{name}")?;
    numbers.iter().try_for_each(|x| write!(out, " {x:e}"))?;
    writeln!(out)
}

/// Computes everything and writes it, a line a quantity.
pub fn run(memory: &mut Memory, out: &mut dyn Write) -> Result<(), Failure> {
    stream(memory, out)?;
    operators(memory, out)
}

/// One step of inference after another, in memory that does not grow with their number: the exact trace of K.
fn stream(memory: &mut Memory, out: &mut dyn Write) -> Result<(), Failure> {
    let (cell, mut buffer) = (Cell::gru(), GraphBuffer::default());
    let graph = cell.graph(weights(), 1, &mut buffer)?;
    let (mut h, mut trace) = ([0.0f32; HIDDEN], 0.0);
    for x in INPUTS.chunks_exact(N_IN) {
        let lin = Linearization::new(&graph, &[x], Some(&h), 1, 1, &mut memory.arena, &mut memory.scratch, &Portable)?;
        let features = Features::new(&lin).ok_or(Failure::NoFeatures)?;
        let row = &mut memory.x[..features.row_len()];
        features.write(row);
        trace += features.trace(row);
        lin.state(BlockMut::new(lin.shape(), 1, &mut h));
    }
    line(out, "last_state", &h)?;
    Ok(line(out, "trace_k", &[trace])?)
}

/// The whole trajectory linearised once; its operators on a probe, and the trace of NTK.
fn operators(memory: &mut Memory, out: &mut dyn Write) -> Result<(), Failure> {
    let Memory { arena, scratch, x, y } = memory;
    let (cell, mut buffer) = (Cell::gru(), GraphBuffer::default());
    let graph = cell.graph(weights(), STEPS, &mut buffer)?;
    let lin = Linearization::new(&graph, &[&INPUTS], None, 1, 1, arena, scratch, &Portable)?;
    let shape = lin.shape();
    lin.state(BlockMut::new(shape, 1, y));
    line(out, "state", y)?;

    // With one trajectory the block diagonal over trajectories is the operator itself, and needs the least scratch.
    let (one, side) = (Coupling::PerTrajectory, Side::Gram);
    let p = Propagator::new(&lin, &Portable);
    let k = ParameterOperator::with(&lin, &Portable, one, side);
    let ntk = Ntk::with(&lin, &Portable, one, side);
    Probe { seed: 7, stream: 0, distribution: Distribution::Gaussian }.fill(0, 0, BlockMut::new(shape, 1, x));
    let operators: [(&str, &dyn LinearOperator<f32>); 4] =
        [("p", &p), ("p_transposed", &Adjoint(&p)), ("k", &k), ("ntk", &ntk)];
    for (name, operator) in operators {
        operator.try_apply(BlockRef::new(shape, 1, x), BlockMut::new(shape, 1, y), scratch)?;
        line(out, name, y)?;
    }

    let signs = Probe { seed: 7, stream: 1, distribution: Distribution::Rademacher };
    let trace = hutchinson(&ntk, &signs, 0..PROBES, 1, x, y, scratch);
    line(out, "trace_ntk", &[trace.mean()])?;
    line(out, "trace_ntk_standard_error", &[trace.standard_error()])?;
    writeln!(
        out,
        "# numbers needed: arena {}, scratch {}",
        Linearization::arena_len(&graph, 1),
        Linearization::scratch_len(&graph, 1, 1, &Portable).max(ntk.scratch_len(1))
    )?;
    Ok(())
}
