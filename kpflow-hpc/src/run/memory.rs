//! What a run will need, told before it is spent. `kpflow plan` tells the same numbers, from the same functions.

use super::analyse::{closed, SMALL};
use super::operators::{capacity, factor_adjoint, operator, shares};
use crate::comm::UNDER_WAY;
use crate::engine::Real;
use crate::estimate::{self, Closed, DENSE_LIMIT};
use crate::job::{Analysis, Axis, Job, Method, Operator, Quantity};
use crate::journal::BUFFER;
use crate::model::Sizes;
use kpflow_core::machine::Machine;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{Coupling, Side};

/// Bytes of the program's own code and tables that are not in memory yet when it begins (measured: 5 to 9 MiB, least under mpirun).
const LATER: usize = 7 << 20;

/// Bytes that a run will need on this rank: the program, the model, what analyses keep for each other, and the greatest of what each needs.
pub fn memory<T: Real, M: Machine<T>>(job: &Job, sizes: &Sizes, lin: &Linearization<'_, T>, machine: &M) -> f64 {
    let (number, shape) = (std::mem::size_of::<T>(), lin.shape());
    let model = Linearization::arena_len(lin.graph(), shape.trajectories) * number + sizes.bytes;
    let running = Linearization::scratch_len(lin.graph(), shape.trajectories, lin.tile(), machine) * number;
    let needs = job.analyses.iter().map(|a| analysis_memory(a, sizes, lin, machine, model));
    let program = crate::engine::bytes_at_start() + LATER;
    needs.fold(running as f64, f64::max)
        + (program + model + kept::<T>(job, shape.len()) + journal::<T>(job, shape.len())) as f64
}

/// Bytes of products of `n` numbers that wait to be written down.
fn journal<T>(job: &Job, n: usize) -> usize {
    let spent: usize = job.analyses.iter().map(spent).sum();
    job.checkpoint.map_or(0, |_| BUFFER.min(spent.saturating_mul(n * std::mem::size_of::<T>())))
}

/// Products that an analysis may spend.
fn spent(a: &Analysis) -> usize {
    if a.quantity == Quantity::Lyapunov || a.method == Method::Exact {
        0
    } else {
        a.max_matvecs
    }
}

/// Bytes of products that analyses keep for each other, of vectors of `n` numbers.
fn kept<T>(job: &Job, n: usize) -> usize {
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
    // The whole matrix is written with rows and columns of zeros behind the ends of trajectories.
    let whole_state = match a.quantity {
        Quantity::Matrix => sizes.trajectories * shape.per_trajectory(),
        _ => sizes.steps * shape.units,
    };
    let by_parts = matches!(a.method, Method::Auto | Method::Hutchpp) && whole_state > SMALL.min(a.max_matvecs);
    if matches!(a.quantity, Quantity::EffectiveRank | Quantity::StableRank) && by_parts {
        let (m, third) = (a.max_matvecs, a.max_matvecs.div_ceil(3));
        let part = |quantity, method, max_matvecs| {
            analysis_memory(&Analysis { quantity, method, max_matvecs, ..a.clone() }, sizes, lin, machine, model)
        };
        let (first, left) = match a.quantity {
            Quantity::StableRank => (Quantity::Norm, m - third),
            // An exact trace leaves all products to the norm.
            _ if exact_trace_at_once(a, sizes, lin) => (Quantity::Trace, m),
            _ => (Quantity::Trace, m - third),
        };
        return part(first, Method::Auto, third).max(part(Quantity::Frobenius, a.method, left));
    }
    let (n, per) = (shape.len(), shape.per_trajectory());
    // A group copies its share of a block, and what it makes of it.
    let share = |m: usize| m.div_ceil(sizes.groups);
    let exchanged = |m: usize| if sizes.groups > 1 { 2 * share(m) } else { 0 };
    let total = whole_state;
    // An estimate that may take the closed form takes it where that costs fewer products than it may spend.
    let worth = a.method == Method::Exact
        || a.method == Method::Auto && exact_products(a, sizes, lin).is_none_or(|p| p <= a.max_matvecs as f64);
    let form = closed(a.operator).filter(|_| worth && a.part.is_all());
    let exact = match (a.quantity, form) {
        (Quantity::Trace | Quantity::EffectiveRank, Some(which)) => estimate::exact_trace_len(lin, machine, which),
        (Quantity::Frobenius, Some(Closed::Parameter)) => {
            estimate::exact_frobenius_len(lin, machine, sizes.trajectories)
        }
        _ => 0,
    };
    if a.method == Method::Exact || a.quantity == Quantity::Lyapunov {
        return (exact * number) as f64;
    }
    if a.method == Method::OneSided {
        let back = factor_adjoint(a.operator, lin, machine).map_or((0, 0), |(op, _)| {
            let out = if a.forward { op.codomain().len() + n } else { op.codomain().len() };
            (op.scratch_len(estimate::chunk(&*op, share(sizes.block))), out)
        });
        let pairs = if a.quantity == Quantity::Trace { 0 } else { 2 * (2 * a.max_matvecs).min(256) };
        return ((back.0 + block * n + (block + pairs + exchanged(block)) * back.1) * number) as f64;
    }
    let (vectors, widest) = vectors(a, sizes.block, total, per);
    let exchange = match a.quantity {
        Quantity::Eigenpairs | Quantity::Learnability | Quantity::SingularTriplets => {
            exchanged(estimate::block_krylov_sizes(a.count, sizes.block, total).0)
        }
        Quantity::Norm => exchanged(estimate::block_krylov_sizes(1, sizes.block, total).0),
        _ => exchanged(widest),
    };
    let scratch = |coupling| {
        operator(a.operator, lin, machine, coupling)
            .map_or(0, |op| op.scratch_len(estimate::chunk(&*op, share(widest))) + exchange * n)
    };
    let (whole, blocks) = (scratch(Coupling::All), scratch(Coupling::PerTrajectory));
    let by_matrix = a.method == Method::Dense || a.quantity == Quantity::Matrix;
    let small = a.method == Method::Auto && total <= SMALL.min(a.max_matvecs);
    if by_matrix || small {
        // The matrix, this rank's rows of it, its eigenvectors and the work of finding them, in double precision.
        let d = total.min(DENSE_LIMIT);
        return (number * (whole + 2 * block * n)) as f64 + (32 * d * d) as f64;
    }
    let (held, vectors) = (vectors, vectors * n);
    let other = if a.quantity == Quantity::Alignment { model + whole * number } else { 0 };
    // Beside the vectors, in double precision: signs and images of a sample; a trajectory's probes and products, and these whitened, in every
    // lane, when a third of what a sketch held while it grew is free again.
    let (sketch, lanes) = (held / 3, machine.lanes().min(shape.trajectories.max(1)));
    let beside = match (a.quantity, a.method) {
        (Quantity::Marginal, _) => {
            let kept = |axis, size| if a.axes.contains(&axis) { size } else { 1 };
            let d = kept(Axis::Trajectory, sizes.trajectories)
                * kept(Axis::Time, shape.steps)
                * kept(Axis::Unit, shape.units);
            // Whole probes where trajectories are kept; a sample of few kept indices is of many products, others are made in all lanes.
            let signs = if a.axes.contains(&Axis::Trajectory) { (16 + number) * total } else { 16 * n };
            let signs =
                if estimate::is_structured(a.max_matvecs, d) { signs } else { machine.lanes().min(block) * signs };
            // The groups of the jackknife, a block's samples twice, and what is made of them.
            signs + 8 * d.min(estimate::MARGINAL_LIMIT).pow(2) * (40 + 2 * block)
        }
        (Quantity::Trace, Method::Auto | Method::PerTrajectoryXnystrace) => {
            (32 * lanes * per * sketch).saturating_sub(sketch * n * number)
        }
        _ => 0,
    };
    let product = match (a.quantity, a.method) {
        _ if a.part.average => blocks,
        (Quantity::Trace, Method::Auto | Method::PerTrajectory | Method::PerTrajectoryXnystrace) => blocks,
        (Quantity::Marginal, _) if !a.axes.contains(&Axis::Trajectory) => blocks,
        _ => whole,
    };
    // While a product is summed over ranks its output is not written yet.
    let ranks = machine.sum_count(1);
    let sums = match a.operator {
        Operator::Ntk | Operator::Parameter if ranks > 1 && held == 2 * block => {
            // Copied as it is sent, and once more by MPI.
            let side = Side::cheaper(sizes.trajectories, ranks);
            let sum = side.exchange(lin.graph(), share(widest)).summed.min(UNDER_WAY / number);
            (2 * sum).saturating_sub(block * n)
        }
        _ => 0,
    };
    ((product + vectors + sums).max(exact) * number + other + beside) as f64
}

/// What the closed form of the trace costs in products, where there is one.
fn exact_products<T: Real>(a: &Analysis, sizes: &Sizes, lin: &Linearization<'_, T>) -> Option<f64> {
    let form = closed(a.operator).and_then(|which| estimate::exact_trace_flops(lin, sizes.trajectories, which))?;
    Some(form / (lin.graph().product_flops() * sizes.trajectories as f64))
}

/// Whether the trace is exact before any product is spent: as `estimate::auto` decides.
fn exact_trace_at_once<T: Real>(a: &Analysis, sizes: &Sizes, lin: &Linearization<'_, T>) -> bool {
    let block = sizes.block.min(a.max_matvecs.div_ceil(3)) as f64;
    a.part.is_all() && exact_products(a, sizes, lin).is_some_and(|p| p <= block)
}

/// Vectors that an analysis holds at its worst moment, those of a product included, and the vectors of its widest product.
fn vectors(a: &Analysis, block: usize, total: usize, per_trajectory: usize) -> (usize, usize) {
    let m = a.max_matvecs;
    let two = 2 * block.min(m);
    // Probes and products of a sketch, one of the two a second time while it grows.
    let sketch = |m: usize| (3 * m).max(two);
    // A sketch that grows takes a share of the products of each stage.
    let widest = |parts: &[&dyn Fn(usize) -> usize]| {
        let steps = |part: &&dyn Fn(usize) -> usize| {
            let mut before = 0;
            // The last stage may have so few products more that a part loses one.
            let step = |total| part(total).saturating_sub(std::mem::replace(&mut before, part(total)));
            estimate::sketch_sizes(block, m).map(step).max().unwrap_or(0)
        };
        parts.iter().map(steps).max().unwrap_or(0).clamp(1, block)
    };
    // A basis of k probes (they, their products, Q, AQ) and a sketch of the other products.
    let deflated = |k: &dyn Fn(usize) -> usize| (4 * k(m) + 3 * (m - 2 * k(m)), widest(&[k, &|t| t - 2 * k(t)]));
    let all = |vectors: usize| (vectors.max(two), block.min(m));
    match (a.quantity, a.method) {
        (Quantity::Eigenpairs | Quantity::Learnability | Quantity::SingularTriplets, _) => {
            all(estimate::block_krylov_vectors(a.count, block, total, m))
        }
        (Quantity::Norm, _) => all(estimate::block_krylov_vectors(1, block, total, m)),
        (Quantity::Trace, Method::Auto | Method::PerTrajectoryXnystrace) => {
            all(sketch(estimate::largest_sketch(total, per_trajectory).min(m)))
        }
        (Quantity::Trace, Method::Xnystrace) => all(sketch(m.min(total))),
        (Quantity::Trace, Method::Hutchpp) => deflated(&|t| (t / 3).min(total)),
        (Quantity::Trace, Method::Nystrompp) => {
            let k = |t: usize| (t / 2).min(total);
            (2 * k(m) + 3 * (m - k(m)), widest(&[&k, &|t| t - k(t)]))
        }
        (Quantity::Trace, Method::Xtrace) => {
            let k = |t: usize| (t / 2).max(1).min(total);
            (5 * k(m), widest(&[&k]))
        }
        (Quantity::Frobenius, Method::Auto) if !a.operator.symmetric() => all(two),
        (Quantity::Frobenius, Method::Auto | Method::Hutchpp) => deflated(&|t| (t / 4).min(128).min(total)),
        (Quantity::Density | Quantity::LogDet | Quantity::EntropyRank, _) => {
            let (steps, probes) = estimate::lanczos_sizes(a.quantity == Quantity::Density, m, total);
            ((steps + 2) * probes, probes.min(block))
        }
        (Quantity::Alignment, Method::Auto | Method::Hutchpp) => all(6 * (m / 8).min(32) + 2 * two),
        _ => all(two),
    }
}
