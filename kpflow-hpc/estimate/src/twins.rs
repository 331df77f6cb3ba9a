//! Every estimator against a naive twin: the same probes one by one, plain loops, textbook formulas; equal to rounding.

mod plain;

use super::sampling::student;
use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::Dense;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, Shape};
use plain::{as_rows, form, outside, trace, without};
pub(super) use plain::{nystrom, orthonormal};

pub(super) const SHAPE: Shape = Shape::new(3, 2, 7);
pub(super) const N: usize = 42;
pub(super) const SEED: u64 = 11;

/// A symmetric positive definite matrix that couples everything.
pub(super) fn matrix() -> Vec<f64> {
    let g = |i: usize, j: usize| (((i + 1) * (i + 2 * j + 3)) as f64).sin() * 0.85f64.powi(j as i32);
    (0..N * N).map(|i| (0..N).map(|k| g(i / N, k) * g(i % N, k)).sum()).collect()
}

pub(super) fn probe(distribution: Distribution, stream: u32, vector: usize) -> Vec<f64> {
    let mut x = vec![0.0; N];
    Probe { seed: SEED, stream, distribution }.fill(0, vector, BlockMut::new(SHAPE, 1, &mut x).unwrap()).unwrap();
    x
}

pub(super) fn times(a: &[f64], x: &[f64]) -> Vec<f64> {
    a.chunks(N).map(|row| dot(row, x)).collect()
}

pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

/// Mean and standard error by the two sums of the textbook.
pub(super) fn mean(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    (mean, (samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt() * student(n - 1.0))
}

/// The normal 97.5 % quantile.
const Z: f64 = 1.959963984540054;

/// An error to the side of more, of a positive number by its cube root.
fn upwards((value, error): (f64, f64)) -> (f64, f64) {
    (value, (value / (1.0 - Z * error / value / 3.0).powi(3) - value) / Z)
}

/// The mean of positive samples, whose scatter says less the more they are skewed.
fn positive(samples: &[f64]) -> (f64, f64) {
    upwards((average(samples), positive_error(samples)))
}

/// Its error on the scale of the cube root.
fn positive_error(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    let (value, error) = mean(samples);
    let plain = error / student(n - 1.0);
    plain * student(((n - 1.0) / (1.0 + n * (plain / value).powi(2))).max(3f64.min(n - 1.0)))
}

/// The same of √(known + mean of squares), whose own value is given.
fn root_upwards(value: f64, known: f64, squares: &[f64]) -> (f64, f64) {
    let (mean, error) = positive(squares);
    (value, ((known + mean + Z * error).sqrt() - value) / Z)
}

/// An error to the side of less, of an alignment, which misses something to 1.
fn downwards((value, error): (f64, f64)) -> (f64, f64) {
    (value, upwards((1.0 - value, error)).1)
}

#[track_caller]
pub(super) fn same(found: &Estimate, (value, standard_error): (f64, f64)) {
    assert!((found.value - value).abs() <= 1e-11 * value, "{} against {value}", found.value);
    assert!((found.standard_error - standard_error).abs() <= 1e-9 * value, "{} {standard_error}", found.standard_error);
}

pub(super) fn run(a: &[f64], budget: usize, f: impl Fn(&Problem<'_, f64>, &Budget) -> Result<Estimate>) -> Estimate {
    let op = Dense::new(a, SHAPE, SHAPE).unwrap();
    let engine = Portable;
    // A block that does not divide the budget.
    let problem = Problem::new(&op, &engine, (0, 3), SEED, 7, &|_, _, _| ());
    let estimate = f(&problem, &Budget { rtol: 0.0, max_matvecs: budget }).unwrap();
    assert_eq!((estimate.matvecs, problem.matvecs(), estimate.stop), (budget, budget, StopReason::Budget));
    estimate
}

#[test]
fn hutchinson_twin() {
    let a = matrix();
    let samples: Vec<f64> =
        (0..40).map(|v| probe(Distribution::Rademacher, 0, v)).map(|x| dot(&x, &times(&a, &x))).collect();
    same(&run(&a, 40, |p, b| Ok(hutchinson(p, b).unwrap())), positive(&samples));
}

#[test]
fn per_trajectory_twin() {
    let (per, mut a) = (SHAPE.per_trajectory(), matrix());
    (0..N * N).filter(|i| i / N / per != i % N / per).for_each(|i| a[i] = 0.0);
    let (mut value, mut variance, mut fourth) = (0.0, 0.0, 0.0);
    for b in 0..3 {
        let sample = |v| {
            let x = probe(Distribution::Rademacher, 0, v);
            dot(&x[b * per..][..per], &times(&a, &x)[b * per..][..per])
        };
        let (m, e) = mean(&(0..40).map(sample).collect::<Vec<_>>());
        value += m;
        variance += (e / student(39.0)).powi(2);
        fourth += (e / student(39.0)).powi(4);
    }
    let error = variance.sqrt() * student(variance * variance / fourth * 39.0);
    same(&run(&a, 40, |p, b| Ok(per_trajectory(p, b).unwrap())), upwards((value, error)));
}

/// The probes of sketches, and of tests.
pub(super) fn sketches(count: usize) -> Vec<Vec<f64>> {
    (0..count).map(|v| probe(Distribution::Gaussian, 1, v)).collect()
}
pub(super) fn tests(count: usize) -> Vec<Vec<f64>> {
    (0..count).map(|v| probe(Distribution::Rademacher, 0, v)).collect()
}

/// Textbook Hutch++: the residual is divided by the number of its own samples, whatever the budget is a multiple of.
#[test]
fn hutchpp_twin() {
    for budget in [38, 40] {
        let a = matrix();
        let k = budget / 3;
        let q = orthonormal(&sketches(k).iter().map(|x| times(&a, x)).collect::<Vec<_>>());
        let known: f64 = q.iter().map(|q| dot(q, &times(&a, q))).sum();
        let sample = |x: Vec<f64>| {
            let x = outside(x, &q);
            dot(&x, &times(&a, &x))
        };
        let samples: Vec<f64> = tests(budget - 2 * k).into_iter().map(sample).collect();
        let (rest, error) = positive(&samples);
        same(&run(&a, budget, |p, b| hutchpp(p, b)), (known + rest, error));
    }
}

#[test]
fn nystrompp_twin() {
    let (a, budget) = (matrix(), 20);
    let omega = sketches(budget / 2);
    let y: Vec<Vec<f64>> = omega.iter().map(|x| times(&a, x)).collect();
    let approximation = nystrom(&omega, &y);
    let sample = |x: Vec<f64>| dot(&x, &times(&a, &x)) - form(&approximation, &x);
    let samples: Vec<f64> = tests(budget / 2).into_iter().map(sample).collect();
    let (rest, error) = positive(&samples);
    same(&run(&a, budget, |p, b| nystrompp(p, b)), (trace(&approximation) + rest, error));
}

/// Every probe is left out in earnest: a basis of the others' products, what is left of it, and its length as it should have been.
#[test]
fn xtrace_twin() {
    let (a, m) = (matrix(), 12);
    let omega = sketches(m);
    let of = |omega: &[Vec<f64>]| {
        let y: Vec<Vec<f64>> = omega.iter().map(|x| times(&a, x)).collect();
        let one = |i: usize| {
            let q = orthonormal(&without(&y, i));
            let x = outside(omega[i].clone(), &q);
            let scale = (N - (omega.len() - 1)) as f64 / dot(&x, &x);
            q.iter().map(|q| dot(q, &times(&a, q))).sum::<f64>() + scale * dot(&x, &times(&a, &x))
        };
        average(&(0..omega.len()).map(one).collect::<Vec<_>>())
    };
    same(&run(&a, 2 * m, |p, b| xtrace(p, b)), (of(&omega), jackknifed(&omega, of).1));
}

/// XNysTrace of a matrix, leaving out in earnest; and its error, from leaving out once more.
fn xnystrace_of(a: &[Vec<f64>], omega: &[Vec<f64>]) -> (f64, f64) {
    let of = |omega: &[Vec<f64>]| {
        let (n, m) = (a.len(), omega.len());
        let y: Vec<Vec<f64>> = omega.iter().map(|x| a.iter().map(|row| dot(row, x)).collect()).collect();
        let one = |i: usize| {
            let others = without(omega, i);
            let approximation = nystrom(&others, &without(&y, i));
            let x = outside(omega[i].clone(), &orthonormal(&others));
            let scale = (n - (m - 1)) as f64 / dot(&x, &x);
            trace(&approximation) + scale * (form(a, &omega[i]) - form(&approximation, &omega[i]))
        };
        average(&(0..m).map(one).collect::<Vec<_>>())
    };
    (of(omega), jackknifed(omega, of).1)
}

#[test]
fn xnystrace_twin() {
    let (a, m) = (matrix(), 14);
    same(&run(&a, m, |p, b| xnystrace(p, b)), xnystrace_of(&as_rows(&a, N), &sketches(m)));
}

#[test]
fn per_trajectory_xnystrace_twin() {
    let (per, mut a, m) = (SHAPE.per_trajectory(), matrix(), 7);
    (0..N * N).filter(|i| i / N / per != i % N / per).for_each(|i| a[i] = 0.0);
    let (mut value, mut variance, mut fourth) = (0.0, 0.0, 0.0);
    for b in 0..3 {
        let range = b * per..(b + 1) * per;
        let block: Vec<Vec<f64>> = as_rows(&a, N)[range.clone()].iter().map(|r| r[range.clone()].to_vec()).collect();
        let omega: Vec<Vec<f64>> = sketches(m).iter().map(|x| x[range.clone()].to_vec()).collect();
        let (v, e) = xnystrace_of(&block, &omega);
        value += v;
        variance += (e / student(m as f64 - 1.0)).powi(2);
        fourth += (e / student(m as f64 - 1.0)).powi(4);
    }
    let error = variance.sqrt() * student(variance * variance / fourth * (m as f64 - 1.0));
    same(&run(&a, m, |p, b| per_trajectory_xnystrace(p, b)), (value, error));
}

/// The jackknife in earnest: the statistic of all samples but one.
pub(super) fn jackknifed<X: Clone>(samples: &[X], f: impl Fn(&[X]) -> f64) -> (f64, f64) {
    let n = samples.len() as f64;
    let all: Vec<f64> = (0..samples.len()).map(|i| f(&without(samples, i))).collect();
    let average = all.iter().sum::<f64>() / n;
    let scatter = all.iter().map(|x| (x - average).powi(2)).sum::<f64>();
    (n * f(samples) - (n - 1.0) * average, ((n - 1.0) / n * scatter).sqrt() * student(n - 1.0))
}

/// The same, the correction for the bias counted as an error beside the scatter.
fn corrected<X: Clone>(samples: &[X], f: impl Fn(&[X]) -> f64) -> (f64, f64) {
    let (all, wide) = (f(samples), student(samples.len() as f64 - 1.0));
    let (value, error) = jackknifed(samples, f);
    (value, (error / wide).hypot(value - all) * wide)
}

pub(super) fn average(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

#[test]
fn frobenius_twin() {
    let a = matrix();
    let squares: Vec<f64> = tests(40).iter().map(|x| times(&a, x)).map(|y| dot(&y, &y)).collect();
    same(
        &run(&a, 40, |p, b| Ok(frobenius(p, b).unwrap())),
        root_upwards(corrected(&squares, |s| average(s).sqrt()).0, 0.0, &squares),
    );
}

/// Sketch by modified Gram–Schmidt; the budget is no multiple of anything.
#[test]
fn deflated_frobenius_twin() {
    let (a, budget) = (matrix(), 41);
    let k = budget / 4;
    let q = orthonormal(&sketches(k).iter().map(|x| times(&a, x)).collect::<Vec<_>>());
    let known: f64 = q.iter().map(|q| times(&a, q)).map(|y| dot(&y, &y)).sum();
    let sample = |x: Vec<f64>| times(&a, &outside(x, &q));
    let squares: Vec<f64> = tests(budget - 2 * k).into_iter().map(sample).map(|y| dot(&y, &y)).collect();
    let (expected, _) = jackknifed(&squares, |s| (known + average(s)).sqrt());
    same(&run(&a, budget, |p, b| frobenius_deflated(p, b)), root_upwards(expected, known, &squares));
}

#[test]
fn effective_rank_twin() {
    let a = matrix();
    let samples: Vec<(f64, f64)> = tests(40)
        .iter()
        .map(|x| {
            let y = times(&a, x);
            (dot(x, &y), dot(&y, &y))
        })
        .collect();
    let ratio = |s: &[(f64, f64)]| {
        let n = s.len() as f64;
        (s.iter().map(|s| s.0).sum::<f64>() / n).powi(2) / (s.iter().map(|s| s.1).sum::<f64>() / n)
    };
    let (value, mut error) = upwards(corrected(&samples, ratio));
    // And at the ends of the trace's own interval, along the line of the samples.
    let (traces, squares): (Vec<f64>, Vec<f64>) = samples.into_iter().unzip();
    let (t, s) = (average(&traces), average(&squares));
    let of = |f: &dyn Fn(usize) -> f64| (0..40).map(f).sum::<f64>();
    let slope = of(&|i| (traces[i] - t) * (squares[i] - s)) / of(&|i| (traces[i] - t).powi(2));
    let third = Z * positive_error(&traces) / t / 3.0;
    for end in [t * (1.0 + third).powi(-3), t * (1.0 - third).powi(-3)] {
        error = error.max((end * end / (s + slope * (end - t)) - value).abs() / Z);
    }
    same(&run(&a, 40, |p, b| Ok(effective_rank_sampled(p, b).unwrap())), (value, error));
}

/// The root of a symmetric positive semidefinite matrix is a factor of it that is its own adjoint.
fn root(a: &[f64]) -> Vec<f64> {
    let (values, vectors) = symmetric_eigen(a, N);
    let part = |i: usize, k: usize| values[k].max(0.0).sqrt() * vectors[k * N + i / N] * vectors[k * N + i % N];
    (0..N * N).map(|i| (0..N).map(|k| part(i, k)).sum()).collect()
}

/// Two sweeps are counted as one product.
fn sweeps(f: &[f64], budget: usize, what: impl Fn(&Problem<'_, f64>, &Budget) -> Estimate) -> Estimate {
    let op = Dense::new(f, SHAPE, SHAPE).unwrap();
    let engine = Portable;
    let problem = Problem::new(&op, &engine, (0, 3), SEED, 7, &|_, _, _| ());
    let estimate = what(&problem, &Budget { rtol: 0.0, max_matvecs: budget });
    assert_eq!((estimate.matvecs, problem.matvecs(), estimate.stop), (budget, 2 * budget, StopReason::Budget));
    estimate
}

#[test]
fn one_sided_twins() {
    let f = root(&matrix());
    let swept: Vec<Vec<f64>> = tests(40).iter().map(|x| times(&f, x)).collect();
    let expected = positive(&swept.iter().map(|y| dot(y, y)).collect::<Vec<_>>());
    same(&sweeps(&f, 20, |p, b| one_sided(p, b).unwrap()), expected);
    let pairs = |s: &[Vec<f64>], g: &dyn Fn(usize, usize) -> f64| {
        let n = s.len();
        (0..n * n).filter(|p| p / n != p % n).map(|p| g(p / n, p % n)).sum::<f64>() / (n * (n - 1)) as f64
    };
    let square = |s: &[Vec<f64>]| pairs(s, &|i, j| dot(&s[i], &s[j]).powi(2));
    let frobenius = sweeps(&f, 20, |p, b| pair_statistic(p, b, SecondMoment::Frobenius).unwrap());
    same(&frobenius, upwards(corrected(&swept, |s| square(s).sqrt())));
    let rank = sweeps(&f, 20, |p, b| pair_statistic(p, b, SecondMoment::EffectiveRank).unwrap());
    let ratio = |s: &[Vec<f64>]| average(&s.iter().map(|y| dot(y, y)).collect::<Vec<_>>()).powi(2) / square(s);
    same(&rank, upwards(corrected(&swept, ratio)));
}

#[test]
fn alignment_twins() {
    let (a, other) = (
        matrix(),
        matrix().iter().enumerate().map(|(i, x)| if i / N == i % N { 2.0 * x + 1.0 } else { *x }).collect::<Vec<_>>(),
    );
    let engine = Portable;
    let (first, second) = (Dense::new(&a, SHAPE, SHAPE).unwrap(), Dense::new(&other, SHAPE, SHAPE).unwrap());
    let problem = |op| Problem::new(op, &engine, (0, 3), SEED, 7, &|_, _, _| ());
    let budget = Budget { rtol: 0.0, max_matvecs: 33 };
    for deflate in [false, true] {
        let k = if deflate { 33 / 8 } else { 0 };
        let images = |a: &[f64]| sketches(k).iter().map(|x| times(a, x)).collect::<Vec<_>>();
        let q = orthonormal(&[images(&a), images(&other)].concat());
        let three = |x: &Vec<f64>| {
            let (ax, bx) = (times(&a, x), times(&other, x));
            [dot(&ax, &ax), dot(&bx, &bx), dot(&ax, &bx)]
        };
        let add = |s: &[[f64; 3]], i: usize| s.iter().map(|s| s[i]).sum::<f64>();
        let known: Vec<[f64; 3]> = q.iter().map(three).collect();
        let samples: Vec<[f64; 3]> = tests(33 - 3 * k).into_iter().map(|x| three(&outside(x, &q))).collect();
        let ratio = |s: &[[f64; 3]]| {
            let part = |i: usize| add(&known, i) + add(s, i) / s.len() as f64;
            part(2) / (part(0) * part(1)).sqrt()
        };
        let found = alignment(&problem(&first), &problem(&second), &budget, deflate).unwrap();
        assert_eq!(found.matvecs, 33);
        same(&found, downwards(corrected(&samples, ratio)));
    }
    // By pairs: of the roots, whose sweeps are one-sided products.
    let (f, g) = (root(&a), root(&other));
    let (first, second) = (Dense::new(&f, SHAPE, SHAPE).unwrap(), Dense::new(&g, SHAPE, SHAPE).unwrap());
    let swept: Vec<[Vec<f64>; 2]> = tests(30).iter().map(|x| [times(&f, x), times(&g, x)]).collect();
    let ratio = |s: &[[Vec<f64>; 2]]| {
        let mut sums = [0.0; 3];
        for (i, j) in (0..s.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let (x, y) = (dot(&s[i][0], &s[j][0]), dot(&s[i][1], &s[j][1]));
            sums.iter_mut().zip([x * x, y * y, x * y]).for_each(|(s, p)| *s += p);
        }
        sums[2] / (sums[0] * sums[1]).sqrt()
    };
    let found = pair_alignment(&problem(&first), &problem(&second), &Budget { rtol: 0.0, max_matvecs: 15 }).unwrap();
    same(&found, downwards(corrected(&swept, ratio)));
}
