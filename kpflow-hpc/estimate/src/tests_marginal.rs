//! Marginals against partial traces of whole matrices.

use super::tests::{hidden, slow};
use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::Dense;
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, Shape};

const SHAPE: Shape = Shape::new(3, 4, 5);
/// Where the numbers of a whole state are.
const ALL: [usize; 60] = {
    let (mut all, mut i) = ([0; 60], 0);
    while i < all.len() {
        all[i] = i;
        i += 1;
    }
    all
};
const AXES: [Kept; 6] = [
    [true, false, false],
    [false, true, false],
    [false, false, true],
    [false, true, true],
    [true, true, false],
    [true, false, true],
];

fn run<R>(a: &[f64], seed: u64, f: impl Fn(&Problem<'_, f64>) -> R) -> R {
    let op = Dense::new(a, SHAPE, SHAPE).unwrap();
    let engine = Portable;
    let problem = Problem::new(&op, &engine, (0, 3), seed, 7, &|_, _, _| ());
    f(&problem)
}

/// By the definition, index after index.
#[test]
fn partial_traces_of_a_matrix() {
    let a = hidden(&slow(60));
    let flat = |b: usize, t: usize, j: usize| (b * 4 + t) * 5 + j;
    let (time, d) = marginal_of(&a, &ALL, SHAPE, AXES[1]);
    assert_eq!(d, 4);
    for (t, s) in (0..4).flat_map(|t| (0..4).map(move |s| (t, s))) {
        let sum: f64 = (0..15).map(|i| a[flat(i / 5, t, i % 5) * 60 + flat(i / 5, s, i % 5)]).sum();
        assert!((time[t * 4 + s] - sum).abs() < 1e-14);
    }
    let (pair, d) = marginal_of(&a, &ALL, SHAPE, AXES[5]);
    assert_eq!(d, 15);
    let (b, j, c, k) = (2, 3, 1, 4);
    let sum: f64 = (0..4).map(|t| a[flat(b, t, j) * 60 + flat(c, t, k)]).sum();
    assert!((pair[(b * 5 + j) * 15 + c * 5 + k] - sum).abs() < 1e-14);
    for kept in AXES {
        let (m, d) = marginal_of(&a, &ALL, SHAPE, kept);
        let trace: f64 = (0..d).map(|i| m[i * d + i]).sum();
        assert!((trace - slow(60).iter().sum::<f64>()).abs() < 1e-12);
    }
}

fn probe(distribution: Distribution, stream: u32, v: usize) -> Vec<f64> {
    let mut x = vec![0.0; 60];
    let probe = Probe { seed: 3, stream, distribution };
    probe.fill(0, v, BlockMut::new(SHAPE, 1, &mut x).unwrap()).unwrap();
    x
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn times(a: &[f64], x: &[f64]) -> Vec<f64> {
    a.chunks(60).map(|row| dot(row, x)).collect()
}

/// The same probes, entry after entry: what products with a basis Q of the sketch's range tell, and the mean of samples of the rest.
#[test]
fn marginals_have_a_naive_twin() {
    let a = hidden(&slow(60));
    for (kept, axis) in [(AXES[0], 0), (AXES[1], 1), (AXES[2], 2)] {
        let d = [3, 4, 5][axis];
        let place = |i: usize| [i / 20, i / 5 % 4, i % 5];
        let same = |p: usize, q: usize| (0..3).all(|x| x == axis || place(p)[x] == place(q)[x]);
        let budget = 10 * d - 3;
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for v in 0..budget / 3 {
            let mut y = times(&a, &probe(Distribution::Gaussian, 1, v));
            for q in [&basis[..], &basis[..]].concat() {
                let c = dot(&q, &y);
                y.iter_mut().zip(&q).for_each(|(y, q)| *y -= c * q);
            }
            let length = dot(&y, &y).sqrt();
            basis.push(y.iter().map(|y| y / length).collect());
        }
        let outside = |mut x: Vec<f64>| {
            for q in &basis {
                let c = dot(q, &x);
                x.iter_mut().zip(q).for_each(|(x, q)| *x -= c * q);
            }
            x
        };
        // The rest, column by column, and what it leaves of A.
        let unit = |i: usize| (0..60).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>();
        let rest: Vec<f64> = (0..60).flat_map(|i| outside(times(&a, &outside(unit(i))))).collect();
        let known: Vec<f64> = a.iter().zip(&rest).map(|(a, r)| a - r).collect();
        let mut mean = marginal_of(&known, &ALL, SHAPE, kept).0;
        let tests = budget - 2 * (budget / 3);
        for v in 0..tests {
            let x = probe(Distribution::Rademacher, 0, v);
            let y = times(&rest, &x);
            for (p, q) in (0..3600).map(|i| (i / 60, i % 60)).filter(|&(p, q)| same(p, q)) {
                mean[place(p)[axis] * d + place(q)[axis]] += x[p] * y[q] / tests as f64;
            }
        }
        let found = run(&a, 3, |p| marginal(p, &Budget { rtol: 0.0, max_matvecs: budget }, kept).unwrap());
        assert_eq!(found.matvecs, budget);
        for i in 0..d * d {
            let expected = 0.5 * (mean[i] + mean[i % d * d + i / d]);
            assert!((found.matrix[i] - expected).abs() < 1e-11, "{kept:?}: {} {expected}", found.matrix[i]);
        }
    }
}

/// Three blocks of a spectrum, and an operator that says that it has nothing between them.
fn blocks() -> Vec<f64> {
    let mut a = vec![0.0; 3600];
    for b in 0..3 {
        let block = hidden(&(0..20).map(|k| (b + 1) as f64 * 0.5f64.powi(k)).collect::<Vec<_>>());
        (0..400).for_each(|i| a[(b * 20 + i / 20) * 60 + b * 20 + i % 20] = block[i]);
    }
    a
}

const BLOCKS: Properties =
    Properties { symmetric: true, positive_semidefinite: true, block_diagonal: true, rank_bound: 60 };

#[test]
fn unit_vectors_are_exact_where_they_are_cheaper() {
    let a = blocks();
    let found = |kept, rtol, max_matvecs| {
        let op = Dense::new(&a, SHAPE, SHAPE).unwrap();
        let problem = Problem::new(&op, &Portable, (0, 3), 1, 7, &|_, _, _| ()).with_properties(BLOCKS);
        marginal(&problem, &Budget { rtol, max_matvecs }, kept).unwrap()
    };
    for (kept, rtol, max_matvecs, spent) in [
        // As many numbers as a trajectory has: at once.
        (AXES[3], 0.1, 20, 20),
        // Fewer: when samples turn out not to do, after a look.
        (AXES[1], 0.0, 40, 32),
        (AXES[2], 1e-9, 40, 32),
    ] {
        let (truth, d) = marginal_of(&a, &ALL, SHAPE, kept);
        let m = found(kept, rtol, max_matvecs);
        assert_eq!((m.matvecs, m.stop, m.trace.1), (spent, StopReason::Exact, 0.0), "{kept:?}");
        assert!((0..d * d).all(|i| (m.matrix[i] - truth[i]).abs() < 1e-13), "{kept:?}: {m:?}");
    }
    // A basis in each trajectory: 8 of 20 directions, and the rest by samples.
    for (kept, seeds) in [(AXES[1], 0..20), (AXES[2], 20..40)] {
        let (truth, d) = marginal_of(&a, &ALL, SHAPE, kept);
        let (mut covered, mut worst) = (0, 0.0f64);
        for seed in seeds {
            let op = Dense::new(&a, SHAPE, SHAPE).unwrap();
            let problem = Problem::new(&op, &Portable, (0, 3), seed, 7, &|_, _, _| ()).with_properties(BLOCKS);
            let m = marginal(&problem, &Budget { rtol: 0.0, max_matvecs: 19 + 7 }, kept).unwrap();
            let off = |i: usize| (m.matrix[i] - truth[i]).abs();
            covered += (0..d * d).filter(|&i| off(i) <= 1.96 * m.errors[i]).count();
            worst = (0..d * d).map(off).fold(worst, f64::max);
        }
        println!("{covered} of {} cover, off by {worst:.1e} at most", 20 * d * d);
        assert!(10 * covered >= 9 * 20 * d * d && worst < 0.1, "{covered} of {}, {worst}", 20 * d * d);
    }
}

#[test]
fn error_bars_of_marginals_cover_the_truth() {
    let a = hidden(&slow(60));
    for kept in AXES {
        let (truth, d) = marginal_of(&a, &ALL, SHAPE, kept);
        let (trace, square) = ((0..d).map(|i| truth[i * d + i]).sum::<f64>(), truth.iter().map(|x| x * x).sum::<f64>());
        for max_matvecs in [40, 12 * d] {
            let budget = Budget { rtol: 0.0, max_matvecs };
            let (mut entries, mut ranks) = (0, 0);
            for seed in 0..200 {
                let found = run(&a, seed, |p| marginal(p, &budget, kept).unwrap());
                let inside = |(x, e): (f64, f64), truth: f64| (x - truth).abs() <= 1.96 * e + 1e-12;
                entries += (0..d * d).filter(|&i| inside((found.matrix[i], found.errors[i]), truth[i])).count();
                ranks += usize::from(inside(found.effective_rank, trace * trace / square));
            }
            let share = entries as f64 / (200 * d * d) as f64;
            println!("{kept:?} with {max_matvecs}: {share:.3} of the entries, {ranks} of 200 ranks");
            assert!(share > 0.88 && ranks >= 176, "{kept:?} with {max_matvecs}: {share}, {ranks} of 200");
        }
    }
}

/// G ⊗ I, by structured probes: no noise at all.
#[test]
fn a_kronecker_product_is_found_exactly() {
    let g = hidden(&slow(4));
    let mut a = vec![0.0; 3600];
    for (b, t, s, j) in (0..240).map(|i| (i / 80, i / 20 % 4, i / 5 % 4, i % 5)) {
        a[((b * 4 + t) * 5 + j) * 60 + (b * 4 + s) * 5 + j] = g[t * 4 + s];
    }
    let found = run(&a, 1, |p| marginal(p, &Budget { rtol: 1e-10, max_matvecs: 1000 }, AXES[1]).unwrap());
    // Three samples of four products.
    assert!(found.stop == StopReason::Tolerance && found.matvecs == 12, "{found:?}");
    assert!((0..16).all(|i| (found.matrix[i] - 15.0 * g[i]).abs() < 1e-12));
}

#[test]
fn degenerate_marginals() {
    let identity: Vec<f64> = (0..3600).map(|i| f64::from(u8::from(i / 60 == i % 60))).collect();
    for a in [vec![0.0; 3600], identity, hidden(&slow(60))] {
        for kept in AXES {
            for max_matvecs in [1, 2, 3, 500] {
                let found = run(&a, 1, |p| marginal(p, &Budget { rtol: 1e-3, max_matvecs }, kept).unwrap());
                let numbers = found.matrix.iter().chain(&found.errors).chain(&found.eigenvalues);
                assert!(
                    numbers.chain([&found.effective_rank.0, &found.effective_rank.1]).all(|x| !x.is_nan()),
                    "{found:?}"
                );
                assert!(found.matvecs <= max_matvecs && found.matrix.iter().all(|x| x.is_finite()));
            }
        }
    }
    let shape = Shape::new(1, 40, 40);
    let op = kpflow_core::operator::Identity(shape);
    let engine = Portable;
    let problem = Problem::<f64>::new(&op, &engine, (0, 1), 1, 4, &|_, _, _| ());
    let e = marginal(&problem, &Budget { rtol: 0.1, max_matvecs: 5 }, [false, true, true]).unwrap_err();
    assert!(e.to_string().contains("1600 × 1600"), "{e}");
}
