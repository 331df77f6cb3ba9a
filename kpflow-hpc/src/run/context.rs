//! What an analysis works with in a run: operators, their products and closed forms, with numbers.

mod exact;
mod given;

use super::operators::{get_or_make, Memos, Operators, Shared};
use super::range::{size, Exponent};
use super::signal::by_unit;
use crate::analysis::{self, of_part, Asked, Boxed, Context, Form, Side, View};
use crate::closed;
use crate::engine::{Engine, Real};
use crate::error::{Error, Result};
use crate::job::{Analysis, Job};
use crate::journal::Rows;
use crate::model::Loaded;
use crate::products::{Memo, OverRanks, Products};
use kpflow_core::model::Linearization;
use kpflow_core::ntk::Coupling;
use kpflow_core::LinearOperator;
use kpflow_estimate::{DenseSpectrum, Estimate, Problem, StopReason, Tall, Wanted};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// The other model of an alignment.
pub(super) struct Other<'a, T> {
    pub lin: &'a Linearization<'a, T>,
    /// What its products are known by.
    pub weights: u64,
}

/// What one analysis has to do with.
pub(super) struct Running<'a, T> {
    job: &'a Job,
    analysis: &'a Analysis,
    asked: Asked,
    loaded: &'a Loaded<T>,
    lin: &'a Linearization<'a, T>,
    engine: &'a Engine,
    shared: Option<&'a Shared<T>>,
    progress: &'a dyn Fn(usize, f64, f64),
    /// δ of its products.
    delta: f64,
    /// The power of two by which the operator is scaled, once it is known.
    scale: &'a Cell<i32>,
    exponent: OnceCell<Exponent>,
    /// Whether products have vanished.
    lost: Cell<bool>,
    operators: Operators<'a, T>,
    other: Option<Other<'a, T>>,
    other_exponent: OnceCell<i32>,
    other_memos: [Memo<T>; 3],
    /// How many steps each trajectory has of what the operator acts on, where they differ.
    lengths: Option<Vec<usize>>,
}

impl<'a, T: Real> Running<'a, T> {
    /// Makes the operators of an analysis. Collective.
    pub fn new(
        job: &'a Job,
        analysis: &'a Analysis,
        (loaded, lin, engine): (&'a Loaded<T>, &'a Linearization<'a, T>, &'a Engine),
        (memos, delta): (&Memos<'_, T>, f64),
        shared: Option<&'a Shared<T>>,
        other: Option<Other<'a, T>>,
        (progress, scale): (&'a dyn Fn(usize, f64, f64), &'a Cell<i32>),
    ) -> Result<Self> {
        let make = |coupling| -> Result<Boxed<'a, T>> {
            let owns = loaded.first == 0 && lin.shape().trajectories > 0;
            of_part(analysis.operator.make(lin, engine, coupling)?, &analysis.part, loaded.trajectories, owns, engine)
        };
        // A mean over trajectories is of the diagonal blocks alone.
        let all = make(if analysis.part.average { Coupling::PerTrajectory } else { Coupling::All })?;
        let operators = Operators::new(all, make(Coupling::PerTrajectory)?);
        let known = |what: &str| {
            let weights = other.as_ref().map_or(0, |o| o.weights);
            let name = format!("{what} of {} with weights {weights:x}", analysis.operator.name());
            Memo::journaled(0, &memos.journal, &name)
        };
        let other_memos = [known("all"), known("reverse"), known("forward")];
        Ok(Self {
            job,
            analysis,
            asked: job.asked(analysis),
            loaded,
            lin,
            engine,
            shared,
            progress,
            delta,
            scale,
            exponent: OnceCell::new(),
            lost: Cell::new(false),
            operators,
            other,
            other_exponent: OnceCell::new(),
            other_memos,
            lengths: loaded.lengths().map(|lengths| analysis.part.lengths(lengths)),
        })
    }

    /// A problem of an operator as it is.
    fn problem<'p>(
        &'p self,
        op: &'p dyn LinearOperator<T>,
        memo: Option<&'p Memo<T>>,
        rows: Option<[Rows; 2]>,
    ) -> Problem<'p, T, Engine> {
        let Self { loaded, engine, job, .. } = *self;
        let share = match self.asked.average {
            true => (usize::from(op.domain().trajectories == 0), 1),
            false => (loaded.first, loaded.trajectories),
        };
        let own = Rows { first: share.0, total: share.1, own: engine.grid().is_first() };
        let products = Products::new(op, engine, memo, rows.unwrap_or([own; 2]));
        Problem::of(Box::new(products), engine, share, job.seed, loaded.block, self.progress)
            .with_sums(OverRanks::new(engine, memo.and_then(Memo::journal)))
            .with_lengths(self.lengths.as_deref())
    }

    /// The problem of Fᵀ, of which every rank may hold all that it writes.
    fn back<'p>(&'p self, op: &'p dyn LinearOperator<T>, memo: Option<&'p Memo<T>>) -> Problem<'p, T, Engine> {
        let replicated = self.asked.operator.from_weights();
        self.problem(op, memo, Some(self.rows(replicated))).with_replicated_image(replicated)
    }

    /// The problem of an operator that reads changes of the weights, the same on every rank.
    fn of_weights<'p>(
        &'p self,
        op: &'p dyn LinearOperator<T>,
        memo: Option<&'p Memo<T>>,
        writes: Rows,
    ) -> Problem<'p, T, Engine> {
        let [_, weights] = self.rows(true);
        let products = Products::new(op, self.engine, memo, [weights, writes]);
        let (seed, block) = (self.job.seed, self.loaded.block);
        Problem::of(Box::new(products), self.engine, (0, 1), seed, block, self.progress)
            .with_sums(OverRanks::new(self.engine, memo.and_then(Memo::journal)))
    }

    fn factor(&self, lin: &'a Linearization<'a, T>) -> Result<Boxed<'a, T>> {
        let made = self.asked.operator.factor(lin, self.engine);
        made.ok_or_else(|| Error::usage("method = \"one_sided\" is for A = FFᵀ"))
    }

    /// The rows that Fᵀ reads and writes here: a change of the weights is one row, which every rank holds.
    fn rows(&self, replicated: bool) -> [Rows; 2] {
        let grid = self.engine.grid();
        let states = Rows { first: self.loaded.first, total: self.loaded.trajectories, own: grid.is_first() };
        [states, if replicated { Rows { first: 0, total: 1, own: grid.is_root() } } else { states }]
    }

    fn factor_adjoint(&self, lin: &'a Linearization<'a, T>) -> Result<Boxed<'a, T>> {
        let made = self.asked.operator.factor_adjoint(lin, self.engine);
        made.ok_or_else(|| Error::usage("method = \"one_sided\" is for A = FFᵀ"))
    }

    fn other(&self) -> Result<&Other<'a, T>> {
        self.other.as_ref().ok_or_else(|| Error::usage("with is missing"))
    }

    /// k of the other model's operator, which is of another size, perhaps.
    fn other_exponent(&self) -> Result<i32> {
        get_or_make(&self.other_exponent, || {
            let blocks = self.asked.operator.make(self.other()?.lin, self.engine, Coupling::PerTrajectory)?;
            let found = Exponent::of(&self.problem(&*blocks, None, None), self.engine)?;
            self.lost.set(self.lost.get() || found.lost);
            Ok(found.k)
        })
        .copied()
    }

    /// The size of Fᵀ's products, where A = F Fᵀ. Collective.
    fn factor_size(&self) -> Result<f64> {
        match self.asked.operator.has_factor() {
            true => size(&self.back(&*self.factor_adjoint(self.lin)?, None), self.engine),
            false => Ok(0.0),
        }
    }

    /// Fails where an estimate was of products that have lost their digits.
    pub fn require_digits(&self) -> Result<()> {
        match self.lost.get() {
            true => Err(Error::run(format!("the operator's products vanish: {}", super::range::beyond::<T>()))),
            false => Ok(()),
        }
    }

    /// k, if it was asked for.
    pub fn known_exponent(&self) -> i32 {
        self.exponent.get().map_or(0, |e| e.k)
    }

    /// Takes note of an exact number: its digits may be below the range, and one that is 0 may have vanished.
    pub fn look_at(&self, value: f64) -> Result<()> {
        match value.abs() {
            0.0 => self.exponent().map(drop),
            x => {
                self.lost.set(self.lost.get() || x < f64::from(super::range::least::<T>()).exp2());
                Ok(())
            }
        }
    }
}

impl<'a, T: Real> Context for Running<'a, T> {
    type Block = Tall<T>;
    type Space<'s>
        = Problem<'s, T, Engine>
    where
        Self: 's;

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn space(&self, view: View) -> Result<Problem<'_, T, Engine>> {
        let (o, shared, operator) = (&self.operators, self.shared, self.asked.operator);
        let k = match view {
            View::Other | View::OtherBack | View::OtherForward => self.other_exponent()?,
            View::Raw | View::RawAdjoint => 0,
            View::All
            | View::Diagonal
            | View::Back
            | View::Forward
            | View::Gram
            | View::Adjoint
            | View::Plain
            | View::Entries
            | View::Weights => self.exponent()?,
        };
        let gram = || {
            get_or_make(&o.gram, || {
                let made = operator.gram_and_adjoint(self.lin, self.engine);
                made.ok_or_else(|| Error::usage("is for operators that are not symmetric"))
            })
        };
        Ok(match view {
            View::Raw => self.problem(&*o.all, shared.map(|s| &s.all), None),
            View::RawAdjoint => self.problem(&*gram()?[1], shared.map(|s| &s.reverse), None),
            View::All => self.problem(&*o.all, shared.map(|s| &s.all), None).with_exponent(k),
            View::Diagonal => self.problem(&*o.diagonal, shared.map(|s| &s.diagonal), None).with_exponent(k),
            // A = F Fᵀ: half of its exponent.
            View::Back => {
                let op = get_or_make(&o.back, || self.factor_adjoint(self.lin))?;
                self.back(&**op, shared.map(|s| &s.reverse)).with_exponent(k / 2)
            }
            View::Forward => {
                let op = get_or_make(&o.forward, || self.factor(self.lin))?;
                let (memo, replicated) = (shared.map(|s| &s.forward), operator.from_weights());
                let problem = match replicated {
                    true => self.of_weights(&**op, memo, self.rows(true)[0]),
                    false => self.problem(&**op, memo, None),
                };
                problem.with_exponent(k / 2)
            }
            View::Entries => self.problem(&*o.all, shared.map(|s| &s.entries), None).with_exponent(k),
            View::Weights => {
                let op = get_or_make(&o.weights, || {
                    let made = operator.normal(self.lin, self.engine);
                    made.ok_or_else(|| Error::usage("is for A = FFᵀ with F from the weights"))
                })?;
                self.of_weights(&**op, shared.map(|s| &s.weights), self.rows(true)[1]).with_exponent(k)
            }
            View::Gram => self.problem(&*gram()?[0], shared.map(|s| &s.gram), None).with_exponent(2 * k),
            View::Adjoint => self.problem(&*gram()?[1], shared.map(|s| &s.reverse), None).with_exponent(k),
            View::Plain => self.problem(&*o.all, shared.map(|s| &s.forward), None).with_exponent(k),
            View::Other => {
                let op = get_or_make(&o.other, || operator.make(self.other()?.lin, self.engine, Coupling::All))?;
                self.problem(&**op, Some(&self.other_memos[0]), None).with_exponent(k)
            }
            View::OtherBack => {
                let op = get_or_make(&o.other_back, || self.factor_adjoint(self.other()?.lin))?;
                self.back(&**op, Some(&self.other_memos[1])).with_exponent(k / 2)
            }
            View::OtherForward => {
                let op = get_or_make(&o.other_forward, || self.factor(self.other()?.lin))?;
                self.of_weights(&**op, Some(&self.other_memos[2]), self.rows(true)[0]).with_exponent(k / 2)
            }
        })
    }

    fn exponent(&self) -> Result<i32> {
        let find = || -> Result<Exponent> {
            // The diagonal blocks are of the operator's size, and need no sum over ranks.
            let size = size(&self.problem(&*self.operators.diagonal, None, None), self.engine)?;
            // A product that is 0 where its factor's is not has vanished.
            let vanished = size == 0.0 && self.factor_size()? > 0.0;
            let found = Exponent::from_size::<T>(size);
            Ok(Exponent { lost: found.lost || vanished, ..found })
        };
        let shared = self.shared.map(|s| &s.exponent);
        let found = *get_or_make(&self.exponent, || match shared {
            Some(shared) => get_or_make(shared, find).copied(),
            None => find(),
        })?;
        self.lost.set(self.lost.get() || found.lost);
        self.scale.set(found.k);
        Ok(found.k)
    }

    fn delta(&self) -> f64 {
        self.delta
    }

    fn shape(&self) -> [usize; 3] {
        [self.loaded.trajectories, self.loaded.shape.steps, self.loaded.shape.units]
    }

    fn product_flops(&self) -> f64 {
        self.loaded.product_flops
    }

    fn closed_flops(&self, form: Form) -> Option<f64> {
        match form {
            Form::Trace(which) => closed::exact_trace_flops(self.lin, self.loaded.trajectories, which),
            Form::Frobenius => closed::exact_frobenius_flops(self.lin, self.loaded.trajectories),
        }
    }

    fn closed(&self, form: Form) -> Result<Estimate> {
        let found = match form {
            Form::Trace(which) => closed::exact_trace(self.lin, self.engine, which)?,
            Form::Frobenius => closed::exact_frobenius(self.lin, self.engine)?,
        };
        self.look_at(found.value)?;
        if found.value.is_finite() {
            return Ok(found);
        }
        // Weights whose traces and norms no double holds.
        Ok(Estimate { standard_error: f64::INFINITY, stop: StopReason::Overflow, ..found })
    }

    fn lyapunov(&self) -> Result<Vec<f64>> {
        let local = closed::lyapunov(self.lin, self.engine)?;
        let mut all = vec![0.0; self.loaded.trajectories * self.loaded.shape.units];
        self.engine.grid().gather(&local, &mut all);
        Ok(all)
    }

    fn signal(&self) -> Result<(Tall<T>, i32)> {
        let (e, k) = self.tensor()?;
        // The core acts on positions: every unit's signal is a vector of them.
        Ok((if self.asked.operator.about().on_state { e } else { by_unit(&e) }, k))
    }

    fn parts(&self) -> (Vec<usize>, usize) {
        crate::network::parts(&self.loaded.network().watched(), self.loaded.shape.per_trajectory())
    }

    fn vectors(&self) -> Result<(Tall<T>, bool)> {
        self.given(true)
    }

    fn exact_flops(&self) -> Option<f64> {
        analysis::matrix::flops(&self.asked, &self.analysis.part, self.lin, self.loaded.trajectories)
    }

    fn exact_rows(&self) -> Result<closed::Rows> {
        self.matrix_rows()
    }

    fn keeps_whole(&self, bytes: usize) -> bool {
        bytes as f64 <= self.job.parts * 1048576.0
    }

    fn has_other_inputs(&self) -> bool {
        !self.job.other_inputs.is_empty()
    }

    fn exact_other_rows(&self) -> Result<(closed::Rows, usize)> {
        self.matrix_rows_with_others()
    }

    fn rows_block(&self, rows: closed::Rows, columns: usize) -> Result<Tall<T>> {
        Ok(self.columns_of(&rows, columns))
    }

    fn kept(&self, side: Side, _: Wanted, make: impl FnOnce() -> Result<DenseSpectrum>) -> Result<Rc<DenseSpectrum>> {
        let Some(shared) = self.shared else { return make().map(Rc::new) };
        let cell = &shared.exact[side as usize];
        if cell.borrow().is_none() {
            let made = Rc::new(make()?);
            cell.replace(Some(made));
        }
        let found = cell.borrow().clone();
        found.ok_or_else(|| Error::run("a matrix was not made"))
    }
}
