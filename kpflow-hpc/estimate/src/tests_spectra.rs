//! Quadrature, densities and singular triplets on operators whose answers are known.

use super::tests::{coverage, decaying, flat, hidden, slow, with};
use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::{Adjoint, Dense, Gram};
use kpflow_core::Shape;

#[test]
fn error_bars_of_spectral_sums_cover_the_truth() {
    let budget = Budget { rtol: 0.0, max_matvecs: 360 };
    for (kind, values) in [("decaying", decaying(60)), ("flat", flat(60)), ("slow", slow(60))] {
        type Method<'a> = &'a dyn Fn(&Problem<'_, f64>) -> Estimate;
        let cases: [(&str, f64, Method<'_>); 2] = [
            ("log det", log_det_of(&values, (0.1, 0)), &|p| log_det(p, &budget, (0.1, 0)).unwrap()),
            ("entropy rank", entropy_rank_of(&values), &|p| entropy_rank(p, &budget).unwrap()),
        ];
        for (what, truth, f) in cases {
            let (covered, bias) = coverage(truth, |seed| with(&values, seed, 8, |p| f(p)));
            println!("{what} of a {kind} spectrum: {covered} of 200, bias {bias:.2}");
            assert!(covered >= 176 && bias.abs() < 4.0, "{what} of a {kind} spectrum: {covered} of 200, bias {bias}");
        }
    }
}

/// Lanczos by Gram and Schmidt: n Σ τ² f(θ) of so many steps from x.
fn naive_quadrature(a: &[f64], x: &[f64], steps: usize, f: impl Fn(f64) -> f64) -> f64 {
    let mut krylov: Vec<Vec<f64>> = vec![x.to_vec()];
    for _ in 1..steps {
        let q = twins::orthonormal(&krylov);
        krylov.push(twins::times(a, &q[q.len() - 1]));
    }
    let q = twins::orthonormal(&krylov);
    let t: Vec<f64> = (0..steps * steps).map(|i| twins::dot(&q[i / steps], &twins::times(a, &q[i % steps]))).collect();
    let (nodes, vectors) = symmetric_eigen(&t, steps);
    twins::dot(x, x) * nodes.iter().zip(vectors.chunks(steps)).map(|(x, v)| v[0] * v[0] * f(*x)).sum::<f64>()
}

/// 30 products for a Nyström approximation Â, and recurrences of 5 steps from 6 probes, on A and on Â.
#[test]
fn spectral_sums_have_a_naive_twin() {
    let a = twins::matrix();
    let f = |x: f64| (x.max(0.0) / 0.5).ln_1p();
    let omega = twins::sketches(30);
    let y: Vec<Vec<f64>> = omega.iter().map(|x| twins::times(&a, x)).collect();
    let hat = twins::nystrom(&omega, &y).concat();
    let known: f64 = symmetric_eigen(&hat, twins::N).0.into_iter().map(f).sum();
    let samples = |steps: usize| {
        let one = |x: &Vec<f64>| naive_quadrature(&a, x, steps, f) - naive_quadrature(&hat, x, steps, f) + known;
        twins::tests(6).iter().map(one).collect::<Vec<f64>>()
    };
    let (now, before) = (samples(5), samples(3));
    let (value, error) = twins::jackknifed(&now, twins::average);
    let found = twins::run(&a, 60, |p, b| log_det(p, b, (0.5, 0)));
    let error = error + (twins::average(&before) - value).abs();
    let error = interval::Bar::positive(value, error).error;
    let off = [found.value - value, found.standard_error - error].map(f64::abs);
    assert!(off[0] < 1e-8 * value && off[1] < 1e-7 * value, "{found:?} {value} {error}");
}

#[test]
fn densities_and_atoms() {
    // Two thirds of the eigenvalues are 0, the others at 1 and 3.
    let values = [vec![3.0; 5], vec![1.0; 15], vec![0.0; 40]].concat();
    let trapezoid =
        |x: &[f64], y: &[f64]| (1..x.len()).map(|i| 0.5 * (x[i] - x[i - 1]) * (y[i] + y[i - 1])).sum::<f64>();
    let exact = density_of(&values, 401, 1e-16, usize::MAX);
    assert!((exact.zero_mass - 2.0 / 3.0).abs() < 1e-12);
    with(&values, 1, 8, |p| {
        let (found, estimate) = density(p, &Budget { rtol: 0.0, max_matvecs: 400 }, 401).unwrap();
        assert!((found.zero_mass - 2.0 / 3.0).abs() < 4.0 * found.zero_mass_error, "{found:?}");
        assert!(found.zero_mass_error < 0.05 && found.zero_mass_bound >= found.zero_mass);
        assert!((trapezoid(&found.grid, &found.density) - 1.0).abs() < 1e-12);
        assert!((trapezoid(&found.log_grid, &found.log_density) - 1.0).abs() < 1e-12);
        assert!((estimate.value - 30.0).abs() < 4.0 * estimate.standard_error);
        // A quarter of what is not 0 lies about 3.
        let above: Vec<f64> =
            found.grid.iter().zip(&found.density).map(|(x, d)| if *x > 2.0 { *d } else { 0.0 }).collect();
        assert!((trapezoid(&found.grid, &above) - 0.25).abs() < 0.1);
    });
    // A tail that no recurrence resolves is no atom, but may be one.
    with(&decaying(60), 1, 8, |p| {
        let (found, _) = density(p, &Budget { rtol: 0.0, max_matvecs: 80 }, 101).unwrap();
        assert!(found.zero_mass < 0.02 && found.zero_mass_bound <= 1.0, "{found:?}");
    });
}

#[test]
fn degenerate_spectra() {
    for values in [vec![0.0; 30], vec![1.0; 30], vec![2.0], [vec![5.0], vec![0.0; 29]].concat(), slow(30)] {
        for max_matvecs in [1, 2, 3, 10, 1000] {
            let budget = Budget { rtol: 1e-6, max_matvecs };
            let (exact_sum, exact_rank) = (log_det_of(&values, (1.0, 0)), entropy_rank_of(&values));
            for (truth, e) in [
                (exact_sum, with(&values, 1, 4, |p| log_det(p, &budget, (1.0, 0)).unwrap())),
                (exact_rank, with(&values, 1, 4, |p| entropy_rank(p, &budget).unwrap())),
            ] {
                assert!(e.value.is_finite() && e.standard_error >= 0.0 && e.matvecs <= max_matvecs, "{e:?}");
                assert!((e.value - truth).abs() <= 8.0 * e.standard_error + 1e-9 * truth, "{e:?}, {truth}");
            }
            let (d, _) = with(&values, 1, 4, |p| density(p, &budget, 51).unwrap());
            let all = [&d.grid, &d.density, &d.log_grid, &d.log_density].into_iter().flatten();
            assert!(all.chain([&d.zero_mass, &d.zero_mass_bound]).all(|x| x.is_finite()), "{d:?}");
        }
    }
}

#[test]
fn singular_triplets_of_a_known_matrix() {
    // U diag(σ) Vᵀ with two different bases.
    let sigma: Vec<f64> = (0..24).map(|i| 5.0 * 0.7f64.powi(i)).collect();
    let (u, v) = (hidden(&decaying(24)), hidden(&flat(24)));
    let (u, v) = (symmetric_eigen(&u, 24).1, symmetric_eigen(&v, 24).1);
    let entry = |i: usize, j: usize| (0..24).map(|k| u[k * 24 + i] * sigma[k] * v[k * 24 + j]).sum::<f64>();
    let a: Vec<f64> = (0..576).map(|i| entry(i / 24, i % 24)).collect();
    let shape = Shape::new(3, 2, 4);
    let engine = Portable;
    let op = Dense::new(&a, shape, shape).unwrap();
    let (gram, adjoint) = (Gram(op), Adjoint(op));
    for (max_matvecs, converges) in [(300, true), (7, false), (1, false), (2, false)] {
        let problem = |op| Problem::new(op, &engine, (0, 3), 1, 4, &|_, _, _| ());
        let budget = Budget { rtol: 1e-7, max_matvecs };
        let found = singular_triplets(&problem(&gram), &problem(&op), &problem(&adjoint), &budget, 5).unwrap();
        assert!(found.matvecs <= max_matvecs && found.values.iter().all(|x| x.is_finite()), "{found:?}");
        assert_eq!(found.stop.converged(), converges);
        if converges {
            assert!(found.residuals.iter().all(|&r| r <= 1e-7), "{:?}", found.residuals);
            assert!(found.values.iter().zip(&sigma).all(|(x, s)| (x - s).abs() < 1e-9));
            assert_eq!((found.left.vectors, found.right.vectors), (5, 5));
        }
    }
}
