//! Trace and moment estimators: error bars that cover, and operators that break the careless.

use super::tests::{coverage, decaying, flat, hidden, slow, with};
use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::Dense;
use kpflow_core::Shape;

pub(super) type Method<T> = (&'static str, fn(&Problem<'_, T>, &Budget) -> Result<Estimate>);

/// Every estimator of the trace of a symmetric operator.
pub(super) const TRACES: [Method<f64>; 5] = [
    ("hutchinson", |p, b| Ok(hutchinson(p, b).unwrap())),
    ("hutchpp", |p, b| hutchpp(p, b)),
    ("nystrompp", |p, b| nystrompp(p, b)),
    ("xtrace", |p, b| xtrace(p, b)),
    ("xnystrace", |p, b| xnystrace(p, b)),
];

/// Every estimator of the trace of a block diagonal operator.
pub(super) const BLOCKS: [Method<f64>; 3] = [
    ("per_trajectory", |p, b| Ok(per_trajectory(p, b).unwrap())),
    ("per_trajectory_xnystrace", |p, b| per_trajectory_xnystrace(p, b)),
    ("auto", |p, b| auto(p, b, None)),
];

fn covers(what: &str, truth: f64, estimate: impl Fn(u64) -> Estimate) {
    let (covered, bias) = coverage(truth, estimate);
    println!("{what}: {covered} of 200, bias {bias:.2}");
    assert!(covered >= 176 && bias.abs() < 4.0, "{what}: {covered} of 200 cover, bias {bias} of its errors");
}

#[test]
fn error_bars_of_traces_cover_the_truth() {
    for (kind, values) in [("decaying", decaying(60)), ("flat", flat(60)), ("slow", slow(60))] {
        let trace: f64 = values.iter().sum();
        for (name, method) in TRACES {
            for max_matvecs in [24, 45] {
                let budget = Budget { rtol: 0.0, max_matvecs };
                let estimate = |seed| with(&values, seed, 8, |p| method(p, &budget).unwrap());
                covers(&format!("{name} at {max_matvecs} of a {kind} spectrum"), trace, estimate);
            }
        }
    }
}

/// Three blocks that share nothing.
fn block_diagonal(values: &[f64]) -> (Vec<f64>, Shape) {
    let (k, n) = (values.len(), 3 * values.len());
    let mut a = vec![0.0; n * n];
    for b in 0..3 {
        let block = hidden(&values.iter().map(|v| v * (b + 1) as f64).collect::<Vec<_>>());
        (0..k * k).for_each(|i| a[(b * k + i / k) * n + b * k + i % k] = block[i]);
    }
    (a, Shape::new(3, 1, k))
}

#[test]
fn error_bars_by_trajectories_cover_the_truth() {
    let engine = Portable;
    for (kind, values) in [("decaying", decaying(40)), ("flat", flat(40)), ("slow", slow(40))] {
        let (a, shape) = block_diagonal(&values);
        let op = Dense::new(&a, shape, shape).unwrap();
        let trace = 6.0 * values.iter().sum::<f64>();
        for (name, method) in BLOCKS {
            for max_matvecs in [12, 24] {
                covers(&format!("{name} at {max_matvecs} of a {kind} spectrum"), trace, |seed| {
                    let problem = Problem::new(&op, &engine, (0, 3), seed, 8, &|_, _, _| ());
                    method(&problem, &Budget { rtol: 0.0, max_matvecs }).unwrap()
                });
            }
        }
    }
}

/// A symmetric factor F of A = F Fᵀ with these eigenvalues.
fn factor(values: &[f64]) -> Vec<f64> {
    hidden(&values.iter().map(|v| v.sqrt()).collect::<Vec<_>>())
}

#[test]
fn error_bars_of_second_moments_cover_the_truth() {
    let engine = Portable;
    let shape = Shape::new(3, 1, 20);
    for (kind, values) in [("decaying", decaying(60)), ("flat", flat(60)), ("slow", slow(60))] {
        let (trace, square): (f64, f64) = (values.iter().sum(), values.iter().map(|v| v * v).sum());
        let budget = Budget { rtol: 0.0, max_matvecs: 60 };
        let with_factor = |seed, f: &dyn Fn(&Problem<'_, f64>) -> Estimate| {
            let a = factor(&values);
            let op = Dense::new(&a, shape, shape).unwrap();
            let problem = Problem::new(&op, &engine, (0, 3), seed, 8, &|_, _, _| ());
            f(&problem)
        };
        covers(&format!("effective rank of a {kind} spectrum"), trace * trace / square, |seed| {
            with(&values, seed, 8, |p| effective_rank_sampled(p, &budget).unwrap())
        });
        covers(&format!("reverse trace of a {kind} spectrum"), trace, |seed| {
            with_factor(seed, &|p| one_sided(p, &budget).unwrap())
        });
        covers(&format!("forward trace of a {kind} spectrum"), trace, |seed| {
            with_factor(seed, &|p| one_sided(p, &budget).unwrap())
        });
        covers(&format!("pair statistic of the norm of a {kind} spectrum"), square.sqrt(), |seed| {
            with_factor(seed, &|p| pair_statistic(p, &budget, SecondMoment::Frobenius).unwrap())
        });
        covers(&format!("pair statistic of the rank of a {kind} spectrum"), trace * trace / square, |seed| {
            with_factor(seed, &|p| pair_statistic(p, &budget, SecondMoment::EffectiveRank).unwrap())
        });
        // Against the same with its modes turned round: something between 0 and 1.
        let turned: Vec<f64> = values.iter().rev().copied().collect();
        let inner: f64 = values.iter().zip(&turned).map(|(a, b)| (a + 0.3) * (b + 0.3)).sum();
        let norms: f64 = values.iter().map(|a| (a + 0.3).powi(2)).sum();
        let lifted = |v: &[f64]| v.iter().map(|a| a + 0.3).collect::<Vec<_>>();
        for deflate in [false, true] {
            covers(&format!("alignment ({deflate}) of a {kind} spectrum"), inner / norms, |seed| {
                with(&lifted(&values), seed, 8, |p| {
                    with(&lifted(&turned), seed, 8, |q| alignment(p, q, &budget, deflate).unwrap())
                })
            });
        }
    }
}

/// Spectra whose tail drowns in the rounding of single precision: what cannot be seen of them is in the error bar.
#[test]
fn error_bars_cover_what_rounding_hides() {
    let tail = |value: f64| [vec![1.0; 5], vec![value; 25]].concat();
    let singles: [Method<f32>; 4] = [
        ("nystrompp", |p, b| nystrompp(p, b)),
        ("xtrace", |p, b| xtrace(p, b)),
        ("xnystrace", |p, b| xnystrace(p, b)),
        ("per_trajectory_xnystrace", |p, b| per_trajectory_xnystrace(p, b)),
    ];
    let engine = Portable;
    for value in [0.0, 3e-7, 3e-6, 3e-5, 3e-4] {
        let a: Vec<f32> = hidden(&tail(value)).iter().map(|&x| x as f32).collect();
        let trace = (0..30).map(|i| f64::from(a[i * 31])).sum::<f64>();
        let shape = Shape::new(1, 1, 30);
        let op = Dense::new(&a, shape, shape).unwrap();
        for (name, method) in singles {
            for max_matvecs in [12, 20, 29, 30] {
                // The products themselves are right to rounding, and no better.
                let good = |seed| {
                    let problem = Problem::new(&op, &engine, (0, 1), seed, 8, &|_, _, _| ());
                    let found = method(&problem, &Budget { rtol: 0.0, max_matvecs }).unwrap();
                    let off = (found.value - trace).abs();
                    off <= 1.96 * found.standard_error + 1e-6 * trace
                };
                let covered = (0..200).filter(|&seed| good(seed)).count();
                let what = format!("{name} at {max_matvecs} of a tail of {value}");
                println!("{what}: {covered} of 200");
                assert!(covered >= 176, "{what}: {covered} of 200 cover");
            }
        }
    }
}

/// Right, or a clear error; never NaN, never more than was allowed.
#[test]
fn degenerate_operators_and_budgets() {
    let engine = Portable;
    let low_rank = [vec![4.0, 1.0, 0.5], vec![0.0; 57]].concat();
    let cases: [(&str, Vec<f64>, bool); 7] = [
        ("zero", vec![0.0; 30], true),
        ("identity", vec![1.0; 30], true),
        ("one-dimensional", vec![2.0], true),
        ("two-dimensional", vec![2.0, 1e-30], true),
        ("rank-deficient", low_rank, true),
        ("tiny tail", (0..60).map(|i| 10f64.powi(-i)).collect(), true),
        ("indefinite", (0..30).map(|i| if i % 2 == 0 { 1.0 } else { -0.9 }).collect(), false),
    ];
    for (kind, values, definite) in cases {
        let (trace, n) = (values.iter().sum::<f64>(), values.len());
        for max_matvecs in [1, 2, 3, 7, 30, 100, 1000] {
            let budget = Budget { rtol: 1e-9, max_matvecs };
            for (name, method) in TRACES.iter().chain(&BLOCKS) {
                // The block diagonal of a matrix that couples everything is another operator: one trajectory, then.
                let (a, shape) = (hidden(&values), Shape::new(1, 1, n));
                let op = Dense::new(&a, shape, shape).unwrap();
                let found = method(&Problem::new(&op, &engine, (0, 1), 5, 4, &|_, _, _| ()), &budget);
                let what = format!("{name} of {kind} with {max_matvecs}");
                let needs_definite = name.contains("nystr") || *name == "auto";
                let found = match found {
                    Ok(found) => found,
                    Err(e) => {
                        assert!(
                            !definite && needs_definite && e.to_string().contains("not positive semidefinite"),
                            "{what}: {e}"
                        );
                        continue;
                    }
                };
                let Estimate { value, standard_error, matvecs, .. } = found;
                assert!(value.is_finite() && standard_error >= 0.0 && matvecs <= max_matvecs, "{what}: {found:?}");
                assert!(found.history.iter().flatten().all(|x| !x.is_nan()), "{what}: {found:?}");
                if max_matvecs < 12 || standard_error.is_infinite() {
                    continue;
                }
                // As many products as there are numbers, or as A has directions, leave nothing to chance.
                let exact = match *name {
                    "xtrace" => max_matvecs >= 2 * n.min(20),
                    "hutchpp" | "nystrompp" => max_matvecs >= 3 * n.min(20),
                    "hutchinson" | "per_trajectory" => false,
                    _ => max_matvecs >= n.min(20),
                };
                if exact && (n <= 2 || kind == "zero" || kind == "identity" || kind == "rank-deficient") {
                    assert!((value - trace).abs() <= 1e-9 * trace.abs().max(1e-30), "{what}: {value} against {trace}");
                    assert!(found.stop.converged(), "{what}: {found:?}");
                }
                assert!(
                    (value - trace).abs() <= 8.0 * standard_error + 1e-9 * trace.abs(),
                    "{what}: {found:?}, {trace}"
                );
            }
        }
    }
}

/// The exact way is taken when it is cheaper than what the tolerance still asks for, not before.
#[test]
fn the_automatic_choice_goes_by_cost() {
    let (a, shape) = block_diagonal(&slow(40));
    let op = Dense::new(&a, shape, shape).unwrap();
    let engine = Portable;
    let trace = 6.0 * slow(40).iter().sum::<f64>();
    let run = || Ok(Estimate::exact(trace, 0));
    let choose = |products, rtol, max_matvecs| {
        let problem = Problem::new(&op, &engine, (0, 3), 1, 8, &|_, _, _| ());
        let estimate = auto(&problem, &Budget { rtol, max_matvecs }, Some(Exact { products, run: &run })).unwrap();
        (estimate.stop == StopReason::Exact, estimate)
    };
    let (exact, estimate) = choose(5.0, 0.1, 100);
    assert!(exact && estimate.matvecs == 0 && estimate.stop == StopReason::Exact);
    let (exact, estimate) = choose(50.0, 0.1, 1000);
    assert!(!exact && estimate.stop == StopReason::Tolerance && estimate.matvecs < 50, "{estimate:?}");
    let (exact, estimate) = choose(500.0, 1e-6, 100_000);
    assert!(exact || estimate.standard_error <= 1e-6 * trace, "{estimate:?}");
    let (exact, estimate) = choose(500.0, 0.0, 30);
    assert!(!exact && estimate.stop == StopReason::Budget && estimate.matvecs == 30);
}

/// Around a full sketch, where a next one begins with a single probe.
#[test]
fn any_number_of_products_per_trajectory() {
    let values = decaying(20);
    let truth: f64 = values.iter().sum();
    for max_matvecs in 1..=45 {
        let budget = Budget { rtol: 0.0, max_matvecs };
        let e = with(&values, 5, 4, |p| per_trajectory_xnystrace(p, &budget).unwrap());
        let off = (e.value - truth).abs();
        assert!(
            off <= 5.0 * e.standard_error + 1e-12,
            "{max_matvecs}: {} is {off:e} off, {:e}",
            e.value,
            e.standard_error
        );
        assert!(max_matvecs < 20 || e.standard_error <= 1e-9, "{max_matvecs}: {off:e}, {:e}", e.standard_error);
    }
}
