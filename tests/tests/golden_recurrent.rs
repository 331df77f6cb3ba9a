//! Every recurrent golden case, end to end: from the checkpoint to the result file, on any number of ranks.

use kpflow_tests::{assert_all_near, assert_near, Golden, Job, Results, OPERATORS};

const CASES: [&str; 4] = ["trace", "frobenius", "effective_rank", "norm"];

/// Everything this version can find out about the operators, as one job.
fn job(golden: &Golden, precision: &str) -> Job {
    let n: usize = golden.shape.iter().product();
    let mut job = Job::new(golden.tables()).line(&format!("[compute]\nprecision = \"{precision}\""));
    for operator in OPERATORS {
        for quantity in CASES {
            job = job.analysis(&format!("{operator}.{quantity}"), operator, quantity, "method = \"dense\"");
        }
        job = job
            .analysis(&format!("{operator}.exact"), operator, "trace", "method = \"exact\"")
            .analysis(
                &format!("{operator}.all"),
                operator,
                "eigenpairs",
                &format!("method = \"dense\"\ncount = {n}\nvectors = true"),
            )
            .analysis(
                &format!("{operator}.leading"),
                operator,
                "eigenpairs",
                "method = \"block_krylov\"\ncount = 5\nrtol = 1e-10\nmax_matvecs = 3000",
            );
    }
    for quantity in ["frobenius", "effective_rank"] {
        job = job.analysis(&format!("parameter.exact_{quantity}"), "parameter", quantity, "method = \"exact\"");
    }
    job
}

/// Reconstructs the operator from all its eigenpairs, and compares it with what is known of it on the probes.
fn check_operator(golden: &Golden, operator: &str, results: &Results, tolerance: f64) {
    let n: usize = golden.shape.iter().product();
    let (values, vectors) =
        (results.eigenvalues(&format!("{operator}.all")), results.read(&format!("{operator}.all"), "eigenvectors"));
    assert_eq!(vectors.len(), n * n);
    let probes = golden.read("probe");
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut found = Vec::new();
    for probe in probes.chunks(n) {
        let mut y = vec![0.0; n];
        for (value, vector) in values.iter().zip(vectors.chunks(n)) {
            let weight = value * dot(vector, probe);
            y.iter_mut().zip(vector).for_each(|(y, v)| *y += weight * v);
        }
        found.push(y);
    }
    if operator == "propagator_gram" {
        // pᵀ P Pᵀ q, from Pᵀ on the probes.
        let pulled = golden.read("reference/propagator/apply_adjoint");
        let gram = |rows: &dyn Fn(usize, usize) -> f64| (0..9).map(|i| rows(i / 3, i % 3)).collect::<Vec<f64>>();
        let right = gram(&|i, j| dot(&pulled[i * n..][..n], &pulled[j * n..][..n]));
        let left = gram(&|i, j| dot(&probes[i * n..][..n], &found[j]));
        assert_all_near(&format!("{} probes of P Pᵀ", golden.name), &left, &right, tolerance);
    } else {
        let right = golden.read(&format!("reference/{operator}/apply"));
        assert_all_near(&format!("{} {operator} on the probes", golden.name), &found.concat(), &right, tolerance);
    }
}

fn check(name: &str, ranks: usize, precision: &str, tolerance: f64) {
    let golden = Golden::open(name);
    let results = job(&golden, precision).run(ranks);
    assert_eq!(results.shape(), golden.shape.map(|d| d as i64));
    for operator in OPERATORS {
        for quantity in CASES {
            let expected = golden.reference(&format!("{operator}/{quantity}"));
            let what = format!("{name} on {ranks}: {operator}.{quantity}");
            assert_near(&what, results.value(&format!("{operator}.{quantity}")), expected, tolerance, expected);
        }
        let what = format!("{name} on {ranks}: {operator}");
        let trace = golden.reference(&format!("{operator}/trace"));
        let exact = results.value(&format!("{operator}.exact"));
        assert_near(&format!("{name} on {ranks}: exact trace of {operator}"), exact, trace, tolerance, trace);
        let error = results.standard_error(&format!("{operator}.exact"));
        match precision {
            "f64" => assert_eq!(error, 0.0),
            _ => {
                assert!(error > 0.0 && (exact - trace).abs() <= 1.96 * error && error < 1e-5 * trace, "{what}: {error}")
            }
        }
        let expected = golden.read(&format!("reference/{operator}/eigenvalues"));
        let found = results.eigenvalues(&format!("{operator}.all"));
        assert_all_near(&format!("{name} on {ranks}: {operator} eigenvalues"), &found, &expected, tolerance);
        if precision == "f64" {
            let leading = format!("{operator}.leading");
            assert!(results.converged(&leading), "{name} on {ranks}: {leading} did not converge");
            assert_all_near(
                &format!("{name} on {ranks}: {leading}"),
                &results.eigenvalues(&leading),
                &expected[..5],
                tolerance,
            );
            assert!(results.read(&leading, "residuals").iter().all(|&r| r <= 1e-10));
        }
        check_operator(&golden, operator, &results, tolerance);
    }
    for quantity in ["frobenius", "effective_rank"] {
        let expected = golden.reference(&format!("parameter/{quantity}"));
        let found = results.value(&format!("parameter.exact_{quantity}"));
        assert_near(&format!("{name} on {ranks}: exact {quantity} of parameter"), found, expected, tolerance, expected);
    }
}

/// gru_h0 has 2 trajectories, rnn_relu_h0 and lstm 3: on 4 ranks some have none.
macro_rules! cases {
    ($($name:ident),*) => { $(
        mod $name {
            #[test]
            fn alone() {
                super::check(stringify!($name), 1, "f64", 1e-9);
            }
            #[test]
            fn on_ranks() {
                for ranks in [2, 3, 4] {
                    super::check(stringify!($name), ranks, "f64", 1e-9);
                }
            }
            #[test]
            fn alone_in_single_precision() {
                super::check(stringify!($name), 1, "f32", 1e-4);
            }
        }
    )* };
}

cases!(rnn_tanh, rnn_relu_h0, leaky_rnn, gru, gru_h0, lstm);

#[test]
fn single_precision_on_ranks() {
    check("gru_h0", 3, "f32", 1e-4);
}
