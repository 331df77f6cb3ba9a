//! One analysis: which operator, which method, what comes out.

use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::estimate::{self, Budget, Eigenpairs, Estimate, Problem, Sketch, StopReason, Tall};
use crate::job::{Analysis, Job, Method, Operator, Quantity};
use crate::model::Loaded;
use crate::results::Record;
use crate::run::structure::structure;
use kpflow_core::machine::{Reduce, Tasks};
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{
    gramian_scratch_len, gramian_traces, Coupling, Features, Ntk, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::Gram;
use kpflow_core::LinearOperator;

/// Below this many numbers a vector, the whole matrix is cheaper than any estimate.
const SMALL: usize = 512;

/// Bytes of the program itself with MPI, HDF5 and BLAS (measured).
const PROGRAM: usize = 96 << 20;

/// What one analysis has to do with.
struct Setting<'a, 'l, T> {
    analysis: &'a Analysis,
    loaded: &'a Loaded<T>,
    lin: &'a Linearization<'l, T>,
    engine: &'a Engine,
    problem: &'a Problem<'a, T>,
    /// The operator's block diagonal over trajectories.
    diagonal: &'a Problem<'a, T>,
}

/// Does one analysis. Collective. Returns what to write, and this rank's part of the eigenvectors if they are to be kept.
pub(super) fn analyse<T: Real>(
    job: &Job,
    analysis: &Analysis,
    loaded: &Loaded<T>,
    lin: &Linearization<'_, T>,
    engine: &Engine,
    progress: &dyn Fn(usize, f64, f64),
) -> Result<(Record<T>, Option<Tall<T>>)> {
    let per_trajectory = (Coupling::PerTrajectory, Side::Weight);
    let operators: [Box<dyn LinearOperator<T> + '_>; 2] = match analysis.operator {
        Operator::Parameter => [
            Box::new(ParameterOperator::new(lin, engine)),
            Box::new(ParameterOperator::with(lin, engine, per_trajectory.0, per_trajectory.1)),
        ],
        // P is block diagonal over trajectories already.
        Operator::PropagatorGram => {
            [Box::new(Gram(Propagator::new(lin, engine))), Box::new(Gram(Propagator::new(lin, engine)))]
        }
        _ => [Box::new(Ntk::new(lin, engine)), Box::new(Ntk::with(lin, engine, per_trajectory.0, per_trajectory.1))],
    };
    let problem = |op| Problem::new(op, engine, (loaded.first, loaded.trajectories), job.seed, loaded.block, progress);
    let (all, diagonal) = (problem(&*operators[0]), problem(&*operators[1]));
    let setting = Setting { analysis, loaded, lin, engine, problem: &all, diagonal: &diagonal };
    // Whatever fails, fails on all ranks alike: it depends on the sizes of the whole job only.
    setting.analyse().map_err(|e| Error {
        message: format!("in [[analysis]] {}: {}", analysis.name, e.message),
        file: Some(job.path.clone()),
        ..e
    })
}

impl<T: Real> Setting<'_, '_, T> {
    fn budget(&self, rtol: f64) -> Budget {
        Budget { rtol, max_matvecs: self.analysis.max_matvecs }
    }

    fn analyse(&self) -> Result<(Record<T>, Option<Tall<T>>)> {
        let a = self.analysis;
        match a.quantity {
            Quantity::Eigenpairs => {
                let (pairs, method) = self.eigenpairs(a.count)?;
                require_finite(pairs.stop, pairs.values.first().copied().unwrap_or(0.0))?;
                let record = Record {
                    method: method.name().into(),
                    converged: pairs.stop.converged(),
                    matvecs: pairs.matvecs,
                    status: pairs.stop.describe().into(),
                    history: pairs.history,
                    eigenvalues: Some(pairs.values),
                    residuals: Some(pairs.residuals),
                    ..Record::default()
                };
                Ok((record, a.vectors.then_some(pairs.vectors)))
            }
            Quantity::Matrix | Quantity::Marginal | Quantity::Blocks => {
                Ok((structure(a, self.loaded, self.problem, self.small())?, None))
            }
            _ => {
                let (estimate, method) = match a.quantity {
                    Quantity::Trace => self.trace(a.method, a.rtol)?,
                    Quantity::Frobenius => self.frobenius(a.method, a.rtol)?,
                    Quantity::Norm => self.norm()?,
                    _ => self.effective_rank()?,
                };
                require_finite(estimate.stop, estimate.value)?;
                let record = Record {
                    method: method.name().into(),
                    converged: estimate.stop.converged(),
                    matvecs: estimate.matvecs,
                    status: estimate.stop.describe().into(),
                    value: Some(estimate.value),
                    standard_error: Some(estimate.standard_error),
                    history: estimate.history,
                    ..Record::default()
                };
                Ok((record, None))
            }
        }
    }

    fn small(&self) -> bool {
        self.problem.len() <= SMALL.min(self.analysis.max_matvecs)
    }

    /// Flops of all products that may be spent: what an exact method may cost before an estimate is better.
    fn affordable(&self) -> f64 {
        self.analysis.max_matvecs as f64 * self.loaded.product_flops
    }

    fn trace(&self, method: Method, rtol: f64) -> Result<(Estimate, Method)> {
        let shape = self.loaded.shape;
        let n = shape.units as f64;
        let gramians = (self.loaded.trajectories * shape.steps * shape.steps) as f64 * n * n * n;
        let unitwise = Features::new(self.lin).is_some();
        let exact = match self.analysis.operator {
            Operator::Parameter => unitwise,
            _ => unitwise && self.lin.graph().is_single_recurrence() && gramians <= self.affordable(),
        };
        let method = match method {
            Method::Auto if exact => Method::Exact,
            Method::Auto if self.small() => Method::Dense,
            Method::Auto => Method::PerTrajectory,
            other => other,
        };
        let estimate = match method {
            Method::Exact => self.exact_trace()?,
            Method::Dense => estimate::dense(self.problem)?.trace(),
            Method::PerTrajectory => estimate::per_trajectory(self.diagonal, &self.budget(rtol)),
            _ => estimate::hutchinson(self.problem, &self.budget(rtol)),
        };
        Ok((estimate, method))
    }

    fn features(&self) -> Result<(Features<'_, T>, Vec<T>)> {
        let features = Features::new(self.lin).ok_or_else(|| {
            Error::usage("method = \"exact\" is for models whose weights act unit by unit; choose another method")
        })?;
        let mut rows = vec![T::zero(); features.rows() * features.row_len()];
        features.write(&mut rows);
        Ok((features, rows))
    }

    fn exact_trace(&self) -> Result<Estimate> {
        let (features, rows) = self.features()?;
        let local = match self.analysis.operator {
            Operator::Parameter => features.trace(&rows),
            operator => {
                let mut traces = vec![T::zero(); 2 * self.loaded.shape.trajectories];
                let mut scratch = vec![T::zero(); gramian_scratch_len(self.lin, self.engine)];
                if !gramian_traces(self.lin, &features, &rows, self.engine, &mut traces, &mut scratch) {
                    return Err(Error::usage("method = \"exact\" is for single recurrences; choose another method"));
                }
                let which = usize::from(operator == Operator::PropagatorGram);
                traces.iter().skip(which).step_by(2).map(|t| t.f64()).sum()
            }
        };
        Ok(Estimate::exact(self.engine.comm().sum_one(local), 0))
    }

    fn frobenius(&self, method: Method, rtol: f64) -> Result<(Estimate, Method)> {
        let positions = (self.loaded.trajectories * self.loaded.shape.steps) as f64;
        let row = Features::new(self.lin).map_or(f64::INFINITY, |f| f.row_len() as f64);
        let exact =
            self.analysis.operator == Operator::Parameter && 8.0 * positions * positions * row <= self.affordable();
        let method = match method {
            Method::Auto if exact => Method::Exact,
            Method::Auto if self.small() => Method::Dense,
            Method::Auto => Method::Hutchpp,
            other => other,
        };
        let estimate = match method {
            Method::Exact => self.exact_frobenius()?,
            Method::Dense => estimate::dense(self.problem)?.frobenius(),
            Method::Hutchpp => estimate::frobenius(self.problem, &self.budget(rtol), Sketch::Deflate),
            _ => estimate::frobenius(self.problem, &self.budget(rtol), Sketch::None),
        };
        Ok((estimate, method))
    }

    fn exact_frobenius(&self) -> Result<Estimate> {
        let (features, rows) = self.features()?;
        let total: usize = Reduce::<T>::sum_count(self.engine, features.rows());
        let mut all = vec![T::zero(); total * features.row_len()];
        self.engine.comm().gather(&rows, &mut all);
        // A row at a time to a task: every pair of positions counts, and rows are independent.
        let (lanes, len) = (self.engine.lanes(), features.row_len());
        let per = features.rows().div_ceil(8 * lanes).max(1);
        let pieces = features.rows().div_ceil(per);
        let (mut sums, units) = (vec![0.0f64; pieces], self.loaded.shape.units);
        let mut scratch = vec![0.0f64; 0];
        self.engine.for_each(pieces, &mut sums, 1, &mut scratch, 0, |i, sum, _: &mut [f64]| {
            let part = &rows[i * per * len..((i + 1) * per * len).min(rows.len())];
            sum[0] = features.frobenius_squared(part, &all, &mut vec![T::zero(); units]);
        });
        Ok(Estimate::exact(self.engine.comm().sum_one(sums.iter().sum()).sqrt(), 0))
    }

    fn effective_rank(&self) -> Result<(Estimate, Method)> {
        let a = self.analysis;
        if a.method == Method::Dense || a.method == Method::Auto && self.small() {
            return Ok((estimate::dense(self.problem)?.effective_rank(), Method::Dense));
        }
        // The rank's relative error is twice its parts': an exact trace leaves all of it to the norm.
        let trace_method = if a.method == Method::Hutchinson { Method::Hutchinson } else { Method::Auto };
        let (trace, _) = self.trace(trace_method, a.rtol / 8f64.sqrt())?;
        let share = if trace.stop == StopReason::Exact { 2.0 } else { 8f64.sqrt() };
        let own = Problem::new(
            self.problem.operator,
            self.engine,
            (self.loaded.first, self.loaded.trajectories),
            self.problem.seed,
            self.problem.block,
            self.problem.progress,
        );
        let setting = Setting { problem: &own, ..*self };
        let (norm, method) = setting.frobenius(a.method, a.rtol / share)?;
        Ok((estimate::effective_rank(&trace, &norm, a.rtol), method))
    }

    fn eigenpairs(&self, count: usize) -> Result<(Eigenpairs<T>, Method)> {
        let dense = self.analysis.method == Method::Dense || self.analysis.method == Method::Auto && self.small();
        if dense {
            return Ok((estimate::dense(self.problem)?.eigenpairs(self.problem, count), Method::Dense));
        }
        Ok((estimate::block_krylov(self.problem, &self.budget(self.analysis.rtol), count), Method::BlockKrylov))
    }

    /// The norm of a positive semidefinite operator is its largest eigenvalue, and its residual a bound of the error.
    fn norm(&self) -> Result<(Estimate, Method)> {
        let (pairs, method) = self.eigenpairs(1)?;
        let value = pairs.values.first().copied().unwrap_or(0.0);
        require_finite(pairs.stop, value)?;
        let standard_error = match method {
            Method::Dense => 0.0,
            _ => value * pairs.residuals.first().copied().unwrap_or(f64::INFINITY),
        };
        let Eigenpairs { matvecs, stop, history, .. } = pairs;
        let history = history.into_iter().map(|h| [h[0], h[1], h[1] * h[2]]).collect();
        Ok((Estimate { value, standard_error, matvecs, stop, history }, method))
    }
}

/// An overflow is not a result: it ends the run with what to do about it. The same on every rank, as the sums are.
fn require_finite(stop: StopReason, value: f64) -> Result<()> {
    if stop == StopReason::Overflow || !value.is_finite() {
        return Err(Error::run("the operator's products overflow; take precision = \"f64\", or check the weights"));
    }
    Ok(())
}

/// Bytes that a run will need on this rank: the model, and the greatest of what the analyses need.
pub(super) fn memory<T: Real>(job: &Job, loaded: &Loaded<T>, lin: &Linearization<'_, T>, engine: &Engine) -> f64 {
    let product = Ntk::new(lin, engine).scratch_len(loaded.block);
    let n = loaded.shape.len();
    let gramians = gramian_scratch_len(lin, engine);
    let total = loaded.trajectories * loaded.shape.per_trajectory();
    let number = std::mem::size_of::<T>();
    let need = |a: &Analysis| {
        let vectors = match a.quantity {
            Quantity::Eigenpairs => estimate::block_krylov_vectors(a.count, loaded.block, total),
            Quantity::Norm => estimate::block_krylov_vectors(1, loaded.block, total),
            Quantity::Trace => 3 * loaded.block,
            _ => 3 * (a.max_matvecs / 4).min(128) + 3 * loaded.block,
        };
        let traced =
            matches!(a.quantity, Quantity::Trace | Quantity::EffectiveRank) && a.operator != Operator::Parameter;
        let exact = traced && matches!(a.method, Method::Auto | Method::Exact) && lin.graph().is_single_recurrence();
        // The matrix, its eigenvectors and the work of finding them, in double precision.
        let dense = match a.method {
            Method::Dense => total.min(estimate::DENSE_LIMIT),
            Method::Auto if matches!(a.quantity, Quantity::Matrix | Quantity::Marginal) => {
                total.min(estimate::DENSE_LIMIT)
            }
            Method::Auto => total.min(SMALL),
            _ => 0,
        };
        ((product + n * vectors).max(if exact { gramians } else { 0 }) * number + 32 * dense * dense) as f64
    };
    let model = Linearization::arena_len(lin.graph(), loaded.shape.trajectories) * number;
    job.analyses.iter().map(need).fold(0.0, f64::max) + (model + loaded.bytes() + PROGRAM) as f64
}
