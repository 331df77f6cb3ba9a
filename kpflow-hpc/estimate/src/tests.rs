//! Estimators on operators whose answers are known: right values, error bars that cover, hard cases.

use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::Dense;
use kpflow_core::Shape;

/// A symmetric matrix with these eigenvalues in a basis that no coordinate knows of: Householder reflections of a diagonal.
pub(super) fn hidden(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let mut a: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { values[i / n] } else { 0.0 }).collect();
    for k in 0..3 {
        let v: Vec<f64> = (0..n).map(|i| ((i * (k + 2) + 1) as f64 * 0.7).sin() + 0.1).collect();
        let norm: f64 = v.iter().map(|x| x * x).sum();
        let reflect = |a: &mut Vec<f64>| {
            for row in a.chunks_mut(n) {
                let s: f64 = row.iter().zip(&v).map(|(a, v)| a * v).sum::<f64>() * 2.0 / norm;
                row.iter_mut().zip(&v).for_each(|(a, v)| *a -= s * v);
            }
            *a = (0..n * n).map(|i| a[(i % n) * n + i / n]).collect();
        };
        reflect(&mut a);
        reflect(&mut a);
    }
    a
}

pub(super) fn with<R>(values: &[f64], seed: u64, block: usize, f: impl FnOnce(&Problem<'_, f64>) -> R) -> R {
    let a = hidden(values);
    // Three trajectories where that divides: the estimators see shapes as they are in use.
    let b = if values.len() % 3 == 0 { 3 } else { 1 };
    let shape = Shape::new(b, 1, values.len() / b);
    let op = Dense::new(&a, shape, shape).unwrap();
    let engine = Portable;
    let problem = Problem::new(&op, &engine, (0, b), seed, block, &|_, _, _| ());
    f(&problem)
}

pub(super) fn decaying(n: usize) -> Vec<f64> {
    (0..n).map(|i| 0.8f64.powi(i as i32)).collect()
}

/// A tail that no sketch is done with.
pub(super) fn slow(n: usize) -> Vec<f64> {
    (0..n).map(|i| 1.0 / (1.0 + i as f64)).collect()
}

pub(super) fn flat(n: usize) -> Vec<f64> {
    (0..n).map(|i| 1.0 + 0.1 * (i as f64).sin()).collect()
}

/// How many of 200 intervals of 1.96 standard errors hold the truth; and the mean's distance from it in its own errors.
pub(super) fn coverage(truth: f64, estimate: impl Fn(u64) -> Estimate) -> (usize, f64) {
    let all: Vec<Estimate> = (0..200).map(estimate).collect();
    let covered = all.iter().filter(|e| (e.value - truth).abs() <= 1.96 * e.standard_error + 1e-12 * truth).count();
    let mean = all.iter().map(|e| e.value).sum::<f64>() / 200.0;
    let variance = all.iter().map(|e| (e.value - mean).powi(2)).sum::<f64>() / 199.0;
    (covered, (mean - truth) / (variance / 200.0).sqrt().max(1e-12 * truth))
}

#[test]
fn error_bars_cover_the_truth() {
    for values in [decaying(60), flat(60)] {
        let trace: f64 = values.iter().sum();
        let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
        let budget = |max_matvecs| Budget { rtol: 0.0, max_matvecs };
        let run = |what: &str, truth: f64, f: &dyn Fn(&Problem<'_, f64>) -> Estimate| {
            let (covered, bias) = coverage(truth, |seed| with(&values, seed, 8, f));
            println!("{what}: {covered} of 200, bias {bias:.2}");
            assert!(covered >= 176 && bias.abs() < 4.0, "{what}: {covered} of 200 cover, bias {bias} of its errors");
        };
        run("hutchinson", trace, &|p| hutchinson(p, &budget(40)).unwrap());
        run("frobenius hutchinson", norm, &|p| frobenius(p, &budget(60)).unwrap());
        run("frobenius hutchpp", norm, &|p| frobenius_deflated(p, &budget(60)).unwrap());
        let rank = (trace / norm).powi(2);
        run("effective rank", rank, &|p| {
            effective_rank(&hutchinson(p, &budget(100)).unwrap(), &frobenius(p, &budget(300)).unwrap(), 0.0)
        });
    }
}

/// Intervals cover where a tolerance ends the run too: the look at which an error happens to be small is not a random one.
#[test]
fn error_bars_cover_where_a_tolerance_ends_the_run() {
    let budget = Budget { rtol: 1e-3, max_matvecs: 320 };
    let values: Vec<f64> = (0..24).map(|i| 0.6f64.powi(i)).collect();
    let (f, a) = (hidden(&values.iter().map(|v| v.sqrt()).collect::<Vec<_>>()), hidden(&values));
    // B = GGᵀ of a G that is a little off: an alignment near 1, where products of few probes see no difference.
    let g: Vec<f64> = f.iter().enumerate().map(|(i, x)| x + 0.016 * (1.7 * (i * i % 577) as f64).sin()).collect();
    let row = |m: &[f64], i: usize, j: usize| (0..24).map(|k| m[i * 24 + k] * m[j * 24 + k]).sum::<f64>();
    let b: Vec<f64> = (0..576).map(|i| row(&g, i / 24, i % 24)).collect();
    let sweep: Vec<f64> = (0..576).map(|i| g[i % 24 * 24 + i / 24]).collect();
    let inner = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let truth = inner(&a, &b) / (inner(&a, &a) * inner(&b, &b)).sqrt();
    let shape = Shape::new(1, 1, 24);
    let engine = Portable;
    let runs = |pairs: bool| {
        let operators = if pairs { [&f, &sweep] } else { [&a, &b] }.map(|m| Dense::new(m, shape, shape).unwrap());
        let (covered, _) = coverage(truth, |seed| {
            let [x, y] = [0, 1].map(|i| Problem::new(&operators[i], &engine, (0, 1), seed, 4, &|_, _, _| ()));
            match pairs {
                true => pair_alignment(&x, &y, &budget).unwrap(),
                false => alignment(&x, &y, &budget, false).unwrap(),
            }
        });
        println!("alignment {truth}, by pairs {pairs}: {covered} of 200");
        assert!(covered >= 176, "by pairs {pairs}: {covered} of 200 cover");
    };
    [false, true].into_iter().for_each(runs);
    let norm = inner(&a, &a).sqrt();
    let (covered, _) = coverage(norm, |seed| with(&values, seed, 9, |p| frobenius_deflated(p, &budget).unwrap()));
    assert!(covered >= 176, "frobenius: {covered} of 200 cover");
}

/// Of a multiple of the identity every probe sees the same, and the jackknife over probes may say that nothing is unknown.
#[test]
fn pairs_of_the_identity_have_an_error() {
    for n in [1, 2, 3, 6] {
        for samples in 2..30 {
            let (covered, _) = coverage(n as f64, |seed| {
                let budget = Budget { rtol: 0.0, max_matvecs: samples };
                with(&vec![1.0; n], seed, 5, |p| pair_statistic(p, &budget, SecondMoment::EffectiveRank).unwrap())
            });
            assert!(covered >= 176, "{n} dimensions, {samples} products: {covered} of 200 cover");
        }
    }
}

/// The block diagonal's trace: probes of different trajectories are independent, and their errors add.
#[test]
fn per_trajectory_error_bars_cover_the_truth() {
    let shape = Shape::new(3, 1, 20);
    let blocks: Vec<Vec<f64>> =
        (1..4).map(|k| hidden(&decaying(20).iter().map(|v| v * f64::from(k)).collect::<Vec<_>>())).collect();
    let mut a = vec![0.0; 3600];
    for (k, block) in blocks.iter().enumerate() {
        (0..400).for_each(|i| a[(k * 20 + i / 20) * 60 + k * 20 + i % 20] = block[i]);
    }
    let truth = 6.0 * decaying(20).iter().sum::<f64>();
    let op = Dense::new(&a, shape, shape).unwrap();
    let engine = Portable;
    let (covered, bias) = coverage(truth, |seed| {
        per_trajectory(
            &Problem::new(&op, &engine, (0, 3), seed, 8, &|_, _, _| ()),
            &Budget { rtol: 0.0, max_matvecs: 40 },
        )
        .unwrap()
    });
    assert!(covered >= 176 && bias.abs() < 4.0, "{covered} of 200 cover, bias {bias}");
}

#[test]
fn eigenpairs_of_known_spectra() {
    let clustered: Vec<f64> = (0..90).map(|i| if i < 7 { 5.0 } else { 1.0 / (1 + i) as f64 }).collect();
    for values in
        [decaying(90), clustered, vec![2.0; 30], vec![0.0; 30], vec![3.0], [vec![4.0, 1.0], vec![0.0; 40]].concat()]
    {
        for (count, block) in [(1, 1), (5, 4), (20, 8), (200, 16)] {
            let pairs =
                with(&values, 3, block, |p| block_krylov(p, &Budget { rtol: 1e-9, max_matvecs: 5000 }, count).unwrap());
            let k = count.min(values.len());
            assert_eq!(pairs.values.len(), k, "{count} of {}", values.len());
            assert!(
                pairs.stop.converged(),
                "{count} of {} in {} products: {:?}",
                values.len(),
                pairs.matvecs,
                pairs.residuals
            );
            let mut sorted = values.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for (found, expected) in pairs.values.iter().zip(&sorted) {
                assert!((found - expected).abs() <= 1e-9 * sorted[0].max(1.0), "{:?} against {sorted:?}", pairs.values);
            }
        }
    }
}

#[test]
fn no_budget_gives_nan() {
    for values in [decaying(30), vec![0.0; 30], vec![1.0; 30], vec![2.0], vec![1.0, -1.0, 0.5]] {
        for max_matvecs in [1, 2, 3, 10, 100] {
            let budget = Budget { rtol: 1e-3, max_matvecs };
            let estimates = [
                with(&values, 1, 4, |p| hutchinson(p, &budget).unwrap()),
                with(&values, 1, 4, |p| per_trajectory(p, &budget).unwrap()),
                with(&values, 1, 4, |p| frobenius(p, &budget).unwrap()),
                with(&values, 1, 4, |p| frobenius_deflated(p, &budget).unwrap()),
            ];
            for e in &estimates {
                assert!(e.value.is_finite() && !e.standard_error.is_nan() && e.matvecs <= max_matvecs, "{e:?}");
            }
            let rank = effective_rank(&estimates[0], &estimates[3], 1e-3);
            assert!(!rank.value.is_nan() && !rank.standard_error.is_nan(), "{rank:?}");
            let pairs = with(&values, 1, 4, |p| block_krylov(p, &budget, 3).unwrap());
            assert!(pairs.matvecs <= max_matvecs && pairs.values.iter().chain(&pairs.residuals).all(|x| x.is_finite()));
        }
    }
}

#[test]
fn dense_is_exact() {
    let values = decaying(30);
    with(&values, 0, 7, |p| {
        let d = dense(p, Wanted::Vectors).unwrap();
        let (trace, square): (f64, f64) = (values.iter().sum(), values.iter().map(|v| v * v).sum());
        assert!((d.trace().value - trace).abs() < 1e-12 && (d.frobenius().value - square.sqrt()).abs() < 1e-12);
        assert!(
            (d.effective_rank().value - trace * trace / square).abs() < 1e-10 && (d.norm().value - 1.0).abs() < 1e-12
        );
        let pairs = d.eigenpairs(p, None, 4).unwrap();
        assert!(pairs.residuals.iter().all(|&r| r < 1e-13) && (pairs.values[3] - values[3]).abs() < 1e-13);
    });
}

/// Estimators see the probes of (seed, stream, vector) alone: the block is a matter of speed.
#[test]
fn the_same_probes_whatever_the_block() {
    let budget = Budget { rtol: 0.0, max_matvecs: 24 };
    let run = |block| with(&flat(60), 9, block, |p| hutchinson(p, &budget).unwrap().value);
    assert!((run(1) - run(8)).abs() < 1e-12 && (run(8) - run(24)).abs() < 1e-12);
}

/// K = G ⊗ I has every eigenvalue as often as a site has outputs: more often than a block has vectors.
#[test]
fn no_copy_of_a_multiple_eigenvalue_is_missed() {
    for (copies, block) in [(16, 1), (16, 8), (32, 8), (20, 16)] {
        let values: Vec<f64> = (0..160).map(|i| 10.0 * 0.5f64.powi(i / copies)).collect();
        let pairs =
            with(&values, 1, block, |p| block_krylov(p, &Budget { rtol: 1e-9, max_matvecs: 2000 }, 20).unwrap());
        assert!(pairs.stop.converged());
        let right = pairs.values.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-8);
        assert!(right, "{copies} copies, block {block}: {:?}", pairs.values);
    }
}

/// One product is enough for one Ritz pair, whose residual the recurrence knows.
#[test]
fn a_budget_of_one_product_gives_a_ritz_pair() {
    with(&decaying(30), 1, 4, |p| {
        let pairs = block_krylov(p, &Budget { rtol: 1e-3, max_matvecs: 1 }, 3).unwrap();
        assert_eq!(
            (pairs.values.len(), pairs.vectors.vectors, pairs.matvecs, pairs.stop),
            (1, 1, 1, StopReason::Budget)
        );
        let v = &pairs.vectors;
        let mut r = p.apply(v).unwrap();
        r.add_product(-1.0, v, &pairs.values, p.machine);
        let residual = p.dots(&r, &r).unwrap()[0].sqrt() / pairs.values[0];
        assert!((residual - pairs.residuals[0]).abs() < 1e-12 && pairs.values[0] > 0.0 && pairs.values[0] < 1.0);
    });
}

/// A trace of 0 and errors that nothing is known of: no NaN, and nothing claimed.
#[test]
fn an_effective_rank_of_nothing_known() {
    let part = |value, standard_error| Estimate::new(value, standard_error, 1, StopReason::Budget, Vec::new());
    for (trace, norm) in [
        (part(0.0, f64::INFINITY), part(1.0, 0.1)),
        (part(1.0, f64::INFINITY), part(1.0, f64::INFINITY)),
        (part(0.0, f64::INFINITY), part(0.0, f64::INFINITY)),
    ] {
        let rank = effective_rank(&trace, &norm, 1e-3);
        assert!(
            rank.value.is_finite() && rank.standard_error.is_infinite() && rank.stop == StopReason::Budget,
            "{rank:?}"
        );
    }
    // Where the trace is near 0, its square's error is of second order.
    let rank = effective_rank(&part(0.0, 0.5), &Estimate::exact(1.0, 0), 1e-3);
    assert!((rank.standard_error - 0.25 * 2f64.sqrt()).abs() < 1e-15);
}

/// Numbers near the ends of single precision: Gram matrices of them would vanish or overflow, but nothing is lost. Beyond: said, not NaN.
#[test]
fn the_ends_of_single_precision() {
    let values = decaying(24);
    let a = hidden(&values);
    let shape = Shape::new(3, 2, 4);
    let engine = Portable;
    let budget = Budget { rtol: 1e-4, max_matvecs: 300 };
    for scale in [1e-26, 1.0, 1e26] {
        let small: Vec<f32> = a.iter().map(|x| (x * scale) as f32).collect();
        let op = Dense::new(&small, shape, shape).unwrap();
        let problem = || Problem::new(&op, &engine, (0, 3), 1, 4, &|_, _, _| ());
        let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt() * scale;
        let f = frobenius_deflated(&problem(), &budget).unwrap();
        assert!(
            (f.value - norm).abs() <= 1e-5 * norm + 4.0 * f.standard_error && f.value > 0.9 * norm,
            "{scale}: {f:?}"
        );
        let pairs = block_krylov(&problem(), &budget, 3).unwrap();
        assert!(pairs.stop.converged(), "{scale}: {:?}", pairs.residuals);
        assert!(
            pairs.values.iter().zip(&values).all(|(x, v)| (x / scale - v).abs() < 1e-5),
            "{scale}: {:?}",
            pairs.values
        );
    }
    let huge = vec![f32::MAX; 24 * 24];
    let op = Dense::new(&huge, shape, shape).unwrap();
    let problem = || Problem::new(&op, &engine, (0, 3), 1, 4, &|_, _, _| ());
    let gone = |e: Estimate| e.stop == StopReason::Overflow && e.value == 0.0 && e.standard_error.is_infinite();
    assert!(gone(frobenius(&problem(), &budget).unwrap()) && gone(frobenius_deflated(&problem(), &budget).unwrap()));
    assert!(gone(hutchinson(&problem(), &budget).unwrap()) && gone(per_trajectory(&problem(), &budget).unwrap()));
    assert_eq!(block_krylov(&problem(), &budget, 3).unwrap().stop, StopReason::Overflow);
    let nan = vec![f32::NAN; 24 * 24];
    let op = Dense::new(&nan, shape, shape).unwrap();
    let e = dense(&Problem::new(&op, &engine, (0, 3), 1, 4, &|_, _, _| ()), Wanted::Sums).err().unwrap();
    assert!(e.to_string().contains("leave the range"));
}

#[test]
fn a_matrix_that_is_not_symmetric_is_refused() {
    let (shape, engine) = (Shape::new(1, 1, 2), Portable);
    let op = Dense::new(&[1.0, 1e-3, 0.0, 1.0], shape, shape).unwrap();
    let e = dense(&Problem::new(&op, &engine, (0, 1), 1, 4, &|_, _, _| ()), Wanted::Sums).err().unwrap();
    assert!(e.to_string().contains("not symmetric"), "{e}");
}
