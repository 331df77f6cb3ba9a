//! An estimator that was stopped at any of its products comes to the same bits.

use super::tests::{hidden, slow};
use super::*;
use crate::comm::Comm;
use crate::engine::Engine;
use crate::journal::{halted, Halt, Journal};
use crate::signals::Signals;
use kpflow_core::operator::Dense;
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Shape};
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
            self.signals.pretend();
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

type Estimator = dyn Fn(&Problem<'_, f64>) -> Vec<f64>;

/// Runs an estimator with a journal in a directory; returns its numbers, unless it was stopped, and how often the operator was applied.
fn run(
    directory: &Path,
    last: usize,
    resume: bool,
    estimate: &Estimator,
) -> (std::result::Result<Vec<f64>, Halt>, usize) {
    let (signals, comm) = (Signals::default(), Comm::alone());
    let a = hidden(&slow(60));
    let inner = Dense::new(&a, SHAPE, SHAPE).unwrap();
    let op = Watched { inner, applied: Cell::new(0), last, signals: signals.clone() };
    let engine = Engine::new(comm, 1).unwrap();
    let journal =
        Rc::new(Journal::open(directory.join("r.partial"), 1, Some(Duration::ZERO), resume, signals, comm.into()));
    let memo = Memo::journaled(0, &journal, "a");
    let mut again = false;
    loop {
        journal.begin("x", again);
        let problem = Problem::new(&op, &engine, (0, 3), 5, 4, &|_, _, _| ()).with_memo(Some(&memo));
        match halted(|| estimate(&problem)) {
            Err(Halt::Diverged) => again = true,
            done => return (done, op.applied.get()),
        }
    }
}

fn numbers(e: Estimate) -> Vec<f64> {
    vec![e.value, e.standard_error, e.matvecs as f64]
}

fn estimators() -> Vec<(&'static str, Box<Estimator>)> {
    let budget = Budget { rtol: 0.0, max_matvecs: 44 };
    vec![
        ("hutchinson", Box::new(move |p| numbers(hutchinson(p, &budget)))),
        ("hutchpp", Box::new(move |p| numbers(hutchpp(p, &budget).unwrap()))),
        ("xtrace", Box::new(move |p| numbers(xtrace(p, &budget).unwrap()))),
        ("xnystrace", Box::new(move |p| numbers(xnystrace(p, &budget).unwrap()))),
        ("frobenius", Box::new(move |p| numbers(frobenius_deflated(p, &budget).unwrap()))),
        ("lanczos", Box::new(move |p| numbers(log_det(p, &budget, (0.1, 0))))),
        ("dense", Box::new(move |p| dense(p).unwrap().values)),
        ("block_krylov", {
            let budget = Budget { rtol: 1e-10, max_matvecs: 300 };
            Box::new(move |p| {
                let pairs = block_krylov(p, &budget, 3);
                [pairs.values, pairs.residuals, pairs.vectors.data].concat()
            })
        }),
    ]
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
