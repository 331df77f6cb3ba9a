//! Solves against dense linear algebra.

use super::tests::hidden;
use super::*;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use kpflow_core::machine::Portable;
use kpflow_core::operator::{Adjoint, Dense, Gram, Normal};
use kpflow_core::{Scalar, Shape};

const N: usize = 240;
const SHAPE: Shape = Shape::new(3, 8, 10);

/// Spectra of the kind that trained networks have.
fn spectra() -> [(&'static str, Vec<f64>); 4] {
    let of = |f: &dyn Fn(usize) -> f64| (0..N).map(f).collect::<Vec<f64>>();
    [
        ("1/k²", of(&|i| 1.0 / (1.0 + i as f64).powi(2))),
        ("one dominant mode", of(&|i| if i == 0 { 1.0 } else { 0.02 / N as f64 * (1.0 + 0.3 * (i as f64).sin()) })),
        ("rank 7", of(&|i| if i < 7 { 1.0 / (1.0 + i as f64) } else { 0.0 })),
        ("two clusters", of(&|i| if i < 60 { 1.0 } else { 0.01 } * (1.0 + 0.01 * (i as f64).sin()))),
    ]
}

fn of(variance: f64, exponent: i32) -> Noise {
    Noise { variance, exponent, delta: 0.0 }
}

/// Right-hand sides that no eigenvector is.
fn sides(m: usize) -> Vec<f64> {
    (0..N * m).map(|i| ((3 * i + i * i % 17) as f64 * 0.61).sin() + 0.2).collect()
}

/// A matrix in this precision, as a problem, and right-hand sides in it; and both as they are in double precision.
fn with<T: Scalar, R>(
    values: &[f64],
    m: usize,
    f: impl FnOnce(&Problem<'_, T>, &Tall<T>, &Mat<f64>, &Mat<f64>) -> R,
) -> R {
    let matrix: Vec<T> = hidden(values).into_iter().map(T::of).collect();
    let op = Dense::new(&matrix, SHAPE, SHAPE).unwrap();
    let problem = Problem::new(&op, &Portable, (0, 3), 5, 8, &|_, _, _| ());
    let b = problem.at_places(&sides(m), &problem.places(), m);
    let exact = Mat::from_fn(N, N, |i, j| 0.5 * (matrix[i * N + j].f64() + matrix[j * N + i].f64()));
    let rows = columns(&problem, &b);
    f(&problem, &b, &exact, &rows)
}

fn columns<T: Scalar>(problem: &Problem<'_, T>, x: &Tall<T>) -> Mat<f64> {
    let (numbers, m) = (problem.numbers(x, false), x.vectors);
    Mat::from_fn(N, m, |i, v| numbers[i * m + v])
}

/// Holds what is told of a solution against a dense solve.
#[track_caller]
fn check<T: Scalar>(
    what: &str,
    (problem, found): (&Problem<'_, T>, &Solution<Tall<T>>),
    (a, b): (&Mat<f64>, &Mat<f64>),
    noise: f64,
) {
    let (m, epsilon) = (b.ncols(), T::epsilon().f64());
    let shifted = a + faer::Scale(noise) * Mat::<f64>::identity(N, N);
    let truth = shifted.llt(Side::Lower).unwrap().solve(b);
    let x = columns(problem, &found.vectors);
    let rest = b - &shifted * &x;
    for v in 0..m {
        let norm = |y: &Mat<f64>| y.col(v).norm_l2();
        let (length, residual) = (norm(b), norm(&rest));
        let told = found.residuals[v];
        let floor = 20.0 * epsilon * (norm(&x) * (1.0 + noise) + length);
        assert!((told * length - residual).abs() <= 0.01 * residual + floor, "{what}: {told} {}", residual / length);
        let error = norm(&(&x - &truth));
        let bound = found.error_bounds[v];
        assert!(error <= bound, "{what}: an error of {error} beyond {bound}");
        let form: f64 = (0..N).map(|i| b[(i, v)] * truth[(i, v)]).sum();
        let [low, high] = found.form_intervals[v];
        let rounding = 1e-13 * form;
        assert!(low - rounding <= form && form <= high + rounding, "{what}: {form} is not in [{low}, {high}]");
    }
}

fn solved<T: Scalar>(noise: f64, rtol: f64) {
    for (name, values) in spectra() {
        with::<T, _>(&values, 3, |p, b, a, rows| {
            let found = solve(p, &Budget { rtol, max_matvecs: 1000 }, b, of(noise, 0)).unwrap();
            check(name, (p, &found), (a, rows), noise);
            assert_eq!((found.stop, p.matvecs()), (StopReason::Tolerance, found.matvecs), "{name}");
            assert!(found.residuals.iter().all(|r| *r <= rtol), "{name}: {:?}", found.residuals);
        });
    }
}

#[test]
fn solves_are_those_of_dense_matrices() {
    for noise in [1.0, 1e-2, 1e-5] {
        solved::<f64>(noise, 1e-10);
    }
    for noise in [1.0, 1e-2, 1e-3] {
        solved::<f32>(noise, 3e-4);
    }
}

/// Frangella, Tropp and Udell's theory: where the spectrum falls below σ² within the sketch, and right-hand sides share
/// it, it saves products; and where it does not, few are lost.
#[test]
fn a_preconditioner_saves_products() {
    for (m, noise) in [(1, 1e-4), (8, 1e-4), (8, 1e-6)] {
        for (name, values) in spectra() {
            let budget = Budget { rtol: 1e-8, max_matvecs: 4000 };
            let [with_it, without] = with::<f64, _>(&values, m, |_, _, _, _| {
                [true, false].map(|preconditioned| {
                    with::<f64, _>(&values, m, |p, b, _, _| {
                        let found = match preconditioned {
                            true => solve(p, &budget, b, of(noise, 0)),
                            false => solve_plainly(p, &budget, b, of(noise, 0)),
                        }
                        .unwrap();
                        (found.matvecs, found.stop)
                    })
                })
            });
            println!("{m} sides, σ² = {noise:e}, {name}: {with_it:?}, without a preconditioner {without:?}");
            assert!(with_it.1.converged());
            let falls = name == "1/k²";
            let most = without.0 as f64 * if m > 1 && falls { 0.7 } else { 1.0 } + 12.0;
            assert!(with_it.0 as f64 <= most, "{name}: {with_it:?} {without:?}");
        }
    }
}

/// Single precision ends near ε κ, and says so, with a residual that is true.
#[test]
fn rounding_is_told_from_convergence() {
    let (_, values) = &spectra()[0];
    with::<f32, _>(values, 2, |p, b, a, rows| {
        let found = solve(p, &Budget { rtol: 1e-6, max_matvecs: 4000 }, b, of(1e-5, 0)).unwrap();
        println!("{:?} {:?} after {}", found.stop, found.residuals, found.matvecs);
        assert_eq!(found.stop, StopReason::Stagnated);
        assert!(
            found.matvecs < 1500 && found.residuals.iter().all(|r| *r < 0.05 && *r > 1e-6),
            "{:?}",
            found.residuals
        );
        check("stagnated", (p, &found), (a, rows), 1e-5);
    });
}

#[test]
fn budgets_hold() {
    for (name, values) in spectra() {
        for max_matvecs in [1, 2, 3, 5, 6, 7, 12, 30, 60] {
            with::<f64, _>(&values, 3, |p, b, a, rows| {
                let found = solve(p, &Budget { rtol: 1e-12, max_matvecs }, b, of(1e-3, 0)).unwrap();
                assert!(p.matvecs() <= max_matvecs && found.matvecs == p.matvecs(), "{name}: {max_matvecs}");
                assert!(found.stop == StopReason::Budget || found.residuals.iter().all(|r| *r <= 1e-12), "{name}");
                check(name, (p, &found), (a, rows), 1e-3);
            });
        }
    }
}

#[test]
fn sizes_of_right_hand_sides_and_of_the_operator_do_not_matter() {
    let (_, values) = &spectra()[0];
    with::<f64, _>(values, 3, |p, b, _, _| {
        let budget = Budget { rtol: 1e-9, max_matvecs: 600 };
        let found = solve(p, &budget, b, of(1e-3, 0)).unwrap();
        // A zero among others, a large one and a small one.
        let mut other = b.clone();
        p.scale(&mut other, &[0.0, 1e120, 1e-120]);
        let scaled = solve(p, &budget, &other, of(1e-3, 0)).unwrap();
        assert!(scaled.stop.converged() && scaled.residuals[0] == 0.0 && scaled.forms[0] == 0.0, "{scaled:?}");
        let mut back = scaled.vectors.clone();
        p.scale(&mut back, &[1.0, 1e-120, 1e120]);
        let (x, y) = (columns(p, &found.vectors), columns(p, &back));
        for v in 1..3 {
            let error = (0..N).map(|i| (x[(i, v)] - y[(i, v)]).powi(2)).sum::<f64>().sqrt();
            assert!(error <= 2.0 * found.error_bounds[v], "{error}");
        }
        assert!((0..N).all(|i| y[(i, 0)] == 0.0));
        // What stands for 2^-k A.
        let double = solve(p, &budget, b, of(4e-3, 2)).unwrap();
        assert!(double.forms.iter().zip(&found.forms).all(|(x, y)| (x - y).abs() < 1e-6 * y), "{double:?}");
        // σ² far above A.
        let far = solve(p, &budget, b, of(1e30, 0)).unwrap();
        let norm = |v: usize| far.forms[v] * 1e30;
        let square = p.dots(b, b).unwrap();
        assert!((0..3).all(|v| (norm(v) - square[v]).abs() < 1e-9 * square[v]) && far.stop.converged(), "{far:?}");
    });
}

/// A = F Fᵀ by its own matrix and by FᵀF: both exact, however small σ² is.
fn by_both_sides<T: Scalar>(noise: f64, rtol: f64) {
    let m = 40;
    let entry = |i: usize, j: usize| ((7 * i + 13 * j + i * j) as f64 * 0.37).sin() * 0.8f64.powi(j as i32) / 10.0;
    let f: Vec<T> = (0..N * m).map(|k| T::of(entry(k / m, k % m))).collect();
    let op = Dense::new(&f, Shape::new(1, 1, m), SHAPE).unwrap();
    let (gram, normal, adjoint, machine) = (Gram(op), Normal(op), Adjoint(op), Portable);
    let factor = Mat::from_fn(N, m, |i, j| f[i * m + j].f64());
    let exact = &factor * factor.transpose();
    for of_factor in [false, true] {
        let a = Problem::new(&gram, &machine, (0, 3), 1, 7, &|_, _, _| ());
        let small = Problem::new(&normal, &machine, (0, 1), 1, 7, &|_, _, _| ());
        let forward = Problem::new(&op, &machine, (0, 1), 1, 7, &|_, _, _| ());
        let back = Problem::new(&adjoint, &machine, (0, 3), 1, 7, &|_, _, _| ()).with_replicated_image(true);
        let b = a.at_places(&sides(2), &a.places(), 2);
        let budget = Budget { rtol, max_matvecs: 1000 };
        let (spectrum, factor) = match of_factor {
            true => (dense_of_factor(&small, N, Wanted::Sums).unwrap(), Some((&back, &forward))),
            false => (dense(&a, Wanted::Sums).unwrap(), None),
        };
        let found = solve_by(&a, factor, &spectrum, &budget, &b, of(noise, 0)).unwrap();
        println!("of the factor {of_factor}, σ² = {noise:e}: {:?} {:?}", found.stop, found.residuals);
        check("by a side", (&a, &found), (&exact, &columns(&a, &b)), noise);
        assert_eq!(found.stop, StopReason::Exact, "{:?}", found.residuals);
        assert!(found.matvecs >= if of_factor { m + 2 } else { N + 2 } && found.residuals.iter().all(|r| *r <= rtol));
    }
}

#[test]
fn both_sides_solve() {
    by_both_sides::<f64>(1e-2, 1e-13);
    by_both_sides::<f64>(1e-7, 1e-9);
    by_both_sides::<f32>(1e-2, 1e-5);
}

#[test]
fn an_operator_that_is_not_semidefinite_is_refused() {
    with::<f64, _>(&spectra()[0].1, 1, |_, _, _, _| ());
    let a = hidden(&spectra()[0].1);
    let op = Dense::new(&a, SHAPE, SHAPE).unwrap();
    let problem = Problem::new(&op, &Portable, (0, 3), 5, 8, &|_, _, _| ()).with_properties(Properties::UNKNOWN);
    let b = problem.zeros(1);
    assert!(solve(&problem, &Budget { rtol: 0.1, max_matvecs: 9 }, &b, of(1.0, 0)).is_err());
}
