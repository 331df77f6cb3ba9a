//! The operators that an analysis names, and what all analyses of a job share of their products.

use super::range::Exponent;
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::estimate::Memo;
use crate::job::{Analysis, Job, Operator};
use crate::journal::Journal;
use kpflow_core::machine::Machine;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{
    Constraint, Coupling, KroneckerCore, Ntk, ParameterJacobian, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::{Adjoint, Gram};
use kpflow_core::LinearOperator;
use std::cell::OnceCell;
use std::rc::Rc;

/// An operator, whatever it is made of.
pub type Boxed<'a, T> = Box<dyn LinearOperator<T> + 'a>;

/// Makes an operator: whole, or its block diagonal over trajectories. Collective.
pub fn operator<'a, T: Real, M: Machine<T>>(
    which: Operator,
    lin: &'a Linearization<'a, T>,
    engine: &'a M,
    coupling: Coupling,
) -> Result<Boxed<'a, T>> {
    let side = Side::cheaper(engine.sum_count(lin.shape().trajectories), engine.sum_count(1));
    Ok(match which {
        Operator::Ntk => Box::new(Ntk::with(lin, engine, coupling, side)),
        Operator::Parameter => Box::new(ParameterOperator::with(lin, engine, coupling, side)),
        // P is block diagonal over trajectories already.
        Operator::PropagatorGram => Box::new(Gram(Propagator::new(lin, engine))),
        Operator::Propagator => Box::new(Propagator::new(lin, engine)),
        Operator::Constraint => Box::new(Constraint::new(lin, engine)),
        Operator::Core => Box::new(KroneckerCore::new(lin, engine).ok_or_else(|| {
            Error::usage(
                "operator = \"core\" is for models whose weights all act once a step, as matrices; take parameter",
            )
        })?),
    })
}

/// A Aᵀ and Aᵀ of an operator that is not symmetric.
pub fn gram_and_adjoint<'a, T: Real, M: Machine<T>>(
    which: Operator,
    lin: &'a Linearization<'a, T>,
    engine: &'a M,
) -> (Boxed<'a, T>, Boxed<'a, T>) {
    match which {
        Operator::Constraint => {
            (Box::new(Gram(Constraint::new(lin, engine))), Box::new(Adjoint(Constraint::new(lin, engine))))
        }
        _ => (Box::new(Gram(Propagator::new(lin, engine))), Box::new(Adjoint(Propagator::new(lin, engine)))),
    }
}

/// F with A = F Fᵀ, and whether every rank holds all of what Fᵀ writes.
pub fn factor<'a, T: Real, M: Machine<T>>(
    which: Operator,
    lin: &'a Linearization<'a, T>,
    engine: &'a M,
) -> Option<(Boxed<'a, T>, bool)> {
    match which {
        Operator::Ntk => Some((Box::new(ParameterJacobian::total(lin, engine)), true)),
        Operator::Parameter => Some((Box::new(ParameterJacobian::immediate(lin, engine)), true)),
        Operator::PropagatorGram => Some((Box::new(Propagator::new(lin, engine)), false)),
        _ => None,
    }
}

/// Fᵀ, and whether every rank holds all of what it writes.
pub fn factor_adjoint<'a, T: Real, M: Machine<T>>(
    which: Operator,
    lin: &'a Linearization<'a, T>,
    engine: &'a M,
) -> Option<(Boxed<'a, T>, bool)> {
    match which {
        Operator::Ntk => Some((Box::new(Adjoint(ParameterJacobian::total(lin, engine))), true)),
        Operator::Parameter => Some((Box::new(Adjoint(ParameterJacobian::immediate(lin, engine))), true)),
        Operator::PropagatorGram => Some((Box::new(Adjoint(Propagator::new(lin, engine))), false)),
        _ => None,
    }
}

/// Bytes of products that a rank keeps for later analyses, at most.
const KEPT_BYTES: usize = 1 << 30;

/// The products of one operator: of all of it, of its block diagonal, of its factor back and forward, and of its Gram operator.
pub(super) struct Shared<T> {
    pub all: Memo<T>,
    pub diagonal: Memo<T>,
    pub reverse: Memo<T>,
    pub forward: Memo<T>,
    pub gram: Memo<T>,
    /// The power of two by which it is scaled.
    pub exponent: OnceCell<Exponent>,
}

impl<T: Real> Shared<T> {
    /// Memos of at most `capacity` vectors each.
    fn new(capacity: usize, journal: &Rc<Journal>, name: &str) -> Self {
        let memo = |what: &str| Memo::journaled(capacity, journal, &format!("{what} of {name}"));
        Self {
            all: memo("all"),
            diagonal: memo("diagonal"),
            reverse: memo("reverse"),
            forward: memo("forward"),
            gram: memo("gram"),
            exponent: OnceCell::new(),
        }
    }

    /// Products that were computed, two sweeps for one.
    pub fn computed(&self) -> usize {
        let sweeps = self.reverse.computed() + self.forward.computed();
        self.all.computed() + self.diagonal.computed() + self.gram.computed() + sweeps.div_ceil(2)
    }
}

/// What the analyses of a job share: the products of an operator that two or more of them are of are kept. Those of the others are not, but written down.
pub(super) struct Memos<'a, T> {
    job: &'a Job,
    pub journal: Rc<Journal>,
    list: Vec<(String, OnceCell<Shared<T>>)>,
}

/// What the operator of an analysis is known by: a part of it is another operator.
fn known_as(a: &Analysis) -> String {
    match a.part.is_all() {
        true => a.operator.name().into(),
        false => format!("{} in {}", a.operator.name(), a.name),
    }
}

impl<'a, T: Real> Memos<'a, T> {
    /// Makes memos for every operator of a job.
    pub fn new(job: &'a Job, journal: Journal) -> Self {
        let mut names: Vec<String> = job.analyses.iter().map(known_as).collect();
        names.sort();
        names.dedup();
        let list = names.into_iter().map(|n| (n, OnceCell::new())).collect();
        Self { job, journal: Rc::new(journal), list }
    }

    /// The memos of an analysis's operator, for vectors of `n` numbers on a rank at most.
    pub fn of(&self, a: &Analysis, n: usize) -> Option<&Shared<T>> {
        let capacity = if a.part.is_all() && shares(self.job, a.operator) { capacity::<T>(n) } else { 0 };
        let known = known_as(a);
        let make = || Shared::new(capacity, &self.journal, &known);
        self.list.iter().find(|m| m.0 == known).map(|m| m.1.get_or_init(make))
    }
}

/// Whether two analyses are of one operator.
pub(super) fn same_operator(a: &Analysis, b: &Analysis) -> bool {
    known_as(a) == known_as(b)
}

/// Vectors of `n` numbers that a memo keeps at most.
pub fn capacity<T>(n: usize) -> usize {
    KEPT_BYTES / (n.max(1) * std::mem::size_of::<T>()).max(1)
}

/// How many analyses share the products of one's operator.
pub fn shares(job: &Job, which: Operator) -> bool {
    job.analyses.iter().filter(|b| b.operator == which && b.part.is_all()).count() > 1
}
