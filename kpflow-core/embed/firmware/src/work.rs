//! The computation: a GRU runs, its Kronecker core is summed as it goes, and P, Pᵀ, K and NTK act on a probe. All memory is on the stack.

use crate::model::{B_HH, B_IH, HIDDEN, INPUTS, N_IN, STEPS, W_HH, W_IH};
use core::fmt::{self, Write};
use kpflow_core::machine::Portable;
use kpflow_core::model::{BuildError, Cell, GraphBuffer, Linearization, LinearizeError, RecurrentWeights};
use kpflow_core::ntk::{
    core_numbers, CoreSize, CoreSums, Coupling, Features, Ntk, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::Adjoint;
use kpflow_core::probe::{hutchinson, Distribution, Probe};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator};

const STATE: usize = STEPS * HIDDEN;
const PROBES: usize = 16;

/// Why the computation stopped.
#[derive(Debug)]
#[allow(dead_code)] // read by Debug alone
pub enum Failure {
    Build(BuildError),
    Linearize(LinearizeError),
    Core(Error),
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
impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Core(e)
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
pub fn run(out: &mut dyn Write) -> Result<(), Failure> {
    stream(out)?;
    operators(out)
}

/// A site of the cell: inputs (the 1 of a bias among them) and gates.
const fn site(inputs: usize, gates: usize) -> CoreSize {
    CoreSize { inputs, bias: false, hidden: HIDDEN, gates, states: 1, errors: false }
}

/// The input's part of n; gates r and z, which read input and state side by side; the state's part of n.
const SITES: [CoreSize; 3] = [site(N_IN + 1, 1), site(N_IN + HIDDEN + 2, 2), site(HIDDEN + 1, 1)];
/// The most inputs of a site.
const WIDEST: usize = SITES[1].inputs;

/// One step of inference after another, in memory that does not grow with their number: what inference alone tells of the Kronecker core.
#[inline(never)] // the two halves use the same stack, one after the other
fn stream(out: &mut dyn Write) -> Result<(), Failure> {
    let (mut a, mut b, mut c) =
        ([0.0; SITES[0].memory_len()], [0.0; SITES[1].memory_len()], [0.0; SITES[2].memory_len()]);
    let mut sums =
        [CoreSums::new(SITES[0], &mut a)?, CoreSums::new(SITES[1], &mut b)?, CoreSums::new(SITES[2], &mut c)?];
    let (cell, mut buffer) = (Cell::gru(), GraphBuffer::default());
    let graph = cell.graph(weights(), 1, &mut buffer)?;
    let (mut arena, mut scratch, mut row) = ([0.0; 240], [0.0; 208], [0.0; 208]);
    let mut h = [0.0f32; HIDDEN];
    for x in INPUTS.chunks_exact(N_IN) {
        let lin = Linearization::new(&graph, &[x], Some(&h), 1, 1, &mut arena, &mut scratch, &Portable)?;
        let features = Features::new(&lin).ok_or(Failure::NoFeatures)?;
        let row = &mut row[..features.row_len()];
        features.write(row)?;
        sums.iter_mut().enumerate().try_for_each(|(i, sums)| features.accumulate(i, row, &[], sums))?;
        lin.state(BlockMut::new(lin.shape(), 1, &mut h)?)?;
    }
    line(out, "last_state", &h)?;
    let mut scratch = [0.0; WIDEST * WIDEST + WIDEST];
    let numbers = core_numbers(&sums, &mut scratch)?;
    line(out, "trace_k", &[numbers.trace])?;
    line(out, "frobenius_k_bounds", &[numbers.frobenius.0, numbers.frobenius.1])?;
    line(out, "rank_bound", &[numbers.rank_bound as f64])?;
    line(out, "core_trace", &[numbers.core_trace])?;
    line(out, "core_frobenius", &[numbers.core_frobenius])?;
    line(out, "core_effective_rank", &[numbers.core_effective_rank])?;
    let (values, matrix) = scratch.split_at_mut(WIDEST);
    sums[1].eigenvalues(values, matrix)?;
    Ok(line(out, "core_eigenvalues", values)?)
}

/// The whole trajectory linearised once; its operators on a probe, and the trace of NTK.
#[inline(never)]
fn operators(out: &mut dyn Write) -> Result<(), Failure> {
    // As long as the core says that it needs; less is an error.
    let (mut arena, mut scratch) = ([0.0; 3998], [0.0; 4912]);
    let (mut x, mut y) = ([0.0; STATE], [0.0; STATE]);
    let (cell, mut buffer) = (Cell::gru(), GraphBuffer::default());
    let graph = cell.graph(weights(), STEPS, &mut buffer)?;
    let lin = Linearization::new(&graph, &[&INPUTS], None, 1, 1, &mut arena, &mut scratch, &Portable)?;
    let shape = lin.shape();
    lin.state(BlockMut::new(shape, 1, &mut y)?)?;
    line(out, "state", &y)?;

    // With one trajectory the block diagonal over trajectories is the operator itself, and needs the least scratch.
    let (one, side) = (Coupling::PerTrajectory, Side::Gram);
    let p = Propagator::new(&lin, &Portable);
    let k = ParameterOperator::with(&lin, &Portable, one, side);
    let ntk = Ntk::with(&lin, &Portable, one, side);
    Probe { seed: 7, stream: 0, distribution: Distribution::Gaussian }.fill(0, 0, BlockMut::new(shape, 1, &mut x)?)?;
    let operators: [(&str, &dyn LinearOperator<f32>); 4] =
        [("p", &p), ("p_transposed", &Adjoint(&p)), ("k", &k), ("ntk", &ntk)];
    for (name, operator) in operators {
        operator.apply(BlockRef::new(shape, 1, &x)?, BlockMut::new(shape, 1, &mut y)?, &mut scratch)?;
        line(out, name, &y)?;
    }

    let signs = Probe { seed: 7, stream: 1, distribution: Distribution::Rademacher };
    let trace = hutchinson(&ntk, &signs, 0..PROBES, 1, &mut x, &mut y, &mut scratch)?;
    line(out, "trace_ntk", &[trace.mean()])?;
    line(out, "trace_ntk_standard_error", &[trace.standard_error()])?;
    Ok(())
}
