//! Traces, norms of Frobenius, the ranks that are their ratios, and alignments.

use super::analyse::{closed, require_finite, Setting};
use super::operators::{factor_adjoint, operator};
use super::range::{restored, Exponent};
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::estimate::{self, Budget, Closed, Estimate, Exact, Memo, Problem, SecondMoment, StopReason};
use crate::job::{Job, Method, Operator};
use crate::model::Loaded;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::Coupling;

type Chose = (Estimate, Method);

/// A rank of an operator that is positive semidefinite: where it is not 0 it is at least 1,
/// whatever samples and rounding say.
pub(super) fn at_least_one((found, method): Chose) -> Chose {
    let value = if found.value > 0.0 { found.value.max(1.0) } else { found.value };
    (Estimate { value, ..found }, method)
}

impl<T: Real> Setting<'_, '_, T> {
    /// Flops of all products that may be spent: what an exact method may cost before an estimate is better.
    fn affordable(&self) -> f64 {
        self.analysis.max_matvecs as f64 * self.loaded.product_flops
    }

    /// The closed form of the trace and what it costs in products, where there is one.
    fn exact_trace(&self) -> Option<(Closed, f64)> {
        let which = closed(self.analysis.operator).filter(|_| self.analysis.part.is_all())?;
        let flops = estimate::exact_trace_flops(self.lin, self.loaded.trajectories, which)?;
        // P has no Kronecker core between its sweeps, but costs of the same order.
        Some((which, flops / self.loaded.product_flops))
    }

    pub fn trace(&self, method: Method, budget: Budget) -> Result<Chose> {
        let exact = |which| estimate::exact_trace(self.lin, self.engine, which);
        let by_trajectories = closed(self.analysis.operator).is_some() && !self.analysis.part.average;
        let found = match method {
            Method::Auto if self.exact_trace().is_some_and(|(_, products)| products <= 1.0) => {
                return self.trace(Method::Exact, budget);
            }
            Method::Auto if self.small() => return self.trace(Method::Dense, budget),
            Method::Auto if !by_trajectories => return self.trace(Method::Xnystrace, budget),
            Method::Auto => {
                let form = self.exact_trace();
                let k = self.exponent();
                let run = || exact(form.map_or(Closed::Ntk, |f| f.0)).map(|e| restored(e, -k));
                let exact = form.map(|(_, products)| Exact { products, run: &run });
                let found = estimate::auto(&self.diagonal(), &budget, exact)?;
                let method = match found.stop {
                    StopReason::Exact => Method::Exact,
                    _ => Method::PerTrajectoryXnystrace,
                };
                return Ok((self.up(found), method));
            }
            Method::Exact => {
                let found = exact(closed(self.analysis.operator).unwrap_or(Closed::Ntk))?;
                return Ok((self.in_range(found), method));
            }
            Method::Dense => self.dense()?.trace(),
            Method::PerTrajectory => estimate::per_trajectory(&self.diagonal(), &budget),
            Method::PerTrajectoryXnystrace => estimate::per_trajectory_xnystrace(&self.diagonal(), &budget)?,
            Method::Hutchpp => estimate::hutchpp(&self.all(), &budget)?,
            Method::Nystrompp => estimate::nystrompp(&self.all(), &budget)?,
            Method::Xtrace => estimate::xtrace(&self.all(), &budget)?,
            Method::Xnystrace => estimate::xnystrace(&self.all(), &budget)?,
            Method::OneSided if self.analysis.forward => self.one_sided(true, |p, _| estimate::forward(p, &budget))?,
            Method::OneSided => self.one_sided(false, |p, replicated| estimate::reverse(p, &budget, replicated))?,
            _ => estimate::hutchinson(&self.all(), &budget),
        };
        Ok((self.up(found), method))
    }

    pub fn frobenius(&self, budget: Budget) -> Result<Chose> {
        let k = self.analysis.operator == Operator::Parameter && self.analysis.part.is_all();
        let flops = estimate::exact_frobenius_flops(self.lin, self.loaded.trajectories).filter(|_| k);
        let method = match self.analysis.method {
            Method::Auto if flops.is_some_and(|f| f <= self.affordable()) => Method::Exact,
            Method::Auto if self.small() => Method::Dense,
            Method::Auto => Method::Hutchpp,
            other => other,
        };
        let found = match method {
            Method::Exact => {
                let found = estimate::exact_frobenius(self.lin, self.engine)?;
                return Ok((self.in_range(found), method));
            }
            Method::Dense => self.dense()?.frobenius(),
            Method::Hutchpp => estimate::frobenius_deflated(&self.all(), &budget)?,
            Method::OneSided => self.pairs(SecondMoment::Frobenius, budget.rtol)?,
            _ => estimate::frobenius(&self.all(), &budget),
        };
        Ok((self.up(found), method))
    }

    fn pairs(&self, what: SecondMoment, rtol: f64) -> Result<Estimate> {
        let budget = self.budget(rtol);
        self.one_sided(false, |p, replicated| estimate::pair_statistic(p, &budget, what, replicated))
    }

    /// ‖P‖_F² = tr P Pᵀ has a closed form; ‖P⁻¹‖_F is sampled.
    pub fn frobenius_of_any(&self) -> Result<Chose> {
        let flops = estimate::exact_trace_flops(self.lin, self.loaded.trajectories, Closed::PropagatorGram);
        let known = self.analysis.operator == Operator::Propagator && flops.is_some_and(|f| f <= self.affordable());
        if self.analysis.method == Method::Auto && known {
            let square = estimate::exact_trace(self.lin, self.engine, Closed::PropagatorGram)?.value;
            // Where the square leaves the range, the norm itself need not.
            if square.is_finite() {
                return Ok((Estimate::exact(square.sqrt(), 0), Method::Exact));
            }
        }
        let found = estimate::frobenius(&self.all(), &self.budget(self.analysis.rtol));
        Ok((self.up(found), Method::Hutchinson))
    }

    pub fn effective_rank(&self) -> Result<Chose> {
        self.effective_rank_found().map(at_least_one)
    }

    fn effective_rank_found(&self) -> Result<Chose> {
        let a = self.analysis;
        match a.method {
            _ if self.by_matrix() => return Ok((self.dense()?.effective_rank(), Method::Dense)),
            Method::Hutchinson => {
                return Ok((estimate::effective_rank_sampled(&self.all(), &self.budget(a.rtol)), a.method));
            }
            Method::OneSided => return Ok((self.pairs(SecondMoment::EffectiveRank, a.rtol)?, a.method)),
            _ => {}
        }
        // The rank's relative error is twice its parts': an exact trace leaves all of it, and of the products, to the norm.
        let all = self.budget(a.rtol / 8f64.sqrt());
        let (trace, _) = self.trace(Method::Auto, Budget { max_matvecs: all.max_matvecs.div_ceil(3), ..all })?;
        let rest = match trace.stop {
            StopReason::Exact => Budget { rtol: a.rtol / 2.0, ..all },
            _ => Budget { max_matvecs: all.max_matvecs - all.max_matvecs.div_ceil(3), ..all },
        };
        let (norm, method) = self.frobenius(rest)?;
        Ok((estimate::effective_rank(&trace, &norm, a.rtol), method))
    }

    pub fn stable_rank(&self) -> Result<Chose> {
        self.stable_rank_found().map(at_least_one)
    }

    fn stable_rank_found(&self) -> Result<Chose> {
        let a = self.analysis;
        if self.by_matrix() {
            let spectrum = self.dense()?;
            let (norm, frobenius) = (spectrum.norm(), spectrum.frobenius());
            return Ok((estimate::stable_rank(&frobenius, &norm, a.rtol), Method::Dense));
        }
        // A third of the products for the norm, which converges fast and shares the first of them with the sketch.
        let all = self.budget(a.rtol / 8f64.sqrt());
        let (norm, _) = self.norm_to(Budget { max_matvecs: all.max_matvecs.div_ceil(3), ..all })?;
        let rest = Budget { max_matvecs: all.max_matvecs - all.max_matvecs.div_ceil(3), ..all };
        let (frobenius, method) = self.frobenius(rest)?;
        Ok((estimate::stable_rank(&frobenius, &norm, a.rtol), method))
    }

    /// ⟨A, B⟩/(‖A‖‖B‖), B the same operator of the same model with other weights on the same inputs.
    pub fn alignment(&self) -> Result<Chose> {
        let a = self.analysis;
        let Some(with) = &a.with else { return Err(Error::usage("with is missing")) };
        let mut model = self.job.model.clone();
        model.weights.clone_from(&with.path);
        let job = Job { model, ..self.job.clone() };
        let other = Loaded::<T>::load_on(self.loaded.inputs(), &job, self.engine)?;
        if other.shape != self.loaded.shape {
            let (found, expected) = (other.shape, self.loaded.shape);
            return Err(Error::input(&with.path, format!("makes a state of shape {found}; it is {expected} here")));
        }
        other.linearized(other.weights(), self.engine, |lin| {
            let finite = other.state(lin).iter().all(|x| x.is_finite());
            let wrong = || Error::input(&with.path, "the state overflows on these inputs");
            self.engine.grid().agree(if finite { Ok(()) } else { Err(wrong()) })?;
            self.align(lin, other.content(self.engine.grid()).weights)
        })?
    }

    fn align(&self, lin: &Linearization<'_, T>, fingerprint: u64) -> Result<Chose> {
        let a = self.analysis;
        let budget = self.budget(a.rtol);
        let second = operator(a.operator, lin, self.engine, Coupling::All)?;
        let trajectories = (self.loaded.first, self.loaded.trajectories);
        let plain = |op| {
            Problem::new(op, self.engine, trajectories, self.job.seed, self.loaded.block, self.progress)
                .with_lengths(self.lengths.as_deref())
        };
        // Of another size, perhaps: its exponent is its own.
        let blocks = operator(a.operator, lin, self.engine, Coupling::PerTrajectory)?;
        let Exponent { k, lost } = Exponent::of(&plain(&*blocks));
        self.lost.set(self.lost.get() || lost);
        let problem = |op, k: i32| plain(op).with_exponent(k);
        let known = |what: &str| {
            let name = format!("{what} of {} with weights {fingerprint:x}", a.operator.name());
            Memo::journaled(0, &self.memos.journal, &name)
        };
        let memos = [known("all"), known("reverse")];
        let (first, other) = (self.all(), problem(&*second, k).with_memo(Some(&memos[0])));
        if self.by_matrix() {
            let (x, y) = (self.dense()?, estimate::dense(&other)?);
            let inner: f64 = x.matrix.iter().zip(&y.matrix).map(|(x, y)| x * y).sum();
            let norms = x.frobenius().value * y.frobenius().value;
            let value = if norms > 0.0 { inner / norms } else { 0.0 };
            return Ok((Estimate::exact(value, first.len()), Method::Dense));
        }
        if a.method == Method::OneSided {
            let back = factor_adjoint(a.operator, lin, self.engine);
            let (back, replicated) = back.ok_or_else(|| Error::usage("method = \"one_sided\" is for A = FFᵀ"))?;
            let [state, written] = self.back(replicated);
            let other = problem(&*back, k / 2).with_memo(Some(&memos[1])).with_rows(state, written);
            let found =
                self.one_sided(false, |p, replicated| estimate::pair_alignment(p, &other, &budget, replicated))?;
            return Ok((found, a.method));
        }
        let deflate = a.method != Method::Hutchinson;
        let found = estimate::alignment(&first, &other, &budget, deflate);
        require_finite::<T>(found.stop, found.value)?;
        Ok((found, if deflate { Method::Hutchpp } else { Method::Hutchinson }))
    }
}
