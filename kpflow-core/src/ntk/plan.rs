//! What products will need, told before the model has run.

use super::{Constraint, Coupling, Ntk, ParameterOperator, Propagator, Side};
use crate::machine::Machine;
use crate::model::{Graph, Linearization};
use crate::{LinearOperator, Scalar};

/// Tells how many numbers of scratch suffice for a product of P, P⁻¹, K or NTK, and of their adjoints, with a block of `vectors` vectors.
///
/// It is the largest of their [`scratch_len`](LinearOperator::scratch_len), known from the graph alone: for memory that is laid out
/// beforehand. `trajectories` and `tile` are those of the linearisation (which carries all vectors at once), `coupling` and `side` K's and NTK's. Collective.
pub fn scratch_len<T: Scalar, M: Machine<T>>(
    graph: &Graph<'_, T>,
    trajectories: usize,
    tile: usize,
    machine: &M,
    coupling: Coupling,
    side: Side,
    vectors: usize,
) -> usize {
    let lin = &Linearization::outline(graph, trajectories, tile);
    let lengths = [
        Propagator::new(lin, machine).scratch_len(vectors),
        Constraint::new(lin, machine).scratch_len(vectors),
        ParameterOperator::with(lin, machine, coupling, side).scratch_len(vectors),
        Ntk::with(lin, machine, coupling, side).scratch_len(vectors),
    ];
    lengths.into_iter().fold(0, usize::max)
}
