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

/// The same probes, entry after entry.
#[test]
fn marginals_have_a_naive_twin() {
    let a = hidden(&slow(60));
    let probe = |v: usize| {
        let mut x = vec![0.0; 60];
        let probe = Probe { seed: 3, stream: 0, distribution: Distribution::Rademacher };
        probe.fill(0, v, BlockMut::new(SHAPE, 1, &mut x).unwrap()).unwrap();
        x
    };
    let times = |x: &[f64]| a.chunks(60).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect::<Vec<f64>>();
    for (kept, axis) in [(AXES[0], 0), (AXES[1], 1), (AXES[2], 2)] {
        let sizes = [3, 4, 5];
        let d = sizes[axis];
        let place = |i: usize| [i / 20, i / 5 % 4, i % 5];
        let same = |p: usize, q: usize| (0..3).all(|x| x == axis || place(p)[x] == place(q)[x]);
        // All signs random (a budget below ten samples of d), and structured.
        for budget in [10 * d - 3, 12 * d] {
            let mut mean = vec![0.0; d * d];
            let count = if budget < 10 * d { budget } else { 12 };
            for s in 0..count {
                let x = probe(s);
                for i in 0..60 * 60 {
                    let (p, q) = (i / 60, i % 60);
                    if !same(p, q) {
                        continue;
                    }
                    let entry = place(p)[axis] * d + place(q)[axis];
                    if count == budget {
                        mean[entry] += x[p] * times(&x)[q];
                    } else {
                        // Column place(p)[axis] of the sample, read at q.
                        let sign = |i: usize| x[i - place(i)[axis] * [20, 5, 1][axis]];
                        let masked: Vec<f64> =
                            (0..60).map(|i| if place(i)[axis] == place(p)[axis] { sign(i) } else { 0.0 }).collect();
                        mean[entry] += sign(q) * times(&masked)[q];
                    }
                }
            }
            let found = run(&a, 3, |p| marginal(p, &Budget { rtol: 0.0, max_matvecs: budget }, kept).unwrap());
            assert_eq!(found.matvecs, budget);
            for i in 0..d * d {
                let expected = 0.5 * (mean[i] + mean[i % d * d + i / d]) / count as f64;
                assert!(
                    (found.matrix[i] - expected).abs() < 1e-12,
                    "{kept:?} {budget}: {} {expected}",
                    found.matrix[i]
                );
            }
        }
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
    assert!(found.stop == StopReason::Tolerance && found.matvecs == 40, "{found:?}");
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
