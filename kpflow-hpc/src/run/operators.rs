//! What all analyses of a job share of the products of an operator.

use super::range::Exponent;
use crate::analysis::{capacity, Boxed, Side};
use crate::engine::Real;
use crate::error::{Error, Result};
use crate::job::{Analysis, Job};
use crate::journal::Journal;
use crate::products::Memo;
use kpflow_estimate::DenseSpectrum;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// The products of one operator: of all of it, of its block diagonal, of its factor back and forward, and of its Gram operator.
pub(super) struct Shared<T> {
    pub all: Memo<T>,
    pub diagonal: Memo<T>,
    pub reverse: Memo<T>,
    pub forward: Memo<T>,
    pub gram: Memo<T>,
    /// Products with unit vectors, of all of it and of FᵀF: written down, and not kept beside the matrices that are made of them.
    pub entries: Memo<T>,
    pub weights: Memo<T>,
    /// Those matrices, as long as an analysis follows that may read them.
    pub exact: [RefCell<Option<Rc<DenseSpectrum>>>; Side::COUNT],
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
            entries: Memo::journaled(0, journal, &format!("all of {name}")),
            weights: Memo::journaled(0, journal, &format!("weights of {name}")),
            exact: Default::default(),
            exponent: OnceCell::new(),
        }
    }

    /// Products that were computed, two sweeps for one.
    pub fn computed(&self) -> usize {
        let sweeps = self.reverse.computed() + self.forward.computed();
        let exact = self.entries.computed() + self.weights.computed();
        self.all.computed() + self.diagonal.computed() + self.gram.computed() + exact + sweeps.div_ceil(2)
    }
}

/// What the analyses of a job share: the products of an operator that two or more of them are of are kept. Those of the others are not, but written down.
pub(super) struct Memos<'a, T> {
    job: &'a Job,
    pub journal: Rc<Journal>,
    list: Vec<(String, OnceCell<Shared<T>>)>,
}

impl<'a, T: Real> Memos<'a, T> {
    /// Makes memos for every operator of a job.
    pub fn new(job: &'a Job, journal: Journal) -> Self {
        let mut names: Vec<String> = job.analyses.iter().map(Analysis::known_as).collect();
        names.sort();
        names.dedup();
        let list = names.into_iter().map(|n| (n, OnceCell::new())).collect();
        Self { job, journal: Rc::new(journal), list }
    }

    /// The memos of an analysis's operator, for vectors of `n` numbers on a rank at most.
    pub fn of(&self, a: &Analysis, n: usize) -> Option<&Shared<T>> {
        let capacity = if a.part.is_all() && shares(self.job, a.operator) { capacity::<T>(n) } else { 0 };
        let known = a.known_as();
        let make = || Shared::new(capacity, &self.journal, &known);
        self.list.iter().find(|m| m.0 == known).map(|m| m.1.get_or_init(make))
    }

    /// Frees the exact matrices of an operator.
    pub fn forget(&self, a: &Analysis) {
        let known = a.known_as();
        let found = self.list.iter().find(|m| m.0 == known).and_then(|m| m.1.get());
        found.iter().for_each(|shared| shared.exact.iter().for_each(|cell| drop(cell.take())));
    }
}

/// How many analyses share the products of one's operator.
fn shares(job: &Job, which: crate::analysis::Operator) -> bool {
    job.analyses.iter().filter(|b| b.operator == which && b.part.is_all()).count() > 1
}

/// The operators of an analysis, made where they are asked for.
pub(super) struct Operators<'a, T> {
    pub all: Boxed<'a, T>,
    pub diagonal: Boxed<'a, T>,
    pub back: OnceCell<Boxed<'a, T>>,
    pub forward: OnceCell<Boxed<'a, T>>,
    pub gram: OnceCell<[Boxed<'a, T>; 2]>,
    pub other: OnceCell<Boxed<'a, T>>,
    pub other_back: OnceCell<Boxed<'a, T>>,
    pub other_forward: OnceCell<Boxed<'a, T>>,
    pub weights: OnceCell<Boxed<'a, T>>,
}

impl<'a, T> Operators<'a, T> {
    /// With the operator itself and its block diagonal.
    pub fn new(all: Boxed<'a, T>, diagonal: Boxed<'a, T>) -> Self {
        Self {
            all,
            diagonal,
            back: OnceCell::new(),
            forward: OnceCell::new(),
            gram: OnceCell::new(),
            other: OnceCell::new(),
            other_back: OnceCell::new(),
            other_forward: OnceCell::new(),
            weights: OnceCell::new(),
        }
    }
}

/// What is in a cell; made if nothing is.
pub(super) fn get_or_make<V>(cell: &OnceCell<V>, make: impl FnOnce() -> Result<V>) -> Result<&V> {
    if cell.get().is_none() {
        // Nothing that makes it looks into the cell.
        let _ = cell.set(make()?);
    }
    cell.get().ok_or_else(|| Error::run("a value was not made"))
}
