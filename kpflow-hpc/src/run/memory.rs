//! What a run will need, told before it is spent. `kpflow plan` tells the same numbers, from the same functions.

use super::analyse::SMALL;
use super::operators::{capacity, factor_adjoint, operator, shares};
use crate::engine::Real;
use crate::estimate::{self, DENSE_LIMIT};
use crate::job::{Analysis, Axis, Job, Method, Operator, Quantity};
use crate::model::Sizes;
use kpflow_core::machine::Machine;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{gramian_scratch_len, Coupling, Features};

/// Bytes of the program's own code and tables that are not in memory yet when it begins (measured: 8 to 10 MiB).
const LATER: usize = 9 << 20;
/// Bytes of buffers for sums over ranks: a piece of a sum is copied, and MPI copies it again.
const SUMS: usize = 16 << 20;

/// Bytes that a run will need on this rank: the program, the model, what analyses keep for each other, and the greatest of what each needs.
pub fn memory<T: Real, M: Machine<T>>(job: &Job, sizes: &Sizes, lin: &Linearization<'_, T>, machine: &M) -> f64 {
    let (number, shape) = (std::mem::size_of::<T>(), lin.shape());
    let model = Linearization::arena_len(lin.graph(), shape.trajectories) * number + sizes.bytes;
    let running = Linearization::scratch_len(lin.graph(), shape.trajectories, lin.tile(), machine) * number;
    let needs = job.analyses.iter().map(|a| analysis_memory(a, sizes, lin, machine, model));
    let program = machine_bytes() + if machine.sum_count(1) > 1 { SUMS } else { 0 };
    needs.fold(running as f64, f64::max) + (program + model + kept::<T>(job, shape.len())) as f64
}

/// Bytes of the process as it is once MPI, BLAS and HDF5 are there.
fn machine_bytes() -> usize {
    crate::engine::bytes_at_start() + LATER
}

/// Bytes of products that analyses keep for each other, of vectors of `n` numbers.
fn kept<T>(job: &Job, n: usize) -> usize {
    let spent = |a: &Analysis| if a.quantity == Quantity::Lyapunov { 0 } else { a.max_matvecs };
    let of = |operator: Operator| {
        let sharing = job.analyses.iter().filter(|a| a.operator == operator && a.part.is_all());
        let all: usize = if shares(job, operator) { sharing.map(spent).sum() } else { 0 };
        all.min(capacity::<T>(n))
    };
    Operator::ALL.iter().map(|&(_, operator)| of(operator)).sum::<usize>() * n * std::mem::size_of::<T>()
}

/// Bytes that one analysis needs beside the model.
pub fn analysis_memory<T: Real, M: Machine<T>>(
    a: &Analysis,
    sizes: &Sizes,
    lin: &Linearization<'_, T>,
    machine: &M,
    model: usize,
) -> f64 {
    let (number, shape, block) = (std::mem::size_of::<T>(), lin.shape(), sizes.block.min(a.max_matvecs));
    let (n, per) = (shape.len(), shape.per_trajectory());
    let total = sizes.trajectories * per;
    let row_len = Features::new(lin).map_or(0, |f| f.row_len());
    let rows = shape.trajectories * shape.steps * row_len;
    let exact = matches!(a.method, Method::Auto | Method::Exact) && a.part.is_all() && row_len > 0;
    let gramians = match (exact, a.quantity, a.operator) {
        (true, Quantity::Trace | Quantity::EffectiveRank, Operator::Ntk | Operator::PropagatorGram)
            if lin.graph().is_single_recurrence() =>
        {
            rows + gramian_scratch_len(lin, machine)
        }
        (true, Quantity::Trace | Quantity::EffectiveRank, Operator::Parameter) => rows,
        (true, Quantity::Frobenius, Operator::Parameter) => rows + sizes.trajectories * shape.steps * row_len,
        _ => 0,
    };
    if a.method == Method::Exact || a.quantity == Quantity::Lyapunov {
        return (gramians * number) as f64;
    }
    if a.method == Method::OneSided {
        let back = factor_adjoint(a.operator, lin, machine).map_or((0, 0), |(op, _)| {
            let out = if a.forward { op.codomain().len() + n } else { op.codomain().len() };
            (op.scratch_len(sizes.block), out)
        });
        let pairs = if a.quantity == Quantity::Trace { 0 } else { 2 * (2 * a.max_matvecs).min(256) };
        return ((back.0 + block * n + (block + pairs) * back.1) * number) as f64;
    }
    let scratch = |coupling| operator(a.operator, lin, machine, coupling).map_or(0, |op| op.scratch_len(sizes.block));
    let (whole, blocks) = (scratch(Coupling::All), scratch(Coupling::PerTrajectory));
    let by_matrix = a.method == Method::Dense || a.quantity == Quantity::Matrix;
    let small = a.method == Method::Auto && total <= SMALL.min(a.max_matvecs);
    if by_matrix || small {
        // The matrix, this rank's rows of it, its eigenvectors and the work of finding them, in double precision.
        let d = total.min(DENSE_LIMIT);
        return (number * (whole + 2 * block * n)) as f64 + (32 * d * d) as f64;
    }
    let vectors = vectors(a, sizes.block, total, per) * n;
    let other = if a.quantity == Quantity::Alignment { model + whole * number } else { 0 };
    // Signs and images of a sample, in double precision.
    let samples = match (a.quantity, a.axes.contains(&Axis::Trajectory)) {
        (Quantity::Marginal, true) => 16 * total,
        (Quantity::Marginal, false) => 16 * n,
        _ => 0,
    };
    let product = match (a.quantity, a.method) {
        _ if a.part.average => blocks,
        (Quantity::Trace, Method::Auto | Method::PerTrajectory | Method::PerTrajectoryXnystrace) => blocks,
        (Quantity::Marginal, _) if !a.axes.contains(&Axis::Trajectory) => blocks,
        (Quantity::EffectiveRank, Method::Auto) => whole.max(blocks),
        _ => whole,
    };
    ((product + vectors).max(gramians) * number + other + samples) as f64
}

/// Vectors that an analysis holds at its worst moment, those of a product included.
fn vectors(a: &Analysis, block: usize, total: usize, per_trajectory: usize) -> usize {
    let (m, two) = (a.max_matvecs, 2 * block.min(a.max_matvecs));
    // Probes and products of a sketch, one of the two a second time while it grows.
    let sketch = |m: usize| 3 * m;
    let ladder = |m: usize| sketch(estimate::largest_sketch(total, per_trajectory).min(m));
    // A basis of k probes (they, their products, Q, AQ) and a sketch of the other products.
    let deflated = |k: usize, m: usize| 4 * k + sketch(m - 2 * k);
    let frobenius = |m: usize| deflated((m / 4).min(128).min(total), m);
    let found = match (a.quantity, a.method) {
        (Quantity::Eigenpairs | Quantity::Learnability | Quantity::SingularTriplets, _) => {
            estimate::block_krylov_vectors(a.count, block, total, m)
        }
        (Quantity::Norm, _) => estimate::block_krylov_vectors(1, block, total, m),
        (Quantity::Trace, Method::Auto | Method::PerTrajectoryXnystrace) => ladder(m),
        (Quantity::Trace, Method::Xnystrace) => sketch(m.min(total)),
        (Quantity::Trace, Method::Hutchpp) => deflated((m / 3).min(total), m),
        (Quantity::Trace, Method::Nystrompp) => 2 * (m / 2).min(total) + sketch(m - (m / 2).min(total)),
        (Quantity::Trace, Method::Xtrace) => 5 * (m / 2).min(total),
        (Quantity::EffectiveRank, Method::Auto) => ladder(m.div_ceil(3)).max(frobenius(m)),
        (Quantity::StableRank, Method::Auto) => {
            estimate::block_krylov_vectors(1, block, total, m.div_ceil(3)).max(frobenius(m - m.div_ceil(3)))
        }
        (Quantity::Frobenius, Method::Auto) if !a.operator.symmetric() => two,
        (Quantity::Frobenius | Quantity::EffectiveRank | Quantity::StableRank, Method::Auto | Method::Hutchpp) => {
            frobenius(m)
        }
        (Quantity::Density | Quantity::LogDet | Quantity::EntropyRank, _) => {
            let (steps, probes) = estimate::lanczos_sizes(a.quantity == Quantity::Density, m, total);
            (steps + 2) * probes
        }
        (Quantity::Alignment, Method::Auto | Method::Hutchpp) => 6 * (m / 8).min(32) + 2 * two,
        _ => two,
    };
    found.max(two)
}
