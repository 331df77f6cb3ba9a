//! The smallest eigenvalues that are not 0, and those nearest to a number, through the program.

use kpflow_tests::models::{dataset, model};
use kpflow_tests::{assert_near, Golden, Job, Results};

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Holds pairs against all eigenvalues and the matrix: values are a run of the true ones, residuals are true.
fn check(what: &str, results: &Results, name: &str, (values, matrix): (&[f64], &[f64])) -> std::ops::Range<usize> {
    let (found, told) = (results.eigenvalues(name), results.read(name, "residuals"));
    let nearest = |x: f64| {
        let apart = |i: &usize| (values[*i] - x).abs();
        (0..values.len()).min_by(|i, j| apart(i).total_cmp(&apart(j))).unwrap()
    };
    let first = nearest(found[0]);
    for (i, (x, r)) in found.iter().zip(&told).enumerate() {
        let (truth, bound) = (values[first + i], r * found[0] + 1e-14 * values[0]);
        assert!((x - truth).abs() <= bound, "{what} {i}: {x:e} against {truth:e}, beyond {bound:e}");
    }
    if results.group(name).link_exists("eigenvectors") {
        let (vectors, n) = (results.read(name, "eigenvectors"), values.len());
        for (i, v) in vectors.chunks(n).enumerate() {
            assert_near(&format!("{what}: the length of {i}"), norm(v), 1.0, 1e-9, 1.0);
            let image = matrix.chunks(n).map(|row| row.iter().zip(v).map(|(a, x)| a * x).sum::<f64>());
            let rest: Vec<f64> = image.zip(v).map(|(y, x)| y - found[i] * x).collect();
            let (residual, told) = (norm(&rest) / found[0], told[i]);
            // The matrix here has rounding of its own.
            let beside = 1e-14 * values[0] / found[0];
            println!("{what} {i}: λ = {:e}, residual {residual:e}, told {told:e}", found[i]);
            assert!(residual <= 3.0 * told + beside, "{what} {i}: {residual:e}, told {told:e}");
        }
    }
    first..first + found.len()
}

/// The analyses of an operator: its matrix, the smallest and the nearest ones to two numbers.
fn with_all(job: Job, operator: &str, near: [f64; 2]) -> Job {
    let mut job = job;
    for vectors in [false, true] {
        let of = |which: &str| format!("{which}\ncount = 5\nvectors = {vectors}");
        job = job.analysis(&format!("smallest.{vectors}"), operator, "eigenpairs", &of("which = \"smallest\""));
        for (i, x) in near.iter().enumerate() {
            let name = format!("near.{i}.{vectors}");
            job = job.analysis(&name, operator, "eigenpairs", &of(&format!("near = {x:e}")));
        }
    }
    job
}

fn check_all(what: &str, results: &Results, truth: (&[f64], &[f64]), near: [f64; 2], floor: f64) {
    let values = truth.0;
    for vectors in [false, true] {
        let name = format!("smallest.{vectors}");
        let run = check(&format!("{what} {name}"), results, &name, truth);
        assert_eq!(run.len(), 5, "{what}");
        assert!(["dense", "exact"].contains(&results.method(&name).as_str()), "{what}");
        // What comes behind them is lost in rounding.
        let next = values.get(run.end).copied().unwrap_or(0.0);
        assert!(next.abs() <= floor * values[0], "{what}: {next:e} comes behind them");
        for (i, x) in near.iter().enumerate() {
            let name = format!("near.{i}.{vectors}");
            let run = check(&format!("{what} {name}"), results, &name, truth);
            let mut apart: Vec<f64> = values.iter().map(|v| (v - x).abs()).collect();
            apart.sort_by(f64::total_cmp);
            let farthest = values[run.clone()].iter().fold(0.0, |m: f64, v| m.max((v - x).abs()));
            assert_near(&format!("{what} {name}"), farthest, apart[4], 1e-9, values[0]);
            assert_eq!(run.len(), 5, "{what} {name}");
        }
    }
}

/// Of the state's side.
#[test]
fn golden_spectra_from_below_and_within() {
    for case in ["rnn_tanh", "gru", "mlp_tanh"] {
        let golden = Golden::open(case);
        for operator in ["ntk", "propagator_gram"] {
            let values = golden.read(&format!("reference/{operator}/eigenvalues"));
            let near = [0.5 * (values[9] + values[12]), 0.3 * values[0]];
            for ranks in [1, 2] {
                let job = with_all(Job::new(golden.tables()), operator, near);
                let results = job.analysis("whole", operator, "matrix", "").run(ranks);
                let matrix = results.read("whole", "matrix");
                check_all(&format!("{case} {operator} on {ranks}"), &results, (&values, &matrix), near, 1e-13);
            }
        }
    }
}

/// Of the weights' side: zeros are many more than what is not 0.
#[test]
fn the_zeros_of_a_small_network_are_none_of_them() {
    const SHAPE: [usize; 3] = [8, 20, 6];
    let new = || {
        let job = Job::new("");
        let text = model("gru", true, job.path("").as_path());
        dataset(&job.path("long.h5"), "x", &[SHAPE[0], SHAPE[1], 4], 1.0);
        job.line(&text.replace("/inputs.h5:/x", "/long.h5:/x"))
    };
    let truth = new().analysis("whole", "ntk", "matrix", "").run(1);
    let (values, matrix) = (truth.eigenvalues("whole"), truth.read("whole", "matrix"));
    let near = [0.5 * (values[9] + values[12]), 0.3 * values[0]];
    for ranks in [1, 2] {
        let results = with_all(new(), "ntk", near).run(ranks);
        check_all(&format!("small gru on {ranks}"), &results, (&values, &matrix), near, 1e-13);
    }
}

/// Fewer are told from 0 there, and each is as near to a true one as it says.
#[test]
fn bounds_hold_in_single_precision() {
    for case in ["rnn_tanh", "gru", "leaky_rnn", "mlp_tanh", "transformer"] {
        let golden = Golden::open(case);
        let values = golden.read("reference/ntk/eigenvalues");
        let near = [0.5 * (values[9] + values[12]), 0.3 * values[0]];
        let job = with_all(Job::new(golden.tables()).line("[compute]\nprecision = \"f32\""), "ntk", near);
        let results = job.run(1);
        for name in ["smallest", "near.0", "near.1"].iter().flat_map(|n| [false, true].map(|v| format!("{n}.{v}"))) {
            let (found, told) = (results.eigenvalues(&name), results.read(&name, "residuals"));
            assert_eq!(found.len(), 5, "{case} {name}");
            for (x, r) in found.iter().zip(&told) {
                let apart = values.iter().fold(f64::INFINITY, |m: f64, v| m.min((v - x).abs()));
                println!("{case} {name}: {x:e}, {apart:e} from a true one, {:e} told", r * found[0]);
                assert!(apart <= r * found[0] && *x > 0.0, "{case} {name}: {x:e} is off by {apart:e}, told {r:e}");
            }
        }
    }
}

#[test]
fn what_does_not_find_them_says_so() {
    let job = || Job::new(Golden::open("gru").tables());
    let krylov = "which = \"smallest\"\nmethod = \"block_krylov\"";
    let text = "method = \"block_krylov\" finds the largest eigenvalues; which = \"smallest\" and near are for";
    job().analysis("a", "ntk", "eigenpairs", krylov).refused_on(&[1, 2], &[text]);
    let text = "which = \"smallest\" and near need the exact matrix, of 120 rows";
    job().analysis("a", "propagator_gram", "eigenpairs", "near = 2.0\nmax_matvecs = 20").refused_on(&[1, 2], &[text]);
    let text = "which and near are two ways to say which eigenvalues; take one";
    job().analysis("a", "ntk", "eigenpairs", "near = 2.0\nwhich = \"largest\"").refused_on(&[1], &[text]);
    let large = Job::new(Golden::open("gru_paper").tables());
    let text = "read the exact matrix of the smaller side, of 4096 rows at most, and here it has 14592";
    large.analysis("a", "ntk", "eigenpairs", "which = \"smallest\"").refused_on(&[1, 2], &[text]);
}
