//! An estimator that was stopped at any of its products comes to the same bits.

use super::{Memo, OverRanks, Products};
use crate::comm::Comm;
use crate::engine::Engine;
use crate::error::{Error, Halt, Kind};
use crate::journal::{Journal, Rows, BUFFER};
use crate::signals::Signals;
use kpflow_core::operator::Dense;
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
use kpflow_estimate::*;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// An operator that has the process be asked to end when it is applied for the `last` time.
struct Watched<'a> {
    inner: Dense<'a, f64>,
    applied: Cell<usize>,
    last: usize,
    signals: Signals,
}

impl LinearOperator<f64> for Watched<'_> {
    fn domain(&self) -> Shape {
        LinearOperator::<f64>::domain(&self.inner)
    }
    fn codomain(&self) -> Shape {
        LinearOperator::<f64>::codomain(&self.inner)
    }
    fn scratch_len(&self, vectors: usize) -> usize {
        LinearOperator::<f64>::scratch_len(&self.inner, vectors)
    }
    fn apply(
        &self,
        x: BlockRef<'_, f64>,
        y: BlockMut<'_, f64>,
        scratch: &mut [f64],
    ) -> std::result::Result<(), kpflow_core::Error> {
        self.applied.set(self.applied.get() + 1);
        if self.applied.get() == self.last {
            self.signals.ask();
        }
        self.inner.apply(x, y, scratch)
    }
    fn apply_adjoint(
        &self,
        x: BlockRef<'_, f64>,
        y: BlockMut<'_, f64>,
        scratch: &mut [f64],
    ) -> std::result::Result<(), kpflow_core::Error> {
        self.inner.apply_adjoint(x, y, scratch)
    }
}

const SHAPE: Shape = Shape::new(3, 1, 20);

/// What a matrix of numbers does not say of itself.
const SEMIDEFINITE: Properties = Properties { symmetric: true, positive_semidefinite: true, ..Properties::UNKNOWN };

type Estimator = dyn Fn(&Problem<'_, f64, Engine>) -> Result<Vec<f64>>;

/// A symmetric matrix with eigenvalues 1, 1/2, 1/3 … in a basis that no coordinate knows of: a Householder reflection of a diagonal.
fn slow(n: usize) -> Vec<f64> {
    let v: Vec<f64> = (0..n).map(|i| ((i * 2 + 1) as f64 * 0.7).sin() + 0.1).collect();
    let norm: f64 = v.iter().map(|x| x * x).sum();
    let h = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / norm;
    (0..n * n).map(|at| (0..n).map(|k| h(at / n, k) * h(at % n, k) / (1.0 + k as f64)).sum()).collect()
}

/// Runs an estimator with a journal in a directory; returns its numbers, unless it was stopped, and how often the operator was applied.
fn run(
    directory: &Path,
    last: usize,
    resume: bool,
    estimate: &Estimator,
) -> (std::result::Result<Vec<f64>, Halt>, usize) {
    let (signals, comm) = (Signals::default(), Comm::alone());
    let a = slow(60);
    let inner = Dense::new(&a, SHAPE, SHAPE).unwrap();
    let op = Watched { inner, applied: Cell::new(0), last, signals: signals.clone() };
    let engine = Engine::new(comm, 1).unwrap();
    let journal =
        Rc::new(Journal::open(directory.join("r.partial"), 1, Some(Duration::ZERO), resume, signals, comm.into()));
    let memo = Memo::journaled(0, &journal, "a");
    let mut again = false;
    loop {
        journal.begin("x", again);
        let rows = [Rows { first: 0, total: 3, own: true }; 2];
        let products = Products::new(&op, &engine, Some(&memo), rows);
        let problem =
            Problem::of(Box::new(products), &engine, (0, 3), 5, 4, &|_, _, _| ()).with_properties(SEMIDEFINITE);
        let problem = problem.with_sums(OverRanks::new(&engine, Some(&journal)));
        match estimate(&problem).map_err(|e| Error::from(e).kind) {
            Err(Kind::Halted(Halt::Diverged)) => again = true,
            Err(Kind::Halted(halt)) => return (Err(halt), op.applied.get()),
            Err(kind) => panic!("{kind:?}"),
            Ok(done) => return (Ok(done), op.applied.get()),
        }
    }
}

fn numbers(e: Result<Estimate>) -> Result<Vec<f64>> {
    e.map(|e| vec![e.value, e.standard_error, e.matvecs as f64])
}

fn estimators() -> Vec<(&'static str, Box<Estimator>)> {
    let budget = Budget { rtol: 0.0, max_matvecs: 44 };
    vec![
        ("hutchinson", Box::new(move |p| numbers(hutchinson(p, &budget)))),
        ("hutchpp", Box::new(move |p| numbers(hutchpp(p, &budget)))),
        ("xtrace", Box::new(move |p| numbers(xtrace(p, &budget)))),
        ("xnystrace", Box::new(move |p| numbers(xnystrace(p, &budget)))),
        ("frobenius", Box::new(move |p| numbers(frobenius_deflated(p, &budget)))),
        ("lanczos", Box::new(move |p| numbers(log_det(p, &budget, (0.1, 0))))),
        ("dense", Box::new(move |p| Ok(dense(p, Wanted::Values)?.values))),
        ("block_krylov", {
            let budget = Budget { rtol: 1e-10, max_matvecs: 300 };
            Box::new(move |p| {
                let pairs = block_krylov(p, &budget, 3)?;
                Ok([pairs.values, pairs.residuals, pairs.vectors.data].concat())
            })
        }),
    ]
}

/// Products that were there before change nothing but the bill.
#[test]
fn a_memo_changes_no_number() {
    let (a, engine) = (slow(60), Engine::new(Comm::alone(), 1).unwrap());
    let op = Dense::new(&a, SHAPE, SHAPE).unwrap();
    let budget = |max_matvecs| Budget { rtol: 0.0, max_matvecs };
    type Estimator<'e> = &'e dyn Fn(&Problem<'_, f64, Engine>) -> Result<Vec<f64>>;
    let run = |memo: Option<&Memo<f64>>, f: Estimator<'_>| {
        let rows = [Rows { first: 0, total: 3, own: true }; 2];
        let products = Box::new(Products::new(&op, &engine, memo, rows));
        f(&Problem::of(products, &engine, (0, 3), 3, 8, &|_, _, _| ()).with_properties(SEMIDEFINITE)).unwrap()
    };
    let memo = Memo::new(50);
    for (name, estimate) in estimators() {
        let alone = run(None, &*estimate);
        (0..2).for_each(|_| assert_eq!(run(Some(&memo), &*estimate), alone, "{name}"));
    }
    // Ten samples at first, thirty more later: thirty are computed.
    let memo = Memo::new(100);
    let new = |products| {
        let before = memo.computed();
        run(Some(&memo), &|p| numbers(hutchinson(p, &budget(products))));
        memo.computed() - before
    };
    assert_eq!((new(10), new(40), new(40)), (10, 30, 0));
}

#[test]
fn stopped_anywhere_the_bits_are_the_same() {
    for (name, estimate) in estimators() {
        let directory = tempfile::tempdir().unwrap();
        let (whole, products) = run(directory.path(), 0, false, &*estimate);
        let whole = whole.unwrap();
        for last in 1..products {
            let directory = tempfile::tempdir().unwrap();
            let (stopped, before) = run(directory.path(), last, false, &*estimate);
            assert_eq!((stopped, before), (Err(Halt::Signal("SIGTERM")), last), "{name}");
            let (resumed, after) = run(directory.path(), 0, true, &*estimate);
            assert_eq!(resumed.unwrap(), whole, "{name} stopped at product {last}");
            assert_eq!(before + after, products, "{name} stopped at product {last}: nothing is computed twice");
        }
        println!("{name}: {products} blocks of products");
    }
}

/// Stopped and resumed again and again, one block of products at a time.
#[test]
fn stopped_everywhere_the_bits_are_the_same() {
    for (name, estimate) in estimators() {
        let directory = tempfile::tempdir().unwrap();
        let (whole, products) = run(directory.path(), 0, false, &*estimate);
        let (whole, mut runs) = (whole.unwrap(), 0);
        let directory = tempfile::tempdir().unwrap();
        let last = loop {
            runs += 1;
            match run(directory.path(), 1, true, &*estimate) {
                (Ok(last), _) => break last,
                (Err(_), applied) => assert_eq!(applied, 1, "{name}"),
            }
            assert!(runs <= products, "{name} does not get on");
        };
        assert_eq!(last, whole, "{name}");
    }
}

/// What was written of other vectors is not used: here another estimator's.
#[test]
fn what_does_not_fit_is_done_again() {
    let all = estimators();
    for (i, (name, estimate)) in all.iter().enumerate() {
        let other = &*all[(i + 1) % all.len()].1;
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 4, false, other).0.unwrap_err();
        let (done, _) = run(directory.path(), 0, true, estimate);
        let fresh = tempfile::tempdir().unwrap();
        assert_eq!(done.unwrap(), run(fresh.path(), 0, false, estimate).0.unwrap(), "{name}");
    }
}

/// A record that is longer than what may wait goes to the file at once, behind what waited.
#[test]
fn what_is_too_long_to_wait_is_written() {
    let (directory, comm) = (tempfile::tempdir().unwrap(), Comm::alone());
    let open = |resume| {
        let (at, hour) = (directory.path().join("r.partial"), Some(Duration::from_secs(3600)));
        Journal::open(at, 1, hour, resume, Signals::default(), comm.into())
    };
    let (rows, row) = (Rows { first: 0, total: 1, own: true }, BUFFER + 8);
    let journal = open(false);
    journal.begin("x", false);
    journal.keep(&[(1, 2)], rows, 16, &[3; 16]);
    journal.keep(&[(3, 4)], rows, row, &vec![7; row]);
    drop(journal);
    let journal = open(true);
    let (mut short, mut long) = ([0; 16], vec![0; row]);
    journal.rows(&(1, 2), rows, 16, &mut short).unwrap();
    journal.rows(&(3, 4), rows, row, &mut long).unwrap();
    assert!(short == [3; 16] && long.iter().all(|&b| b == 7));
}
