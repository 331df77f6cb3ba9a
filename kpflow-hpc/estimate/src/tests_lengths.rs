//! Trajectories of different length: what is behind an end is counted by no estimate.

use super::tests::{coverage, flat, hidden, slow};
use super::tests_trace::{BLOCKS, TRACES};
use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::Dense;
use kpflow_core::Shape;

const SHAPE: Shape = Shape::new(3, 4, 5);
const LENGTHS: [usize; 3] = [2, 4, 1];
/// The numbers that the trajectories have, and where each trajectory's begin.
const N: usize = 35;

/// Where they are in a whole vector.
fn places() -> Vec<usize> {
    (0..3).flat_map(|b| b * 20..b * 20 + 5 * LENGTHS[b]).collect()
}

/// A matrix of the trajectories' numbers among those of whole vectors.
fn embedded(a: &[f64]) -> Vec<f64> {
    let (mut whole, places) = (vec![0.0; 3600], places());
    (0..N * N).for_each(|i| whole[places[i / N] * 60 + places[i % N]] = a[i]);
    whole
}

fn run<R>(a: &[f64], seed: u64, f: impl Fn(&Problem<'_, f64>) -> R) -> R {
    let whole = embedded(a);
    let op = Dense::new(&whole, SHAPE, SHAPE).unwrap();
    let engine = Portable;
    let problem = Problem::new(&op, &engine, (0, 3), seed, 7, &|_, _, _| ()).with_lengths(Some(&LENGTHS));
    f(&problem)
}

fn covers(what: &str, truth: f64, a: &[f64], f: impl Fn(&Problem<'_, f64>) -> Estimate) {
    let (covered, bias) = coverage(truth, |seed| run(a, seed, &f));
    assert!(covered >= 176 && bias.abs() < 4.0, "{what}: {covered} of 200 cover, bias {bias} of its errors");
}

/// The same matrix without what couples trajectories.
fn apart(a: &[f64]) -> Vec<f64> {
    let of = |i: usize| places()[i] / 20;
    (0..N * N).map(|i| if of(i / N) == of(i % N) { a[i] } else { 0.0 }).collect()
}

#[test]
fn estimates_count_what_trajectories_have() {
    // Where all directions count alike, one too many is seen.
    for (kind, values) in [("flat", flat(N))] {
        let a = hidden(&values);
        let (trace, square) = (values.iter().sum::<f64>(), values.iter().map(|v| v * v).sum::<f64>());
        let budget = |max_matvecs| Budget { rtol: 0.0, max_matvecs };
        for (name, method) in TRACES {
            covers(&format!("{name}, {kind}"), trace, &a, |p| method(p, &budget(24)).unwrap());
        }
        for (name, method) in BLOCKS {
            for products in [4, 24] {
                let what = format!("{name} by {products}, {kind}");
                covers(&what, trace, &apart(&a), |p| method(p, &budget(products)).unwrap());
            }
        }
        covers(&format!("norm, {kind}"), square.sqrt(), &a, |p| frobenius(p, &budget(60)).unwrap());
        covers(&format!("deflated norm, {kind}"), square.sqrt(), &a, |p| frobenius_deflated(p, &budget(40)).unwrap());
        covers(&format!("log det, {kind}"), log_det_of(&values, (0.1, 0)), &a, |p| {
            log_det(p, &budget(360), (0.1, 0)).unwrap()
        });
        covers(&format!("entropy rank, {kind}"), entropy_rank_of(&values), &a, |p| {
            entropy_rank(p, &budget(360)).unwrap()
        });
    }
}

/// As many probes as there are numbers find all of them; more are not needed.
#[test]
fn whole_sketches_are_exact() {
    let values = slow(N);
    let trace: f64 = values.iter().sum();
    let a = hidden(&values);
    let found = run(&a, 3, |p| xnystrace(p, &Budget { rtol: 0.0, max_matvecs: N }).unwrap());
    assert!((found.value - trace).abs() < 1e-6 * trace && found.matvecs == N, "{found:?}");
    let found = run(&a, 3, |p| xtrace(p, &Budget { rtol: 0.0, max_matvecs: 2 * N }).unwrap());
    assert!((found.value - trace).abs() < 1e-9 * trace, "{found:?}");
    // The longest trajectory has 20 numbers.
    let found = run(&apart(&a), 3, |p| per_trajectory_xnystrace(p, &Budget { rtol: 0.0, max_matvecs: 20 }).unwrap());
    assert!((found.value - trace).abs() < 1e-6 * trace, "{found:?}");
    let pairs = run(&a, 3, |p| block_krylov(p, &Budget { rtol: 1e-10, max_matvecs: 500 }, 60).unwrap());
    assert_eq!(pairs.values.len(), N);
    assert!(pairs.values.iter().zip(&values).all(|(x, y)| (x - y).abs() < 1e-8), "{:?}", pairs.values);
}

#[test]
fn dense_spectra_have_no_other_eigenvalues() {
    let values = [vec![2.0; 7], vec![0.0; 28]].concat();
    let a = hidden(&values);
    let (spectrum, pairs, mass) = run(&a, 1, |p| {
        let spectrum = dense(p, Wanted::Vectors).unwrap();
        let pairs = spectrum.eigenpairs(p, None, N).unwrap();
        (spectrum, pairs, density(p, &Budget { rtol: 0.0, max_matvecs: 400 }, 101).unwrap().0)
    });
    assert_eq!((spectrum.values.len(), &spectrum.places), (N, &places()));
    assert_eq!(spectrum.whole(60), embedded(&spectrum.matrix));
    assert!(spectrum.whole(60).iter().zip(embedded(&a)).all(|(x, y)| (x - y).abs() < 1e-13));
    let exact = density_of(&spectrum.values, 101, f64::EPSILON, usize::MAX).zero_mass;
    assert!((exact - 0.8).abs() < 1e-12, "{exact}");
    assert!((mass.zero_mass - 0.8).abs() < 4.0 * mass.zero_mass_error + 0.02, "{mass:?}");
    for v in 0..7 {
        let x: Vec<f64> = (0..3).flat_map(|b| pairs.vectors.part(b, v).to_vec()).collect();
        let inside: f64 = places().iter().map(|&i| x[i] * x[i]).sum();
        let all: f64 = x.iter().map(|x| x * x).sum();
        assert!((inside - 1.0).abs() < 1e-12 && (all - inside).abs() < 1e-24);
    }
}

#[test]
fn marginals_and_blocks_of_what_there_is() {
    let a = hidden(&slow(N));
    let whole = embedded(&a);
    let everything: Vec<usize> = (0..60).collect();
    for kept in [[true, false, false], [false, true, false], [false, false, true], [true, false, true]] {
        let (truth, d) = marginal_of(&whole, &everything, SHAPE, kept);
        let (found, same) = marginal_of(&a, &places(), SHAPE, kept);
        assert!(d == same && truth.iter().zip(&found).all(|(x, y)| (x - y).abs() < 1e-13));
        for max_matvecs in [40, 12 * d] {
            let (mut inside, budget) = (0, Budget { rtol: 0.0, max_matvecs });
            for seed in 0..60 {
                let m = run(&a, seed, |p| marginal(p, &budget, kept).unwrap());
                let near = |i: &usize| (m.matrix[*i] - truth[*i]).abs() <= 1.96 * m.errors[*i] + 1e-12;
                inside += (0..d * d).filter(near).count();
            }
            assert!(
                inside as f64 >= 0.88 * (60 * d * d) as f64,
                "{kept:?} by {max_matvecs}: {inside} of {}",
                60 * d * d
            );
        }
    }
    // Two units of the five against the others.
    let part_of: Vec<usize> = (0..20).map(|i| usize::from(i % 5 > 1)).collect();
    let exact = dense_blocks(&run(&a, 1, |p| dense(p, Wanted::Vectors).unwrap()), &part_of, 2, N);
    let square = |of: [usize; 2]| -> f64 {
        let inside = |i: usize| part_of[i / 60 % 20] == of[0] && part_of[i % 20] == of[1];
        (0..3600).filter(|&i| inside(i)).map(|i| whole[i] * whole[i]).sum::<f64>().sqrt()
    };
    for (i, of) in [[0, 0], [0, 1], [1, 0], [1, 1]].into_iter().enumerate() {
        assert!((exact.norms[i] - square(of)).abs() < 1e-13);
    }
    let sampled = run(&a, 2, |p| estimate_blocks(p, &part_of));
    for i in 0..4 {
        assert!((sampled.norms[i] - exact.norms[i]).abs() < 5.0 * sampled.norm_errors[i], "{sampled:?}");
    }
}

fn estimate_blocks(problem: &Problem<'_, f64>, part_of: &[usize]) -> Blocks {
    blocks::blocks(problem, &Budget { rtol: 0.0, max_matvecs: 400 }, part_of, 2).unwrap()
}
