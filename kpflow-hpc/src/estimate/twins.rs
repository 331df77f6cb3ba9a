//! Every estimator against a naive twin: the same probes one by one, plain loops, textbook formulas; equal to rounding.

use super::*;
use crate::comm::Comm;
use crate::engine::Engine;
use kpflow_core::operator::Dense;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, Shape};

const SHAPE: Shape = Shape::new(3, 2, 7);
const N: usize = 42;
const SEED: u64 = 11;

/// A symmetric positive definite matrix that couples everything.
fn matrix() -> Vec<f64> {
    let g = |i: usize, j: usize| (((i + 1) * (i + 2 * j + 3)) as f64).sin() * 0.85f64.powi(j as i32);
    (0..N * N).map(|i| (0..N).map(|k| g(i / N, k) * g(i % N, k)).sum()).collect()
}

fn probe(distribution: Distribution, stream: u32, vector: usize) -> Vec<f64> {
    let mut x = vec![0.0; N];
    Probe { seed: SEED, stream, distribution }.fill(0, vector, BlockMut::new(SHAPE, 1, &mut x));
    x
}

fn times(a: &[f64], x: &[f64]) -> Vec<f64> {
    a.chunks(N).map(|row| dot(row, x)).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

/// Mean and standard error by the two sums of the textbook.
fn mean(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    (mean, (samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

#[track_caller]
fn same(found: &Estimate, (value, standard_error): (f64, f64)) {
    assert!((found.value - value).abs() <= 1e-12 * value, "{} against {value}", found.value);
    assert!(
        (found.standard_error - standard_error).abs() <= 1e-10 * value,
        "{} {standard_error}",
        found.standard_error
    );
}

fn run(a: &[f64], budget: usize, f: impl Fn(&Problem<'_, f64>, &Budget) -> Estimate) -> Estimate {
    let op = Dense::new(a, SHAPE, SHAPE);
    let engine = Engine::new(Comm::alone(), 2).unwrap();
    // A block that does not divide the budget.
    let problem = Problem::new(&op, &engine, (0, 3), SEED, 7, &|_, _, _| ());
    let estimate = f(&problem, &Budget { rtol: 0.0, max_matvecs: budget });
    assert_eq!((estimate.matvecs, problem.matvecs(), estimate.stop), (budget, budget, StopReason::Budget));
    estimate
}

#[test]
fn hutchinson_twin() {
    let a = matrix();
    let samples: Vec<f64> =
        (0..40).map(|v| probe(Distribution::Rademacher, 0, v)).map(|x| dot(&x, &times(&a, &x))).collect();
    same(&run(&a, 40, hutchinson), mean(&samples));
}

#[test]
fn per_trajectory_twin() {
    let (per, mut a) = (SHAPE.per_trajectory(), matrix());
    (0..N * N).filter(|i| i / N / per != i % N / per).for_each(|i| a[i] = 0.0);
    let (mut value, mut variance) = (0.0, 0.0);
    for b in 0..3 {
        let sample = |v| {
            let x = probe(Distribution::Rademacher, 0, v);
            dot(&x[b * per..][..per], &times(&a, &x)[b * per..][..per])
        };
        let (m, e) = mean(&(0..40).map(sample).collect::<Vec<_>>());
        value += m;
        variance += e * e;
    }
    same(&run(&a, 40, per_trajectory), (value, variance.sqrt()));
}

/// ‖A‖_F² from its known part and samples of the rest, as a norm.
fn norm(known: f64, samples: &[f64]) -> (f64, f64) {
    let (m, e) = mean(samples);
    let norm = (known + m).sqrt();
    (norm, e / (2.0 * norm))
}

#[test]
fn frobenius_twin() {
    let a = matrix();
    let sample = |v| {
        let y = times(&a, &probe(Distribution::Rademacher, 2, v));
        dot(&y, &y)
    };
    let samples: Vec<f64> = (0..40).map(sample).collect();
    same(&run(&a, 40, |p, b| frobenius(p, b, Sketch::None)), norm(0.0, &samples));
}

/// Sketch by modified Gram–Schmidt, residual samples divided by their own number: the budget is no multiple of anything.
#[test]
fn deflated_frobenius_twin() {
    let (a, budget) = (matrix(), 41);
    let k = budget / 4;
    let mut q: Vec<Vec<f64>> = Vec::new();
    for v in 0..k {
        let mut y = times(&a, &probe(Distribution::Gaussian, 1, v));
        for _ in 0..2 {
            q.iter().for_each(|q| {
                let c = dot(q, &y);
                y.iter_mut().zip(q).for_each(|(y, q)| *y -= c * q);
            });
        }
        let length = dot(&y, &y).sqrt();
        q.push(y.iter().map(|y| y / length).collect());
    }
    let known = q.iter().map(|q| times(&a, q)).map(|y| dot(&y, &y)).sum();
    let sample = |v| {
        let mut x = probe(Distribution::Rademacher, 2, v);
        q.iter().for_each(|q| {
            let c = dot(q, &x);
            x.iter_mut().zip(q).for_each(|(x, q)| *x -= c * q);
        });
        let y = times(&a, &x);
        dot(&y, &y)
    };
    let samples: Vec<f64> = (0..budget - 2 * k).map(sample).collect();
    same(&run(&a, budget, |p, b| frobenius(p, b, Sketch::Deflate)), norm(known, &samples));
}
