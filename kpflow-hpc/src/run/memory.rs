//! What a run will need, told before it is spent.

use super::analyse::SMALL;
use super::operators::{capacity, shares};
use crate::engine::Real;
use crate::estimate;
use crate::job::{Analysis, Job, Method, Operator, Quantity};
use crate::model::Sizes;
use kpflow_core::machine::Machine;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{gramian_scratch_len, Ntk};
use kpflow_core::LinearOperator;

/// Bytes of the program itself with MPI, HDF5 and BLAS (measured).
const PROGRAM: usize = 96 << 20;

/// Bytes that a run will need on this rank: the model, what analyses keep for each other, and the greatest of what each needs.
pub fn memory<T: Real, M: Machine<T>>(job: &Job, loaded: &Sizes, lin: &Linearization<'_, T>, engine: &M) -> f64 {
    let product = Ntk::new(lin, engine).scratch_len(loaded.block);
    let shape = lin.shape();
    let n = shape.len();
    let total = loaded.trajectories * shape.per_trajectory();
    let number = std::mem::size_of::<T>();
    let need = |a: &Analysis| {
        let traced = matches!(a.quantity, Quantity::Trace | Quantity::EffectiveRank);
        let exact = traced
            && a.operator != Operator::Parameter
            && matches!(a.method, Method::Auto | Method::Exact)
            && lin.graph().is_single_recurrence();
        let gramians = if exact { gramian_scratch_len(lin, engine) } else { 0 };
        // The matrix, its eigenvectors and the work of finding them, in double precision.
        let dense = match a.method {
            Method::Dense => total.min(estimate::DENSE_LIMIT),
            Method::Auto if a.quantity == Quantity::Matrix => total.min(estimate::DENSE_LIMIT),
            Method::Auto => total.min(SMALL),
            _ => 0,
        };
        ((product + n * vectors(a, loaded.block, total, shape.per_trajectory())).max(gramians) * number + 32 * dense * dense) as f64
    };
    let model = Linearization::arena_len(lin.graph(), shape.trajectories) * number;
    let kept = |a: &Analysis| {
        let spent = if matches!(a.quantity, Quantity::Lyapunov) { 0 } else { a.max_matvecs };
        (shares(job, a.operator) && a.part.is_all(), a.operator, spent)
    };
    let mut kept_vectors = 0;
    for &(_, operator) in Operator::ALL {
        let spent: usize = job.analyses.iter().map(kept).filter(|k| k.0 && k.1 == operator).map(|k| k.2).sum();
        kept_vectors += spent.min(capacity::<T>(n));
    }
    let running = Linearization::scratch_len(lin.graph(), shape.trajectories, lin.tile(), engine) * number;
    job.analyses.iter().map(need).fold(running as f64, f64::max)
        + (model + loaded.bytes + PROGRAM + kept_vectors * n * number) as f64
}

/// Vectors that an analysis holds at once.
fn vectors(a: &Analysis, block: usize, total: usize, per_trajectory: usize) -> usize {
    let m = a.max_matvecs;
    let ladder = 2 * estimate::largest_sketch(total, per_trajectory).min(m);
    let sketch = match (a.quantity, a.method) {
        (Quantity::Eigenpairs | Quantity::Learnability | Quantity::SingularTriplets, _) => {
            return estimate::block_krylov_vectors(a.count, block, total)
        }
        (Quantity::Norm, _) => return estimate::block_krylov_vectors(1, block, total),
        (Quantity::Trace, Method::Auto | Method::PerTrajectoryXnystrace) => ladder,
        (Quantity::Trace, Method::Xnystrace) => 3 * m.min(total),
        (Quantity::Trace, Method::Hutchpp | Method::Nystrompp | Method::Xtrace) => 2 * m.min(3 * total),
        (Quantity::Trace, _) => 0,
        (Quantity::EffectiveRank, Method::Auto) => (2 * m).max(ladder),
        (Quantity::Frobenius | Quantity::EffectiveRank | Quantity::StableRank, Method::Auto | Method::Hutchpp) => 2 * m,
        _ => 3 * (m / 4).min(128),
    };
    sketch + 3 * block
}
