//! One analysis: which operator, which method, what comes out.

use super::operators::{factor, factor_adjoint, operator, Boxed, Memos, Shared};
use super::part::OfPart;
use super::range::size;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::estimate::{beyond, times_power, Budget, DenseSpectrum};
use crate::estimate::{Estimate, Problem, StopReason, Tall};
use crate::job::{Analysis, Job, Method, Operator, Quantity};
use crate::journal::Rows;
use crate::model::Loaded;
use crate::results::Record;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::Coupling;
use std::cell::Cell;

/// Below this many numbers a vector, the whole matrix is cheaper than any estimate.
pub const SMALL: usize = 512;

/// A tensor to be written, this rank's part of it.
pub(super) type Tensor<T> = (&'static str, Tall<T>);

/// What an analysis has found: the record, and tensors of which every rank has a part.
pub(super) type Found<T> = (Record<T>, Vec<Tensor<T>>);

/// What one analysis has to do with.
pub(super) struct Setting<'a, 'l, T> {
    pub job: &'a Job,
    pub analysis: &'a Analysis,
    pub loaded: &'a Loaded<T>,
    pub lin: &'a Linearization<'l, T>,
    pub engine: &'a Engine,
    pub memos: &'a Memos<'a, T>,
    pub shared: Option<&'a Shared<T>>,
    pub progress: &'a dyn Fn(usize, f64, f64),
    /// The power of two by which the operator is scaled, once it is known.
    pub scale: &'a Cell<i32>,
    /// Whether products have vanished.
    pub lost: Cell<bool>,
    /// The operator.
    pub all: Boxed<'a, T>,
    /// Its block diagonal over trajectories.
    pub(super) diagonal: Boxed<'a, T>,
    /// How many steps each trajectory has of what the operator acts on, where they differ.
    pub lengths: Option<Vec<usize>>,
}

/// Fails if an analysis asks for what this model does not have: before anything is spent or written.
pub(super) fn check<T: Real>(job: &Job, loaded: &Loaded<T>, lin: &Linearization<'_, T>, engine: &Engine) -> Result<()> {
    let one = |a: &Analysis| -> Result<()> {
        super::part::check(&a.part, lin.shape(), loaded.lengths())?;
        match (a.quantity, &a.with) {
            (Quantity::Lyapunov, _) => {
                crate::estimate::require_recurrence(lin)?;
                if let Some(b) = loaded.lengths().into_iter().flatten().position(|length| *length < 2) {
                    let what = "Lyapunov exponents need at least two steps";
                    return Err(Error::usage(format!("{what}, and trajectory {b} has one")));
                }
            }
            (Quantity::Alignment, Some(with)) => drop(crate::spelling::open(&with.path)?),
            (Quantity::Learnability, Some(with)) => drop(super::spectra::open_signal(with, loaded)?),
            _ => {}
        }
        if a.method == Method::Exact && a.quantity != Quantity::Lyapunov {
            let of_trace = (a.quantity == Quantity::Trace).then(|| closed(a.operator)).flatten();
            crate::estimate::require_closed(lin, of_trace)?;
        }
        let dense = a.method == Method::Dense || a.quantity == Quantity::Matrix;
        if dense && a.part.is_all() {
            let held = loaded.trajectories * lin.shape().per_trajectory();
            crate::estimate::require_dense(if a.quantity == Quantity::Matrix { held } else { loaded.numbers() })?;
        }
        operator(a.operator, lin, engine, Coupling::PerTrajectory).map(drop)
    };
    let named = |a: &Analysis| one(a).map_err(|e| in_analysis(job, a, e));
    job.analyses.iter().try_for_each(named)
}

/// An error that says which analysis it is about.
pub(super) fn in_analysis(job: &Job, analysis: &Analysis, e: Error) -> Error {
    Error {
        message: format!("in [[analysis]] {}: {}", analysis.name, e.message),
        file: e.file.or_else(|| Some(job.path.clone())),
        ..e
    }
}

/// Does one analysis. Collective. Returns what to write, and this rank's part of the tensors that are to be kept.
pub(super) fn analyse<'a, T: Real>(
    job: &'a Job,
    analysis: &'a Analysis,
    loaded: &'a Loaded<T>,
    lin: &'a Linearization<'a, T>,
    engine: &'a Engine,
    memos: &'a Memos<'a, T>,
    progress: &'a dyn Fn(usize, f64, f64),
) -> Result<Found<T>> {
    let work = || -> Result<Found<T>> {
        let make = |coupling| -> Result<Boxed<'a, T>> {
            let whole = operator(analysis.operator, lin, engine, coupling)?;
            if analysis.part.is_all() {
                return Ok(whole);
            }
            let owns = loaded.first == 0 && lin.shape().trajectories > 0;
            Ok(Box::new(OfPart::new(whole, &analysis.part, loaded.trajectories, owns, engine)?))
        };
        // A mean over trajectories is of the diagonal blocks alone.
        let all = make(if analysis.part.average { Coupling::PerTrajectory } else { Coupling::All })?;
        let diagonal = make(Coupling::PerTrajectory)?;
        // The same on every rank: by the largest part that any of them has.
        let most = loaded.trajectories.div_ceil(engine.grid().size()) * loaded.shape.per_trajectory();
        let shared = memos.of(analysis, most);
        let before = shared.map_or(0, Shared::computed);
        let sampled = matches!(analysis.method, Method::Hutchinson | Method::OneSided);
        let powers = analysis.quantity.described().told_degrees(sampled);
        let (scale, lost) = (Cell::new(0), Cell::new(false));
        let told = |m: usize, value: f64, error: f64| {
            let [value, error] = [(value, powers[0]), (error, powers[1])].map(|(x, d)| times_power(x, d * scale.get()));
            progress(m, value, error);
        };
        let (progress, scale): (&dyn Fn(usize, f64, f64), _) = (&told, &scale);
        let lengths = loaded.lengths().map(|lengths| super::part::lengths(&analysis.part, lengths));
        let setting = Setting {
            job,
            analysis,
            loaded,
            lin,
            engine,
            memos,
            shared,
            progress,
            scale,
            lost,
            all,
            diagonal,
            lengths,
        };
        let (mut record, tensors) = setting.analyse()?;
        setting.require_digits()?;
        record.computed = shared.map_or(record.matvecs, |s| s.computed() - before);
        Ok((record, tensors))
    };
    // Whatever fails, fails on all ranks alike: it depends on the sizes of the whole job only.
    work().map_err(|e| in_analysis(job, analysis, e))
}

impl<T: Real> Setting<'_, '_, T> {
    pub fn budget(&self, rtol: f64) -> Budget {
        Budget { rtol, max_matvecs: self.analysis.max_matvecs }
    }

    /// A problem of 2^-k of an operator that is of this analysis's kind.
    pub fn problem<'p>(&'p self, op: &'p Boxed<'_, T>) -> Problem<'p, T> {
        self.plain(op).with_exponent(self.exponent())
    }

    /// A problem of an operator as it is.
    pub fn plain<'p>(&'p self, op: &'p Boxed<'_, T>) -> Problem<'p, T> {
        let Self { loaded, engine, job, .. } = *self;
        let trajectories = match self.analysis.part.average {
            true => (usize::from(op.domain().trajectories == 0), 1),
            false => (loaded.first, loaded.trajectories),
        };
        Problem::new(&**op, engine, trajectories, job.seed, loaded.block, self.progress)
            .with_lengths(self.lengths.as_deref())
    }

    /// The operator.
    pub fn all(&self) -> Problem<'_, T> {
        self.problem(&self.all).with_memo(self.shared.map(|s| &s.all))
    }

    /// Its block diagonal over trajectories.
    pub fn diagonal(&self) -> Problem<'_, T> {
        self.problem(&self.diagonal).with_memo(self.shared.map(|s| &s.diagonal))
    }

    /// Calls `f` with the problem of Fᵀ, or of F, of A = FFᵀ, and whether every rank holds all of what Fᵀ writes.
    pub fn one_sided<R>(&self, forward: bool, f: impl FnOnce(&Problem<'_, T>, bool) -> R) -> Result<R> {
        let Self { lin, engine, .. } = *self;
        let which = self.analysis.operator;
        let made = if forward { factor(which, lin, engine) } else { factor_adjoint(which, lin, engine) };
        let (op, replicated) = made.ok_or_else(|| Error::usage("method = \"one_sided\" is for A = FFᵀ"))?;
        // A = F Fᵀ: half of its exponent.
        let half = self.exponent() / 2;
        let mut problem = self.plain(&op).with_exponent(half);
        if replicated {
            // Changes of the weights are the same on every rank.
            let [state, weights] = self.back(true);
            problem = match forward {
                true => Problem::new(&*op, engine, (0, 1), self.job.seed, self.loaded.block, self.progress)
                    .with_rows(weights, state)
                    .with_exponent(half),
                false => problem.with_rows(state, weights),
            };
        }
        let memo = self.shared.map(|s| if forward { &s.forward } else { &s.reverse });
        Ok(f(&problem.with_memo(memo), replicated))
    }

    /// The size of Fᵀ's products, where A = F Fᵀ. Collective.
    pub fn factor_size(&self) -> f64 {
        let made = factor_adjoint(self.analysis.operator, self.lin, self.engine);
        made.map_or(0.0, |(op, replicated)| {
            let [state, written] = self.back(replicated);
            size(&self.plain(&op).with_rows(state, written))
        })
    }

    /// The rows that Fᵀ reads and writes here: a change of the weights is one row, which every rank holds.
    pub fn back(&self, replicated: bool) -> [Rows; 2] {
        let grid = self.engine.grid();
        let states = Rows { first: self.loaded.first, total: self.loaded.trajectories, own: grid.is_first() };
        [states, if replicated { Rows { first: 0, total: 1, own: grid.is_root() } } else { states }]
    }

    /// Whether the whole matrix is the cheapest way.
    pub fn small(&self) -> bool {
        self.plain(&self.all).len() <= SMALL.min(self.analysis.max_matvecs)
    }

    /// Whether the whole matrix is to be made: asked for, or best.
    pub fn by_matrix(&self) -> bool {
        match self.analysis.method {
            Method::Dense => true,
            Method::Auto => self.small(),
            _ => false,
        }
    }

    pub fn dense(&self) -> Result<DenseSpectrum> {
        crate::estimate::dense(&self.all())
    }

    fn analyse(&self) -> Result<Found<T>> {
        let symmetric = self.analysis.operator.symmetric();
        match self.analysis.quantity {
            Quantity::Trace => self.scalar(self.trace(self.analysis.method, self.budget(self.analysis.rtol))?),
            Quantity::Frobenius if !symmetric => self.scalar(self.frobenius_of_any()?),
            Quantity::Frobenius => self.scalar(self.frobenius(self.budget(self.analysis.rtol))?),
            Quantity::EffectiveRank => self.scalar(self.effective_rank()?),
            Quantity::StableRank => self.scalar(self.stable_rank()?),
            Quantity::Alignment => self.scalar(self.alignment()?),
            Quantity::Norm if !symmetric => self.scalar(self.norm_of_any()?),
            Quantity::Norm => self.scalar(self.norm()?),
            Quantity::Eigenpairs => self.eigenpairs(),
            Quantity::SingularTriplets => self.singular_triplets(),
            Quantity::Learnability => self.learnability(),
            Quantity::Lyapunov => self.lyapunov(),
            Quantity::LogDet => self.scalar(self.log_det()?),
            Quantity::EntropyRank => self.scalar(self.entropy_rank()?),
            Quantity::Density => self.density(),
            Quantity::Matrix => self.matrix(),
            Quantity::Marginal => self.marginal(),
            Quantity::Blocks => self.blocks(),
        }
    }

    /// What to write of a number.
    pub fn scalar(&self, (estimate, method): (Estimate, Method)) -> Result<Found<T>> {
        require_finite::<T>(estimate.stop, estimate.value)?;
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
        Ok((record, Vec::new()))
    }
}

/// An overflow is not a result: it ends the run with what to do about it. The same on every rank, as the sums are.
pub(super) fn require_finite<T: Real>(stop: StopReason, value: f64) -> Result<()> {
    if stop == StopReason::Overflow || !value.is_finite() {
        return Err(Error::run(format!("the operator's products leave the range: {}", beyond::<T>())));
    }
    Ok(())
}

/// Whether an operator has closed forms, and which.
pub fn closed(which: Operator) -> Option<crate::estimate::Closed> {
    use crate::estimate::Closed;
    match which {
        Operator::Ntk => Some(Closed::Ntk),
        Operator::Parameter => Some(Closed::Parameter),
        Operator::PropagatorGram => Some(Closed::PropagatorGram),
        _ => None,
    }
}
